package apikey

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// use is what a Manager keeps of a key while requests come in with it: what a
// handler will see, the buckets of its limits, and what was counted since the
// last flush. It hangs on the Record, so that finding the one finds the other,
// and is let go when the key falls idle. A changed record begins without one.
type use struct {
	// One cache line is what most requests need.
	mu        sync.Mutex // guards the tallies, and what is marked so
	m         *Manager   // whose it is: another Manager on the same Store makes its own
	plan      *planEntry // nil without Config.Plan
	until     int64      // µs since 1970, when a LimitOverride ends; 0: never
	tally     tally      // of the newest secret
	dirty     bool       // mu: in a shard's list, waiting to be collected
	busy      bool       // mu: was admitted more than once in an interval: stays on its record
	rehashing bool       // mu: a new digest is on its way
	limited   bool       // there are buckets
	capacity  int        // of the smallest of them

	buckets   []Bucket
	granted   atomic.Uint64 // the permissionSets that were asked of the key and granted
	principal Principal     // of the newest secret
	refused   *refusals     // mu: of the newest secret; nil: none yet
	second    *secondUse    // of the other one; nil if there is none
	rec       *Record
	next      *use  // in the shard's list, while dirty
	collected int64 // mu: the flush that last found it dirty
}

// secondUse is the older secret of a key that has two.
type secondUse struct {
	principal Principal
	tally     tally
	refused   *refusals
}

// of is the i-th secret in the order of the record.
func (u *use) of(i int) (*Principal, *tally, **refusals) {
	if i == 0 {
		return &u.principal, &u.tally, &u.refused
	}
	return &u.second.principal, &u.second.tally, &u.second.refused
}

// lastUse is what m kept of a record, fresh or not, nil if nothing; and how
// long its plan is fresh.
func (m *Manager) lastUse(rec *Record) (u *use, until int64) {
	if u = rec.use.Load(); u == nil || u.m != m {
		return nil, 0
	}
	if u.plan == nil {
		return u, 0
	}
	return u, u.plan.until.Load()
}

// use is what m keeps of a record in use: old, if it is still good, or made
// anew.
func (m *Manager) use(ctx context.Context, rec *Record, old *use, planUntil int64, v *vitals, now time.Time) (*use, error) {
	nowMicro := now.UnixMicro()
	current := old != nil && (old.until == 0 || nowMicro < old.until)
	if current && (m.plans == nil || old.plan != nil && m.plans.fresh(planUntil, nowMicro)) {
		return old, nil
	}
	var plan *planEntry
	if m.plans != nil {
		var err error
		if plan, err = m.planFor(ctx, (&Principal{pub: v.pub}).Owner(), nowMicro); err != nil {
			return nil, unavailable("plan", err)
		}
		if current && old.plan == plan {
			return old, nil // asked again, and the answer is the same
		}
	}
	return m.keep(rec, old, m.newUse(rec, plan, v, now)), nil
}

// refusedUse is what m keeps of a record whose state refuses requests, for them
// to be counted. No plan is asked for.
func (m *Manager) refusedUse(rec *Record, old *use, v *vitals, now time.Time) *use {
	if old != nil {
		return old
	}
	return m.keep(rec, nil, m.newUse(rec, nil, v, now))
}

func (m *Manager) newUse(rec *Record, plan *planEntry, v *vitals, now time.Time) *use {
	u := new(use)
	if plan != nil { // room for two buckets beside it, so that they come into the cache together
		x := new(struct {
			use
			room [2]Bucket
		})
		u, x.buckets = &x.use, x.room[:0]
	}
	u.m, u.rec = m, rec
	u.principal = newPrincipal(v.pub, v.secrets[0].n)
	if plan != nil {
		u.plan, u.principal.plan = plan, plan.plan.Name
	}
	if v.n > 1 {
		u.second = &secondUse{principal: u.principal}
		u.second.principal.secret = v.secrets[1].n
	}
	u.limit(v, now)
	return u
}

// keep hangs u on its record in place of old. If somebody was faster and made
// the same, that is returned.
func (m *Manager) keep(rec *Record, old, u *use) *use {
	if rec.use.CompareAndSwap(old, u) {
		m.usage.track(u)
	} else if won, _ := m.lastUse(rec); won != nil && won.plan == u.plan { // else another Manager has its own there
		return won
	}
	return u
}

