package apikey_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-apikey/apikey"
)

// host answers Config.Plan, and counts how often it is asked.
type host struct {
	mu     sync.Mutex
	answer func(ctx context.Context) (apikey.Plan, error)
	asked  atomic.Int64
}

func (h *host) set(f func(ctx context.Context) (apikey.Plan, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = f
}

func (h *host) setPlan(p apikey.Plan) {
	h.set(func(context.Context) (apikey.Plan, error) { return p, nil })
}

func (h *host) plan(ctx context.Context, _ string) (apikey.Plan, error) {
	h.asked.Add(1)
	h.mu.Lock()
	f := h.answer
	h.mu.Unlock()
	return f(ctx)
}

// newHost is a host whose answer is a plan without limits, and a rig that asks it. Its clock is the bubble's.
func newHost(t *testing.T) (*host, *rig) {
	t.Helper()
	h := &host{}
	h.setPlan(apikey.Plan{Name: "free", MaxKeys: apikey.NoCap})
	return h, newRig(t, func(cfg *apikey.Config) { cfg.Now, cfg.Plan = nil, h.plan })
}

// calls is how often the host was asked during f.
func (h *host) calls(f func()) int {
	before := h.asked.Load()
	f()
	return int(h.asked.Load() - before)
}

// planOf is the name of the plan by which a token is let in.
func (r *rig) planOf(token string) string {
	r.t.Helper()
	p, _, err := r.Verify(r.t.Context(), apikey.Request{Token: token})
	if err != nil {
		return err.Error()
	}
	return p.Plan()
}

func TestPlanIsAskedOncePerTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t)
		var issued []*apikey.Issued
		for range 4 {
			issued = append(issued, r.issue(apikey.KeyParams{}))
		}
		other, err := r.Keyring("acct_43", operator).Create(t.Context(), apikey.KeyParams{Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		h.set(func(context.Context) (apikey.Plan, error) {
			<-time.After(time.Second) // it takes its time
			return apikey.Plan{Name: "free", MaxKeys: apikey.NoCap}, nil
		})
		all := func() {
			for _, err := range atOnce(100, func(i int) error {
				_, _, err := r.Verify(t.Context(), apikey.Request{Token: issued[i%4].Token.Reveal()})
				return err
			}) {
				wantError(t, "Verify", err, nil)
			}
		}
		for range 3 {
			if n := h.calls(all); n != 1 {
				t.Errorf("100 requests with four keys of one owner: %d questions, want 1", n)
			}
			<-time.After(10*time.Second - time.Second - 1) // PlanTTL from when it was asked
			if n := h.calls(all); n != 0 {
				t.Errorf("just before the TTL is over: %d questions, want none", n)
			}
			<-time.After(1)
		}
		if n := h.calls(func() { r.verdict(other.Token.Reveal()) }); n != 1 {
			t.Errorf("another owner: %d questions, want 1", n)
		}
		if n := h.calls(func() { r.issue(apikey.KeyParams{}) }); n != 1 {
			t.Errorf("creating a key: %d questions, want 1, whatever is remembered", n)
		}
	})
}

func TestForgetPlan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t)
		token := r.issue(apikey.KeyParams{}).Token.Reveal()
		for _, name := range []string{"free", "pro", "team"} {
			h.setPlan(apikey.Plan{Name: name, MaxKeys: apikey.NoCap})
			r.ForgetPlan(rigOwner)
			if got := r.planOf(token); got != name {
				t.Errorf("after ForgetPlan: %s, want %s", got, name)
			}
		}
		h.setPlan(apikey.Plan{Name: "other", MaxKeys: apikey.NoCap})
		r.ForgetPlan("acct_43")
		if got := r.planOf(token); got != "team" {
			t.Errorf("after ForgetPlan of another owner: %s", got)
		}
	})
}

// What is being asked when a plan is forgotten may be the old answer: who comes after that does not get it.
func TestForgetPlanDuringAQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t)
		token := r.issue(apikey.KeyParams{}).Token.Reveal()
		h.set(func(context.Context) (apikey.Plan, error) {
			<-time.After(time.Second)
			return apikey.Plan{Name: "old", MaxKeys: apikey.NoCap}, nil
		})
		var asking sync.WaitGroup
		for range 3 {
			asking.Go(func() {
				if got := r.planOf(token); got != "old" {
					t.Errorf("who asked before: %s, want old", got)
				}
			})
		}
		synctest.Wait()
		h.setPlan(apikey.Plan{Name: "new", MaxKeys: apikey.NoCap})
		r.ForgetPlan(rigOwner)
		if got := r.planOf(token); got != "new" {
			t.Errorf("at once after ForgetPlan: %s, want new", got)
		}
		asking.Wait() // the old answer is there now
		if got := r.planOf(token); got != "new" {
			t.Errorf("after the old answer came: %s, want new", got)
		}
	})
}

func TestPlanFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t)
		key := r.issue(apikey.KeyParams{})
		token := key.Token.Reveal()
		for what, answer := range map[string]func(context.Context) (apikey.Plan, error){
			"an error": func(context.Context) (apikey.Plan, error) {
				return apikey.Plan{Name: "free", MaxKeys: apikey.NoCap}, errDisk
			},
			"a panic":             func(context.Context) (apikey.Plan, error) { panic("no such row") },
			"a plan without name": func(context.Context) (apikey.Plan, error) { return apikey.Plan{MaxKeys: apikey.NoCap}, nil },
			"a malformed name":    func(context.Context) (apikey.Plan, error) { return apikey.Plan{Name: "Pro plan"}, nil },
			"a malformed limit": func(context.Context) (apikey.Plan, error) {
				return apikey.Plan{Name: "a", KeyLimits: make([]apikey.Limit, 1)}, nil
			},
			"a malformed cap":      func(context.Context) (apikey.Plan, error) { return apikey.Plan{Name: "a", MaxKeys: -2}, nil },
			"a malformed refusal":  func(context.Context) (apikey.Plan, error) { return apikey.Plan{Name: "a", Refusal: "\x00"}, nil },
			"one that never comes": func(ctx context.Context) (apikey.Plan, error) { <-ctx.Done(); return apikey.Plan{}, ctx.Err() },
		} {
			h.set(answer)
			r.ForgetPlan(rigOwner)
			start := time.Now()
			if got := r.verdict(token); got != "unavailable plan" {
				t.Errorf("%s: %s", what, got)
			}
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("%s: took %v, StoreTimeout is 2s", what, d)
			}
			before := r.snapshot()
			_, err := r.as(operator).Create(t.Context(), apikey.KeyParams{Name: "x"})
			var unavailable *apikey.UnavailableError
			if !errors.As(err, &unavailable) || unavailable.Op != "plan" {
				t.Errorf("%s: Create: %s, want an *UnavailableError of the plan", what, errText(err))
			}
			r.unchanged(before, what)
			// What stops a key does not depend on its plan; nor does replacing a token that leaked.
			wantError(t, what+": Disable", call1(r.as(operator).Disable(t.Context(), key.Key.ID)), nil)
			wantError(t, what+": Enable", call1(r.as(operator).Enable(t.Context(), key.Key.ID)), nil)
			rotated, err := r.as(operator).Rotate(t.Context(), key.Key.ID, apikey.RotateParams{})
			if err != nil {
				t.Fatalf("%s: Rotate: %v", what, err)
			}
			token = rotated.Token.Reveal()
		}
		// A failure is not remembered.
		h.setPlan(apikey.Plan{Name: "free", MaxKeys: apikey.NoCap})
		if got := r.planOf(token); got != "free" {
			t.Errorf("when the plan can be asked again: %s", got)
		}
	})
}

// An answer serves until its TTL is over, also when the host cannot be asked meanwhile, and no longer.
func TestPlanIsNotServedStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t)
		token := r.issue(apikey.KeyParams{}).Token.Reveal()
		r.verdict(token)
		h.set(func(context.Context) (apikey.Plan, error) { return apikey.Plan{}, errDisk })
		<-time.After(10*time.Second - 1)
		if got := r.verdict(token); got != "ok" {
			t.Errorf("just before the TTL is over: %s", got)
		}
		<-time.After(1)
		if got := r.verdict(token); got != "unavailable plan" {
			t.Errorf("when it is: %s", got)
		}
	})
}

