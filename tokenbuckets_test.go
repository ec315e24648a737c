package apikey

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// moment is where simulated clocks of these tests start: without a monotonic
// reading, and before the limiter was made.
var moment = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

func keyBucket(id string, l Limit) Bucket {
	return Bucket{Scope: ScopeKey, ID: id, Owner: "acct", Limit: l}
}

func mustTake(t *testing.T, limiter *TokenBuckets, now time.Time, n int, buckets ...Bucket) Decision {
	t.Helper()
	d, err := limiter.Take(t.Context(), now, n, buckets)
	if err != nil {
		t.Fatalf("Take: %v", err)
	}
	return d
}

// drain takes single tokens until it is refused, and returns how many passed.
func drain(t *testing.T, limiter *TokenBuckets, now time.Time, buckets ...Bucket) int {
	t.Helper()
	for n := 0; ; n++ {
		if !mustTake(t, limiter, now, 1, buckets...).Allowed {
			return n
		}
	}
}

func TestTakeDecision(t *testing.T) {
	t.Parallel()
	limiter := NewTokenBuckets()
	minute, second := PerMinute(10), Limit{Name: "second", N: 1, Per: time.Second, Burst: 3}
	buckets := []Bucket{keyBucket("k", minute), keyBucket("k", second)}
	steps := []struct {
		name string
		at   time.Duration
		n    int
		want Decision
	}{
		{"allowed: of the least remaining", 0, 1, Decision{Allowed: true, Limit: second, Remaining: 2, Reset: time.Second}},
		{"several at once", 0, 2, Decision{Allowed: true, Limit: second, Remaining: 0, Reset: 3 * time.Second}},
		{"refused: of the only wait", 0, 1, Decision{Limit: second, Remaining: 0, Reset: 3 * time.Second, RetryAfter: time.Second}},
		{"whole tokens", 1500 * time.Millisecond, 1, Decision{Allowed: true, Limit: second, Remaining: 0, Reset: 2500 * time.Millisecond}},
		{"full again after Reset", 4 * time.Second, 3, Decision{Allowed: true, Limit: second, Remaining: 0, Reset: 3 * time.Second}},
		{"refused: of the longest wait", 4 * time.Second, 3, Decision{Limit: second, Remaining: 0, Reset: 3 * time.Second, RetryAfter: 3 * time.Second}},
		{"exactly after RetryAfter", 7 * time.Second, 3, Decision{Allowed: true, Limit: second, Remaining: 0, Reset: 3 * time.Second}},
		{"the other is the longer", 10 * time.Second, 3, Decision{Limit: minute, Remaining: 1, Reset: 50 * time.Second, RetryAfter: 8 * time.Second}},
	}
	for _, step := range steps {
		got := mustTake(t, limiter, moment.Add(step.at), step.n, buckets...)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", step.name, diff)
		}
	}
}

func TestTakeRefusesWhatCannotPass(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	five := keyBucket("k", PerMinute(5))
	tests := []struct {
		name    string
		ctx     context.Context
		n       int
		buckets []Bucket
		want    error
	}{
		{"above the burst", t.Context(), 6, []Bucket{five}, ErrCost},
		{"above the burst of one", t.Context(), 6, []Bucket{keyBucket("k", PerHour(100)), five}, ErrCost},
		{"nothing", t.Context(), 0, []Bucket{five}, ErrInvalid},
		{"less than nothing", t.Context(), -1, []Bucket{five}, ErrInvalid},
		{"no rate", t.Context(), 1, []Bucket{keyBucket("k", Limit{Name: "minute", Per: time.Minute, Burst: 5})}, ErrInvalid},
		{"no time", t.Context(), 1, []Bucket{keyBucket("k", Limit{Name: "minute", N: 5})}, ErrInvalid},
		{"negative burst", t.Context(), 1, []Bucket{keyBucket("k", Limit{Name: "minute", N: 5, Per: time.Minute, Burst: -1})}, ErrInvalid},
		{"twice", t.Context(), 1, []Bucket{five, keyBucket("x", PerMinute(5)), five}, ErrInvalid},
		{"ended context", ended, 1, []Bucket{five}, context.Canceled},
	}
	limiter := NewTokenBuckets()
	for _, tt := range tests {
		d, err := limiter.Take(tt.ctx, moment, tt.n, tt.buckets)
		if !errors.Is(err, tt.want) || d != (Decision{}) {
			t.Errorf("%s: %+v, %v; want no decision and %v", tt.name, d, err, tt.want)
		}
	}
	if got := drain(t, limiter, moment, five); got != 5 {
		t.Errorf("after errors only, %d of 5 tokens are there", got)
	}
	if d := mustTake(t, limiter, moment, 1); d != (Decision{Allowed: true}) {
		t.Errorf("an empty list: %+v, want allowed by the zero Limit", d)
	}
}

