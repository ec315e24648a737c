package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

var epoch = time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)

// at is an answer that took a millisecond, some milliseconds after epoch.
func at(ms, status int, node string) answer {
	start := epoch.Add(time.Duration(ms) * time.Millisecond)
	return answer{start: start, end: start.Add(time.Millisecond), status: status, node: node}
}

func wantFault(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %v, want none", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestJudgeLimit(t *testing.T) {
	limit := apikey.Limit{Name: "x", N: 100, Per: time.Second, Burst: 100}
	// traffic is of two nodes, a request each ms for two seconds, of which burst
	// and then each n-th pass.
	traffic := func(burst, n int) (all []answer) {
		for ms := range 2000 {
			status := 429
			if ms < burst || ms%n == 0 {
				status = 200
			}
			all = append(all, at(ms, status, []string{"a", "b"}[ms/2%2]))
		}
		return all
	}
	plus := func(more ...answer) []answer { return append(traffic(108, 10), more...) }
	for _, test := range []struct {
		name, fault string
		nodes       int
		all         []answer
	}{
		{"all that may pass does", "", 2, traffic(108, 10)},
		{"more at first", "passed within", 2, traffic(120, 10)},
		{"a little more all the time", "passed within", 2, traffic(108, 9)},
		{"too little", "(84", 2, traffic(60, 10)},
		{"another status", "neither 200 nor 429", 2, plus(at(2000, 401, "a"))},
		{"some undecided", "", 2, plus(undecided(100)...)},
		{"too many undecided", "answered 503", 2, plus(undecided(200)...)},
		{"a node that refused nothing", "shows nothing", 3, plus(at(2000, 200, "c"))},
		{"a node that is not there", "not 3", 3, traffic(108, 10)},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := judgeLimit(limit, test.all, test.nodes)
			wantFault(t, err, test.fault)
		})
	}
}

func undecided(n int) []answer { return slices.Repeat([]answer{at(1000, 503, "a")}, n) }

func TestJudgeFallback(t *testing.T) {
	limit := apikey.Limit{Name: "x", N: 100, Per: time.Second, Burst: 100}
	// traffic is of two nodes, a request each ms for two seconds, of which the
	// first and then each n-th of a node pass.
	traffic := func(a, b, n int) (all []answer) {
		for ms := range 2000 {
			status, first, i := 429, []int{a, b}[ms%2], ms/2
			if i < first || i%n == 0 {
				status = 200
			}
			all = append(all, at(ms, status, []string{"a", "b"}[ms%2]))
		}
		return all
	}
	for _, test := range []struct {
		name, fault string
		all         []answer
	}{
		{"each its share", "", traffic(55, 55, 10)},
		{"one has the other's too", "node a, which has a share of one in 2: ", traffic(70, 20, 10)},
		{"too little", "(7", traffic(20, 20, 10)},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := judgeFallback(limit, test.all, 2)
			wantFault(t, err, test.fault)
		})
	}
}

func TestJudgeUsage(t *testing.T) {
	// 100 answers of each node in four seconds; a is killed then.
	var all []answer
	for i := range 100 {
		all = append(all, at(40*i, 200, "a"), at(40*i+1, 200, "b"))
	}
	killed := epoch.Add(4 * time.Second)
	moved := at(4001, 200, "b")
	moved.moved = true
	sent := slices.Concat(all, []answer{moved, at(4002, 0, "")})
	last := int64(0)
	for _, a := range with(200, all) {
		if a.node == "a" && a.end.After(killed.Add(-flushInterval-grace)) {
			last++
		}
	}
	if last < 40 || last > 60 {
		t.Fatalf("%d are of the last %v", last, flushInterval+grace)
	}
	for _, test := range []struct {
		name, fault string
		sent        []answer
		stored      int64
	}{
		{"nothing is lost", "", sent, 201},
		{"what failed was counted too", "", sent, 203},
		{"one twice", "only 201 were answered", sent, 204},
		{"the last interval is lost", "", sent, 201 - last},
		{"more than that", "may be lost", sent, 200 - last},
		{"the balancer has no node", "status 502", slices.Concat(all, []answer{at(4003, 502, "")}), 200},
		{"the killed node did nothing", "shows nothing", with(200, all)[190:], 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			victim := "a"
			if test.fault == "shows nothing" {
				victim = "c"
			}
			_, err := judgeUsage(test.sent, victim, killed, test.stored)
			wantFault(t, err, test.fault)
		})
	}
}

func TestJudgeWithoutRedis(t *testing.T) {
	from := epoch.Add(time.Second)
	slow := at(1500, 503, "a")
	slow.end = slow.start.Add(5 * time.Second)
	for _, test := range []struct {
		name, fault string
		answer      answer
	}{
		{"refused", "", at(1500, 503, "a")},
		{"tokens in hand", "", at(500, 200, "a")},
		{"tokens that nobody has", "the answer is 200", at(1500, 200, "a")},
		{"the key's fault", "the answer is 401", at(500, 401, "a")},
		{"waited for long", "took 5", slow},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := judgeWithoutRedis([]answer{test.answer}, from)
			wantFault(t, err, test.fault)
		})
	}
}
