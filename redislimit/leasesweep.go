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
		_ = l.sweep(context.Background(), false) // what cannot be returned is tried again
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
// idle buckets. It waits for another sweep.
func (l *Limiter) sweep(ctx context.Context, all bool) error {
	if !l.leases.takeTurn(ctx) {
		return errors.Join(ErrUnavailable, ctx.Err())
	}
	defer func() { <-l.leases.turn }()
	s := sweeper{limiter: l, all: all, probed: map[*lane]bool{}}
	for i := range l.leases.shards {
		s.collect(&l.leases.shards[i], l.moment())
	}
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	work := make(chan *returning)
	for range min(len(s.returns), maxBatch) {
		wg.Go(func() {
			for r := range work {
				if err := l.giveBack(ctx, r); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range s.returns {
		work <- &s.returns[i]
	}
	close(work)
	wg.Wait()
	if len(errs) > 0 {
		return errors.Join(ErrUnavailable, errs[0])
	}
	return nil
}

func (t *leaseTable) takeTurn(ctx context.Context) bool {
	select {
	case t.turn <- struct{}{}: // also where ctx has ended
		return true
	default:
	}
	select {
	case t.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// returning is a lease that goes back.
type returning struct {
	question
	from  *leased
	shard *leaseShard
}

// giveBack keeps what cannot be given back.
func (l *Limiter) giveBack(ctx context.Context, r *returning) error {
	_, err := l.ask(ctx, 0, 0, []question{r.question})
	if err != nil {
		r.shard.mu.Lock()
		defer r.shard.mu.Unlock()
		r.from.keep(&r.question, err, l.moment(), l.cfg.LeaseTime)
	}
	return err
}

// sweeper collects what a sweep gives back.
type sweeper struct {
	limiter *Limiter
	all     bool
	probed  map[*lane]bool // of those that fail
	returns []returning
}

func (s *sweeper) collect(sh *leaseShard, now moment) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	leaseTime := s.limiter.cfg.LeaseTime
	for who, e := range sh.buckets {
		if e.pending > 0 || e.flight != nil {
			continue
		}
		if e.id != 0 && s.due(e, who.owner, now) {
			b := &apikey.Bucket{Scope: who.scope, ID: who.id, Owner: who.owner, Limit: e.limit}
			s.returns = append(s.returns, returning{question{bucket: b, key: e.key, old: e.forfeit()}, e, sh})
			continue // it may come back
		}
		if e.over(now, leaseTime) {
			e.lease = lease{}
		}
		if e.id == 0 && now.mono-e.touched >= leaseTime {
			delete(sh.buckets, who)
		}
	}
}

// due reports whether e's lease is to go back now. While Redis fails, leases
// stay in hand, but for one that is tried.
func (s *sweeper) due(e *leased, owner string, now moment) bool {
	leaseTime := s.limiter.cfg.LeaseTime
	idle := e.void || now.mono-e.touched >= leaseTime/4
	ends := !now.add(leaseTime / 5).before(e.deadline)
	if s.all || !idle && !ends {
		return s.all
	}
	lane, _ := s.limiter.lane(owner)
	if !lane.breaker.open() {
		return true
	}
	if !idle || s.probed[lane] {
		return false
	}
	s.probed[lane] = true
	return true
}
