package load

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"time"
)

// probed is what becomes a [Probe], before the rounds are put together.
type probed struct {
	Guarded   seen          `json:"guarded"`
	Unguarded seen          `json:"unguarded"`
	Stopped   time.Duration `json:"stopped"`
}

func (p *probed) merge(x *probed) {
	p.Guarded.merge(&x.Guarded)
	p.Unguarded.merge(&x.Unguarded)
	p.Stopped = max(p.Stopped, x.Stopped)
}

// seen is what becomes [Calls].
type seen struct {
	Took     histogram     `json:"took"`
	LongCPU  time.Duration `json:"long_cpu"`
	LongCPUs int64         `json:"long_cpus"`
	Refused  int64         `json:"refused"`
	Pauses   []Pause       `json:"pauses"`
}

func (c *seen) merge(x *seen) {
	c.Took.merge(&x.Took)
	c.LongCPU = max(c.LongCPU, x.LongCPU)
	c.LongCPUs += x.LongCPUs
	c.Refused += x.Refused
	c.Pauses = append(c.Pauses, x.Pauses[:min(len(x.Pauses), maxPauses-len(c.Pauses))]...)
}

const maxPauses = 100 // Calls.Pauses

func (c *seen) calls() Calls {
	return Calls{c.Took.N, c.Took.Total, c.Took.latency(), c.LongCPU, c.LongCPUs, c.Refused, c.Pauses}
}

// probe calls the handlers by turns for a while, as [Probe] says.
func (s *server) probe(d time.Duration) (*probed, error) {
	if s.m == nil {
		return nil, errors.New("load: a server without keys has nothing to probe")
	}
	runtime.LockOSThread() // so that the thread's processor time is the call's
	defer runtime.UnlockOSThread()
	c, err := newCaller(s)
	if err != nil {
		return nil, err
	}
	p, stops := new(probed), read(false).Stops
	last := now()
	for end := last.at.Add(d); last.at.Before(end); {
		refused := p.Guarded.Took.N%8 == 7
		status := c.guarded(refused)
		after := now()
		p.Guarded.note(&last, &after, refused)
		if want := map[bool]int{false: http.StatusOK, true: http.StatusForbidden}[refused]; status != want {
			return nil, fmt.Errorf("load: the probe was answered %d instead of %d", status, want)
		}
		c.twin(c.rounds)
		last = now()
		p.Unguarded.note(&after, &last, false)
	}
	n := p.Guarded.Took.N
	s.own.Add(n - n/8)
	s.ownRefused.Add(n / 8)
	p.Stopped = longestStop(stops, read(false).Stops)
	return p, nil
}

// moment is when something was, and what the thread had used by then.
type moment struct {
	at   time.Time
	used rusage
}

func now() moment { return moment{time.Now(), threadUsage()} }

// note notes a call between two moments.
func (c *seen) note(from, to *moment, refused bool) {
	took, cpu := to.at.Sub(from.at), to.used.cpu-from.used.cpu
	c.Took.add(took)
	c.LongCPU = max(c.LongCPU, cpu)
	if cpu > LongPause {
		c.LongCPUs++
	}
	if took <= LongPause {
		return
	}
	if refused {
		c.Refused++
	}
	if len(c.Pauses) < maxPauses {
		c.Pauses = append(c.Pauses, Pause{took, cpu, to.used.waited - from.used.waited, to.used.preempt - from.used.preempt, refused})
	}
}

// caller calls the handlers as net/http would, without a connection.
type caller struct {
	s       *server
	r       *http.Request
	w       nobody
	bearers []string
	field   []string // the value of Authorization
	rounds  int      // of the twin's hash
	sink    [sha256.Size]byte
}

func newCaller(s *server) (*caller, error) {
	r, err := http.NewRequest(http.MethodGet, "/", http.NoBody) //nolint:noctx // it has the context that a server's request has: none that ends
	if err != nil {
		return nil, err
	}
	c := &caller{s: s, r: r, w: nobody{header: make(http.Header)}, field: []string{""}}
	r.Header["Authorization"] = c.field
	for _, t := range s.tokens {
		c.bearers = append(c.bearers, "Bearer "+t)
	}
	c.calibrate()
	return c, nil
}

// guarded sends one request with a key that is drawn.
func (c *caller) guarded(refused bool) (status int) {
	c.field[0] = c.bearers[rand.IntN(len(c.bearers))] //nolint:gosec // which of the keys comes next is no secret
	h := c.s.guarded
	if refused {
		h = c.s.admin
	}
	return c.call(h)
}

// twin sends one to the unguarded handler, and hashes to fill the time.
func (c *caller) twin(rounds int) {
	c.field[0] = c.bearers[rand.IntN(len(c.bearers))] //nolint:gosec // as above
	c.call(c.s.plain)
	for range rounds {
		c.sink = sha256.Sum256(c.sink[:])
	}
}

// call makes a request of its own for each call, as net/http does: who allocates
// nothing never waits for the garbage collector.
func (c *caller) call(h http.Handler) (status int) {
	clear(c.w.header)
	c.w.status = http.StatusOK
	h.ServeHTTP(&c.w, c.r.Clone(c.r.Context()))
	return c.w.status
}

// calibrate finds how many rounds of the twin take as long as a guarded call.
func (c *caller) calibrate() {
	var guarded, short, long histogram
	const few, many = 0, 100
	for i := range 4000 {
		start := time.Now()
		c.guarded(false)
		c.s.own.Add(1)
		between := time.Now()
		c.twin(few)
		end := time.Now()
		c.twin(many)
		if i < 1000 { // to warm up
			continue
		}
		guarded.add(between.Sub(start))
		short.add(end.Sub(between))
		long.add(time.Since(end))
	}
	g, s, l := guarded.percentile(0.5), short.percentile(0.5), long.percentile(0.5)
	if g > s && l > s {
		c.rounds = int(many * (g - s) / (l - s))
	}
}

// nobody is a ResponseWriter that costs nothing.
type nobody struct {
	header http.Header
	status int
}

func (w *nobody) Header() http.Header         { return w.header }
func (w *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (w *nobody) WriteHeader(status int)      { w.status = status }
