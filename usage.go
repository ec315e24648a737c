package apikey

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	usageShards = 64
	usageBatch  = 500 // UsageBatch.Entries
	hourMicro   = int64(time.Hour / time.Microsecond)
)

// tally is what was counted of one secret since the last flush, all in one hour.
type tally struct {
	hour     uint32 // since 1970
	requests uint32
	last     int64 // µs since 1970
}

// refusals is what was refused of one secret since the last flush, all in one hour.
type refusals struct {
	hour    uint32 // since 1970
	limited uint32
	denied  uint32
	last    Refusal
}

// usageKey is what a UsageEntry is about.
type usageKey struct {
	id     string
	secret uint32
	hour   int64
}

// usage counts requests off the store's way and hands them over in batches.
// A request only touches its key's own use, and the list of its shard the
// first time after a flush. What is collected from there waits in pending: a
// shard has its own, so that no request waits while a flush goes through all keys.
type usage struct {
	m      *Manager
	node   string
	shards [usageShards]usageShard

	sending chan struct{} // full while batches go to the store: one at a time

	collecting sync.Mutex // guards what follows
	gen        int64      // how often was collected
	busy       []*use     // uses that stay on their records

	mu       sync.Mutex    // guards what follows; no request waits for it
	leaving  []*UsageEntry // what the flush under way found in the shards
	seq      int64         // of the batch in flight
	inFlight *UsageBatch   // handed over and not acknowledged: repeated unchanged
}

// usageShard is of some keys. No request waits to be in its list: they push, a
// flush takes it whole.
type usageShard struct {
	dirty   atomic.Pointer[use] // the list of those to collect, by use.next; usageClosed: nothing is counted any more
	mu      sync.Mutex
	pending map[usageKey]*UsageEntry // mu; nil: none
	_       [40]byte                 // one cache line each, so that two cores do not share one
}

// usageClosed is the list of a shard after Close took the last counts.
var usageClosed = new(use)

func newUsage(m *Manager) *usage {
	return &usage{m: m, node: randomBase62(22), sending: make(chan struct{}, 1)}
}

// admitted counts a request of u's i-th secret. It reports false after Close
// took the last counts: the request must be refused then.
func (g *usage) admitted(u *use, i int, now int64) bool {
	p, t, _ := u.of(i)
	hour := uint32(now / hourMicro)
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.dirty && !g.enlist(u) {
		return false
	}
	if t.hour != hour || t.requests == math.MaxUint32 {
		g.spill(p, t)
		t.hour = hour
	}
	t.requests++
	t.last = max(t.last, now)
	return true
}

// track has the next collect look at u: it may never be admitted.
func (g *usage) track(u *use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.dirty {
		g.enlist(u)
	}
}

// enlist puts u into its shard's list. u.mu is held.
func (g *usage) enlist(u *use) bool {
	list := &g.shard(u.principal.KeyID()).dirty
	for {
		first := list.Load()
		if first == usageClosed {
			return false
		}
		u.next = first
		if list.CompareAndSwap(first, u) {
			u.dirty = true
			return true
		}
	}
}

func (g *usage) shard(id string) *usageShard { return &g.shards[id[len(id)-1]%usageShards] }

// denied counts the refusal of u's i-th secret, which was proven. It reports
// false after Close took the last counts.
func (g *usage) denied(u *use, i int, d *Denial, now int64) bool {
	p, _, refused := u.of(i)
	hour := uint32(now / hourMicro)
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.dirty && !g.enlist(u) {
		return false
	}
	if *refused == nil {
		*refused = new(refusals)
	}
	r := *refused
	n := &r.denied
	if d.Reason == ReasonRateLimited {
		n = &r.limited
	}
	if r.hour != hour || *n == math.MaxUint32 {
		g.spillRefusals(p, r)
		r.hour = hour
	}
	*n++
	if at := time.UnixMicro(now).UTC(); !at.Before(r.last.At) {
		r.last = Refusal{At: at, Peer: d.Peer, Reason: d.Reason}
	}
	return true
}

