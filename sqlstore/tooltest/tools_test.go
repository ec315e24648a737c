// Package tooltest has what sqlstore.Schema prints applied by other tools.
package tooltest

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	mysqlmigrate "github.com/golang-migrate/migrate/v4/database/mysql"
	pgxmigrate "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	sqlitemigrate "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/pressly/goose/v3"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// files are the migrations as a tool has them in a directory.
func files(t *testing.T, d sqlstore.Dialect, name, before string) fs.FS {
	t.Helper()
	all, err := sqlstore.Schema(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := fstest.MapFS{}
	for _, m := range all {
		dir[fmt.Sprintf(name, m.Version)] = &fstest.MapFile{Data: []byte(before + m.SQL())}
	}
	return dir
}

func TestGoose(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		dialect := map[sqlstore.Dialect]goose.Dialect{
			sqlstore.PostgreSQL: goose.DialectPostgres, sqlstore.MySQL: goose.DialectMySQL, sqlstore.SQLite: goose.DialectSQLite3,
		}[d]
		goes, err := goose.NewProvider(dialect, db.DB, files(t, d, "%05d_apikey.sql", "-- +goose Up\n"))
		if err != nil {
			t.Fatal(err)
		}
		done, err := goes.Up(t.Context())
		if err != nil || len(done) == 0 {
			t.Fatalf("%d migrations, %v", len(done), err)
		}
		used(t, db.DB, d)
		if done, err := goes.Up(t.Context()); err != nil || len(done) != 0 {
			t.Errorf("once more: %d migrations, %v", len(done), err)
		}
	})
}

func TestGolangMigrate(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		source, err := iofs.New(files(t, d, "%06d_apikey.up.sql", ""), ".")
		if err != nil {
			t.Fatal(err)
		}
		var driver database.Driver
		switch d {
		case sqlstore.PostgreSQL:
			driver, err = pgxmigrate.WithInstance(db.Again(t, ""), &pgxmigrate.Config{})
		case sqlstore.MySQL:
			driver, err = mysqlmigrate.WithInstance(db.Again(t, "multiStatements=true"), &mysqlmigrate.Config{})
		case sqlstore.SQLite:
			driver, err = sqlitemigrate.WithInstance(db.Again(t, ""), &sqlitemigrate.Config{})
		}
		if err != nil {
			t.Fatal(err)
		}
		tool, err := migrate.NewWithInstance("iofs", source, d.String(), driver)
		if err != nil {
			t.Fatal(err)
		}
		if err := tool.Up(); err != nil {
			t.Fatal(err)
		}
		used(t, db.DB, d)
		if err := tool.Up(); !errors.Is(err, migrate.ErrNoChange) {
			t.Errorf("once more: %v", err)
		}
		if err := errors.Join(tool.Close()); err != nil {
			t.Error(err)
		}
	})
}

// used makes a key in the tables, as they are.
func used(t *testing.T, db *sql.DB, d sqlstore.Dialect) {
	t.Helper()
	if err := sqlstore.Migrate(t.Context(), db, d, nil); err != nil {
		t.Errorf("Migrate, which should find nothing to do: %v", err)
	}
	s, err := sqlstore.New(db, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	rec, err := apikey.NewRecord(&apikey.Key{
		ID: "Key123456789", Owner: "acct", Name: "n", Environment: "live", CreatedAt: now, CreatedBy: "test", Version: 1,
		Secrets: []apikey.Secret{{N: 1, Prefix: "sk_", CreatedAt: now}},
	}, apikey.SumToken("t"))
	if err != nil {
		t.Fatal(err)
	}
	change := apikey.Change{At: now, Actor: "test", Action: "create", KeyID: rec.ID(), Owner: "acct"}
	if err := s.Create(t.Context(), rec, apikey.Write{Change: change, MaxKeys: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), rec.ID()); err != nil {
		t.Error(err)
	}
}
