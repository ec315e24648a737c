package keyadmin_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keyadmin"
)

// TestMounts: the same under every path, with and without StripPrefix.
func TestMounts(t *testing.T) {
	on := func(pattern string, wrap ...string) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			for _, prefix := range wrap {
				h = http.StripPrefix(prefix, h)
			}
			mux := http.NewServeMux()
			mux.Handle(pattern, h)
			return mux
		}
	}
	for name, c := range map[string]struct {
		mount string // without a trailing slash
		host  func(http.Handler) http.Handler
	}{
		"bare":                         {"", func(h http.Handler) http.Handler { return h }},
		"root":                         {"", on("/")},
		"path":                         {"/dashboard", on("/dashboard/")},
		"deep path":                    {"/a/b/c", on("/a/b/c/")},
		"stripped":                     {"/dashboard", on("/dashboard/", "/dashboard")},
		"stripped with its slash":      {"/dashboard", on("/dashboard/", "/dashboard/")},
		"stripped without a mux":       {"/dashboard", func(h http.Handler) http.Handler { return http.StripPrefix("/dashboard", h) }},
		"named as a call":              {"/keys", on("/keys/")},
		"named as a call, stripped":    {"/keys", on("/keys/", "/keys")},
		"named as a call twice":        {"/keys/keys", on("/keys/keys/")},
		"named as a call twice, strip": {"/keys/keys", on("/keys/keys/", "/keys/keys")},
		"host and rest":                {"/dashboard", on("127.0.0.1/dashboard/{rest...}")},
		"with a name in it":            {"/t/acme", on("/t/{team}/")},
		"with a space in it":           {"/my%20keys", on("/my%20keys/")},
		"a mux in a mux": {"/app/dashboard", func(h http.Handler) http.Handler {
			return on("/app/", "/app")(on("/dashboard/")(h))
		}},
		"a stripped mux in a mux": {"/app/dashboard", func(h http.Handler) http.Handler {
			return on("/app/", "/app")(on("/dashboard/", "/dashboard")(h))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.keys(t)
			server := httptest.NewServer(c.host(w.handler(t)))
			defer server.Close()
			try := func(method, path, body string, want int) *http.Response {
				t.Helper()
				r, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-User", "ana")
				r.Header.Set("Content-Type", "application/json")
				resp, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != want {
					t.Errorf("%s %s: %d, want %d", method, path, resp.StatusCode, want)
				}
				return resp
			}
			try("GET", c.mount+"/keys", "", 200)
			try("GET", c.mount+"/keys/"+w.ids["own"], "", 200)
			try("GET", c.mount+"/keys/%2e%2e%2fkeys", "", 404)
			try("POST", c.mount+"/keys/"+w.ids["own"]+"/disable", "", 200)
			made := try("POST", c.mount+"/keys", `{"name":"x"}`, 201)
			location, err := made.Location()
			if err != nil || !strings.HasPrefix(location.EscapedPath(), c.mount+"/keys/") || len(location.EscapedPath()) != len(c.mount)+len("/keys/")+12 {
				t.Errorf("Location is %v, %v", location, err)
			}
			try("GET", made.Header.Get("Location"), "", 200)
			try("GET", c.mount+"/openapi.json", "", 200)
			try("GET", c.mount+"/nothing", "", 404)
		})
	}
}

// TestLocationBehindRewriting: where the path that the client asked for is not
// known, Location is relative.
func TestLocationBehindRewriting(t *testing.T) {
	w := newWorld(t)
	h := w.handler(t)
	r := httptest.NewRequest("POST", "https://keys.example/app/keys", strings.NewReader(`{"name":"x"}`))
	r.URL.Path = "/keys" // as a proxy in process might do
	r.RequestURI = "/elsewhere"
	r.Header.Set("X-User", "ana")
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if got := rec.Header().Get("Location"); rec.Code != 201 || !strings.HasPrefix(got, "keys/") {
		t.Errorf("%d, Location %q", rec.Code, got)
	}
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		m     *apikey.Manager
		cfg   *keyadmin.Config
		field string
	}{
		"no manager":      {nil, &keyadmin.Config{Identify: w.identify}, "m"},
		"no config":       {w.manager, nil, "Config.Identify"},
		"no Identify":     {w.manager, &keyadmin.Config{}, "Config.Identify"},
		"a scripted link": {w.manager, &keyadmin.Config{Identify: w.identify, LearnMore: "javascript:alert(1)"}, "Config.LearnMore"},
	} {
		h, err := keyadmin.New(c.m, c.cfg)
		var invalid *apikey.InvalidError
		if h != nil || !errors.As(err, &invalid) || len(invalid.Fields) != 1 || invalid.Fields[0].Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}
