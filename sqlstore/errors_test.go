package sqlstore_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	mysql "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

func TestErrorsOfDrivers(t *testing.T) {
	for _, c := range []struct {
		d     sqlstore.Dialect
		err   error
		again bool
	}{
		{sqlstore.PostgreSQL, &pgconn.PgError{Code: "40001"}, true},
		{sqlstore.PostgreSQL, fmt.Errorf("x: %w", &pgconn.PgError{Code: "40P01"}), true},
		{sqlstore.PostgreSQL, &pgconn.PgError{Code: "57P01"}, true},
		{sqlstore.PostgreSQL, &pgconn.PgError{Code: "23505"}, false},
		{sqlstore.PostgreSQL, &pgconn.PgError{Code: "57014"}, false},
		{sqlstore.MySQL, &mysql.MySQLError{Number: 1213}, true},
		{sqlstore.MySQL, &mysql.MySQLError{Number: 1205, SQLState: [5]byte([]byte("HY000"))}, true},
		{sqlstore.MySQL, fmt.Errorf("x: %w", &mysql.MySQLError{Number: 1213, Message: "Deadlock"}), true},
		{sqlstore.MySQL, &mysql.MySQLError{Number: 1062, Message: "1213"}, false},
		{sqlstore.MySQL, &mysql.MySQLError{Number: 12130}, false},
		{sqlstore.MySQL, mysql.ErrInvalidConn, true},
		{sqlstore.SQLite, errors.New("database is locked"), true},
		{sqlstore.SQLite, errors.New("disk full"), false},
		{sqlstore.SQLite, driver.ErrBadConn, true},
		{sqlstore.PostgreSQL, &net.OpError{Op: "read", Err: io.EOF}, true},
		{sqlstore.PostgreSQL, io.ErrUnexpectedEOF, true},
		{sqlstore.PostgreSQL, errors.New("Error 1213"), false},
	} {
		if got := sqlstore.Again(c.d, c.err); got != c.again {
			t.Errorf("%v: %v is to be tried again: %v, want %v", c.d, c.err, got, c.again)
		}
	}
}

// While another connection writes, SQLite says that it is locked.
func TestBusySQLite(t *testing.T) {
	db := sqltest.Open(t, sqlstore.SQLite)
	impatient := db.Again(t, "&_pragma=busy_timeout(0)")
	s := sqltest.StoreIn(t, impatient, sqlstore.SQLite, nil)
	k := testKey(1, "acct")
	tx := begin(t, db, sqlstore.SQLite)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.Create(ctx, record(t, k), write(k, -1))
	wantError(t, "Create", err, context.DeadlineExceeded, apikey.ErrNotApplied)
	done := make(chan error, 1)
	go func() { done <- s.Create(t.Context(), record(t, k), write(k, -1)) }()
	select {
	case err := <-done:
		t.Errorf("Create while another writes: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Who reads waits for nobody who writes, thanks to the WAL, nor does who opens
// the file to read: without it each of these would be locked out.
func TestReadBesideWriteSQLite(t *testing.T) {
	db := sqltest.Open(t, sqlstore.SQLite)
	impatient := db.Again(t, "&_pragma=busy_timeout(0)")
	impatient.SetMaxIdleConns(-1)
	s := sqltest.StoreIn(t, impatient, sqlstore.SQLite, nil)
	k := testKey(1, "acct")
	mustCreate(t, s, k)
	tx, err := db.Again(t, "&_txlock=exclusive").BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), "DELETE FROM apikey_keys"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := s.Get(ctx, k.ID); err != nil {
		t.Errorf("Get: %v", err)
	}
	if page, err := s.List(ctx, apikey.Query{Owner: "acct", Limit: 10}); err != nil || len(page.Keys) != 1 {
		t.Errorf("List: %v, %v", page.Keys, err)
	}
}

// Connections that were cut while they were idle are none of the caller's.
func TestCutConnections(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		if d == sqlstore.SQLite {
			t.Skip("has none")
		}
		db := sqltest.Open(t, d)
		s := sqltest.StoreIn(t, db.DB, d, nil)
		for i := range 5 {
			k := testKey(i, "acct")
			mustCreate(t, s, k)
			cut(t, db, d)
			if _, err := s.Get(t.Context(), k.ID); err != nil {
				t.Fatal(err)
			}
			cut(t, db, d)
			k.Version = 2
			if err := s.Update(t.Context(), record(t, k), write(k, 10)); err != nil {
				t.Fatal(err)
			}
			cut(t, db, d)
		}
	})
}

// cut ends all connections to the test's database but the one that does it.
func cut(t *testing.T, db *sqltest.Database, d sqlstore.Dialect) {
	t.Helper()
	admin := db.Again(t, "")
	defer func() { _ = admin.Close() }()
	admin.SetMaxOpenConns(1)
	if d == sqlstore.PostgreSQL {
		if _, err := admin.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE pid <> pg_backend_pid() AND query LIKE '%apikey_%' AND datname = current_database() AND application_name = $1`, db.Name); err != nil {
			t.Fatal(err)
		}
		return
	}
	rows, err := admin.QueryContext(t.Context(), "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []int
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		all = append(all, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, id := range all {
		_, _ = admin.ExecContext(t.Context(), fmt.Sprint("KILL ", id)) // it may be gone
	}
}
