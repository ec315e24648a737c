package redislimit_test

import (
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/redislimit"
	"github.com/google/go-cmp/cmp"
)

// callerClock is a Limiter whose script goes by the caller's now.
type callerClock struct {
	*redislimit.Limiter
	micros *atomic.Int64
}

func newCallerClock(t *testing.T, s *server, slow bool) callerClock {
	l := callerClock{newLimiter(t, s.client(), &redislimit.Config{Timeout: 10 * time.Second}), new(atomic.Int64)}
	l.SetClock(l.micros.Load, slow)
	return l
}

func (l callerClock) Take(ctx context.Context, now time.Time, n int, buckets []apikey.Bucket) (apikey.Decision, error) {
	l.micros.Store(now.UnixMicro())
	return l.Limiter.Take(ctx, now, n, buckets)
}

// With a clock that can be set, the whole suite holds.
func TestRunLimiterSimulated(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for _, slow := range []bool{false, true} {
		apikeytest.RunLimiter(t, func(t *testing.T) apikey.Limiter { return newCallerClock(t, s, slow) })
	}
}

// exactBucket counts in fractions, without any rounding.
type exactBucket struct {
	level *big.Rat
	at    int64
	limit apikey.Limit
}

func (b *exactBucket) advance(now int64, to apikey.Limit) {
	now = max(now, b.at)
	flow := big.NewRat(now-b.at, 1)
	flow.Mul(flow, big.NewRat(int64(b.limit.N)*1000, int64(b.limit.Per)))
	b.level.Add(b.level, flow)
	if capacity := big.NewRat(int64(b.limit.Capacity()), 1); b.level.Cmp(capacity) > 0 {
		b.level = capacity
	}
	b.level.Add(b.level, big.NewRat(int64(to.Capacity()-b.limit.Capacity()), 1))
	b.at, b.limit = now, to
}

// Over random requests, times and changes of limits, nothing passes that an
// exact count refuses, next to nothing is refused that it admits, and a retry
// passes at RetryAfter and not two microseconds before.
func TestAgainstExactCount(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			compareWithExactCount(t, newCallerClock(t, s, seed%2 == 1), rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func compareWithExactCount(t *testing.T, l callerClock, random *rand.Rand) {
	owner := fmt.Sprint("o", random.Uint64())
	limits := make([]apikey.Limit, 4)
	for i := range limits {
		pers := []time.Duration{time.Millisecond, time.Second, 7 * time.Second, time.Hour, 366 * 24 * time.Hour}
		limits[i] = apikey.Limit{Name: "x", N: 1 + random.IntN(50), Per: pers[random.IntN(len(pers))], Burst: random.IntN(60)}
		if random.IntN(4) == 0 {
			limits[i].N, limits[i].Burst = 1+random.IntN(1e9), 1e9
		}
	}
	model := map[string]*exactBucket{}
	now := int64(1_800_000_000_000_000)
	slack := big.NewRat(1, 10_000) // tokens, over a whole run
	for step := range 300 {
		var list []apikey.Bucket
		n := 1 + random.IntN(8)
		for _, id := range []string{"a", "b", "c"}[:1+random.IntN(3)] {
			limit := limits[random.IntN(1+step/100)]
			n = min(n, limit.Capacity())
			list = append(list, apikey.Bucket{Scope: apikey.ScopeKey, ID: id, Owner: owner, Limit: limit})
		}
		d, err := l.Take(t.Context(), time.UnixMicro(now), n, list)
		if err != nil {
			t.Fatal(err)
		}
		most, least := true, true
		for _, b := range list {
			m := model[b.ID]
			if m == nil {
				m = &exactBucket{level: big.NewRat(int64(b.Limit.Capacity()), 1), at: now, limit: b.Limit}
				model[b.ID] = m
			}
			m.advance(now, b.Limit)
			want := big.NewRat(int64(n), 1)
			most = most && m.level.Cmp(want) >= 0
			least = least && m.level.Cmp(want.Add(want, slack)) >= 0
		}
		if d.Allowed && !most || !d.Allowed && least {
			t.Fatalf("step %d: Take(%d) of %+v: %+v; exact levels are otherwise", step, n, list, d)
		}
		if d.Allowed {
			for _, b := range list {
				model[b.ID].level.Sub(model[b.ID].level, big.NewRat(int64(n), 1))
			}
			now += random.Int64N(400_000)
			continue
		}
		if d.RetryAfter > 90*365*24*time.Hour {
			now += random.Int64N(1e9)
			continue
		}
		checkRetry(t, l, now, n, list, d)
		now += d.RetryAfter.Microseconds() // the model takes part in the next step
		for _, b := range list {
			model[b.ID].advance(now, b.Limit)
			model[b.ID].level.Sub(model[b.ID].level, big.NewRat(int64(n), 1))
		}
	}
}

func checkRetry(t *testing.T, l callerClock, now int64, n int, list []apikey.Bucket, d apikey.Decision) {
	t.Helper()
	if d.RetryAfter > 10*time.Microsecond {
		early, err := l.Take(t.Context(), time.UnixMicro(now).Add(d.RetryAfter-d.RetryAfter/100_000-2*time.Microsecond), n, list)
		if err != nil || early.Allowed {
			t.Fatalf("%+v, and before that %+v, %v", d, early, err)
		}
	}
	again, err := l.Take(t.Context(), time.UnixMicro(now).Add(d.RetryAfter), n, list)
	if err != nil || !again.Allowed {
		t.Fatalf("Take(%d) of %+v: %+v, and then %+v, %v", n, list, d, again, err)
	}
}

// Beside TokenBuckets, Decisions are the same but for microseconds.
func TestAgainstTokenBuckets(t *testing.T) {
	t.Parallel()
	l, local := newCallerClock(t, startServer(t), false), apikey.NewTokenBuckets()
	random := rand.New(rand.NewPCG(7, 7))
	now := time.Now().Truncate(time.Second)
	for range 2000 {
		var list []apikey.Bucket
		for i := range 1 + random.IntN(3) {
			list = append(list, apikey.Bucket{Scope: apikey.ScopeKey, ID: fmt.Sprint(i), Owner: "o", Limit: []apikey.Limit{
				apikey.PerSecond(16), {Name: "b", N: 64, Per: time.Second, Burst: 8}, apikey.PerMinute(960),
			}[i]})
		}
		n := 1 + random.IntN(4)
		got, err := l.Take(t.Context(), now, n, list)
		want, localErr := local.Take(t.Context(), now, n, list)
		if err != nil || localErr != nil {
			t.Fatal(err, localErr)
		}
		near := cmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() < 10*time.Microsecond })
		if diff := cmp.Diff(want, got, near); diff != "" {
			t.Fatalf("Take(%d) at %v (-TokenBuckets +Redis):\n%s", n, now, diff)
		}
		now = now.Add(time.Duration(random.IntN(12)) * 15625 * time.Microsecond) // sums of these are exact in both
	}
}
