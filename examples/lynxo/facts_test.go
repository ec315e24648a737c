package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-apikey/apikey/examples/demo/demotest"
)

var service = &demotest.Service{
	Title: "Lynxo", Send: demotest.Bearer, Prefixes: []string{"lx_live_", "lx_test_"},
	Member: "ana", Owner: "lab", Stranger: "bo",
	Members: map[string][]string{"ana": {"lab"}, "bo": {"shop"}, "di": {"lab"}},
	Plans:   map[string]string{"lab": "standard", "shop": "standard"},
	Grants:  demotest.Fields{"preset": "read-only"}, Path: "/v1/jobs",
}

func TestWhatAllFourShare(t *testing.T) { service.Shared(t) }
func TestContract(t *testing.T)         { service.Contract(t) }

// may is a new key's permissions.
func may(permissions ...string) demotest.Fields { return demotest.Fields{"permissions": permissions} }

// level is a new key's preset.
func level(preset string) demotest.Fields { return demotest.Fields{"preset": preset} }

func TestLynxo(t *testing.T) {
	d := service.Start(t)
	ana := d.As("ana", "")
	t.Run("Authorization: Bearer <token>, base path /v1", func(t *testing.T) {
		key := ana.Create(t, "CI", level("read-only"))
		d.Call(t, key.Token, "GET", "/v1/jobs", nil).Want(200)
		d.Call(t, key.Token, "GET", "/jobs", nil).Want(404)
	})
	for _, test := range []struct {
		name    string
		fields  demotest.Fields
		allowed []string // what of testRoutes
	}{
		{"Read Only (retrieve, never modify)", level("read-only"), []string{"jobs:read", "integrations:hubspot:read", "integrations:slack:read"}},
		{"Read/Write", level("read-write"), []string{
			"jobs:read", "jobs:write", "integrations:hubspot:read", "integrations:hubspot:write", "integrations:slack:read", "integrations:slack:write",
		}},
		{"Full Access (all endpoints)", level("full-access"), []string{
			"jobs:read", "jobs:write", "integrations:hubspot:read", "integrations:hubspot:write", "integrations:slack:read", "integrations:slack:write", "account:manage",
		}},
		{"Custom Scopes (single operations): jobs:read", may("jobs:read"), []string{"jobs:read"}},
		{"Custom Scopes (single operations): jobs:write", may("jobs:write"), []string{"jobs:write"}},
		{"Custom Scopes (single operations): account:manage", may("account:manage"), []string{"account:manage"}},
		{"also scoped to integrations: hubspot", may("integrations:hubspot:*"), []string{"integrations:hubspot:read", "integrations:hubspot:write"}},
		{"also scoped to integrations: slack, to read", may("integrations:slack:read"), []string{"integrations:slack:read"}},
		{"also scoped to integrations: all of them", may("integrations:*"), []string{
			"integrations:hubspot:read", "integrations:hubspot:write", "integrations:slack:read", "integrations:slack:write",
		}},
		{"no permission", nil, nil},
	} {
		t.Run("levels: "+test.name, func(t *testing.T) { testRoutes(t, d, ana.Create(t, "Level", test.fields), test.allowed) })
	}
	t.Run("di, whose ceiling is *:read, makes no key that may more", func(t *testing.T) {
		di := d.As("di", "lab")
		key := di.Create(t, "Di's", level("read-only"))
		di.TryCreate(t, "Too much", level("read-write")).WantCode(403, "ceiling")
		di.TryCreate(t, "Too much", may("jobs:read", "jobs:write")).WantCode(403, "ceiling")
		di.Do(t, "PATCH", key.Path(), may("*")).WantCode(403, "ceiling")
		strong := ana.Create(t, "Ana's", level("full-access"))
		di.Post(t, strong.Path("rotate"), nil).WantCode(403, "ceiling")
		di.Revoke(t, strong) // stopping needs no ceiling
	})
	t.Run("no automatic expiry", func(t *testing.T) {
		key := ana.Create(t, "For ever", level("read-only"))
		if got := ana.Get(t, key.Path()); got.Field("expires_at") != nil || got.List("secrets")[0]["not_after"] != nil {
			t.Errorf("it ends: %s", got.Body)
		}
	})
	t.Run("usage tracked and shown", func(t *testing.T) {
		key := ana.Create(t, "Tracked", level("read-only"))
		for range 5 {
			d.Call(t, key.Token, "GET", "/v1/jobs", nil).Want(200)
		}
		demotest.Eventually(t, 3*time.Second, "5 requests are shown, also by the hour", func() bool {
			sum := 0.0
			for _, p := range ana.Get(t, key.Path("usage")).List("points") {
				sum += p["requests"].(float64)
			}
			return sum == 5 && ana.Get(t, key.Path()).Number("requests") == 5
		})
	})
	t.Run("an activity log", func(t *testing.T) {
		key := ana.Create(t, "Logged", level("read-only"))
		ana.Do(t, "PATCH", key.Path(), level("read-write")).Want(200)
		ana.Rotate(t, key, 60)
		ana.Revoke(t, key)
		if got := ana.Actions(t, key.Path("history")); !slices.Equal(got, []string{"revoke", "rotate", "update", "create"}) {
			t.Errorf("it is %q", got)
		}
		update := ana.Get(t, key.Path("history")).List("changes")[2]
		if update["actor"] != "ana" || !strings.Contains(update["detail"].(string), "*:write") {
			t.Errorf("the change of permissions is %v", update)
		}
	})
	t.Run("revoked keys cannot be restored", func(t *testing.T) {
		key := ana.Create(t, "Ended", level("read-only"))
		ana.Revoke(t, key)
		for _, verb := range []string{"enable", "rotate"} {
			ana.Post(t, key.Path(verb), nil).WantCode(409, "revoked")
		}
		ana.Do(t, "PATCH", key.Path(), demotest.Fields{"name": "Back?"}).WantCode(409, "revoked")
		d.Call(t, key.Token, "GET", "/v1/jobs", nil).WantCode(401, "revoked")
	})
	t.Run("at most 50 active keys per account", testCap)
}

