package apikey_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/memstore"
)

// clock is a time that a test sets.
type clock struct{ t time.Time }

func newClock() *clock               { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }
func (c *clock) now() time.Time      { return c.t }
func (c *clock) add(d time.Duration) { c.t = c.t.Add(d) }

// world is a Manager with two environments, a plan that can be changed, and
// the events that it told.
type world struct {
	*apikey.Manager
	clock  *clock
	store  *memstore.Store
	plan   apikey.Plan
	events []apikey.Event
}

func newWorld(t *testing.T, edits ...func(*apikey.Config)) *world {
	t.Helper()
	w := &world{clock: newClock(), store: memstore.New(), plan: apikey.Plan{Name: "pro", MaxKeys: apikey.NoCap}}
	cfg := &apikey.Config{
		Formats: []apikey.Format{{Prefix: "rg_live_", Environment: "live"}, {Prefix: "rg_test_", Environment: "test"}},
		Plan:    func(context.Context, string) (apikey.Plan, error) { return w.plan, nil },
		Now:     w.clock.now,
		OnEvent: func(_ context.Context, e apikey.Event) { w.events = append(w.events, e) },
	}
	for _, edit := range edits {
		edit(cfg)
	}
	w.Manager = newManagerOn(t, w.store, cfg)
	return w
}

// Verify hands over the error too.
func (w *world) Verify(ctx context.Context, r apikey.Request) (*apikey.Principal, apikey.Decision, error) {
	p, d, err := w.Manager.Verify(ctx, r)
	return p, d, secretwatch.Error("Verify", err)
}

