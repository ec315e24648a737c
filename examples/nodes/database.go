package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver

	"github.com/go-apikey/apikey/sqlstore"
)

// database is the one that the nodes share: a schema on PostgreSQL, or a file.
type database struct {
	Dialect sqlstore.Dialect
	DSN     string
	Schema  string // on PostgreSQL

	says string // which it is, for people
}

// openDatabase makes a schema on PostgreSQL, or if that does not answer a file in dir.
func openDatabase(ctx context.Context, o *options, dir string) (*database, error) {
	file := filepath.Join(dir, "keys.db")
	d := &database{
		Dialect: sqlstore.SQLite, says: "a SQLite file",
		DSN: "file:" + file + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(1000)",
	}
	if !o.sqlite {
		pg := &database{Dialect: sqlstore.PostgreSQL, DSN: postgresDSN(o.postgres), says: "PostgreSQL"}
		if err := pg.answers(ctx); err != nil {
			d.says = fmt.Sprintf("a SQLite file, as PostgreSQL does not answer (%v),", err)
		} else {
			pg.Schema = "apikey_nodes_" + strings.ToLower(rand.Text()[:8])
			if err := pg.exec(ctx, "CREATE SCHEMA "+pg.Schema); err != nil {
				return nil, err
			}
			d = pg
		}
	}
	return d, nil
}

func postgresDSN(set string) string {
	return cmp.Or(set, os.Getenv("APIKEY_POSTGRES"), "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable")
}

// answers asks the server for a sign of life.
func (d *database) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	db, err := d.open()
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(ctx)
}

// open opens it as each node does.
func (d *database) open() (*sql.DB, error) {
	if d.Dialect == sqlstore.SQLite {
		return sql.Open("sqlite", d.DSN)
	}
	cfg, err := pgx.ParseConfig(d.DSN)
	if err != nil {
		return nil, err
	}
	if d.Schema != "" {
		cfg.RuntimeParams["search_path"] = d.Schema
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(10) // of each node; one of them listens
	db.SetMaxIdleConns(10)
	return db, nil
}

func (d *database) exec(ctx context.Context, statement string) error {
	db, err := d.open()
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// remove drops the schema. The file goes with its directory.
func (d *database) remove(ctx context.Context) error {
	if d.Schema == "" {
		return nil
	}
	return d.exec(ctx, "DROP SCHEMA "+d.Schema+" CASCADE")
}

// listen waits for PostgreSQL's notifications, so that a node hears of a
// change at once, and not with its next poll. It is nil on SQLite.
func (d *database) listen(db *sql.DB) func(ctx context.Context, channel string, wake func()) error {
	if d.Dialect != sqlstore.PostgreSQL {
		return nil
	}
	return func(ctx context.Context, channel string, wake func()) error {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.ExecContext(ctx, "LISTEN "+channel); err != nil {
			return err
		}
		wake() // for what was written before
		return conn.Raw(func(c any) error {
			for {
				if _, err := c.(*stdlib.Conn).Conn().WaitForNotification(ctx); err != nil {
					return err
				}
				wake()
			}
		})
	}
}
