package main

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-apikey/apikey/examples/demo/demotest"
)

var service = &demotest.Service{
	Title: "RndrKit", Send: demotest.XAPIKey, Prefixes: []string{"rk_live_"},
	Member: "ana", Owner: "studio", Stranger: "bo",
	Members: map[string][]string{"ana": {"studio"}, "bo": {"solo"}, "cy": {"bigstudio"}},
	Plans:   map[string]string{"studio": "agency", "solo": "pro", "bigstudio": "agency-plus"},
	Path:    projects,
}

const (
	projects = "/api/projects"
	five     = 5 // keys an account
)

func TestWhatAllFourShare(t *testing.T) { service.Shared(t) }
func TestContract(t *testing.T)         { service.Contract(t) }

func TestRndrKit(t *testing.T) {
	t.Run("tokens rk_live_ followed by exactly 32 letters or digits", func(t *testing.T) {
		d := service.Start(t)
		shape := regexp.MustCompile(`^rk_live_[0-9A-Za-z]{32}$`)
		for range 20 {
			key := d.As("ana", "").Create(t, "CI", nil)
			if !shape.MatchString(key.Token) {
				t.Error("one has another shape")
			}
			d.As("ana", "").Revoke(t, key)
		}
	})
	t.Run("X-Api-Key: <token>", func(t *testing.T) {
		d := service.Start(t)
		key := d.As("ana", "").Create(t, "CI", nil)
		d.Call(t, key.Token, "GET", projects, nil).Want(200)
		d.Do(t, "GET", projects, nil, func(r *http.Request) { demotest.Bearer(r, key.Token) }).WantCode(401, "missing")
		d.Do(t, "GET", projects, nil, func(r *http.Request) { r.Header.Set("X-Api-Key", "Bearer "+key.Token) }).WantCode(400, "malformed_request")
	})
	t.Run("any key: GET /api/projects, POST /api/deployments", func(t *testing.T) {
		d := service.Start(t)
		key := d.As("ana", "").Create(t, "CI", nil)
		if len(d.Call(t, key.Token, "GET", projects, nil).Want(200).List("data")) == 0 {
			t.Error("there are no projects")
		}
		if d.Call(t, key.Token, "POST", "/api/deployments", map[string]string{"project": "x"}).Want(201).String("id") == "" {
			t.Error("a deployment has no id")
		}
		d.Call(t, "", "POST", "/api/deployments", nil).WantCode(401, "missing")
	})
	t.Run("keys exist on the plans Agency and Agency+ only; Starter and Pro accounts are refused at creation, with a message that says to upgrade", func(t *testing.T) {
		d := service.Start(t)
		ana := d.As("ana", "studio")
		for plan, want := range map[string]int{"starter": 403, "pro": 403, "agency": 201, "agency-plus": 201} {
			d.SetPlan(t, "studio", plan)
			a := ana.TryCreate(t, "On "+plan, nil).Want(want)
			if want == 403 && (a.String("code") != "plan" || !strings.Contains(a.String("detail"), "upgrade")) {
				t.Errorf("on %s it says %s", plan, a.Body)
			}
		}
		d.As("bo", "solo").TryCreate(t, "On pro", nil).WantCode(403, "plan")
		d.As("cy", "bigstudio").Create(t, "On agency-plus", nil)
	})
	t.Run("a downgraded account's keys stop working at once and work again after the upgrade", testDowngrade)
	t.Run("a plan without keys refuses rotate with 403 and says to upgrade", func(t *testing.T) {
		d := service.Start(t)
		key := d.As("ana", "").Create(t, "CI", nil)
		d.SetPlan(t, "studio", "pro")
		if a := d.As("ana", "").Post(t, key.Path("rotate"), nil).WantCode(403, "plan"); !strings.Contains(a.String("detail"), "upgrade") {
			t.Errorf("it says %s", a.Body)
		}
	})
	t.Run("at most 5 active keys per account, under 50 concurrent creates", func(t *testing.T) {
		t.Run("in memory", func(t *testing.T) { testCap(t, service.Start(t)) })
		t.Run("in SQLite", func(t *testing.T) { testCap(t, service.Start(t, "-db", t.TempDir()+"/keys.db")) })
	})
	t.Run("keys inherit the account's limit: all keys of an account draw on one bucket", func(t *testing.T) {
		for plan, n := range map[string]int{"agency": 120, "agency-plus": 600} {
			d := service.Start(t)
			d.SetPlan(t, "studio", plan)
			var tokens []string
			for range five {
				tokens = append(tokens, d.As("ana", "").Create(t, "CI", nil).Token)
			}
			flood := d.Flood(t, tokens, "GET", projects, 2*time.Second)
			flood.Within(t, n, flood.Statuses[200])
			for _, token := range tokens { // what one used up the others lack
				if a := d.Call(t, token, "GET", projects, nil); a.Status == 200 {
					continue // one came back meanwhile
				} else if a.WantCode(429, "rate_limited").Header.Get("Retry-After") == "" {
					t.Error("429 without Retry-After")
				}
			}
		}
	})
	t.Run("the list shows name, creation date, last used date, masked prefix", func(t *testing.T) {
		d := service.Start(t)
		ana := d.As("ana", "")
		key := ana.Create(t, "Listed", nil)
		d.Call(t, key.Token, "GET", projects, nil).Want(200)
		var listed map[string]any
		demotest.Eventually(t, 2*time.Second, "the list has the use", func() bool {
			listed = ana.Get(t, "keys").List("keys")[0]
			return listed["last_used_at"] != nil
		})
		masked, _ := listed["masked"].(string)
		if listed["name"] != "Listed" || listed["created_at"] == nil || !strings.HasPrefix(masked, "rk_live_") || !strings.HasSuffix(masked, "…") {
			t.Errorf("it shows %v", listed)
		}
		page := ana.Get(t, "").Body
		for _, shown := range []string{"Listed", masked} {
			if !strings.Contains(page, shown) {
				t.Errorf("the page does not show %s", shown)
			}
		}
	})
	t.Run("delete (after a confirmation) revokes", func(t *testing.T) {
		d := service.Start(t)
		ana := d.As("ana", "")
		key := ana.Create(t, "To delete", nil)
		ana.Do(t, "DELETE", key.Path(), nil).WantCode(409, "live") // not in one step
		ana.Revoke(t, key)
		d.Call(t, key.Token, "GET", projects, nil).WantCode(401, "revoked")
		ana.Do(t, "DELETE", key.Path(), nil).Want(204)
		d.Call(t, key.Token, "GET", projects, nil).WantCode(401, "invalid")
		if names := ana.Names(t, ""); len(names) != 0 {
			t.Errorf("%q are left", names)
		}
	})
	t.Run("keys do not expire", func(t *testing.T) {
		d := service.Start(t)
		key := d.As("ana", "").Create(t, "For ever", nil)
		if got := d.As("ana", "").Get(t, key.Path()); got.Field("expires_at") != nil || got.Field("secrets") == nil || got.List("secrets")[0]["not_after"] != nil {
			t.Errorf("it ends: %s", got.Body)
		}
	})
	t.Run("rotating: create a new one, update scripts, revoke the old one", func(t *testing.T) {
		d := service.Start(t)
		ana := d.As("ana", "")
		old := ana.Create(t, "Scripts", nil)
		newer := ana.Create(t, "Scripts", nil)
		d.Call(t, old.Token, "GET", projects, nil).Want(200)
		d.Call(t, newer.Token, "GET", projects, nil).Want(200)
		ana.Revoke(t, old)
		d.Call(t, old.Token, "GET", projects, nil).WantCode(401, "revoked")
		d.Call(t, newer.Token, "GET", projects, nil).Want(200)
	})
	t.Run("so at the cap of 5 a rotation still works", func(t *testing.T) {
		d := service.Start(t)
		ana := d.As("ana", "")
		var key demotest.Key
		for range five {
			key = ana.Create(t, "CI", nil)
		}
		ana.TryCreate(t, "A sixth", nil).WantCode(409, "quota")
		rotated := ana.Rotate(t, key, 3600)
		d.Call(t, key.Token, "GET", projects, nil).Want(200) // scripts go on
		d.Call(t, rotated.Token, "GET", projects, nil).Want(200)
		ana.Post(t, key.Path("end-rotation"), nil).Want(200)
		d.Call(t, key.Token, "GET", projects, nil).WantCode(401, "rotated")
		d.Call(t, rotated.Token, "GET", projects, nil).Want(200)
		if names := ana.Names(t, "state=active"); len(names) != five {
			t.Errorf("there are %d keys after", len(names))
		}
	})
}