// What the second refuses, the first has not lost.
func TestTakeAllOrNone(t *testing.T) {
	t.Parallel()
	limiter := NewTokenBuckets()
	wide, narrow := keyBucket("k", PerHour(100)), Bucket{Scope: ScopeOwner, ID: "acct", Owner: "acct", Limit: PerHour(3)}
	if got := drain(t, limiter, moment, wide, narrow); got != 3 {
		t.Errorf("%d passed both, want 3", got)
	}
	for range 50 {
		mustTake(t, limiter, moment, 1, narrow, wide)
	}
	if got := drain(t, limiter, moment, wide); got != 97 {
		t.Errorf("the wide bucket has %d left, want 100 - 3 = 97", got)
	}
}

func TestTakeIdentity(t *testing.T) {
	t.Parallel()
	limiter := NewTokenBuckets()
	other := PerHour(1)
	other.Name = "Hour"
	for _, b := range []Bucket{
		keyBucket("abc", PerHour(1)), keyBucket("Abc", PerHour(1)), keyBucket("abc ", PerHour(1)), keyBucket("", PerHour(1)),
		{Scope: ScopeOwner, ID: "abc", Limit: PerHour(1)},
		keyBucket("abc", PerMinute(1)), keyBucket("abc", other), keyBucket("hour", PerHour(1)),
	} {
		if got := drain(t, limiter, moment, b); got != 1 {
			t.Errorf("%+v: %d tokens, want its own 1", b, got)
		}
	}
}

// A list of any length and order works, and the limiter is told apart from nothing.
func TestTakeManyBuckets(t *testing.T) {
	t.Parallel()
	limiter := NewTokenBuckets()
	var buckets []Bucket
	for i := range 20 {
		buckets = append(buckets, keyBucket(fmt.Sprint(i), PerHour(1000)))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			mine := slices.Clone(buckets)
			for range 100 {
				rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
				if d, err := limiter.Take(t.Context(), moment, 1, mine); err != nil || !d.Allowed {
					t.Errorf("Take: %+v, %v", d, err)
				}
			}
		})
	}
	wg.Wait()
	if d := mustTake(t, limiter, moment, 600, buckets...); !d.Allowed || d.Remaining != 0 {
		t.Errorf("after 400 of 1000 from each: %+v, want 600 to pass and none to remain", d)
	}
}

func TestLimitChangeKeepsWhatWasSpent(t *testing.T) {
	t.Parallel()
	withBurst := func(n int) Bucket { return keyBucket("k", Limit{Name: "hour", N: 1, Per: time.Hour, Burst: n}) }
	tests := []struct {
		name        string
		before      int // burst
		spend       int
		idle        time.Duration
		after       int // burst
		want        int // how many pass at once
		wantAfter3h int
		wantReset   time.Duration
	}{
		{"a raise lets the difference pass", 5, 5, 0, 20, 15, 3, 20 * time.Hour},
		{"a raise of one not used up", 5, 2, 0, 20, 18, 3, 20 * time.Hour},
		{"a raise of a full one", 5, 0, 0, 20, 20, 3, 20 * time.Hour},
		{"a raise keeps half a token", 5, 5, 90 * time.Minute, 6, 2, 3, 5*time.Hour + 30*time.Minute},
		{"a cut counts what is used", 20, 3, 0, 5, 2, 3, 5 * time.Hour},
		{"a cut below what is used", 20, 7, 0, 5, 0, 1, 7 * time.Hour},
		{"a cut of an empty one", 20, 20, 0, 5, 0, 0, 20 * time.Hour},
		{"a cut to one", 1_000_000, 10, 0, 1, 0, 0, 10 * time.Hour},
		{"no change", 5, 4, 0, 5, 1, 3, 5 * time.Hour},
	}
	for _, tt := range tests {
		limiter := NewTokenBuckets()
		now := moment
		for range tt.spend {
			mustTake(t, limiter, now, 1, withBurst(tt.before))
		}
		now = now.Add(tt.idle)
		for range 10 { // to and fro gives nothing back
			mustTakeNone(t, limiter, now, withBurst(tt.after))
			mustTakeNone(t, limiter, now, withBurst(tt.before))
		}
		if got := drain(t, limiter, now, withBurst(tt.after)); got != tt.want {
			t.Errorf("%s: %d pass, want %d", tt.name, got, tt.want)
		}
		d := mustTake(t, limiter, now, 1, withBurst(tt.after))
		if d.Reset != tt.wantReset || d.Remaining != 0 {
			t.Errorf("%s: remaining %d, reset %v; want 0, %v", tt.name, d.Remaining, d.Reset, tt.wantReset)
		}
		if got := drain(t, limiter, now.Add(3*time.Hour), withBurst(tt.after)); got != tt.wantAfter3h {
			t.Errorf("%s: three hours later %d pass, want %d", tt.name, got, tt.wantAfter3h)
		}
	}
}

