package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey/examples/demo/demotest"
)

var service = &demotest.Service{
	Title: "Ringyo", Send: demotest.Bearer, Prefixes: []string{"rg_live_", "rg_test_"},
	Member: "ana", Owner: "callco", Stranger: "bo",
	Members: map[string][]string{"ana": {"callco"}, "bo": {"smallco"}, "cy": {"freeco"}},
	Plans:   map[string]string{"callco": "agency", "smallco": "pro", "freeco": "free"},
	Path:    "/v1/credits",
}

func TestWhatAllFourShare(t *testing.T) { service.Shared(t) }
func TestContract(t *testing.T)         { service.Contract(t) }

// may is a new key's environment and permissions.
func may(environment string, permissions ...string) demotest.Fields {
	return demotest.Fields{"environment": environment, "permissions": permissions}
}

func credit(t *testing.T, d *demotest.Demo, key demotest.Key) int {
	t.Helper()
	return d.Call(t, key.Token, "GET", "/v1/credits", nil).Want(200).Number("credits")
}

func TestRingyo(t *testing.T) {
	t.Run("tokens rg_live_ (production: real calls, uses credits)", func(t *testing.T) {
		d := service.Start(t)
		key := d.As("ana", "").Create(t, "Production", may("live", "calls:create"))
		if !strings.HasPrefix(key.Token, "rg_live_") {
			t.Error("it begins otherwise")
		}
		for i := range 3 {
			call := d.Call(t, key.Token, "POST", "/v1/calls", map[string]string{"to": "+15550123"}).Want(201)
			if call.String("mode") != "live" || call.String("id") == "" || credit(t, d, key) != 99-i {
				t.Errorf("a call is %s and leaves %d credits", call.Body, credit(t, d, key))
			}
		}
	})
	t.Run("tokens rg_test_ (development: no real call, no credit)", func(t *testing.T) {
		d := service.Start(t)
		key := d.As("ana", "").Create(t, "Development", may("test", "calls:create"))
		if !strings.HasPrefix(key.Token, "rg_test_") {
			t.Error("it begins otherwise")
		}
		for range 3 {
			if call := d.Call(t, key.Token, "POST", "/v1/calls", nil).Want(201); call.String("mode") != "test" || call.String("id") == "" {
				t.Errorf("a call is %s", call.Body)
			}
		}
		if left := credit(t, d, key); left != 100 {
			t.Errorf("test calls left %d credits of 100", left)
		}
	})
	t.Run("200 concurrent live calls never overdraw the account's credits, test calls cost none", testCredits)
	t.Run("a live call costs a credit, 402 when none is left; callco begins with 100, smallco with 20", func(t *testing.T) {
		d := service.Start(t)
		bo := d.As("bo", "smallco")
		live, test := bo.Create(t, "Live", may("live", "calls:create")), bo.Create(t, "Test", may("test", "calls:create"))
		for left := 20; left > 0; left-- {
			if got := credit(t, d, live); got != left {
				t.Fatalf("%d credits, want %d", got, left)
			}
			d.Call(t, live.Token, "POST", "/v1/calls", nil).Want(201)
		}
		d.Call(t, live.Token, "POST", "/v1/calls", nil).WantCode(402, "no_credits")
		d.Call(t, test.Token, "POST", "/v1/calls", nil).Want(201)
		other := d.As("ana", "").Create(t, "Another account's", may("live", "calls:create"))
		if got := credit(t, d, other); got != 100 {
			t.Errorf("callco has %d", got)
		}
	})
	t.Run("Authorization: Bearer <token>, base path /v1", func(t *testing.T) {
		d := service.Start(t)
		key := d.As("ana", "").Create(t, "CI", may("live", "agents:read"))
		d.Call(t, key.Token, "GET", "/v1/agents", nil).Want(200)
		d.Call(t, key.Token, "GET", "/agents", nil).Want(404)
		d.Do(t, "GET", "/v1/agents", nil, func(r *http.Request) { demotest.XAPIKey(r, key.Token) }).WantCode(401, "missing")
	})
	t.Run("plans Pro and Agency only", func(t *testing.T) {
		d := service.Start(t)
		for owner, user := range map[string]string{"callco": "ana", "smallco": "bo"} {
			d.As(user, owner).Create(t, "CI", nil)
		}
		cy := d.As("cy", "freeco")
		if a := cy.TryCreate(t, "CI", nil).WantCode(403, "plan"); !strings.Contains(a.String("detail"), "upgrade") {
			t.Errorf("it says %s", a.Body)
		}
		d.SetPlan(t, "freeco", "pro")
		key := cy.Create(t, "CI", nil)
		d.Call(t, key.Token, "GET", "/v1/credits", nil).Want(200)
		d.SetPlan(t, "freeco", "free")
		d.Call(t, key.Token, "GET", "/v1/credits", nil).WantCode(403, "plan")
		cy.Post(t, key.Path("rotate"), nil).WantCode(403, "plan")
		cy.Revoke(t, key) // stopping is not part of any plan
	})
	for plan, n := range map[string]int{"pro": 60, "agency": 300} {
		t.Run(fmt.Sprintf("limits: %s %d per minute, measured at the client as burst + rate × time", plan, n), func(t *testing.T) {
			d := service.Start(t)
			ana := d.As("ana", "")
			d.SetPlan(t, "callco", plan)
			tokens := []string{ana.Create(t, "One", may("live")).Token, ana.Create(t, "Two", may("test")).Token} // of the account
			flood := d.Flood(t, tokens, "GET", "/v1/credits", 4*time.Second)
			flood.Within(t, n, flood.Statuses[200])
		})
	}
	t.Run("above: 429 Too Many Requests; clients back off", func(t *testing.T) {
		d := service.Start(t)
		key := d.As("bo", "").Create(t, "Eager", may("live"))
		d.Volley(t, []string{key.Token}, "GET", "/v1/credits", 60)
		a := d.Exhaust(t, key.Token, "GET", "/v1/credits").WantCode(429, "rate_limited")
		wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
		if err != nil || wait != 1 || a.String("title") != "Too Many Requests" || a.Header.Get("Ratelimit-Policy") != `"minute";q=60;w=60` {
			t.Errorf("it says %s, Retry-After: %q, RateLimit-Policy: %q", a.Body, a.Header.Get("Retry-After"), a.Header.Get("Ratelimit-Policy"))
		}
		begin := time.Now()
		demotest.Eventually(t, 2*time.Second, "the second is over", func() bool { return time.Since(begin) >= time.Duration(wait)*time.Second })
		d.Call(t, key.Token, "GET", "/v1/credits", nil).Want(200) // as Retry-After promised
	})
	t.Run("permissions by resource: Agents, Calls, Phone Numbers, Webhooks, Read Only", testPermissions)
	t.Run("managing: view active keys with last used", func(t *testing.T) {
		d := service.Start(t)
		ana := d.As("ana", "")
		key, ended := ana.Create(t, "Used", may("live")), ana.Create(t, "Ended", may("live"))
		ana.Revoke(t, ended)
		d.Call(t, key.Token, "GET", "/v1/credits", nil).Want(200)
		demotest.Eventually(t, 2*time.Second, "the active key, used", func() bool {
			listed := ana.Get(t, "keys?state=active").List("keys")
			return len(listed) == 1 && listed[0]["id"] == key.ID && listed[0]["last_used_at"] != nil
		})
	})
	t.Run("managing: rename (name or description)", func(t *testing.T) {
		d := service.Start(t)
		ana := d.As("ana", "")
		key := ana.Create(t, "Old", may("live"))
		ana.Do(t, "PATCH", key.Path(), demotest.Fields{"name": "New"}).Want(200)
		ana.Do(t, "PATCH", key.Path(), demotest.Fields{"description": "Since May."}).Want(200)
		if got := ana.Get(t, key.Path()); got.String("name") != "New" || got.String("description") != "Since May." {
			t.Errorf("it is called %q: %q", got.String("name"), got.String("description"))
		}
		d.Call(t, key.Token, "GET", "/v1/credits", nil).Want(200)
	})
	t.Run("managing: revoke (permanent, cannot be undone)", func(t *testing.T) {
		d := service.Start(t)
		ana, support := d.As("ana", ""), d.As("support", "callco")
		key := ana.Create(t, "Ended", may("live"))
		ana.Revoke(t, key)
		ana.Revoke(t, key) // again
		for _, who := range []*demotest.Person{ana, support} {
			for _, verb := range []string{"enable", "rotate", "end-rotation"} {
				who.Post(t, key.Path(verb), nil).WantCode(409, "revoked")
			}
			who.Do(t, "PATCH", key.Path(), demotest.Fields{"name": "Alive?"}).WantCode(409, "revoked")
		}
		d.Call(t, key.Token, "GET", "/v1/credits", nil).WantCode(401, "revoked")
	})
	t.Run("managing: regenerate (a new token, the old one disabled)", func(t *testing.T) {
		d := service.Start(t)
		ana := d.As("ana", "")
		for environment, prefix := range map[string]string{"live": "rg_live_", "test": "rg_test_"} {
			old := ana.Create(t, "Regenerated", may(environment))
			again := ana.Rotate(t, old, 0)
			if again.ID != old.ID || again.Token == old.Token || !strings.HasPrefix(again.Token, prefix) {
				t.Error("it is no new token of the same key and environment")
			}
			d.Call(t, old.Token, "GET", "/v1/credits", nil).WantCode(401, "rotated")
			d.Call(t, again.Token, "GET", "/v1/credits", nil).Want(200)
		}
	})
	t.Run("rotating into another environment is 409", func(t *testing.T) {
		d := service.Start(t)
		key := d.As("ana", "").Create(t, "Live", may("live"))
		d.As("ana", "").Post(t, key.Path("rotate"), demotest.Fields{"prefix": "rg_test_"}).WantCode(409, "format")
		d.Call(t, key.Token, "GET", "/v1/credits", nil).Want(200)
	})
}

