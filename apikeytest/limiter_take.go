package apikeytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-apikey/apikey"
)

func checkNewIsFull(e *limiterEnv) error {
	if err := e.expectPass(3, "a bucket not seen before holds its capacity, no less and no more", e.bucket("a", perDay(3))); err != nil {
		return err
	}
	burst := apikey.Limit{Name: "burst", N: 2, Per: 24 * time.Hour, Burst: 5}
	if err := e.expectPass(5, "its capacity is Burst where that is set, N where not", e.bucket("b", burst)); err != nil {
		return err
	}
	burst = apikey.Limit{Name: "burst", N: 5, Per: 24 * time.Hour, Burst: 2}
	return e.expectPass(2, "its capacity is Burst where that is set, though it is below N", e.bucket("c", burst))
}

func checkTakesN(e *limiterEnv) error {
	b := e.bucket("a", perDay(10))
	if err := e.expect(true, "7 of 10 are there", 7, b); err != nil {
		return err
	}
	if err := e.expect(false, "it was asked for 4 and 3 are left", 4, b); err != nil {
		return err
	}
	if err := e.expectPass(3, "10 less 7; what is refused takes nothing", b); err != nil {
		return err
	}
	return e.expect(true, "n may be all of the capacity", 10, e.bucket("b", perDay(10)))
}

func checkAllOrNone(e *limiterEnv) error {
	wide, narrow := e.bucket("a", perDay(20)), e.ownerBucket(perDay(3))
	if err := e.expectPass(3, "each bucket of the list must have the token", wide, narrow); err != nil {
		return err
	}
	for range 5 { // in either order
		if err := e.expect(false, "the second bucket is empty", 1, wide, narrow); err != nil {
			return err
		}
		if err := e.expect(false, "the first bucket is empty", 1, narrow, wide); err != nil {
			return err
		}
	}
	return e.expectPass(17, "what another bucket of the list refuses must not be taken from this one: look at all before you take from any", wide)
}

func checkConcurrent(e *limiterEnv) error {
	b := []apikey.Bucket{e.bucket("a", perDay(500))}
	var passed atomic.Int64
	now := e.now()
	err := e.together(64, func(int) error {
		for range 20 {
			d, err := e.Take(e.ctx, now, 1, b)
			if err != nil {
				return err
			}
			if d.Allowed {
				passed.Add(1)
			}
		}
		return nil
	})
	if err == nil && passed.Load() != 500 {
		err = fmt.Errorf("of 1,280 concurrent calls %d passed, not 500: looking and taking must be one step", passed.Load())
	}
	return err
}

