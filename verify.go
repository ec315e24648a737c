package apikey

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// Request is what a caller asks to be let in with, for what is not net/http.
type Request struct {
	Token       string
	Peer        netip.Addr   // who asks, for Key.Networks, events and the key's last refusal; the zero Addr: not known, and a key with Networks is refused
	Owner       string       // the key must belong to it; "": to anyone, so refuse a request whose owner you do not know before you ask
	All         []Permission // each of these is needed
	Any         []Permission // one of these is needed; nil: none
	Environment string       // the key must be of it; "": of any
	Cost        int          // tokens to take from each limit; 0: 1
}

// Verify decides over a request. An error is a [*Denial], for what the request
// is; an [*UnavailableError], when that cannot be said; [ErrCost], when it
// could never pass; or [ErrClosed]. With an error the Principal is nil.
//
// The Decision is of the limit that was nearest to being used up, for the
// caller to be told; it is zero if no limit applied.
func (m *Manager) Verify(ctx context.Context, r Request) (*Principal, Decision, error) {
	a := &attempt{Request: r}
	p, err := m.verify(ctx, a)
	if err != nil && !a.told {
		m.refused(ctx, r.Peer, err)
	}
	return p, a.decision, err
}

// attempt is a Request and what only a guard knows of it.
type attempt struct {
	Request
	id         string        // in Token, a well-formed one of ours; "": not looked for yet
	http       *http.Request // whose peer it is, by rules; nil: Peer
	rules      *httpRules
	wired      bool   // All and Any were checked when the route was wired
	set        uint64 // All and Any as permissionSets numbers them; 0: they are not
	ownerBound bool   // Owner was asked for, also if it is ""
	outer      *grant // of the guard around this one; nil: none
	paid       int    // what that guard took from the limits, for this one guard

	decision Decision // answered
	policy   string   // answered: of the decision's Limit, as a header has it
	told     bool     // answered: the host was told of this peer before
}

func (r *attempt) peer() netip.Addr {
	if r.http != nil {
		return r.rules.peer(r.http)
	}
	return r.Peer
}

// verify is the order of decisions, top to bottom. Whatever can go wrong ends
// in an error; the only way to a Principal is to reach the end.
func (m *Manager) verify(ctx context.Context, r *attempt) (*Principal, error) {
	if m.closed.Load() {
		return nil, ErrClosed
	}

	// 1. A well-formed token, ours or of a Scheme. No store call before this holds.
	ref, f, err := m.locate(r)
	if err != nil {
		return nil, err
	}

	// 2. The key, and a digest of its that the token has.
	rec, err := m.record(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		return nil, m.bad(r)
	}
	if err != nil {
		return nil, err
	}
	old, planUntil := m.lastUse(rec) // looked at before the hash, so that waiting for memory goes on beside it
	var v vitals
	rec.vitals(&v)
	secret, err := m.prove(&v, r.Token, f)
	if err != nil {
		return nil, err
	}
	if secret < 0 {
		return nil, m.bad(r)
	}

	now := m.now()
	nowMicro := now.UnixMicro()

	// 3. From an address that the key does not admit the answer stays what it
	// is for an unknown key. Else the secret is proven, and it may tell more.
	if v.networks != "" && !admits(v.networks, r.peer()) {
		return nil, m.deny(m.refusedUse(rec, old, &v, now), secret, nowMicro, r, &Denial{Reason: ReasonInvalid})
	}
	if reason := v.refuse(secret, nowMicro); reason != "" {
		return nil, m.deny(m.refusedUse(rec, old, &v, now), secret, nowMicro, r, &Denial{Reason: reason})
	}

	// 4. Plan, environment, owner, permissions.
	u, err := m.use(ctx, rec, old, planUntil, &v, now)
	if err != nil {
		return nil, err
	}
	p, _, _ := u.of(secret)
	if denial := u.refuse(p, r); denial != nil {
		return nil, m.deny(u, secret, nowMicro, r, denial)
	}

	// 5. Limits: all or none.
	if err := m.take(ctx, u, now, r); err != nil {
		return nil, err
	}
	if r.decision.Limit.N != 0 && !r.decision.Allowed {
		return nil, m.deny(u, secret, nowMicro, r, &Denial{Reason: ReasonRateLimited, Decision: r.decision})
	}

	// 6. Counted, and in. The inner of two guards counts nothing again.
	if r.paid == 0 && !m.usage.admitted(u, secret, nowMicro) {
		return nil, ErrClosed
	}
	if s := &v.secrets[secret]; !m.hasher.current(s.kind, s.pepper) && m.mayRehash(s, f) {
		m.rehash(u, s.n, r.Token)
	}
	return p, nil
}