// What is known to be old is not served again when the clock goes back.
func TestPlanWhenTheClockGoesBack(t *testing.T) {
	t.Parallel()
	h := &host{}
	h.setPlan(apikey.Plan{Name: "old", MaxKeys: apikey.NoCap})
	r := newRig(t, func(cfg *apikey.Config) { cfg.Plan = h.plan })
	a, b := r.issue(apikey.KeyParams{}).Token.Reveal(), r.issue(apikey.KeyParams{}).Token.Reveal()
	for _, token := range []string{a, b} {
		if got := r.planOf(token); got != "old" {
			t.Fatal(got)
		}
	}
	h.setPlan(apikey.Plan{Name: "new", MaxKeys: apikey.NoCap})
	r.advance(10 * time.Second)
	if got := r.planOf(a); got != "new" {
		t.Errorf("when the TTL is over: %s", got)
	}
	r.advance(-5 * time.Second)
	if got := r.planOf(b); got != "new" {
		t.Errorf("with another key, when the clock has gone back: %s", got)
	}
	r.advance(-time.Hour)
	if n := h.calls(func() { r.planOf(a) }); n != 1 {
		t.Errorf("an answer from the future: %d questions, want 1", n)
	}
}

// Whoever asks for all may go away or have little time: the others do not fail with it.
func TestPlanWhenTheAskerGoesAway(t *testing.T) {
	t.Parallel()
	for what, leave := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancelled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			timer := time.AfterFunc(10*time.Millisecond, cancel)
			return ctx, func() { timer.Stop(); cancel() }
		},
		"out of time": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 10*time.Millisecond)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, r := newHost(t)
				token := r.issue(apikey.KeyParams{}).Token.Reveal()
				h.set(func(ctx context.Context) (apikey.Plan, error) {
					select {
					case <-time.After(100 * time.Millisecond):
						return apikey.Plan{Name: "free", MaxKeys: apikey.NoCap}, nil
					case <-ctx.Done():
						return apikey.Plan{}, ctx.Err()
					}
				})
				var asking sync.WaitGroup
				asking.Go(func() {
					ctx, cancel := leave(t.Context())
					defer cancel()
					_, _, err := r.Verify(ctx, apikey.Request{Token: token})
					wantError(t, "who goes away", err, ctx.Err())
				})
				synctest.Wait()
				for range 10 {
					asking.Go(func() {
						if got := r.verdict(token); got != "ok" {
							t.Errorf("who stays: %s", got)
						}
					})
				}
				asking.Wait()
				if n := h.asked.Load(); n != 3 { // of Create, of who went, and of those who stayed
					t.Errorf("%d questions, want 3", n)
				}
			})
		})
	}
}

// passes is how many requests a token is let in with until the limit says no.
func (r *rig) passes(token string) int {
	r.t.Helper()
	for n := 0; ; n++ {
		switch got := r.verdict(token); got {
		case "ok":
		case "rate_limited":
			return n
		default:
			r.t.Fatal(got)
		}
		if n > 1000 {
			r.t.Fatal("no limit")
		}
	}
}

func daily(n int) apikey.Limit { return apikey.Limit{Name: "day", N: n, Per: 24 * time.Hour} }

// Another plan counts within the TTL, and what was spent stays spent.
func TestPlanChangeKeepsWhatWasSpent(t *testing.T) {
	t.Parallel()
	for name, plan := range map[string]func(n int) apikey.Plan{
		"key limit": func(n int) apikey.Plan {
			return apikey.Plan{Name: "p", MaxKeys: apikey.NoCap, KeyLimits: []apikey.Limit{daily(n)}}
		},
		"owner limit": func(n int) apikey.Plan {
			return apikey.Plan{Name: "p", MaxKeys: apikey.NoCap, OwnerLimits: []apikey.Limit{daily(n)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, r := newHost(t)
				h.setPlan(plan(5))
				token := r.issue(apikey.KeyParams{}).Token.Reveal()
				if n := r.passes(token); n != 5 {
					t.Errorf("%d of 5 pass", n)
				}
				h.setPlan(plan(20))
				<-time.After(10*time.Second - 1)
				if n := r.passes(token); n != 0 {
					t.Errorf("%d pass before the TTL is over", n)
				}
				<-time.After(1)
				if n := r.passes(token); n != 15 {
					t.Errorf("raised from 5 to 20: %d more pass, want 15", n)
				}
				h.setPlan(plan(7))
				<-time.After(10 * time.Second)
				if n := r.passes(token); n != 0 {
					t.Errorf("cut to 7 when 20 are spent: %d pass", n)
				}
				h.setPlan(plan(22))
				r.ForgetPlan(rigOwner)
				if n := r.passes(token); n != 2 {
					t.Errorf("raised to 22 when 20 are spent: %d pass, want 2", n)
				}
			})
		})
	}
}

