package load

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-apikey/apikey/internal/secretwatch"
)

func TestMain(m *testing.M) {
	Main()
	secretwatch.Main(m)
}

// TestRun runs all of it, briefly: every request is answered with 2xx, or Run
// fails, and counted once by the client, the server and the Store.
func TestRun(t *testing.T) {
	o := Options{Keys: 500, IdleBuckets: 5000, Connections: 4, Rounds: 1, Round: 200 * time.Millisecond}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(r.Counts), 7; got != want { // alone, calm, and one for each disturbance
		t.Errorf("%d servers were counted, want %d", got, want)
	}
	for i := range r.Counts {
		if c := &r.Counts[i]; !c.OK() || c.Sent == 0 {
			t.Errorf("not all were counted, or not once: %+v", c)
		}
	}
	for _, all := range [][]Series{r.Closed, r.Fixed} {
		for i, want := range []string{Alone, Unguarded, Guarded} {
			checkSeries(t, &all[i], want, o.Rounds)
		}
	}
	for i := range r.Fixed {
		perSecond, _, _ := r.Fixed[i].Spread(func(x *Round) float64 { return x.PerSecond })
		if perSecond < r.Rate/3 || perSecond > r.Rate*1.1 { // the machine may be busy, and the schedule is fixed
			t.Errorf("%s: %.0f requests a second at a fixed rate of %.0f", r.Fixed[i].Handler, perSecond, r.Rate)
		}
	}
	for i, want := range []string{Nothing, Computation, Management, Flushes, Sweep} {
		d := &r.Disturbed[i]
		if d.By != want {
			t.Errorf("disturbance %d is %q, want %q", i, d.By, want)
		}
		checkSeries(t, &d.Unguarded, Unguarded, o.Rounds)
		checkSeries(t, &d.Guarded, Guarded, o.Rounds)
		for _, c := range []*Calls{&d.Probe.Guarded, &d.Probe.Unguarded} {
			if c.Calls == 0 || c.Latency.P50 == 0 {
				t.Errorf("beside %s: the probe saw nothing: %+v", d.By, c)
			}
		}
		if d.Probe.Guarded.Calls != d.Probe.Unguarded.Calls {
			t.Errorf("beside %s: not by turns", d.By)
		}
		for _, w := range []*Work{&d.Work, &d.ProbeWork} {
			checkWork(t, want, w, &o)
		}
	}
}

func checkSeries(t *testing.T, s *Series, handler string, rounds int) {
	t.Helper()
	if s.Handler != handler || len(s.Rounds) != rounds {
		t.Fatalf("%d rounds of %q, want %d of %q", len(s.Rounds), s.Handler, rounds, handler)
	}
	for i := range s.Rounds {
		r := &s.Rounds[i]
		l := &r.Latency
		if r.Requests == 0 || l.P50 == 0 || l.P50 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max || l.Max > s.All.Max {
			t.Errorf("%s: %d requests: %+v, in all %+v", handler, r.Requests, l, s.All)
		}
	}
}

func checkWork(t *testing.T, by string, w *Work, o *Options) {
	t.Helper()
	ok := true
	switch by {
	case Nothing:
		ok = *w == Work{}
	case Computation:
		ok = w.Busy > 0
	case Management:
		ok = w.Created > 0 && w.Rotated > 0 && w.Updated > 0 && w.Revoked > 0 && w.Lists > 0
	case Flushes:
		ok = w.Flushes > 0 && w.Flushed == w.Flushes*o.Keys
	case Sweep:
		// All that are idle are dropped, but for those that somebody holds.
		ok = w.Sweeps == 1 && w.Swept > o.IdleBuckets*99/100 && w.Swept <= o.IdleBuckets
	}
	if !ok {
		t.Errorf("%s did %+v", by, w)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := Short()
	o.Progress = func(string) { cancel() }
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v, want context.Canceled", err)
	}
}

func TestRunWithoutMain(t *testing.T) {
	mainCalled.Store(false)
	defer mainCalled.Store(true)
	if _, err := Run(t.Context(), Short()); err == nil {
		t.Error("Run started a program that would not be a server")
	}
}