func (w *world) ring() *apikey.Keyring { return w.Keyring("acct_42", apikey.Operator("test")) }

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err := secretwatch.Error(t.Name(), err); err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestReasons reaches every reason that a token can be refused for. Those of
// how a request carries it are in credential_test.go.
func TestReasons(t *testing.T) {
	peer := netip.MustParseAddr("192.0.2.7")
	for _, tc := range []struct {
		name   string
		params apikey.KeyParams
		before func(t *testing.T, w *world, id string)
		ask    apikey.Request
		reason apikey.Reason // "": admitted
		status int
		proven bool // the answer may name the key
	}{
		{name: "good"},
		{name: "good, all asked for", ask: apikey.Request{Owner: "acct_42", Environment: "live", All: []apikey.Permission{"calls:create", "calls:read"}, Any: []apikey.Permission{"x:y", "calls:read"}, Cost: 1}},
		{name: "one character less", ask: apikey.Request{Token: "short"}, reason: apikey.ReasonInvalid, status: 401},
		{name: "another's checksum", ask: apikey.Request{Token: "flipped"}, reason: apikey.ReasonInvalid, status: 401},
		{name: "unknown key", ask: apikey.Request{Token: "unknown"}, reason: apikey.ReasonInvalid, status: 401},
		{name: "wrong secret", ask: apikey.Request{Token: "wrong"}, reason: apikey.ReasonInvalid, status: 401},
		{name: "wrong secret of a revoked key", ask: apikey.Request{Token: "wrong"}, before: func(t *testing.T, w *world, id string) { must[*apikey.Key](t)(w.ring().Revoke(t.Context(), id)) }, reason: apikey.ReasonInvalid, status: 401},
		{name: "revoked", before: func(t *testing.T, w *world, id string) { must[*apikey.Key](t)(w.ring().Revoke(t.Context(), id)) }, reason: apikey.ReasonRevoked, status: 401, proven: true},
		{name: "held", before: func(t *testing.T, w *world, id string) { must[*apikey.Key](t)(w.ring().Hold(t.Context(), id)) }, reason: apikey.ReasonHeld, status: 401, proven: true},
		{name: "disabled", before: func(t *testing.T, w *world, id string) { must[*apikey.Key](t)(w.ring().Disable(t.Context(), id)) }, reason: apikey.ReasonDisabled, status: 401, proven: true},
		{name: "enabled again", before: func(t *testing.T, w *world, id string) {
			must[*apikey.Key](t)(w.ring().Disable(t.Context(), id))
			must[*apikey.Key](t)(w.ring().Enable(t.Context(), id))
		}},
		{name: "revoked, and the clock is an hour back", before: func(t *testing.T, w *world, id string) {
			must[*apikey.Key](t)(w.ring().Revoke(t.Context(), id))
			w.clock.add(-time.Hour)
		}, reason: apikey.ReasonRevoked, status: 401, proven: true},
		{name: "expiry 1 µs away", params: apikey.KeyParams{ExpiresAt: newClock().t.Add(time.Hour + time.Microsecond)}, before: func(_ *testing.T, w *world, _ string) { w.clock.add(time.Hour) }},
		{name: "expiry now", params: apikey.KeyParams{ExpiresAt: newClock().t.Add(time.Hour)}, before: func(_ *testing.T, w *world, _ string) { w.clock.add(time.Hour) }, reason: apikey.ReasonExpired, status: 401, proven: true},
		{name: "not before 1 µs from now", params: apikey.KeyParams{NotBefore: newClock().t.Add(time.Microsecond)}, reason: apikey.ReasonNotYetValid, status: 401, proven: true},
		{name: "not before now", params: apikey.KeyParams{NotBefore: newClock().t}},
		{name: "rotated", before: func(t *testing.T, w *world, id string) {
			must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), id, apikey.RotateParams{}))
		}, reason: apikey.ReasonRotated, status: 401, proven: true},
		{name: "rotated, and the clock is an hour back", before: func(t *testing.T, w *world, id string) {
			must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), id, apikey.RotateParams{}))
			w.clock.add(-time.Hour)
		}, reason: apikey.ReasonRotated, status: 401, proven: true},
		{name: "in grace", before: func(t *testing.T, w *world, id string) {
			must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), id, apikey.RotateParams{Grace: time.Hour}))
			w.clock.add(time.Hour - time.Microsecond)
		}},
		{name: "grace over", before: func(t *testing.T, w *world, id string) {
			must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), id, apikey.RotateParams{Grace: time.Hour}))
			w.clock.add(time.Hour)
		}, reason: apikey.ReasonRotated, status: 401, proven: true},
		{name: "plan", before: func(_ *testing.T, w *world, _ string) { w.plan.Refusal = "Upgrade to Pro to use API keys." }, reason: apikey.ReasonPlan, status: 403, proven: true},
		{name: "environment", ask: apikey.Request{Environment: "test"}, reason: apikey.ReasonEnvironment, status: 403, proven: true},
		{name: "owner", ask: apikey.Request{Owner: "acct_43"}, reason: apikey.ReasonOwner, status: 403, proven: true},
		{name: "one permission of two", ask: apikey.Request{All: []apikey.Permission{"calls:read", "agents:read"}}, reason: apikey.ReasonPermission, status: 403, proven: true},
		{name: "none of any", ask: apikey.Request{Any: []apikey.Permission{"agents:read", "agents:create"}}, reason: apikey.ReasonPermission, status: 403, proven: true},
		{name: "malformed permission", ask: apikey.Request{All: []apikey.Permission{"calls:*"}}, reason: apikey.ReasonPermission, status: 403, proven: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			tc.params.Name, tc.params.Permissions = "a key", apikey.Permissions{"calls:*"}
			issued := must[*apikey.Issued](t)(w.ring().Create(t.Context(), tc.params))
			other := must[*apikey.Issued](t)(w.ring().Create(t.Context(), apikey.KeyParams{Name: "other"}))
			good, id := issued.Token.Reveal(), issued.Key.ID
			if tc.before != nil {
				tc.before(t, w, id)
			}
			w.events = nil
			r := tc.ask
			r.Peer = peer
			switch tc.ask.Token {
			case "":
				r.Token = good
			case "short":
				r.Token = good[:len(good)-1]
			case "flipped":
				r.Token = good[:len(good)-6] + other.Token.Reveal()[len(good)-6:]
			case "unknown":
				gone := newWorld(t)
				r.Token = must[*apikey.Issued](t)(gone.ring().Create(t.Context(), apikey.KeyParams{Name: "gone"})).Token.Reveal()
			case "wrong":
				// The same key's ID with another secret and the right checksum:
				// a token of the same key on another Manager, rotated.
				elsewhere := newWorld(t)
				must[*apikey.Key](t)(elsewhere.ring().Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "same ID"}, Token: good}))
				r.Token = must[*apikey.Issued](t)(elsewhere.ring().Rotate(t.Context(), id, apikey.RotateParams{})).Token.Reveal()
			}
			p, _, err := w.Verify(t.Context(), r)
			if tc.reason == "" {
				if err != nil || p == nil || p.KeyID() != id || p.Owner() != "acct_42" || p.Environment() != "live" || p.Plan() != "pro" {
					t.Fatalf("%v, %v; want key %s", p, err, id)
				}
				if len(w.events) != 0 {
					t.Errorf("events %+v of an admitted request", w.events)
				}
				return
			}
			want := &apikey.Denial{Reason: tc.reason, Peer: peer}
			if tc.proven {
				want.KeyID, want.Owner = id, "acct_42"
			}
			var denial *apikey.Denial
			if p != nil || !errors.As(err, &denial) {
				t.Fatalf("%v, %v; want a denial", p, err)
			}
			ignored := cmpopts.IgnoreFields(apikey.Denial{}, "Permission", "Plan")
			if diff := cmp.Diff(want, denial, ignored, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("denial (-want +got):\n%s", diff)
			}
			if (denial.Permission != "") != (tc.reason == apikey.ReasonPermission) || (denial.Plan != "") != (tc.reason == apikey.ReasonPlan) {
				t.Errorf("denial %+v", denial)
			}
			if denial.Status() != tc.status || denial.Detail() == "" {
				t.Errorf("status %d, want %d; detail %q", denial.Status(), tc.status, denial.Detail())
			}
			if len(w.events) != 1 || w.events[0].Kind != apikey.EventDenied || w.events[0].Reason != tc.reason || w.events[0].KeyID != want.KeyID || w.events[0].Peer != peer {
				t.Errorf("events %+v", w.events)
			}
			key := usageOf(t, w, id)
			if wantDenied := int64(0); tc.proven {
				wantDenied = 1
				if key.Usage.Denied != wantDenied || key.Usage.LastRefusal != (apikey.Refusal{At: w.clock.t, Peer: peer, Reason: tc.reason}) {
					t.Errorf("usage %+v", key.Usage)
				}
			}
			if key.Usage.Requests != 0 {
				t.Errorf("a refused request was counted: %+v", key.Usage)
			}
		})
	}
}

