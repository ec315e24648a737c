//go:build linux

package faulttest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
)

var epoch = time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)

// subject are the keys of one run of an operation: one that is there, with an
// alias and usage, and one that is not.
type subject struct{ base, fresh, owner string }

func newSubject(n int) *subject {
	return &subject{base: fmt.Sprintf("Base%08d", n), fresh: fmt.Sprintf("Frsh%08d", n), owner: fmt.Sprintf("acct-%08d", n)}
}

func (x *subject) key(id string, version int64) *apikey.Key {
	return &apikey.Key{
		ID: id, Alias: "~a:" + id, Owner: x.owner, Name: "A key", Environment: "live", CreatedAt: epoch, CreatedBy: "test",
		Secrets: []apikey.Secret{{N: 1, Prefix: "sk_", CreatedAt: epoch}}, Version: version,
	}
}

func (x *subject) write(action, id string, most int) apikey.Write {
	return apikey.Write{Change: apikey.Change{At: epoch, Actor: "test", Action: action, KeyID: id, Owner: x.owner}, MaxKeys: most}
}

func (x *subject) batch(seq int64) apikey.UsageBatch {
	return apikey.UsageBatch{Node: "node-" + x.owner, Seq: seq, Entries: []apikey.UsageEntry{{
		KeyID: x.base, Secret: 1, Hour: epoch, LastUsed: epoch.Add(time.Minute), Requests: 3, Denied: 1,
	}}}
}

func record(k *apikey.Key) (*apikey.Record, error) {
	return apikey.NewRecord(k, apikey.SumToken(k.ID))
}

// create makes a key of the subject.
func (x *subject) create(ctx context.Context, s *sqlstore.Store, id string) error {
	rec, err := record(x.key(id, 1))
	if err != nil {
		return err
	}
	return s.Create(ctx, rec, x.write("create", id, 5))
}

// operation is a call of a Store.
type operation struct {
	name   string
	writes bool
	do     func(ctx context.Context, s *sqlstore.Store, x *subject) error
}

var errWrongAnswer = errors.New("the answer is wrong")

func right(err error, ok bool) error {
	if err == nil && !ok {
		return errWrongAnswer
	}
	return err
}

var operations = []operation{
	{"Create", true, func(ctx context.Context, s *sqlstore.Store, x *subject) error { return x.create(ctx, s, x.fresh) }},
	{"Update", true, func(ctx context.Context, s *sqlstore.Store, x *subject) error { return x.revoke(ctx, s, -1) }},
	{"Update with a cap", true, func(ctx context.Context, s *sqlstore.Store, x *subject) error { return x.revoke(ctx, s, 5) }},
	{"Delete", true, func(ctx context.Context, s *sqlstore.Store, x *subject) error {
		return s.Delete(ctx, x.base, x.write("delete", x.base, -1))
	}},
	{"AddUsage", true, func(ctx context.Context, s *sqlstore.Store, x *subject) error { return s.AddUsage(ctx, x.batch(2)) }},
	{"Get", false, func(ctx context.Context, s *sqlstore.Store, x *subject) error {
		rec, err := s.Get(ctx, x.base)
		return right(err, err != nil || rec.Key().ID == x.base)
	}},
	{"Get by alias", false, func(ctx context.Context, s *sqlstore.Store, x *subject) error {
		rec, err := s.Get(ctx, "~a:"+x.base)
		return right(err, err != nil || rec.Key().ID == x.base)
	}},
	{"List", false, func(ctx context.Context, s *sqlstore.Store, x *subject) error {
		page, err := s.List(ctx, apikey.Query{Owner: x.owner, Limit: 10})
		return right(err, len(page.Keys) == 1 && page.Keys[0].Usage.Requests == 3 && page.Next == "")
	}},
	{"List with filters", false, func(ctx context.Context, s *sqlstore.Store, x *subject) error {
		page, err := s.List(ctx, apikey.Query{Owner: x.owner, Limit: 10, Text: "key", At: epoch})
		return right(err, len(page.Keys) == 1 && len(page.Keys[0].Usage.LastUsed) == 1)
	}},
	{"Usage", false, func(ctx context.Context, s *sqlstore.Store, x *subject) error {
		points, err := s.Usage(ctx, x.base, apikey.UsageQuery{})
		return right(err, len(points) == 1)
	}},
	{"History", false, func(ctx context.Context, s *sqlstore.Store, x *subject) error {
		page, err := s.History(ctx, apikey.HistoryQuery{Owner: x.owner, Limit: 10})
		return right(err, len(page.Changes) == 1)
	}},
}

