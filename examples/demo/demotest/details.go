package demotest

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Contract tests what admin.md says of every demo, line by line.
func (s *Service) Contract(t *testing.T) {
	d := s.Start(t)
	who := d.As(s.Member, s.Owner)
	header := func(user, owner string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("X-Demo-User", user)
			r.Header.Set("X-Demo-Owner", owner)
		}
	}
	t.Run("a person unknown to a demo is 401", func(t *testing.T) {
		for _, user := range []string{"", "nobody", "Ana", "SUPPORT"} {
			d.Do(t, http.MethodGet, "/dashboard/keys", nil, header(user, s.Owner)).Want(http.StatusUnauthorized)
		}
		d.Do(t, http.MethodGet, "/demo/login?user=nobody", nil, nil).Want(http.StatusUnauthorized)
	})
	t.Run("an owner they are no member of is 403", func(t *testing.T) {
		d.Do(t, http.MethodGet, "/dashboard/keys", nil, header(s.Stranger, s.Owner)).Want(http.StatusForbidden)
		d.Do(t, http.MethodGet, "/dashboard/keys", nil, header(s.Member, "nowhere")).Want(http.StatusForbidden)
		d.Do(t, http.MethodGet, "/dashboard/keys", nil, header("support", "nowhere")).Want(http.StatusForbidden)
		d.Do(t, http.MethodGet, "/demo/login?user="+s.Stranger+"&owner="+s.Owner, nil, nil).Want(http.StatusForbidden)
	})
	t.Run("people and what they are members of", func(t *testing.T) {
		for user, owners := range s.Members {
			for owner := range s.Plans {
				want := http.StatusForbidden
				if slices.Contains(owners, owner) {
					want = http.StatusOK
				}
				d.Do(t, http.MethodGet, "/dashboard/keys", nil, header(user, owner)).Want(want)
				d.As("support", owner).Get(t, "keys")
			}
		}
	})
	t.Run("plans at start", func(t *testing.T) {
		for owner, plan := range s.Plans {
			if got := d.As("support", owner).Get(t, "catalog").String("plan", "name"); got != plan {
				t.Errorf("%s has %q, want %q", owner, got, plan)
			}
		}
	})
	t.Run("the owner looked at is the header, the cookie, or the person's first", func(t *testing.T) {
		key := who.Create(t, "Whose", nil)
		for _, test := range []struct{ cookies, user, owner string }{
			{"", s.Member, s.Owner},
			{"", s.Member, ""},
			{"demo_user=" + s.Member, "", ""},
			{"demo_user=" + s.Member + "; demo_owner=" + s.Owner, "", ""},
			{"demo_user=" + s.Stranger + "; demo_owner=nowhere", s.Member, s.Owner}, // headers come first
		} {
			a := d.Do(t, http.MethodGet, "/dashboard/keys/"+key.ID, nil, func(r *http.Request) {
				header(test.user, test.owner)(r)
				r.Header.Set("Cookie", test.cookies)
			}).Want(http.StatusOK)
			if a.String("owner") != s.Owner {
				t.Errorf("%+v looks at %q", test, a.String("owner"))
			}
		}
		who.Revoke(t, key)
	})
	t.Run("/demo/login sets the cookie demo_user, so that a browser can be someone", func(t *testing.T) {
		a := d.Do(t, http.MethodGet, "/demo/login?user="+s.Member+"&to=/dashboard/keys", nil, nil).Want(http.StatusSeeOther)
		if a.Header.Get("Location") != "/dashboard/keys" {
			t.Errorf("it leads to %q", a.Header.Get("Location"))
		}
		d.Do(t, http.MethodGet, a.Header.Get("Location"), nil, func(r *http.Request) {
			for _, c := range (&http.Response{Header: a.Header}).Cookies() {
				if c.MaxAge >= 0 {
					r.AddCookie(c)
				}
			}
		}).Want(http.StatusOK)
	})
	t.Run("/demo/login redirects within the site only", func(t *testing.T) {
		for _, to := range []string{
			"", "http://evil.example/", "//evil.example/", "/%5Cevil.example", "%5C%5Cevil.example", "/%09/evil.example", "%0A//evil.example",
			"javascript:alert(1)", "evil.example", "/x%0D%0ASet-Cookie:%20a=b", "http:/evil.example", "///evil.example",
		} {
			a := d.Do(t, http.MethodGet, "/demo/login?user="+s.Member+"&to="+to, nil, nil).Want(http.StatusSeeOther)
			if a.Header.Get("Location") != "/dashboard/" {
				t.Errorf("to=%s leads to %q", to, a.Header.Get("Location"))
			}
		}
	})
	t.Run("in every demo support is an operator who may look at every owner", func(t *testing.T) {
		support := d.As("support", s.Owner)
		key := who.Create(t, "Held", s.Grants)
		who.Post(t, key.Path("hold"), nil).Want(http.StatusForbidden)
		who.Do(t, http.MethodPatch, key.Path(), Fields{"metadata": map[string]string{"a": "b"}}).Want(http.StatusForbidden)
		support.Post(t, key.Path("hold"), nil).Want(http.StatusOK)
		d.Call(t, key.Token, http.MethodGet, s.Path, nil).Want(http.StatusUnauthorized)
		who.Post(t, key.Path("enable"), nil)
		d.Call(t, key.Token, http.MethodGet, s.Path, nil).Want(http.StatusUnauthorized) // an owner cannot undo it
		support.Post(t, key.Path("release"), nil).Want(http.StatusOK)
		d.Call(t, key.Token, http.MethodGet, s.Path, nil).Want(http.StatusOK)
		support.Do(t, http.MethodPatch, key.Path(), Fields{"metadata": map[string]string{"ticket": "42"}}).Want(http.StatusOK)
		if support.Get(t, key.Path()).String("metadata", "ticket") != "42" || who.Get(t, key.Path()).Field("metadata") != nil {
			t.Error("metadata is for operators, and for them alone")
		}
		who.Revoke(t, key)
	})
	t.Run("the catalog's top fields are formats, permissions, presets and plan", func(t *testing.T) {
		catalog := who.Get(t, "catalog")
		for _, path := range [][]string{{"formats"}, {"permissions"}, {"presets"}, {"plan"}, {"plan", "limits"}} {
			if catalog.Field(path...) == nil {
				t.Errorf("it has no %v", path)
			}
		}
		var prefixes []string
		for _, f := range catalog.List("formats") {
			prefix, _ := f["prefix"].(string)
			prefixes = append(prefixes, prefix)
		}
		if !slices.Equal(prefixes, s.Prefixes) {
			t.Errorf("the formats are %q, want %q", prefixes, s.Prefixes)
		}
	})
	t.Run("history actions are the Keyring's verbs", func(t *testing.T) {
		support := d.As("support", s.Owner)
		key := support.Create(t, "Eventful", s.Grants)
		support.Do(t, http.MethodPatch, key.Path(), Fields{"name": "Renamed"}).Want(http.StatusOK)
		for _, verb := range []string{"disable", "enable", "hold", "release"} {
			support.Post(t, key.Path(verb), nil).Want(http.StatusOK)
		}
		support.Rotate(t, key, 3600)
		support.Post(t, key.Path("end-rotation"), nil).Want(http.StatusOK)
		support.Revoke(t, key)
		support.Do(t, http.MethodDelete, key.Path(), nil).Want(http.StatusNoContent)
		want := []string{"delete", "revoke", "end-rotation", "rotate", "release", "hold", "enable", "disable", "update", "create"}
		if got := support.Actions(t, key.Path("history")); !slices.Equal(got, want) {
			t.Errorf("the history is %q, want %q", got, want)
		}
	})
	t.Run("GET keys/{id} has last_refusal {at, peer, reason}", func(t *testing.T) {
		key := who.Create(t, "Refused", s.Grants)
		before := time.Now().Add(-time.Millisecond)
		who.Post(t, key.Path("disable"), nil).Want(http.StatusOK)
		d.Call(t, key.Token, http.MethodGet, s.Path, nil).Want(http.StatusUnauthorized)
		Eventually(t, 2*time.Second, "the refusal is told", func() bool {
			return who.Get(t, key.Path()).Field("last_refusal") != nil
		})
		got := who.Get(t, key.Path())
		at, err := time.Parse(time.RFC3339, got.String("last_refusal", "at"))
		if err != nil || at.Before(before) || at.After(time.Now()) ||
			got.String("last_refusal", "peer") != "127.0.0.1" || got.String("last_refusal", "reason") != "disabled" {
			t.Errorf("it is %v", got.Field("last_refusal"))
		}
		who.Revoke(t, key)
	})
	t.Run("a limit whose until is past is a field error", func(t *testing.T) {
		limits := []Fields{{"name": "minute", "n": 5, "per_seconds": 60, "until": "2020-01-01T00:00:00Z"}}
		d.As("support", s.Owner).TryCreate(t, "Limited", Fields{"limits": limits}).WantField("body.limits[0].until")
	})
	t.Run("a permission the catalog does not know is a field error", func(t *testing.T) {
		who.TryCreate(t, "Unknown", Fields{"permissions": []string{"nonsense:do"}}).WantField("body.permissions[0]")
	})
	t.Run("POST keys takes preset in place of permissions; both at once is a field error", func(t *testing.T) {
		who.TryCreate(t, "Both", Fields{"permissions": []string{"*"}, "preset": "read-only"}).WantField("body.preset")
	})
	t.Run("members may grant everything", func(t *testing.T) {
		who.Revoke(t, who.Create(t, "Everything", Fields{"permissions": []string{"*"}}))
	})
	t.Run("the dashboard is at /dashboard/", func(t *testing.T) {
		a := who.Get(t, "")
		if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || !strings.Contains(a.Body, s.Title) {
			t.Errorf("there is %s, which does not say %s", a.Header.Get("Content-Type"), s.Title)
		}
	})
	t.Run("a demo flushes usage each second", func(t *testing.T) {
		key := who.Create(t, "Flushed", s.Grants)
		d.Call(t, key.Token, http.MethodGet, s.Path, nil).Want(http.StatusOK)
		Eventually(t, 2*time.Second, "the request is counted", func() bool { return who.Get(t, key.Path()).Number("requests") == 1 })
		who.Revoke(t, key)
	})
	t.Run("what it prints to try works", s.tryGuide)
	t.Run("runs by name from the top, and SIGINT and SIGTERM end it with status 0", s.byName)
}

