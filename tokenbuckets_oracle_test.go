package apikey

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// A bucket whose limit does not change decides as golang.org/x/time/rate does,
// to the last bit, and keeps as many tokens.
func TestBucketAgreesWithXTimeRate(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	passed, refused := 0, 0
	for range 500 {
		l := Limit{Name: "x", N: 1 + rng.IntN(1000), Per: time.Millisecond + time.Duration(rng.Int64N(int64(time.Hour))), Burst: 1 + rng.IntN(50)}
		oracle := rate.NewLimiter(rate.Limit(l.rate()), l.Burst)
		limiter := NewTokenBuckets()
		b := keyBucket("k", l)
		mean := l.Per / time.Duration(l.N) * 2
		for at, i := moment, 0; i < 400; i++ {
			at = at.Add(time.Duration(rng.Int64N(int64(mean + 2))))
			n := 1 + rng.IntN(min(l.Burst, 3))
			want := oracle.AllowN(at, n)
			got := mustTake(t, limiter, at, n, b)
			if got.Allowed != want {
				t.Fatalf("%+v, call %d of %d tokens: allowed is %t, of x/time/rate %t", l, i, n, got.Allowed, want)
			}
			if left := oracle.TokensAt(at); got.Remaining != int(left+l.rate()*0.5e-9) {
				t.Fatalf("%+v, call %d: %d remain, of x/time/rate %v", l, i, got.Remaining, left)
			}
			if want {
				passed++
			} else {
				refused++
			}
		}
	}
	if passed < 10_000 || refused < 10_000 {
		t.Errorf("%d passed and %d were refused: too few of one to compare", passed, refused)
	}
}

// A cancelled reservation of x/time/rate gives nothing back once another took;
// hence Take looks at all buckets, all locked, before it takes from any.
func TestTakeAllOrNoneConcurrent(t *testing.T) {
	t.Parallel()
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

func TestBucketDoesNotGoBackWithTheClock(t *testing.T) {
	t.Parallel()
	back := moment.Add(-time.Hour)
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

func TestBucketWithoutRateIsNotMade(t *testing.T) {
	t.Parallel()
	none := []Bucket{keyBucket("k", Limit{Name: "second", N: 0, Per: time.Second, Burst: 1})}
	limiter := NewTokenBuckets()
	if _, err := limiter.Take(t.Context(), moment, 1, none); !errors.Is(err, ErrInvalid) {
		t.Errorf("err = %v, want ErrInvalid", err)
	}
	if limiter.resolve(none, moment); none[0].handle != nil {
		t.Error("a bucket was made that never fills")
	}
}
