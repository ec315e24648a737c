//go:build linux

package faulttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
)

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
func TestCutEachMessage(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, d sqlstore.Dialect) {
		s := newServer(t, d, "")
		store, db := s.store("messages")
		b := &bench{t: t, db: db, store: store}
		p := newProxy(t, d, s.addr)
		cuts, unknown := 0, 0
		for i := range operations {
			op := &operations[i]
			if !op.writes && op.name != "Get" && !long { // SQLite has them all in the gate too
				continue
			}
			before, after := b.reference(op)
			for _, how := range []cut{cutBefore, cutAfter} {
				for _, onwards := range []bool{false, true} {
					if onwards && !long {
						continue
					}
					for at, through := 0, false; !through; at++ {
						x := b.subject()
						var hit atomic.Bool
						var hitCommit atomic.Bool
						n := 0
						store, disconnect := behindProxy(t, s, p, "messages")
						p.cutting(func(commits bool) cut {
							n++
							if n-1 != at && (!onwards || n <= at) {
								return pass
							}
							hit.Store(true)
							if commits {
								hitCommit.Store(true)
							}
							return how
						})
						ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
						err := op.do(ctx, store, x)
						cancel()
						p.cutting(nil)
						disconnect()
						through = !hit.Load()
						what := fmt.Sprintf("%s, message %d cut by %d, onwards %v", op.name, at, how, onwards)
						b.judge(what, op, x, err, before, after, hitCommit.Load())
						if through && err != nil {
							t.Errorf("%s: nothing was cut, and it failed: %v", what, err)
						}
						if hitCommit.Load() && err != nil {
							unknown++
						}
						cuts++
						if t.Failed() {
							t.FailNow()
						}
					}
				}
			}
		}
		t.Logf("%d calls cut, %d of unknown outcome", cuts, unknown)
	})
}

// Connections are cut in the middle of transactions, and at their commits,
// while workers write.
func TestCutUnderLoad(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, d sqlstore.Dialect) {
		s := newServer(t, d, "")
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
			_, db := s.store(tt.name)
			p := newProxy(t, d, s.addr)
			store, _ := behindProxy(t, s, p, tt.name)
			m := newManager(t, store, apikey.Config{})
			probed := startProbe(t, m)
			var f figures
			var cuts atomic.Int64
			rounds := times(1, 5)
			for n := range rounds {
				l, stop := startLoad(t, m, fmt.Sprint(n))
				p.cutting(func(commits bool) cut {
					if commits != tt.commit || rand.N(8) != 0 {
						return pass
					}
					cuts.Add(1)
					return tt.how
				})
				wait(time.Duration(times(300, 2000)) * time.Millisecond)
				p.cutting(nil)
				f.probed(probed, time.Now(), false)
				stop()
				l.settle()
				f.add(l)
			}
			whole(t, db)
			f.log(t, tt.name, int(cuts.Load()))
			if tt.commit && f.unknown == 0 {
				t.Errorf("%s: no outcome was called unknown", tt.name)
			}
			if !tt.commit && f.unknown != 0 {
				t.Errorf("%s: %d outcomes were called unknown, and no commit was cut", tt.name, f.unknown)
			}
		}
	})
}
