package redislimit

import (
	"context"
	"time"

	"github.com/go-apikey/apikey"
)

const (
	maxWaits = 3                     // for other calls' flights, then a call asks itself
	dryTime  = 20 * time.Millisecond // no tokens ahead of a bucket that had too few
)

// takeLeased takes from what is in hand; what is not, Redis is asked for.
func (l *Limiter) takeLeased(ctx context.Context, n int, buckets []apikey.Bucket) (apikey.Decision, error) {
	sh := l.leases.shard(buckets[0].Owner)
	var end time.Duration
	for waits := 0; ; waits++ {
		now := l.moment()
		sh.mu.Lock()
		if d, ok := sh.takeFromHand(now, n, buckets); ok {
			sh.mu.Unlock()
			return d, nil
		}
		if waits == 0 {
			end = now.mono + l.cfg.Timeout
		}
		var f *flight
		if waits < maxWaits {
			f = sh.join(now, n, buckets)
		}
		if f == nil {
			return l.takeAhead(ctx, sh, now, end, n, buckets) // which unlocks
		}
		sh.mu.Unlock()
		if err := wait(ctx, end-now.mono, f); err != nil {
			sh.mu.Lock()
			f.waited -= n
			sh.mu.Unlock()
			return apikey.Decision{}, err
		}
	}
}

// takeFromHand takes n from each of the buckets if all have them in hand. sh is locked.
func (sh *leaseShard) takeFromHand(now moment, n int, buckets []apikey.Bucket) (apikey.Decision, bool) {
	var few [8]*leased
	entries := few[:0]
	for i := range buckets {
		e := sh.buckets[identify(&buckets[i])]
		if e == nil || !e.has(n, &buckets[i].Limit, now) {
			return apikey.Decision{}, false
		}
		entries = append(entries, e)
	}
	d := decision{allowed: true}
	for _, e := range entries {
		e.hand -= n
		e.touched = now.mono
		d.add(e.limit, e.state(now.mono))
	}
	return d.Decision(), true
}

// join returns a flight that may bring what is not in hand; nil: there is none. sh is locked.
func (sh *leaseShard) join(now moment, n int, buckets []apikey.Bucket) *flight {
	for i := range buckets {
		e := sh.buckets[identify(&buckets[i])]
		if e != nil && e.flight != nil && e.limit == buckets[i].Limit && !e.has(n, &buckets[i].Limit, now) {
			e.flight.waited += n
			return e.flight
		}
	}
	return nil
}

func wait(ctx context.Context, within time.Duration, f *flight) error {
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		return errTimeout
	}
}

// asking is a bucket of a call that asks Redis.
type asking struct {
	*leased
	question int     // its number; -1: n were in hand
	from     float64 // the lease that they were in
}

// takeAhead takes n from each of the buckets: from hand where they are, and of
// the rest in Redis, all or none. sh is locked, and is unlocked.
func (l *Limiter) takeAhead(ctx context.Context, sh *leaseShard, now moment, end time.Duration, n int, buckets []apikey.Bucket) (apikey.Decision, error) {
	list := make([]asking, len(buckets))
	questions := make([]question, 0, len(buckets))
	for i := range buckets {
		b := &buckets[i]
		e, hot := sh.entry(l, b, now)
		if e.has(n, &b.Limit, now) {
			e.hand -= n
			e.pending++
			list[i] = asking{e, -1, e.id}
			continue
		}
		list[i] = asking{e, len(questions), 0}
		questions = append(questions, l.question(e, b, now, hot))
	}
	sh.mu.Unlock()
	reply, err := l.ask(ctx, end, n, questions)

	sh.mu.Lock()
	defer sh.mu.Unlock()
	d := decision{allowed: err == nil && reply.allowed()}
	for i := range list {
		a := &list[i]
		if a.question < 0 {
			a.settle(d.allowed, n)
			if d.allowed {
				d.add(buckets[i].Limit, a.state(now.mono))
			}
			continue
		}
		q := &questions[a.question]
		if err != nil {
			l.failed(a.leased, q, err, now)
			continue
		}
		l.receive(a.leased, q, reply, a.question, now)
		d.add(buckets[i].Limit, reply.state(a.question, &buckets[i].Limit))
	}
	l.sweepLeases()
	if err != nil {
		return apikey.Decision{}, err
	}
	return d.Decision(), nil
}

// entry is the bucket's, and whether it is in use. sh is locked.
func (sh *leaseShard) entry(l *Limiter, b *apikey.Bucket, now moment) (e *leased, hot bool) {
	who := identify(b)
	e = sh.buckets[who]
	if e == nil {
		e = &leased{key: keyName(l.cfg.Prefix, b), limit: b.Limit}
		sh.buckets[who] = e
	} else {
		hot = now.mono-e.touched < l.cfg.LeaseTime
	}
	e.touched = now.mono
	return e, hot
}

// question is what Redis is asked of a bucket whose tokens in hand are too
// few: the lease goes back with it, and a new one is asked for.
func (l *Limiter) question(e *leased, b *apikey.Bucket, now moment, hot bool) question {
	q := question{bucket: b, key: e.key}
	if e.pending > 0 || e.flight != nil { // the lease is in use
		return q
	}
	q.old = e.forfeit()
	if e.limit != b.Limit {
		e.limit, q.old.void = b.Limit, true
	}
	if hot && now.mono >= e.dry {
		q.ahead, q.id = l.cfg.Lease+e.waited, l.leases.newID()
		e.flight = &flight{done: make(chan struct{})}
	}
	return q
}

// receive puts what Redis granted in hand. asked is when it was asked: by then
// the lease had not begun, so it ends here before it does there, however long
// this process is stopped.
func (l *Limiter) receive(e *leased, q *question, r reply, i int, asked moment) {
	if q.ahead == 0 {
		return
	}
	granted := r.granted(i)
	if granted < q.ahead {
		e.dry = asked.mono + dryTime
	}
	if granted > 0 {
		e.lease = lease{id: q.id, hand: granted, deadline: asked.add(l.cfg.LeaseTime * 4 / 5)} // clocks that differ by a fifth
		e.used, e.granted = r.of(i, replyUsed), asked.mono
	}
	e.land(e.dry)
	e.waited = max(0, e.waited-granted)
}

// failed ends the flight that Redis did not answer.
func (l *Limiter) failed(e *leased, q *question, err error, asked moment) {
	if q.ahead > 0 {
		e.land(asked.mono + dryTime)
		e.waited = 0 // who still waits will ask
	}
	e.keep(q, err, l.moment(), l.cfg.LeaseTime)
}

// land ends the flight.
func (e *leased) land(dry time.Duration) {
	e.dry = dry
	e.waited = e.flight.waited
	close(e.flight.done)
	e.flight = nil
}

// settle keeps or puts back what was taken from hand while Redis was asked.
// Where the lease has ended meanwhile, what is put back is lost with it.
func (a *asking) settle(keep bool, n int) {
	a.pending--
	if !keep && a.id == a.from {
		a.hand += n
	}
}
