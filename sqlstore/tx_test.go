package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// begin begins a transaction of a host's, as WithTx asks for.
func begin(t *testing.T, db *sqltest.Database, d sqlstore.Dialect) *sql.Tx {
	t.Helper()
	pool, opts := db.DB, &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	if d == sqlstore.SQLite {
		pool, opts = db.Again(t, "&_txlock=immediate"), nil
	}
	tx, err := pool.BeginTx(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func TestWithTx(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		for _, commit := range []bool{true, false} {
			db := sqltest.Open(t, d)
			s := sqltest.StoreIn(t, db.DB, d, nil)
			old, fresh, gone := testKey(1, "acct"), testKey(2, "acct"), testKey(3, "acct")
			mustCreate(t, s, old, gone)
			tx := begin(t, db, d)
			ctx := sqlstore.WithTx(t.Context(), tx)
			old.Version = 2
			if err := errors.Join(
				s.Create(ctx, record(t, fresh), write(fresh, 3)), s.Update(ctx, record(t, old), write(old, 3)),
				s.Delete(ctx, gone.ID, write(gone, -1)),
				s.AddUsage(ctx, apikey.UsageBatch{Node: "n", Seq: 1, Entries: []apikey.UsageEntry{usageEntry(old.ID, 5)}}),
			); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Get(ctx, fresh.ID); err != nil {
				t.Errorf("Get inside the transaction: %v", err)
			}
			_, err := s.Get(t.Context(), fresh.ID)
			wantError(t, "Get outside of it", err, apikey.ErrNotFound)
			end, want := tx.Rollback, "Key000000003 Key000000001 "
			if commit {
				end, want = tx.Commit, "Key000000002 Key000000001 "
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
			if got := ids(t, s, "acct"); got != want {
				t.Errorf("commit %v: the keys are %s, want %s", commit, got, want)
			}
			page, err := s.List(t.Context(), apikey.Query{Owner: "acct", IDs: []string{old.ID}, Limit: 1})
			if err != nil || (page.Keys[0].Version == 2) != commit || (page.Keys[0].Usage.Requests == 5) != commit {
				t.Errorf("commit %v: %v, %v", commit, page.Keys, err)
			}
		}
	})
}

func ids(t *testing.T, s *sqlstore.Store, owner string) (all string) {
	t.Helper()
	page, err := s.List(t.Context(), apikey.Query{Owner: owner, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range page.Keys {
		all += k.ID + " "
	}
	return all
}

// A write that is refused leaves nothing in a transaction that goes on.
func TestRefusedInsideWithTx(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		s := sqltest.StoreIn(t, db.DB, d, nil)
		first, second := testKey(1, "acct"), testKey(2, "acct")
		first.Alias = "~a:1"
		mustCreate(t, s, first)
		tx := begin(t, db, d)
		ctx := sqlstore.WithTx(t.Context(), tx)
		wantError(t, "Create above the cap", s.Create(ctx, record(t, second), write(second, 1)), apikey.ErrKeyQuota)
		taken := testKey(3, "acct")
		taken.Alias = first.Alias
		wantError(t, "Create with a taken alias", s.Create(ctx, record(t, taken), write(taken, -1)), apikey.ErrExists)
		wantError(t, "Update", s.Update(ctx, record(t, first), write(first, -1)), apikey.ErrConflict)
		wantError(t, "Delete", s.Delete(ctx, second.ID, write(second, -1)), apikey.ErrNotFound)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		mustCreate(t, s, second, testKey(3, "acct"))
		if n := count(t, db, "apikey_names"); n != 4 {
			t.Errorf("%d names are taken, want 4", n)
		}
		if n := count(t, db, "apikey_history"); n != 3 {
			t.Errorf("%d changes are stored, want 3", n)
		}
	})
}

func TestCapInsideRepeatableRead(t *testing.T) {
	sqltest.Need(t, sqlstore.PostgreSQL)
	db := sqltest.Open(t, sqlstore.PostgreSQL)
	s := sqltest.StoreIn(t, db.DB, sqlstore.PostgreSQL, nil)
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	k := testKey(1, "acct")
	err = s.Create(sqlstore.WithTx(t.Context(), tx), record(t, k), write(k, 5))
	wantError(t, "Create with a cap at REPEATABLE READ", err, apikey.ErrNotApplied)
}

// A host with one connection must not wait for itself.
func TestOneConnection(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		db.SetMaxOpenConns(1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := sqltest.StoreIn(t, db.DB, d, nil)
		k := testKey(1, "acct")
		if d != sqlstore.SQLite { // whose transaction of a host needs a DSN of its own
			tx := begin(t, db, d)
			if err := s.Create(sqlstore.WithTx(ctx, tx), record(t, k), write(k, 5)); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		} else {
			mustCreate(t, s, k)
		}
		if got := ids(t, s, "acct"); got != k.ID+" " {
			t.Errorf("the keys are %s", got)
		}
	})
}
