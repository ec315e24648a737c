package apikeytest

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-apikey/apikey"
)

func TestTokenBuckets(t *testing.T) {
	t.Parallel()
	RunLimiter(t, func(*testing.T) apikey.Limiter { return apikey.NewTokenBuckets() })
}

// The model passes too, so that what fails a faulty one is its fault.
func TestModelLimiter(t *testing.T) {
	t.Parallel()
	RunLimiter(t, func(*testing.T) apikey.Limiter { return newModel("") })
}

// A limiter with a clock of its own is waited for.
func TestServerClock(t *testing.T) {
	t.Parallel()
	RunLimiter(t, func(*testing.T) apikey.Limiter { return ownClock{apikey.NewTokenBuckets()} }, ServerClock)
}

// ownClock goes by its own clock, a year from the caller's.
type ownClock struct{ apikey.Limiter }

func (l ownClock) Take(ctx context.Context, _ time.Time, n int, buckets []apikey.Bucket) (apikey.Decision, error) {
	return l.Limiter.Take(ctx, time.Now().AddDate(1, 0, 0), n, buckets)
}

// A limiter with a clock of its own that does not say so fails, and says why.
func TestServerClockUntold(t *testing.T) {
	t.Parallel()
	e := newLimiterEnv(t.Context(), ownClock{apikey.NewTokenBuckets()})
	if err := checkRate(e); err == nil {
		t.Error("a limiter that does not go by now, and did not say so, passes")
	}
}

// Each fault makes the promise that names it fail.
func TestFaultyLimiters(t *testing.T) {
	t.Parallel()
	tests := []struct {
		fault   string
		promise string
	}{
		{"absent is empty", "a bucket not seen before is full"},
		{"Burst ignored", "a bucket not seen before is full"},
		{"n ignored", "n tokens are taken or none"},
		{"takes what is there", "n tokens are taken or none"},
		{"takes from the first of two", "tokens are taken from all buckets or from none"},
		{"looks at the first only", "tokens are taken from all buckets or from none"},
		{"looks, then takes", "concurrent calls admit no more than there is"},
		{"looks, then takes", "concurrent calls take from all or none"},
		{"locks in list order", "lists in any order do not block each other"},
		{"never refills", "tokens flow in at the rate"},
		{"refusals cost", "tokens flow in at the rate"},
		{"refills twice as fast", "tokens flow in at the rate"},
		{"refills by the window", "tokens flow in at the rate"},
		{"overfills", "no more than the capacity is kept"},
		{"goes back", "a clock that goes back gives nothing"},
		{"forgets on change", "a raise lets the difference pass"},
		{"forgets on change", "a cut counts what is used"},
		{"raise adds nothing", "a raise lets the difference pass"},
		{"cut keeps the level", "a cut counts what is used"},
		{"cut stops at none", "a cut counts what is used"},
		{"cut stops at none", "changes to and fro give nothing back"},
		{"keeps the first rate", "a changed rate holds from then on"},
		{"ignores scope", "a bucket is its scope, ID and limit name, byte by byte"},
		{"ignores name", "a bucket is its scope, ID and limit name, byte by byte"},
		{"folds case", "a bucket is its scope, ID and limit name, byte by byte"},
		{"trims IDs", "a bucket is its scope, ID and limit name, byte by byte"},
		{"joins ID and name", "a bucket is its scope, ID and limit name, byte by byte"},
		{"RetryAfter rounded down", "a retry after RetryAfter passes"},
		{"RetryAfter of one token", "a retry after RetryAfter passes"},
		{"RetryAfter of the whole period", "a retry after RetryAfter passes"},
		{"Reset of one token", "a bucket is full after Reset"},
		{"Decision of the first", "the Decision is of the bucket that decides"},
		{"32-bit milliseconds", "the largest and smallest limits are counted right"},
		{"ignores ctx", "an ended ctx takes nothing"},
		{"takes, then looks at ctx", "an ended ctx takes nothing"},
		{"refuses an empty list", "an empty list takes nothing"},
		{"sorts the list", "the list is only read"},
	}
	for _, tt := range tests {
		t.Run(tt.fault+" / "+tt.promise, func(t *testing.T) {
			t.Parallel()
			if tt.fault == "sorts the list" && raceEnabled {
				t.Skip("the race detector finds it first")
			}
			e := newLimiterEnv(t.Context(), newModel(tt.fault))
			e.patience = time.Second
			i := slices.IndexFunc(limiterPromises, func(p limiterPromise) bool { return p.name == tt.promise })
			if i < 0 {
				t.Fatal("there is no such promise")
			}
			err := limiterPromises[i].check(e)
			if err == nil {
				t.Fatal("the suite does not see this fault")
			}
			t.Log(err)
		})
	}
}

