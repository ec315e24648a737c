package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey/bench"
)

// TestShort measures one tiny table with all that is measured with, writes it
// into a document, and writes the same again from the results.
func TestShort(t *testing.T) {
	dir := t.TempDir()
	doc, results := filepath.Join(dir, "FIGURES.md"), filepath.Join(dir, "results.json")
	before, after := "# Figures\n\nby hand\n\n", "\n\n## More\n\nby hand too\n"
	if err := os.WriteFile(doc, []byte(before+beginMarker+"\nold\n"+endMarker+after), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	args := []string{"-short", "-rounds", "2", "-long", "1ms", "-seed", "7", "-run", "^(auth/1/hot/accepted/gin|grow-permissions/(1|3)/)", "-json", results, "-o", doc}
	if err := run(t.Context(), args, strings.NewReader(""), &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	text := read(t, doc)
	inner, ok := strings.CutPrefix(text, before)
	inner, ok2 := strings.CutSuffix(inner, after)
	if !ok || !ok2 {
		t.Errorf("what stood there by hand was changed:\n%s", text)
	}
	for _, want := range []string{
		beginMarker, endMarker, "seed 7", "| gin, hand-written | github.com/gin-gonic/gin v", "| hand-written, sha256 + map | ", "1.00 (1.00–1.00)",
		"go run ./bench/report -short -run '^auth/1/hot/accepted/'", "](docs/plots/grow-permissions.svg)", "#### Permissions of a key", "| 3 | ",
		"× its line at",
	} {
		if !strings.Contains(inner, want) {
			t.Errorf("%q is not in the document:\n%s", want, inner)
		}
	}
	for _, absent := range []string{"old\n", "echo KeyAuth", "| 10 | ", "#### Keys", "NaN", dir} {
		if strings.Contains(inner, absent) {
			t.Errorf("%q is in the document", absent)
		}
	}
	if svg := read(t, filepath.Join(dir, "docs", "plots", "grow-permissions.svg")); !strings.Contains(svg, "<svg") || !strings.Contains(svg, "sans-serif") {
		t.Errorf("no plot: %.200s", svg)
	}
	if !strings.Contains(stderr.String(), "seed 7") {
		t.Errorf("the seed is not told: %s", &stderr)
	}
	if err := run(t.Context(), []string{"-from", results, "-o", doc}, strings.NewReader(""), &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, read(t, doc)); diff != "" {
		t.Errorf("from the results it is another one: %s", diff)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestList(t *testing.T) {
	list := func(args ...string) []string {
		var out strings.Builder
		if err := run(t.Context(), append([]string{"-list"}, args...), strings.NewReader(""), &out, &out); err != nil {
			t.Fatal(err)
		}
		return strings.Fields(out.String())
	}
	all := list()
	for _, name := range []string{"auth/1000000/uniform/accepted/2-cores/apikey-all-of-it", "grow-keys/10000000/uniform/accepted/verify", "floors/Guard/keys=1", "load"} {
		if !slices.Contains(all, name) {
			t.Errorf("%s is no row", name)
		}
	}
	if got, want := list("-run", "^floors/Guard/"), []string{"floors/Guard/keys=1", "floors/Guard/keys=1000000"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if short := list("-short"); len(short) >= len(all) {
		t.Errorf("a short run has %d rows, a long one %d", len(short), len(all))
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-run", "("}, {"-rounds", "x"}, {"auth"}, {"-o", filepath.Join(t.TempDir(), "none.md")}} {
		var out strings.Builder
		if err := run(t.Context(), args, strings.NewReader(""), &out, &out); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "go run ./bench/report"},
		{[]string{"-json", "a.json", "-o=B.md", "-short"}, "go run ./bench/report -short"},
		{[]string{"-run", "^auth/1/"}, "go run ./bench/report -run '^auth/1/'"},
	} {
		if got := command(c.args); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestSplit(t *testing.T) {
	const b, e = beginMarker, endMarker
	for _, text := range []string{"", b, e, e + b, b + b + e, b + e + e, b + e + b + e, e + b + e} {
		if _, err := split("x" + text + "y"); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	p, err := split("x\n" + b + "old" + e + "\ny")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.with("\nnew\n\n"), "x\n"+b+"\n\nnew\n\n"+e+"\ny"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := splitDocument("../../BENCHMARKS.md"); err != nil {
		t.Error(err)
	}
}

func TestText(t *testing.T) {
	for got, want := range map[string]string{
		duration(0):          "0 ns",
		duration(312.4):      "312 ns",
		duration(9_994):      "9,994 ns",
		duration(9_996):      "10.0 µs",
		duration(57_300):     "57.3 µs",
		duration(999_600):    "1.00 ms",
		duration(1_234_000):  "1.23 ms",
		duration(2.5e9):      "2.50 s",
		digits(0.0123):       "0.012",
		digits(1.499):        "1.50",
		digits(108.4):        "108",
		amount(2):            "2",
		amount(2.04):         "2",
		amount(0.5):          "0.5",
		amount(1234.5):       "1,235",
		count(-1234567):      "-1,234,567",
		memory(1536):         "1.50 KiB",
		percent(0):           "0 %",
		percent(0.001):       "< 1 %",
		percent(0.166):       "17 %",
		plural(1, "keys"):    "1 key",
		plural(1000, "keys"): "1,000 keys",
		spread(bench.Estimate{Median: 312, Low: 305, High: 320}):     "312 ns (305–320)",
		spread(bench.Estimate{Median: 9300, Low: 8000, High: 13100}): "9,300 ns (8,000 ns–13.1 µs)",
		ratio(bench.Estimate{Median: 1.5, Low: 1.4, High: 11}):       "1.50 (1.40–11.0)",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		e     bench.Estimate
		most  verdict
		least verdict
	}{
		{bench.Estimate{Median: 1.3, Low: 1.2, High: 1.4}, reached, missed},
		{bench.Estimate{Median: 1.5, Low: 1.5, High: 1.5}, reached, reached},
		{bench.Estimate{Median: 1.4, Low: 1.3, High: 1.6}, reachedNear, missedNear},
		{bench.Estimate{Median: 1.6, Low: 1.4, High: 1.7}, missedNear, reachedNear},
		{bench.Estimate{Median: 1.7, Low: 1.6, High: 1.8}, missed, reached},
		{bench.EstimateOf(nil), missed, missed},
	} {
		if most, least := atMost(c.e, 1.5), atLeast(c.e, 1.5); most != c.most || least != c.least {
			t.Errorf("%v: at most %q, at least %q, want %q and %q", c.e, most, least, c.most, c.least)
		}
	}
}

// TestTargets judges results that were made up.
func TestTargets(t *testing.T) {
	m := &measured{Results: bench.Results{}}
	auth, limits := bench.Peers(false)[0], bench.Peers(false)[1]
	add := func(s *bench.Set, subject string, ns, allocs float64) {
		if !slices.ContainsFunc(s.Subjects(1), func(s bench.Subject) bool { return s.Name == subject }) {
			t.Errorf("%s has no subject %q", s.Name, subject)
		}
		row := bench.RowResult{Row: bench.Row{Set: s.Name, Size: 1, Load: bench.Load{Case: bench.Accepted, Order: bench.Hot, Cores: 1}, Subject: subject}}
		for i := range 15 {
			drift := 1 + float64(i)/10 // of the machine: it hits all alike
			row.Samples = append(row.Samples, bench.Sample{NS: ns * drift, Allocs: allocs})
		}
		m.Rows = append(m.Rows, row)
		m.Procs = append(m.Procs, bench.Proc{Set: s.Name, Size: 1, Subject: subject})
	}
	add(&auth, authOnly, 300, 2)
	add(&auth, authAll, 450, 5)
	add(&auth, bench.HandWritten, 310, 4)
	add(&auth, handAll, 1000, 15)
	add(&auth, "go-guardian, static token", 290, 3)
	add(&auth, hs256, 1800, 44)
	add(&limits, ourBuckets, 110, 0)
	add(&limits, bench.BareRate, 100, 0)
	d := &document{measured: m}
	d.targets()
	for _, want := range []string{
		"faster than every peer that looks keys up | 1 key | 0.97 (0.97–0.97) × faster than go-guardian, static token | **no** |",
		"≥ 10 × faster than HS256 by golang-jwt | 1 key | 6.00 (6.00–6.00) × faster | **no** |",
		"which does nothing else | 1 key | 1.45 (1.45–1.45) × | yes |",
		"≥ 4 × faster than HS256 by golang-jwt | 1 key | 4.00 (4.00–4.00) × faster | yes |",
		"no slower than the fastest peer's bare authentication | 1 key | 1.55 (1.55–1.55) × the time of go-guardian, static token | **no** |",
		"under the same map | 1 bucket | 1.10 (1.10–1.10) × | yes |",
		"authentication alone: fewest allocations of all | 1 key | 2; the others' fewest: 3, go-guardian, static token | yes |",
		"all of it: fewest allocations of all | 1 key | 5; the others' fewest: 3, go-guardian, static token | **no** |",
		"a limiter alone: fewest allocations of all | 1 bucket | 0; the others' fewest: 0, x/time/rate, sharded map | yes |",
	} {
		if !strings.Contains(d.text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &d.text)
		}
	}
	m.Rows[4].Failed = "bench: it fails" // then another one is the fastest
	d = &document{measured: m}
	d.targets()
	if want := "1.03 (1.03–1.03) × faster than hand-written, sha256 + map | yes |"; !strings.Contains(d.text.String(), want) {
		t.Errorf("%q is not in\n%s", want, &d.text)
	}
}

func TestFailures(t *testing.T) {
	peer := bench.RowResult{Row: bench.Row{Set: "limits", Size: 1, Subject: "throttled"}, Failed: "it does"}
	if err := (&measured{Results: bench.Results{Rows: []bench.RowResult{peer}}}).failures(); err != nil {
		t.Errorf("that a peer fails under load is a failure of the run: %v", err)
	}
	mine := peer
	mine.Subject = authAll
	for _, m := range []*measured{
		{Results: bench.Results{Rows: []bench.RowResult{mine}}},
		{Results: bench.Results{Procs: []bench.Proc{{Subject: "throttled", Failed: "it does not start"}}}},
	} {
		if m.failures() == nil {
			t.Errorf("%+v is no failure", m.Results)
		}
	}
}

func TestParseFloor(t *testing.T) {
	const out = "goos: linux\nBenchmarkGuard/keys=1 \t       1\t         2.003 allocs\t       229.5 floor-ns\t       263.9 ours-ns\t         1.150 ratio\nPASS\n"
	got, err := parseFloor("Guard/keys=1", out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(floor{Name: "Guard/keys=1", Floor: 229.5, Ours: 263.9, Ratio: 1.15, Allocs: 2}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := parseFloor("Guard", "PASS\n"); err == nil {
		t.Error("a benchmark that did not run was taken")
	}
}

func TestMoreOften(t *testing.T) {
	for _, c := range []struct {
		a, b int64
		want bool
	}{{0, 0, false}, {1, 0, false}, {2, 0, false}, {3, 0, true}, {12, 10, false}, {60, 40, true}, {40, 60, false}} {
		if got := moreOften(c.a, c.b); got != c.want {
			t.Errorf("%d and %d: %t", c.a, c.b, got)
		}
	}
}

// TestMachine: what is told of a machine does not name it.
func TestMachine(t *testing.T) {
	m := thisMachine()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if m.Cores < 1 || m.Go == "" || len(host) > 3 && strings.Contains(string(data), host) {
		t.Errorf("%s", data)
	}
}

// TestDurationsOfNothing: what was not measured is a dash, not a number.
func TestDurationsOfNothing(t *testing.T) {
	nothing := bench.EstimateOf(nil)
	if got := spread(nothing) + ratio(nothing) + digits(math.NaN()); got != "–––" {
		t.Errorf("%q", got)
	}
}
