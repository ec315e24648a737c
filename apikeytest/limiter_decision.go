package apikeytest

import (
	"fmt"
	"time"

	"github.com/go-apikey/apikey"
)

func checkRetryAfter(e *limiterEnv) error {
	tests := []struct {
		limit apikey.Limit
		n     int
	}{
		{apikey.Limit{Name: "x", N: 7, Per: 3 * time.Second}, 1}, // 428.571428… ms
		{apikey.Limit{Name: "x", N: 3, Per: time.Second}, 2},     // 666.666… ms
		{apikey.Limit{Name: "x", N: 997, Per: 211 * time.Second}, 3},
		{apikey.Limit{Name: "x", N: 11, Per: 13 * time.Hour}, 1},
		{apikey.Limit{Name: "x", N: 7, Per: 365 * 24 * time.Hour, Burst: 100}, 98},
		{apikey.Limit{Name: "x", N: 1_000_003, Per: time.Second, Burst: 17}, 17},
	}
	for i, tt := range tests {
		exact := time.Duration(float64(tt.n) / float64(tt.limit.N) * float64(tt.limit.Per))
		if e.serverClock && (exact > time.Second || exact < time.Millisecond) {
			continue // too long to wait for, or over before the next call
		}
		b := e.bucket(fmt.Sprint(i), tt.limit)
		if err := e.expect(true, "the bucket is full", tt.limit.Capacity(), b); err != nil {
			return err
		}
		d, err := e.take(tt.n, b)
		if err != nil {
			return err
		}
		if d.Allowed {
			return fmt.Errorf("%d of an empty bucket of %d in %v were allowed", tt.n, tt.limit.N, tt.limit.Per)
		}
		if d.RetryAfter > exact+time.Second {
			return fmt.Errorf("RetryAfter is %v where %d tokens at %d in %v take %v: it must be no longer than it takes, rounded up", d.RetryAfter, tt.n, tt.limit.N, tt.limit.Per, exact)
		}
		e.pass(d.RetryAfter)
		why := fmt.Sprintf("RetryAfter was %v and that time has passed; %d tokens at %d in %v take %v: round it up", d.RetryAfter, tt.n, tt.limit.N, tt.limit.Per, exact)
		if err := e.expect(true, why, tt.n, b); err != nil {
			return err
		}
	}
	return nil
}

func checkReset(e *limiterEnv) error {
	l := apikey.Limit{Name: "x", N: 7, Per: 2 * time.Second, Burst: 3}
	b := e.bucket("a", l)
	d, err := e.take(2, b)
	if err != nil {
		return err
	}
	if exact := 2 * l.Per / 7; !d.Allowed || d.Reset > exact+time.Second {
		return fmt.Errorf("2 of a full bucket of 3: %s, Reset %v: allowed, and full again in %v", word(d.Allowed), d.Reset, exact)
	}
	e.pass(d.Reset)
	if err := e.expect(true, fmt.Sprintf("Reset was %v and that time has passed, so the bucket is full: round it up", d.Reset), 3, b); err != nil {
		return err
	}
	d, err = e.take(3, b)
	if err != nil {
		return err
	}
	if d.Allowed || d.Reset > 3*l.Per/7+time.Second {
		return fmt.Errorf("3 of an empty bucket: %s, Reset %v: refused, and full in %v", word(d.Allowed), d.Reset, 3*l.Per/7)
	}
	e.pass(d.Reset)
	return e.expect(true, fmt.Sprintf("Reset of a refusal was %v and that time has passed, so the bucket is full", d.Reset), 3, b)
}

