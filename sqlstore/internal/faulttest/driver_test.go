//go:build linux

package faulttest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
)

// failing opens connections of which the n-th call fails.
type failing struct {
	driver driver.Driver
	dsn    string
	fault  fault

	mu     sync.Mutex
	calls  int
	armed  bool
	hit    bool
	commit bool // what was hit was one
}

// fault is which call fails, and how.
type fault struct {
	at      int
	onwards bool // and all after it
	after   bool // it is executed, and the answer lost
	lost    bool // the connection ends with it
}

var errDisk = errors.New("the disk failed")

func (f *failing) Driver() driver.Driver { return f.driver }

func (f *failing) Connect(context.Context) (driver.Conn, error) {
	var inner driver.Conn
	c := &failingConn{from: f, stmts: map[*failingStmt]bool{}}
	err := f.call(c, "connect", func() (err error) {
		inner, err = f.driver.Open(f.dsn)
		return err
	})
	if err != nil {
		if inner != nil {
			_ = inner.Close()
		}
		return nil, err
	}
	c.inner = inner
	return c, nil
}

// call is one call, or its failure.
func (f *failing) call(c *failingConn, what string, do func() error) error {
	if c.dead {
		return driver.ErrBadConn
	}
	f.mu.Lock()
	fails := f.armed && (f.calls == f.fault.at || f.fault.onwards && f.calls > f.fault.at)
	if f.armed {
		f.calls++
	}
	if fails {
		f.hit = true
		f.commit = f.commit || strings.EqualFold(what, "commit")
	}
	f.mu.Unlock()
	if !fails {
		return do()
	}
	if f.fault.after {
		if err := do(); err != nil {
			return err
		}
	}
	if f.fault.lost {
		c.end()
		return io.ErrUnexpectedEOF
	}
	return errDisk
}

type failingConn struct {
	from  *failing
	inner driver.Conn
	rows  driver.Rows // of the call under way
	stmts map[*failingStmt]bool
	dead  bool
}

// end is what the end of a connection is to a database: SQLite holds what is
// begun for as long as there are statements or rows of it.
func (c *failingConn) end() {
	if c.inner != nil && !c.dead {
		if c.rows != nil {
			_ = c.rows.Close()
		}
		for s := range c.stmts {
			_ = s.Stmt.Close()
		}
		_, _ = c.inner.(driver.ExecerContext).ExecContext(context.Background(), "ROLLBACK", nil)
		_ = c.inner.Close()
	}
	c.dead = true
}

func (c *failingConn) Close() error {
	c.end()
	return nil
}

func (c *failingConn) IsValid() bool { return !c.dead }

func (c *failingConn) Begin() (driver.Tx, error) { return nil, errors.ErrUnsupported }

func (c *failingConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *failingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	var inner driver.Stmt
	err := c.from.call(c, "prepare", func() (err error) {
		inner, err = c.inner.(driver.ConnPrepareContext).PrepareContext(ctx, query)
		return err
	})
	if err != nil {
		if inner != nil && !c.dead {
			_ = inner.Close()
		}
		return nil, err
	}
	s := &failingStmt{inner, c}
	c.stmts[s] = true
	return s, nil
}

func (c *failingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.from.call(c, query, func() (err error) {
		result, err = c.inner.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

func (c *failingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.query(query, func() (driver.Rows, error) {
		return c.inner.(driver.QueryerContext).QueryContext(ctx, query, args)
	})
}

// query reads nothing of rows whose answer was lost.
func (c *failingConn) query(query string, do func() (driver.Rows, error)) (driver.Rows, error) {
	err := c.from.call(c, query, func() (err error) {
		c.rows, err = do()
		return err
	})
	rows := c.rows
	c.rows = nil
	if err != nil {
		if rows != nil && !c.dead {
			_ = rows.Close()
		}
		return nil, err
	}
	return rows, nil
}

type failingStmt struct {
	driver.Stmt
	conn *failingConn
}

// Close after the end of the connection has been done by it.
func (s *failingStmt) Close() error {
	if s.conn.dead {
		return nil
	}
	delete(s.conn.stmts, s)
	return s.Stmt.Close()
}

func (s *failingStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (result driver.Result, err error) {
	err = s.conn.from.call(s.conn, "exec", func() (err error) {
		result, err = s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
		return err
	})
	return result, err
}

func (s *failingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.query("query", func() (driver.Rows, error) {
		return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	})
}

var _ driver.Connector = (*failing)(nil)

func (f *failing) open() *sql.DB { return sql.OpenDB(f) }
