package redislimit_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/redislimit"
	"github.com/redis/go-redis/v9"
)

// nodeVariable has the test binary be a node of a service, with the settings
// that it holds.
const nodeVariable = "APIKEY_REDISLIMIT_NODE"

// node is what one process does: takes as fast as it gets refused or allowed.
type node struct {
	Addr    string
	Config  redislimit.Config
	Lists   [][]apikey.Bucket // in turn
	For     time.Duration
	Workers int
	Pause   time.Duration // after each refusal, and with Idle after each call
	Idle    bool
}

// admission is one token that passed: at some time from Start to End.
type admission struct {
	Start, End int64 // Unix microseconds
	List       int
}

func runNode() int {
	var n node
	if err := json.Unmarshal([]byte(os.Getenv(nodeVariable)), &n); err != nil {
		return nodeFailed(err)
	}
	client := redis.NewClient(&redis.Options{Addr: n.Addr})
	l, err := redislimit.New(client, &n.Config)
	if err != nil {
		return nodeFailed(err)
	}
	var mu sync.Mutex
	var all []admission
	var wg sync.WaitGroup
	end := time.Now().Add(n.For)
	for w := range n.Workers {
		wg.Go(func() {
			mine := n.work(l, w, end)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	wg.Wait()
	if err := l.Close(context.Background()); err != nil {
		return nodeFailed(err)
	}
	out := bufio.NewWriter(os.Stdout)
	if err := json.NewEncoder(out).Encode(all); err != nil {
		return nodeFailed(err)
	}
	if err := out.Flush(); err != nil {
		return nodeFailed(err)
	}
	return 0
}

func nodeFailed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func (n *node) work(l *redislimit.Limiter, w int, end time.Time) []admission {
	var passed []admission
	for i := w; time.Now().Before(end); i++ {
		list := i % len(n.Lists)
		start := time.Now().UnixMicro()
		d, err := l.Take(context.Background(), time.Now(), 1, n.Lists[list])
		if err == nil && d.Allowed {
			passed = append(passed, admission{start, time.Now().UnixMicro(), list})
		}
		if n.Idle || err != nil || !d.Allowed {
			<-time.After(n.Pause)
		}
	}
	return passed
}

// runNodes runs count processes of n and returns what passed. Each that
// disturb is given may be stopped and killed.
func runNodes(t *testing.T, n node, count int, disturb func(nodes []*exec.Cmd)) []admission {
	t.Helper()
	settings, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var nodes []*exec.Cmd
	var outputs []io.Reader
	for range count {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), nodeVariable+"="+string(settings))
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		nodes, outputs = append(nodes, cmd), append(outputs, out)
	}
	if disturb != nil {
		disturb(nodes)
	}
	var all []admission
	for i, cmd := range nodes {
		var passed []admission
		if err := json.NewDecoder(outputs[i]).Decode(&passed); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
		all = append(all, passed...)
	}
	return all
}

// checkNeverMore holds what passed of one limit to burst + rate × time over
// every span from one admission to another.
func checkNeverMore(t *testing.T, l apikey.Limit, passed []admission) {
	t.Helper()
	byStart := slices.SortedFunc(slices.Values(passed), func(a, b admission) int { return cmp.Compare(a.Start, b.Start) })
	byEnd := slices.SortedFunc(slices.Values(passed), func(a, b admission) int { return cmp.Compare(a.End, b.End) })
	rate := float64(l.N) / float64(l.Per.Microseconds())
	for i := 0; i < len(byStart); i += 1 + len(byStart)/2000 {
		from, count := byStart[i].Start, 0
		for _, a := range byEnd {
			if a.Start < from {
				continue
			}
			count++
			// A microsecond more: times here are rounded down.
			if most := float64(l.Capacity()) + rate*float64(a.End-from+1); float64(count) > most {
				t.Fatalf("%d passed within %d µs, where burst + rate × time is %.1f", count, a.End-from, most)
			}
		}
	}
}

// Over all nodes and any span of time no more passes than burst + rate × time,
// and at least 97 % of it does: exact, with leases, and with nodes that are
// stopped with a lease in hand for longer than it lasts.
func TestNeverMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	span, count := 4*time.Second, 4
	if os.Getenv("APIKEY_LONG") != "" {
		span, count = time.Minute, 10
	}
	fast := apikey.Limit{Name: "fast", N: 300, Per: time.Second, Burst: 100}
	slow := apikey.Limit{Name: "slow", N: 600, Per: time.Minute}
	tests := []struct {
		name    string
		lease   int
		limit   apikey.Limit
		stopped bool
	}{
		{"exact", 0, fast, false},
		{"lease", 10, fast, false},
		{"lease, 600 a minute", 10, slow, false},
		{"lease, one node stopped", 10, fast, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t)
			n := node{
				Addr: s.addr(), For: span, Workers: 4, Pause: 2 * time.Millisecond,
				Config: redislimit.Config{Lease: tt.lease, LeaseTime: 500 * time.Millisecond, Timeout: 5 * time.Second},
				Lists:  [][]apikey.Bucket{keyBucket("o", "k", tt.limit)},
			}
			var disturb func([]*exec.Cmd)
			if tt.stopped {
				disturb = func(nodes []*exec.Cmd) { stopForAWhile(t, nodes[0]) }
			}
			start := time.Now()
			passed := runNodes(t, n, count, disturb)
			took := time.Since(start)
			checkNeverMore(t, tt.limit, passed)
			rate := float64(tt.limit.N) / tt.limit.Per.Seconds()
			most, least := float64(tt.limit.Capacity())+rate*took.Seconds(), float64(tt.limit.Capacity())+rate*span.Seconds()
			t.Logf("%d passed in %v: %.1f %% of burst + rate × %v", len(passed), took, 100*float64(len(passed))/least, span)
			if got := float64(len(passed)); got > most || got < 0.97*least {
				t.Errorf("%d passed: at least 97 %% of %.0f must, and at most %.0f may", len(passed), least, most)
			}
		})
	}
}

