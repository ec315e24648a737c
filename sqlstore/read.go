package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// Get is as [apikey.Store] says.
func (s *Store) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	var stored storedRecord
	err := s.read(ctx, func(x *session) error { return x.get(ctx, ref, &stored) })
	if err != nil {
		return nil, err
	}
	if stored.err != nil {
		return nil, fmt.Errorf("apikey: sqlstore: %w", stored.err)
	}
	return stored.rec, nil
}

func (x *session) get(ctx context.Context, ref string, stored *storedRecord) error {
	if ref == "" || !storable(ref, 512) {
		return apikey.ErrNotFound
	}
	err := sql.ErrNoRows
	if isID(ref) {
		err = x.rowOf(ctx, x.store.sql.getByID, ref).Scan(stored)
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = x.rowOf(ctx, x.store.sql.getByAlias, ref).Scan(stored)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return apikey.ErrNotFound
	}
	return err
}

// storedRecord reads a column without a copy of its own.
type storedRecord struct {
	rec *apikey.Record
	err error // it was read, and is no record
}

// Scan is as [sql.Scanner] says.
func (r *storedRecord) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("a record is stored as %T", src)
	}
	r.rec, r.err = apikey.ParseRecord(b)
	return nil
}

// maxScan is how many keys a List with filters looks at in one call.
const maxScan = 10_000

// position is a place in the order of lists.
type position struct {
	created int64
	id      string
}

// List is as [apikey.Store] says. With filters one call looks at 10,000 keys at
// most, by an index; the database filters, and Query.Match has the last word.
func (s *Store) List(ctx context.Context, q apikey.Query) (apikey.Page, error) {
	created, id, err := q.Position()
	if err != nil {
		return apikey.Page{}, err
	}
	at := position{micro(created), id}
	if q.After == "" {
		at.created = math.MaxInt64
	}
	q.Limit = max(q.Limit, 1)
	var page apikey.Page
	err = s.read(ctx, func(x *session) (err error) {
		page, err = x.list(ctx, &q, at)
		return err
	})
	return page, err
}

func (x *session) list(ctx context.Context, q *apikey.Query, at position) (apikey.Page, error) {
	st := x.store.sql
	a := args{"created": at.created, "id": at.id, "owner": q.Owner, "number": int64(q.Limit) + 1}
	switch {
	case !q.AllOwners && (q.Owner == "" || !storable(q.Owner, 255)):
		return apikey.Page{}, nil
	case q.IDs != nil:
		ids := slices.DeleteFunc(slices.Clone(q.IDs), func(id string) bool { return !isID(id) })
		if len(ids) == 0 {
			return apikey.Page{}, nil
		}
		a["ids"], a["number"] = list(ids), int64(len(ids))+1
		return x.page(ctx, st.listIDs, a, q, nil)
	case filtered(q):
		return x.find(ctx, q, at, a)
	case q.AllOwners:
		return x.page(ctx, st.listAll, a, q, nil)
	}
	return x.page(ctx, st.listOwner, a, q, nil)
}

func filtered(q *apikey.Query) bool {
	return q.Text != "" || q.Environment != "" || q.States != nil ||
		!q.UnusedSince.IsZero() || !q.RotatedBefore.IsZero() || !q.ExpiresBefore.IsZero()
}

// find is list with filters. It first finds where the part of the list ends
// that it looks at: keys that are made or deleted meanwhile do not move that.
func (x *session) find(ctx context.Context, q *apikey.Query, at position, a args) (apikey.Page, error) {
	ends, st := x.store.sql.endOwner, x.store.sql.findOwner
	if q.AllOwners {
		ends, st = x.store.sql.endAll, x.store.sql.findAll
	}
	if !storable(q.Environment, 255) {
		return apikey.Page{}, nil
	}
	if q.AllOwners && !q.RotatedBefore.IsZero() && q.States != nil && !slices.Contains(q.States, apikey.StateRevoked) {
		page, few, err := x.findDue(ctx, q, at, a)
		if err != nil || few {
			return page, err
		}
	}
	end := &position{created: math.MinInt64}
	err := x.row(ctx, ends, args{"created": a["created"], "id": a["id"], "owner": a["owner"], "number": x.store.scan - 1}).Scan(&end.created, &end.id)
	last := errors.Is(err, sql.ErrNoRows)
	if err != nil && !last {
		return apikey.Page{}, err
	}
	addFilters(a, q)
	a["end_created"], a["end_id"] = end.created, end.id
	if last {
		end = nil
	}
	return x.page(ctx, st, a, q, end)
}

// findDue is find of keys that are due for rotation and not revoked, if these
// are no more than one call may look at: an index has them. It reports whether
// they are so few.
func (x *session) findDue(ctx context.Context, q *apikey.Query, after position, a args) (page apikey.Page, few bool, err error) {
	rows, err := x.rows(ctx, x.store.sql.due, args{"rotated": q.RotatedBefore.UnixMicro(), "number": x.store.scan + 1})
	if err != nil {
		return page, false, err
	}
	n, due := int64(0), []position{}
	err = eachRow(rows, func(scan func(...any) error) error {
		var at position
		n++
		err := scan(&at.created, &at.id)
		if at.compare(after) < 0 {
			due = append(due, at)
		}
		return err
	})
	if err != nil || n > x.store.scan {
		return page, false, err
	}
	slices.SortFunc(due, func(a, b position) int { return b.compare(a) })
	step := max(int(x.store.scan)/10, q.Limit) // of whole keys
	var end *position
	if len(due) > step {
		due = due[:step]
		end = &due[step-1]
	}
	if len(due) == 0 {
		return page, true, nil
	}
	ids := make([]string, len(due))
	for i, at := range due {
		ids[i] = at.id
	}
	a["ids"], a["number"] = list(ids), int64(len(ids))+1
	page, err = x.page(ctx, x.store.sql.listIDs, a, q, end)
	return page, true, err
}

