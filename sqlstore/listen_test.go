package sqlstore_test

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// listen is a Config.Listen for pgx.
func listen(db *sql.DB) func(ctx context.Context, channel string, wake func()) error {
	return func(ctx context.Context, channel string, wake func()) error {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.ExecContext(ctx, "LISTEN "+channel); err != nil {
			return err
		}
		wake() // what was written since Watch began
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

// With notifications nobody waits for the next poll.
func TestListen(t *testing.T) {
	sqltest.Need(t, sqlstore.PostgreSQL)
	db := sqltest.Open(t, sqlstore.PostgreSQL)
	var woken atomic.Int64
	hook := listen(db.Again(t, ""))
	s := sqltest.StoreIn(t, db.DB, sqlstore.PostgreSQL, &sqlstore.Config{
		PollInterval: time.Hour,
		Listen: func(ctx context.Context, channel string, wake func()) error {
			return hook(ctx, channel, func() {
				wake()
				woken.Add(1)
			})
		},
	})
	w := watching(t, s)
	eventually(t, "LISTEN", func() bool { return woken.Load() > 0 })
	k := testKey(1, "acct")
	mustCreate(t, s, k)
	eventually(t, "Create", func() bool { _, n := w.read(k.ID); return n == 1 })
	k.Version = 2
	if err := s.Update(t.Context(), record(t, k), write(k, 10)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Update", func() bool { _, n := w.read(k.ID); return n == 2 })
	if err := s.Delete(t.Context(), k.ID, write(k, -1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Delete", func() bool { _, n := w.read(k.ID); return n == 3 })
}
