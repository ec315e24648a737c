//go:build linux

package faulttest

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// Each call of the driver of SQLite fails in turn, until a call of the Store gets
// through: before it is executed or after, with the connection or without, on a
// Store that was used before or not. On the others TestCut does it.
func TestFailEachCallSQLite(t *testing.T) {
	t.Parallel()
	dsn := sqltest.SQLiteDSN(filepath.Join(t.TempDir(), "keys.db")) + "&_pragma=synchronous(OFF)" // no power fails here
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := &bench{t: t, db: db, store: sqltest.StoreIn(t, db, sqlstore.SQLite, nil)}
	failed, unknown := 0, 0
	for i := range operations {
		op := &operations[i]
		before, after := b.reference(op)
		for n := range 16 {
			bit := func(i int) bool { return n>>i&1 == 1 }
			used := bit(3)
			if !long && (used || bit(0)) && (!op.writes || used == bit(0)) {
				continue
			}
			for at, through := 0, false; !through; at++ {
				x := b.subject()
				f := &failing{driver: db.Driver(), dsn: dsn, fault: fault{at: at, onwards: bit(0), after: bit(1), lost: bit(2)}}
				began := time.Now()
				hit, err := b.failed(f, op, x, used)
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
				what := fmt.Sprintf("%s, %+v, used before %v", op.name, f.fault, used)
				b.judge(what, op, x, err, before, after, f.commit)
				if through = !hit; through && err != nil {
					t.Errorf("%s: nothing failed, and the answer is %v", what, err)
				}
				failed++
				if f.commit && err != nil {
					unknown++
				}
				if t.Failed() {
					return
				}
			}
		}
	}
	whole(t, db)
	t.Logf("%d calls, %d of which failed at the commit", failed, unknown)
}

// failed runs an operation with a fault.
func (b *bench) failed(f *failing, op *operation, x *subject, used bool) (hit bool, err error) {
	b.t.Helper()
	db := f.open()
	defer func() { _ = db.Close() }()
	store, err := sqlstore.New(db, sqlstore.SQLite, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if used {
		y := b.subject()
		if err := op.do(b.t.Context(), store, y); err != nil {
			b.t.Fatal(err)
		}
	}
	f.mu.Lock()
	f.armed = true
	f.mu.Unlock()
	err = op.do(b.t.Context(), store, x)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	return f.hit, err
}
