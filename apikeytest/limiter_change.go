package apikeytest

import (
	"fmt"
	"time"

	"github.com/go-apikey/apikey"
)

func checkRaise(e *limiterEnv) error {
	const why = "a raise keeps what was spent: 20 less the 5 used, no more and no less"
	for i, spend := range []int{5, 2, 0} {
		id := fmt.Sprint(i)
		if spend > 0 {
			if err := e.expect(true, "the bucket is full", spend, e.bucket(id, perDay(5))); err != nil {
				return err
			}
		}
		if err := e.expectPass(20-spend, fmt.Sprintf("%s (here %d)", why, spend), e.bucket(id, perDay(20))); err != nil {
			return fmt.Errorf("raised from 5 to 20 after %d were used: %w", spend, err)
		}
	}
	return nil
}

func checkCut(e *limiterEnv) error {
	const why = "a cut counts what is used: 5 less what was used of 20, down to none"
	for _, tt := range []struct{ spend, want int }{{3, 2}, {5, 0}, {12, 0}} {
		id := fmt.Sprint(tt.spend)
		if err := e.expect(true, "the bucket is full", tt.spend, e.bucket(id, perDay(20))); err != nil {
			return err
		}
		if err := e.expectPass(tt.want, why, e.bucket(id, perDay(5))); err != nil {
			return fmt.Errorf("cut from 20 to 5 after %d were used: %w", tt.spend, err)
		}
	}
	// What is used beyond the new capacity is owed: 6 of 8 used, cut to 4 at
	// half a second each, leave 2 to flow in before the first.
	wide := perTwoSeconds
	wide.Burst = 8
	if err := e.expect(true, "the bucket is full", 6, e.bucket("owes", wide)); err != nil {
		return err
	}
	b := e.bucket("owes", perTwoSeconds)
	d, err := e.take(1, b)
	if err != nil {
		return err
	}
	if d.Allowed || d.RetryAfter < 1200*time.Millisecond {
		return fmt.Errorf("cut from 8 to 4 after 6 were used: %s, RetryAfter %v: 2 are owed and 1 is asked for, at half a second each", word(d.Allowed), d.RetryAfter)
	}
	e.pass(d.RetryAfter)
	return e.expect(true, "what was owed has flowed in", 1, b)
}

func checkToAndFro(e *limiterEnv) error {
	empty := e.bucket("empty", perDay(1))
	if err := e.expect(true, "the bucket is full", 1, empty); err != nil {
		return err
	}
	if err := e.expect(true, "the bucket is full", 8, e.bucket("a", perDay(10))); err != nil {
		return err
	}
	for range 10 { // in calls that are refused, so that they take nothing
		for _, n := range []int{3, 30, 10} {
			if err := e.expect(false, "a bucket of the list is empty", 1, empty, e.bucket("a", perDay(n))); err != nil {
				return err
			}
		}
	}
	return e.expectPass(2, "its limit went from 10 to 3, 30 and back, with 8 used: that gives nothing back and costs nothing", e.bucket("a", perDay(10)))
}

func checkRateChange(e *limiterEnv) error {
	slow, fast := perTwoSeconds, perTwoSeconds
	slow.Per = 24 * time.Hour
	if err := e.expect(true, "the bucket is full", 4, e.bucket("a", slow)); err != nil {
		return err
	}
	d, err := e.take(1, e.bucket("a", fast))
	if err != nil {
		return err
	}
	if d.Allowed {
		return fmt.Errorf("a changed rate let a token pass at once: what was spent stays spent")
	}
	if d.RetryAfter > time.Second {
		return fmt.Errorf("with 4 in 2 seconds RetryAfter is %v: the rate is that of the call's Limit, not the one from before", d.RetryAfter)
	}
	e.pass(d.RetryAfter)
	if err := e.expect(true, "a token has flowed in at the new rate", 1, e.bucket("a", fast)); err != nil {
		return err
	}
	if d, err = e.take(1, e.bucket("a", slow)); err != nil {
		return err
	}
	if d.Allowed || d.RetryAfter < time.Hour {
		return fmt.Errorf("slowed down to 4 a day: %s, RetryAfter %v: the rate is that of the call's Limit", word(d.Allowed), d.RetryAfter)
	}
	return nil
}

func checkIdentity(e *limiterEnv) error {
	limit := func(name string) apikey.Limit { return apikey.Limit{Name: name, N: 1, Per: 24 * time.Hour} }
	ownerOf := func(id string) apikey.Bucket {
		b := e.bucket(id, limit("day"))
		b.Scope = apikey.ScopeOwner
		return b
	}
	for _, b := range []apikey.Bucket{
		e.bucket("abc", limit("day")),
		ownerOf("abc"),
		e.bucket("Abc", limit("day")), e.bucket("ABC", limit("day")),
		e.bucket("äbc", limit("day")), e.bucket("a\u0308bc", limit("day")),
		e.bucket("abc ", limit("day")), e.bucket(" abc", limit("day")), e.bucket("a", limit("day")), e.bucket("", limit("day")),
		e.bucket("abc", limit("bday")), e.bucket("abcb", limit("day")),
		e.bucket("abc:", limit("day")), e.bucket("abc:day", limit("day")), e.bucket("abc/day", limit("day")), e.bucket("{abc}", limit("day")),
		e.bucket("a*", limit("day")), e.bucket("a%", limit("day")), e.bucket("a_c", limit("day")), e.bucket("'", limit("day")),
		e.bucket("abc", limit("d-y")), e.bucket("abc", limit("d_y")), e.bucket("abc", limit("hour")),
	} {
		if err := e.expectPass(1, "buckets are one only if scope, ID and limit name are the same bytes", b); err != nil {
			return fmt.Errorf("bucket %d %q %q, not seen before: %w", b.Scope, b.ID, b.Limit.Name, err)
		}
	}
	return nil
}
