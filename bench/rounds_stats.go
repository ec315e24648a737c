package bench

import (
	"math"
	"slices"
)

// Estimate is a median and what is known of it: with a probability of at least
// Confidence the true median lies from Low to High, whatever the distribution.
type Estimate struct {
	Median    float64
	Low, High float64
}

// Confidence is that of an Estimate from 6 samples or more. Fewer do not
// suffice: then Low and High are the least and the greatest.
const Confidence = 0.95

// EstimateOf is the median of samples with its interval by order statistics:
// the k-th least and the k-th greatest, where fewer than k of the samples lie on
// one side of the true median with a probability of at most (1-Confidence)/2,
// by the binomial distribution (David and Nagaraja, Order Statistics, 7.1).
func EstimateOf(samples []float64) Estimate {
	if len(samples) == 0 {
		return Estimate{Median: math.NaN(), Low: math.NaN(), High: math.NaN()}
	}
	s := slices.Clone(samples)
	slices.Sort(s)
	n := len(s)
	k := rank(n)
	return Estimate{Median: (s[(n-1)/2] + s[n/2]) / 2, Low: s[k-1], High: s[n-k]}
}

// rank is the greatest k, at least 1, of the comment of EstimateOf.
func rank(n int) int {
	k, below, term := 0, 0.0, math.Pow(0.5, float64(n)) // of exactly k samples on one side
	for {
		if below += term; below > (1-Confidence)/2 {
			return max(k, 1)
		}
		term *= float64(n-k) / float64(k+1)
		k++
	}
}

// Ratios is ours beside theirs, round by round: what disturbed a round
// disturbed both.
func Ratios(ours, theirs []float64) []float64 {
	n := min(len(ours), len(theirs))
	ratios := make([]float64, n)
	for i := range n {
		ratios[i] = ours[i] / theirs[i]
	}
	return ratios
}

// Median is that of samples, NaN of none.
func Median(samples []float64) float64 { return EstimateOf(samples).Median }