func checkConcurrentAllOrNone(e *limiterEnv) error {
	wide, narrow := e.bucket("a", perDay(1000)), e.ownerBucket(perDay(100))
	both := []apikey.Bucket{wide, narrow}
	var passed atomic.Int64
	now := e.now()
	err := e.together(16, func(int) error {
		for range 20 {
			d, err := e.Take(e.ctx, now, 1, both)
			if err != nil {
				return err
			}
			if d.Allowed {
				passed.Add(1)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if passed.Load() != 100 {
		return fmt.Errorf("of 320 concurrent calls %d passed, not 100: looking and taking must be one step over all buckets", passed.Load())
	}
	return e.expectPass(900, "100 passed, each taking 1 of 1000: a call that another bucket refused took from this one", wide)
}

func checkNoDeadlock(e *limiterEnv) error {
	lists := make([][]apikey.Bucket, 16)
	for i := range lists {
		for j := range 20 {
			lists[i] = append(lists[i], e.bucket(fmt.Sprint((i+j)%20), perDay(1000)))
		}
		if i%2 == 0 {
			slices.Reverse(lists[i])
		}
	}
	now := e.now()
	err := e.together(len(lists), func(i int) error {
		for range 20 {
			d, err := e.Take(e.ctx, now, 1, lists[i])
			if err != nil {
				return err
			}
			if !d.Allowed {
				return errors.New("refused while each bucket holds hundreds of tokens")
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.expectPass(1000-16*20, "each of 320 calls took one from each of 20 buckets", lists[0]...)
}

func checkRate(e *limiterEnv) error {
	l, span := apikey.Limit{Name: "rate", N: 20, Per: time.Second, Burst: 5}, 5*time.Minute
	if e.serverClock {
		span = 2 * time.Second
	}
	b := e.bucket("a", l)
	admitted := 0
	start := e.now()
	for e.now().Sub(start) < span {
		for { // so that refusals are many
			d, err := e.take(1, b)
			if err != nil {
				return err
			}
			if !d.Allowed {
				break
			}
			admitted++
			if most := 5 + 20*e.now().Sub(start).Seconds() + 1e-6; float64(admitted) > most {
				return fmt.Errorf("after %v, %d passed at 20 a second with a burst of 5: never admit more than burst + rate × time", e.now().Sub(start), admitted)
			}
		}
		e.pass(7 * time.Millisecond)
	}
	least := 0.99*(5+20*span.Seconds()) - 1
	if e.serverClock { // which goes on while a busy machine lets nobody take, and the bucket is full by then
		least *= 0.85
	}
	if float64(admitted) < least {
		return fmt.Errorf("in %v, %d passed at 20 a second with a burst of 5, not %.0f: tokens flow in all the time, and refusals cost none", span, admitted, least)
	}
	return nil
}

func checkCapacity(e *limiterEnv) error {
	l := apikey.Limit{Name: "cap", N: 10, Per: 2 * time.Second, Burst: 2}
	b := e.bucket("a", l)
	if err := e.expect(true, "the bucket is full", 2, b); err != nil {
		return err
	}
	e.pass(time.Second) // 5 tokens' worth
	if err := e.expect(true, "after a second the bucket is full again", 2, b); err != nil {
		return err
	}
	return e.expect(false, "what flows into a full bucket is lost: it never holds more than its capacity", 2, b)
}

func checkClockBack(e *limiterEnv) error {
	b := e.bucket("a", apikey.Limit{Name: "minute", N: 1, Per: time.Minute, Burst: 3})
	const why = "time that was counted already must not count again: use the latest time that the bucket has seen"
	if err := e.expectPass(3, "the bucket is full", b); err != nil {
		return err
	}
	e.pass(time.Minute)
	if err := e.expectPass(1, "a minute went by", b); err != nil {
		return err
	}
	for range 3 {
		e.simulated = e.simulated.Add(-time.Hour)
		if err := e.expectPass(0, "the clock went back. "+why, b); err != nil {
			return err
		}
		e.simulated = e.simulated.Add(time.Hour)
		if err := e.expectPass(0, "the clock went back and forth. "+why, b); err != nil {
			return err
		}
	}
	return nil
}

func checkEndedContext(e *limiterEnv) error {
	cancelled, cancel := context.WithCancel(e.ctx)
	cancel()
	late, cancel := context.WithDeadline(e.ctx, time.Now().Add(-time.Hour))
	defer cancel()
	b := e.bucket("a", perDay(3))
	for _, ctx := range []context.Context{cancelled, late} {
		d, err := e.Take(ctx, e.now(), 1, []apikey.Bucket{b})
		if !errors.Is(err, ctx.Err()) {
			return fmt.Errorf("with a ctx that has ended Take returned %v, %v: return an error that is the ctx's, %v, to errors.Is", word(d.Allowed), err, ctx.Err())
		}
	}
	return e.expectPass(3, "calls whose ctx had ended took tokens: look at the ctx first", b)
}

func checkEmptyList(e *limiterEnv) error {
	for _, list := range [][]apikey.Bucket{nil, {}} {
		d, err := e.Take(e.ctx, e.now(), 1, list)
		if err != nil || !d.Allowed || d.Limit != (apikey.Limit{}) {
			return fmt.Errorf("of no bucket Take returned %+v, %v: it must be allowed, with the zero Limit and no error", d, err)
		}
	}
	return nil
}

func checkListIsRead(e *limiterEnv) error {
	list := []apikey.Bucket{e.ownerBucket(perDay(1000)), e.bucket("b", perDay(1000)), e.bucket("a", perDay(1000)), e.bucket("a", perTwoSeconds)}
	before := slices.Clone(list)
	now := e.now()
	err := e.together(8, func(int) error {
		for range 5 {
			if _, err := e.Take(e.ctx, now, 1, list); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && !slices.Equal(list, before) {
		err = errors.New("Take changed the list of buckets: other calls are reading the same one, sort a copy")
	}
	return err
}