// spill moves a tally to pending. Its use is locked.
func (g *usage) spill(p *Principal, t *tally) {
	if t.requests == 0 {
		return
	}
	g.pend(p, t.hour, func(e *UsageEntry) {
		e.Requests += int64(t.requests)
		if last := time.UnixMicro(t.last).UTC(); last.After(e.LastUsed) {
			e.LastUsed = last
		}
	})
	*t = tally{}
}

// spillRefusals moves refusals to pending. Their use is locked.
func (g *usage) spillRefusals(p *Principal, r *refusals) {
	if r.limited == 0 && r.denied == 0 {
		return
	}
	g.pend(p, r.hour, func(e *UsageEntry) {
		e.Limited += int64(r.limited)
		e.Denied += int64(r.denied)
		if !r.last.At.Before(e.LastRefusal.At) {
			e.LastRefusal = r.last
		}
	})
	*r = refusals{}
}

// pend adds to what is pending of a secret and an hour.
func (g *usage) pend(p *Principal, hour uint32, add func(e *UsageEntry)) {
	s := g.shard(p.KeyID())
	s.mu.Lock()
	defer s.mu.Unlock()
	add(s.entry(usageKey{p.KeyID(), p.secret, int64(hour)}))
}

// add counts what an imported key was used for before. It reports false after
// Close took the last counts.
func (g *usage) add(id string, requests int64, last, now time.Time) bool {
	if requests == 0 && last.IsZero() {
		return true
	}
	at := last
	if at.IsZero() {
		at = now
	}
	s := g.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirty.Load() == usageClosed { // a last flush drains after it closed, under mu
		return false
	}
	e := s.entry(usageKey{id, 1, at.UnixMicro() / hourMicro})
	e.Requests += requests
	if last.After(e.LastUsed) {
		e.LastUsed = last
	}
	return true
}

// entry is the pending one for k. s.mu is held.
func (s *usageShard) entry(k usageKey) *UsageEntry {
	e := s.pending[k]
	if e == nil {
		e = &UsageEntry{KeyID: k.id, Secret: k.secret, Hour: time.UnixMicro(k.hour * hourMicro).UTC()}
		if s.pending == nil {
			s.pending = make(map[usageKey]*UsageEntry)
		}
		s.pending[k] = e
	}
	return e
}

// flush stores all that was counted before it began. What fails stays, and the
// batch in flight is repeated unchanged by the next flush. With last nothing
// is counted any more after it.
func (g *usage) flush(ctx context.Context, last bool) error {
	g.collect(last)
	select {
	case g.sending <- struct{}{}:
		defer func() { <-g.sending }()
	case <-ctx.Done(): // another flush waits for the store
		return ctx.Err()
	}
	for drained := false; ; {
		b := g.nextBatch()
		if b == nil && drained {
			return nil
		}
		if b == nil { // once: requests come in for as long as a flush takes
			g.drain()
			drained = true
			continue
		}
		if err := g.send(ctx, *b); err != nil {
			return err
		}
		g.acknowledged()
	}
}

func (g *usage) send(ctx context.Context, b UsageBatch) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	b.Entries = slices.Clone(b.Entries) // the store may do as it likes with it
	return g.m.protect(func() error { return g.m.primary.AddUsage(ctx, b) })
}

// flushTimeout is how long one batch may take: nobody waits for it.
const flushTimeout = 30 * time.Second

// collect moves every tally to pending, and lets go of uses that are idle: a
// key that was used once or not at all since the last time. So the memory of a
// key in use is held for the busy ones only.
func (g *usage) collect(last bool) {
	g.collecting.Lock()
	defer g.collecting.Unlock()
	g.gen++
	for i := range g.shards {
		g.collectShard(&g.shards[i], last)
	}
	g.busy = slices.DeleteFunc(g.busy, func(u *use) bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.collected == g.gen && !last {
			return false
		}
		u.busy = false
		u.rec.use.CompareAndSwap(u, nil)
		return true
	})
}

