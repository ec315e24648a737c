package apikey

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// NoCap is a [Plan] or [Write] without a cap on the number of keys.
const NoCap = -1

// Plan is what an owner may do. Its limits are shared and read-only once it is
// returned.
type Plan struct {
	Name        string  // required, up to 64 of a-z 0-9 _ -: a look-up that finds nothing is an error, never "unlimited"
	Refusal     string  // not "": the owner's keys are neither issued nor accepted, and this sentence says why
	MaxKeys     int     // keys that are neither revoked nor expired. 0: none may be made; NoCap: any number
	OwnerLimits []Limit // one bucket each, shared by all keys of the owner; at most 16
	KeyLimits   []Limit // one bucket each per key; a LimitOverride of the same name stands in its place; at most 16
}

const maxLimits = 16

func (p *Plan) check() error {
	var f faults
	if !validName(p.Name) {
		f.add("Plan.Name", "must be 1 to 64 characters of a-z 0-9 _ -")
	}
	if p.MaxKeys < NoCap {
		f.add("Plan.MaxKeys", "must be 0 or more, or NoCap")
	}
	if len(p.Refusal) > 1024 || !printable(p.Refusal, true) {
		f.add("Plan.Refusal", "must be at most 1024 bytes of text without control characters")
	}
	checkLimits(&f, "Plan.OwnerLimits", p.OwnerLimits)
	checkLimits(&f, "Plan.KeyLimits", p.KeyLimits)
	return f.err()
}

func checkLimits(f *faults, field string, limits []Limit) {
	if len(limits) > maxLimits {
		f.add(field, "must be at most %d", maxLimits)
		return
	}
	for i, l := range limits {
		l.check(f, fmt.Sprintf("%s[%d]", field, i))
		for _, other := range limits[:i] {
			if other.Name == l.Name {
				f.add(fmt.Sprintf("%s[%d].Name", field, i), "is used twice")
			}
		}
	}
}

// planEntry is a plan as it was answered for an owner. Every use of the
// owner's keys points to it, so that one refresh serves all of them.
type planEntry struct {
	until    atomic.Int64 // fresh until then, µs since 1970; 0: forgotten
	plan     Plan
	policies []string // of plan.KeyLimits and then plan.OwnerLimits, as headers have them
}

func newPlanEntry(plan Plan) *planEntry {
	e := &planEntry{plan: plan}
	for _, limits := range [][]Limit{plan.KeyLimits, plan.OwnerLimits} {
		for _, l := range limits {
			e.policies = append(e.policies, l.policy())
		}
	}
	return e
}

// plans asks the host for plans and remembers the answers for a while.
type plans struct {
	ask   func(ctx context.Context, owner string) (Plan, error)
	ttl   time.Duration
	seed  maphash.Seed
	parts [256]planPart // by owner: with a million of them, to sweep one takes half a millisecond
}

type planPart struct {
	mu      sync.Mutex
	entries map[string]*planEntry
	calls   map[string]*planCall
}

// planCall is a question under way.
type planCall struct {
	done  chan struct{}
	entry *planEntry
	err   error
	gone  bool // it failed, and its asker's context had ended
}

func newPlans(ask func(context.Context, string) (Plan, error), ttl time.Duration) *plans {
	p := &plans{ask: ask, ttl: ttl, seed: maphash.MakeSeed()}
	for i := range p.parts {
		p.parts[i].entries, p.parts[i].calls = make(map[string]*planEntry), make(map[string]*planCall)
	}
	return p
}

func (p *plans) part(owner string) *planPart {
	return &p.parts[maphash.String(p.seed, owner)%uint64(len(p.parts))]
}

// fresh reports whether an answer that is good until then may serve a
// verification at now. A clock that went back makes no answer last longer.
func (p *plans) fresh(until, now int64) bool {
	left := until - now
	return left > 0 && left <= p.ttl.Microseconds()
}

