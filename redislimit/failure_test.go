package redislimit_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/redislimit"
	"github.com/redis/go-redis/v9"
)

var hour = apikey.Limit{Name: "hour", N: 10, Per: time.Hour}

func keyBucket(owner, id string, l apikey.Limit) []apikey.Bucket {
	return []apikey.Bucket{{Scope: apikey.ScopeKey, ID: id, Owner: owner, Limit: l}}
}

// take takes one token; elapsed is how long it took.
func take(l apikey.Limiter, list []apikey.Bucket) (d apikey.Decision, elapsed time.Duration, err error) {
	start := time.Now()
	d, err = l.Take(context.Background(), start, 1, list)
	return d, time.Since(start), err
}

// slack is what a busy machine may add to a timeout.
const slack = 400 * time.Millisecond

// outage is a way for Redis to fail, and to come back.
type outage struct {
	name  string
	begin func(t *testing.T, s *server)
	end   func(t *testing.T, s *server)
	kept  bool // what was spent before is known after
}

var outages = []outage{
	{"kill -9", func(_ *testing.T, s *server) { s.kill() }, func(_ *testing.T, s *server) { s.start() }, false},
	{"SIGSTOP", func(_ *testing.T, s *server) { s.signal(syscall.SIGSTOP) }, func(_ *testing.T, s *server) { s.signal(syscall.SIGCONT) }, true},
	{"DEBUG SLEEP", func(t *testing.T, s *server) {
		client := redis.NewClient(&redis.Options{Addr: s.addr(), MaxRetries: -1}) // sleeps once
		t.Cleanup(func() { _ = client.Close() })
		go client.Do(context.Background(), "debug", "sleep", "10")
		<-time.After(100 * time.Millisecond)
	}, func(*testing.T, *server) {}, true},
	{"read-only replica", func(t *testing.T, s *server) {
		primary := startServer(t)
		s.do("replicaof", "127.0.0.1", primary.port)
		eventually(t, "the replica is in step", func() error { return inStep(s) })
	}, func(_ *testing.T, s *server) { s.do("replicaof", "no", "one") }, false},
	{"out of memory", func(_ *testing.T, s *server) { s.do("config", "set", "maxmemory", "1") }, func(_ *testing.T, s *server) { s.do("config", "set", "maxmemory", "0") }, true},
}

func inStep(s *server) error {
	info, err := s.client().Info(context.Background(), "replication").Result()
	if err == nil && !containsLine(info, "master_link_status:up") {
		err = errors.New("its link is down")
	}
	return err
}

// While Redis fails each request is answered in time, as the host chose, and
// few wait for the timeout; when it is back, it decides again by itself.
func TestOutages(t *testing.T) {
	t.Parallel()
	for i, o := range outages {
		lease := 10 * (i % 2) // one by one or ahead: a timeout is the same
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			deny := newLimiter(t, s.client(), &redislimit.Config{Lease: lease})
			fallback := newLimiter(t, s.client(), &redislimit.Config{OnFailure: redislimit.Fallback, Nodes: 2})
			admit := newLimiter(t, s.client(), &redislimit.Config{OnFailure: redislimit.InsecureAdmitOnFailure})
			list := keyBucket("o", "k", hour)
			for _, l := range []apikey.Limiter{deny, fallback, admit} {
				eventually(t, "it works before", func() error { _, _, err := take(l, list); return err })
			}
			o.begin(t, s)
			checkDown(t, deny, fallback, admit)
			o.end(t, s)
			var d apikey.Decision
			eventually(t, "it recovers", func() (err error) { d, _, err = take(deny, list); return err })
			if spent := 10 - d.Remaining; o.kept && spent < 4 {
				t.Errorf("after the outage %d are known as spent, of 3 before and 1 now", spent)
			}
			eventually(t, "the others recover", func() error {
				d, _, err := take(admit, list)
				if err == nil && d.Allowed {
					err = errors.New("it still admits all")
				}
				return err
			})
		})
	}
}

func checkDown(t *testing.T, deny, fallback, admit apikey.Limiter) {
	t.Helper()
	list := keyBucket("o", "down", hour)
	start := time.Now()
	for range 200 {
		_, elapsed, err := take(deny, list)
		if !errors.Is(err, redislimit.ErrUnavailable) {
			t.Fatalf("without Redis: %v, want ErrUnavailable", err)
		}
		if elapsed > 100*time.Millisecond+slack {
			t.Errorf("one decision took %v, at a timeout of 100ms", elapsed)
		}
	}
	if elapsed := time.Since(start); elapsed > time.Second {
		t.Errorf("200 decisions without Redis took %v: most must not wait", elapsed)
	}
	passed := 0
	for range 20 {
		d, _, err := take(fallback, list)
		if err != nil || d.Limit != hour {
			t.Fatalf("Fallback: %+v, %v", d, err)
		}
		if d.Allowed {
			passed++
		}
		if d, _, err := take(admit, list); err != nil || !d.Allowed || d.Limit != hour {
			t.Fatalf("InsecureAdmitOnFailure: %+v, %v", d, err)
		}
	}
	if passed != 5 {
		t.Errorf("Fallback let %d pass, of 10 on 2 nodes", passed)
	}
}