// Faults that are seen by a clock are seen in real time too; here time is
// that of a bubble, and costs none.
func TestFaultyLimitersWithServerClock(t *testing.T) {
	t.Parallel()
	for fault, promise := range map[string]string{
		"never refills": "tokens flow in at the rate", "refills twice as fast": "tokens flow in at the rate",
		"overfills": "no more than the capacity is kept", "RetryAfter rounded down": "a retry after RetryAfter passes",
		"Reset of one token": "a bucket is full after Reset", "keeps the first rate": "a changed rate holds from then on",
		"cut stops at none": "a cut counts what is used",
	} {
		t.Run(fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := slices.IndexFunc(limiterPromises, func(p limiterPromise) bool { return p.name == promise })
				if err := limiterPromises[i].check(newLimiterEnv(t.Context(), ownClock{newModel("")}, ServerClock)); err != nil {
					t.Fatalf("without the fault: %v", err)
				}
				if err := limiterPromises[i].check(newLimiterEnv(t.Context(), ownClock{newModel(fault)}, ServerClock)); err == nil {
					t.Error("the suite does not see this fault")
				}
			})
		})
	}
}

// model is a limiter as simple as one can be, with at most one fault.
type model struct {
	fault   string
	mu      sync.Mutex
	buckets map[modelKey]*modelBucket
}

type modelKey struct {
	scope    apikey.Scope
	id, name string
}

type modelBucket struct {
	mu    sync.Mutex // for "locks in list order"
	limit apikey.Limit
	level float64
	at    time.Time
}

func newModel(fault string) *model {
	return &model{fault: fault, buckets: make(map[modelKey]*modelBucket)}
}

