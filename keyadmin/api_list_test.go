package keyadmin_test

import (
	"context"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/keyadmin"
	"github.com/go-apikey/apikey/memstore"
	"github.com/google/go-cmp/cmp"
)

// TestPaging goes through all keys, and takes a cursor for what it was made for
// only.
func TestPaging(t *testing.T) {
	w := newWorld(t)
	w.withSchema(t)
	for i := range 7 {
		w.make(t, "acme", fmt.Sprint("k", i), apikey.KeyParams{})
	}
	type page struct {
		Keys []struct{ Name string }
		Next string
	}
	var names []string
	path := "keys?limit=3"
	cursor := ""
	for {
		p := decode[page](t, w.do(t, get(path)))
		for _, k := range p.Keys {
			names = append(names, k.Name)
		}
		if p.Next == "" {
			break
		}
		cursor = p.Next
		path = "keys?limit=3&cursor=" + p.Next
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"k0", "k1", "k2", "k3", "k4", "k5", "k6"}, names); diff != "" {
		t.Error(diff)
	}

	refused := []request{
		get("keys?state=active&cursor=" + cursor), // of another filter
		get("history?cursor=" + cursor),           // of another list
		{as: "bo", method: "GET", path: "keys?cursor=" + cursor},
		get("keys?cursor=" + cursor[:len(cursor)-1]),
		get("keys?cursor=" + cursor + "A"),
		get("keys?cursor=" + cursor + "%3D"),
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		flipped := slices.Clone(raw)
		flipped[bit/8] ^= 1 << (bit % 8)
		refused = append(refused, get("keys?cursor="+base64.RawURLEncoding.EncodeToString(flipped)))
	}
	for _, q := range refused {
		if a := w.do(t, q); a.status != 422 || cmp.Diff([]string{"query.cursor"}, a.problem(t).locations()) != "" {
			t.Errorf("%s as %s: %d %s", q.path, q.as, a.status, a.body)
		}
	}
}

// TestGetChangesNothing, nor does HEAD, which has the same headers.
func TestGetChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.keys(t)
	before := w.snapshot(t)
	for _, path := range []string{"keys", "keys.csv", "catalog", "history", "openapi.json", "keys/{own}", "keys/{own}/usage", "keys/{own}/history", "keys/{revoked}"} {
		g := w.do(t, get(path))
		h := w.do(t, request{as: "ana", method: "HEAD", path: path})
		for _, a := range []*answer{g, h} {
			if a.status != 200 {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
			a.header.Del("Date")
			a.header.Del("Content-Length") // known for short ones only
		}
		if diff := cmp.Diff(g.header, h.header); diff != "" {
			t.Errorf("HEAD %s differs (-GET +HEAD):\n%s", path, diff)
		}
	}
	w.unchanged(t, before)
}

// TestCSV: what people typed is text to a spreadsheet, and is all there.
func TestCSV(t *testing.T) {
	w := newWorld(t)
	hostile := []string{
		`=cmd()`, `+1+1`, `-1`, `@SUM(A1)`, `<script>"x",'y'</script>`, `plain`, "＝1+1", `a,b`, `"=1"`, "'=1",
	}
	for _, name := range hostile {
		w.make(t, "acme", name, apikey.KeyParams{Description: "\tline\n=cmd()", Permissions: apikey.Permissions{"jobs:read", "jobs:write"}})
	}
	w.make(t, "beta", "theirs", apikey.KeyParams{})
	a := w.do(t, get("keys.csv?q=LINE"))
	if a.header.Get("Content-Type") != "text/csv; charset=utf-8" || a.header.Get("Content-Disposition") != `attachment; filename="keys.csv"` {
		t.Errorf("headers: %v", a.header)
	}
	rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range rows[1:] {
		names = append(names, strings.TrimPrefix(row[1], "'"))
		for _, cell := range row {
			if strings.IndexAny(cell, "=+-@\t\r") == 0 {
				t.Errorf("a spreadsheet computes %q", cell)
			}
		}
		if row[2] != "'\tline\n=cmd()" || row[6] != "jobs:read jobs:write" {
			t.Errorf("row: %q", row)
		}
	}
	slices.Sort(names)
	for i := range hostile {
		hostile[i] = strings.TrimPrefix(hostile[i], "'")
	}
	slices.Sort(hostile)
	if diff := cmp.Diff(hostile, names); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(string(a.body), `,"'=cmd()",`) {
		t.Errorf("not quoted and prefixed: %s", a.body)
	}
}

// TestLastPlace: of many who create at once one gets the last place.
func TestLastPlace(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.plans["acme"] = apikey.Plan{Name: "two", MaxKeys: 2} })
	w.make(t, "acme", "first", apikey.KeyParams{})
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			a := w.do(t, post("keys", `{"name":"me"}`))
			mu.Lock()
			defer mu.Unlock()
			statuses[a.status]++
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[int]int{201: 1, 409: 23}, statuses); diff != "" {
		t.Error(diff)
	}
	if got := len(w.snapshot(t).Records); got != 2 {
		t.Errorf("%d keys, want 2", got)
	}
}

