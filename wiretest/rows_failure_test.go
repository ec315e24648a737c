package wiretest

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/go-apikey/apikey"
)

var errBroken = errors.New("wires are cut")

// failureRows are about what a verification rests on.
var failureRows = []row{
	{"client cancels during verify", []input{
		cancelled("in the Store"),
		cancelled("in Plan"),
		cancelled("in the Limiter"),
	}},
	{"Store returns an error, panics, hangs past StoreTimeout, returns nil and nil or a key with another ID", slices.Concat(
		storeSays("error", unavailable, func(*world, context.Context, string) (*apikey.Record, error) { return nil, errBroken }),
		storeSays("error of a context that is not the request's", unavailable, func(*world, context.Context, string) (*apikey.Record, error) {
			return nil, context.Canceled
		}),
		storeSays("record and error", unavailable, func(w *world, ctx context.Context, id string) (*apikey.Record, error) {
			rec, err := w.store.inner.Get(ctx, id)
			return rec, errors.Join(err, errBroken)
		}),
		storeSays("panic", unavailable, func(*world, context.Context, string) (*apikey.Record, error) { panic(errBroken) }),
		quickly(storeSays("hang", unavailable, func(_ *world, ctx context.Context, _ string) (*apikey.Record, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})),
		storeSays("nil and nil", unavailable, func(*world, context.Context, string) (*apikey.Record, error) { return nil, nil }),
		storeSays("another ID", unavailable, func(w *world, ctx context.Context, _ string) (*apikey.Record, error) {
			return w.store.inner.Get(ctx, w.lID)
		}),
	)},
	{"Plan or Limiter fails or panics", slices.Concat(
		planSays("Plan: error", func(context.Context, string) (apikey.Plan, error) { return apikey.Plan{}, errBroken }),
		planSays("Plan: panic", func(context.Context, string) (apikey.Plan, error) { panic(errBroken) }),
		planSays("Plan: without a name", func(context.Context, string) (apikey.Plan, error) { return apikey.Plan{}, nil }),
		quickly(planSays("Plan: hang", func(ctx context.Context, _ string) (apikey.Plan, error) {
			<-ctx.Done()
			return apikey.Plan{}, ctx.Err()
		})),
		limiterSays("Limiter: error", func() (apikey.Decision, error) { return apikey.Decision{}, errBroken }),
		limiterSays("Limiter: allowed and error", func() (apikey.Decision, error) {
			return apikey.Decision{Allowed: true, Limit: apikey.PerMinute(4)}, errBroken
		}),
		limiterSays("Limiter: panic", func() (apikey.Decision, error) { panic(errBroken) }),
		limiterSays("Limiter: says nothing", func() (apikey.Decision, error) { return apikey.Decision{}, nil }),
		limiterSays("Limiter: allowed, by no limit", func() (apikey.Decision, error) { return apikey.Decision{Allowed: true}, nil }),
	)},
	{"cost above the burst", []input{
		{
			name: "cost 5, burst 4",
			set: func(s *settings) {
				plan(keyLimit(apikey.PerMinute(4)))(s)
				s.policy = &apikey.Policy{Cost: 5}
			},
			want: outcome{status: 500, code: "misconfigured", calls: 1},
		},
		{
			name: "cost 4, burst 4",
			set: func(s *settings) {
				plan(keyLimit(apikey.PerMinute(4)))(s)
				s.policy = &apikey.Policy{Cost: 4}
			},
			want: limited(pass, `"minute";q=4;w=60`, `"minute";r=0;t=60`),
		},
	}},
}

// quickly gives the Store and Plan little time.
func quickly(inputs []input) []input {
	for i := range inputs {
		set := inputs[i].set
		inputs[i].set = func(s *settings) {
			if set != nil {
				set(s)
			}
			s.config.StoreTimeout = 100 * time.Millisecond
		}
	}
	return inputs
}

func planSays(name string, ask func(context.Context, string) (apikey.Plan, error)) []input {
	return []input{{name: name, want: unavailable, set: func(s *settings) { s.plan = ask }}}
}

func limiterSays(name string, take func() (apikey.Decision, error)) []input {
	return []input{{name: name, want: unavailable, set: func(s *settings) {
		plan(keyLimit(apikey.PerMinute(4)))(s)
		s.config.Limiter = limiterFunc(func(context.Context, time.Time, int, []apikey.Bucket) (apikey.Decision, error) { return take() })
	}}}
}

type limiterFunc func(ctx context.Context, now time.Time, n int, buckets []apikey.Bucket) (apikey.Decision, error)

func (f limiterFunc) Take(ctx context.Context, now time.Time, n int, buckets []apikey.Bucket) (apikey.Decision, error) {
	return f(ctx, now, n, buckets)
}

// gate holds the first who comes until their context ends.
type gate struct {
	entered chan struct{}
	closed  atomic.Bool
}

func (g *gate) pass(ctx context.Context) error {
	if !g.closed.CompareAndSwap(false, true) {
		return nil
	}
	close(g.entered)
	<-ctx.Done()
	return ctx.Err()
}

// cancelled is a client that goes away while its request waits at a place. It
// leaves nothing behind: no event, no count, no token taken, nothing cached;
// the next request passes.
func cancelled(place string) input {
	g := new(gate)
	in := input{name: place}
	in.set = func(s *settings) {
		*g = gate{entered: make(chan struct{})}
		plan(keyLimit(apikey.PerMinute(4)))(s)
		switch place {
		case "in Plan":
			ask := s.plan
			s.plan = func(ctx context.Context, owner string) (apikey.Plan, error) {
				if err := g.pass(ctx); err != nil {
					return apikey.Plan{}, err
				}
				return ask(ctx, owner)
			}
		case "in the Limiter":
			buckets := apikey.NewTokenBuckets()
			s.config.Limiter = limiterFunc(func(ctx context.Context, now time.Time, n int, b []apikey.Bucket) (apikey.Decision, error) {
				if err := g.pass(ctx); err != nil {
					return apikey.Decision{}, err
				}
				return buckets.Take(ctx, now, n, b)
			})
		}
	}
	if place == "in the Store" {
		in.given = func(_ *testing.T, w *world) {
			w.store.get = func(ctx context.Context, ref string) (*apikey.Record, error) {
				if err := g.pass(ctx); err != nil {
					return nil, err
				}
				return w.store.inner.Get(ctx, ref)
			}
		}
	}
	in.run = func(t *testing.T, w *world, p protocol, do func(request, *outcome)) {
		t.Helper()
		before := w.look(t)
		e := p.start(t, w.addr, sendK(w))
		await(t, g.entered)
		e.abandon(t)
		await(t, w.served)
		after := w.look(t)
		if diff := cmp.Diff(before.records, after.records); diff != "" {
			t.Errorf("records changed (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(before.usage, after.usage, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("usage changed (-before +after):\n%s", diff)
		}
		if after.runs > 0 || len(after.events) > 0 {
			t.Errorf("the handler ran %d times, events %+v", after.runs, after.events)
		}
		want := limited(pass, `"minute";q=4;w=60`, `"minute";r=3;t=15`) // the first token
		do(sendK(w), &want)
	}
	return in
}

func await(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatal("waited in vain")
	}
}