// testRoutes calls every route; those are allowed whose permission is.
func testRoutes(t *testing.T, d *demotest.Demo, key demotest.Key, allowed []string) {
	t.Helper()
	full := d.As("ana", "").Create(t, "For what is there", level("full-access"))
	job := func() string {
		return "/v1/jobs/" + d.Call(t, full.Token, "POST", "/v1/jobs", map[string]string{"name": "x"}).Want(201).String("id")
	}
	for _, route := range []struct {
		permission, method, path string
		status                   int
	}{
		{"jobs:read", "GET", "/v1/jobs", 200},
		{"jobs:read", "GET", job(), 200},
		{"jobs:write", "POST", "/v1/jobs", 201},
		{"jobs:write", "PATCH", job(), 200},
		{"jobs:write", "DELETE", job(), 204},
		{"integrations:hubspot:read", "GET", "/v1/integrations/hubspot/runs", 200},
		{"integrations:hubspot:write", "POST", "/v1/integrations/hubspot/runs", 201},
		{"integrations:slack:read", "GET", "/v1/integrations/slack/runs", 200},
		{"integrations:slack:write", "POST", "/v1/integrations/slack/runs", 201},
		{"account:manage", "POST", "/v1/account/export", 201},
	} {
		if slices.Contains(allowed, route.permission) {
			d.Call(t, key.Token, route.method, route.path, map[string]string{"name": "y"}).Want(route.status)
		} else {
			d.Call(t, key.Token, route.method, route.path, nil).WantCode(403, "permission")
		}
	}
	d.Call(t, full.Token, "GET", "/v1/integrations/elsewhere/runs", nil).Want(404)
	d.As("ana", "").Revoke(t, full)
	d.As("ana", "").Revoke(t, key)
}