// invalid is the denial of a request that proved nothing. Without a peer there
// is nothing in it to tell requests apart, so that a flood of garbage costs no
// memory.
func (r *attempt) invalid() *Denial {
	if peer := r.peer(); peer.IsValid() {
		return &Denial{Reason: ReasonInvalid, Peer: peer}
	}
	return errInvalidToken
}

// bad is the denial of a token with a right checksum that is of no key, or not
// the key's own. Those are what a guesser sends: they count against the peer.
func (m *Manager) bad(r *attempt) *Denial {
	if m.throttle == nil {
		return r.invalid()
	}
	peer := r.peer()
	if !peer.IsValid() {
		return r.invalid()
	}
	wait, first := m.throttle.fail(peer, m.now())
	if wait == 0 {
		return r.invalid()
	}
	r.told = !first
	return throttled(peer, wait)
}

func throttled(peer netip.Addr, wait time.Duration) *Denial {
	return &Denial{Reason: ReasonThrottled, Decision: Decision{RetryAfter: wait}, Peer: peer}
}

var errInvalidToken = &Denial{Reason: ReasonInvalid}

// locate is what the Store is to be asked for. A token of a slow scheme ends
// here when its peer sent too many bad ones: it must not cost a hash.
func (m *Manager) locate(r *attempt) (ref string, f *foreignToken, err error) {
	if r.id != "" {
		return r.id, nil, nil
	}
	ref, f, err = m.reference(r.Token)
	switch {
	case err != nil:
		return "", nil, err
	case ref == "":
		return "", nil, r.invalid()
	case f == nil:
		return ref, nil, nil
	}
	if peer := r.peer(); f.scheme.Slow && m.throttle != nil && peer.IsValid() {
		if wait, first := m.throttle.over(peer, m.now()); wait > 0 {
			r.told = !first
			return "", nil, throttled(peer, wait)
		}
	}
	return ref, f, nil
}

// reference is the ID in a native token, or the alias of a foreign one, which
// it takes apart; "": it is neither.
func (m *Manager) reference(token string) (ref string, f *foreignToken, err error) {
	if id, ok := m.parse(token); ok {
		return id, nil, nil
	}
	if f, err = m.foreign(token); f != nil {
		ref = f.alias
	}
	return ref, f, err
}

// record gets a record for verification. Its errors are ErrNotFound and
// *UnavailableError.
func (m *Manager) record(ctx context.Context, ref string) (rec *Record, err error) {
	defer func() {
		if r := recover(); r != nil {
			rec, err = nil, unavailable("store", fmt.Errorf("panic: %v", r))
		}
	}()
	if !m.nonBlocking {
		d := &deadline{Context: ctx, timeout: m.cfg.StoreTimeout}
		defer d.stop()
		ctx = d
	}
	rec, err = m.store.Get(ctx, ref)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, ErrNotFound
	case err != nil:
		return nil, unavailable("store", err)
	case rec == nil:
		return nil, unavailable("store", errors.New("it answered with neither a record nor an error"))
	case !rec.is(ref):
		return nil, unavailable("store", errors.New("it answered with another key's record"))
	}
	return rec, nil
}

// prove says which of the key's secrets the token is, -1 if none: of each it
// compares the digest, whether it is live or not, so that a rotated one can be
// told so. f is nil for a native token, which no foreign digest is of.
func (m *Manager) prove(v *vitals, token string, f *foreignToken) (secret int, err error) {
	var sum [sha256.Size]byte
	last, found, missing := -1, -1, false
	for i := range v.n {
		s := &v.secrets[i]
		if s.kind > kindHMAC {
			if f == nil {
				continue
			}
			ok, err := m.proveForeign(v, s, f)
			if err != nil && (!s.ended || errors.Is(err, errSlowGate)) {
				return 0, err
			}
			if ok {
				found = i
			}
			continue
		}
		if last < 0 || s.kind != v.secrets[last].kind || s.pepper != v.secrets[last].pepper {
			ok := false
			if sum, ok = m.hasher.sum(s.kind, s.pepper, token); !ok {
				missing = missing || !s.ended
				continue
			}
			last = i
		}
		if equal(&sum, s.sum) {
			found = i
		}
	}
	if found >= 0 {
		return found, nil
	}
	if missing {
		return 0, unavailable("pepper", errors.New("the pepper of a stored digest is not in Config.Peppers"))
	}
	return -1, nil
}