func checkDecision(e *limiterEnv) error {
	hour, day := apikey.PerHour(10), perDay(8)
	a, b := e.bucket("a", hour), e.ownerBucket(day)
	tests := []struct {
		name    string
		n       int
		buckets []apikey.Bucket
		want    apikey.Decision // Reset and RetryAfter: at most a minute less
	}{
		{"allowed: of the least remaining", 3, []apikey.Bucket{a, b}, apikey.Decision{Allowed: true, Limit: day, Remaining: 5, Reset: 9 * time.Hour}},
		{"allowed: the same in the other order", 1, []apikey.Bucket{b, a}, apikey.Decision{Allowed: true, Limit: day, Remaining: 4, Reset: 12 * time.Hour}},
		{"allowed: of the only one", 5, []apikey.Bucket{a}, apikey.Decision{Allowed: true, Limit: hour, Remaining: 1, Reset: 54 * time.Minute}},
		{"allowed: now the other has less", 1, []apikey.Bucket{b, a}, apikey.Decision{Allowed: true, Limit: hour, Remaining: 0, Reset: time.Hour}},
		{"refused: of the one that refuses", 1, []apikey.Bucket{b, a}, apikey.Decision{Limit: hour, Remaining: 0, Reset: time.Hour, RetryAfter: 6 * time.Minute}},
		{"refused: of the longest wait, not the least remaining", 5, []apikey.Bucket{a, b}, apikey.Decision{Limit: day, Remaining: 3, Reset: 15 * time.Hour, RetryAfter: 6 * time.Hour}},
	}
	for _, tt := range tests {
		got, err := e.take(tt.n, tt.buckets...)
		if err != nil {
			return err
		}
		if got.Allowed != tt.want.Allowed || got.Limit != tt.want.Limit || got.Remaining != tt.want.Remaining {
			return fmt.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
		if off := tt.want.Reset - got.Reset; off < -time.Second || off > time.Minute {
			return fmt.Errorf("%s: Reset is %v, want %v: until that bucket is full", tt.name, got.Reset, tt.want.Reset)
		}
		if off := tt.want.RetryAfter - got.RetryAfter; off < -time.Second || off > time.Minute {
			return fmt.Errorf("%s: RetryAfter is %v, want %v: until n tokens are there", tt.name, got.RetryAfter, tt.want.RetryAfter)
		}
	}
	return nil
}

func checkExtremes(e *limiterEnv) error {
	const most, year = 1_000_000_000, 366 * 24 * time.Hour
	b := e.bucket("fast", apikey.Limit{Name: "x", N: most, Per: time.Millisecond})
	for range 2 {
		if err := e.expect(true, "1,000,000,000 in a millisecond are a Limit, and one went by", most, b); err != nil {
			return err
		}
		e.pass(10 * time.Millisecond)
	}
	for _, tt := range []struct {
		name  string
		limit apikey.Limit
		n     int
		want  time.Duration
	}{
		{"1 in 366 days", apikey.Limit{Name: "x", N: 1, Per: year}, 1, year},
		{"1,000,000,000 in 366 days", apikey.Limit{Name: "y", N: most, Per: year}, most, year},
		{"1 in 366 days, burst 50", apikey.Limit{Name: "z", N: 1, Per: year, Burst: 50}, 50, 50 * year},
		{"1 in 366 days, burst 1,000,000,000", apikey.Limit{Name: "w", N: 1, Per: year, Burst: most}, most, 0},
	} {
		b := e.bucket("slow", tt.limit)
		if err := e.expect(true, tt.name+": the bucket is full", tt.n, b); err != nil {
			return err
		}
		d, err := e.take(tt.n, b)
		if err != nil {
			return fmt.Errorf("%s: %w", tt.name, err)
		}
		if d.Allowed {
			return fmt.Errorf("%s: %d were allowed twice: count in numbers that hold it", tt.name, tt.n)
		}
		if tt.want > 0 && (d.RetryAfter < tt.want-time.Hour || d.RetryAfter > tt.want+time.Hour) {
			return fmt.Errorf("%s: RetryAfter is %v, want %v: compute it in numbers that hold it", tt.name, d.RetryAfter, tt.want)
		}
		if tt.want == 0 && d.RetryAfter < 50*year {
			return fmt.Errorf("%s: RetryAfter is %v: where it is more than a Duration holds, it must still be long", tt.name, d.RetryAfter)
		}
	}
	return nil
}