func testCap(t *testing.T) {
	d := service.Start(t)
	bo := d.As("bo", "shop")
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	for i := range 80 {
		wg.Go(func() {
			a := bo.TryCreate(t, fmt.Sprintf("Key %d", i), nil)
			mu.Lock()
			defer mu.Unlock()
			statuses[a.Status]++
		})
	}
	wg.Wait()
	listed := bo.Get(t, "keys?state=active&limit=1000").List("keys")
	if statuses[201] != 50 || statuses[409] != 30 || len(listed) != 50 {
		t.Fatalf("80 creates at once: %v, and %d are listed", statuses, len(listed))
	}
	bo.TryCreate(t, "The 51st", nil).WantCode(409, "quota")
	bo.Revoke(t, demotest.Key{ID: listed[0]["id"].(string)})
	bo.Create(t, "In its place", nil)
}

func TestInvalidAPIKeyIsEasyToResolve(t *testing.T) {
	d := service.Start(t)
	ana := d.As("ana", "")
	good := ana.Create(t, "Good", level("read-only"))
	test := ana.Create(t, "Test", demotest.Fields{"preset": "read-only", "environment": "test"})
	revoked := ana.Create(t, "Revoked", level("read-only"))
	ana.Revoke(t, revoked)
	flipped := func(token string) string { // one letter of the secret
		i := len(token) - 12
		return token[:i] + map[bool]string{true: "x", false: "y"}[token[i] != 'x'] + token[i+1:]
	}
	for _, test := range []struct {
		when, header string
		status       int
		code, says   string
	}{
		{"a good key", "Bearer " + good.Token, 200, "", ""},
		{"blanks around it do no harm", "  Bearer   " + good.Token + "  ", 200, "", ""},
		{"badly formed: extra spaces within", "Bearer " + good.Token[:20] + " " + good.Token[20:], 400, "malformed_request", "without quotes or spaces"},
		{"badly formed: quotes", `Bearer "` + good.Token + `"`, 400, "malformed_request", "without quotes or spaces"},
		{"badly formed: wrong scheme", "Basic " + good.Token, 401, "unsupported_scheme", "scheme that is not accepted"},
		{"badly formed: no scheme", good.Token, 401, "unsupported_scheme", "scheme that is not accepted"},
		{"a key of another environment", "Bearer " + test.Token, 403, "environment", "another environment"},
		{"a revoked one, told to whoever proves the secret", "Bearer " + revoked.Token, 401, "revoked", "has been revoked"},
		{"a revoked one, not told to who does not", "Bearer " + flipped(revoked.Token), 401, "invalid", "not valid"},
		{"a mistyped one", "Bearer " + flipped(good.Token), 401, "invalid", "not valid"},
		{"one of another service", "Bearer sk_live_0123456789abcdef", 401, "invalid", "not valid"},
	} {
		t.Run(test.when, func(t *testing.T) {
			a := d.Do(t, "GET", "/v1/jobs", nil, func(r *http.Request) { r.Header.Set("Authorization", test.header) }).WantCode(test.status, test.code)
			if !strings.Contains(a.String("detail"), test.says) {
				t.Errorf("it says %q, want something of %q", a.String("detail"), test.says)
			}
		})
	}
	wrong := d.Call(t, flipped(revoked.Token), "GET", "/v1/jobs", nil)
	unknown := d.Call(t, flipped(good.Token), "GET", "/v1/jobs", nil)
	if wrong.Body != unknown.Body {
		t.Errorf("of a revoked key's wrong secret it says %s, of another %s", wrong.Body, unknown.Body)
	}
}

