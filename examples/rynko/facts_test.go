package main

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-apikey/apikey/examples/demo/demotest"
)

var service = &demotest.Service{
	Title: "Rynko", Send: demotest.Bearer, Prefixes: []string{"rd_sk_"},
	Member: "ana", Owner: "acme", Stranger: "bo",
	Members: map[string][]string{"ana": {"acme", "beta"}, "bo": {"beta"}, "cy": {"acme"}},
	Plans:   map[string]string{"acme": "pro", "beta": "free", "corp": "enterprise"},
	Grants:  demotest.Fields{"permissions": []string{"analytics:view"}}, Path: analyticsPath,
}

const (
	analyticsPath = "/api/v1/analytics"
	generatePath  = "/api/v1/documents/generate"
	templatesPath = "/api/v1/templates"
)

func TestWhatAllFourShare(t *testing.T) { service.Shared(t) }
func TestContract(t *testing.T)         { service.Contract(t) }

// may is a new key's permissions.
func may(permissions ...string) demotest.Fields {
	return demotest.Fields{"permissions": permissions}
}

func TestRynko(t *testing.T) {
	d := service.Start(t)
	ana := d.As("ana", "acme")

	t.Run("tokens rd_sk_", func(t *testing.T) {
		key := ana.Create(t, "CI", may("analytics:view"))
		if !strings.HasPrefix(key.Token, "rd_sk_") {
			t.Error("a new token begins otherwise")
		}
		d.Call(t, key.Token, "GET", analyticsPath, nil).Want(200)
	})
	t.Run("older tokens fm_ go on working until rotated, after which the key answers to rd_sk_", func(t *testing.T) {
		testLegacy(t, d)
	})
	t.Run("older tokens that were rotated stay so when the program starts again", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys.db")
		for start := range 3 {
			d := service.Start(t, "-db", file)
			ana, status := d.As("ana", "acme"), map[bool]int{true: 202, false: 401}[start == 0]
			listed := ana.Get(t, "keys?q=Legacy").List("keys")
			if len(listed) != 1 {
				t.Fatalf("start %d: there are %d such keys", start, len(listed))
			}
			d.Call(t, legacyToken, "POST", generatePath, document).Want(status)
			ana.Rotate(t, demotest.Key{ID: listed[0]["id"].(string)}, 0)
			d.Stop(syscall.SIGTERM)
		}
	})
	t.Run("Authorization: Bearer <token>", func(t *testing.T) {
		key := ana.Create(t, "CI", may("analytics:view"))
		for value, want := range map[string]int{"Bearer " + key.Token: 200, "bearer " + key.Token: 200, "Basic " + key.Token: 401, key.Token: 401} {
			d.Do(t, "GET", analyticsPath, nil, func(r *http.Request) { r.Header.Set("Authorization", value) }).Want(want)
		}
		d.Do(t, "GET", analyticsPath, nil, func(r *http.Request) { r.Header.Set("X-Api-Key", key.Token) }).WantCode(401, "ERR_AUTH_001")
		d.Do(t, "GET", analyticsPath+"?api_key="+key.Token, nil, nil).WantCode(401, "ERR_AUTH_001")
	})
	t.Run("keys never needed a login; calls are server to server", func(t *testing.T) {
		key := ana.Create(t, "CI", may("analytics:view"))
		a := d.Do(t, "GET", analyticsPath, nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key.Token) }).Want(200)
		if a.Header.Get("Set-Cookie") != "" {
			t.Error("the API sets a cookie")
		}
		d.Do(t, "GET", analyticsPath, nil, func(r *http.Request) { r.Header.Set("X-Demo-User", "ana") }).Want(401) // a login alone is no key
	})
	t.Run("create: name, permissions, optional expiry date", func(t *testing.T) {
		soon := time.Now().Add(time.Second).UTC()
		key := ana.Create(t, "Until soon", demotest.Fields{"permissions": []string{"analytics:view"}, "expires_at": soon.Format(time.RFC3339Nano)})
		d.Call(t, key.Token, "GET", analyticsPath, nil).Want(200)
		demotest.Eventually(t, 3*time.Second, "it expires", func() bool { return !time.Now().Before(soon) })
		d.Call(t, key.Token, "GET", analyticsPath, nil).WantCode(401, "ERR_AKEY_002")
		if got := ana.Get(t, ana.Create(t, "For ever", may("team:manage", "analytics:view")).Path()); got.Field("expires_at") != nil || len(got.Field("permissions").([]any)) != 2 {
			t.Errorf("a key without a date has %v and expires at %v", got.Field("permissions"), got.Field("expires_at"))
		}
	})
	t.Run("permissions: Generate Documents; Manage Templates; View Analytics; Manage Team", func(t *testing.T) { testPermissions(t, d) })
	t.Run("documents made with a key belong to the key's workspace", func(t *testing.T) {
		maker, colleague := ana.Create(t, "Maker", may("documents:generate")), ana.Create(t, "Colleague", may("documents:generate"))
		other := d.As("ana", "beta").Create(t, "Other", may("documents:generate"))
		job := d.Call(t, maker.Token, "POST", generatePath, document).Want(202).String("statusUrl")
		d.Call(t, colleague.Token, "GET", job, nil).Want(200)
		d.Call(t, other.Token, "GET", job, nil).Want(404)
	})
	t.Run("each workspace has its own keys; one never sees another's", func(t *testing.T) {
		key := ana.Create(t, "Acme's own", nil)
		beta := d.As("bo", "beta")
		if slices.Contains(beta.Names(t, ""), "Acme's own") {
			t.Error("beta lists it")
		}
		unknown := demotest.Key{ID: strings.Repeat("0", len(key.ID))}
		for _, verb := range []string{"", "/disable", "/enable", "/revoke", "/rotate", "/end-rotation"} {
			method := "POST"
			if verb == "" {
				method = "GET"
			}
			theirs, none := beta.Do(t, method, key.Path()+verb, nil).Want(404), beta.Do(t, method, unknown.Path()+verb, nil).Want(404)
			if theirs.Body != none.Body {
				t.Errorf("%s of another workspace's key answers %s, and of none %s", verb, theirs.Body, none.Body)
			}
		}
		if got := ana.Get(t, key.Path()).String("state"); got != "active" {
			t.Errorf("after all that it is %s", got)
		}
	})
	t.Run("team members see only the keys of workspaces that they are members of; switching workspace shows other keys", func(t *testing.T) {
		d.As("ana", "acme").Create(t, "In acme", nil)
		d.As("ana", "beta").Create(t, "In beta", nil)
		for owner, want := range map[string]string{"acme": "In acme", "beta": "In beta"} {
			if names := d.As("ana", owner).Names(t, "q=In+"); !slices.Equal(names, []string{want}) {
				t.Errorf("in %s ana sees %q", owner, names)
			}
		}
		cookies := "demo_user=ana"
		page := func(method, path string, body any) *demotest.Answer {
			return d.Do(t, method, "/dashboard/"+path, body, func(r *http.Request) {
				r.Header.Set("Cookie", cookies)
				if body != nil {
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
			})
		}
		for owner, want := range map[string]string{"acme": "In acme", "beta": "In beta"} { // as a browser does it
			switched := page("POST", "ui/owner", "to="+owner).Want(303)
			cookies = "demo_user=ana; " + strings.Split(switched.Header.Get("Set-Cookie"), ";")[0]
			if shown := page("GET", "", nil).Want(200).Body; strings.Contains(shown, "In acme") == strings.Contains(shown, "In beta") || !strings.Contains(shown, want) {
				t.Errorf("switched to %s, the page does not show %q alone", owner, want)
			}
		}
		d.As("bo", "acme").Do(t, "GET", "keys", nil).Want(403)
		d.As("cy", "beta").Do(t, "GET", "keys", nil).Want(403)
	})
	t.Run("a member who may only look", func(t *testing.T) {
		key, cy := ana.Create(t, "Looked at", may("analytics:view")), d.As("cy", "acme")
		cy.Get(t, key.Path())
		cy.TryCreate(t, "Not theirs to make", nil).Want(403)
		for _, verb := range []string{"disable", "revoke", "rotate"} {
			cy.Post(t, key.Path(verb), nil).Want(403)
		}
		cy.Do(t, "PATCH", key.Path(), demotest.Fields{"name": "Mine"}).Want(403)
		d.Call(t, key.Token, "GET", analyticsPath, nil).Want(200)
	})
	t.Run("each key shows total requests, last used, status", func(t *testing.T) {
		key := ana.Create(t, "Counted", may("analytics:view"))
		if got := ana.Get(t, key.Path()); got.String("state") != "active" || got.Number("requests") != 0 || got.Field("last_used_at") != nil {
			t.Errorf("a new one shows %s", got.Body)
		}
		before := time.Now().Add(-time.Millisecond)
		for range 7 {
			d.Call(t, key.Token, "GET", analyticsPath, nil).Want(200)
		}
		demotest.Eventually(t, 2*time.Second, "7 requests are shown", func() bool { return ana.Get(t, key.Path()).Number("requests") == 7 })
		used, err := time.Parse(time.RFC3339, ana.Get(t, key.Path()).String("last_used_at"))
		if err != nil || used.Before(before) || used.After(time.Now()) {
			t.Errorf("it was last used at %v (%v)", used, err)
		}
		ana.Revoke(t, key)
		if state := ana.Get(t, key.Path()).String("state"); state != "revoked" {
			t.Errorf("revoked, it shows %q", state)
		}
	})
	t.Run("a page to manage keys, set permissions and watch usage", func(t *testing.T) {
		ana.Create(t, "Seen on the page", may("templates:manage"))
		page := ana.Get(t, "").Body
		for _, part := range []string{"Seen on the page", "Manage Templates"} {
			if !strings.Contains(page, part) {
				t.Errorf("the page does not show %q", part)
			}
		}
	})
	t.Run("a key can be deactivated and reactivated; revoked is immediate", func(t *testing.T) {
		key := ana.Create(t, "On and off", may("analytics:view"))
		for range 3 {
			ana.Post(t, key.Path("disable"), nil).Want(200)
			d.Call(t, key.Token, "GET", analyticsPath, nil).WantCode(401, "ERR_AKEY_003")
			ana.Post(t, key.Path("enable"), nil).Want(200)
			d.Call(t, key.Token, "GET", analyticsPath, nil).Want(200)
		}
		ana.Revoke(t, key)
		d.Call(t, key.Token, "GET", analyticsPath, nil).WantCode(401, "ERR_AKEY_002")
		ana.Post(t, key.Path("enable"), nil).WantCode(409, "revoked")
	})
	t.Run("the call that clients make", func(t *testing.T) { testGenerate(t, d) })
}

