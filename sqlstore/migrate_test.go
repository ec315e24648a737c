package sqlstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

func TestMigrateByTenAtOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		errs := together(10, func(int) error {
			return sqlstore.Migrate(t.Context(), db.Again(t, ""), d, nil)
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		mustCreate(t, sqltest.StoreIn(t, db.DB, d, nil), testKey(1, "acct"))
		if n := count(t, db, "apikey_schema"); n != 1 {
			t.Errorf("%d migrations are recorded, want 1", n)
		}
	})
}

func count(t *testing.T, db *sqltest.Database, table string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func mustExec(t *testing.T, db *sqltest.Database, statements ...string) {
	t.Helper()
	for _, text := range statements {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// What Schema prints is what Migrate does.
func TestSchemaAppliedByAnotherTool(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db, cfg := sqltest.Open(t, d), &sqlstore.Config{TablePrefix: "k2_"}
		all, err := sqlstore.Schema(d, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			for text := range strings.SplitSeq(strings.TrimSuffix(m.SQL(), ";\n"), ";\n\n") {
				mustExec(t, db, text)
			}
		}
		mustCreate(t, sqltest.StoreIn(t, db.DB, d, cfg), testKey(1, "acct"))
		if n := count(t, db, "k2_keys"); n != 1 {
			t.Errorf("%d keys in the table, want 1", n)
		}
	})
}

// wrongSchemas are made from a right one by statements.
var wrongSchemas = []struct {
	name       string
	statements []string
	says       string
	migrated   bool // Migrate makes it right
}{
	{"absent", dropAll(), "run Migrate", true},
	{"newer", []string{"INSERT INTO apikey_schema (version, done) VALUES (7, 1)"}, "update it", false},
	{"newer, and not done", []string{"INSERT INTO apikey_schema (version, done) VALUES (7, 0)"}, "update it", false},
	{"begun and not done", []string{"UPDATE apikey_schema SET done = 0"}, "was begun and not finished", false},
	{"a table is missing", []string{"DROP TABLE apikey_batches"}, "half made", false},
	{"the record of migrations is missing", []string{"DROP TABLE apikey_schema"}, "half made", false},
	{"the record of migrations is empty", []string{"DELETE FROM apikey_schema"}, "half made", false},
}

func dropAll() (statements []string) {
	for _, table := range []string{"schema", "names", "owners", "keys", "usage", "hours", "nodes", "batches", "history"} {
		statements = append(statements, "DROP TABLE apikey_"+table)
	}
	return statements
}

func TestWrongSchema(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		for _, wrong := range wrongSchemas {
			t.Run(wrong.name, func(t *testing.T) {
				db := sqltest.Open(t, d)
				sqltest.StoreIn(t, db.DB, d, nil)
				mustExec(t, db, wrong.statements...)
				before := tables(t, db, d)
				s, err := sqlstore.New(db.DB, d, nil)
				if err != nil {
					t.Fatal(err)
				}
				k := testKey(1, "acct")
				_, get := s.Get(t.Context(), k.ID)
				wantError(t, "Get", get, sqlstore.ErrSchema)
				create := s.Create(t.Context(), record(t, k), write(k, -1))
				wantError(t, "Create", create, sqlstore.ErrSchema, apikey.ErrNotApplied)
				if create != nil && !strings.Contains(create.Error(), wrong.says) {
					t.Errorf("Create: %v; it should say %q", create, wrong.says)
				}
				wantError(t, "Watch", s.Watch(t.Context(), func([]string) { t.Error("changed was called") }), sqlstore.ErrSchema)
				if now := tables(t, db, d); now != before {
					t.Errorf("the tables were %s and are %s", before, now)
				}
				err = sqlstore.Migrate(t.Context(), db.DB, d, nil)
				if wrong.migrated {
					if err != nil {
						t.Fatal(err)
					}
					mustCreate(t, s, k) // which looks again
					return
				}
				wantError(t, "Migrate", err, sqlstore.ErrSchema)
				if now := tables(t, db, d); now != before {
					t.Errorf("before Migrate failed the tables were %s, after it %s", before, now)
				}
			})
		}
	})
}

// tables are the tables there are.
func tables(t *testing.T, db *sqltest.Database, d sqlstore.Dialect) (names string) {
	t.Helper()
	query := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1",
		sqlstore.MySQL:      "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1",
		sqlstore.SQLite:     "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1",
	}[d]
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names += name + " "
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestConfig(t *testing.T) {
	db := sqltest.Open(t, sqlstore.SQLite).DB
	for _, prefix := range []string{"A_", "1a", "_a", "a-b", "a b", `a"`, "a;", "é", strings.Repeat("a", 31)} {
		cfg := &sqlstore.Config{TablePrefix: prefix}
		_, err := sqlstore.New(db, sqlstore.SQLite, cfg)
		wantError(t, fmt.Sprintf("New with the prefix %q", prefix), err, apikey.ErrInvalid)
		wantError(t, fmt.Sprintf("Migrate with the prefix %q", prefix), sqlstore.Migrate(t.Context(), db, sqlstore.SQLite, cfg), apikey.ErrInvalid)
	}
	for _, cfg := range []*sqlstore.Config{{KeepHistory: 1}, {KeepUsage: 1}, {PollInterval: -1}} {
		_, err := sqlstore.New(db, sqlstore.SQLite, cfg)
		wantError(t, "New", err, apikey.ErrInvalid)
	}
	_, err := sqlstore.New(db, 0, nil)
	wantError(t, "New without a dialect", err, apikey.ErrInvalid)
	_, err = sqlstore.New(nil, sqlstore.SQLite, nil)
	wantError(t, "New without a database", err, apikey.ErrInvalid)
}