// A replica that is promoted takes over, with what was spent.
func TestPromotion(t *testing.T) {
	t.Parallel()
	primary, replica := startServer(t), startServer(t)
	replica.do("replicaof", "127.0.0.1", primary.port)
	eventually(t, "the replica is in step", func() error { return inStep(replica) })
	var addr atomic.Value
	addr.Store(primary.addr())
	client := redis.NewClient(&redis.Options{Addr: "primary", Dialer: dialer(&addr)})
	t.Cleanup(func() { _ = client.Close() })
	l := newLimiter(t, client, &redislimit.Config{Timeout: time.Second})
	for range 4 {
		if _, _, err := take(l, keyBucket("o", "k", hour)); err != nil {
			t.Fatal(err)
		}
	}
	if n, ok := primary.do("wait", 1, 5000).(int64); !ok || n != 1 {
		t.Fatalf("%d replicas have it", n)
	}
	offset := func(s *server) string { return s.client().Info(context.Background(), "replication").Val() }
	eventually(t, "the replica has it all", func() error {
		if value(offset(primary), "master_repl_offset") != value(offset(replica), "slave_repl_offset") {
			return errors.New("it has not")
		}
		return nil
	})
	primary.kill()
	addr.Store(replica.addr())
	replica.do("replicaof", "no", "one")
	var d apikey.Decision
	eventually(t, "it recovers", func() (err error) { d, _, err = take(l, keyBucket("o", "k", hour)); return err })
	if d.Remaining != 5 {
		t.Errorf("after 5 of 10, one of them by the new primary, %d remain", d.Remaining)
	}
}

// What was flushed is gone, and all is full; the script comes back by itself.
func TestFlush(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]int{"flushall": 9, "script flush": 8} {
		s := startServer(t)
		l := newLimiter(t, s.client(), &redislimit.Config{Timeout: 10 * time.Second})
		list := keyBucket("o", "k", hour)
		if _, _, err := take(l, list); err != nil {
			t.Fatal(err)
		}
		s.do(words(command)...)
		d, _, err := take(l, list)
		if err != nil || d.Remaining != want {
			t.Errorf("after %s: %+v, %v; want %d remaining", command, d, err, want)
		}
	}
}

// A server that takes no more connections is one that fails.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--maxclients", "6") // one is the test's own
	var held []*redis.Client
	for range 5 {
		client := redis.NewClient(&redis.Options{Addr: s.addr(), PoolSize: 1, MaxRetries: -1})
		eventually(t, "a connection is held", func() error { return client.Ping(context.Background()).Err() })
		held = append(held, client)
	}
	l := newLimiter(t, s.client(), nil)
	for range 50 {
		if _, elapsed, err := take(l, keyBucket("o", "k", hour)); !errors.Is(err, redislimit.ErrUnavailable) || elapsed > 100*time.Millisecond+slack {
			t.Fatalf("with no connection left: %v after %v", err, elapsed)
		}
	}
	for _, client := range held {
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "it recovers", func() error { _, _, err := take(l, keyBucket("o", "k", hour)); return err })
}

// One name that holds something else is that bucket's failure alone.
func TestForeignValue(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	l := newLimiter(t, s.client(), &redislimit.Config{Timeout: 10 * time.Second})
	s.do("rpush", redislimit.KeyName("apikey:", keyBucket("o", "list", hour)[0]), "x")
	s.do("set", redislimit.KeyName("apikey:", keyBucket("o", "text", hour)[0]), "x")
	errs := make(chan error)
	for i := range 60 {
		go func() {
			id := []string{"list", "text", "good"}[i%3]
			_, _, err := take(l, keyBucket("o", id, apikey.PerHour(1000)))
			if (err != nil) == (id == "good") {
				errs <- fmt.Errorf("%s: %w", id, err)
				return
			}
			errs <- nil
		}()
	}
	for range 60 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// A call whose caller left takes nothing if it was not sent yet, and fails with
// the ctx's error.
func TestContextWhileWaiting(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	l := newLimiter(t, s.client(), &redislimit.Config{Timeout: 30 * time.Second, OnFailure: redislimit.InsecureAdmitOnFailure})
	if _, _, err := take(l, keyBucket("o", "k", hour)); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGSTOP)
	defer s.signal(syscall.SIGCONT)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.Take(ctx, time.Now(), 1, keyBucket("o", "k", hour)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Take returned %v, want the ctx's error", err)
	}
}
