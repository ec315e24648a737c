// Package sqltest opens databases for tests: SQLite in a file of its own, and
// PostgreSQL and MariaDB where a server answers.
package sqltest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	mysql "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	_ "modernc.org/sqlite"             // the driver

	"github.com/go-apikey/apikey/sqlstore"
)

// Dialects are all there are.
func Dialects() []sqlstore.Dialect {
	return []sqlstore.Dialect{sqlstore.SQLite, sqlstore.PostgreSQL, sqlstore.MySQL}
}

// Each runs a subtest for each dialect, beside one another: most of what they do
// is to wait for the disk. Those without a server are skipped.
func Each(t *testing.T, f func(t *testing.T, d sqlstore.Dialect)) {
	t.Helper()
	for _, d := range Dialects() {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			Need(t, d)
			f(t, d)
		})
	}
}

// Database is an empty database of one test.
type Database struct {
	*sql.DB
	Driver, DSN string // for a connection with other settings
	Name        string // of its own on the server; on PostgreSQL also the application_name of its connections
}

// Open makes an empty database and removes it when the test is over. It skips
// the test if no server answers, unless APIKEY_REQUIRE names it.
func Open(tb testing.TB, d sqlstore.Dialect) *Database {
	tb.Helper()
	Need(tb, d)
	name, dsn := "apikey_test_"+random(), ""
	switch d {
	case sqlstore.PostgreSQL:
		dsn = newSchema(tb, name)
	case sqlstore.MySQL:
		dsn = newDatabase(tb, name)
	default:
		dsn = SQLiteDSN(filepath.Join(tb.TempDir(), "keys.db"))
	}
	db := &Database{Driver: driverOf(d), DSN: dsn, Name: name}
	db.DB = db.Again(tb, "")
	return db
}

// Again opens the same database once more, with something added to the DSN.
func (db *Database) Again(tb testing.TB, more string) *sql.DB {
	tb.Helper()
	again, err := sql.Open(db.Driver, db.DSN+more)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = again.Close() })
	again.SetMaxOpenConns(20)
	again.SetMaxIdleConns(20)
	return again
}

// Store is a Store in an empty database.
func Store(tb testing.TB, d sqlstore.Dialect, cfg *sqlstore.Config) *sqlstore.Store {
	tb.Helper()
	return StoreIn(tb, Open(tb, d).DB, d, cfg)
}

// StoreIn is a Store in db, migrated.
func StoreIn(tb testing.TB, db *sql.DB, d sqlstore.Dialect, cfg *sqlstore.Config) *sqlstore.Store {
	tb.Helper()
	if cfg == nil {
		cfg = &sqlstore.Config{PollInterval: 20 * time.Millisecond}
	}
	if err := sqlstore.Migrate(tb.Context(), db, d, cfg); err != nil {
		tb.Fatal(err)
	}
	s, err := sqlstore.New(db, d, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// SQLiteDSN is of a file, set as the docs say.
func SQLiteDSN(file string) string {
	return "file:" + file + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(1000)"
}

// Need skips the test if no server of the dialect answers, or fails it if
// APIKEY_REQUIRE names it: a list of postgres and mariadb.
func Need(tb testing.TB, d sqlstore.Dialect) {
	tb.Helper()
	name := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "postgres", sqlstore.MySQL: "mariadb"}[d]
	if name == "" {
		return
	}
	admin, err := sql.Open(driverOf(d), serverOf(d))
	if err == nil {
		defer func() { _ = admin.Close() }()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = admin.PingContext(ctx)
	}
	switch required := strings.Split(os.Getenv("APIKEY_REQUIRE"), ","); {
	case err == nil:
	case slices.Contains(required, name):
		tb.Fatalf("APIKEY_REQUIRE names %s, and no server answers: %v", name, err)
	default:
		tb.Skipf("no server of %s answers: %v", name, err)
	}
}

func driverOf(d sqlstore.Dialect) string {
	return map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "pgx", sqlstore.MySQL: "mysql", sqlstore.SQLite: "sqlite"}[d]
}

// serverOf is the DSN of the server, from APIKEY_POSTGRES or APIKEY_MARIADB.
func serverOf(d sqlstore.Dialect) string {
	if d == sqlstore.PostgreSQL {
		if dsn := os.Getenv("APIKEY_POSTGRES"); dsn != "" {
			return dsn
		}
		return "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable"
	}
	if dsn := os.Getenv("APIKEY_MARIADB"); dsn != "" {
		return dsn
	}
	return "root@tcp(127.0.0.1:3306)/"
}

func newSchema(tb testing.TB, name string) string {
	tb.Helper()
	admin(tb, sqlstore.PostgreSQL, "CREATE SCHEMA "+name, "DROP SCHEMA "+name+" CASCADE")
	u, err := url.Parse(serverOf(sqlstore.PostgreSQL))
	if err != nil {
		tb.Fatal(err)
	}
	values := u.Query()
	values.Set("search_path", name)
	values.Set("application_name", name)
	u.RawQuery = values.Encode()
	return u.String()
}

func newDatabase(tb testing.TB, name string) string {
	tb.Helper()
	admin(tb, sqlstore.MySQL, "CREATE DATABASE "+name, "DROP DATABASE "+name)
	cfg, err := mysql.ParseDSN(serverOf(sqlstore.MySQL))
	if err != nil {
		tb.Fatal(err)
	}
	cfg.DBName = name
	cfg.Logger = nil
	cfg.Params = map[string]string{}
	return cfg.FormatDSN() + "?"
}

// admin runs a statement now and another at the end of the test.
func admin(tb testing.TB, d sqlstore.Dialect, now, after string) {
	tb.Helper()
	db, err := sql.Open(driverOf(d), serverOf(d))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := db.ExecContext(tb.Context(), now); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		defer func() { _ = db.Close() }()
		_, err := db.ExecContext(context.Background(), after)
		for n := 0; err != nil && n < 5; n++ { // a statement whose context ended may go on for a moment on the server, and be a deadlock
			_, err = db.ExecContext(context.Background(), after)
		}
		if err != nil {
			tb.Error(err)
		}
	})
}

func random() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
