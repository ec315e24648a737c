//go:build linux

package faulttest

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/go-apikey/apikey"
)

// settle compares what there is with what the workers were told, after they
// have ended and the database is back.
func (l *load) settle() {
	l.t.Helper()
	ctx := context.Background()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); wait(5 * time.Millisecond) {
		if err = l.m.Flush(ctx); err == nil {
			break
		}
	}
	if err != nil {
		l.t.Fatalf("Flush, with the database back for 20 s: %v", err)
	}
	there := l.stored()
	for _, k := range l.keys {
		l.settleKey(k, there[k.id])
		delete(there, k.id)
	}
	for id := range there {
		if !l.maybe[id] {
			l.t.Errorf("key %s is there, and its creation was neither acknowledged nor called unknown", id)
		}
	}
}

// stored are the keys of this round's owners, by ID.
func (l *load) stored() map[string]*apikey.Key {
	l.t.Helper()
	there, owners, live := map[string]*apikey.Key{}, map[string]bool{}, 0
	for _, k := range l.keys {
		owners[k.owner] = true
	}
	delete(owners, capped) // which earlier rounds have too
	for owner := range owners {
		for _, k := range l.list(owner) {
			there[k.ID] = k
		}
	}
	for _, k := range l.list(capped) {
		if k.Live(time.Now()) {
			live++
		}
		for _, mine := range l.keys {
			if mine.id == k.ID {
				there[k.ID] = k
			}
		}
	}
	if live > mostLive {
		l.t.Errorf("the owner with a cap of %d has %d live keys", mostLive, live)
	}
	return there
}

func (l *load) list(owner string) []*apikey.Key {
	l.t.Helper()
	var keys []*apikey.Key
	q := apikey.Query{Limit: 100}
	for {
		page, err := l.m.Keyring(owner, apikey.Operator("test")).List(context.Background(), q)
		if err != nil {
			l.t.Fatalf("List, with the database back: %v", err)
		}
		keys = append(keys, page.Keys...)
		if q.After = page.Next; q.After == "" {
			return keys
		}
	}
}

func (l *load) settleKey(k *tracked, key *apikey.Key) {
	l.t.Helper()
	if k.deleted || key == nil {
		if key != nil || !k.deleted && !k.vanishing {
			l.t.Errorf("key %s: there %v, deletion acknowledged %v, unknown %v", k.id, key != nil, k.deleted, k.vanishing)
		}
		return
	}
	if key.Version < k.acked || key.Version > k.acked+k.slack {
		l.t.Errorf("key %s has version %d; %d was acknowledged, and %d unknown since", k.id, key.Version, k.acked, k.slack)
	}
	if revoked := !key.RevokedAt.IsZero(); k.revoked && !revoked || revoked && !k.revoked && !k.dying {
		l.t.Errorf("key %s: revoked %v; acknowledged %v, unknown %v", k.id, revoked, k.revoked, k.dying)
	}
	if key.Usage.Requests != k.used || key.Usage.Denied != k.refused {
		l.t.Errorf("key %s was used %d times and refused %d times; counted are %d and %d", k.id, k.used, k.refused, key.Usage.Requests, key.Usage.Denied)
	}
	_, _, err := l.m.Verify(context.Background(), apikey.Request{Token: k.token})
	var denial *apikey.Denial
	switch {
	case err == nil && !key.RevokedAt.IsZero():
		l.t.Errorf("key %s is accepted, and it is revoked", k.id)
	case err == nil || errors.As(err, &denial) && (!key.RevokedAt.IsZero() || k.unsure):
	default:
		l.t.Errorf("key %s: %v", k.id, err)
	}
	for _, token := range k.ended {
		if _, _, err := l.m.Verify(context.Background(), apikey.Request{Token: token}); !errors.As(err, &denial) {
			l.t.Errorf("key %s: a token that was rotated away: %v, want a denial", k.id, err)
		}
	}
}