func usageOf(t *testing.T, w *world, id string) *apikey.Key {
	t.Helper()
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return must[*apikey.Key](t)(w.ring().Get(t.Context(), id))
}

// TestRateLimited is the reason that TestReasons leaves out.
func TestRateLimited(t *testing.T) {
	w := newWorld(t)
	w.plan.OwnerLimits = []apikey.Limit{{Name: "minute", N: 60, Per: time.Minute, Burst: 3}}
	w.plan.KeyLimits = []apikey.Limit{{Name: "second", N: 2, Per: time.Second}}
	a := must[*apikey.Issued](t)(w.ring().Create(t.Context(), apikey.KeyParams{Name: "a"}))
	b := must[*apikey.Issued](t)(w.ring().Create(t.Context(), apikey.KeyParams{Name: "b"}))
	ask := func(issued *apikey.Issued, cost int) (apikey.Decision, error) {
		_, d, err := w.Verify(t.Context(), apikey.Request{Token: issued.Token.Reveal(), Cost: cost})
		return d, err
	}
	if d, err := ask(a, 2); err != nil || !d.Allowed || d.Limit.Name != "second" || d.Remaining != 0 {
		t.Fatalf("2 of 2: %+v, %v", d, err)
	}
	var denial *apikey.Denial
	if _, err := ask(a, 1); !errors.As(err, &denial) || denial.Reason != apikey.ReasonRateLimited || denial.Decision.Limit.Name != "second" || denial.Decision.RetryAfter != 500*time.Millisecond {
		t.Fatalf("third of 2 a second: %v, %+v", err, denial)
	}
	// What the key's limit refused, the owner's has not lost: one is left of 3.
	if d, err := ask(b, 1); err != nil || d.Limit.Name != "minute" || d.Remaining != 0 {
		t.Fatalf("another key of the owner: %+v, %v", d, err)
	}
	if _, err := ask(b, 1); !errors.As(err, &denial) || denial.Decision.Limit.Name != "minute" || denial.Decision.RetryAfter != time.Second {
		t.Fatalf("fourth of 3: %v, %+v", err, denial)
	}
	w.clock.add(denial.Decision.RetryAfter)
	if _, err := ask(b, 1); err != nil {
		t.Fatalf("after exactly RetryAfter: %v", err)
	}
	w.events = nil
	if _, err := ask(a, 3); !errors.Is(err, apikey.ErrCost) {
		t.Fatalf("cost above the burst: %v", err)
	}
	if len(w.events) != 1 || w.events[0].Kind != apikey.EventCost {
		t.Errorf("events %+v", w.events)
	}
	if u := usageOf(t, w, a.Key.ID).Usage; u.Requests != 1 || u.Limited != 1 || u.Denied != 0 {
		t.Errorf("usage of a: %+v", u)
	}
}

