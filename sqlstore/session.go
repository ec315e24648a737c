package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hostTx is a transaction of the host's. It may be of another pool than the
// Store's, which has its own connections and so knows none of its prepared
// statements.
type hostTx struct{ *sql.Tx }

// runner is what runs statements: a pool, a connection or a transaction.
type runner interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// session is a runner of one call.
type session struct {
	store *Store
	on    runner
}

func (x *session) rows(ctx context.Context, st *statement, a args) (*sql.Rows, error) {
	if p := x.stmt(ctx, st); p != nil { //nolint:sqlclosecheck // it stays, for the next call
		return p.QueryContext(ctx, st.bind(a)...)
	}
	return x.on.QueryContext(ctx, st.text, st.bind(a)...)
}

func (x *session) row(ctx context.Context, st *statement, a args) *sql.Row {
	if p := x.stmt(ctx, st); p != nil { //nolint:sqlclosecheck // as above
		return p.QueryRowContext(ctx, st.bind(a)...)
	}
	return x.on.QueryRowContext(ctx, st.text, st.bind(a)...)
}

// rowOf is row of a statement with one parameter: what every request asks.
func (x *session) rowOf(ctx context.Context, st *statement, arg string) *sql.Row {
	if p := x.stmt(ctx, st); p != nil { //nolint:sqlclosecheck // as above
		return p.QueryRowContext(ctx, arg)
	}
	return x.on.QueryRowContext(ctx, st.text, arg)
}

// exec returns how many rows the statement changed.
func (x *session) exec(ctx context.Context, st *statement, a args) (int64, error) {
	var result sql.Result
	var err error
	if p := x.stmt(ctx, st); p != nil { //nolint:sqlclosecheck // as above
		result, err = p.ExecContext(ctx, st.bind(a)...)
	} else {
		result, err = x.on.ExecContext(ctx, st.text, st.bind(a)...)
	}
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// execRows runs a statement for rows, each of which has what the statement says
// of it in that order: on the servers once, with all that stand at one place in
// a list, or with a list of rows. On SQLite it is run for each of them, which
// takes a third of the time in which it takes a list apart.
func (x *session) execRows(ctx context.Context, st *statement, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	var bound []any
	switch x.store.dialect {
	case PostgreSQL:
		bound = columns(rows)
	case MySQL:
		bound = []any{jsonRows(rows)}
	case SQLite:
		return x.execEach(ctx, st, rows)
	}
	if p := x.stmt(ctx, st); p != nil { //nolint:sqlclosecheck // it stays, for the next call
		_, err := p.ExecContext(ctx, bound...)
		return err
	}
	_, err := x.on.ExecContext(ctx, st.text, bound...)
	return err
}

// columns are arrays of PostgreSQL, as text.
func columns(rows [][]any) []any {
	bound := make([]any, len(rows[0]))
	for i := range bound {
		b := []byte("{")
		for n, row := range rows {
			if n > 0 {
				b = append(b, ',')
			}
			switch v := row[i].(type) {
			case int64:
				b = strconv.AppendInt(b, v, 10)
			case string:
				b = append(b, '"')
				b = append(b, arrayQuotes.Replace(v)...)
				b = append(b, '"')
			}
		}
		bound[i] = string(append(b, '}'))
	}
	return bound
}

var arrayQuotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// jsonRows is a JSON list of lists.
func jsonRows(rows [][]any) string {
	b := []byte("[")
	for n, row := range rows {
		if n > 0 {
			b = append(b, ',')
		}
		for i, v := range row {
			b = append(b, "[,"[min(i, 1)])
			switch v := v.(type) {
			case int64:
				b = strconv.AppendInt(b, v, 10)
			case string:
				text, _ := json.Marshal(v) // of a string always succeeds
				b = append(b, text...)
			}
		}
		b = append(b, ']')
	}
	return string(append(b, ']'))
}

func (x *session) execEach(ctx context.Context, st *statement, rows [][]any) error {
	p, err := x.on.PrepareContext(ctx, st.text)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	// Nobody else writes, so that none of them waits, and a ctx that may end costs
	// as much as the rest.
	each := context.WithoutCancel(ctx)
	for _, row := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := p.ExecContext(each, row...); err != nil {
			return err
		}
	}
	return nil
}