func (g *usage) collectShard(s *usageShard, last bool) {
	var empty *use
	if last || s.dirty.Load() == usageClosed {
		empty = usageClosed
	}
	u := s.dirty.Swap(empty)
	for n := 1; u != nil && u != usageClosed; n++ {
		next := u.next
		u.next = nil // before a request may push u again; and nothing keeps a list alive
		g.collectUse(u)
		if u = next; n%yieldAfter == 0 {
			runtime.Gosched()
		}
	}
}

// yieldAfter is how many keys a flush goes through before it lets others have
// its processor. A request that waited for a lock of its would else wait on
// until the scheduler takes the processor away, after 10 ms.
const yieldAfter = 128

func (g *usage) collectUse(u *use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	again := g.collectSecret(u, 0) > 1
	if u.second != nil {
		again = g.collectSecret(u, 1) > 0 || again
	}
	u.dirty, u.rehashing, u.collected = false, false, g.gen
	switch {
	case u.busy:
	case again: // let go of with the others if this is the last time
		u.busy = true
		g.busy = append(g.busy, u)
	default:
		u.rec.use.CompareAndSwap(u, nil)
	}
}

// collectSecret moves to pending what was counted of u's i-th secret, n requests.
func (g *usage) collectSecret(u *use, i int) (n uint64) {
	p, t, refused := u.of(i)
	n = uint64(t.requests)
	g.spill(p, t)
	if r := *refused; r != nil {
		n += uint64(r.limited) + uint64(r.denied)
		g.spillRefusals(p, r)
	}
	return n
}

// nextBatch is the batch in flight. If there is none it takes up to usageBatch
// entries from leaving; nil if that is empty.
func (g *usage) nextBatch() *UsageBatch {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inFlight != nil || len(g.leaving) == 0 {
		return g.inFlight
	}
	g.seq++
	n := min(len(g.leaving), usageBatch)
	b := &UsageBatch{Node: g.node, Seq: g.seq, Entries: make([]UsageEntry, n)}
	for i, e := range g.leaving[:n] {
		b.Entries[i] = *e
	}
	clear(g.leaving[:n])
	g.leaving = g.leaving[n:]
	slices.SortFunc(b.Entries, func(x, y UsageEntry) int {
		return cmp.Or(cmp.Compare(x.KeyID, y.KeyID), cmp.Compare(x.Secret, y.Secret), x.Hour.Compare(y.Hour))
	})
	g.inFlight = b
	return b
}

// drain takes all that is pending. Nothing is leaving.
func (g *usage) drain() {
	var found []*UsageEntry
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		pending := s.pending
		s.pending = nil
		s.mu.Unlock()
		found = slices.AppendSeq(found, maps.Values(pending))
		runtime.Gosched()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaving = found
}

func (g *usage) acknowledged() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight = nil
}

// lost is what a failed last flush leaves behind.
func (g *usage) lost(err error) *UsageLostError {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := &UsageLostError{Err: err}
	if g.inFlight != nil {
		for i := range g.inFlight.Entries {
			l.add(&g.inFlight.Entries[i])
		}
	}
	for _, e := range g.leaving {
		l.add(e)
	}
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		for _, e := range s.pending {
			l.add(e)
		}
		s.mu.Unlock()
	}
	return l
}

// UsageLostError says what [Manager.Close] could not store. Counts of a batch
// that failed may have been stored all the same.
type UsageLostError struct {
	Requests, Limited, Denied int64
	Err                       error
}

func (e *UsageLostError) add(u *UsageEntry) {
	e.Requests += u.Requests
	e.Limited += u.Limited
	e.Denied += u.Denied
}

func (e *UsageLostError) Error() string {
	return fmt.Sprintf("apikey: usage was not stored: %d requests, %d limited, %d denied: %v", e.Requests, e.Limited, e.Denied, e.Err)
}

func (e *UsageLostError) Unwrap() error { return e.Err }
