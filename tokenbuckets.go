package apikey

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"
)

// TokenBuckets is the [Limiter] in this process's memory: exact on one node,
// while each node counts for itself. Make one with [NewTokenBuckets]. It starts
// no goroutine: a Manager calls [TokenBuckets.Sweep] from time to time, and so
// must who uses one without a Manager. A bucket takes about 90 bytes.
//
// A bucket never goes back in time: a call whose now is before that of an
// earlier call is answered as of the earlier one. Times with a monotonic
// reading are compared by it, so setting the system's clock changes nothing.
// Time counts in whole nanoseconds: what flows in during one is there at its
// start. No duration of a Decision is above 200 years.
type TokenBuckets struct {
	start time.Time // times are kept as the Duration since then
	table bucketTable
}

// NewTokenBuckets returns a limiter without buckets.
func NewTokenBuckets() *TokenBuckets {
	return &TokenBuckets{start: time.Now(), table: newBucketTable()}
}

// Take is as [Limiter] describes it. n above the capacity of a bucket is
// [ErrCost]; n below 1, a Limit that is none, and a list that holds an identity
// twice are [ErrInvalid]. With up to 8 buckets it allocates nothing but
// the buckets that are new.
func (t *TokenBuckets) Take(ctx context.Context, now time.Time, n int, buckets []Bucket) (Decision, error) {
	if err := ctx.Err(); err != nil {
		return Decision{}, err
	}
	if err := checkTake(n, buckets); err != nil {
		return Decision{}, err
	}
	var d Decision
	for i := 1; i < len(buckets); i++ {
		if compareBuckets(&buckets[i-1], &buckets[i]) >= 0 {
			return d, t.takeUnsorted(now, n, buckets, &d)
		}
	}
	t.takeSorted(now, n, buckets, &d)
	return d, nil
}

// resolve looks buckets up, makes those that are new, and sorts them: for
// takeSorted. They are not yet shared, and no two are the same.
func (t *TokenBuckets) resolve(buckets []Bucket, now time.Time) {
	at := t.sinceStart(now)
	for i := range buckets {
		if b := &buckets[i]; b.Limit.isLimit() {
			b.kind, b.rate, b.capacity = kindOf(b), b.Limit.rate(), float64(b.Limit.Capacity())
			b.handle = t.find(b, at)
		}
	}
	slices.SortFunc(buckets, func(a, b Bucket) int { return compareBuckets(&a, &b) })
}

// takeSorted is Take of buckets in the order in which they are locked; n is at
// least 1 and no bucket's capacity is below it. It sets d, and returns the
// bucket that d is of; nil if there is none.
func (t *TokenBuckets) takeSorted(now time.Time, n int, buckets []Bucket, d *Decision) *Bucket {
	if len(buckets) <= 2 { // as most are: clearing memory for eight takes as long as a bucket
		var few [2]taking
		return t.take(takingsOf(few[:0], buckets), now, n, d)
	}
	var few [8]taking
	return t.take(takingsOf(few[:0], buckets), now, n, d)
}

// takeUnsorted is takeSorted of buckets in any order.
func (t *TokenBuckets) takeUnsorted(now time.Time, n int, buckets []Bucket, d *Decision) error {
	var few [8]taking
	takings := takingsOf(few[:0], buckets)
	slices.SortFunc(takings, func(a, b taking) int { return compareBuckets(a.want, b.want) })
	for i := 1; i < len(takings); i++ {
		if compareBuckets(takings[i-1].want, takings[i].want) == 0 { // to lock one twice would take for ever
			return faults{{"buckets", "must not hold one bucket twice"}}.err()
		}
	}
	t.take(takings, now, n, d)
	return nil
}

// takingsOf appends a taking for each of buckets to few.
func takingsOf(few []taking, buckets []Bucket) []taking {
	takings := slices.Grow(few, len(buckets))[:len(buckets)]
	for i := range buckets {
		takings[i].want = &buckets[i]
		// Reading a length of them has the processor fetch all buckets at once;
		// locking them would make it wait for one after the other.
		if h := buckets[i].handle; h != nil && len(h.id) == len(buckets[i].ID) {
			takings[i].tokenBucket = h
		}
	}
	return takings
}

// take takes n tokens from all of takings, which are sorted, or from none. It
// sets d, and returns the bucket that d is of; nil if there is none.
func (t *TokenBuckets) take(takings []taking, now time.Time, n int, d *Decision) *Bucket {
	at := t.sinceStart(now)
	t.lock(takings, at)
	defer unlock(takings)
	for i := range takings {
		t.look(&takings[i], at)
	}
	tk := takeAll(takings, float64(n), d)
	if tk == nil {
		return nil
	}
	tk.tell(d)
	return tk.want
}

// checkTake refuses what could never pass.
func checkTake(n int, buckets []Bucket) error {
	if n < 1 {
		return faults{{"n", "must be at least 1"}}.err()
	}
	for i := range buckets {
		switch l := &buckets[i].Limit; {
		case !l.isLimit():
			return faults{{"Limit", "must have N and Per above 0, and Burst not below 0"}}.err()
		case n > l.Capacity():
			return ErrCost
		}
	}
	return nil
}

// isLimit reports whether l lets anything pass, in numbers that can be computed with.
func (l *Limit) isLimit() bool { return l.N > 0 && l.Per > 0 && l.Burst >= 0 }

// compareBuckets orders buckets by identity.
func compareBuckets(a, b *Bucket) int {
	if c := cmp.Compare(a.Scope, b.Scope); c != 0 {
		return c
	}
	if c := strings.Compare(a.ID, b.ID); c != 0 {
		return c
	}
	return strings.Compare(a.Limit.Name, b.Limit.Name)
}

