package load

import (
	"slices"
	"time"
)

// The handlers that are measured. All three do the same; they differ in what
// stands before them and beside them.
const (
	Alone     = "alone"     // unguarded, in a process that has no keys: what net/http does by itself
	Unguarded = "unguarded" // in the process that has the keys, with nothing before it
	Guarded   = "guarded"   // in the same process, behind Manager.Require, with everything on
)

// What a server is disturbed by.
const (
	Nothing     = "nothing"
	Computation = "computation" // a goroutine that hashes, which has nothing to do with keys: what any work beside requests does
	Management  = "management"  // creates, rotates, updates of keys in use, lists, revokes
	Flushes     = "flushes"     // all keys are used, then flushed at once
	Sweep       = "sweep"       // of a TokenBuckets with many idle buckets
)

// Results is what a run found. Durations are in nanoseconds.
type Results struct {
	Cores       int     `json:"cores"` // that client and server share
	Keys        int     `json:"keys"`
	Owners      int     `json:"owners"`
	IdleBuckets int     `json:"idle_buckets"` // swept at once
	Connections int     `json:"connections"`  // kept alive, to each handler
	Rate        float64 `json:"rate"`         // requests a second where it is fixed

	// DisturbedRate is a third of Rate: a disturbance takes up to a core of its
	// own, and pauses are looked for, not a server that has too much to do.
	DisturbedRate float64 `json:"disturbed_rate"`

	Closed    []Series      `json:"closed"` // each connection sends the next request when it has the answer: Alone, Unguarded, Guarded
	Fixed     []Series      `json:"fixed"`  // at Rate, the same three
	Disturbed []Disturbed   `json:"disturbed"`
	Counts    []Counts      `json:"counts"` // of each server process
	Took      time.Duration `json:"took"`
}

// Series is one handler in several rounds.
type Series struct {
	Handler string  `json:"handler"`
	Rounds  []Round `json:"rounds"`
	All     Latency `json:"all"` // of the requests of all rounds together
	GC      float64 `json:"gc"`  // as Effort.GC, of all rounds that had a cycle
}

// Spread is the median of a figure over the rounds, and the least and the
// greatest.
func (s *Series) Spread(figure func(*Round) float64) (median, least, greatest float64) {
	if len(s.Rounds) == 0 {
		return 0, 0, 0
	}
	all := make([]float64, len(s.Rounds))
	for i := range s.Rounds {
		all[i] = figure(&s.Rounds[i])
	}
	slices.Sort(all)
	return all[len(all)/2], all[0], all[len(all)-1]
}

// Round is one measurement.
type Round struct {
	Requests  int           `json:"requests"`
	PerSecond float64       `json:"per_second"`
	Took      time.Duration `json:"took"`
	Latency   Latency       `json:"latency"`
	// Late is, at a fixed rate, how long after its time a request was sent
	// although the connection was free: the client's own tardiness, which is in
	// Latency.
	Late   Latency `json:"late"`
	Server Effort  `json:"server"`
	Client float64 `json:"client"` // cores that the client took
}

// Latency is how long requests took: in a closed loop from being sent, at a
// fixed rate from the moment at which they were to be sent, until the answer
// was read. Figures are at most 1 % above the truth; Max is exact.
type Latency struct {
	P50  time.Duration `json:"p50"`
	P99  time.Duration `json:"p99"`
	P999 time.Duration `json:"p999"`
	Max  time.Duration `json:"max"`
	Long int64         `json:"long"` // how many took longer than LongPause
}

// LongPause is what a request may wait for us, at most.
const LongPause = 5 * time.Millisecond

// Effort is what a round cost the server's process.
type Effort struct {
	Cores      float64 `json:"cores"`       // processor time over time
	PerRequest float64 `json:"per_request"` // processor time, in nanoseconds
	// GC is the garbage collector's share of the processor time that was used,
	// by runtime/metrics, over whole cycles. 0 where there was no cycle.
	GC       float64       `json:"gc"`
	used     float64       // processor seconds, the whole of which GC is a share
	GCCycles int           `json:"gc_cycles"`
	Stopped  time.Duration `json:"stopped"` // the longest time that the collector stopped the world, by buckets of runtime/metrics
}