// An override stands in the place of the plan's limit until its time, at which the plan's counts again.
func TestLimitOverrideEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t)
		h.setPlan(apikey.Plan{Name: "p", MaxKeys: apikey.NoCap, KeyLimits: []apikey.Limit{daily(5)}})
		until := time.Now().Add(time.Minute)
		issued := r.issue(apikey.KeyParams{Limits: []apikey.LimitOverride{{Limit: daily(8), Until: until}}})
		token := issued.Token.Reveal()
		if n := r.passes(token); n != 8 {
			t.Errorf("%d of 8 pass", n)
		}
		<-time.After(time.Until(until) - 1)
		limit := func() int {
			_, d, err := r.Verify(t.Context(), apikey.Request{Token: token})
			if _, ok := errors.AsType[*apikey.Denial](err); !ok {
				t.Errorf("spent: %v", err)
			}
			return d.Limit.N
		}
		if n := limit(); n != 8 {
			t.Errorf("just before its end the limit is %d, want 8", n)
		}
		<-time.After(1)
		if n := limit(); n != 5 {
			t.Errorf("at its end the limit is %d, want 5", n)
		}
		// Another override counts with the next request.
		if _, err := r.as(operator).Update(t.Context(), issued.Key.ID, apikey.KeyUpdate{Limits: &[]apikey.LimitOverride{{Limit: daily(11)}}}); err != nil {
			t.Fatal(err)
		}
		if n := r.passes(token); n != 3 {
			t.Errorf("raised to 11 when 8 are spent: %d pass, want 3", n)
		}
	})
}

func TestPlanThatRefusesIsADenial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t)
		issued := r.issue(apikey.KeyParams{})
		h.setPlan(apikey.Plan{Name: "unpaid", Refusal: "The bill is not paid."})
		r.ForgetPlan(rigOwner)
		_, _, err := r.Verify(t.Context(), apikey.Request{Token: issued.Token.Reveal()})
		var denial *apikey.Denial
		if !errors.As(err, &denial) || denial.Reason != apikey.ReasonPlan || denial.Plan != "The bill is not paid." {
			t.Errorf("Verify: %v", err)
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.listed(issued.Key.ID).Usage; got.Denied != 1 || got.Requests != 0 {
			t.Errorf("usage %+v", got)
		}
	})
}

// TestPlanFunctionThatEndsItsGoroutine leaves nobody waiting, and nobody with
// neither a plan nor an error.
func TestPlanFunctionThatEndsItsGoroutine(t *testing.T) {
	var ends atomic.Bool
	m := newManager(t, &apikey.Config{PlanTTL: time.Millisecond, Plan: func(context.Context, string) (apikey.Plan, error) {
		if ends.Load() {
			runtime.Goexit()
		}
		return apikey.Plan{Name: "pro", MaxKeys: apikey.NoCap}, nil
	}})
	_, token := issue(t, m, apikey.KeyParams{})
	ends.Store(true)
	m.ForgetPlan("acct_42")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if p, _, err := m.Verify(context.Background(), apikey.Request{Token: token}); p != nil || err == nil {
				t.Errorf("%v, %v without a plan", p, err)
			}
		})
	}
	wg.Wait()
	ends.Store(false)
	if _, _, err := m.Verify(t.Context(), apikey.Request{Token: token}); err != nil {
		t.Errorf("once the function answers again: %v", err)
	}
}

func TestManagerPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan.MaxKeys = 5
	if p, err := w.Plan(t.Context(), "acct_42"); err != nil || p.Name != "pro" || p.MaxKeys != 5 {
		t.Errorf("%+v, %v", p, err)
	}
	w.plan.Refusal = "Upgrade to have keys."
	_, err := w.ring().Create(t.Context(), apikey.KeyParams{Name: "refused"})
	if refused, ok := errors.AsType[*apikey.PlanError](err); !ok || !errors.Is(err, apikey.ErrPlan) || refused.Refusal != w.plan.Refusal {
		t.Errorf("Create: %v", err)
	}
	w.plan.Name = ""
	if _, err := w.Plan(t.Context(), "acct_42"); !isUnavailable(err, "plan") {
		t.Errorf("a plan without a name: %v", err)
	}
	if _, err := w.Plan(t.Context(), ""); !errors.Is(err, apikey.ErrOwner) {
		t.Errorf("no owner: %v", err)
	}
	m := newManager(t, nil)
	if p, err := m.Plan(t.Context(), "acct_42"); err != nil || p.MaxKeys != apikey.NoCap || m.Catalog() != nil || m.Now().IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	closeManager(t, m)
	if _, err := m.Plan(t.Context(), "acct_42"); !errors.Is(err, apikey.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