// halves are how a change can be there in half. Each query returns the keys of
// which it is so.
var halves = map[string]string{
	"a key without its name":          `SELECT id FROM apikey_keys WHERE id NOT IN (SELECT name FROM apikey_names WHERE key_id = id)`,
	"an alias without its name":       `SELECT id FROM apikey_keys WHERE alias IS NOT NULL AND alias NOT IN (SELECT name FROM apikey_names WHERE key_id = id)`,
	"a name of no key, not deleted":   `SELECT name FROM apikey_names WHERE key_id NOT IN (SELECT id FROM apikey_keys) AND key_id NOT IN (SELECT key_id FROM apikey_history WHERE entry LIKE '%"action":"delete"%')`,
	"history of another length":       `SELECT id FROM apikey_keys k WHERE version <> (SELECT COUNT(*) FROM apikey_history h WHERE h.key_id = k.id)`,
	"history of no key, not deleted":  `SELECT key_id FROM apikey_history WHERE key_id NOT IN (SELECT id FROM apikey_keys) AND key_id NOT IN (SELECT key_id FROM apikey_history WHERE entry LIKE '%"action":"delete"%')`,
	"a key that was deleted":          `SELECT id FROM apikey_keys WHERE id IN (SELECT key_id FROM apikey_history WHERE entry LIKE '%"action":"delete"%')`,
	"usage of no key":                 `SELECT key_id FROM apikey_usage WHERE key_id NOT IN (SELECT id FROM apikey_keys)`,
	"hours of no key":                 `SELECT key_id FROM apikey_hours WHERE key_id NOT IN (SELECT id FROM apikey_keys)`,
	"usage without a batch":           `SELECT key_id FROM apikey_usage WHERE NOT EXISTS (SELECT 1 FROM apikey_batches)`,
	"usage that is not that of hours": `SELECT key_id FROM apikey_usage u GROUP BY key_id HAVING SUM(requests) <> (SELECT SUM(requests) FROM apikey_hours h WHERE h.key_id = u.key_id) OR SUM(denied) <> (SELECT SUM(denied) FROM apikey_hours h WHERE h.key_id = u.key_id)`,
}

// whole looks for changes that are there in half.
func whole(tb interface {
	Helper()
	Errorf(format string, args ...any)
}, db *sql.DB,
) {
	tb.Helper()
	for what, query := range halves {
		rows, err := db.Query(query)
		if err != nil {
			tb.Errorf("%s: %v", what, err)
			continue
		}
		for n := 0; rows.Next(); n++ {
			var id string
			if err := rows.Scan(&id); err != nil || n < 3 {
				tb.Errorf("%s: %s %v", what, id, err)
			}
		}
		if err := rows.Err(); err != nil {
			tb.Errorf("%s: %v", what, err)
		}
		_ = rows.Close() //nolint:sqlclosecheck // before the next query
	}
	columns(tb, db)
}

// columns compares the columns of keys with the records that they are an index over.
func columns(tb interface {
	Helper()
	Errorf(format string, args ...any)
}, db *sql.DB,
) {
	tb.Helper()
	rows, err := db.Query(`SELECT id, COALESCE(alias, ''), owner, created_at, version, revoked_at, rotated_at, record FROM apikey_keys`)
	if err != nil {
		tb.Errorf("%v", err)
		return
	}
	defer func() { _ = rows.Close() }()
	type columns struct {
		id, alias, owner                   string
		created, version, revoked, rotated int64
	}
	for rows.Next() {
		var c columns
		var b []byte
		if err := rows.Scan(&c.id, &c.alias, &c.owner, &c.created, &c.version, &c.revoked, &c.rotated, &b); err != nil {
			tb.Errorf("%v", err)
			return
		}
		rec, err := apikey.ParseRecord(b)
		if err != nil {
			tb.Errorf("the record of %s: %v", c.id, err)
			continue
		}
		k := rec.Key()
		want := columns{k.ID, k.Alias, k.Owner, k.CreatedAt.UnixMicro(), k.Version, 0, k.Secrets[0].CreatedAt.UnixMicro()}
		if !k.RevokedAt.IsZero() {
			want.revoked = k.RevokedAt.UnixMicro()
		}
		if c != want {
			tb.Errorf("the columns of %s are %v, and its record says %v", c.id, c, want)
		}
	}
	if err := rows.Err(); err != nil {
		tb.Errorf("%v", err)
	}
}
