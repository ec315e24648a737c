//go:build linux

package faulttest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// writesFail runs load while the database takes no writes but can be read, and
// checks that keys are admitted meanwhile, and that after it all is well. fault
// begins it, mend ends it.
func writesFail(t *testing.T, db *sql.DB, m *apikey.Manager, fault, mend func()) {
	t.Helper()
	l, stop := startLoad(t, m, "first")
	wait(100 * time.Millisecond)
	fault()
	var acks int64
	for end := time.Now().Add(20 * time.Second); l.unavailable.Load()+l.unknown.Load() < 20 && time.Now().Before(end); {
		wait(10 * time.Millisecond)
	}
	acks = l.acks.Load()
	failed := l.unavailable.Load() + l.unknown.Load()
	mend()
	for end := time.Now().Add(20 * time.Second); l.acks.Load() < acks+20 && time.Now().Before(end); {
		wait(10 * time.Millisecond)
	}
	stop()
	if failed == 0 || l.acks.Load() <= acks {
		t.Errorf("%d writes failed; %d changes were acknowledged by the end of the fault, and %d later", failed, acks, l.acks.Load()-acks)
	}
	l.settle()
	whole(t, db)
	t.Logf("%d changes acknowledged, %d of unknown outcome, %d not applied", l.acks.Load(), l.unknown.Load(), l.unavailable.Load())
}

// switched opens each connection as it is told at the time.
type switched struct {
	driver driver.Driver
	file   string
	more   atomic.Pointer[string] // of the DSN
}

func (c *switched) Connect(context.Context) (driver.Conn, error) {
	return c.driver.Open(sqltest.SQLiteDSN(c.file) + *c.more.Load())
}

func (c *switched) Driver() driver.Driver { return c.driver }

func (c *switched) set(more string) func() { return func() { c.more.Store(&more) } }

// sqliteIn is a database and what opens its connections, one for each call.
func sqliteIn(t *testing.T, dir string) (*switched, *sql.DB, *apikey.Manager) {
	t.Helper()
	plain, err := sql.Open("sqlite", "")
	if err != nil {
		t.Fatal(err)
	}
	c := &switched{driver: plain.Driver(), file: filepath.Join(dir, "keys.db")}
	_ = plain.Close()
	c.set("")()
	db := sql.OpenDB(c)
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxIdleConns(-1)
	return c, db, newManager(t, sqltest.StoreIn(t, db, sqlstore.SQLite, nil), apikey.Config{})
}

func TestReadOnlySQLite(t *testing.T) {
	t.Parallel()
	c, db, m := sqliteIn(t, t.TempDir())
	writesFail(t, db, m, c.set("&_pragma=query_only(1)"), c.set(""))
}

func TestReadOnlyServer(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, d sqlstore.Dialect) {
		s := newServer(t, d, "")
		store, db := s.store("readonly")
		m := newManager(t, store, apikey.Config{})
		set := func(on bool) func() {
			return func() {
				admin := s.admin()
				defer func() { _ = admin.Close() }()
				statements := []string{fmt.Sprintf("SET GLOBAL read_only = %v", on)}
				if d == sqlstore.PostgreSQL {
					statements = []string{
						"SET default_transaction_read_only = off",
						fmt.Sprintf("ALTER SYSTEM SET default_transaction_read_only = %v", on), "SELECT pg_reload_conf()",
					}
				}
				conn, err := admin.Conn(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				for _, statement := range statements {
					if _, err := conn.ExecContext(context.Background(), statement); err != nil {
						t.Errorf("%s: %v", statement, err)
					}
				}
			}
		}
		writesFail(t, db, m, set(true), set(false))
	})
}

// full fills a small file system until mend, which frees it.
func full(t *testing.T, dir string) (fault, mend func()) {
	t.Helper()
	ballast := filepath.Join(dir, "ballast")
	return func() { fill(t, ballast) }, func() {
		if err := os.Remove(ballast); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
}

func TestDiskFullSQLite(t *testing.T) {
	t.Parallel()
	dir := tmpfs(t, "24m")
	_, db, m := sqliteIn(t, dir)
	fault, mend := full(t, dir)
	writesFail(t, db, m, fault, mend)
}

// The limit of SQLite itself, which needs no file system of its own: below what
// there is, it means no more than that.
func TestPagesFullSQLite(t *testing.T) {
	t.Parallel()
	c, db, m := sqliteIn(t, t.TempDir())
	writesFail(t, db, m, c.set("&_pragma=max_page_count(1)"), c.set(""))
}

func TestDiskFullServer(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, d sqlstore.Dialect) {
		binaries(t, d)
		dir := tmpfs(t, "96m")
		s := newServer(t, d, dir)
		store, db := s.store("disk")
		m := newManager(t, store, apikey.Config{})
		fault, mend := full(t, dir)
		writesFail(t, db, m, fault, func() {
			mend()
			s.waitReady() // a server may have given up
		})
	})
}