// stopForAWhile stops a node twice for longer than a lease lasts.
func stopForAWhile(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	for range 2 {
		for _, sig := range []os.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
			<-time.After(700 * time.Millisecond)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Error(err)
			}
		}
	}
}

// With demand below the limit, leases lie in hands, of stopped nodes too: what
// they hold and the bucket's are never more than its burst together.
func TestStoppedNodeHoldsNoBurst(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	limit := apikey.Limit{Name: "x", N: 200, Per: time.Second, Burst: 40}
	cfg := redislimit.Config{Lease: 10, LeaseTime: 400 * time.Millisecond, Timeout: 5 * time.Second}
	n := node{
		Addr: s.addr(), For: 3 * time.Second, Workers: 1, Pause: 20 * time.Millisecond, Idle: true, Config: cfg,
		Lists: [][]apikey.Bucket{keyBucket("o", "k", limit)},
	}
	l := newLimiter(t, s.client(), &cfg)
	var mine []admission
	passed := runNodes(t, n, 3, func(nodes []*exec.Cmd) {
		for range 3 {
			<-time.After(300 * time.Millisecond)
			for _, cmd := range nodes {
				_ = cmd.Process.Signal(syscall.SIGSTOP)
			}
			<-time.After(300 * time.Millisecond)
			for range 3 * limit.Capacity() { // all that is there, at once, as they wake up
				start := time.Now().UnixMicro()
				if d, _, err := take(l, n.Lists[0]); err == nil && d.Allowed {
					mine = append(mine, admission{start, time.Now().UnixMicro(), 0})
				}
			}
			for _, cmd := range nodes {
				_ = cmd.Process.Signal(syscall.SIGCONT)
			}
		}
	})
	if len(mine) < limit.Capacity() || len(passed) < 50 {
		t.Fatalf("%d and %d passed: this tested nothing", len(mine), len(passed))
	}
	checkNeverMore(t, limit, append(passed, mine...))
}
