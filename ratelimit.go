package apikey

import (
	"context"
	"time"
	"unique"
)

// Limit is a rate: N tokens per Per, in a bucket that holds Burst of them.
// The zero Limit is no limit at all and is refused where one is expected.
type Limit struct {
	Name  string        // unique within a list; 1 to 64 of a-z 0-9 _ -
	N     int           // 1 to 1,000,000,000
	Per   time.Duration // 1 ms to 366 days
	Burst int           // tokens at once; 0: N; at most 1,000,000,000
}

// PerSecond is n requests a second.
func PerSecond(n int) Limit { return Limit{Name: "second", N: n, Per: time.Second} }

// PerMinute is n requests a minute.
func PerMinute(n int) Limit { return Limit{Name: "minute", N: n, Per: time.Minute} }

// PerHour is n requests an hour.
func PerHour(n int) Limit { return Limit{Name: "hour", N: n, Per: time.Hour} }

// Capacity is how many tokens a full bucket of l holds: Burst, or N where Burst is 0.
func (l Limit) Capacity() int {
	if l.Burst == 0 {
		return l.N
	}
	return l.Burst
}

// check adds to f what is wrong with l, under the name field.
func (l Limit) check(f *faults, field string) {
	if !validName(l.Name) {
		f.add(field+".Name", "must be 1 to 64 characters of a-z 0-9 _ -")
	}
	if l.N < 1 || l.N > maxLimitN {
		f.add(field+".N", "must be 1 to %d", maxLimitN)
	}
	if l.Per < time.Millisecond || l.Per > maxLimitPer {
		f.add(field+".Per", "must be 1ms to %v", maxLimitPer)
	}
	if l.Burst < 0 || l.Burst > maxLimitN {
		f.add(field+".Burst", "must be 0 (N) to %d", maxLimitN)
	}
}

const (
	maxNameLen  = 64
	maxLimitN   = 1_000_000_000
	maxLimitPer = 366 * 24 * time.Hour
)

func validName(s string) bool {
	if s == "" || len(s) > maxNameLen {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Scope says whose bucket it is.
type Scope uint8

// The scopes of a [Bucket].
const (
	ScopeKey   Scope = iota + 1 // Bucket.ID is a key's ID
	ScopeOwner                  // Bucket.ID is an owner
)

// Bucket names one token bucket. Its identity is (Scope, ID, Limit.Name); two
// buckets of one identity and different Limits are the same bucket whose limit
// has changed.
type Bucket struct {
	Scope Scope
	ID    string // a key's ID or an owner
	Owner string // whose it is; a limiter spread over nodes keeps an owner's buckets together by it
	Limit Limit

	policy string // of Limit, as a header has it; "": not made yet

	// What TokenBuckets.resolve sets before the slice is shared; zero: not yet.
	handle   *tokenBucket
	kind     unique.Handle[bucketKind]
	rate     float64 // of Limit, in tokens a second
	capacity float64 // of Limit
}

// A Limiter takes tokens from buckets. [TokenBuckets] is the one in memory.
// Implementations are safe for concurrent use.
type Limiter interface {
	// Take takes n tokens from every one of the buckets, or none from any.
	//
	// now is the caller's clock; a Limiter shared by nodes may go by its
	// server's instead. n is at least 1 and at most the capacity of each
	// bucket. buckets holds no identity twice and is shared and read-only: the
	// same slice may be in several calls at once. A bucket not seen before is
	// full. One whose Limit differs from the last time keeps what was spent: a
	// raise from 5 to 20 lets 15 more pass, a cut counts what is used.
	//
	// Absent buckets are full, so there is no "not found". An empty list is
	// allowed, with the zero Limit, and takes nothing. Concurrent calls on one
	// bucket never admit more than its capacity plus its rate times the time. A
	// call whose ctx has ended takes nothing and returns the ctx's error. An
	// error means that the answer is not known: the request it was for is
	// refused, and the tokens may be gone.
	Take(ctx context.Context, now time.Time, n int, buckets []Bucket) (Decision, error)
}

// Decision is what taking from the buckets of a request came to. The zero
// Decision is "no limit applied".
type Decision struct {
	Allowed    bool
	Limit      Limit         // refused: of the bucket with the longest wait; allowed: of the one with the least remaining. Zero: no limit applied
	Remaining  int           // whole tokens left in that bucket
	Reset      time.Duration // until that bucket is full again, rounded up
	RetryAfter time.Duration // refused: until n tokens will be there if nobody else takes them, rounded up, so that a retry exactly then passes; allowed: 0
}