func testCredits(t *testing.T) {
	d := service.Start(t)
	ana := d.As("ana", "")
	live, test := ana.Create(t, "Live", may("live", "calls:create")), ana.Create(t, "Test", may("test", "calls:create"))
	flood := d.Volley(t, []string{live.Token}, "POST", "/v1/calls", 200)
	if flood.Statuses[201] != 100 || flood.Statuses[402] != 100 {
		t.Errorf("200 live calls with 100 credits: %v", flood.Statuses)
	}
	if left := credit(t, d, live); left != 0 {
		t.Errorf("%d credits are left", left)
	}
	if tests := d.Volley(t, []string{test.Token}, "POST", "/v1/calls", 50); tests.Statuses[201] != 50 {
		t.Errorf("50 test calls without a credit: %v", tests.Statuses)
	}
	if left := credit(t, d, test); left != 0 {
		t.Errorf("after test calls %d credits are left", left)
	}
}

// testPermissions calls every route with a key of each permission, and with
// those that are made by the preset.
func testPermissions(t *testing.T) {
	d := service.Start(t)
	d.SetPlan(t, "callco", "agency")
	ana := d.As("ana", "")
	everything := ana.Create(t, "Everything", may("test", "*"))
	made := func(path string) string {
		return d.Call(t, everything.Token, "POST", path, map[string]any{"name": "x"}).Want(201).String("id")
	}
	number, _ := d.Call(t, everything.Token, "GET", "/v1/phone-numbers", nil).Want(200).List("data")[0]["id"].(string)
	routes := []struct {
		permissions, method, path string
		status                    int
	}{
		{"agents:create", "POST", "/v1/agents", 201},
		{"agents:read", "GET", "/v1/agents", 200},
		{"agents:read", "GET", "/v1/agents/" + made("/v1/agents"), 200},
		{"agents:update", "PATCH", "/v1/agents/" + made("/v1/agents"), 200},
		{"agents:delete", "DELETE", "/v1/agents/" + made("/v1/agents"), 204},
		{"calls:create", "POST", "/v1/calls", 201},
		{"calls:read", "GET", "/v1/calls/" + made("/v1/calls") + "/logs", 200},
		{"phone-numbers:read", "GET", "/v1/phone-numbers", 200},
		{"phone-numbers:manage", "POST", "/v1/phone-numbers/" + number + "/assign", 200},
		{"webhooks:read webhooks:manage", "GET", "/v1/webhooks", 200},
		{"webhooks:manage", "POST", "/v1/webhooks", 201},
		{"webhooks:manage", "DELETE", "/v1/webhooks/" + made("/v1/webhooks"), 204},
	}
	groups := map[string]string{}
	for _, p := range ana.Get(t, "catalog").List("permissions") {
		groups[p["permission"].(string)] = p["group"].(string)
	}
	for permission, group := range map[string]string{
		"agents:create": "Agents", "agents:read": "Agents", "agents:update": "Agents", "agents:delete": "Agents",
		"calls:create": "Calls", "calls:read": "Calls",
		"phone-numbers:read": "Phone Numbers", "phone-numbers:manage": "Phone Numbers",
		"webhooks:read": "Webhooks", "webhooks:manage": "Webhooks",
	} {
		t.Run(permission, func(t *testing.T) {
			if groups[permission] != group {
				t.Errorf("its group is %q, want %q", groups[permission], group)
			}
			key := ana.Create(t, permission, may("test", permission))
			for _, route := range routes {
				body := map[string]any{"name": "y"}
				if strings.Contains(route.permissions, permission) {
					d.Call(t, key.Token, route.method, route.path, body).Want(route.status)
				} else {
					d.Call(t, key.Token, route.method, route.path, body).WantCode(403, "permission")
				}
			}
			d.Call(t, key.Token, "GET", "/v1/credits", nil).Want(200) // any key
		})
	}
	t.Run("Read Only (view everything, change nothing)", func(t *testing.T) {
		key := ana.Create(t, "Read only", demotest.Fields{"environment": "test", "preset": "read-only"})
		agent := made("/v1/agents")
		for _, route := range routes {
			path, want := route.path, 403
			if route.method == "GET" {
				want = 200
				if strings.HasPrefix(path, "/v1/agents/") {
					path = "/v1/agents/" + agent
				}
			}
			d.Call(t, key.Token, route.method, path, nil).Want(want)
		}
	})
}
