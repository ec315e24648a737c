package redislimit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/redislimit"
)

var day = apikey.Limit{Name: "day", N: 1000, Per: 24 * time.Hour}

func leasing(t testing.TB, s *server, k int, d time.Duration) *redislimit.Limiter {
	return newLimiter(t, s.client(), &redislimit.Config{Lease: k, LeaseTime: d, Timeout: 10 * time.Second})
}

func remaining(t *testing.T, l apikey.Limiter, list []apikey.Bucket) int {
	t.Helper()
	d, _, err := take(l, list)
	if err != nil || !d.Allowed {
		t.Fatalf("%+v, %v", d, err)
	}
	return d.Remaining
}

// Tokens in hand are served without Redis, and come back on Close.
func TestLeaseReturnsOnClose(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	l, list := leasing(t, s, 10, time.Minute), keyBucket("o", "k", day)
	for i := range 5 { // of which the second takes ten ahead
		if got := remaining(t, l, list); got != 999-i {
			t.Errorf("take %d: %d remain, want %d", i, got, 999-i)
		}
	}
	if tokens, _ := l.Hand(); tokens != 7 {
		t.Errorf("%d tokens are in hand, want 7", tokens)
	}
	exact := newLimiter(t, s.client(), &redislimit.Config{Timeout: 10 * time.Second})
	if got := remaining(t, exact, list); got != 1000-12-1 {
		t.Errorf("for another node %d remain, want what is not taken, 987", got)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := remaining(t, exact, list); got != 1000-5-2 {
		t.Errorf("after Close %d remain, want 993", got)
	}
	if _, _, err := take(l, list); !errors.Is(err, redislimit.ErrClosed) {
		t.Errorf("after Close Take returned %v", err)
	}
}

// What lies idle goes back by itself, and the node forgets the bucket.
func TestLeaseReturnsWhenIdle(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	l, list := leasing(t, s, 10, 2*time.Second), keyBucket("o", "k", day)
	for range 3 {
		remaining(t, l, list)
	}
	eventually(t, "it is given back", func() error {
		if tokens, buckets := l.Hand(); buckets > 0 {
			return fmt.Errorf("%d tokens are in hand", tokens)
		}
		return nil
	})
	exact := newLimiter(t, s.client(), &redislimit.Config{Timeout: 10 * time.Second})
	eventually(t, "Redis has them", func() error {
		d, err := exact.Take(t.Context(), time.Now(), 997, list)
		if err == nil && !d.Allowed {
			err = fmt.Errorf("%d remain", d.Remaining)
		}
		return err
	})
}

// A lease is not used after its time by either clock.
func TestLeaseEnds(t *testing.T) {
	t.Parallel()
	for _, wall := range []bool{false, true} {
		s := startServer(t)
		l, list := leasing(t, s, 10, time.Minute), keyBucket("o", "k", day)
		for range 3 {
			remaining(t, l, list)
		}
		l.AgeLeases(wall)
		s.signal(syscall.SIGSTOP)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if d, err := l.Take(ctx, time.Now(), 1, list); err == nil {
			t.Errorf("wall clock %v: a lease that is over was used: %+v", wall, d)
		}
		cancel()
		s.signal(syscall.SIGCONT)
	}
}

// While Redis is gone, what is in hand still passes, and no more.
func TestLeaseOutlivesRedis(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	l, list := leasing(t, s, 10, time.Minute), keyBucket("o", "k", day)
	for range 2 {
		remaining(t, l, list)
	}
	s.kill()
	for i := range 10 {
		if _, _, err := take(l, list); err != nil {
			t.Fatalf("token %d of 10 in hand: %v", i, err)
		}
	}
	if _, _, err := take(l, list); !errors.Is(err, redislimit.ErrUnavailable) {
		t.Errorf("with none in hand: %v", err)
	}
}

// A refusal by a bucket costs another nothing, leased or not.
func TestLeaseAllOrNone(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	l := leasing(t, s, 10, time.Minute)
	wide := keyBucket("o", "wide", day)
	narrow := keyBucket("o", "narrow", apikey.Limit{Name: "day", N: 3, Per: 24 * time.Hour})
	for range 4 {
		remaining(t, l, wide)
	}
	both := []apikey.Bucket{wide[0], narrow[0]}
	passed := 0
	for range 50 {
		d, _, err := take(l, both)
		if err != nil {
			t.Fatal(err)
		}
		if d.Allowed {
			passed++
		} else if d.Limit != narrow[0].Limit || d.Remaining != 0 || d.RetryAfter < 7*time.Hour {
			t.Fatalf("refused by %+v", d)
		}
	}
	if passed != 3 {
		t.Errorf("%d passed, of 3", passed)
	}
	if got := remaining(t, l, wide); got != 1000-4-3-1 {
		t.Errorf("the other bucket has %d, want 992", got)
	}
}

// However many goroutines share leases of several buckets, what passes is what
// is taken, to the token.
func TestLeaseConcurrently(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	var nodes []*redislimit.Limiter
	for range 3 {
		nodes = append(nodes, leasing(t, s, 10, time.Minute))
	}
	owner := apikey.Bucket{Scope: apikey.ScopeOwner, ID: "o", Owner: "o", Limit: apikey.Limit{Name: "day", N: 700, Per: 24 * time.Hour}}
	var passed [5]atomic.Int64
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			for j := range 60 {
				k := (i + j) % 5
				list := append(keyBucket("o", fmt.Sprint("k", k), apikey.Limit{Name: "day", N: 170, Per: 24 * time.Hour}), owner)
				d, _, err := take(nodes[i%3], list)
				if err != nil {
					t.Error(err)
					return
				}
				if d.Allowed {
					passed[k].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for _, l := range nodes {
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	exact := newLimiter(t, s.client(), &redislimit.Config{Timeout: 10 * time.Second})
	total := 0
	for k := range passed {
		n := int(passed[k].Load())
		total += n
		limit := apikey.Limit{Name: "day", N: 170, Per: 24 * time.Hour, Burst: 1000} // so that there is one to take
		if got := remaining(t, exact, keyBucket("o", fmt.Sprint("k", k), limit)); got != 1000-n-1 || n > 170 {
			t.Errorf("key %d: %d passed, and %d of 1,000 remain", k, n, got)
		}
	}
	if total > 700 || total < 679 {
		t.Errorf("%d passed, of 700", total)
	}
	owner.Limit.Burst = 1000
	if got := remaining(t, exact, []apikey.Bucket{owner}); got != 1000-total-1 {
		t.Errorf("%d passed, and %d of 1,000 of the owner's remain", total, got)
	}
}

// A limit that changes is the new one from the request on that brings it.
func TestLeaseOfChangedLimit(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	l := leasing(t, s, 10, time.Minute)
	for range 4 {
		remaining(t, l, keyBucket("o", "k", day))
	}
	small := day
	small.N = 5
	d, _, err := take(l, keyBucket("o", "k", small))
	if err != nil || !d.Allowed || d.Remaining != 0 {
		t.Errorf("cut to 5 with 4 used: %+v, %v", d, err)
	}
	if d, _, err = take(l, keyBucket("o", "k", small)); err != nil || d.Allowed {
		t.Errorf("cut to 5 with 5 used: %+v, %v", d, err)
	}
}

// A bucket in Redis takes no more than 200 bytes, and none when it is full.
func TestMemory(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	l := newLimiter(t, s.client(), &redislimit.Config{Timeout: 10 * time.Second})
	list := append(keyBucket("acct_0123456789", "7Qx2mB4kZ0aA", apikey.PerHour(1000)),
		apikey.Bucket{Scope: apikey.ScopeOwner, ID: "acct_0123456789", Owner: "acct_0123456789", Limit: apikey.PerMinute(6000)})
	remaining(t, l, list)
	for _, b := range list {
		if bytes := s.do("memory", "usage", redislimit.KeyName("apikey:", b)).(int64); bytes > 200 {
			t.Errorf("%+v takes %d bytes", b, bytes)
		} else {
			t.Logf("%d bytes", bytes)
		}
	}
	before := usedMemory(s)
	const many = 100_000 // beside which the buffers of connections are small
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < many; i += 64 {
				if _, _, err := take(l, keyBucket("acct_0123456789", fmt.Sprintf("%012d", i), apikey.PerHour(1000))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if each := (usedMemory(s) - before) / many; each > 200 {
		t.Errorf("of %d buckets each takes %d bytes, with its expiry", many, each)
	} else {
		t.Logf("of %d buckets each takes %d bytes, with its expiry", many, each)
	}
	brief := keyBucket("o", "k", apikey.Limit{Name: "x", N: 10, Per: 100 * time.Millisecond})
	remaining(t, l, brief)
	eventually(t, "it expires when full", func() error {
		if n := s.do("exists", redislimit.KeyName("apikey:", brief[0])); n != int64(0) {
			return errors.New("it is there")
		}
		return nil
	})
}

func usedMemory(s *server) int {
	var n int
	_, _ = fmt.Sscan(value(s.client().Info(context.Background(), "memory").Val(), "used_memory"), &n)
	return n
}
