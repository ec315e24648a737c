package apikey

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// BenchmarkConstantTime looks for what the time of a refusal tells, by the
// method of dudect (Reparaz, Balasch and Verbauwhede, 2017): single
// measurements of two classes of input in random order, and Welch's t of their
// times, of all and of those below each of a hundred percentiles. It reports
// the largest |t|; dudect calls 10 and more "probably not constant time". Each
// run is of 10⁶ measurements, or 2·10⁵ of Verify, and one run is enough to see
// a leak, but not to exclude one: take the median of several.
//
//	go test -run '^$' -bench ConstantTime -benchtime 1x -count 7 .
//
// The planted comparisons hold the instrument itself to account, and so do the
// two rows of what does tell and is no secret: the benchmark fails where it
// finds no leak in those, or one elsewhere.
func BenchmarkConstantTime(b *testing.B) {
	const fast, slow = 1_000_000, 200_000
	for _, row := range []struct {
		name    string
		leaks   bool // it is known to
		samples int
		subject func(*testing.B) subject
	}{
		{"planted/leaky", true, fast, compares(leakyEqual, early, late)},
		{"planted/constant", false, fast, compares(constantEqual, early, late)},
		{"planted/one-class", false, fast, compares(leakyEqual, early, early)},
		{"digest/first-or-last-byte", false, fast, compares(equal, early, late)},
		{"digest/equal-or-first-byte", false, fast, compares(equal, same, early)},
		{"digest/equal-or-last-byte", false, fast, compares(equal, same, late)},
		{"Verify/digest-differs-first-or-last", false, slow, refuses(digestDiffersEarly, digestDiffersLate)},
		{"Verify/secret-differs-first-or-last", false, slow, refuses(secretDiffersEarly, secretDiffersLate)},
		{"Verify/unknown-ID-or-wrong-secret", true, slow, refuses(unknownID, secretDiffersLate)},
		{"Verify/wrong-checksum-or-wrong-secret", true, slow, refuses(wrongChecksum, secretDiffersLate)},
	} {
		b.Run(row.name, func(b *testing.B) {
			t := benchmarkLeak(b, row.samples, row.subject(b))
			switch {
			case row.leaks && t < probablyLeaks:
				b.Errorf("|t| = %.1f of what is known to leak: the instrument is blind", t)
			case !row.leaks && t >= probablyLeaks:
				b.Errorf("|t| = %.1f: probably not constant time", t)
			}
		})
	}
}

// probablyLeaks is dudect's threshold of |t|.
const probablyLeaks = 10

// subject prepares an input of class 0 or 1, and gives what is to be timed.
type subject func(class int, r *rand.Rand) func()

