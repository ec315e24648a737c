package load

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts durations in buckets that are 1/128 of their value wide.
type histogram struct {
	Counts [36 * half]int64 `json:"counts"`
	N      int64            `json:"n"`
	Long   int64            `json:"long"` // above LongPause
	Total  time.Duration    `json:"total"`
	Max    time.Duration    `json:"max"`
}

// half is the number of buckets between a power of two and the next.
const half = 128

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.Counts[min(bucketOf(uint64(d)), len(h.Counts)-1)]++
	h.N++
	h.Total += d
	h.Max = max(h.Max, d)
	if d > LongPause {
		h.Long++
	}
}

func (h *histogram) merge(x *histogram) {
	for i, n := range x.Counts {
		h.Counts[i] += n
	}
	h.N += x.N
	h.Long += x.Long
	h.Total += x.Total
	h.Max = max(h.Max, x.Max)
}

// bucketOf is v itself below 256; above, its highest eight bits and how many follow.
func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-8, 0)
	return shift*half + int(v>>shift)
}

// greatest is the greatest value in a bucket.
func greatest(bucket int) uint64 {
	shift := max(bucket/half-1, 0)
	return uint64(bucket-shift*half+1)<<shift - 1
}

// percentile is the least duration that a share q of them, or more, do not
// exceed, rounded up to the end of its bucket; 0 if there are none.
func (h *histogram) percentile(q float64) time.Duration {
	rank := max(int64(math.Ceil(q*float64(h.N))), 1)
	for i, n := range h.Counts {
		if rank -= n; rank <= 0 && i < len(h.Counts)-1 { // the last one has no end
			return min(time.Duration(greatest(i)), h.Max)
		}
	}
	return h.Max
}

func (h *histogram) latency() Latency {
	return Latency{P50: h.percentile(0.5), P99: h.percentile(0.99), P999: h.percentile(0.999), Max: h.Max, Long: h.Long}
}