// stmt is the prepared form of st for x; nil: it runs as text. pgx prepares
// by itself, in the way that the host has set; the others would parse each time.
func (x *session) stmt(ctx context.Context, st *statement) *sql.Stmt {
	s := x.store
	if s.dialect == PostgreSQL {
		return nil
	}
	s.mu.Lock()
	p := s.prepared[st]
	s.mu.Unlock()
	switch on := x.on.(type) {
	case *sql.Tx:
		if p != nil {
			return on.StmtContext(ctx, p)
		}
		s.mu.Lock() // now there may be no second connection to prepare it on
		s.wanted[st] = true
		s.mu.Unlock()
	case *sql.DB:
		if p == nil {
			p = s.prepare(ctx, st)
		}
		return p
	}
	return nil
}

// prepareWanted prepares what transactions had to run as text, before the next
// one: unprepared, a statement is two round trips on MySQL.
func (s *Store) prepareWanted(ctx context.Context) {
	s.mu.Lock()
	wanted := slices.Collect(maps.Keys(s.wanted))
	clear(s.wanted)
	s.mu.Unlock()
	for _, st := range wanted {
		_ = s.prepare(ctx, st) // where it fails, the text is run again
	}
}

// prepare prepares st on the pool. Where that fails it returns nil, and running
// the text says why.
func (s *Store) prepare(ctx context.Context, st *statement) *sql.Stmt {
	p, err := s.db.PrepareContext(ctx, st.text)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.prepared[st]; first != nil {
		_ = p.Close() //nolint:sqlclosecheck // another call was faster; the other one stays
		return first
	}
	s.prepared[st] = p
	return p
}

// tries is how often a transaction is begun anew: one that the database ended
// for another's sake, one whose connection broke.
const (
	tries     = 30
	triesLost = 3
)

// read calls f, which only reads and may be called again.
func (s *Store) read(ctx context.Context, f func(x *session) error) error {
	if err := ctx.Err(); err != nil {
		return failed(ctx, err)
	}
	var on runner = s.db
	tx := txFrom(ctx)
	if tx != nil {
		on = hostTx{tx}
	}
	began := time.Now()
	for n := 1; ; n++ {
		err := s.ready(ctx, on)
		if err == nil {
			err = f(&session{s, on})
		}
		switch {
		case err == nil || meaning(err):
			return err
		case tx != nil || !s.retry(ctx, err, n, began):
			return failed(ctx, err)
		}
	}
}

// busyWait is how long a Store waits for another process to have written, on
// SQLite, beside the busy_timeout that the host has set.
const busyWait = 10 * time.Second

// retry reports whether a call that failed n times since it began, without
// having changed anything, is to be tried again, and waits for a moment before
// it says so.
func (s *Store) retry(ctx context.Context, err error, n int, began time.Time) bool {
	again := s.dialect.again(err) && n < tries || lostConnection(err) && n < triesLost
	if s.dialect == SQLite && sqliteBusy(err) {
		again = time.Since(began) < s.wait
	}
	return again && ctx.Err() == nil && pause(ctx, n)
}

// untilFree calls f, which runs one statement on SQLite, until no other process
// is in its way.
func (s *Store) untilFree(ctx context.Context, f func() error) error {
	began, err := time.Now(), f()
	for n := 1; sqliteBusy(err) && s.retry(ctx, err, n, began); n++ {
		err = f()
	}
	return err
}

