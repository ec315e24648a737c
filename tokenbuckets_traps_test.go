package apikey

import (
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// The traps of golang.org/x/time/rate: what it does, and that TokenBuckets does not.

func TestTrapSetBurstKeepsLevel(t *testing.T) {
	t.Parallel()
	lim := rate.NewLimiter(rate.Every(time.Hour), 5)
	lim.AllowN(moment, 5)
	lim.SetBurstAt(moment, 20)
	lim.SetLimitAt(moment, rate.Every(time.Minute))
	if got := lim.TokensAt(moment); got != 0 {
		t.Errorf("x/time/rate: after a raise from 5 to 20 there are %v tokens, want 0: setLimit no longer needs to add any", got)
	}
	limiter := NewTokenBuckets()
	drain(t, limiter, moment, keyBucket("k", PerHour(5)))
	if got := drain(t, limiter, moment, keyBucket("k", PerHour(20))); got != 15 {
		t.Errorf("after a raise from 5 to 20, of which 5 were used, %d pass, want 15", got)
	}
}

func TestTrapCancelledReservationIsInexact(t *testing.T) {
	t.Parallel()
	lim := rate.NewLimiter(rate.Every(time.Second), 2)
	lim.AllowN(moment, 2)
	first := lim.ReserveN(moment, 1)
	lim.ReserveN(moment, 1)
	first.CancelAt(moment)
	if got := lim.TokensAt(moment); got != -2 {
		t.Errorf("x/time/rate: a cancelled reservation leaves %v tokens, want -2: it gives nothing back once another took", got)
	}
	// Hence Take looks at all buckets before it takes from any, all locked.
	limiter := NewTokenBuckets()
	wide, empty := keyBucket("k", PerHour(1000)), keyBucket("k2", PerHour(1))
	drain(t, limiter, moment, empty)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 100 {
				if i%2 == 0 {
					mustTake(t, limiter, moment, 1, wide, empty)
				} else {
					mustTake(t, limiter, moment, 1, wide)
				}
			}
		})
	}
	wg.Wait()
	if got := drain(t, limiter, moment, wide); got != 600 {
		t.Errorf("400 passed and 400 were refused by another bucket: %d of 1000 are left, want 600", got)
	}
}

func TestTrapDurationsTruncate(t *testing.T) {
	t.Parallel()
	early := 0
	for n := range 1000 {
		l := Limit{Name: "x", N: n + 11, Per: maxLimitPer, Burst: 1000}
		lim := rate.NewLimiter(l.rate(), 1000)
		lim.AllowN(moment, 1000)
		delay := lim.ReserveN(moment, 999).DelayFrom(moment)
		lim = rate.NewLimiter(l.rate(), 1000)
		lim.AllowN(moment, 1000)
		if !lim.AllowN(moment.Add(delay), 999) {
			early++
		}
		limiter := NewTokenBuckets()
		b := keyBucket("k", l)
		mustTake(t, limiter, moment, 1000, b)
		if after := mustTake(t, limiter, moment, 999, b).RetryAfter; !mustTake(t, limiter, moment.Add(after), 999, b).Allowed {
			t.Errorf("%+v: a retry exactly after RetryAfter %v is refused", l, after)
		}
	}
	if early == 0 {
		t.Error("x/time/rate: no delay was too short: until need no longer look")
	}
}

func TestTrapClockGoesBack(t *testing.T) {
	t.Parallel()
	back := moment.Add(-time.Hour)
	lim := rate.NewLimiter(rate.Every(time.Hour), 1)
	lim.AllowN(moment, 1)
	lim.SetLimitAt(back, rate.Every(time.Hour))
	if !lim.AllowN(moment, 1) {
		t.Error("x/time/rate: no longer goes back with the clock")
	}
	limiter := NewTokenBuckets()
	b := keyBucket("k", PerHour(1))
	drain(t, limiter, moment, b)
	d := mustTake(t, limiter, back, 1, b)
	if d.Allowed || d.RetryAfter != 2*time.Hour || d.Reset != 2*time.Hour {
		t.Errorf("an hour back: %+v, want to wait for 2h: until now, and for the token", d)
	}
	mustTake(t, limiter, back, 1, keyBucket("k", PerHour(2))) // the one more of a raise
	if got := drain(t, limiter, moment, keyBucket("k", PerHour(2))); got != 0 {
		t.Errorf("the hour that came twice let %d pass twice", got)
	}
}

func TestTrapAboveBurstNeverPasses(t *testing.T) {
	t.Parallel()
	lim := rate.NewLimiter(5, 5)
	if lim.AllowN(moment, 6) || lim.AllowN(moment.Add(24*time.Hour), 6) {
		t.Error("x/time/rate: 6 of a burst of 5 pass")
	}
	if _, err := NewTokenBuckets().Take(t.Context(), moment, 6, []Bucket{keyBucket("k", PerSecond(5))}); !errors.Is(err, ErrCost) {
		t.Errorf("err = %v, want ErrCost rather than a refusal that never ends", err)
	}
}

func TestTrapNoRateWaitsForEver(t *testing.T) {
	t.Parallel()
	lim := rate.NewLimiter(0, 1)
	lim.AllowN(moment, 1)
	if d := lim.ReserveN(moment, 1).DelayFrom(moment); d < 100*365*24*time.Hour {
		t.Errorf("x/time/rate: N = 0 waits for %v, want for ever", d)
	}
	b := keyBucket("k", Limit{Name: "second", N: 0, Per: time.Second, Burst: 1})
	limiter := NewTokenBuckets()
	if _, err := limiter.Take(t.Context(), moment, 1, []Bucket{b}); !errors.Is(err, ErrInvalid) {
		t.Errorf("err = %v, want ErrInvalid", err)
	}
	if limiter.resolve(&b, moment); b.handle != nil {
		t.Error("a bucket was made that never fills")
	}
}
