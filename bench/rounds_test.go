package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEstimateOf(t *testing.T) {
	upTo := func(n int) []float64 {
		var s []float64
		for i := n; i > 0; i-- { // not sorted
			s = append(s, float64(i))
		}
		return s
	}
	for _, c := range []struct {
		samples []float64
		want    Estimate
	}{
		{upTo(1), Estimate{1, 1, 1}},
		{upTo(2), Estimate{1.5, 1, 2}},
		{upTo(5), Estimate{3, 1, 5}},        // 93.8 %: the least and the greatest do not suffice
		{upTo(6), Estimate{3.5, 1, 6}},      // 96.9 %
		{upTo(8), Estimate{4.5, 1, 8}},      // 99.2 %; from the second on 93.0 %
		{upTo(9), Estimate{5, 2, 8}},        // 96.1 %
		{upTo(15), Estimate{8, 4, 12}},      // 96.5 %
		{upTo(25), Estimate{13, 8, 18}},     // 95.7 %
		{upTo(100), Estimate{50.5, 40, 61}}, // 96.5 %, as in tables of the sign test
		{[]float64{7, 7, 1e9, 7, 7, 7, 7}, Estimate{7, 7, 1e9}},
	} {
		if diff := cmp.Diff(c.want, EstimateOf(c.samples)); diff != "" {
			t.Errorf("of %d samples: %s", len(c.samples), diff)
		}
	}
	if e := EstimateOf(nil); !math.IsNaN(e.Median) || !math.IsNaN(e.Low) {
		t.Errorf("of nothing: %v", e)
	}
}

func TestRatios(t *testing.T) {
	ours, theirs := []float64{2, 20, 200}, []float64{1, 10, 100, 1000} // a drift of the machine
	if diff := cmp.Diff([]float64{2, 2, 2}, Ratios(ours, theirs)); diff != "" {
		t.Error(diff)
	}
}