// planFor is a plan that is remembered, or asked for with the time that a store
// would have.
func (m *Manager) planFor(ctx context.Context, owner string, now int64) (*planEntry, error) {
	if e := m.plans.remembered(owner, now); e != nil { // nearly always: a timer would take twice as long
		return e, nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.StoreTimeout)
	defer cancel()
	return m.plans.get(ctx, owner, now)
}

// limit sets the buckets that the plan and the key's own overrides ask for:
// the key's first, then the owner's.
func (u *use) limit(v *vitals, now time.Time) {
	p := &u.principal
	var overrides []LimitOverride
	for _, o := range limitsOf(v.pub, v.n) {
		if o.Until.IsZero() || now.Before(o.Until) {
			overrides = append(overrides, o)
			if us := o.Until.UnixMicro(); !o.Until.IsZero() && (u.until == 0 || us < u.until) {
				u.until = us
			}
		}
	}
	entry := u.plan
	if entry == nil {
		entry = new(planEntry)
	}
	keyLimits, ownerLimits := entry.plan.KeyLimits, entry.plan.OwnerLimits
	n := len(keyLimits) + len(ownerLimits) + len(overrides)
	if n == 0 {
		return
	}
	u.limited, u.buckets = true, slices.Grow(u.buckets, n)
	add := func(scope Scope, id string, l Limit, policy string) {
		u.buckets = append(u.buckets, Bucket{Scope: scope, ID: id, Owner: p.Owner(), Limit: l, policy: policy})
	}
	for i, l := range keyLimits {
		add(ScopeKey, p.KeyID(), l, entry.policies[i])
	}
next:
	for _, o := range overrides {
		for i := range u.buckets {
			if u.buckets[i].Limit.Name == o.Name {
				u.buckets[i].Limit, u.buckets[i].policy = o.Limit, o.policy()
				continue next
			}
		}
		add(ScopeKey, p.KeyID(), o.Limit, o.policy())
	}
	for i, l := range ownerLimits {
		add(ScopeOwner, p.Owner(), l, entry.policies[len(keyLimits)+i])
	}
	u.capacity = math.MaxInt
	for i := range u.buckets {
		l := &u.buckets[i].Limit
		u.capacity = min(u.capacity, l.Capacity())
		if !l.isLimit() { // restored so by a tool: no number can be said to be below it
			u.capacity = 0
		}
	}
	if t := u.m.buckets; t != nil {
		t.resolve(u.buckets, now)
	}
}

// mayRehash reports whether a digest of ours may take the place of s: not a bare
// SHA-256 of a token that may be guessed, where a slow hash or a key is what
// keeps the guesser out.
func (m *Manager) mayRehash(s *secretVitals, f *foreignToken) bool {
	if s.kind <= kindHMAC || f.scheme.SecretBits >= enoughBits || m.hasher.newest != 0 {
		return true
	}
	d, err := parseForeign(s.sum)
	return err == nil && !d.guarded()
}

// rehash has the digest of a token that was just used replaced by one of the
// newest kind, outside the request's way. If the queue is full a later use
// will ask again, and if it fails one after the next flush.
func (m *Manager) rehash(u *use, secret uint32, token string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.rehashing {
		return
	}
	select {
	case m.rehashes <- rehash{rec: u.rec, secret: secret, digest: m.hasher.digest(token)}:
		u.rehashing = true
	default:
	}
}

type rehash struct {
	rec    *Record
	secret uint32
	digest Digest
}

// store replaces the digest, if the record is still the one that the token was
// verified against: so it can neither revive nor overwrite anything. A failure
// refuses nobody.
func (r rehash) store(ctx context.Context, m *Manager) {
	d := r.rec.decode()
	for i := range d.key.Secrets {
		if d.key.Secrets[i].N == r.secret {
			d.digests[i] = r.digest
		}
	}
	next, err := d.next()
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, m.cfg.StoreTimeout)
		defer cancel()
		change := Change{At: m.nowMicro(), Action: "rehash", KeyID: r.rec.ID(), Owner: r.rec.Owner()}
		err = m.protect(func() error { return m.primary.Update(ctx, next, Write{Change: change, MaxKeys: NoCap}) })
	}
	if err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) { // else somebody changed the key meanwhile: its next use asks again
		m.emit(ctx, Event{Kind: EventRehash, At: m.now(), KeyID: r.rec.ID(), Owner: r.rec.Owner(), Err: err})
	}
}