// benchmarkLeak reports the median of |t| over b.N runs.
func benchmarkLeak(b *testing.B, samples int, s subject) float64 {
	b.Helper()
	var ts []float64
	for range b.N {
		ts = append(ts, leak(samples, s))
	}
	slices.Sort(ts)
	t := ts[len(ts)/2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(t, "max|t|")
	b.ReportMetric(float64(samples), "samples")
	return t
}

// leak is the largest |t| over so many measurements. As in dudect, a first
// batch gives the percentiles and is thrown away.
func leak(samples int, s subject) float64 {
	const batch, crops = 10_000, 100
	r := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	first := make([]float64, batch)
	for i := range first {
		_, first[i] = measureOnce(s, r)
	}
	tests := make([]welch, 1, 1+crops)
	tests[0].below = math.Inf(1)
	slices.Sort(first)
	for i := range crops {
		tests = append(tests, welch{below: percentile(first, i, crops)})
	}
	for range samples {
		class, ns := measureOnce(s, r)
		for i := range tests {
			tests[i].add(class, ns)
		}
	}
	most := 0.0
	for i := range tests {
		// Of fewer, the t distribution is no longer the normal one by far.
		if w := &tests[i]; min(w.n[0], w.n[1]) >= 5_000 {
			most = max(most, math.Abs(w.t()))
		}
	}
	return most
}

func measureOnce(s subject, r *rand.Rand) (class int, ns float64) {
	class = int(r.Uint64() & 1)
	f := s(class, r)
	start := time.Now()
	f()
	return class, float64(time.Since(start).Nanoseconds())
}

// percentile is the i-th of n thresholds. They lie the closer together the
// higher the time, as in dudect.
func percentile(sorted []float64, i, n int) float64 {
	p := 1 - math.Pow(0.5, 10*float64(i+1)/float64(n))
	return sorted[int(p*float64(len(sorted)))]
}

// welch is Welch's t-test (1947) of the values below a bound, in one pass
// (Welford, 1962).
type welch struct {
	below    float64
	n        [2]float64
	mean, m2 [2]float64
}

func (w *welch) add(class int, x float64) {
	if x >= w.below {
		return
	}
	w.n[class]++
	d := x - w.mean[class]
	w.mean[class] += d / w.n[class]
	w.m2[class] += d * (x - w.mean[class])
}

// t is 0 where neither class varies and both are alike.
func (w *welch) t() float64 {
	d := w.mean[0] - w.mean[1]
	if d == 0 {
		return 0
	}
	return d / math.Sqrt(w.m2[0]/(w.n[0]-1)/w.n[0]+w.m2[1]/(w.n[1]-1)/w.n[1])
}

// welchT is the t of these two by the definition, in exact rational arithmetic.
var (
	welchX = []float64{27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4}
	welchY = []float64{27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 40.5, 24.4, 8.25}
)

const welchT = -1.46629546878

// TestWelch holds the arithmetic to known values.
func TestWelch(t *testing.T) {
	for name, tc := range map[string]struct {
		below float64
		x, y  []float64
		want  float64
	}{
		"unequal variances":  {math.Inf(1), welchX, welchY, welchT},
		"the other way":      {math.Inf(1), welchY, welchX, -welchT},
		"by hand":            {math.Inf(1), []float64{1, 2, 3}, []float64{2, 4, 6}, -2 / math.Sqrt(1.0/3+4.0/3)},
		"alike":              {math.Inf(1), []float64{1, 2}, []float64{2, 1}, 0},
		"constant and alike": {math.Inf(1), []float64{5, 5}, []float64{5, 5}, 0},
		"constant":           {math.Inf(1), []float64{5, 5}, []float64{6, 6}, math.Inf(-1)},
		"cropped":            {100, append([]float64{100, 1e9}, welchX...), append([]float64{100}, welchY...), welchT},
		"far from zero":      {math.Inf(1), plus(1e9, welchX), plus(1e9, welchY), welchT},
	} {
		w := welch{below: tc.below}
		for _, x := range tc.x {
			w.add(0, x)
		}
		for _, y := range tc.y {
			w.add(1, y)
		}
		if got := w.t(); math.Abs(got-tc.want) > 1e-6 || math.IsNaN(got) {
			t.Errorf("%s: t = %.9f, want %.9f", name, got, tc.want)
		}
	}
}

func plus(d float64, x []float64) (out []float64) {
	for _, v := range x {
		out = append(out, v+d)
	}
	return out
}

func TestPercentile(t *testing.T) {
	sorted := make([]float64, 10_000)
	for i := range sorted {
		sorted[i] = float64(i)
	}
	for _, tc := range []struct {
		i    int
		want float64
	}{{0, 669}, {9, 5000}, {19, 7500}, {99, 9990}} {
		if got := percentile(sorted, tc.i, 100); got != tc.want {
			t.Errorf("percentile %d is %v, want %v", tc.i, got, tc.want)
		}
	}
}

// closeness is where a digest differs from the stored one.
type closeness int

const (
	same  closeness = -1
	early closeness = 0
	late  closeness = sha256.Size - 1
)

// compares is a comparison of random digests, eight times over, as one takes
// less than reading the clock. Nothing but the comparison itself may depend on
// the class: what is compared is copied to one place, whole, since a byte
// written just before is read at another speed than its neighbours, and there
// is no branch on the result.
func compares(equal func(*[sha256.Size]byte, string) bool, classes ...closeness) func(*testing.B) subject {
	return func(*testing.B) subject { return comparison(equal, classes) }
}

func comparison(equal func(*[sha256.Size]byte, string) bool, classes []closeness) subject {
	var sum [sha256.Size]byte
	var stored string
	var results [8]bool
	compare := func() {
		for i := range results {
			results[i] = equal(&sum, stored)
		}
	}
	digests := make([]string, 256)
	sums := make([][2][sha256.Size]byte, len(digests))
	for i := range digests {
		d := sha256.Sum256([]byte{byte(i)})
		digests[i] = string(d[:])
		for class, at := range classes {
			sums[i][class] = d
			if at != same {
				sums[i][class][at] ^= byte(1 + rand.Uint64()%255)
			}
		}
	}
	return func(class int, r *rand.Rand) func() {
		i := r.Uint64() % uint64(len(digests))
		sum, stored = sums[i][class], digests[i]
		return compare
	}
}

// leakyEqual stops at the first byte that differs.
//
//go:noinline
func leakyEqual(sum *[sha256.Size]byte, stored string) bool {
	for i := range sum {
		if sum[i] != stored[i] {
			return false
		}
	}
	return true
}

//go:noinline
func constantEqual(sum *[sha256.Size]byte, stored string) bool {
	bits := byte(0)
	for i := range sum {
		bits |= sum[i] ^ stored[i]
	}
	return bits == 0
}

// tokenClass makes a wrong token of a key and the digest that the key has, both
// from a right token of that ID. The two classes of a row agree in the digest.
type tokenClass func(right string) (wrong string, stored [sha256.Size]byte)

const secretAt = len("rd_sk_") + 12

func secretDiffersEarly(right string) (string, [sha256.Size]byte) {
	return withSecretByte(right, secretAt), sha256.Sum256([]byte(right))
}

func secretDiffersLate(right string) (string, [sha256.Size]byte) {
	return withSecretByte(right, len(right)-checksumLen-1), sha256.Sum256([]byte(right))
}

// digestDiffersLate is the right token, and a digest that differs from its own
// in the last byte.
func digestDiffersLate(right string) (string, [sha256.Size]byte) {
	stored := sha256.Sum256([]byte(right))
	stored[late] ^= 1
	return right, stored
}

// digestDiffersEarly is a token whose digest differs from that in the first
// byte.
func digestDiffersEarly(right string) (string, [sha256.Size]byte) {
	_, stored := digestDiffersLate(right)
	for at := secretAt; ; at++ {
		if wrong := withSecretByte(right, at); sha256.Sum256([]byte(wrong))[0] != stored[0] {
			return wrong, stored
		}
	}
}

func unknownID(right string) (string, [sha256.Size]byte) {
	return withSecretByte(right, secretAt-1), sha256.Sum256([]byte(right))
}

func wrongChecksum(right string) (string, [sha256.Size]byte) {
	i := len(right) - 1
	return right[:i] + otherDigit(right[i]), sha256.Sum256([]byte(right))
}

// withSecretByte is token with another digit, and a right checksum.
func withSecretByte(token string, at int) string {
	body := token[:at] + otherDigit(token[at]) + token[at+1:len(token)-checksumLen]
	return body + checksum(body)
}

func otherDigit(c byte) string { return string(base62[(int(digits[c])+1)%len(base62)]) }

// refuses is the refusal of wrong tokens of 256 keys.
func refuses(classes ...tokenClass) func(*testing.B) subject {
	return func(b *testing.B) subject {
		b.Helper()
		return refusal(b, classes)
	}
}

func refusal(b *testing.B, classes []tokenClass) subject {
	b.Helper()
	store := records{}
	var wrong [2][256]string
	for i := range 256 {
		token, id := published[0].issue("")
		right := token.Reveal()
		var stored [sha256.Size]byte
		for class, wrongOf := range classes {
			wrong[class][i], stored = wrongOf(right)
		}
		k := leastKey()
		k.ID = id
		rec, err := NewRecord(k, newDigest(kindSHA256, 0, string(stored[:])))
		if err != nil {
			b.Fatal(err)
		}
		store[id] = rec
	}
	m, err := New(store, &Config{Formats: published[:1]})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	var request Request
	var refused error
	verify := func() { _, _, refused = m.Verify(b.Context(), request) }
	return func(class int, r *rand.Rand) func() {
		if refused == nil && request.Token != "" {
			b.Fatal("a wrong token passed")
		}
		token := wrong[class][r.Uint64()%256]
		request.Token = string(append(make([]byte, 0, 64), token...)) // in new memory, whichever the class
		return verify
	}
}

// records is a Store that keeps what it is made with. Verification is all that
// it is for.
type records map[string]*Record

func (s records) Get(_ context.Context, ref string) (*Record, error) {
	if rec := s[ref]; rec != nil {
		return rec, nil
	}
	return nil, ErrNotFound
}

func (records) Create(context.Context, *Record, Write) error { return errReadOnly }
func (records) Update(context.Context, *Record, Write) error { return errReadOnly }
func (records) Delete(context.Context, string, Write) error  { return errReadOnly }
func (records) AddUsage(context.Context, UsageBatch) error   { return errReadOnly }
func (records) List(context.Context, Query) (Page, error)    { return Page{}, errReadOnly }

var errReadOnly = fmt.Errorf("%w: the records are fixed", ErrUnsupported)
