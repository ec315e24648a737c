package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey/examples/demo/demotest"
)

func TestLimitsByPlan(t *testing.T) {
	for _, plan := range []struct {
		name      string
		perMinute int
	}{{"free", 60}, {"starter", 300}, {"pro", 1000}, {"enterprise", 5000}} {
		t.Run(fmt.Sprintf("%s: %d per minute and workspace", plan.name, plan.perMinute), func(t *testing.T) {
			d := service.Start(t)
			ana := d.As("ana", "acme")
			one, two := ana.Create(t, "One", may("analytics:view")), ana.Create(t, "Two", may("analytics:view"))
			d.SetPlan(t, "acme", plan.name)
			flood := d.Flood(t, []string{one.Token, two.Token}, "GET", analyticsPath, 2*time.Second)
			flood.Within(t, plan.perMinute, flood.Statuses[200])

			catalog := ana.Get(t, "catalog")
			limits := catalog.List("plan", "limits")
			if catalog.String("plan", "name") != plan.name || len(limits) != 1 || limits[0]["n"] != float64(plan.perMinute) || limits[0]["scope"] != "owner" {
				t.Errorf("the catalog shows %v", catalog.Field("plan"))
			}
			other := d.As("bo", "beta").Create(t, "Another workspace's", may("analytics:view"))
			d.Call(t, other.Token, "GET", analyticsPath, nil).Want(200)
		})
	}
	t.Run("a key may have a limit of its own beside the workspace's", func(t *testing.T) {
		d := service.Start(t)
		ana, support := d.As("ana", "acme"), d.As("support", "acme")
		small, free := ana.Create(t, "Small", may("analytics:view")), ana.Create(t, "Free", may("analytics:view"))
		limits := demotest.Fields{"limits": []demotest.Fields{{"name": "minute", "n": 5, "per_seconds": 60}}}
		ana.Do(t, "PATCH", small.Path(), limits).Want(403)
		support.Do(t, "PATCH", small.Path(), limits).Want(200)
		if got := d.Volley(t, []string{small.Token}, "GET", analyticsPath, 20).Statuses; got[200] != 5 || got[429] != 15 {
			t.Errorf("20 calls with a limit of 5: %v", got)
		}
		if got := d.Volley(t, []string{free.Token}, "GET", analyticsPath, 20).Statuses; got[200] != 20 {
			t.Errorf("20 calls of another key: %v", got)
		}
	})
}

// TestActivityLog is the line of systems.md: to see unauthorised use.
func TestActivityLog(t *testing.T) {
	d := service.Start(t)
	ana, support := d.As("ana", "acme"), d.As("support", "acme")
	key := ana.Create(t, "Watched", may("analytics:view"))

	t.Run("every change of a key, and who made it", func(t *testing.T) {
		ana.Do(t, "PATCH", key.Path(), demotest.Fields{"name": "Watched closely"}).Want(200)
		support.Do(t, "PATCH", key.Path(), demotest.Fields{"limits": []demotest.Fields{{"name": "minute", "n": 5, "per_seconds": 60}}}).Want(200)
		ana.Post(t, key.Path("disable"), nil).Want(200)
		ana.Post(t, key.Path("enable"), nil).Want(200)
		var got []string
		for _, c := range ana.Get(t, key.Path("history")).List("changes") {
			if _, err := time.Parse(time.RFC3339, c["at"].(string)); err != nil || c["key_id"] != key.ID {
				t.Errorf("a change is %v", c)
			}
			got = append(got, fmt.Sprintf("%v by %v", c["action"], c["actor"]))
		}
		want := []string{"enable by ana", "disable by ana", "update by support", "update by ana", "create by ana"}
		if !slices.Equal(got, want) {
			t.Errorf("the log is %q, want %q", got, want)
		}
		all := ana.Get(t, "history").Body
		if !strings.Contains(all, "Watched closely") || !strings.Contains(all, "import") {
			t.Error("the workspace's log has not both the renaming and the import")
		}
		if d.As("bo", "beta").Get(t, "history").List("changes") != nil {
			t.Error("another workspace sees it")
		}
	})
	t.Run("by hour its requests, limited and denied ones; time and address of its last refusal", func(t *testing.T) {
		d.Volley(t, []string{key.Token}, "GET", analyticsPath, 12) // 5 pass
		for range 3 {
			d.Call(t, key.Token, "GET", templatesPath, nil).WantCode(403, "ERR_AUTH_005")
		}
		sums := func() string {
			var n [3]float64
			for _, p := range ana.Get(t, key.Path("usage")).List("points") {
				for i, name := range []string{"requests", "limited", "denied"} {
					n[i] += p[name].(float64)
				}
				if at, err := time.Parse(time.RFC3339, p["at"].(string)); err != nil || !at.Equal(at.Truncate(time.Hour)) {
					t.Errorf("a point is at %v", p["at"])
				}
			}
			return fmt.Sprint(n)
		}
		demotest.Eventually(t, 3*time.Second, "5 requests, 7 limited, 3 denied are shown", func() bool { return sums() == "[5 7 3]" })
		got := ana.Get(t, key.Path())
		if got.Number("requests") != 5 || got.Number("limited") != 7 || got.Number("denied") != 3 {
			t.Errorf("the key shows %d, %d and %d", got.Number("requests"), got.Number("limited"), got.Number("denied"))
		}
		at, err := time.Parse(time.RFC3339, got.String("last_refusal", "at"))
		if err != nil || time.Since(at) > time.Minute || got.String("last_refusal", "peer") != "127.0.0.1" || got.String("last_refusal", "reason") != "permission" {
			t.Errorf("its last refusal is %v", got.Field("last_refusal"))
		}
	})
}
