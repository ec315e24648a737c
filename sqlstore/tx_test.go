package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"testing"
	"time"

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

// The host's transaction may be of a pool of its own, also when the Store has
// prepared statements on its one.
func TestWithTxOfAnotherPool(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		s := sqltest.StoreIn(t, db.Again(t, ""), d, nil)
		k := testKey(1, "acct")
		mustCreate(t, s, k)
		use := func(ctx context.Context) {
			t.Helper()
			_, err := s.Get(ctx, k.ID)
			k.Version++
			if err := errors.Join(err, s.Update(ctx, record(t, k), write(k, 3))); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			use(t.Context())
			tx := begin(t, db, d)
			use(sqlstore.WithTx(t.Context(), tx))
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// endingCtx ends when somebody has asked for its Done so often.
type endingCtx struct {
	context.Context
	left atomic.Int64
	done chan struct{}
}

func (c *endingCtx) Done() <-chan struct{} {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
	return c.done
}

func (c *endingCtx) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// A call that fails leaves nothing behind in the host's transaction, wherever
// its ctx ends: the host may commit what else it did.
func TestWithTxWhenContextEnds(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		s := sqltest.StoreIn(t, db.DB, d, nil)
		mustCreate(t, s, testKey(999, "full"))
		failed := 0
		for n := range 30 {
			made, gone, over := testKey(n, "acct"), testKey(100+n, "acct"), testKey(200+n, "full")
			mustCreate(t, s, gone)
			for _, call := range []struct {
				k    *apikey.Key
				rows int // that there are if it fails
				do   func(ctx context.Context) error
			}{
				{made, 0, func(ctx context.Context) error { return s.Create(ctx, record(t, made), write(made, 1000)) }},
				{gone, 1, func(ctx context.Context) error { return s.Delete(ctx, gone.ID, write(gone, -1)) }},
				{over, 0, func(ctx context.Context) error { return s.Create(ctx, record(t, over), write(over, 1)) }},
			} {
				tx := begin(t, db, d)
				ctx := &endingCtx{Context: t.Context(), done: make(chan struct{})}
				ctx.left.Store(int64(n) + 1)
				if err := call.do(sqlstore.WithTx(ctx, tx)); err == nil {
					_ = tx.Rollback()
					continue
				}
				failed++
				if tx.Commit() != nil {
					continue
				}
				where := " WHERE key_id = '" + call.k.ID + "'"
				names, keys, changes := count(t, db, "apikey_names"+where), count(t, db, "apikey_keys WHERE id = '"+call.k.ID+"'"), count(t, db, "apikey_history"+where)
				if names != call.rows || keys != call.rows || changes != call.rows {
					t.Errorf("a call on %s that failed at step %d left %d names, %d keys and %d changes, want %d of each", call.k.ID, n, names, keys, changes, call.rows)
				}
			}
		}
		if failed < 30 { // at least those over the cap
			t.Errorf("%d calls failed", failed)
		}
	})
}

// On MariaDB a transaction that sees what was there when it began counts what is
// there now.
func TestCapInsideRepeatableReadMySQL(t *testing.T) {
	sqltest.Need(t, sqlstore.MySQL)
	db, one, two := twoStores(t, sqlstore.MySQL, nil)
	expired, other := testKey(1, "acct"), testKey(2, "acct")
	expired.ExpiresAt = epoch.Add(-time.Hour)
	mustCreate(t, one, expired)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	ctx := sqlstore.WithTx(t.Context(), tx)
	if _, err := one.Get(ctx, expired.ID); err != nil { // it sees what is there now
		t.Fatal(err)
	}
	if err := two.Create(t.Context(), record(t, other), write(other, 1)); err != nil {
		t.Fatal(err)
	}
	expired.ExpiresAt, expired.Version = time.Time{}, 2
	wantError(t, "Update over the cap", one.Update(ctx, record(t, expired), write(expired, 1)), apikey.ErrKeyQuota)
}

// A write waits for another process so long and no longer.
func TestBusyWait(t *testing.T) {
	const wait = 300 * time.Millisecond
	db := sqltest.Open(t, sqlstore.SQLite)
	s := sqltest.StoreIn(t, db.DB, sqlstore.SQLite, nil)
	s.SetBusyWait(wait)
	other := begin(t, db, sqlstore.SQLite)
	k := testKey(1, "acct")
	began := time.Now()
	wantError(t, "Create while another writes", s.Create(t.Context(), record(t, k), write(k, -1)), apikey.ErrNotApplied)
	if took := time.Since(began); took < wait || took > 30*wait {
		t.Errorf("it waited for %v, want %v", took, wait)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, s, k)
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