// TestCatalog says what may be granted, and how many keys are left.
func TestCatalog(t *testing.T) {
	w := newWorld(t)
	w.withSchema(t)
	w.keys(t)
	if _, err := w.manager.Keyring("acme", support).Disable(t.Context(), w.ids["expired"]); err != nil { // it is expired all the same
		t.Fatal(err)
	}
	type plan struct {
		Name     string
		MaxKeys  *int `json:"max_keys"`
		KeysLeft *int `json:"keys_left"`
		Refusal  string
		Limits   []struct {
			Name       string
			N          int
			PerSeconds float64 `json:"per_seconds"`
		}
	}
	type shown struct {
		Formats              []struct{ Prefix, Environment string }
		Permissions, Presets []struct {
			Title   string
			Allowed bool
		}
		Plan *plan
	}
	got := decode[shown](t, w.do(t, request{as: "low", method: "GET", path: "catalog"}))
	if len(got.Formats) != 3 || got.Permissions[0].Title != "Read jobs" || !got.Permissions[0].Allowed || got.Permissions[1].Title != "jobs:write" ||
		got.Permissions[1].Allowed || got.Presets[0].Allowed || *got.Plan.MaxKeys != 1000 || *got.Plan.KeysLeft != 995 ||
		got.Plan.Limits[0].N != 300 || got.Plan.Limits[0].PerSeconds != 60 {
		t.Errorf("%+v", got)
	}
	w.set(func() { w.plans["acme"] = apikey.Plan{Name: "free", Refusal: "Upgrade to Pro to use keys."} })
	got = decode[shown](t, w.do(t, get("catalog")))
	if got.Plan.Refusal != "Upgrade to Pro to use keys." || *got.Plan.KeysLeft != 0 {
		t.Errorf("%+v", got.Plan)
	}
	for _, q := range []request{post("keys", `{"name":"x"}`), post("keys/{own}/rotate", "")} {
		if a := w.do(t, q); a.status != 403 || a.problem(t).Detail != "Upgrade to Pro to use keys." || a.problem(t).Code != "plan" {
			t.Errorf("%s: %d %s", q.path, a.status, a.body)
		}
	}
	w.set(func() { w.plans["acme"] = apikey.Plan{Name: "all", MaxKeys: apikey.NoCap} })
	if got := decode[shown](t, w.do(t, get("catalog"))); got.Plan.MaxKeys != nil || got.Plan.KeysLeft != nil {
		t.Errorf("%+v", got.Plan)
	}
}

// TestFailures of what the service needs are 503, never a refusal and never a
// pass, and tell nothing of it.
func TestFailures(t *testing.T) {
	w := newWorld(t)
	w.keys(t)
	faulty := &apikeytest.FaultyStore{Store: w.store, Fail: func(string, int) apikeytest.Fault { return apikeytest.FailAfter }}
	m, err := apikey.New(faulty, &apikey.Config{Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close(context.Background()) }()
	unplanned, err := apikey.New(memstore.New(), &apikey.Config{Now: w.now, Plan: func(context.Context, string) (apikey.Plan, error) {
		return apikey.Plan{}, fmt.Errorf("billing at 10.0.0.7: %w", apikey.ErrForbidden)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unplanned.Close(context.Background()) }()
	mux := http.NewServeMux()
	for mount, m := range map[string]*apikey.Manager{"/dashboard/": m, "/dashboard/catalog": unplanned} {
		h, err := keyadmin.New(m, &keyadmin.Config{Identify: w.identify})
		if err != nil {
			t.Fatal(err)
		}
		if mount == "/dashboard/catalog" {
			h = http.StripPrefix("/dashboard", h)
		}
		mux.Handle(mount, h)
	}
	w.server.Config.Handler = mux
	for q, code := range map[*request]string{
		{as: "ana", method: "GET", path: "keys"}:                               "unavailable",
		{as: "ana", method: "GET", path: "keys.csv"}:                           "unavailable",
		{as: "ana", method: "GET", path: "keys/{own}"}:                         "unavailable",
		{as: "ana", method: "GET", path: "catalog"}:                            "unavailable",
		{as: "ana", method: "POST", path: "keys/{own}/revoke"}:                 "unavailable",
		{as: "ana", method: "POST", path: "keys", body: `{"name":"x"}`}:        "outcome_unknown",
		{as: "ana", method: "PATCH", path: "keys/{own}", body: `{"name":"y"}`}: "unavailable",
	} {
		a := w.do(t, *q)
		if p := a.problem(t); a.status != 503 || p.Code != code || strings.Contains(string(a.body), "10.0.0") || strings.Contains(string(a.body), apikeytest.ErrFault.Error()) || (a.header.Get("Retry-After") != "") != (code == "unavailable") {
			t.Errorf("%s %s: %d %v %s, want 503 %s", q.method, q.path, a.status, a.header, a.body, code)
		}
	}
}
