package sqlstore_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

func checkDurability(t *testing.T, db *sql.DB, d sqlstore.Dialect, says string) {
	t.Helper()
	err := sqltest.StoreIn(t, db, d, nil).CheckDurability(t.Context())
	if says == "" && err != nil {
		t.Errorf("CheckDurability: %v, want nil", err)
	}
	if says == "" {
		return
	}
	wantError(t, "CheckDurability", err, sqlstore.ErrNotDurable)
	if err != nil && !strings.Contains(err.Error(), says) {
		t.Errorf("CheckDurability: %v, want it to say %q", err, says)
	}
}

func TestCheckDurabilityOfSQLite(t *testing.T) {
	for pragmas, says := range map[string]string{
		"": "",
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)":      "",
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(EXTRA)":     "",
		"?_pragma=journal_mode(DELETE)&_pragma=synchronous(NORMAL)": "",
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)":    "NORMAL with WAL",
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)":       "synchronous is OFF",
		"?_pragma=journal_mode(MEMORY)":                             "journal_mode",
		"?_pragma=journal_mode(OFF)":                                "journal_mode",
	} {
		db, err := sql.Open("sqlite", "file:"+t.TempDir()+"/keys.db"+pragmas)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		checkDurability(t, db, sqlstore.SQLite, says)
	}
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	checkDurability(t, db, sqlstore.SQLite, "in memory")
}

func TestCheckDurabilityOfPostgreSQL(t *testing.T) {
	db := sqltest.Open(t, sqlstore.PostgreSQL)
	checkDurability(t, db.DB, sqlstore.PostgreSQL, "")
	checkDurability(t, db.Again(t, "&synchronous_commit=local"), sqlstore.PostgreSQL, "")
	checkDurability(t, db.Again(t, "&synchronous_commit=off"), sqlstore.PostgreSQL, "synchronous_commit")
	mustExec(t, db, "ALTER TABLE apikey_history SET UNLOGGED")
	checkDurability(t, db.DB, sqlstore.PostgreSQL, "unlogged")
}

func TestCheckDurabilityOfMySQL(t *testing.T) {
	db := sqltest.Open(t, sqlstore.MySQL)
	checkDurability(t, db.DB, sqlstore.MySQL, "")
	for _, value := range []string{"0", "2"} {
		mustExec(t, db, "SET GLOBAL innodb_flush_log_at_trx_commit = "+value)
		checkDurability(t, db.DB, sqlstore.MySQL, "innodb_flush_log_at_trx_commit")
		mustExec(t, db, "SET GLOBAL innodb_flush_log_at_trx_commit = 1")
	}
	mustExec(t, db, "ALTER TABLE apikey_history ENGINE = MyISAM")
	checkDurability(t, db.DB, sqlstore.MySQL, "InnoDB")
}