// byName builds and runs what go run ./examples/NAME does.
func (s *Service) byName(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	name := strings.ToLower(s.Title)
	build := exec.Command("go", "build", "-o", program, "./examples/"+name)
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "GOWORK=") // as it is found there
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./examples/%s: %v\n%s", name, err, out)
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		d := start(t, s.Send, program)
		d.Call(t, "", http.MethodGet, s.Path, nil).Want(http.StatusUnauthorized)
		if !strings.Contains(d.Said, "Open "+d.Base+"/demo/") {
			t.Errorf("it does not say what to open:\n%s", d.Said)
		}
		d.Stop(signal)
	}
}

// tryGuide runs the lines that the program prints, as somebody who pastes them.
func (s *Service) tryGuide(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	d := s.Start(t)
	token, n := "", 0
	for line := range strings.Lines(d.Said) {
		arguments, ok := strings.CutPrefix(line, "    curl ")
		if !ok {
			continue
		}
		cmd := exec.Command("sh", "-c", "curl -sSf "+arguments)
		cmd.Env = append(os.Environ(), "TOKEN="+token, "no_proxy=127.0.0.1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if n++; n == 1 {
			token = (&Answer{Body: string(out)}).String("token")
		}
	}
	if n != 2 {
		t.Errorf("%d lines of curl are printed, want 2", n)
	}
}