func testDowngrade(t *testing.T) {
	d := service.Start(t)
	ana := d.As("ana", "studio")
	keys := []demotest.Key{ana.Create(t, "One", nil), ana.Create(t, "Two", nil)}
	for range 3 {
		for _, key := range keys {
			d.Call(t, key.Token, "GET", projects, nil).Want(200)
		}
		d.SetPlan(t, "studio", "pro")
		for _, key := range keys {
			if a := d.Call(t, key.Token, "GET", projects, nil).WantCode(403, "plan"); !strings.Contains(a.String("detail"), "upgrade") {
				t.Errorf("it says %s", a.Body)
			}
		}
		if names := ana.Names(t, "state=active"); !slices.Equal(names, []string{"Two", "One"}) {
			t.Errorf("meanwhile the keys are %q", names)
		}
		d.SetPlan(t, "studio", "agency")
		for _, key := range keys {
			d.Call(t, key.Token, "GET", projects, nil).Want(200)
		}
	}
	revoked := keys[0]
	ana.Revoke(t, revoked)
	d.SetPlan(t, "studio", "starter")
	d.SetPlan(t, "studio", "agency-plus")
	d.Call(t, revoked.Token, "GET", projects, nil).WantCode(401, "revoked") // no upgrade revives it
}

// testCap creates keys as 50 people would who press the button at once, twice.
func testCap(t *testing.T, d *demotest.Demo) {
	ana := d.As("ana", "studio")
	for round := range 2 {
		var mu sync.Mutex
		statuses := map[int]int{}
		var made []demotest.Key
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				a := ana.TryCreate(t, fmt.Sprintf("Key %d", i), nil)
				mu.Lock()
				defer mu.Unlock()
				if statuses[a.Status]++; a.Status == 201 {
					made = append(made, demotest.Key{ID: a.String("key", "id"), Token: a.String("token")})
				}
			})
		}
		wg.Wait()
		if statuses[201] != five || statuses[409] != 50-five || len(ana.Names(t, "state=active&limit=1000")) != five {
			t.Fatalf("round %d: %v, and %d are listed", round, statuses, len(ana.Names(t, "state=active")))
		}
		plan := ana.Get(t, "catalog")
		if plan.Number("plan", "max_keys") != five || plan.Field("plan", "keys_left") != 0.0 {
			t.Errorf("the catalog shows %v", plan.Field("plan"))
		}
		ana.Post(t, made[0].Path("disable"), nil).Want(200)
		ana.TryCreate(t, "Beside a disabled one", nil).WantCode(409, "quota") // it may be enabled again
		for _, key := range made {
			d.Call(t, key.Token, "GET", projects, nil)
			ana.Revoke(t, key)
		}
	}
}
