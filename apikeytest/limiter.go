package apikeytest

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

// LimiterOption tells [RunLimiter] about the Limiter.
type LimiterOption int

// ServerClock says that the Limiter goes by its server's clock and not by the
// now of a call. The suite then waits for it in real time, some seconds in
// all, and skips what needs a clock that it can set.
const ServerClock LimiterOption = 1

// RunLimiter holds a Limiter to its contract. Each subtest is named by the
// promise that it tests, and a failure says what to fix in the Limiter.
//
// factory returns a Limiter each time and ends it by t.Cleanup. They may share
// a server that keeps buckets from one run to the next: the IDs of each
// subtest are new. Run it with -race too.
func RunLimiter(t *testing.T, factory func(t *testing.T) apikey.Limiter, opts ...LimiterOption) {
	t.Helper()
	for _, promise := range limiterPromises {
		t.Run(promise.name, func(t *testing.T) {
			e := newLimiterEnv(t.Context(), factory(t), opts...)
			if promise.setsClock && e.serverClock {
				t.Skip("needs a clock that the suite can set")
			}
			if err := promise.check(e); err != nil {
				t.Error(err)
			}
		})
	}
}

// limiterPromise is one sentence of the contract.
type limiterPromise struct {
	name      string
	setsClock bool // makes no sense with a server's clock
	check     func(*limiterEnv) error
}

var limiterPromises = []limiterPromise{
	{"a bucket not seen before is full", false, checkNewIsFull},
	{"n tokens are taken or none", false, checkTakesN},
	{"tokens are taken from all buckets or from none", false, checkAllOrNone},
	{"concurrent calls admit no more than there is", false, checkConcurrent},
	{"concurrent calls take from all or none", false, checkConcurrentAllOrNone},
	{"lists in any order do not block each other", false, checkNoDeadlock},
	{"tokens flow in at the rate", false, checkRate},
	{"no more than the capacity is kept", false, checkCapacity},
	{"a clock that goes back gives nothing", true, checkClockBack},
	{"a raise lets the difference pass", false, checkRaise},
	{"a cut counts what is used", false, checkCut},
	{"changes to and fro give nothing back", false, checkToAndFro},
	{"a changed rate holds from then on", false, checkRateChange},
	{"a bucket is its scope, ID and limit name, byte by byte", false, checkIdentity},
	{"a retry after RetryAfter passes", false, checkRetryAfter},
	{"a bucket is full after Reset", false, checkReset},
	{"the Decision is of the bucket that decides", false, checkDecision},
	{"the largest and smallest limits are counted right", false, checkExtremes},
	{"an ended ctx takes nothing", false, checkEndedContext},
	{"an empty list takes nothing", false, checkEmptyList},
	{"the list is only read", false, checkListIsRead},
}

// limiterEnv is a Limiter with a clock and IDs of its own.
type limiterEnv struct {
	apikey.Limiter
	ctx         context.Context
	serverClock bool
	simulated   time.Time // what now returns without serverClock
	prefix      string
	patience    time.Duration // for calls that may never end, in real time
}

func newLimiterEnv(ctx context.Context, l apikey.Limiter, opts ...LimiterOption) *limiterEnv {
	e := &limiterEnv{Limiter: l, ctx: ctx, simulated: epoch, prefix: rand.Text(), patience: 30 * time.Second}
	for _, o := range opts {
		e.serverClock = e.serverClock || o == ServerClock
	}
	return e
}

func (e *limiterEnv) now() time.Time {
	if e.serverClock {
		return time.Now()
	}
	return e.simulated
}

// pass lets d go by.
func (e *limiterEnv) pass(d time.Duration) {
	if !e.serverClock {
		e.simulated = e.simulated.Add(d)
		return
	}
	for start := e.now(); ; {
		left := d - e.now().Sub(start)
		if left <= 0 {
			return
		}
		<-time.After(left)
	}
}

// bucket is a key's bucket, of an owner that all buckets of e share.
func (e *limiterEnv) bucket(id string, l apikey.Limit) apikey.Bucket {
	return apikey.Bucket{Scope: apikey.ScopeKey, ID: e.prefix + id, Owner: e.prefix, Limit: l}
}

// ownerBucket is the bucket of that owner.
func (e *limiterEnv) ownerBucket(l apikey.Limit) apikey.Bucket {
	return apikey.Bucket{Scope: apikey.ScopeOwner, ID: e.prefix, Owner: e.prefix, Limit: l}
}

// take is Take at now, with what holds of every Decision looked at.
func (e *limiterEnv) take(n int, buckets ...apikey.Bucket) (apikey.Decision, error) {
	d, err := e.Take(e.ctx, e.now(), n, buckets)
	if err != nil {
		return d, fmt.Errorf("Take(%d) failed: %w", n, err)
	}
	return d, checkAnyDecision(d)
}

func checkAnyDecision(d apikey.Decision) error {
	switch {
	case d.Allowed && d.RetryAfter != 0:
		return fmt.Errorf("allowed with RetryAfter %v: it must be 0", d.RetryAfter)
	case !d.Allowed && d.RetryAfter <= 0:
		return fmt.Errorf("refused with RetryAfter %v: it must be above 0, until the tokens are there", d.RetryAfter)
	case d.Remaining < 0 || d.Remaining > d.Limit.Capacity():
		return fmt.Errorf("Remaining is %d: it must be 0 to the capacity, which is %d", d.Remaining, d.Limit.Capacity())
	case d.Reset < 0:
		return fmt.Errorf("Reset is %v: it must not be negative", d.Reset)
	}
	return nil
}

// expect is take with the answer that it must have; if it has another, why says what to fix.
func (e *limiterEnv) expect(allowed bool, why string, n int, buckets ...apikey.Bucket) error {
	d, err := e.Take(e.ctx, e.now(), n, buckets)
	if err != nil {
		return fmt.Errorf("Take(%d) failed: %w", n, err)
	}
	if d.Allowed != allowed {
		return fmt.Errorf("Take(%d) was %s: %s", n, word(d.Allowed), why)
	}
	return checkAnyDecision(d)
}

// expectPass takes single tokens until one is refused; want of them must pass.
func (e *limiterEnv) expectPass(want int, why string, buckets ...apikey.Bucket) error {
	for got := 0; ; got++ {
		d, err := e.take(1, buckets...)
		if err != nil {
			return err
		}
		if d.Allowed && got < want {
			continue
		}
		if d.Allowed {
			return fmt.Errorf("more than %d passed: %s", want, why)
		}
		if got < want {
			return fmt.Errorf("%d passed, not %d: %s", got, want, why)
		}
		return nil
	}
}

// together runs call in n goroutines at once and returns one of their errors.
// It gives up on calls that do not end.
func (e *limiterEnv) together(n int, call func(i int) error) error {
	var wg sync.WaitGroup
	failed := make(chan error, n)
	for i := range n {
		wg.Go(func() {
			if err := call(i); err != nil {
				failed <- err
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()
	patience := time.NewTimer(e.patience)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		return fmt.Errorf("calls did not end within %v: lock buckets in one order, whatever the order of the list", e.patience)
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func word(allowed bool) string {
	if allowed {
		return "allowed"
	}
	return "refused"
}

// perDay is a limit of n that nothing flows into while a test runs.
func perDay(n int) apikey.Limit { return apikey.Limit{Name: "day", N: n, Per: 24 * time.Hour} }

// perTwoSeconds is 4 tokens, half a second each.
var perTwoSeconds = apikey.Limit{Name: "two", N: 4, Per: 2 * time.Second}
