package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// twoStores are two nodes on one database.
func twoStores(t *testing.T, d sqlstore.Dialect, cfg *sqlstore.Config) (db *sqltest.Database, one, two *sqlstore.Store) {
	t.Helper()
	db = sqltest.Open(t, d)
	return db, sqltest.StoreIn(t, db.DB, d, cfg), sqltest.StoreIn(t, db.Again(t, ""), d, cfg)
}

func TestCapOfTwoNodes(t *testing.T) {
	const creates, most = 50, 5
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		_, one, two := twoStores(t, d, nil)
		made := 0
		for _, err := range together(creates, func(i int) error {
			k := testKey(i, "acct")
			return []*sqlstore.Store{one, two}[i%2].Create(t.Context(), record(t, k), write(k, most))
		}) {
			if err == nil {
				made++
			} else {
				wantError(t, "Create", err, apikey.ErrKeyQuota)
			}
		}
		page, err := two.List(t.Context(), apikey.Query{Owner: "acct", Limit: creates})
		if err != nil {
			t.Fatal(err)
		}
		if made != most || len(page.Keys) != most {
			t.Errorf("%d Creates succeeded and there are %d keys, want %d", made, len(page.Keys), most)
		}
	})
}

// A change that comes too late is told so while a flush goes on that shares its
// key, on PostgreSQL: to wait for that one would be a deadlock with it now and then.
func TestConflictBesideFlush(t *testing.T) {
	d := sqlstore.PostgreSQL
	sqltest.Need(t, d)
	db, s, _ := twoStores(t, d, nil)
	k := testKey(1, "acct")
	mustCreate(t, s, k)
	flush := begin(t, db, d)
	b := apikey.UsageBatch{Node: "node", Seq: 1, Entries: []apikey.UsageEntry{usageEntry(k.ID, 1)}}
	if err := s.AddUsage(sqlstore.WithTx(t.Context(), flush), b); err != nil {
		t.Fatal(err)
	}
	k.Version++
	if err := s.Update(t.Context(), record(t, k), write(k, -1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	wantError(t, "Update of what was updated", s.Update(ctx, record(t, k), write(k, -1)), apikey.ErrConflict)
	if err := flush.Commit(); err != nil {
		t.Fatal(err)
	}
	wantError(t, "and after the flush", s.Update(t.Context(), record(t, k), write(k, -1)), apikey.ErrConflict)
}

// Twenty nodes add usage of the same keys, and a key is deleted meanwhile.
func TestUsageOfTwentyNodes(t *testing.T) {
	const nodes, batches, keys = 20, 10, 50
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db, one, two := twoStores(t, d, nil)
		var entries []apikey.UsageEntry
		for i := range keys {
			k := testKey(i, "acct")
			mustCreate(t, one, k)
			entries = append(entries, usageEntry(k.ID, 1))
		}
		gone := testKey(keys/2, "acct")
		errs := together(nodes+1, func(i int) error {
			if i == nodes {
				return one.Delete(t.Context(), gone.ID, write(gone, -1))
			}
			for seq := range int64(batches) {
				b := apikey.UsageBatch{Node: fmt.Sprint("node", i), Seq: seq + 1, Entries: entries}
				for range 2 {
					if err := []*sqlstore.Store{one, two}[i%2].AddUsage(t.Context(), b); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		page, err := two.List(t.Context(), apikey.Query{Owner: "acct", Limit: 1000})
		if err != nil || len(page.Keys) != keys-1 {
			t.Fatalf("%d keys, %v", len(page.Keys), err)
		}
		for _, k := range page.Keys {
			if k.Usage.Requests != nodes*batches {
				t.Errorf("key %s has %d requests, want %d", k.ID, k.Usage.Requests, nodes*batches)
			}
		}
		noOrphans(t, db)
	})
}

func noOrphans(t *testing.T, db *sqltest.Database) {
	t.Helper()
	for _, table := range []string{"usage", "hours"} {
		if n := count(t, db, "apikey_"+table+" WHERE key_id NOT IN (SELECT id FROM apikey_keys)"); n != 0 {
			t.Errorf("%d orphans in %s", n, table)
		}
	}
}

// One batch that is sent again while it is still under way counts once.
func TestBatchAtOnceWithItself(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		_, one, two := twoStores(t, d, nil)
		k := testKey(1, "acct")
		mustCreate(t, one, k)
		for seq := range int64(20) {
			b := apikey.UsageBatch{Node: "node", Seq: seq + 1, Entries: []apikey.UsageEntry{usageEntry(k.ID, 1)}}
			errs := together(6, func(i int) error { return []*sqlstore.Store{one, two}[i%2].AddUsage(t.Context(), b) })
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
		}
		page, err := one.List(t.Context(), apikey.Query{Owner: "acct", Limit: 1})
		if err != nil || page.Keys[0].Usage.Requests != 20 {
			t.Errorf("%v requests, %v; want 20", page.Keys[0].Usage.Requests, err)
		}
	})
}

// told is what a Watch told of.
type told struct {
	mu   sync.Mutex
	all  int
	refs map[string]int
}

func (w *told) changed(refs []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if refs == nil {
		w.all++
	}
	for _, ref := range refs {
		w.refs[ref]++
	}
}

func (w *told) read(ref string) (all, times int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all, w.refs[ref]
}

// eventually waits until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	end := time.After(20 * time.Second)
	for !f() {
		select {
		case <-end:
			t.Fatalf("not within 20 s: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func watching(t *testing.T, s *sqlstore.Store) *told {
	t.Helper()
	w := &told{refs: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Watch(ctx, w.changed) }()
	t.Cleanup(func() {
		cancel()
		wantError(t, "Watch", <-done, context.Canceled)
	})
	eventually(t, "changed(nil)", func() bool { all, _ := w.read(""); return all == 1 })
	return w
}

// A transaction that took its numbers early and commits late is told of, once.
func TestWatchOfAnotherNodeThatCommitsLate(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db, one, two := twoStores(t, d, nil)
		late, early, before := testKey(1, "acct"), testKey(2, "acct"), testKey(3, "acct")
		before.Alias = "~a:3"
		tx := begin(t, db, d)
		mustCreateIn(t, one, sqlstore.WithTx(t.Context(), tx), before) // before Watch begins
		if d == sqlstore.SQLite {                                      // where others would wait for it
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		w := watching(t, two)
		tx2 := begin(t, db, d)
		mustCreateIn(t, one, sqlstore.WithTx(t.Context(), tx2), late)
		if d != sqlstore.SQLite {
			mustCreate(t, one, early)
			eventually(t, "the one that committed first", func() bool { _, n := w.read(early.ID); return n == 1 })
			if _, n := w.read(late.ID); n != 0 {
				t.Error("told of what is not committed")
			}
		}
		if err := tx2.Commit(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the one that committed late", func() bool { _, n := w.read(late.ID); return n == 1 })
		if d != sqlstore.SQLite {
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the one that was begun before Watch", func() bool { _, n := w.read(before.Alias); return n == 1 })
		}
		last := testKey(9, "acct")
		mustCreate(t, one, last)
		eventually(t, "the last one", func() bool { _, n := w.read(last.ID); return n == 1 })
		for _, ref := range []string{late.ID, last.ID} {
			if all, n := w.read(ref); n != 1 || all != 1 {
				t.Errorf("told %d times of %s and %d times of all, want 1 and 1", n, ref, all)
			}
		}
	})
}

// So is one after a leap of the numbers, as there is one when Watch begins on a
// history from which all was pruned; on MariaDB, where the numbers lead.
func TestWatchAfterALeap(t *testing.T) {
	d := sqlstore.MySQL
	sqltest.Need(t, d)
	db, one, two := twoStores(t, d, nil)
	if _, err := db.ExecContext(t.Context(), "ALTER TABLE apikey_history AUTO_INCREMENT = 20001"); err != nil {
		t.Fatal(err)
	}
	w := watching(t, two)
	late, early := testKey(1, "acct"), testKey(2, "acct")
	tx := begin(t, db, d)
	mustCreateIn(t, one, sqlstore.WithTx(t.Context(), tx), late)
	mustCreate(t, one, early)
	eventually(t, "the one that committed first", func() bool { _, n := w.read(early.ID); return n == 1 })
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the one that committed late", func() bool { _, n := w.read(late.ID); return n == 1 })
}

func mustCreateIn(t *testing.T, s *sqlstore.Store, ctx context.Context, k *apikey.Key) { //nolint:revive // the ctx of a transaction
	t.Helper()
	if err := s.Create(ctx, record(t, k), write(k, -1)); err != nil {
		t.Fatal(err)
	}
}