func testLegacy(t *testing.T, d *demotest.Demo) {
	ana := d.As("ana", "acme")
	var legacy demotest.Key
	for _, k := range ana.Get(t, "keys?q=Legacy+importer").List("keys") {
		legacy = demotest.Key{ID: k["id"].(string), Token: legacyToken}
		if k["state"] != "active" || k["prefix"] != "fm_" || !slices.Equal(k["permissions"].([]any), []any{"documents:generate"}) {
			t.Errorf("it is %v", k)
		}
	}
	d.Call(t, legacyToken, "POST", generatePath, document).Want(202)
	d.Call(t, legacyToken, "GET", analyticsPath, nil).WantCode(403, "ERR_AUTH_005")
	d.Call(t, legacyToken[:len(legacyToken)-1]+"f", "POST", generatePath, document).WantCode(401, "ERR_AKEY_002")
	if names := ana.Names(t, "rotated_before="+time.Now().AddDate(0, 0, -90).UTC().Format(time.RFC3339)); !slices.Equal(names, []string{"Legacy importer"}) {
		t.Errorf("not rotated for 90 days are %q", names)
	}

	rotated := ana.Rotate(t, legacy, 1) // both for a second, then one
	if rotated.ID != legacy.ID || !strings.HasPrefix(rotated.Token, "rd_sk_") {
		t.Errorf("it was rotated to key %s, and its token begins with %.6s", rotated.ID, rotated.Token)
	}
	d.Call(t, rotated.Token, "POST", generatePath, document).Want(202)
	demotest.Eventually(t, 3*time.Second, "the older token stops", func() bool {
		return d.Call(t, legacyToken, "POST", generatePath, document).Status == 401
	})
	d.Call(t, legacyToken, "POST", generatePath, document).WantCode(401, "ERR_AKEY_002")
	d.Call(t, rotated.Token, "POST", generatePath, document).Want(202)
	if names := ana.Names(t, "q=Legacy"); !slices.Equal(names, []string{"Legacy importer"}) {
		t.Errorf("its name is %q after", names)
	}
}

