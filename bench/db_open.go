package bench

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	mysql "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	_ "modernc.org/sqlite"             // the driver

	"github.com/go-apikey/apikey/sqlstore"
)

// database is an empty one of a subject's own.
type database struct {
	*sql.DB
	dialect sqlstore.Dialect
	close   func() // and removes it
}

// openDatabase makes one: SQLite in a file, else on the server that
// APIKEY_POSTGRES or APIKEY_MARIADB names, or on this machine. Its error wraps
// ErrAbsent if no server answers.
func openDatabase(ctx context.Context, d sqlstore.Dialect) (*database, error) {
	switch d {
	case sqlstore.PostgreSQL:
		return openPostgres(ctx)
	case sqlstore.MySQL:
		return openMariaDB(ctx)
	default:
		return openSQLite()
	}
}

func openSQLite() (*database, error) {
	dir, err := os.MkdirTemp("", "apikey_bench_")
	if err != nil {
		return nil, err
	}
	dsn := "file:" + filepath.Join(dir, "keys.db") +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(1000)&_txlock=immediate"
	db, err := openPool("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	return &database{db, sqlstore.SQLite, func() { _ = db.Close(); _ = os.RemoveAll(dir) }}, nil
}

func openPostgres(ctx context.Context) (*database, error) {
	dsn := os.Getenv("APIKEY_POSTGRES")
	if dsn == "" {
		dsn = "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable"
	}
	admin, err := openServer(ctx, "pgx", dsn, "PostgreSQL")
	if err != nil {
		return nil, err
	}
	name := databaseName()
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, err
	}
	values := u.Query()
	values.Set("search_path", name)
	u.RawQuery = values.Encode()
	return openOn(ctx, admin, sqlstore.PostgreSQL, "pgx", u.String(), "CREATE SCHEMA "+name, "DROP SCHEMA "+name+" CASCADE")
}

func openMariaDB(ctx context.Context) (*database, error) {
	dsn := os.Getenv("APIKEY_MARIADB")
	if dsn == "" {
		dsn = "root@tcp(127.0.0.1:3306)/"
	}
	admin, err := openServer(ctx, "mysql", dsn, "MariaDB")
	if err != nil {
		return nil, err
	}
	name := databaseName()
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	cfg.DBName = name
	return openOn(ctx, admin, sqlstore.MySQL, "mysql", cfg.FormatDSN(), "CREATE DATABASE "+name, "DROP DATABASE "+name)
}

// openServer connects to a server that is there.
func openServer(ctx context.Context, driver, dsn, name string) (*sql.DB, error) {
	admin, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := admin.PingContext(ctx); err != nil {
		_ = admin.Close()
		return nil, fmt.Errorf("%w: no server of %s answers: %w", ErrAbsent, name, err)
	}
	return admin, nil
}

// openOn makes the database on its server, and drops it in the end.
func openOn(ctx context.Context, admin *sql.DB, d sqlstore.Dialect, driver, dsn, create, drop string) (*database, error) {
	if _, err := admin.ExecContext(ctx, create); err != nil {
		return nil, err
	}
	db, err := openPool(driver, dsn)
	if err != nil {
		return nil, err
	}
	return &database{db, d, func() {
		_ = db.Close()
		_, _ = admin.ExecContext(context.Background(), drop)
		_ = admin.Close()
	}}, nil
}

func openPool(driver, dsn string) (*sql.DB, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	return db, nil
}

func databaseName() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b)
	return "apikey_bench_" + hex.EncodeToString(b)
}

// inTx has all of f written in one transaction.
func (db *database) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	level := sql.LevelReadCommitted
	if db.dialect == sqlstore.SQLite {
		level = sql.LevelDefault
	}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// analyze has the database look at what its tables hold, as it does by itself
// from time to time.
func (db *database) analyze(ctx context.Context, tables ...string) error {
	command := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "VACUUM ANALYZE ", sqlstore.MySQL: "ANALYZE TABLE ", sqlstore.SQLite: "ANALYZE ",
	}[db.dialect]
	for _, table := range tables {
		if _, err := db.ExecContext(ctx, command+table); err != nil {
			return err
		}
	}
	return nil
}
