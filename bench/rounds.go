package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Order is in which order credentials come.
type Order string

// The orders.
const (
	Hot     Order = "hot"     // the first one, always
	Uniform Order = "uniform" // every one once, at random, and again
	Zipf    Order = "zipf"    // drawn by Zipf's law with s = 1.1: few of them often, most of them seldom
)

// Orders are all there are.
func Orders() []Order { return []Order{Hot, Uniform, Zipf} }

// Load is what is sent to a subject.
type Load struct {
	Case  Case
	Order Order
	Cores int // 1: GOMAXPROCS=1 and one client; 2: two of each
}

// String is the part of a row's name that says what is sent:
// "hot/wrong-secret", or "hot/wrong-secret/2-cores".
func (l Load) String() string {
	name := string(l.Order) + "/" + slug(string(l.Case))
	if l.Cores > 1 {
		name += fmt.Sprintf("/%d-cores", l.Cores)
	}
	return name
}

// slug is a name as it stands in a row's: lower case, words joined by "-".
func slug(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.'
	}), "-")
}

// Sample is one round: what a request took.
type Sample struct {
	NS     float64 `json:"ns"` // of the wall's clock, by the requests of all clients: on two cores half of what each waits
	Allocs float64 `json:"allocs"`
	Bytes  float64 `json:"bytes"`
	GC     float64 `json:"gc"` // of processor time: the garbage collections that ended within the round, 0 to 1
}

// ErrNoCase says that a subject has no requests of a case.
var ErrNoCase = errors.New("bench: the subject has no such case")

// Meter measures one subject that is ready, in the process that it is in.
type Meter struct {
	running  *Running
	requests map[Case][]string
	lanes    map[Load]*lane
	used     map[Case]bool // every key was
}

// NewMeter returns a Meter of r.
func NewMeter(r *Running) *Meter {
	return &Meter{running: r, requests: make(map[Case][]string), lanes: make(map[Load]*lane), used: make(map[Case]bool)}
}

// lane is a load that was prepared: the requests and who sends them.
type lane struct {
	requests []string
	clients  []func(credential string) (status int)
	at       []int // of each client: its next request
	want     int   // the status of every answer
}

// zipfDraws is how many requests a sequence by Zipf's law has at least.
const zipfDraws = 1 << 16

// warmUp is how long requests are sent before the first round of a load. It is
// longer once for each case, so that every key is used before anything is
// measured: what is made at a first use is not what a request costs.
const (
	warmUp     = 50 * time.Millisecond
	warmUpOnce = 20 * time.Second
)

// Calibrate prepares a load, has every key used once, and says how many
// requests take about so long.
func (m *Meter) Calibrate(l Load, long time.Duration) (n int, err error) {
	lane, err := m.lane(l)
	if err != nil {
		return 0, err
	}
	old := runtime.GOMAXPROCS(l.Cores)
	defer runtime.GOMAXPROCS(old)
	most := warmUp
	if l.Order == Uniform && !m.used[l.Case] {
		most, m.used[l.Case] = warmUpOnce, true
	}
	began := time.Now()
	for sent := 0; sent < len(lane.requests) && time.Since(began) < most; sent += 1000 {
		if err := lane.send(min(1000, len(lane.requests)-sent)); err != nil {
			return 0, err
		}
	}
	for n = 1; ; n *= 4 {
		began := time.Now()
		if err := lane.send(n); err != nil {
			return 0, err
		}
		if took := time.Since(began); took >= long/4 {
			return max(1, int(float64(n)*float64(long)/float64(took))), nil
		}
	}
}