func (m *model) Take(ctx context.Context, now time.Time, n int, list []apikey.Bucket) (apikey.Decision, error) {
	if err := ctx.Err(); err != nil && m.fault != "ignores ctx" && m.fault != "takes, then looks at ctx" {
		return apikey.Decision{}, err
	}
	if m.fault == "sorts the list" {
		slices.SortFunc(list, func(a, b apikey.Bucket) int { return strings.Compare(a.ID, b.ID) })
	}
	if m.fault == "locks in list order" {
		defer m.lockInOrder(list)()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	allowed := len(list) > 0 || m.fault != "refuses an empty list"
	for i, b := range list {
		if m.wait(m.bucket(b, now), n) > 0 && (i == 0 || m.fault != "looks at the first only") {
			allowed = false
		}
	}
	if m.fault == "looks, then takes" {
		m.mu.Unlock()
		timer := time.NewTimer(time.Millisecond)
		<-timer.C
		m.mu.Lock()
	}
	for i, b := range list {
		m.spend(m.bucket(b, now), n, i, allowed)
	}
	if m.fault == "takes, then looks at ctx" && ctx.Err() != nil {
		return apikey.Decision{}, ctx.Err()
	}
	return m.decide(now, n, list, allowed), nil
}

func (m *model) spend(b *modelBucket, n, i int, allowed bool) {
	switch {
	case allowed && m.fault == "n ignored":
		b.level--
	case allowed:
		b.level -= float64(n)
	case m.fault == "takes what is there":
		b.level = max(0, b.level-float64(n))
	case m.fault == "takes from the first of two" && i == 0 && b.level >= float64(n):
		b.level -= float64(n)
	case m.fault == "refusals cost":
		b.level -= 0.1
	}
}

// lockInOrder locks the buckets in the order of the list and returns what unlocks them.
func (m *model) lockInOrder(list []apikey.Bucket) func() {
	var locked []*modelBucket
	for _, want := range list {
		m.mu.Lock()
		b := m.bucket(want, time.Time{})
		m.mu.Unlock()
		b.mu.Lock()
		locked = append(locked, b)
		timer := time.NewTimer(100 * time.Microsecond)
		<-timer.C
	}
	return func() {
		for _, b := range locked {
			b.mu.Unlock()
		}
	}
}

func (m *model) key(b apikey.Bucket) modelKey {
	key := modelKey{b.Scope, b.ID, b.Limit.Name}
	switch m.fault {
	case "ignores scope":
		key.scope = 0
	case "ignores name":
		key.name = ""
	case "folds case":
		key.id = strings.ToLower(key.id)
	case "trims IDs":
		key.id = strings.TrimSpace(key.id)
	case "joins ID and name":
		key.id, key.name = key.id+key.name, ""
	}
	return key
}

// bucket is want's bucket as it is at now, with the limit that is wanted.
func (m *model) bucket(want apikey.Bucket, now time.Time) *modelBucket {
	key, capacity := m.key(want), float64(m.capacity(want.Limit))
	b := m.buckets[key]
	if b == nil {
		b = &modelBucket{limit: want.Limit, level: capacity, at: now}
		if m.fault == "absent is empty" {
			b.level = 0
		}
		m.buckets[key] = b
	}
	m.refill(b, now)
	if more := capacity - float64(m.capacity(b.limit)); b.limit != want.Limit {
		switch {
		case m.fault == "forgets on change":
			b.level = capacity
		case more > 0 && m.fault == "raise adds nothing", more < 0 && m.fault == "cut keeps the level":
			b.level = min(b.level, capacity)
		case m.fault == "cut stops at none":
			b.level = max(0, b.level+more)
		default:
			b.level += more
		}
		rate := b.limit
		b.limit = want.Limit
		if m.fault == "keeps the first rate" {
			b.limit.N, b.limit.Per = rate.N, rate.Per
		}
	}
	return b
}

func (m *model) capacity(l apikey.Limit) int {
	if m.fault == "Burst ignored" {
		return l.N
	}
	return l.Capacity()
}

func (m *model) refill(b *modelBucket, now time.Time) {
	elapsed := now.Sub(b.at)
	if m.fault == "goes back" && elapsed < 0 {
		b.at = now
	}
	if elapsed <= 0 {
		return
	}
	flow := elapsed.Seconds() * float64(b.limit.N) / b.limit.Per.Seconds()
	switch m.fault {
	case "never refills":
		flow = 0
	case "refills twice as fast":
		flow *= 2
	case "refills by the window":
		if elapsed < b.limit.Per {
			return
		}
		flow = math.Inf(1)
	}
	b.at = now
	b.level += flow
	if m.fault != "overfills" {
		b.level = min(b.level, float64(m.capacity(b.limit)))
	}
}

// wait is how long until n tokens are there.
func (m *model) wait(b *modelBucket, n int) time.Duration {
	missing := float64(n) - b.level
	if missing <= 1e-9 {
		return 0
	}
	ns := math.Ceil(missing / float64(b.limit.N) * float64(b.limit.Per))
	if m.fault == "32-bit milliseconds" {
		return time.Duration(int32(int64(ns/1e6))) * time.Millisecond
	}
	return time.Duration(min(ns, float64(100*366*24*time.Hour)))
}

func (m *model) decide(now time.Time, n int, list []apikey.Bucket, allowed bool) apikey.Decision {
	d := apikey.Decision{Allowed: allowed, Remaining: math.MaxInt}
	if len(list) == 0 {
		return apikey.Decision{Allowed: allowed}
	}
	for i, want := range list {
		b := m.bucket(want, now)
		retry, remaining := m.retryAfter(b, n), int(max(0, b.level+1e-9))
		if decides := retry > d.RetryAfter || allowed && remaining < d.Remaining; !decides && i > 0 || i > 0 && m.fault == "Decision of the first" {
			continue
		}
		reset := m.wait(b, m.capacity(want.Limit))
		if m.fault == "Reset of one token" {
			reset = min(reset, want.Limit.Per/time.Duration(want.Limit.N))
		}
		d = apikey.Decision{Allowed: allowed, Limit: want.Limit, Remaining: remaining, Reset: reset}
		if !allowed {
			d.RetryAfter = retry
		}
	}
	return d
}

func (m *model) retryAfter(b *modelBucket, n int) time.Duration {
	wait := m.wait(b, n)
	switch m.fault {
	case "RetryAfter rounded down":
		return wait.Truncate(time.Millisecond)
	case "RetryAfter of one token":
		return b.limit.Per / time.Duration(b.limit.N)
	case "RetryAfter of the whole period":
		return b.limit.Per
	}
	return wait
}