// mustTakeNone shows b's limit to its bucket and takes nothing, being refused by another.
func mustTakeNone(t *testing.T, limiter *TokenBuckets, now time.Time, b Bucket) {
	t.Helper()
	empty := keyBucket("empty", Limit{Name: "year", N: 1, Per: 365 * 24 * time.Hour})
	mustTake(t, limiter, now, 1, empty)
	if mustTake(t, limiter, now, 1, empty, b).Allowed {
		t.Fatal("the empty bucket let something pass")
	}
}

func TestRateChangeCountsFromTheChange(t *testing.T) {
	t.Parallel()
	limiter := NewTokenBuckets()
	slow := Limit{Name: "x", N: 1, Per: time.Hour, Burst: 10}
	fast := Limit{Name: "x", N: 60, Per: time.Hour, Burst: 10}
	drain(t, limiter, moment, keyBucket("k", slow))
	now := moment.Add(90 * time.Minute)
	if got := drain(t, limiter, now, keyBucket("k", fast)); got != 1 {
		t.Errorf("90 minutes of one an hour let %d pass, want 1: the new rate is not for the time before it", got)
	}
	if d := mustTake(t, limiter, now, 1, keyBucket("k", fast)); d.RetryAfter != 30*time.Second {
		t.Errorf("half a token is missing at one a minute: RetryAfter = %v, want 30s", d.RetryAfter)
	}
}

// A retry exactly after RetryAfter passes, and clearly before it does not; a
// bucket is full after Reset.
func TestRetryAfterIsExact(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 20_000 {
		l := Limit{
			Name:  "x",
			N:     1 + rnd.IntN(pick(rnd, 3, 1000, maxLimitN)),
			Per:   time.Millisecond + time.Duration(rnd.Int64N(pick(rnd, int64(time.Second), int64(time.Hour), int64(maxLimitPer-time.Millisecond)))),
			Burst: rnd.IntN(pick(rnd, 3, 1000, maxLimitN)),
		}
		bucket := keyBucket("k", l)
		limiter := NewTokenBuckets()
		now := moment
		for range 3 {
			mustTake(t, limiter, now, 1+rnd.IntN(l.Capacity()), bucket)
			now = now.Add(time.Duration(rnd.Int64N(int64(l.Per))))
		}
		d := mustTake(t, limiter, now, l.Capacity(), bucket)
		if d.Allowed || d.RetryAfter >= century {
			continue
		}
		if d.RetryAfter <= 0 || d.Reset != d.RetryAfter {
			t.Fatalf("%+v: refused all its tokens with %+v", l, d)
		}
		if early := d.RetryAfter - d.RetryAfter/1_000_000 - 2; early > 0 && mustTake(t, limiter, now.Add(early), l.Capacity(), bucket).Allowed {
			t.Fatalf("%+v: passes after %v, before RetryAfter %v", l, early, d.RetryAfter)
		}
		if d2 := mustTake(t, limiter, now.Add(d.RetryAfter), l.Capacity(), bucket); !d2.Allowed {
			t.Fatalf("%+v: a retry after RetryAfter %v is refused: %+v", l, d.RetryAfter, d2)
		}
	}
}

func pick[T any](rnd *rand.Rand, from ...T) T { return from[rnd.IntN(len(from))] }

