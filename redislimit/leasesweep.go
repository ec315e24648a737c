package redislimit

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-apikey/apikey"
)

// sweepLeases has a goroutine give back what lies idle, while there is anything.
func (l *Limiter) sweepLeases() {
	t := l.leases
	if l.closed.Load() || !t.sweeping.CompareAndSwap(false, true) {
		return
	}
	time.AfterFunc(l.cfg.LeaseTime/8, func() {
		_ = l.sweep(context.Background(), false) // what cannot be returned expires
		t.sweeping.Store(false)
		if t.len() > 0 { // also what came since
			l.sweepLeases()
		}
	})
}

func (t *leaseTable) len() int {
	n := 0
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		n += len(sh.buckets)
		sh.mu.Unlock()
	}
	return n
}

// sweep gives back the leases that lie idle or end soon, or all, and forgets
// idle buckets.
func (l *Limiter) sweep(ctx context.Context, all bool) error {
	var returns []question
	for i := range l.leases.shards {
		returns = l.leases.shards[i].sweep(returns, l.moment(), l.cfg.LeaseTime, all)
	}
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	work := make(chan question)
	for range min(len(returns), maxBatch) {
		wg.Go(func() {
			for q := range work {
				if _, err := l.ask(ctx, 0, 0, []question{q}); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, q := range returns {
		work <- q
	}
	close(work)
	wg.Wait()
	if len(errs) > 0 {
		return errors.Join(ErrUnavailable, errs[0])
	}
	return nil
}

func (sh *leaseShard) sweep(returns []question, now moment, leaseTime time.Duration, all bool) []question {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for who, e := range sh.buckets {
		if e.pending > 0 || e.flight != nil {
			continue
		}
		idle := now.mono - e.touched
		ends := !now.add(leaseTime / 5).before(e.deadline)
		if e.id != 0 && (all || ends || idle >= leaseTime/4) {
			q := question{bucket: &apikey.Bucket{Scope: who.scope, ID: who.id, Owner: who.owner, Limit: e.limit}, key: e.key}
			q.old, q.back = e.forfeit()
			returns = append(returns, q)
		}
		if e.id == 0 && idle >= leaseTime {
			delete(sh.buckets, who)
		}
	}
	return returns
}
