//go:build linux

package faulttest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
)

// figures are what many faults of one kind came to.
type figures struct {
	acks, unknown, unavailable int64
	recoveries                 []time.Duration
	longest                    time.Duration
	down                       int
}

func (f *figures) add(l *load) {
	f.acks += l.acks.Load()
	f.unknown += l.unknown.Load()
	f.unavailable += l.unavailable.Load()
}

// probed waits until the good key is admitted again, and notes what became of
// requests until then.
func (f *figures) probed(p *probe, back time.Time, mustFail bool) {
	p.t.Helper()
	recovery := p.recovery(back)
	longest, down := p.answers()
	p.check(longest, recovery, mustFail && down == 0)
	f.recoveries = append(f.recoveries, recovery)
	f.longest, f.down = max(f.longest, longest), f.down+down
}

func (f *figures) log(t *testing.T, what string, n int) {
	t.Helper()
	slices.Sort(f.recoveries)
	recovery := "none measured"
	if len(f.recoveries) > 0 {
		recovery = fmt.Sprintf("median %v, longest %v", f.recoveries[len(f.recoveries)/2], f.recoveries[len(f.recoveries)-1])
	}
	t.Logf("%s, %d times: %d changes acknowledged, %d of unknown outcome, %d not applied; 503 %d times, the slowest verification %v; admitted again %s",
		what, n, f.acks, f.unknown, f.unavailable, f.down, f.longest.Round(time.Millisecond), recovery)
	if f.acks == 0 {
		t.Error("nothing was acknowledged")
	}
}

// faulted runs rounds of load during which fault does something to the
// database. It returns when that was back.
func faulted(t *testing.T, s *server, name string, rounds int, mustFail bool, fault func() (back time.Time)) {
	t.Helper()
	store, db := s.store(name)
	m := newManager(t, store, apikey.Config{})
	p := startProbe(t, m)
	var f figures
	for n := range rounds {
		l, stop := startLoad(t, m, fmt.Sprint(n))
		wait(50*time.Millisecond + rand.N(100*time.Millisecond))
		back := fault()
		f.probed(p, back, mustFail)
		stop()
		l.settle()
		f.add(l)
	}
	whole(t, db)
	f.log(t, name, rounds)
}

func TestKillTheDatabase(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, d sqlstore.Dialect) {
		s := newServer(t, d, "")
		faulted(t, s, "killed", times(3, 50), true, func() time.Time {
			s.kill()
			wait(50 * time.Millisecond)
			s.start()
			s.waitReady()
			return time.Now()
		})
	})
}

func TestStopTheDatabase(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, d sqlstore.Dialect) {
		s := newServer(t, d, "")
		faulted(t, s, "stopped", times(1, 10), true, func() time.Time {
			s.signal(syscall.SIGSTOP)
			wait(time.Duration(times(1500, 5000)) * time.Millisecond)
			s.signal(syscall.SIGCONT)
			return time.Now()
		})
	})
}