func TestLongestWaitDoesNotOverflow(t *testing.T) {
	t.Parallel()
	limiter := NewTokenBuckets()
	b := keyBucket("k", Limit{Name: "x", N: 1, Per: maxLimitPer, Burst: maxLimitN})
	mustTake(t, limiter, moment, maxLimitN, b)
	if d := mustTake(t, limiter, moment, maxLimitN, b); d.Allowed || d.RetryAfter != century || d.Reset != century {
		t.Errorf("%+v, want waits of %v", d, century)
	}
	// From here a clock that goes back by more than a Duration can say.
	for _, now := range []time.Time{{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), {}} {
		if d := mustTake(t, limiter, now, maxLimitN, b); d.Allowed || d.RetryAfter < century {
			t.Errorf("at %v: %+v", now, d)
		}
	}
}

// Over t seconds never more than burst + rate × t is admitted, and at least
// 99% of it is.
func TestTakeUnderLoad(t *testing.T) {
	t.Parallel()
	for _, l := range []Limit{PerSecond(7), {Name: "x", N: 1000, Per: time.Minute, Burst: 50}, {Name: "x", N: 3, Per: 7 * time.Second, Burst: 1}} {
		synctest.Test(t, func(t *testing.T) {
			const span = 5 * time.Minute
			limiter := NewTokenBuckets()
			buckets := []Bucket{keyBucket("k", l), {Scope: ScopeOwner, ID: "acct", Limit: PerSecond(1e6)}}
			start := time.Now()
			var mu sync.Mutex
			var admitted []time.Duration
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(7, uint64(i)))
					for time.Since(start) < span {
						now := time.Now()
						d, err := limiter.Take(t.Context(), now, 1, buckets)
						if err != nil {
							t.Error(err)
							return
						}
						if d.Allowed {
							mu.Lock()
							admitted = append(admitted, now.Sub(start))
							mu.Unlock()
						}
						<-time.After(d.RetryAfter + time.Duration(rnd.Int64N(int64(l.Per/time.Duration(l.N*100)))))
					}
				})
			}
			wg.Wait()
			checkAdmitted(t, l, admitted, span)
		})
	}
}

// checkAdmitted looks at every window from one admission to another.
func checkAdmitted(t *testing.T, l Limit, admitted []time.Duration, span time.Duration) {
	t.Helper()
	slices.Sort(admitted)
	perSecond := float64(l.N) / l.Per.Seconds()
	lowest := 0.0 // of i - rate × the time of the i-th
	for i, at := range admitted {
		over := float64(i) - perSecond*at.Seconds()
		lowest = min(lowest, over)
		if over-lowest+1 > float64(l.Capacity())+1e-6 {
			t.Fatalf("%+v: in a window that ends at %v, %.3f were admitted above the burst of %d", l, at, over-lowest+1-float64(l.Capacity()), l.Capacity())
		}
	}
	if want := 0.99 * (float64(l.Capacity()) + perSecond*span.Seconds()); float64(len(admitted)) < want {
		t.Errorf("%+v: %d were admitted in %v, want at least %.0f", l, len(admitted), span, want)
	}
}

func TestTakeDoesNotAllocate(t *testing.T) {
	limiter := NewTokenBuckets()
	var buckets []Bucket
	for i := range 8 {
		buckets = append(buckets, keyBucket(fmt.Sprint(i), PerHour(1_000_000)))
	}
	limiter.resolve(buckets, moment)
	empty := keyBucket("empty", PerHour(1))
	mustTake(t, limiter, moment, 1, empty)
	unresolved := []Bucket{keyBucket("0", PerHour(1_000_000))}
	ctx := t.Context()
	for name, list := range map[string][]Bucket{"one": buckets[:1], "eight": buckets, "not resolved": unresolved, "refused": {empty}} {
		if n := testing.AllocsPerRun(100, func() { _, _ = limiter.Take(ctx, moment, 1, list) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func TestTokenBucketSize(t *testing.T) {
	t.Parallel()
	if size := reflect.TypeFor[tokenBucket]().Size(); size > 64 {
		t.Errorf("a bucket has %d bytes, want at most 64: one cache line", size)
	}
	if size := reflect.TypeFor[bucketShard]().Size(); size != 64 {
		t.Errorf("a shard has %d bytes, want 64", size)
	}
}
