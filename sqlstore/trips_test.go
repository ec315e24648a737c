package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"

	mysql "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// trips counts round trips: how often a client wrote after the server had.
type trips struct {
	mu sync.Mutex
	n  int
}

func (c *trips) take() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	c.n = 0
	return n
}

func (c *trips) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	return &countedConn{Conn: conn, trips: c}, err
}

type countedConn struct {
	net.Conn
	trips   *trips
	waiting bool // the client has written, and nothing has come back
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.trips.mu.Lock()
	if !c.waiting {
		c.waiting = true
		c.trips.n++
	}
	c.trips.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.trips.mu.Lock()
	c.waiting = c.waiting && n == 0
	c.trips.mu.Unlock()
	return n, err
}

// counted is db on one connection, whose round trips are counted.
func counted(t *testing.T, db *sqltest.Database, d sqlstore.Dialect) (*sql.DB, *trips) {
	t.Helper()
	c := new(trips)
	var pool *sql.DB
	if d == sqlstore.PostgreSQL {
		cfg, err := pgx.ParseConfig(db.DSN)
		if err != nil {
			t.Fatal(err)
		}
		cfg.DialFunc = c.dial
		pool = stdlib.OpenDB(*cfg)
	} else {
		cfg, err := mysql.ParseDSN(db.DSN)
		if err != nil {
			t.Fatal(err)
		}
		cfg.DialFunc = c.dial
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			t.Fatal(err)
		}
		pool = sql.OpenDB(connector)
	}
	t.Cleanup(func() { _ = pool.Close() })
	pool.SetMaxOpenConns(1)
	return pool, c
}

// Create takes at most two round trips beside the transaction's beginning and
// end on PostgreSQL, and four on MariaDB, once the connection has been used.
func TestCreateRoundTrips(t *testing.T) {
	for d, most := range map[sqlstore.Dialect]int{sqlstore.PostgreSQL: 2, sqlstore.MySQL: 4} {
		t.Run(d.String(), func(t *testing.T) {
			sqltest.Need(t, d)
			pool, trips := counted(t, sqltest.Open(t, d), d)
			taken := func() int { // with all that its last user has still to say
				for pool.Stats().InUse > 0 {
					runtime.Gosched()
				}
				return trips.take()
			}
			s := sqltest.StoreIn(t, pool, d, nil)
			for i := range 3 { // what is prepared stays so
				k := testKey(i, "acct")
				k.Alias = "~old:" + k.ID
				if err := s.Create(t.Context(), record(t, k), write(k, 10)); err != nil {
					t.Fatal(err)
				}
				if i < 2 {
					taken()
				}
			}
			create := taken()
			tx, err := pool.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
			if err != nil {
				t.Fatal(err)
			}
			if d == sqlstore.MySQL { // as the Store ends one
				_, err = tx.ExecContext(t.Context(), "COMMIT")
				err = errors.Join(err, tx.Rollback())
			} else {
				err = tx.Commit()
			}
			if err != nil {
				t.Fatal(err)
			}
			around := taken()
			t.Logf("%d round trips, of them %d of a transaction without anything in it", create, around)
			if around < 2 {
				t.Fatalf("a transaction takes %d round trips: they are not counted", around)
			}
			if create-around > most {
				t.Errorf("Create takes %d round trips beside the %d of its transaction, want at most %d", create-around, around, most)
			}
		})
	}
}