// remembered is the plan for a verification; nil if it must be asked for.
func (p *plans) remembered(owner string, now int64) *planEntry {
	part := p.part(owner)
	part.mu.Lock()
	defer part.mu.Unlock()
	return p.freshEntry(part, owner, now)
}

// freshEntry is what part, which is locked, has of owner; nil if it is too old.
func (p *plans) freshEntry(part *planPart, owner string, now int64) *planEntry {
	if e := part.entries[owner]; e != nil && p.fresh(e.until.Load(), now) {
		return e
	}
	return nil
}

// get is the plan for a verification: remembered, or asked for. Requests that
// want the same owner's plan at once share one question; if that fails when the
// asker has gone away or has no time left, the next in line asks again.
func (p *plans) get(ctx context.Context, owner string, now int64) (*planEntry, error) {
	part := p.part(owner)
	for {
		part.mu.Lock()
		if e := p.freshEntry(part, owner, now); e != nil {
			part.mu.Unlock()
			return e, nil
		}
		call := part.calls[owner]
		if call == nil {
			return p.lead(ctx, part, owner, now) // unlocks
		}
		part.mu.Unlock()
		select {
		case <-call.done:
			if !call.gone || ctx.Err() != nil {
				return call.entry, call.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// lead asks for owner's plan on behalf of all who wait. It is entered with
// part.mu held and leaves it unlocked.
func (p *plans) lead(ctx context.Context, part *planPart, owner string, now int64) (*planEntry, error) {
	call := &planCall{done: make(chan struct{}), err: errors.New("the host's function did not return")}
	part.calls[owner] = call
	part.mu.Unlock()
	defer part.finish(owner, call) // also if that function ends the goroutine

	plan, err := p.askHost(ctx, owner)
	if err != nil {
		call.err, call.gone = err, ctx.Err() != nil
		return nil, err
	}
	call.entry, call.err = part.keep(owner, call, plan, now+p.ttl.Microseconds()), nil
	return call.entry, nil
}

// finish lets go of those who wait for call.
func (p *planPart) finish(owner string, call *planCall) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls[owner] == call {
		delete(p.calls, owner)
	}
	close(call.done)
}

// keep remembers the answer of call, unless it was forgotten meanwhile. A plan
// that is as it was keeps its entry; else every key that the old one served is
// to see the new one.
func (p *planPart) keep(owner string, call *planCall, plan Plan, until int64) *planEntry {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls[owner] != call {
		return newPlanEntry(plan)
	}
	e := p.entries[owner]
	if e == nil || !reflect.DeepEqual(e.plan, plan) {
		if e != nil {
			e.until.Store(0)
		}
		e = newPlanEntry(plan)
		p.entries[owner] = e
	}
	e.until.Store(until)
	return e
}

// askHost asks whatever is remembered, and does not remember the answer.
func (p *plans) askHost(ctx context.Context, owner string) (plan Plan, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if plan, err = p.ask(ctx, owner); err != nil {
		return Plan{}, err
	}
	return plan, plan.check()
}

// forget drops what is known of owner's plan, and what is being asked.
func (p *plans) forget(owner string) {
	part := p.part(owner)
	part.mu.Lock()
	defer part.mu.Unlock()
	if e := part.entries[owner]; e != nil {
		e.until.Store(0)
		delete(part.entries, owner)
	}
	delete(part.calls, owner)
}

// sweep drops answers that are no longer fresh.
func (p *plans) sweep(now int64) {
	for i := range p.parts {
		p.sweepPart(&p.parts[i], now)
	}
}

func (p *plans) sweepPart(part *planPart, now int64) {
	part.mu.Lock()
	defer part.mu.Unlock()
	for owner, e := range part.entries {
		if !p.fresh(e.until.Load(), now) {
			e.until.Store(0) // keys in use still point to it: a clock that is set back must not revive it
			delete(part.entries, owner)
		}
	}
}