func (p position) compare(other position) int {
	return cmp.Or(cmp.Compare(p.created, other.created), strings.Compare(p.id, other.id))
}

// addFilters adds the arguments of the filters, which let through at least what
// Query.Match does.
func addFilters(a args, q *apikey.Query) {
	a["environment"], a["at"], a["search"] = q.Environment, q.At.UnixMicro(), []byte(between)
	if q.Text != "" {
		a["search"] = []byte(apikey.Fold(q.Text))
	}
	a["unused"], a["rotated"], a["expires_from"], a["expires_to"] = int64(math.MaxInt64), int64(math.MaxInt64), int64(0), int64(math.MaxInt64)
	if !q.UnusedSince.IsZero() {
		a["unused"] = q.UnusedSince.UnixMicro()
	}
	if !q.RotatedBefore.IsZero() {
		a["rotated"] = q.RotatedBefore.UnixMicro()
	}
	if !q.ExpiresBefore.IsZero() {
		a["expires_from"], a["expires_to"] = int64(1), q.ExpiresBefore.UnixMicro()
	}
	states := int64(0)
	for i, state := range []apikey.State{
		apikey.StateRevoked, apikey.StateHeld, apikey.StateDisabled, apikey.StateExpired, apikey.StateScheduled, apikey.StateActive,
	} {
		if q.States == nil || slices.Contains(q.States, state) {
			states |= 1 << i
		}
	}
	a["states"] = states
}

// page runs a query of keys. The list goes on after end, unless that is nil or
// the page is full before.
func (x *session) page(ctx context.Context, st *statement, a args, q *apikey.Query, end *position) (apikey.Page, error) {
	rows, err := x.rows(ctx, st, a)
	if err != nil {
		return apikey.Page{}, err
	}
	var keys []*apikey.Key
	err = eachRow(rows, func(scan func(...any) error) error {
		k, err := scanKey(scan)
		keys = append(keys, k)
		return err
	})
	if err != nil {
		return apikey.Page{}, err
	}
	if err := x.addUsage(ctx, keys); err != nil {
		return apikey.Page{}, err
	}
	var page apikey.Page
	for i, k := range keys {
		if len(page.Keys) == q.Limit {
			page.Next = q.CursorAt(keys[i-1].CreatedAt, keys[i-1].ID)
			return page, nil
		}
		if q.Match(k) {
			page.Keys = append(page.Keys, k)
		}
	}
	switch full := int64(len(keys)) == a["number"]; {
	case full: // Match left out some of them
		page.Next = q.CursorAt(keys[len(keys)-1].CreatedAt, keys[len(keys)-1].ID)
	case end != nil:
		page.Next = q.CursorAt(time.UnixMicro(end.created), end.id)
	}
	return page, nil
}

func scanKey(scan func(...any) error) (*apikey.Key, error) {
	var b []byte
	if err := scan(&b); err != nil {
		return nil, err
	}
	rec, err := apikey.ParseRecord(b)
	if err != nil {
		return nil, err
	}
	return rec.Key(), nil
}

// addUsage fills in what is stored of the use of keys: a row for each secret.
func (x *session) addUsage(ctx context.Context, keys []*apikey.Key) error {
	byID, ids := make(map[string]*apikey.Key, len(keys)), make([]string, 0, len(keys))
	for _, k := range keys {
		byID[k.ID] = k
		ids = append(ids, k.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := x.rows(ctx, x.store.sql.usage, args{"ids": list(ids)})
	if err != nil {
		return err
	}
	return eachRow(rows, func(scan func(...any) error) error {
		var id, peer, reason string
		var secret, used, refused int64
		var n apikey.Usage
		if err := scan(&id, &secret, &n.Requests, &n.Limited, &n.Denied, &used, &refused, &peer, &reason); err != nil {
			return err
		}
		if k := byID[id]; k != nil {
			u := &k.Usage
			u.Requests, u.Limited, u.Denied = u.Requests+n.Requests, u.Limited+n.Limited, u.Denied+n.Denied
			addTimes(u, uint32(secret), fromMicro(used), fromMicro(refused), peer, apikey.Reason(reason))
		}
		return nil
	})
}

func addTimes(u *apikey.Usage, secret uint32, used, refused time.Time, peer string, reason apikey.Reason) {
	if !used.IsZero() {
		if u.LastUsed == nil {
			u.LastUsed = make(map[uint32]time.Time)
		}
		u.LastUsed[secret] = used
	}
	if used.After(u.LastUsedAt) {
		u.LastUsedAt = used
	}
	if refused.After(u.LastRefusal.At) {
		addr, _ := netip.ParseAddr(peer) // "": not known
		u.LastRefusal = apikey.Refusal{At: refused, Peer: addr, Reason: reason}
	}
}

// list is a JSON list of IDs, which are base62.
func list(ids []string) string { return `["` + strings.Join(ids, `","`) + `"]` }
