package sqlstore

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/go-apikey/apikey"
)

// AddUsage is as [apikey.Store] says. A batch is applied in full or not at all,
// by six statements.
func (s *Store) AddUsage(ctx context.Context, b apikey.UsageBatch) error {
	if err := ctx.Err(); err != nil {
		return notApplied(ctx, err)
	}
	if !storable(b.Node, 255) || b.Node == "" {
		return fmt.Errorf("%w: %w: sqlstore: Node must be UTF-8 without NUL, of 1 to 255 bytes", apikey.ErrNotApplied, apikey.ErrInvalid)
	}
	ids, seen := []string{}, int64(0)
	for i := range b.Entries {
		if e := &b.Entries[i]; isID(e.KeyID) {
			ids = append(ids, e.KeyID)
			seen = max(seen, e.Hour.UnixMicro())
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return s.write(ctx, func(x *session) error {
		// Batches of one node, of which one may have been given up and still be
		// under way, wait for one another: the marks are read after that.
		if _, err := x.exec(ctx, s.sql.lockNode, args{"node": b.Node, "seen": seen}); err != nil {
			return err
		}
		usable, err := x.usable(ctx, &b, ids)
		if err != nil {
			return err
		}
		return x.addSums(ctx, &b, sumUp(&b, usable))
	})
}

// usable are the keys that exist and have not had the batch. They are not
// deleted before the transaction has ended.
func (x *session) usable(ctx context.Context, b *apikey.UsageBatch, ids []string) (map[string]bool, error) {
	rows, err := x.rows(ctx, x.store.sql.usable, args{"node": b.Node, "ids": list(ids)})
	if err != nil {
		return nil, err
	}
	usable := make(map[string]bool, len(ids))
	return usable, eachRow(rows, func(scan func(...any) error) error {
		var id string
		var seq int64
		if err := scan(&id, &seq); err != nil {
			return err
		}
		if seq < b.Seq {
			usable[id] = true
		}
		return nil
	})
}

// The rows to add, as the statements name their fields.
type (
	usageSum struct {
		Key       string `json:"k"`
		Requests  int64  `json:"r"`
		Limited   int64  `json:"l"`
		Denied    int64  `json:"d"`
		LastUsed  int64  `json:"u"`
		RefusedAt int64  `json:"t"`
		Peer      string `json:"p"`
		Reason    string `json:"w"`
	}
	hourSum struct {
		Key      string `json:"k"`
		Hour     int64  `json:"h"`
		Requests int64  `json:"r"`
		Limited  int64  `json:"l"`
		Denied   int64  `json:"d"`
	}
	lastUse struct {
		Key    string `json:"k"`
		Secret uint32 `json:"s"`
		Used   int64  `json:"u"`
	}
)

// sums are what a batch adds, at most one row for each row stored, in the order
// of their primary keys: whoever locks in another order meets a deadlock.
type sums struct {
	keys    []usageSum
	hours   []hourSum
	secrets []lastUse
}

func sumUp(b *apikey.UsageBatch, usable map[string]bool) *sums {
	type hourOf struct {
		key  string
		hour int64
	}
	type secretOf struct {
		key    string
		secret uint32
	}
	keys, hours, secrets := map[string]usageSum{}, map[hourOf]hourSum{}, map[secretOf]lastUse{}
	for i := range b.Entries {
		e := &b.Entries[i]
		if !usable[e.KeyID] {
			continue
		}
		k := keys[e.KeyID]
		k.add(e)
		keys[e.KeyID] = k
		if e.Requests != 0 || e.Limited != 0 || e.Denied != 0 {
			of := hourOf{e.KeyID, e.Hour.UnixMicro()}
			h := hours[of]
			hours[of] = hourSum{of.key, of.hour, h.Requests + e.Requests, h.Limited + e.Limited, h.Denied + e.Denied}
		}
		if used := micro(e.LastUsed); used != 0 {
			of := secretOf{e.KeyID, e.Secret}
			secrets[of] = lastUse{of.key, of.secret, max(secrets[of].Used, used)}
		}
	}
	// Of one key all rows are locked once its first one is: only that order counts.
	return &sums{
		keys:    slices.SortedFunc(maps.Values(keys), func(a, b usageSum) int { return strings.Compare(a.Key, b.Key) }),
		hours:   slices.SortedFunc(maps.Values(hours), func(a, b hourSum) int { return strings.Compare(a.Key, b.Key) }),
		secrets: slices.SortedFunc(maps.Values(secrets), func(a, b lastUse) int { return strings.Compare(a.Key, b.Key) }),
	}
}

func (k *usageSum) add(e *apikey.UsageEntry) {
	k.Key = e.KeyID
	k.Requests += e.Requests
	k.Limited += e.Limited
	k.Denied += e.Denied
	k.LastUsed = max(k.LastUsed, micro(e.LastUsed))
	if at := micro(e.LastRefusal.At); at > k.RefusedAt {
		k.RefusedAt, k.Peer, k.Reason = at, peerText(e.LastRefusal.Peer), string(e.LastRefusal.Reason)
	}
}

// peerText is "" for an address that is not known. A zone that no interface
// has would not fit.
func peerText(peer netip.Addr) string {
	if !peer.IsValid() {
		return ""
	}
	if text := peer.String(); storable(text, 255) {
		return text
	}
	return peer.WithZone("").String()
}

func (x *session) addSums(ctx context.Context, b *apikey.UsageBatch, sum *sums) error {
	keys, err := rowsOf(sum.keys)
	if err != nil {
		return err
	}
	hours, err := rowsOf(sum.hours)
	if err != nil {
		return err
	}
	secrets, err := rowsOf(sum.secrets)
	if err != nil {
		return err
	}
	for _, add := range []struct {
		st   *statement
		rows string
		n    int
	}{
		{x.store.sql.addUsage, keys, len(sum.keys)},
		{x.store.sql.addHours, hours, len(sum.hours)},
		{x.store.sql.addSecrets, secrets, len(sum.secrets)},
		{x.store.sql.addMarks, keys, len(sum.keys)},
	} {
		if add.n == 0 {
			continue
		}
		if _, err := x.exec(ctx, add.st, args{"rows": add.rows, "node": b.Node, "seq": b.Seq}); err != nil {
			return err
		}
	}
	return nil
}

// Usage is as [apikey.UsageReader] says. Hours are there until Prune finds them
// older than Config.KeepUsage.
func (s *Store) Usage(ctx context.Context, id string, q apikey.UsageQuery) ([]apikey.UsagePoint, error) {
	a := args{"id": id, "from": int64(math.MinInt64), "to": int64(math.MaxInt64)}
	if !q.From.IsZero() {
		a["from"] = q.From.UnixMicro()
	}
	if !q.To.IsZero() {
		a["to"] = q.To.UnixMicro()
	}
	var points []apikey.UsagePoint
	err := s.read(ctx, func(x *session) error {
		points = nil
		if !isID(id) {
			return nil
		}
		rows, err := x.rows(ctx, s.sql.hours, a)
		if err != nil {
			return err
		}
		return eachRow(rows, func(scan func(...any) error) error {
			var hour int64
			var p apikey.UsagePoint
			err := scan(&hour, &p.Requests, &p.Limited, &p.Denied)
			p.Hour = timeOf(hour)
			points = append(points, p)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return points, nil
}
