package redislimit

import (
	"errors"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-apikey/apikey"
)

// leaseTable holds what this node knows of the buckets that it used in the
// last LeaseTime. All buckets of an owner are in one shard, so that a request
// locks once.
type leaseTable struct {
	seed     maphash.Seed
	shards   [leaseShards]leaseShard
	ids      atomic.Uint64
	sweeping atomic.Bool   // a sweep is due or under way
	turn     chan struct{} // of capacity 1: who sweeps is in it
}

const leaseShards = 64

type leaseShard struct {
	mu      sync.Mutex
	buckets map[identity]*leased
	_       [48]byte // a cache line each
}

type identity struct {
	owner, id, name string
	scope           apikey.Scope
}

// leased is one bucket, under its shard's lock.
type leased struct {
	limit apikey.Limit
	key   string

	lease
	used    float64 // of the bucket when it was granted, in millionths, the lease included
	granted time.Duration

	touched time.Duration // when it was last asked for
	pending int           // calls that took from hand and do not know yet if they may keep it
	flight  *flight       // not nil: a call is asking for tokens ahead
	waited  int           // tokens that calls waited for while the last flight was out
	dry     time.Duration // there was not enough to take ahead: not before then again
}

// lease is tokens that Redis has set aside for this node.
type lease struct {
	id       float64 // 0: there is none
	hand     int     // tokens that are not spent
	void     bool    // they may not be: Redis may have them back, or they are of another limit
	deadline moment  // nor from then on
}

// flight is a call that asks for tokens ahead; others wait for it.
type flight struct {
	done   chan struct{}
	waited int
}

// moment is a time by two clocks. The monotonic one stands still while a
// machine sleeps, and the other can be set.
type moment struct {
	mono time.Duration
	wall int64
}

func (l *Limiter) moment() moment {
	now := time.Now()
	return moment{now.Sub(l.start), now.UnixNano()}
}

func (m moment) add(d time.Duration) moment { return moment{m.mono + d, m.wall + int64(d)} }

// before reports whether m is before o by both clocks.
func (m moment) before(o moment) bool { return m.mono < o.mono && m.wall < o.wall }

func newLeaseTable() *leaseTable {
	t := &leaseTable{seed: maphash.MakeSeed(), turn: make(chan struct{}, 1)}
	t.ids.Store(rand.Uint64()) //nolint:gosec // numbers must differ between nodes; who guesses one can do nothing with it
	for i := range t.shards {
		t.shards[i].buckets = make(map[identity]*leased)
	}
	return t
}

// newID is the number of a new lease, whole and exact in a double.
func (t *leaseTable) newID() float64 { return float64(t.ids.Add(1)<<12>>12 | 1<<51) }

func (t *leaseTable) shard(owner string) *leaseShard {
	return &t.shards[maphash.String(t.seed, owner)%leaseShards]
}

func identify(b *apikey.Bucket) identity { return identity{b.Owner, b.ID, b.Limit.Name, b.Scope} }

// has reports whether n tokens of limit are in hand at now.
func (e *leased) has(n int, limit *apikey.Limit, now moment) bool {
	return e.hand >= n && !e.void && e.limit == *limit && now.before(e.deadline)
}

// state estimates how the bucket stands: as it was granted, with what flowed
// in and what this node spent since. What other nodes spent is not in it.
func (e *leased) state(now time.Duration) state {
	rate := float64(e.limit.N) * 1e9 / float64(e.limit.Per) // millionths a microsecond
	elapsed := float64(now-e.granted) / 1e3
	used := max(0, e.used-elapsed*rate) - float64(e.hand)*micro
	return state{
		level: float64(e.limit.Capacity()) - used/micro,
		full:  time.Duration(max(0, min(math.Ceil(used/rate)*1e3, century))),
	}
}

const century = float64(100 * 365 * 24 * time.Hour)

// forfeit takes the lease out of hand, so that it can be given back.
func (e *leased) forfeit() lease {
	old := e.lease
	e.lease = lease{}
	return old
}

// keep has the lease that q could not give back in hand again. If q was sent,
// Redis may have the tokens and give them to others: they are not spent here,
// but given back once more, which Redis does once.
func (e *leased) keep(q *question, err error, now moment, leaseTime time.Duration) {
	if q.old.id == 0 || e.id != 0 || e.flight != nil || q.old.over(now, leaseTime) {
		return
	}
	e.lease = q.old
	e.void = e.void || !errors.Is(err, errOpen) || e.limit != q.bucket.Limit
}

// over reports whether Redis has ended the lease, or is about to.
func (le *lease) over(now moment, leaseTime time.Duration) bool {
	return !now.before(le.deadline.add(leaseTime / 5))
}
