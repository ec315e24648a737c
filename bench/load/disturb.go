package load

import (
	"context"
	"crypto/sha256"
	"runtime"
	"strconv"
	"time"

	"github.com/go-apikey/apikey"
)

// disturb begins a disturbance, which rest ends.
func (s *server) disturb(ctx context.Context, o *order) {
	if o.By == Sweep {
		s.idle.wait(ctx)
	}
	ctx, s.disturbance = context.WithCancel(ctx)
	s.disturbed, s.work, s.before = make(chan error, 1), Work{}, waits()
	go func() {
		switch o.By {
		case Computation:
			s.compute(ctx, o)
			s.disturbed <- nil
		case Management:
			s.disturbed <- s.manage(ctx, o.Hard)
		case Flushes:
			s.disturbed <- s.flush(ctx, o)
		case Sweep:
			s.sweep(ctx, o.For/8)
			s.disturbed <- nil
		default:
			s.disturbed <- nil
		}
	}()
}

// rest ends the disturbance and says what it did, and where verification waited
// meanwhile.
func (s *server) rest() (Work, []Wait, error) {
	s.disturbance()
	err := <-s.disturbed
	return s.work, waitsSince(s.before), err
}

// called notes a call that began at start.
func (w *Work) called(start time.Time) {
	took := time.Since(start)
	w.Busy += took
	w.LongCall = max(w.LongCall, took)
}

// compute hashes for a tenth of a second, twice while it is looked at, or
// without a breath.
func (s *server) compute(ctx context.Context, o *order) {
	for next(ctx, o.Hard, o.For/4) {
		start := time.Now()
		for time.Since(start) < 100*time.Millisecond {
			for range 1000 {
				s.sum = sha256.Sum256(s.sum[:])
			}
		}
		s.work.called(start)
	}
}

// manage is what people and their tools do to keys: 200 rounds of a create, a
// rotation, a change of a key in use, a list and a revocation in a second, and
// in every twentieth a search through the keys of all owners. Hard: as many as
// one core can do.
func (s *server) manage(ctx context.Context, hard bool) error {
	w := &s.work
	for i := 0; next(ctx, hard, 5*time.Millisecond); i++ {
		start := time.Now()
		ring := s.m.Keyring("ops_"+strconv.Itoa(i%100), operator)
		issued, err := ring.Create(context.Background(), apikey.KeyParams{Name: "Deploy", Permissions: apikey.Permissions{"calls:*"}})
		if err != nil {
			return err
		}
		w.Created++
		w.called(start)
		for _, call := range []func(ctx context.Context) error{
			func(ctx context.Context) error {
				_, err := ring.Rotate(ctx, issued.Key.ID, apikey.RotateParams{Grace: time.Hour})
				w.Rotated++
				return err
			},
			func(ctx context.Context) error {
				key := s.owned[i%len(s.owned)]
				_, err := s.m.Keyring(key.owner, operator).Update(ctx, key.id, apikey.KeyUpdate{Name: new("Renamed " + strconv.Itoa(i))})
				w.Updated++
				return err
			},
			func(ctx context.Context) error {
				_, err := ring.List(ctx, apikey.Query{Limit: 50})
				w.Lists++
				return err
			},
			func(ctx context.Context) error {
				if i%20 != 0 {
					return nil
				}
				_, err := s.m.List(ctx, apikey.Query{AllOwners: true, Text: "key 99", Limit: 50})
				w.Lists++
				return err
			},
			func(ctx context.Context) error {
				_, err := ring.Revoke(ctx, issued.Key.ID)
				w.Revoked++
				return err
			},
		} {
			start := time.Now()
			if err := call(context.Background()); err != nil {
				return err
			}
			w.called(start)
			runtime.Gosched() // what holds up others is to be the library's, not this loop
		}
	}
	return nil
}

// flush has every key used, and stores the usage of all of them at once: once
// or twice while it is looked at, or without a breath.
func (s *server) flush(ctx context.Context, o *order) error {
	for next(ctx, o.Hard, o.For/4) {
		if err := s.useAll(context.Background(), o.Hard); err != nil {
			return err
		}
		start := time.Now()
		if err := s.m.Flush(context.Background()); err != nil {
			return err
		}
		s.work.called(start)
		s.work.Flushes++
		s.work.Flushed += len(s.tokens)
	}
	return nil
}

// next waits a while, or does not, and reports whether to go on.
func next(ctx context.Context, hard bool, d time.Duration) bool {
	if hard {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// idleBuckets are two lots of buckets that nobody asks for any more. A Sweep
// drops a bucket a minute after its last use, and one that is made after a
// Sweep has no last use before it. So both lots are made at the start, as if
// used a minute ago but for as long as they are to wait.
type idleBuckets struct {
	due []time.Time
}

func (b *idleBuckets) fill(ctx context.Context, t *apikey.TokenBuckets, set *setup) error {
	if set.IdleBuckets == 0 {
		return nil
	}
	limit := apikey.Limit{Name: "minute", N: 600, Per: time.Minute}
	var took time.Duration // of the first lot: the second is not to be due before it is there
	for lot := range 2 {
		start := time.Now()
		due := start
		if lot > 0 {
			due = start.Add(3*took + set.SweepAfter)
		}
		b.due = append(b.due, due)
		for i := range set.IdleBuckets {
			bucket := []apikey.Bucket{{Scope: apikey.ScopeKey, ID: "idle_" + strconv.Itoa(lot) + "_" + strconv.Itoa(i), Owner: "acct_idle", Limit: limit}}
			if _, err := t.Take(ctx, due.Add(-time.Minute), 1, bucket); err != nil {
				return err
			}
		}
		took = time.Since(start)
	}
	return nil
}

// wait waits until the next lot may be swept.
func (b *idleBuckets) wait(ctx context.Context) {
	if len(b.due) > 0 {
		next(ctx, false, time.Until(b.due[0]))
		b.due = b.due[1:]
	}
}

// sweep sweeps the idle buckets after a while, as a Manager does after each flush.
func (s *server) sweep(ctx context.Context, after time.Duration) {
	if !next(ctx, false, after) {
		return
	}
	before, start := s.buckets.Len(), time.Now()
	s.buckets.Sweep(s.m.Now())
	s.work.called(start)
	s.work.Sweeps++
	s.work.Swept += before - s.buckets.Len()
}
