//go:build linux

package faulttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
)

// What cuts connections shares a server, which none of it harms.
func TestCut(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, d sqlstore.Dialect) {
		s := newServer(t, d, "")
		for name, f := range map[string]func(t *testing.T, s *server){
			"each message": cutEachMessage, "under load": cutUnderLoad,
			"silent commits": silentCommits, "a machine that vanishes": vanishing,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f(t, s.of(t))
			})
		}
	})
}

// behindProxy is a Store that reaches its database through a proxy.
func behindProxy(t *testing.T, s *server, p *proxy, name string) (store *sqlstore.Store, disconnect func()) {
	t.Helper()
	db := s.open(p.addr(), name)
	store, err := sqlstore.New(db, s.dialect, nil)
	if err != nil {
		t.Fatal(err)
	}
	return store, func() { _ = db.Close() }
}

// Each message of each call is lost in turn, or its answer is, until a call gets
// through; once, and with every message after it.
func cutEachMessage(t *testing.T, s *server) {
	store, db := s.store("messages")
	b := &bench{t: t, db: db, store: store}
	p := newProxy(t, s.dialect, s.addr)
	cuts, unknown := 0, 0
	for i := range operations {
		op := &operations[i]
		if !op.writes && op.name != "Get" && !long { // SQLite has them all in the gate too
			continue
		}
		before, after := b.reference(op)
		for n := range times(2, 4) {
			how, onwards := []cut{cutBefore, cutAfter}[n%2], n >= 2
			for at, through := 0, false; !through; at++ {
				x := b.subject()
				hit, hitCommit, err := cutAt(t, s, p, op, x, how, at, onwards)
				what := fmt.Sprintf("%s, message %d cut by %d, onwards %v", op.name, at, how, onwards)
				b.judge(what, op, x, err, before, after, hitCommit)
				if through = !hit; through && err != nil {
					t.Errorf("%s: nothing was cut, and it failed: %v", what, err)
				}
				if hitCommit && err != nil {
					unknown++
				}
				cuts++
				if t.Failed() {
					t.FailNow()
				}
			}
		}
	}
	t.Logf("%d calls cut, %d of unknown outcome", cuts, unknown)
}

// cutAt runs an operation on a pool of its own, of whose messages one is cut, or
// all from there on. hit says that there were as many, hitCommit that one of those
// cut was a commit.
func cutAt(t *testing.T, s *server, p *proxy, op *operation, x *subject, how cut, at int, onwards bool) (hit, hitCommit bool, err error) {
	t.Helper()
	store, disconnect := behindProxy(t, s, p, "messages")
	var cutOne, cutCommit atomic.Bool
	n := 0
	p.cutting(func(commits bool) cut {
		n++
		if n-1 != at && (!onwards || n <= at) {
			return pass
		}
		cutOne.Store(true)
		if commits {
			cutCommit.Store(true)
		}
		return how
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = op.do(ctx, store, x)
	p.cutting(nil)
	disconnect()
	return cutOne.Load(), cutCommit.Load(), err
}

// Connections are cut in the middle of transactions, and at their commits,
// while workers write.
func cutUnderLoad(t *testing.T, s *server) {
	for _, tt := range []struct {
		name   string
		how    cut
		commit bool
	}{
		{"cut_within", cutBefore, false},
		{"cut_before_commit", cutBefore, true},
		{"cut_at_commit", cutAtOnce, true},
		{"cut_after_commit", cutAfter, true},
		{"swallowed_after_commit", swallow, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := s.of(t)
			_, db := s.store(tt.name)
			p := newProxy(t, s.dialect, s.addr)
			store, _ := behindProxy(t, s, p, tt.name)
			var cfg apikey.Config
			if tt.how == swallow && !long {
				cfg.FlushInterval = time.Hour // a flush waits for its answer for half a minute
			}
			m := newManager(t, store, cfg)
			probed := startProbe(t, m)
			var f figures
			var cuts atomic.Int64
			for n := range times(1, 5) {
				l, stop := startLoad(t, m, fmt.Sprint(n))
				enough := cuts.Load() + 5
				p.cutting(func(commits bool) cut {
					if commits != tt.commit || rand.N(8) != 0 {
						return pass
					}
					cuts.Add(1)
					return tt.how
				})
				wait(time.Duration(times(200, 2000)) * time.Millisecond)
				for end := time.Now().Add(20 * time.Second); cuts.Load() < enough && time.Now().Before(end); {
					wait(time.Millisecond) // a busy machine does less in the time
				}
				p.cutting(nil)
				f.probed(probed, time.Now(), false)
				stop()
				l.settle()
				f.add(l)
			}
			whole(t, db)
			f.log(t, tt.name, int(cuts.Load()))
			if tt.commit && f.unknown == 0 {
				t.Error("no outcome was called unknown")
			}
			if !tt.commit && f.unknown != 0 {
				t.Errorf("%d outcomes were called unknown, and no commit was cut", f.unknown)
			}
		})
	}
}

// A commit whose answer never comes, on a connection that stays, keeps the
// connection from the pool for no longer than its caller waits.
func silentCommits(t *testing.T, s *server) {
	const pool = 3
	direct, db := s.store("silent")
	b := &bench{t: t, db: db, store: direct}
	p := newProxy(t, s.dialect, s.addr)
	through := s.open(p.addr(), "silent")
	through.SetMaxOpenConns(pool)
	store, err := sqlstore.New(through, s.dialect, nil)
	if err != nil {
		t.Fatal(err)
	}
	op := &operations[0]
	before, after := b.reference(op)
	p.cutting(func(commits bool) cut {
		if commits {
			return swallow
		}
		return pass
	})
	subjects, errs := make([]*subject, pool), make([]error, pool)
	var wg sync.WaitGroup
	for i := range pool {
		subjects[i] = b.subject()
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			errs[i] = op.do(ctx, store, subjects[i])
		})
	}
	wg.Wait()
	p.cutting(nil)
	for i, x := range subjects {
		if b.judge("a commit without an answer", op, x, errs[i], before, after, true); errs[i] == nil {
			t.Error("a commit without an answer was acknowledged")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second+slow)
	defer cancel()
	if err := op.do(ctx, store, b.subject()); err != nil {
		t.Errorf("%d commits had no answer, and the pool of %d connections does no more: %v; %+v", pool, pool, err, through.Stats())
	}
}

// A machine that vanishes in the middle of a transaction, so that the server
// never hears of its end, keeps nobody from revoking the key that it has locked
// for longer than the settings of its connections say.
func vanishing(t *testing.T, s *server) {
	direct, db := s.store("vanished")
	b := &bench{t: t, db: db, store: direct}
	p := newProxy(t, s.dialect, s.addr)
	store, _ := behindProxy(t, s, p, "vanished")
	op := &operations[1]
	before, after := b.reference(op)
	x := b.subject()
	p.cutting(func(commits bool) cut {
		if commits {
			return vanish
		}
		return pass
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := op.do(ctx, store, x)
	b.judge("a machine that vanishes", op, x, err, before, after, true)
	ctx, cancel = context.WithTimeout(t.Context(), idleInTransaction+slow)
	defer cancel()
	err = op.do(ctx, direct, x)
	b.judge("the same on another machine", op, x, err, before, after, false)
	if err != nil {
		t.Errorf("on another machine: %v", err)
	}
}
