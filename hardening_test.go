package apikey_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
)

// Each test here is a fault that a review found, and that was mended.

func limitedTo(limit apikey.Limit) func(*apikey.Config) {
	return func(c *apikey.Config) {
		c.Plan = func(context.Context, string) (apikey.Plan, error) {
			return apikey.Plan{Name: "p", MaxKeys: 10, KeyLimits: []apikey.Limit{limit}}, nil
		}
	}
}

func withToken(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/batch", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// TestFlushEndsWhileRefusalsComeIn: each refusal is counted, but not all by the
// flush during which they came.
func TestFlushEndsWhileRefusalsComeIn(t *testing.T) {
	r := newRig(t, func(c *apikey.Config) { c.FlushInterval = time.Hour })
	dead := r.issue(apikey.KeyParams{})
	if _, err := r.as(operator).Revoke(t.Context(), dead.Key.ID); err != nil {
		t.Fatal(err)
	}
	r.verdict(dead.Token.Reveal())
	var calls atomic.Int64
	r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
		if c.op == "add-usage" && calls.Add(1) < 100 {
			r.verdict(dead.Token.Reveal())
		}
		return apply()
	})
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("one flush of one key stored %d batches", n)
	}
}

// TestOneChargeIsForOneGuard: a handler that serves requests of its own with
// the context of one pays for each.
func TestOneChargeIsForOneGuard(t *testing.T) {
	r := newRig(t, limitedTo(apikey.PerHour(5)))
	token := r.issue(apikey.KeyParams{}).Token.Reveal()
	served := 0
	one := r.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	batch := r.Require()(http.HandlerFunc(func(_ http.ResponseWriter, outer *http.Request) {
		for range 100 {
			one.ServeHTTP(secretwatch.Recorder(t), withToken(token).WithContext(outer.Context()))
		}
	}))
	batch.ServeHTTP(secretwatch.Recorder(t), withToken(token))
	if served != 5 {
		t.Errorf("%d served by a limit of 5, of which the batch paid for the first", served)
	}
}

// TestGuardsWithinGuardsPayTheMost: three guards take what the dearest costs.
func TestGuardsWithinGuardsPayTheMost(t *testing.T) {
	r := newRig(t, limitedTo(apikey.PerHour(100)))
	token := r.issue(apikey.KeyParams{}).Token.Reveal()
	cost := func(n int, next http.Handler) http.Handler { return r.Guard(apikey.Policy{Cost: n})(next) }
	w := secretwatch.Recorder(t)
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	cost(5, cost(1, cost(7, ok))).ServeHTTP(w, withToken(token))
	if got := w.Header().Get("RateLimit"); !strings.HasPrefix(got, `"hour";r=93;`) {
		t.Errorf("%s, want 93 left of 100", got)
	}
}

// TestWiringIsCopied: what was handed in is the caller's to change.
func TestWiringIsCopied(t *testing.T) {
	catalog := &apikey.Catalog{Permissions: []apikey.PermissionInfo{{Permission: "admin:all"}, {Permission: "calls:read"}}}
	r := newRig(t, func(c *apikey.Config) { c.Catalog = catalog })
	token := r.issue(apikey.KeyParams{Permissions: apikey.Permissions{"calls:read"}}).Token.Reveal()
	perms := []apikey.Permission{"admin:all"}
	admin := r.Guard(apikey.Policy{All: perms})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	perms[0], catalog.Permissions[0].Permission = "calls:read", "z:z"
	w := secretwatch.Recorder(t)
	admin.ServeHTTP(w, withToken(token))
	if w.Code != http.StatusForbidden {
		t.Errorf("the admin route answers %d", w.Code)
	}
	if _, err := r.as(operator).Create(t.Context(), apikey.KeyParams{Name: "n", Permissions: apikey.Permissions{"z:z"}}); err == nil {
		t.Error("changing the Catalog after New changed what is granted")
	}
}

// TestStricterCacheControlStays: an outer handler that said no-store is heard.
func TestStricterCacheControlStays(t *testing.T) {
	r := newRig(t, nil)
	token := r.issue(apikey.KeyParams{}).Token.Reveal()
	w := secretwatch.Recorder(t)
	w.Header().Set("Cache-Control", "no-store")
	r.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, withToken(token))
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("it became %q", got)
	}
}

// inventive answers with a limit that nobody asked for.
type inventive struct{ *apikey.TokenBuckets }

func (l inventive) Take(ctx context.Context, now time.Time, n int, b []apikey.Bucket) (apikey.Decision, error) {
	d, err := l.TokenBuckets.Take(ctx, now, n, b)
	d.Limit.Name = "x\"; evil"
	return d, err
}

func TestLimiterThatInventsALimitIsUnavailable(t *testing.T) {
	r := newRig(t, func(c *apikey.Config) {
		limitedTo(apikey.PerHour(5))(c)
		c.Limiter = inventive{apikey.NewTokenBuckets()}
	})
	token := r.issue(apikey.KeyParams{}).Token.Reveal()
	w := secretwatch.Recorder(t)
	r.Require()(http.NotFoundHandler()).ServeHTTP(w, withToken(token))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("RateLimit") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// TestForgedHistoryCursor: a cursor is no secret, so any number comes in one.
func TestForgedHistoryCursor(t *testing.T) {
	r := newRig(t, nil)
	r.issue(apikey.KeyParams{})
	for _, n := range []int64{-1 << 63, -1, 0, 1<<63 - 1} {
		q := apikey.HistoryQuery{Owner: rigOwner}
		q.After = q.CursorAt(n)
		if _, err := r.as(operator).History(t.Context(), q); err != nil {
			t.Errorf("position %d: %v", n, err)
		}
	}
}

// TestStoredLimitThatIsNone: what a tool restored refuses, and harms no bucket.
func TestStoredLimitThatIsNone(t *testing.T) {
	for _, limit := range []apikey.Limit{{Name: "l", N: 5}, {Name: "l", Per: time.Second, Burst: 5}} {
		r := newRig(t, nil)
		issued := r.issue(apikey.KeyParams{})
		k := *issued.Key
		k.Version++
		k.Limits = []apikey.LimitOverride{{Limit: limit}}
		rec, err := apikey.NewRecord(&k, apikey.SumToken(issued.Token.Reveal()))
		if err != nil {
			t.Fatal(err)
		}
		change := apikey.Change{At: r.now(), Action: "restore", KeyID: k.ID, Owner: k.Owner}
		if err := r.store.Update(t.Context(), rec, apikey.Write{Change: change, MaxKeys: apikey.NoCap}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Verify(t.Context(), apikey.Request{Token: issued.Token.Reveal()}); !errors.Is(err, apikey.ErrCost) {
			t.Errorf("%+v: %v, want ErrCost", limit, err)
		}
	}
}