func TestLimits(t *testing.T) {
	t.Run("limits per key", func(t *testing.T) {
		d := service.Start(t)
		ana := d.As("ana", "")
		one, two := ana.Create(t, "One", level("read-only")), ana.Create(t, "Two", level("read-only"))
		flood := d.Flood(t, []string{one.Token}, "GET", "/v1/jobs", 2*time.Second)
		flood.Within(t, 120, flood.Statuses[200])
		if got := d.Volley(t, []string{two.Token}, "GET", "/v1/jobs", 120).Statuses; got[200] != 120 {
			t.Errorf("another key has not its own: %v", got)
		}
	})
	t.Run("over the limit: 429 with what a client needs to throttle itself", func(t *testing.T) {
		d := service.Start(t)
		key := d.As("ana", "").Create(t, "Eager", level("read-only"))
		a := d.Call(t, key.Token, "GET", "/v1/jobs", nil).Want(200)
		if a.Header.Get("Ratelimit-Policy") != `"minute";q=120;w=60` || a.Header.Get("Ratelimit") != `"minute";r=119;t=1` {
			t.Errorf("a good answer has %q and %q", a.Header.Get("Ratelimit-Policy"), a.Header.Get("Ratelimit"))
		}
		d.Volley(t, []string{key.Token}, "GET", "/v1/jobs", 130)
		a = d.Exhaust(t, key.Token, "GET", "/v1/jobs").WantCode(429, "rate_limited")
		if a.Header.Get("Retry-After") != "1" || !strings.HasPrefix(a.Header.Get("Ratelimit"), `"minute";r=0;t=`) || a.Header.Get("Ratelimit-Policy") == "" {
			t.Errorf("the headers are %v", a.Header)
		}
	})
	t.Run("the dashboard shows the key's use", func(t *testing.T) {
		d := service.Start(t)
		ana := d.As("ana", "")
		key := ana.Create(t, "Busy", level("read-only"))
		flood := d.Volley(t, []string{key.Token}, "GET", "/v1/jobs", 150)
		demotest.Eventually(t, 3*time.Second, "it shows what passed and what was limited", func() bool {
			got := ana.Get(t, key.Path())
			return got.Number("requests") == flood.Statuses[200] && got.Number("limited") == flood.Statuses[429]
		})
		if page := ana.Get(t, "").Body; !strings.Contains(page, fmt.Sprint(flood.Statuses[200])) {
			t.Error("the page does not show it")
		}
	})
	t.Run("temporary increases can be given to one key, with an end", testIncrease)
}

func testIncrease(t *testing.T) {
	d := service.Start(t)
	ana, support := d.As("ana", ""), d.As("support", "lab")
	key, other := ana.Create(t, "Increased", level("read-only")), ana.Create(t, "Other", level("read-only"))
	before := d.Volley(t, []string{key.Token}, "GET", "/v1/jobs", 150)
	before.Within(t, 120, before.Statuses[200])
	until := time.Now().Add(5 * time.Second)
	increase := demotest.Fields{"limits": []demotest.Fields{
		{"name": "minute", "n": 600, "per_seconds": 60, "until": until.UTC().Format(time.RFC3339Nano)},
	}}
	ana.Do(t, "PATCH", key.Path(), increase).Want(403)
	support.Do(t, "PATCH", key.Path(), increase).Want(200)
	if got := ana.Get(t, key.Path()).List("limits"); len(got) != 1 || got[0]["n"] != 600.0 || got[0]["until"] == nil {
		t.Errorf("its limits are shown as %v", got)
	}
	raised := d.Volley(t, []string{key.Token}, "GET", "/v1/jobs", 700) // what was spent stays spent
	if got, most := raised.Statuses[200], 480+int(10*time.Since(until.Add(-5*time.Second)).Seconds())+1; got < 480 || got > most {
		t.Errorf("with 600 a minute, %d more pass, want 480 to %d", got, most)
	}
	alone := d.Volley(t, []string{other.Token}, "GET", "/v1/jobs", 150)
	alone.Within(t, 120, alone.Statuses[200])
	demotest.Eventually(t, 6*time.Second, "the increase ends", func() bool { return !time.Now().Before(until) })
	a := d.Call(t, key.Token, "GET", "/v1/jobs", nil)
	if a.Header.Get("Ratelimit-Policy") != `"minute";q=120;w=60` {
		t.Errorf("after its end the policy is %q", a.Header.Get("Ratelimit-Policy"))
	}
	flood := d.Flood(t, []string{key.Token}, "GET", "/v1/jobs", 2*time.Second)
	if got := flood.Statuses[200]; got > 5 { // 2 a second again, and nothing saved up
		t.Errorf("after its end %d pass in 2 s", got)
	}
}
