package redislimit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/redislimit"
)

var quickly = apikey.Limit{Name: "x", N: 20, Per: time.Second, Burst: 40}

// takeAll takes all 40 at once as soon as they are there.
func takeAll(t *testing.T, l apikey.Limiter, list []apikey.Bucket) {
	t.Helper()
	eventually(t, "the bucket fills", func() error {
		d, err := l.Take(t.Context(), time.Now(), quickly.Capacity(), list)
		if err == nil && !d.Allowed {
			err = fmt.Errorf("%+v", d)
		}
		return err
	})
}

// A node that was stopped with a lease in hand wakes up when Redis counts it
// as over and the bucket was filled and emptied meanwhile: it has nothing.
func TestLeaseOfStoppedNodeIsOver(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	stopped, other := leasing(t, s, 10, 300*time.Millisecond), newLimiter(t, s.client(), &redislimit.Config{Timeout: 10 * time.Second})
	stopped.HoldLeases()
	list := keyBucket("o", "k", quickly)
	remaining(t, stopped, list)
	remaining(t, stopped, list)
	if tokens, _ := stopped.Hand(); tokens != 9 {
		t.Fatalf("%d tokens are in hand, want 9", tokens)
	}
	takeAll(t, other, list)
	passed, start := 0, time.Now()
	for range 9 {
		d, _, err := take(stopped, list)
		if err != nil {
			t.Fatal(err)
		}
		if d.Allowed {
			passed++
		}
	}
	// 0.1 s more than what passed: it may have been full for the time of a call.
	if most := 1 + 20*(time.Since(start)+100*time.Millisecond).Seconds(); float64(passed) > most {
		t.Errorf("%d passed of a lease that is over", passed)
	}
}

// While a lease is in hand, the bucket does not fill beyond its capacity
// without it, for as long as it lasts.
func TestLeaseCountsAgainstCapacity(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	holder, other := leasing(t, s, 10, time.Minute), newLimiter(t, s.client(), &redislimit.Config{Timeout: 10 * time.Second})
	holder.HoldLeases()
	list := keyBucket("o", "k", quickly)
	remaining(t, holder, list)
	remaining(t, holder, list)
	<-time.After(time.Second) // 20 tokens, of which 11 are missing
	d, err := other.Take(t.Context(), time.Now(), 32, list)
	if err != nil || d.Allowed || d.Remaining != 31 || d.RetryAfter < 30*time.Second {
		t.Errorf("9 of 40 are in a lease for a minute, and 32: %+v, %v", d, err)
	}
	if d, err = other.Take(t.Context(), time.Now(), 31, list); err != nil || !d.Allowed {
		t.Errorf("9 of 40 are in a lease, and 31: %+v, %v", d, err)
	}
	for range 9 {
		remaining(t, holder, list)
	}
}

// A lease is given back once, though the call may come twice.
func TestLeaseReturnsOnce(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	l, list := leasing(t, s, 10, time.Minute), keyBucket("o", "k", day)
	for range 3 {
		remaining(t, l, list)
	}
	if err := l.ReturnTwice(t.Context()); err != nil {
		t.Fatal(err)
	}
	leaves(t, s, list, 996) // 3 were spent, and this one
}

// leaves takes one token of list in Redis itself, and wants so many to remain.
func leaves(t *testing.T, s *server, list []apikey.Bucket, want int) {
	t.Helper()
	exact := newLimiter(t, s.client(), &redislimit.Config{Timeout: 10 * time.Second})
	if got := remaining(t, exact, list); got != want {
		t.Errorf("%d remain, want %d", got, want)
	}
}