var document = map[string]any{"templateId": "invoice", "format": "pdf", "variables": map[string]any{"total": 42}}

// testPermissions calls every route with a key of each permission, and with one of none.
func testPermissions(t *testing.T, d *demotest.Demo) {
	ana := d.As("ana", "acme")
	everything := ana.Create(t, "Everything", may("*"))
	created := func(path string) string {
		return d.Call(t, everything.Token, "POST", path, map[string]any{}).Want(201).String("id")
	}
	routes := []struct {
		permission, method, path string
		status                   int
	}{
		{"documents:generate", "POST", generatePath, 202},
		{"documents:generate", "POST", "/api/documents/generate", 202},
		{"documents:generate", "GET", d.Call(t, everything.Token, "POST", generatePath, document).Want(202).String("statusUrl"), 200},
		{"templates:manage", "GET", templatesPath, 200},
		{"templates:manage", "POST", templatesPath, 201},
		{"templates:manage", "PUT", templatesPath + "/" + created(templatesPath), 200},
		{"templates:manage", "POST", templatesPath + "/" + created(templatesPath) + "/publish", 200},
		{"templates:manage", "POST", templatesPath + "/" + created(templatesPath) + "/unpublish", 200},
		{"templates:manage", "DELETE", templatesPath + "/" + created(templatesPath), 204},
		{"analytics:view", "GET", analyticsPath, 200},
		{"team:manage", "POST", "/api/v1/team/invitations", 201},
		{"team:manage", "PUT", "/api/v1/team/members/cy/role", 200},
	}
	titles := map[string]string{}
	for _, p := range ana.Get(t, "catalog").List("permissions") {
		titles[p["permission"].(string)] = p["title"].(string)
	}
	for permission, title := range map[string]string{
		"documents:generate": "Generate Documents", "templates:manage": "Manage Templates", "analytics:view": "View Analytics", "team:manage": "Manage Team",
	} {
		if titles[permission] != title {
			t.Errorf("the catalog calls %s %q, want %q", permission, titles[permission], title)
		}
		key := ana.Create(t, title, may(permission))
		for _, route := range routes {
			if route.permission == permission {
				a := d.Call(t, key.Token, route.method, route.path, map[string]any{"role": "admin", "email": "x@example.com"}).Want(route.status)
				if a.Status == 201 && a.String("id") == "" {
					t.Errorf("%s %s answers without an id", route.method, route.path)
				}
			} else {
				d.Call(t, key.Token, route.method, route.path, nil).WantCode(403, "ERR_AUTH_005")
			}
		}
	}
	none := ana.Create(t, "None", nil)
	for _, route := range routes {
		d.Call(t, none.Token, route.method, route.path, nil).WantCode(403, "ERR_AUTH_005")
	}
	d.Call(t, everything.Token, "PUT", "/api/v1/team/members/bo/role", map[string]any{"role": "admin"}).Want(404) // of another workspace
}