// brokenStore answers Get as a test says.
type brokenStore struct {
	apikey.Store
	get func(ctx context.Context, ref string) (*apikey.Record, error)
}

func (s *brokenStore) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	if s.get == nil {
		return s.Store.Get(ctx, ref)
	}
	return s.get(ctx, ref)
}

type brokenLimiter func(context.Context) (apikey.Decision, error)

func (f brokenLimiter) Take(ctx context.Context, _ time.Time, _ int, _ []apikey.Bucket) (apikey.Decision, error) {
	return f(ctx)
}

// TestFailuresAreNeitherPassNorDenial: whatever a request needs that fails,
// panics or answers nonsense is an *UnavailableError.
func TestFailuresAreNeitherPassNorDenial(t *testing.T) {
	boom := errors.New("boom")
	type broken struct {
		get   func(ctx context.Context, ref string) (*apikey.Record, error)
		plan  func(context.Context) (apikey.Plan, error)
		limit brokenLimiter
	}
	for name, tc := range map[string]struct {
		broken broken
		op     string
	}{
		"store fails":           {broken{get: func(context.Context, string) (*apikey.Record, error) { return nil, boom }}, "store"},
		"store panics":          {broken{get: func(context.Context, string) (*apikey.Record, error) { panic(boom) }}, "store"},
		"store answers nothing": {broken{get: func(context.Context, string) (*apikey.Record, error) { return nil, nil }}, "store"},
		"store answers a newer": {broken{get: func(context.Context, string) (*apikey.Record, error) { return nil, apikey.ErrNewerRecord }}, "store"},
		"store hangs":           {broken{get: func(ctx context.Context, _ string) (*apikey.Record, error) { <-ctx.Done(); return nil, ctx.Err() }}, "store"},
		"store answers another": {broken{get: otherRecord(t)}, "store"},
		"plan fails":            {broken{plan: func(context.Context) (apikey.Plan, error) { return apikey.Plan{}, boom }}, "plan"},
		"plan panics":           {broken{plan: func(context.Context) (apikey.Plan, error) { panic(boom) }}, "plan"},
		"plan hangs":            {broken{plan: func(ctx context.Context) (apikey.Plan, error) { <-ctx.Done(); return apikey.Plan{}, ctx.Err() }}, "plan"},
		"plan has no name":      {broken{plan: func(context.Context) (apikey.Plan, error) { return apikey.Plan{MaxKeys: 5}, nil }}, "plan"},
		"plan has a bad limit": {broken{plan: func(context.Context) (apikey.Plan, error) {
			return apikey.Plan{Name: "x", KeyLimits: []apikey.Limit{{Name: "m"}}}, nil
		}}, "plan"},
		"limiter fails":           {broken{limit: func(context.Context) (apikey.Decision, error) { return apikey.Decision{}, boom }}, "limiter"},
		"limiter panics":          {broken{limit: func(context.Context) (apikey.Decision, error) { panic(boom) }}, "limiter"},
		"limiter answers nothing": {broken{limit: func(context.Context) (apikey.Decision, error) { return apikey.Decision{}, nil }}, "limiter"},
		"limiter allows no limit": {broken{limit: func(context.Context) (apikey.Decision, error) { return apikey.Decision{Allowed: true}, nil }}, "limiter"},
	} {
		t.Run(name, func(t *testing.T) {
			good := apikey.Plan{Name: "pro", MaxKeys: apikey.NoCap, KeyLimits: []apikey.Limit{apikey.PerMinute(60)}}
			on := false
			store := &brokenStore{Store: memstore.New()}
			var events []apikey.Event
			cfg := &apikey.Config{
				StoreTimeout: 20 * time.Millisecond,
				PlanTTL:      time.Millisecond,
				Plan: func(ctx context.Context, _ string) (apikey.Plan, error) {
					if on && tc.broken.plan != nil {
						return tc.broken.plan(ctx)
					}
					return good, nil
				},
				OnEvent: func(_ context.Context, e apikey.Event) { events = append(events, e) },
			}
			if tc.broken.limit != nil {
				cfg.Limiter = tc.broken.limit
			}
			m := newManagerOn(t, store, cfg)
			_, token := issue(t, m, apikey.KeyParams{})
			on, store.get, events = true, tc.broken.get, nil
			p, _, err := m.Verify(t.Context(), apikey.Request{Token: token})
			var gone *apikey.UnavailableError
			var denial *apikey.Denial
			if p != nil || !errors.As(err, &gone) || errors.As(err, &denial) || gone.Op != tc.op {
				t.Fatalf("%v, %v; want an *UnavailableError of the %s", p, err, tc.op)
			}
			if len(events) != 1 || events[0].Kind != apikey.EventUnavailable || !errors.Is(events[0].Err, gone) {
				t.Errorf("events %+v", events)
			}
			if p, _, err := m.Verify(canceled(t), apikey.Request{Token: token}); p != nil || err == nil {
				t.Errorf("of a client that went away: %v, %v", p, err)
			}
			if len(events) != 1 {
				t.Errorf("a client that went away is an event: %+v", events[1:])
			}
		})
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// otherRecord answers with a record of another key.
func otherRecord(t *testing.T) func(context.Context, string) (*apikey.Record, error) {
	s := memstore.New()
	id, _ := issue(t, newManagerOn(t, s, nil), apikey.KeyParams{})
	return func(ctx context.Context, _ string) (*apikey.Record, error) { return s.Get(ctx, id) }
}

func TestClosedManager(t *testing.T) {
	m, err := apikey.New(memstore.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, token := issue(t, m, apikey.KeyParams{})
	p, _, err := m.Verify(t.Context(), apikey.Request{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	closeManager(t, m)
	if _, _, err := m.Verify(t.Context(), apikey.Request{Token: token}); !errors.Is(err, apikey.ErrClosed) {
		t.Errorf("Verify: %v", err)
	}
	if err := m.Recheck(t.Context(), p); !errors.Is(err, apikey.ErrClosed) {
		t.Errorf("Recheck: %v", err)
	}
	if _, _, err := m.Lookup(t.Context(), token); !errors.Is(err, apikey.ErrClosed) {
		t.Errorf("Lookup: %v", err)
	}
	if _, _, err := m.Check(&http.Request{}, apikey.Policy{Optional: true}); !errors.Is(err, apikey.ErrClosed) {
		t.Errorf("Check of an optional route: %v", err)
	}
	if _, err := m.Keyring("o", apikey.Operator("x")).Get(t.Context(), "0000000"); !errors.Is(err, apikey.ErrClosed) {
		t.Errorf("Get: %v", err)
	}
	closeManager(t, m)
}

func TestRecheck(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, w *world, id string)
		reason apikey.Reason // "": still good
	}{
		{"unchanged", func(*testing.T, *world, string) {}, ""},
		{"renamed", func(t *testing.T, w *world, id string) {
			must[*apikey.Key](t)(w.ring().Update(t.Context(), id, apikey.KeyUpdate{Name: new("x")}))
		}, ""},
		{"more permissions", func(t *testing.T, w *world, id string) {
			must[*apikey.Key](t)(w.ring().Update(t.Context(), id, apikey.KeyUpdate{Permissions: &apikey.Permissions{"*"}}))
		}, ""},
		{"fewer permissions", func(t *testing.T, w *world, id string) {
			must[*apikey.Key](t)(w.ring().Update(t.Context(), id, apikey.KeyUpdate{Permissions: &apikey.Permissions{"calls:read"}}))
		}, apikey.ReasonPermission},
		{"revoked", func(t *testing.T, w *world, id string) { must[*apikey.Key](t)(w.ring().Revoke(t.Context(), id)) }, apikey.ReasonRevoked},
		{"disabled", func(t *testing.T, w *world, id string) { must[*apikey.Key](t)(w.ring().Disable(t.Context(), id)) }, apikey.ReasonDisabled},
		{"rotated with grace", func(t *testing.T, w *world, id string) {
			must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), id, apikey.RotateParams{Grace: time.Hour}))
		}, ""},
		{"rotated", func(t *testing.T, w *world, id string) {
			must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), id, apikey.RotateParams{}))
		}, apikey.ReasonRotated},
		{"rotated twice", func(t *testing.T, w *world, id string) {
			must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), id, apikey.RotateParams{}))
			must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), id, apikey.RotateParams{}))
		}, apikey.ReasonRotated},
		{"deleted", func(t *testing.T, w *world, id string) {
			must[*apikey.Key](t)(w.ring().Revoke(t.Context(), id))
			if err := w.ring().Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}, apikey.ReasonInvalid},
		{"plan", func(_ *testing.T, w *world, _ string) { w.plan.Refusal = "no"; w.ForgetPlan("acct_42") }, apikey.ReasonPlan},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.plan.KeyLimits = []apikey.Limit{{Name: "once", N: 1, Per: time.Hour}}
			issued := must[*apikey.Issued](t)(w.ring().Create(t.Context(), apikey.KeyParams{Name: "a", Permissions: apikey.Permissions{"calls:*"}}))
			p, _, err := w.Verify(t.Context(), apikey.Request{Token: issued.Token.Reveal()})
			if err != nil {
				t.Fatal(err)
			}
			tc.change(t, w, issued.Key.ID)
			err = w.Recheck(t.Context(), p)
			var denial *apikey.Denial
			switch {
			case tc.reason == "" && err != nil, tc.reason != "" && (!errors.As(err, &denial) || denial.Reason != tc.reason):
				t.Errorf("%v, want %q", err, tc.reason)
			}
		})
	}
	if err := newWorld(t).Recheck(t.Context(), nil); err == nil {
		t.Error("a nil Principal is good")
	}
}