// refuse is why a proven secret does not admit: its key's state, or its own.
// What an explicit call ended is dead because the field is set, whatever the
// clock says; only deadlines are compared with it.
func (v *vitals) refuse(secret int, now int64) Reason {
	switch {
	case v.revoked:
		return ReasonRevoked
	case v.held:
		return ReasonHeld
	case v.disabled:
		return ReasonDisabled
	case v.expiresAt != 0 && now >= v.expiresAt:
		return ReasonExpired
	case now < v.notBefore:
		return ReasonNotYetValid
	case !v.secrets[secret].live(now):
		return ReasonRotated
	}
	return ""
}

// refuse is why a good key does not admit this request.
func (u *use) refuse(p *Principal, r *attempt) *Denial {
	if u.plan != nil && u.plan.plan.Refusal != "" {
		return &Denial{Reason: ReasonPlan, Plan: u.plan.plan.Refusal}
	}
	if r.Environment != "" && p.Environment() != r.Environment {
		return &Denial{Reason: ReasonEnvironment}
	}
	if (r.ownerBound || r.Owner != "") && p.Owner() != r.Owner {
		return &Denial{Reason: ReasonOwner}
	}
	if r.set != 0 && u.granted.Load()&r.set != 0 {
		return nil
	}
	can := func(need Permission) bool { return (r.wired || need.validRequired()) && p.can(need) }
	for _, need := range r.All {
		if !can(need) {
			return &Denial{Reason: ReasonPermission, Permission: need}
		}
	}
	if len(r.Any) > 0 && !slices.ContainsFunc(r.Any, can) {
		return &Denial{Reason: ReasonPermission, Permission: r.Any[0]}
	}
	if r.set != 0 {
		u.granted.Or(r.set)
	}
	return nil
}

// take takes the request's cost from all of the key's limits. The zero
// Decision means that none applied. The inner of two guards pays only what it
// costs more than the outer one.
func (m *Manager) take(ctx context.Context, u *use, now time.Time, r *attempt) error {
	if r.outer != nil && r.outer.principal.KeyID() == u.principal.KeyID() {
		r.paid = int(r.outer.credit.Swap(0))
	}
	cost := max(r.Cost, 1) - r.paid
	if !u.limited || cost <= 0 {
		return nil
	}
	if cost > u.capacity {
		return ErrCost
	}
	if m.buckets == nil {
		return m.askLimiter(ctx, now, cost, u.buckets, r)
	}
	if err := ctx.Err(); err != nil {
		return unavailable("limiter", err)
	}
	r.policy = m.buckets.takeSorted(now, cost, u.buckets, &r.decision).policy
	return nil
}

// askLimiter takes cost tokens from buckets of a Limiter that is not ours.
func (m *Manager) askLimiter(ctx context.Context, now time.Time, cost int, buckets []Bucket, r *attempt) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = unavailable("limiter", fmt.Errorf("panic: %v", p))
		}
	}()
	d, err := m.cfg.Limiter.Take(ctx, now, cost, buckets)
	if err != nil {
		return unavailable("limiter", err)
	}
	for i := range buckets {
		if buckets[i].Limit == d.Limit {
			r.decision, r.policy = d, buckets[i].policy
			return nil
		}
	}
	return unavailable("limiter", errors.New("its decision is of none of the limits asked for"))
}

// deny completes the denial of a proven key and counts it.
func (m *Manager) deny(u *use, secret int, now int64, r *attempt, d *Denial) error {
	d.KeyID, d.Owner, d.Peer = u.principal.KeyID(), u.principal.Owner(), r.peer()
	if !m.usage.denied(u, secret, d, now) {
		return ErrClosed
	}
	return d
}

// refused tells the host of a request that was not let in. A client that went
// away is no event.
func (m *Manager) refused(ctx context.Context, peer netip.Addr, err error) {
	if m.cfg.OnEvent == nil || ctx.Err() != nil {
		return
	}
	e := Event{Kind: EventUnavailable, At: m.now(), Peer: peer, Err: err}
	var denial *Denial
	switch {
	case errors.As(err, &denial):
		e.Kind, e.Reason, e.KeyID, e.Owner = EventDenied, denial.Reason, denial.KeyID, denial.Owner
	case errors.Is(err, ErrCost):
		e.Kind = EventCost
	}
	m.emit(ctx, e)
}
