package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100) // 1 to 100, exact below 256
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	tests := []struct {
		name string
		of   []time.Duration
		q    float64
		want time.Duration
	}{
		{"of none", nil, 0.5, 0},
		{"of one", []time.Duration{7}, 0.999, 7},
		{"median of two is the lower", []time.Duration{3, 9}, 0.5, 3},
		{"median of three", []time.Duration{9, 1, 5}, 0.5, 5},
		{"p50", hundred, 0.5, 50},
		{"p99", hundred, 0.99, 99},
		{"p99.9", hundred, 0.999, 100},
		{"all", hundred, 1, 100},
		{"never above the maximum", []time.Duration{time.Second + 1}, 0.5, time.Second + 1},
		{"longer than there are buckets", []time.Duration{1 << 60}, 0.5, 1 << 60},
		{"before its time", []time.Duration{-1}, 0.5, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var h histogram
			for _, d := range tc.of {
				h.add(d)
			}
			if got := h.percentile(tc.q); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
		})
	}
}

// TestPercentileOfMany holds percentiles beside those of the sorted list: not
// below, and at most a 128th above.
func TestPercentileOfMany(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var parts [3]histogram
	var all []time.Duration
	for i := range 100_000 {
		d := time.Duration(rnd.ExpFloat64() * float64(100*time.Microsecond))
		parts[i%3].add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	var h histogram
	for i := range parts {
		h.merge(&parts[i])
	}
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := all[int(q*float64(len(all)))-1]
		if got := h.percentile(q); got < exact || got > exact+exact/half {
			t.Errorf("%g: %v, in the list %v", q, got, exact)
		}
	}
	long := len(all) - slices.IndexFunc(all, func(d time.Duration) bool { return d > 500*time.Microsecond })
	if l := h.latency(); l.Max != all[len(all)-1] || l.Long != 0 || long == 0 {
		t.Errorf("%+v, want a maximum of %v and none above %v", l, all[len(all)-1], LongPause)
	}
}

// TestBuckets holds that each value lies in its bucket, and the buckets side by side.
func TestBuckets(t *testing.T) {
	for v := uint64(1); v < 1<<42; v = v*17/16 + 1 {
		b := bucketOf(v)
		if v > greatest(b) || v <= greatest(b-1) && b > 0 {
			t.Fatalf("%d is in bucket %d, from above %d to %d", v, b, greatest(b-1), greatest(b))
		}
	}
}

func TestLongPauses(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{LongPause - 1, LongPause, LongPause + 1, time.Second} {
		h.add(d)
	}
	if h.Long != 2 {
		t.Errorf("%d long ones, want 2", h.Long)
	}
}

func TestSpread(t *testing.T) {
	s := Series{Rounds: []Round{{PerSecond: 5}, {PerSecond: 1}, {PerSecond: 3}}}
	median, least, greatest := s.Spread(func(r *Round) float64 { return r.PerSecond })
	if median != 3 || least != 1 || greatest != 5 {
		t.Errorf("%v, from %v to %v, want 3, from 1 to 5", median, least, greatest)
	}
}
