package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
)

func Example_postgreSQL() {
	open := func(ctx context.Context) (*apikey.Manager, error) {
		db, err := sql.Open("pgx", "postgres://keys@db.internal/app?sslmode=verify-full&idle_in_transaction_session_timeout=5000")
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(20)
		db.SetMaxIdleConns(20) // 2 if nothing is said: all others would be made anew for each request
		if err := sqlstore.Migrate(ctx, db, sqlstore.PostgreSQL, nil); err != nil {
			return nil, err
		}
		store, err := sqlstore.New(db, sqlstore.PostgreSQL, nil)
		if err != nil {
			return nil, err
		}
		if err := store.CheckDurability(ctx); err != nil {
			return nil, err
		}
		return apikey.New(store, nil)
	}
	_ = open
}

func Example_mariaDB() {
	open := func() (*sql.DB, error) {
		db, err := sql.Open("mysql", "keys@tcp(db.internal:3306)/app?tls=true&idle_transaction_timeout=5&innodb_lock_wait_timeout=5")
		return db, err // and on with sqlstore.MySQL
	}
	_ = open
}

func Example_sQLite() {
	open := func() (*sql.DB, error) {
		db, err := sql.Open("sqlite", "file:/var/lib/app/keys.db?"+
			"_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(1000)")
		return db, err // and on with sqlstore.SQLite
	}
	_ = open
}

// Files for goose.
func ExampleSchema() {
	write := func(dir string) error {
		migrations, err := sqlstore.Schema(sqlstore.PostgreSQL, nil)
		if err != nil {
			return err
		}
		for _, m := range migrations {
			file := filepath.Join(dir, fmt.Sprintf("%05d_apikey.sql", m.Version))
			if err := os.WriteFile(file, []byte("-- +goose Up\n"+m.SQL()), 0o600); err != nil {
				return err
			}
		}
		return nil
	}
	_ = write
}

func ExampleStore_Prune() {
	run := func(ctx context.Context, db *sql.DB) error {
		store, err := sqlstore.New(db, sqlstore.PostgreSQL, &sqlstore.Config{
			KeepUsage:   30 * 24 * time.Hour,
			KeepHistory: 2 * 365 * 24 * time.Hour,
		})
		if err != nil {
			return err
		}
		hourly := time.NewTicker(time.Hour)
		defer hourly.Stop()
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case now := <-hourly.C:
				if err := store.Prune(ctx, now); err != nil {
					log.Print("keys: ", err) // the next hour goes on with it
				}
			}
		}
	}
	_ = run
}

func ExampleConfig_listen() {
	withListen := func(db *sql.DB) (*sqlstore.Store, error) {
		return sqlstore.New(db, sqlstore.PostgreSQL, &sqlstore.Config{Listen: listen(db)})
	}
	_ = withListen
}