func TestRowNames(t *testing.T) {
	for _, c := range []struct {
		row  Row
		want string
	}{
		{Row{"auth", 1, Load{Accepted, Hot, 1}, "gin, hand-written"}, "auth/1/hot/accepted/gin-hand-written"},
		{Row{"auth", 1000, Load{WrongSecret, Uniform, 2}, "hand-written, sha256 + map"}, "auth/1000/uniform/wrong-secret/2-cores/hand-written-sha256-map"},
		{Row{"limits", 1, Load{Limited, Zipf, 1}, "apikey.TokenBuckets"}, "limits/1/zipf/rate-limited/apikey.tokenbuckets"},
	} {
		if got := c.row.Name(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// allSets are all sets, of long runs and short ones.
func allSets() []Set {
	var sets []Set
	for _, short := range []bool{false, true} {
		sets = append(sets, Peers(short)...)
		for _, c := range Growth(short) {
			sets = append(sets, c.Set)
		}
		sets = append(sets, Refused(short))
	}
	return sets
}

// TestSets: every row has a name of its own, and a base that is measured too;
// what is left out is there to be left out.
func TestSets(t *testing.T) {
	for i, s := range allSets() {
		short := i >= len(allSets())/2
		rows, names := s.Rows(), map[string]bool{}
		if len(rows) == 0 {
			t.Errorf("%s has no rows", s.Name)
		}
		for _, row := range rows {
			if names[row.Name()] {
				t.Errorf("two rows are called %s", row.Name())
			}
			names[row.Name()] = true
			if base := s.Base(row); !slices.Contains(rows, base) {
				t.Errorf("%s is set beside %s, which is not measured", row.Name(), base.Name())
			}
		}
		for _, o := range s.Omitted {
			omitted := slices.ContainsFunc(s.all(), func(r Row) bool { return o.Rows.MatchString(r.Name()) })
			if !omitted && !short {
				t.Errorf("%s: no row matches %s, which is left out", s.Name, o.Rows)
			}
		}
	}
}

func TestSelect(t *testing.T) {
	auth := Peers(false)[0]
	var got []string
	for _, row := range auth.Select(regexp.MustCompile(`^auth/(1|100000)/hot/accepted/gin`)) {
		got = append(got, row.Name())
	}
	want := []string{
		"auth/1/hot/accepted/hand-written-sha256-map", "auth/1/hot/accepted/gin-hand-written",
		"auth/100000/hot/accepted/hand-written-sha256-map", "auth/100000/hot/accepted/gin-hand-written",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if rows := auth.Select(regexp.MustCompile(`^limits/`)); len(rows) > 0 {
		t.Errorf("%d rows of another set", len(rows))
	}
}

func TestInOrder(t *testing.T) {
	requests := NewWorkload(1000).Tokens
	if got := inOrder(requests, Hot); len(got) != 1 || got[0] != requests[0] {
		t.Errorf("hot: %d requests", len(got))
	}
	if got := inOrder(requests, Uniform); !slices.Equal(got, requests) {
		t.Error("uniform: not all, once")
	}
	often := map[string]int{}
	draws := inOrder(requests, Zipf)
	for _, r := range draws {
		often[r]++
	}
	// Of 1,000 keys, by Zipf's law with s = 1.1, the first has 1/ζ of all: ζ is
	// the sum of k^-1.1 over them.
	zeta := 0.0
	for k := 1; k <= len(requests); k++ {
		zeta += math.Pow(float64(k), -1.1)
	}
	for k, share := range map[int]float64{1: 1 / zeta, 2: math.Pow(2, -1.1) / zeta, 10: math.Pow(10, -1.1) / zeta} {
		if got := float64(often[requests[k-1]]) / float64(len(draws)); math.Abs(got-share) > 0.1*share {
			t.Errorf("zipf: key %d has %.4f of the requests, want %.4f", k, got, share)
		}
	}
}

func TestMeter(t *testing.T) {
	running, err := verifyOfKeys().Start(NewWorkload(100))
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	m := NewMeter(running)
	for _, l := range []Load{{Accepted, Uniform, 1}, {Accepted, Uniform, 2}, {Accepted, Zipf, 1}, {WrongSecret, Hot, 1}, {Unknown, Hot, 2}} {
		n, err := m.Calibrate(l, time.Millisecond)
		if err != nil {
			t.Fatal(l, err)
		}
		s, err := m.Run(l, n)
		if err != nil {
			t.Fatal(l, err)
		}
		if s.NS <= 0 || s.Allocs < 0 || s.Allocs > 1 && !raced || s.GC < 0 || s.GC > 1 {
			t.Errorf("%v, %d requests: %+v", l, n, s)
		}
	}
	if _, err := m.Calibrate(Load{Limited, Hot, 1}, time.Millisecond); !errors.Is(err, ErrNoCase) {
		t.Errorf("a case that it does not have: %v", err)
	}
	if got, want := m.bytes(), int64(100*(16+tokenLen)); got < want {
		t.Errorf("the requests take %d bytes, want %d at least", got, want)
	}
}

// TestMeterSeesWrongAnswers: a subject that does not do its job is not measured.
func TestMeterSeesWrongAnswers(t *testing.T) {
	status := 204
	running := &Running{
		Requests: func(Case) []string { return []string{"a"} },
		Client:   func(Case) func(string) int { return func(string) int { return status } },
	}
	if _, err := NewMeter(running).Calibrate(Load{Unknown, Hot, 1}, time.Millisecond); err == nil {
		t.Error("an unknown key was admitted")
	}
	m, l := NewMeter(running), Load{Accepted, Hot, 1}
	if _, err := m.Calibrate(l, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	status = 503
	if _, err := m.Run(l, 10); err == nil {
		t.Error("another answer than the first was not seen")
	}
}

// TestChild: what a child is told and what it says.
func TestChild(t *testing.T) {
	curves := Growth(true)
	keys := curves[slices.IndexFunc(curves, func(c Curve) bool { return c.Name == "grow-keys" })].Set
	load := Load{Accepted, Uniform, 1}
	var in, out bytes.Buffer
	errands := json.NewEncoder(&in)
	for _, e := range []errand{{Load: load, Long: time.Millisecond}, {}, {Load: load, N: 50}, {Load: Load{Limited, Hot, 1}, N: 1}} {
		if err := errands.Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := Child(&keys, 100, verifies, &in, &out); err != nil {
		t.Fatal(err)
	}
	answers := json.NewDecoder(&out)
	var proc Proc
	if err := answers.Decode(&proc); err != nil || proc.Size != 100 || proc.Heap < 10_000 || proc.Failed != "" {
		t.Errorf("%+v, %v", proc, err)
	}
	var got [4]answer
	for i := range got {
		if err := answers.Decode(&got[i]); err != nil {
			t.Fatal(err)
		}
	}
	if got[0].N == 0 || got[1].Heap < proc.Heap || got[2].Sample.NS <= 0 || !got[3].NoCase {
		t.Errorf("%+v", got)
	}

	out.Reset()
	if err := Child(&keys, 1, "nobody", strings.NewReader(""), &out); err != nil || !strings.Contains(out.String(), "no such subject") {
		t.Errorf("%s, %v", &out, err)
	}
}

// TestShuffled: rows of one load stay together, whatever the order.
func TestShuffled(t *testing.T) {
	var rows []RowResult
	auth := Peers(false)[0]
	for _, row := range auth.Rows() {
		if row.Size == 1 {
			rows = append(rows, RowResult{Row: row})
		}
	}
	orders := map[string]bool{}
	random := newRandom(1)
	for range 5 {
		order := shuffled(rows, random)
		seen, last, key := map[Load]bool{}, Load{}, ""
		for _, i := range order {
			if l := rows[i].Load; l != last {
				if seen[l] {
					t.Fatalf("%v is torn apart", l)
				}
				seen[l], last = true, l
			}
			key += rows[i].Name()
		}
		if sorted := slices.Sorted(slices.Values(order)); sorted[len(rows)-1] != len(rows)-1 || len(slices.Compact(sorted)) != len(rows) {
			t.Fatalf("not every row once: %v", order)
		}
		orders[key] = true
	}
	if len(orders) < 5 {
		t.Errorf("%d orders in 5 rounds", len(orders))
	}
}