func (x *subject) revoke(ctx context.Context, s *sqlstore.Store, most int) error {
	k := x.key(x.base, 2)
	k.RevokedAt = epoch
	rec, err := record(k)
	if err != nil {
		return err
	}
	return s.Update(ctx, rec, x.write("revoke", x.base, most))
}

// bench is a database on which operations are run again and again.
type bench struct {
	t     *testing.T
	db    *sql.DB // that never fails
	store *sqlstore.Store
	n     int
}

// subject makes the next one.
func (b *bench) subject() *subject {
	b.t.Helper()
	b.n++
	x := newSubject(b.n)
	if err := errors.Join(x.create(b.t.Context(), b.store, x.base), b.store.AddUsage(b.t.Context(), x.batch(1))); err != nil {
		b.t.Fatal(err)
	}
	return x
}

// stored is all that the tables have of the subject, with names in the place of
// what differs between subjects.
func (b *bench) stored(x *subject) string {
	b.t.Helper()
	var all []string
	for table, columns := range map[string]string{
		"names WHERE key_id": "name", "usage WHERE key_id": "secret, requests, denied, last_used", "hours WHERE key_id": "hour, requests, denied",
		"batches WHERE key_ids": "node, slot, seq", "history WHERE key_id": "owner, alias, entry",
		"keys WHERE id": "version, owner, alias, revoked_at, record",
	} {
		all = append(all, b.rows(table, "SELECT "+columns+" FROM apikey_"+table+" IN ('"+x.base+"', '"+x.fresh+"')")...)
	}
	slices.Sort(all)
	return strings.NewReplacer(x.base, "BASE", x.fresh, "FRESH", x.owner, "OWNER").Replace(strings.Join(all, "\n"))
}

func (b *bench) rows(table, query string) (all []string) {
	b.t.Helper()
	rows, err := b.db.Query(query)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	names, _ := rows.Columns()
	for rows.Next() {
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			b.t.Fatal(err)
		}
		row := table
		for i, v := range values {
			if names[i] == "record" {
				v.String = recordText(v.String)
			}
			row += fmt.Sprint(" ", names[i], "=", v.String)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		b.t.Fatal(err)
	}
	return all
}

func recordText(b string) string {
	rec, err := apikey.ParseRecord([]byte(b))
	if err != nil {
		return err.Error()
	}
	text, err := json.Marshal(rec.Key())
	return fmt.Sprint(string(text), err)
}

// reference is what is stored before and after an operation that nothing befalls.
func (b *bench) reference(op *operation) (before, after string) {
	b.t.Helper()
	x := b.subject()
	before = b.stored(x)
	if err := op.do(b.t.Context(), b.store, x); err != nil {
		b.t.Fatal(err)
	}
	after = b.stored(x)
	if op.writes == (before == after) {
		b.t.Fatalf("%s: before it there is\n%s\nand after it\n%s", op.name, before, after)
	}
	return before, after
}

// judge compares what an operation answered with what it did.
func (b *bench) judge(what string, op *operation, x *subject, err error, before, after string, mayBeUnknown bool) {
	b.t.Helper()
	now := b.stored(x)
	switch {
	case now != before && now != after:
		b.t.Errorf("%s: half of it is there:\n%s\nbefore it was\n%s", what, now, before)
	case err == nil && now != after:
		b.t.Errorf("%s: acknowledged, and not there", what)
	case err == nil:
	case errors.Is(err, errWrongAnswer), errors.Is(err, apikey.ErrNotFound), errors.Is(err, apikey.ErrExists),
		errors.Is(err, apikey.ErrConflict), errors.Is(err, apikey.ErrKeyQuota):
		b.t.Errorf("%s: %v", what, err)
	case !op.writes:
	case errors.Is(err, apikey.ErrNotApplied) && now != before:
		b.t.Errorf("%s: it is there, and the error says that nothing was written: %v", what, err)
	case !errors.Is(err, apikey.ErrNotApplied) && !mayBeUnknown:
		b.t.Errorf("%s: nothing can have been written, and the error does not say so: %v", what, err)
	}
}