func TestLookup(t *testing.T) {
	w := newWorld(t)
	first := must[*apikey.Issued](t)(w.ring().Create(t.Context(), apikey.KeyParams{Name: "a"}))
	second := must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), first.Key.ID, apikey.RotateParams{}))
	for _, tc := range []struct {
		token string
		state apikey.SecretState
		err   error
	}{
		{second.Token.Reveal(), apikey.SecretState{N: 2, Live: true}, nil},
		{first.Token.Reveal(), apikey.SecretState{N: 1}, nil},
		{"nonsense", apikey.SecretState{}, apikey.ErrNotFound},
		{first.Token.Reveal()[:40], apikey.SecretState{}, apikey.ErrNotFound},
		{"rg_live_" + first.Key.ID, apikey.SecretState{}, apikey.ErrNotFound},
	} {
		key, state, err := w.Lookup(t.Context(), tc.token)
		if state != tc.state || !errors.Is(err, tc.err) || tc.err == nil && key.ID != first.Key.ID {
			t.Errorf("%v, %+v, %v; want %+v, %v", key, state, err, tc.state, tc.err)
		}
	}
	third := must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), first.Key.ID, apikey.RotateParams{}))
	if _, _, err := w.Lookup(t.Context(), first.Token.Reveal()); !errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("a token from before the one before: %v", err)
	}
	must[*apikey.Key](t)(w.ring().Revoke(t.Context(), first.Key.ID))
	if key, state, err := w.Lookup(t.Context(), third.Token.Reveal()); err != nil || state != (apikey.SecretState{N: 3, Live: true}) || key.State(w.clock.t) != apikey.StateRevoked {
		t.Errorf("the present token of a revoked key: %+v, %v", state, err)
	}
}
