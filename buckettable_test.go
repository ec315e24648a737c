package apikey

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func TestSweepDropsIdleFullBuckets(t *testing.T) {
	t.Parallel()
	limiter := NewTokenBuckets()
	for i := range 1000 {
		mustTake(t, limiter, moment, 1, keyBucket(fmt.Sprint("fast", i), PerSecond(1)))
		mustTake(t, limiter, moment, 1, keyBucket(fmt.Sprint("slow", i), PerHour(1)))
	}
	for _, step := range []struct {
		at   time.Duration
		want int
	}{{-time.Hour, 2000}, {0, 2000}, {sweepIdle - 1, 2000}, {sweepIdle, 1000}, {time.Hour - 1, 1000}, {time.Hour, 0}, {0, 0}} {
		if limiter.Sweep(moment.Add(step.at)); limiter.Len() != step.want {
			t.Errorf("swept after %v: %d buckets are left, want %d", step.at, limiter.Len(), step.want)
		}
	}
	for i := range limiter.table.shards {
		if n := len(limiter.table.shards[i].chains); n > minChains {
			t.Fatalf("shard %d keeps %d chains for no bucket, want at most %d", i, n, minChains)
		}
	}
}

func TestHandleOfDroppedBucket(t *testing.T) {
	t.Parallel()
	limiter := NewTokenBuckets()
	known := []Bucket{keyBucket("k", PerMinute(5))}
	limiter.resolve(known, moment)
	dropped := known[0].handle
	now := moment.Add(time.Hour)
	limiter.Sweep(now)
	if got := drain(t, limiter, now, known[0]); got != 5 {
		t.Errorf("%d passed by the handle of a dropped bucket, want 5", got)
	}
	if known[0].handle != dropped {
		t.Error("Take wrote to the shared slice")
	}
	if got := drain(t, limiter, now, keyBucket("k", PerMinute(5))); got != 0 {
		t.Errorf("%d more passed without the handle: there are two buckets of one identity", got)
	}
	if limiter.resolve(known, now); known[0].handle == dropped {
		t.Error("resolve kept a handle to a dropped bucket")
	}
}

// A bucket that takes the place of a dropped one does not go back in time either.
func TestDroppedBucketDoesNotGoBack(t *testing.T) {
	t.Parallel()
	limiter := NewTokenBuckets()
	b := keyBucket("k", PerHour(1))
	drain(t, limiter, moment, b)
	limiter.Sweep(moment.Add(time.Hour))
	if got := drain(t, limiter, moment, b); got != 1 {
		t.Fatalf("%d passed, want the 1 that was there when it was swept", got)
	}
	if d := mustTake(t, limiter, moment.Add(time.Hour), 1, b); d.Allowed || d.RetryAfter != time.Hour {
		t.Errorf("the hour before the sweep counts twice: %+v", d)
	}
}

func TestTableKeepsBucketsApart(t *testing.T) {
	t.Parallel()
	limiter := NewTokenBuckets()
	const size = 20_000 // so that shards are resized several times
	for i := range size {
		mustTake(t, limiter, moment, 1+i%3, keyBucket(fmt.Sprint(i), PerHour(3)))
	}
	if limiter.Len() != size {
		t.Fatalf("Len = %d, want %d", limiter.Len(), size)
	}
	for i := range size {
		b := keyBucket(fmt.Sprint(i), PerHour(3))
		if got := drain(t, limiter, moment, b); got != 3-1-i%3 {
			t.Fatalf("bucket %d has %d left, want %d", i, got, 3-1-i%3)
		}
	}
}

// Whatever is swept, dropped and changed meanwhile, no more pass than may.
func TestTakeBesideSweepAndChange(t *testing.T) {
	t.Parallel()
	limiter := NewTokenBuckets()
	const owners, callers, calls = 4, 8, 1500
	step := 50 * time.Millisecond
	var mu sync.Mutex
	admitted := make(map[string]int)
	clock := moment
	tick := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(step)
		return clock
	}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(8, uint64(c)))
			for range calls {
				id := fmt.Sprint(rnd.IntN(owners))
				limit := PerMinute(60)
				limit.Burst = 60 + rnd.IntN(2)*60 // 60 or 120
				list := []Bucket{keyBucket(id, limit), {Scope: ScopeOwner, ID: fmt.Sprint("owner", rnd.IntN(owners)), Limit: PerHour(1e6)}}
				if rnd.IntN(2) == 0 {
					limiter.resolve(list[:1], moment)
				}
				d, err := limiter.Take(t.Context(), tick(), 1+rnd.IntN(3), list[:1+rnd.IntN(2)])
				if err != nil {
					t.Error(err)
				}
				if d.Allowed {
					mu.Lock()
					admitted[id]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Go(func() {
		for range 200 {
			limiter.Sweep(tick().Add(-sweepIdle / 2))
			_ = limiter.Len()
		}
	})
	wg.Wait()
	for id, n := range admitted {
		if most := 120 + int(clock.Sub(moment).Seconds()) + 1; n > most {
			t.Errorf("bucket %s let %d pass, want at most %d", id, n, most)
		}
	}
	if len(admitted) != owners {
		t.Errorf("%d buckets let something pass, want %d", len(admitted), owners)
	}
}
