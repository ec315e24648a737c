package keyadmin_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keyadmin"
)

// contrast is that of WCAG 2.2, of two colours as "#rrggbb".
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	luminance := func(s string) float64 {
		n, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32)
		if err != nil || len(s) != 7 {
			t.Fatalf("%q is no colour", s)
		}
		part := func(shift int) float64 {
			v := float64(n>>shift&255) / 255
			if v <= 0.04045 {
				return v / 12.92
			}
			return math.Pow((v+0.055)/1.055, 2.4)
		}
		return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// TestAccent: whatever colour a host has, it is legible by day and by night, as
// text and under text.
func TestAccent(t *testing.T) {
	w := newWorld(t)
	accents := regexp.MustCompile(`--accent: (#\w+); --on-accent: (#\w+)`)
	for _, accent := range []string{"", "#000000", "#ffffff", "#ffff00", "#00ff88", "#ff6600", "#7f7f7f", "#0000ff", "#5b21b6", "#be123c"} {
		h, err := keyadmin.New(w.manager, &keyadmin.Config{Identify: w.identify, Accent: accent})
		if err != nil {
			t.Fatal(err)
		}
		page := shown(t, h, "/")
		css := shown(t, h, "/"+regexp.MustCompile(`ui/app-\w+\.css`).FindString(page))
		found := accents.FindAllStringSubmatch(css, -1)
		if len(found) != 2 {
			t.Fatalf("%d accents in the style", len(found))
		}
		for i, papers := range [][]string{{"#ffffff", "#f6f7f9"}, {"#161a20", "#0f1217", "#1b2027"}} {
			for _, paper := range papers {
				if c := contrast(t, found[i][1], paper); c < 4.5 {
					t.Errorf("%q is %s on %s: a contrast of %.2f", accent, found[i][1], paper, c)
				}
			}
			if c := contrast(t, found[i][1], found[i][2]); c < 4.5 {
				t.Errorf("%q: %s on %s: a contrast of %.2f", accent, found[i][2], found[i][1], c)
			}
		}
	}
}

func shown(t *testing.T, h http.Handler, path string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	r.Header.Set("X-User", "ana")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if rec.Code != 200 {
		t.Fatalf("%s: %d", path, rec.Code)
	}
	text, err := io.ReadAll(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestNewRefusesLooks: a Config whose page would not look or lead as it says.
func TestNewRefusesLooks(t *testing.T) {
	w := newWorld(t)
	for field, cfg := range map[string]keyadmin.Config{
		"Config.Accent":       {Accent: "red"},
		"Config.SignIn":       {SignIn: "javascript:alert(1)"},
		"Config.Links[0].URL": {Links: []keyadmin.Link{{Name: "x", URL: "data:text/html,x"}}},
		"Config.Links[1]":     {Links: []keyadmin.Link{{Name: "x", URL: "/x"}, {URL: "/y"}}},
		"Config.RotateAfter":  {RotateAfter: time.Hour},
	} {
		cfg.Identify = w.identify
		var invalid *apikey.InvalidError
		if h, err := keyadmin.New(w.manager, &cfg); h != nil || !errors.As(err, &invalid) || len(invalid.Fields) != 1 || invalid.Fields[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestPageMounted: its links and forms lead within the mount, also where the
// slash at the end is left out.
func TestPageMounted(t *testing.T) {
	w := newWorld(t)
	w.keys(t)
	h := w.handler(t)
	mux := http.NewServeMux()
	mux.Handle("/app/", http.StripPrefix("/app", func() http.Handler {
		inner := http.NewServeMux()
		inner.Handle("/dashboard/", h)
		return inner
	}()))
	mux.Handle("/bare", http.StripPrefix("/bare", h))
	mux.Handle("/bare/", http.StripPrefix("/bare", h))
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, mount := range []string{"/app/dashboard", "/bare"} {
		for _, path := range []string{"", "/", "/ui/keys/" + w.ids["own"], "/ui/keys/" + w.ids["own"] + "/edit", "/ui/history"} {
			if mount != "/bare" && path == "" {
				continue // the inner mux redirects, to where it believes it is
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+mount+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-User", "ana")
			resp, err := server.Client().Do(r) // follows
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%s: %d, %v", mount+path, resp.StatusCode, err)
			}
			for _, m := range regexp.MustCompile(`(?:href|action|src)="([^"#][^"]*)"`).FindAllSubmatch(body, -1) {
				to, err := resp.Request.URL.Parse(string(m[1]))
				if err != nil || !strings.HasPrefix(to.Path, mount+"/") {
					t.Errorf("%s leads to %s", mount+path, m[1])
				}
			}
		}
	}
}

// TestPagePlan: a plan that fails hides no keys; one that refuses, or is full,
// is told before a form is filled in.
func TestPagePlan(t *testing.T) {
	w := newWorld(t)
	w.keys(t)
	w.set(func() { w.plans["acme"] = apikey.Plan{Name: "starter", MaxKeys: 2} })
	w.page(t, "ana", "", nil).says(t, 200, "none", "as many keys as its plan allows")
	w.page(t, "ana", "ui/new", nil).says(t, 200, "as many keys as its plan allows")
	w.page(t, "ana", "ui/keys", formOn(w.page(t, "ana", "", nil), "owner", "acme", "name", "x", "preset", "", "expiry", "never")).says(t, 409, "No key is left")
	w.set(func() { w.plans["acme"] = apikey.Plan{Name: "free", Refusal: "Keys come with Pro."} })
	w.page(t, "ana", "", nil).says(t, 200, "Keys come with Pro.")
	w.page(t, "ana", "ui/keys", formOn(w.page(t, "ana", "", nil), "owner", "acme", "name", "x", "preset", "", "expiry", "never")).says(t, 403, "Keys come with Pro.")
	m, err := apikey.New(w.store, &apikey.Config{Now: w.now, Plan: func(context.Context, string) (apikey.Plan, error) {
		return apikey.Plan{}, errors.New("billing is down at 10.0.0.7")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(t.Context()) //nolint:errcheck // it counted nothing
	h, err := keyadmin.New(m, &keyadmin.Config{Identify: w.identify})
	if err != nil {
		t.Fatal(err)
	}
	if text := shown(t, h, "/"); !strings.Contains(text, "The plan cannot be read just now") || !strings.Contains(text, ">own<") || strings.Contains(text, "10.0.0.7") {
		t.Errorf("with a plan that fails the list is\n%s", text)
	}
}

// TestPageGetChangesNothing: to look at a page, any page, is all that GET and
// HEAD do.
func TestPageGetChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.keys(t)
	before := w.snapshot(t)
	for _, path := range []string{"", "ui/new", "ui/keys", "ui/owner", "ui/history"} {
		w.page(t, "support", path, nil)
	}
	for _, name := range []string{"own", "high", "held", "disabled", "revoked", "rotating", "expired"} {
		for _, verb := range []string{"", "/edit", "/rotate", "/revoke", "/delete", "/history", "/disable", "/enable", "/hold", "/release", "/end-rotation"} {
			w.page(t, "support", "ui/keys/{"+name+"}"+verb+"?version=1&grace=0&owner=acme", nil)
		}
	}
	w.unchanged(t, before)
}