// pause waits for a moment, a longer one for a greater n, unless ctx ends.
func pause(ctx context.Context, n int) bool {
	longest := min(time.Duration(n)*2*time.Millisecond, 50*time.Millisecond)
	timer := time.NewTimer(rand.N(longest)) //nolint:gosec // so that those who collided do not again; nobody gains by guessing it
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// write calls f in a transaction, one after another until one is not ended by
// the database for another's sake. When it returns an error, other than one of
// the outcome of the commit, nothing was written.
func (s *Store) write(ctx context.Context, f func(x *session) error) error {
	if err := ctx.Err(); err != nil {
		return notApplied(ctx, err)
	}
	if tx := txFrom(ctx); tx != nil {
		return s.writeInside(ctx, tx, f)
	}
	if err := s.ready(ctx, s.db); err != nil {
		return notApplied(ctx, err)
	}
	if s.dialect == SQLite { // one at a time, and whoever waits listens to ctx
		select {
		case s.writing <- struct{}{}:
			defer func() { <-s.writing }()
		case <-ctx.Done():
			return notApplied(ctx, ctx.Err())
		}
	}
	began := time.Now()
	for n := 1; ; n++ {
		known, err := s.try(ctx, f)
		switch {
		case err == nil || known && meaning(err):
			return err
		case !known:
			return failed(ctx, err)
		case !s.retry(ctx, err, n, began):
			return notApplied(ctx, err)
		}
	}
}

// try calls f in one transaction. It reports whether it is known what came of
// it: with an error, that nothing was written.
func (s *Store) try(ctx context.Context, f func(x *session) error) (known bool, err error) {
	if s.dialect == SQLite {
		return s.tryImmediate(ctx, f)
	}
	s.prepareWanted(ctx)
	// What a driver does with the context of a transaction when it commits differs.
	// This one ends with ctx until then, and not with it afterwards.
	during, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	tx, err := s.db.BeginTx(during, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return true, err
	}
	if err := f(&session{s, tx}); err != nil {
		_ = await(ctx, 0, tx.Rollback) // the server does it too, if it does not hear of it
		return true, err
	}
	if !stop() {
		_ = await(ctx, 0, tx.Rollback)
		return true, ctx.Err()
	}
	err = s.commit(ctx, tx)
	return err == nil || errors.Is(err, sql.ErrTxDone) || s.dialect.rolledBack(err), err
}

// commitGrace is how long after the end of ctx the answer to a commit is waited
// for: nearly always it comes, and then it is known.
const commitGrace = time.Second

// commit commits, and waits for the answer as long as commitGrace says. MySQL's
// driver drops a connection on which an answer does not come when the ctx of the
// statement ends; to its own commit, which takes none, it waits without end, and
// the connection would be missing from the pool for as long.
func (s *Store) commit(ctx context.Context, tx *sql.Tx) error {
	if s.dialect != MySQL {
		return await(ctx, commitGrace, tx.Commit)
	}
	during, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(commitGrace, cancel) })
	defer stop()
	_, err := tx.ExecContext(during, "COMMIT")
	go func() { _ = tx.Rollback() }() // of nothing: it gives the connection back to the pool, or up if it was dropped
	return err
}

// await calls f, which takes no ctx, and returns when it has returned or ctx
// has ended so long ago.
func await(ctx context.Context, grace time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return ctx.Err()
	}
}

// tryImmediate is try on SQLite. A transaction that began by reading could not
// go on to write while somebody else does, however long it is ready to wait: it
// has to say at its beginning that it will. What begins transactions for
// database/sql does so only if the host has set it to.
func (s *Store) tryImmediate(ctx context.Context, f func(x *session) error) (known bool, err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return true, err
	}
	defer func() { _ = conn.Close() }()
	err = s.untilFree(ctx, func() error {
		_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		return err
	})
	if err != nil {
		s.undo(ctx, conn) // it may have begun when ctx ended
		return true, err
	}
	if err := f(&session{s, conn}); err != nil {
		s.undo(ctx, conn)
		return true, err
	}
	if err := ctx.Err(); err != nil {
		s.undo(ctx, conn)
		return true, err
	}
	err = s.untilFree(ctx, func() error { // without WAL somebody may read
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "COMMIT")
		return err
	})
	if err != nil {
		s.undo(ctx, conn)
	}
	return err == nil || sqliteBusy(err), err
}

// undo rolls back, or gives up the connection.
func (s *Store) undo(ctx context.Context, conn *sql.Conn) {
	if _, err := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// writeInside calls f inside the host's transaction. What f did before it failed
// is undone, for the host may commit all the same.
func (s *Store) writeInside(ctx context.Context, tx *sql.Tx, f func(x *session) error) error {
	if err := s.ready(ctx, tx); err != nil {
		return notApplied(ctx, err)
	}
	if _, err := tx.ExecContext(ctx, "SAVEPOINT apikey_sqlstore"); err != nil {
		return notApplied(ctx, err)
	}
	end := "RELEASE SAVEPOINT apikey_sqlstore"
	err := f(&session{s, hostTx{tx}})
	if err != nil {
		end = "ROLLBACK TO SAVEPOINT apikey_sqlstore"
	}
	// Also when ctx has ended, for the transaction may go on without it.
	during, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitGrace)
	defer cancel()
	if _, ended := tx.ExecContext(during, end); ended != nil { // what was done is still in tx
		return fmt.Errorf("apikey: sqlstore: what is now in the transaction is not known, roll it back: %w (before that: %v)", ended, err) //nolint:errorlint // what f says does not hold any more
	}
	if err != nil {
		return notApplied(ctx, err)
	}
	return nil
}