// testGenerate is what a customer's server does.
func testGenerate(t *testing.T, d *demotest.Demo) {
	key := d.As("ana", "acme").Create(t, "Server", may("documents:generate"))
	stranger := d.As("bo", "beta").Create(t, "Stranger", may("documents:generate"))
	for _, path := range []string{generatePath, "/api/documents/generate"} {
		a := d.Call(t, key.Token, "POST", path, document).Want(202)
		statusURL := a.String("statusUrl")
		if a.String("jobId") == "" || a.String("status") != "queued" || !strings.HasPrefix(statusURL, d.Base+"/") {
			t.Fatalf("%s answers %s", path, a.Body)
		}
		var done *demotest.Answer
		demotest.Eventually(t, time.Second, "the document is there", func() bool {
			done = d.Call(t, key.Token, "GET", statusURL, nil).Want(200)
			return done.String("status") == "completed"
		})
		if done.String("jobId") != a.String("jobId") || !strings.HasPrefix(done.String("downloadUrl"), d.Base+"/") {
			t.Errorf("the status is %s", done.Body)
		}
		d.Call(t, key.Token, "GET", done.String("downloadUrl"), nil).Want(200)
		d.Call(t, stranger.Token, "GET", statusURL, nil).Want(404)
		d.Call(t, stranger.Token, "GET", done.String("downloadUrl"), nil).Want(404)
		d.Call(t, "", "GET", statusURL, nil).WantCode(401, "ERR_AUTH_001")
	}
	d.Call(t, key.Token, "POST", generatePath, "not JSON").WantCode(400, "ERR_MALFORMED")
}
