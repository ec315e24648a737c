package redislimit_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/redislimit"
	"github.com/redis/go-redis/v9"
)

// A lease whose return got no answer is not spent, since Redis may have it, and
// is given back again until there is one.
func TestLeaseReturnIsRepeated(t *testing.T) {
	t.Parallel()
	for _, decided := range []bool{false, true} { // refused, or decided too late
		s := startServer(t)
		l := newLimiter(t, s.client(), &redislimit.Config{Lease: 10, LeaseTime: time.Minute, Timeout: time.Second})
		l.HoldLeases()
		list, asked := keyBucket("o", "k", day), keyBucket("o", "asked", day)
		for range 2 {
			remaining(t, l, list)
			remaining(t, l, asked)
		}
		begin, end := func() { s.do("config", "set", "maxmemory", "1") }, func() { s.do("config", "set", "maxmemory", "0") }
		if decided {
			begin, end = func() { s.signal(syscall.SIGSTOP) }, func() { s.signal(syscall.SIGCONT) }
		}
		begin()
		if err := l.SweepIdle(t.Context()); !errors.Is(err, redislimit.ErrUnavailable) {
			t.Fatalf("a sweep returned %v", err)
		}
		if d, _, err := take(l, asked); err == nil {
			t.Errorf("a lease that Redis may have back was used: %+v", d)
		}
		end()
		eventually(t, "all is given back", func() error {
			err := l.SweepIdle(t.Context())
			if tokens, buckets := l.Hand(); err == nil && buckets > 0 {
				err = fmt.Errorf("%d tokens are in hand", tokens)
			}
			return err
		})
		leaves(t, s, list, 997) // 2 were spent, and this one
	}
}

// While Redis is gone, what lies idle is not given up either, but for the one
// lease by which a sweep tries whether it is back.
func TestLeaseStaysInHandWithoutRedis(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	client := redis.NewClient(&redis.Options{Addr: s.addr(), DialerRetries: 1})
	t.Cleanup(func() { _ = client.Close() })
	l := newLimiter(t, client, &redislimit.Config{Lease: 10, LeaseTime: time.Minute, Timeout: time.Second})
	l.HoldLeases()
	var lists [][]apikey.Bucket
	for i := range 20 {
		lists = append(lists, keyBucket("o", fmt.Sprint(i), day))
		remaining(t, l, lists[i])
		remaining(t, l, lists[i])
	}
	s.kill()
	for range 3 {
		if _, _, err := take(l, keyBucket("o", "other", day)); err == nil {
			t.Fatal("without Redis it was allowed")
		}
	}
	_ = l.SweepIdle(t.Context())
	passed := 0
	for _, list := range lists {
		if d, _, err := take(l, list); err == nil && d.Allowed {
			passed++
		}
	}
	if passed < 19 {
		t.Errorf("of 20 buckets with tokens in hand %d let one pass", passed)
	}
}

// Close ends when also a sweep that was under way has given back what it had.
func TestCloseWaitsForSweep(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	l, list := leasing(t, s, 10, time.Minute), keyBucket("o", "k", day)
	l.HoldLeases()
	remaining(t, l, list)
	remaining(t, l, list)
	s.signal(syscall.SIGSTOP)
	swept, closed := make(chan error, 1), make(chan error, 1)
	go func() { swept <- l.SweepIdle(t.Context()) }()
	eventually(t, "the sweep has it", func() error {
		if _, buckets := l.Hand(); buckets > 0 {
			return errors.New("it is in hand")
		}
		return nil
	})
	go func() { closed <- l.Close(t.Context()) }()
	select {
	case err := <-closed:
		t.Fatalf("Close returned %v while a lease was on its way back", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.signal(syscall.SIGCONT)
	if err := errors.Join(<-swept, <-closed); err != nil {
		t.Error(err)
	}
	leaves(t, s, list, 997) // 2 were spent, and this one
}

// What is taken ahead is for callers that still wait.
func TestLeaseForgetsWhoLeft(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	l, list := leasing(t, s, 10, time.Minute), keyBucket("o", "k", day)
	l.HoldLeases()
	remaining(t, l, list)
	s.signal(syscall.SIGSTOP)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var first, others sync.WaitGroup
	for i := range 100 { // of which one asks for all
		wg, ctx := &others, ctx
		if i == 0 {
			wg, ctx = &first, t.Context()
		}
		wg.Go(func() { _, _ = l.Take(ctx, time.Now(), 1, list) })
		for i == 0 && !l.Flying() {
			runtime.Gosched()
		}
	}
	others.Wait()
	s.signal(syscall.SIGCONT)
	first.Wait()
	for range 11 { // one more than are in hand
		remaining(t, l, list)
	}
	if tokens, _ := l.Hand(); tokens != 10 {
		t.Errorf("%d tokens were taken ahead, want 10, as nobody waits", tokens)
	}
}

// A node forgets idle buckets also while Redis is gone.
func TestLeaseTableShrinksWithoutRedis(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1})
	t.Cleanup(func() { _ = client.Close() })
	l := newLimiter(t, client, &redislimit.Config{Lease: 10, LeaseTime: 100 * time.Millisecond})
	for i := range 20 {
		if _, _, err := take(l, keyBucket("o", fmt.Sprint(i), day)); !errors.Is(err, redislimit.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	eventually(t, "all are forgotten", func() error {
		if n := l.Entries(); n > 0 {
			return fmt.Errorf("%d are known", n)
		}
		return nil
	})
}