// Disturbed is what was seen beside a disturbance: by clients, who send to both
// handlers at the same time, half of DisturbedRate each; and by a probe within
// the server, without clients.
type Disturbed struct {
	By         string `json:"by"`
	Unguarded  Series `json:"unguarded"` // Round.Server is of both, in both
	Guarded    Series `json:"guarded"`
	Work       Work   `json:"work"` // that was done meanwhile
	Waits      []Wait `json:"waits"`
	Probe      Probe  `json:"probe"`
	ProbeWork  Work   `json:"probe_work"`
	ProbeWaits []Wait `json:"probe_waits"`
}

// Work is what a disturbance did.
type Work struct {
	Created  int           `json:"created"`
	Rotated  int           `json:"rotated"`
	Updated  int           `json:"updated"` // keys that requests come with
	Revoked  int           `json:"revoked"`
	Lists    int           `json:"lists"`
	Flushes  int           `json:"flushes"`
	Flushed  int           `json:"flushed"` // keys in use, of all flushes
	Sweeps   int           `json:"sweeps"`
	Swept    int           `json:"swept"` // buckets dropped, of all sweeps
	Busy     time.Duration `json:"busy"`  // of all calls
	LongCall time.Duration `json:"long_call"`
}

func (w *Work) add(x *Work) {
	w.Created += x.Created
	w.Rotated += x.Rotated
	w.Updated += x.Updated
	w.Revoked += x.Revoked
	w.Lists += x.Lists
	w.Flushes += x.Flushes
	w.Flushed += x.Flushed
	w.Sweeps += x.Sweeps
	w.Swept += x.Swept
	w.Busy += x.Busy
	w.LongCall = max(w.LongCall, x.LongCall)
}

// Probe is a goroutine in the server that calls by turns the guarded handler
// and the unguarded one, after which it hashes until both took as long, each
// with a request that it makes for the call, and looks at how long that took. A
// pause of the machine or of the runtime hits both alike; what hits the guarded
// one more often is ours.
type Probe struct {
	Guarded   Calls         `json:"guarded"` // accepted; one in eight refused
	Unguarded Calls         `json:"unguarded"`
	Stopped   time.Duration `json:"stopped"` // as Effort.Stopped
}

// Calls is what one half of a Probe saw.
type Calls struct {
	Calls    int64         `json:"calls"`
	Busy     time.Duration `json:"busy"` // of all calls
	Latency  Latency       `json:"latency"`
	LongCPU  time.Duration `json:"long_cpu"` // the most processor time that one call took
	LongCPUs int64         `json:"long_cpus"`
	Refused  int64         `json:"refused"` // of Latency.Long, those that were to be refused
	Pauses   []Pause       `json:"pauses"`  // those above LongPause, the first 100
}

// Pause is one call that took long.
type Pause struct {
	Took    time.Duration `json:"took"`
	CPU     time.Duration `json:"cpu"`     // processor time of the calling thread
	Waited  int64         `json:"waited"`  // how often the thread gave up its processor: for a lock, or for the runtime
	Preempt int64         `json:"preempt"` // how often the system took it away
	Refused bool          `json:"refused"` // the call was one that is refused
}

// Wait is where verification waited for a lock, by the runtime's block profile:
// a wait above LongPause is always counted, a shorter one is drawn by its length,
// and counts for as many as it stands for. Mean tells the two apart.
type Wait struct {
	At    string        `json:"at"` // the function of the library that waited
	Count int64         `json:"count"`
	Mean  time.Duration `json:"mean"`
}

// Counts is whether all requests of a server process were counted. Sent is
// Answered is Served; and Guarded plus Own is Stored.
type Counts struct {
	Server        string `json:"server"`
	Sent          int64  `json:"sent"`     // by the client
	Answered      int64  `json:"answered"` // with 2xx
	Served        int64  `json:"served"`   // by the server's handlers, both
	Guarded       int64  `json:"guarded"`  // of Served
	Own           int64  `json:"own"`      // accepted from within: by the probe and the disturbance
	Stored        int64  `json:"stored"`   // usage in the Store, after Close
	OwnRefused    int64  `json:"own_refused"`
	StoredRefused int64  `json:"stored_refused"`
}

// OK reports whether nothing was lost and nothing counted twice.
func (c *Counts) OK() bool {
	return c.Sent == c.Answered && c.Answered == c.Served && c.Guarded+c.Own == c.Stored && c.OwnRefused == c.StoredRefused
}