// taking is one bucket of a Take.
type taking struct {
	*tokenBucket // nil: not found yet
	want         *Bucket
	rate         float64 // tokens a second
	capacity     float64
	at           time.Duration // when the bucket is asked: now, or the latest time it knows, since TokenBuckets.start
	lag          time.Duration // how much later than now that is
	level        float64       // its tokens then, without those that this Take took
}

// lock locks the buckets of takings, in their order, and finds those that are
// not known or were dropped since.
func (t *TokenBuckets) lock(takings []taking, at time.Duration) {
	for i := range takings {
		tk := &takings[i]
		if tk.tokenBucket == nil {
			tk.tokenBucket = t.find(tk.want, at)
		}
		tk.mu.Lock()
		for tk.dropped() {
			tk.mu.Unlock()
			tk.tokenBucket = t.find(tk.want, at)
			tk.mu.Lock()
		}
	}
}

func unlock(takings []taking) {
	for i := range takings {
		takings[i].mu.Unlock()
	}
}

// find returns the bucket that b names, and makes it, full, if there is none.
func (t *TokenBuckets) find(b *Bucket, at time.Duration) *tokenBucket {
	return t.table.find(b, func(swept time.Duration) *tokenBucket {
		id := strings.Clone(b.ID) // the caller's string may be part of something large
		return &tokenBucket{id: id, last: max(at, swept), level: float64(b.Limit.Capacity())}
	})
}

// look brings the bucket to the limit that is wanted and says what it holds now.
func (t *TokenBuckets) look(tk *taking, now time.Duration) {
	b, want := tk.tokenBucket, tk.want
	tk.at = max(b.last, now)
	tk.lag = tk.at - now
	tk.rate, tk.capacity = want.rate, want.capacity
	if b.kind != want.kind {
		t.adapt(tk)
	}
	tk.level = b.levelAt(tk.at, tk.rate, tk.capacity)
}

// adapt is look for a bucket that was not resolved or whose limit changed. What
// was spent stays spent: the level rises or falls by as much as the capacity,
// below 0 too.
func (t *TokenBuckets) adapt(tk *taking) {
	b, limit := tk.tokenBucket, &tk.want.Limit
	kind := b.kind.Value()
	if kind.limit == *limit {
		tk.rate, tk.capacity = kind.rate, kind.capacity
		return
	}
	tk.rate, tk.capacity = limit.rate(), float64(limit.Capacity())
	b.level = b.levelAt(tk.at, kind.rate, kind.capacity) + tk.capacity - kind.capacity
	b.last = tk.at
	t.table.setKind(b, tk.want)
}

// levelAt is the tokens in b at a time that is not before its last.
func (b *tokenBucket) levelAt(at time.Duration, rate, capacity float64) float64 {
	return min(b.level+(at-b.last).Seconds()*rate, capacity)
}

// rate is l in tokens a second.
func (l *Limit) rate() float64 { return float64(l.N) / l.Per.Seconds() }

// takeAll takes n tokens from every bucket if each has them, and says so in d.
// It returns the one that is told of: the nearest to being used up, or that
// which the request must wait for the longest.
func takeAll(takings []taking, n float64, d *Decision) *taking {
	var waiting, least *taking
	for i := range takings {
		tk := &takings[i]
		if tk.level < n {
			if w := tk.until(n); w > d.RetryAfter {
				d.RetryAfter, waiting = w, tk
			}
		}
		if least == nil || tk.level < least.level {
			least = tk
		}
	}
	if waiting != nil {
		return waiting
	}
	d.Allowed = true
	for i := range takings {
		tk := &takings[i]
		tk.level -= n
		b := tk.tokenBucket // whose level is not this Take's
		b.last, b.level = tk.at, tk.level
	}
	return least
}

// tell says in d how full the bucket is.
func (tk *taking) tell(d *Decision) {
	// Half a nanosecond's flow: a token that is short by a rounding error would pass.
	whole := math.Floor(tk.level + tk.rate*0.5e-9)
	d.Limit = tk.want.Limit
	d.Remaining = int(max(0, min(whole, tk.capacity)))
	d.Reset = tk.until(tk.capacity)
}

// until is how long after the call's now the bucket holds n tokens.
func (tk *taking) until(n float64) time.Duration {
	ns := flowTime(n-tk.level, tk.rate)
	if ns < 1 {
		return 0
	}
	// What flows in is rounded when it is added to what is there: look whether
	// the tokens are there by then. Mostly they are, else a nanosecond later.
	wait := time.Duration(math.Round(ns))
	for step := time.Duration(1); wait < century && flowTime(n-tk.levelAfter(wait), tk.rate) >= 1; step *= 2 {
		wait += step
	}
	return min(wait, century) + min(tk.lag, century)
}

// levelAfter is what the bucket will hold in a while, to the last bit of what
// will be computed then: it counts from the last time it gave.
func (tk *taking) levelAfter(d time.Duration) float64 {
	b := tk.tokenBucket
	return b.level + (tk.at+d-b.last).Seconds()*tk.rate
}

// flowTime is how many nanoseconds tokens take to flow in. Below 1 they count
// as there: rounding must not refuse who came back when told to.
func flowTime(tokens, rate float64) float64 {
	return min(tokens/rate*float64(time.Second), float64(century))
}

// century is the longest wait that is told and the farthest from its making
// that a TokenBuckets can count, so that no sum of durations overflows.
const century = 100 * 365 * 24 * time.Hour

// sinceStart is now as buckets keep it.
func (t *TokenBuckets) sinceStart(now time.Time) time.Duration {
	return max(-century, min(now.Sub(t.start), century))
}