// Run sends n requests of a load that was calibrated, after a few that are not
// measured: what ran before on this core has taken the cache.
func (m *Meter) Run(l Load, n int) (Sample, error) {
	lane, err := m.lane(l)
	if err != nil {
		return Sample{}, err
	}
	old := runtime.GOMAXPROCS(l.Cores)
	defer runtime.GOMAXPROCS(old)
	if err := lane.send(n/10 + 1); err != nil {
		return Sample{}, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	gc, began := gcSeconds(), time.Now()
	if err := lane.send(n); err != nil {
		return Sample{}, err
	}
	took := time.Since(began)
	gc = gcSeconds() - gc
	runtime.ReadMemStats(&after)
	return Sample{
		NS:     float64(took.Nanoseconds()) / float64(n),
		Allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
		Bytes:  float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
		GC:     gc / (took.Seconds() * float64(l.Cores)),
	}, nil
}

// lane is what a load needs, made the first time.
func (m *Meter) lane(l Load) (*lane, error) {
	if lane := m.lanes[l]; lane != nil {
		return lane, nil
	}
	requests, ok := m.requests[l.Case]
	if !ok {
		requests = m.running.Requests(l.Case)
		m.requests[l.Case] = requests
	}
	if len(requests) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoCase, l.Case)
	}
	lane := &lane{requests: inOrder(requests, l.Order)}
	for i := range max(l.Cores, 1) {
		lane.clients = append(lane.clients, m.running.Client(l.Case))
		lane.at = append(lane.at, i*len(lane.requests)/max(l.Cores, 1))
	}
	lane.want = lane.clients[0](requests[0])
	if accepted := lane.want < 300; accepted != (l.Case == Accepted) {
		return nil, fmt.Errorf("bench: a request of the case %q is answered %d", l.Case, lane.want)
	}
	m.lanes[l] = lane
	return lane, nil
}

// bytes is what the prepared requests take, which is not the subject's.
func (m *Meter) bytes() (n int64) {
	add := func(requests []string) {
		for _, request := range requests {
			n += int64(len(request)) + 16 // and its header
		}
	}
	for _, requests := range m.requests {
		add(requests)
	}
	for load, lane := range m.lanes {
		if load.Order == Zipf {
			add(lane.requests) // copies
		}
	}
	return n
}

// inOrder is the requests in another order of use than the one they come in.
func inOrder(requests []string, o Order) []string {
	switch {
	case o == Hot || len(requests) == 1:
		return requests[:1:1]
	case o == Uniform:
		return requests
	}
	random := rand.New(rand.NewPCG(4, uint64(len(requests)))) //nolint:gosec // G404: repeatable
	zipf := rand.NewZipf(random, 1.1, 1, uint64(len(requests)-1))
	indexes := make([]int, max(zipfDraws, len(requests)))
	for i := range indexes {
		indexes[i] = int(zipf.Uint64())
	}
	return InOrder(requests, indexes)
}

// send sends n requests by all clients of the lane.
func (l *lane) send(n int) error {
	var wrong atomic.Int64
	if len(l.clients) == 1 {
		wrong.Store(l.sendBy(0, n))
	} else {
		var all sync.WaitGroup
		for i := range l.clients {
			share := n / len(l.clients)
			if i == 0 {
				share += n % len(l.clients)
			}
			all.Go(func() { wrong.Add(l.sendBy(i, share)) })
		}
		all.Wait()
	}
	if w := wrong.Load(); w > 0 {
		return fmt.Errorf("bench: %d of %d answers are not %d, as the first was", w, n, l.want)
	}
	return nil
}

// sendBy sends n requests by one client, one after the other. Between two of
// them stands an instruction that the processor does not read past: else it
// would begin the next one while it waits for the memory of this one, and a
// table of 1,000,000 keys would look twice as fast as it is.
func (l *lane) sendBy(client, n int) (wrong int64) {
	send, at, fence := l.clients[client], l.at[client], uint32(0)
	for range n {
		if send(l.requests[at]) != l.want {
			wrong++
		}
		atomic.SwapUint32(&fence, 1)
		if at++; at == len(l.requests) {
			at = 0
		}
	}
	l.at[client] = at
	return wrong
}

// gcSeconds is the processor time that garbage collections took so far. The
// runtime counts it when one ends.
func gcSeconds() float64 {
	sample := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64()
}

// heapBytes is the live heap.
func heapBytes() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// collection is the processor time of one garbage collection: the median of
// three.
func collection() time.Duration {
	var took []float64
	for range 3 {
		before := gcSeconds()
		runtime.GC()
		took = append(took, gcSeconds()-before)
	}
	slices.Sort(took)
	return time.Duration(took[1] * float64(time.Second))
}
