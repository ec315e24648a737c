package demotest

import (
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Service is what the tests that all four share need to know of one.
type Service struct {
	Title    string
	Send     Sender
	Prefixes []string // of its tokens, in the order of the catalog
	Member   string   // may do everything at the owner
	Owner    string
	Stranger string              // is a member of another owner alone
	Members  map[string][]string // by person, their first owner first
	Plans    map[string]string   // by owner, at start
	Grants   Fields              // of a key that may Path
	Path     string              // a GET that needs no more
}

// Start starts it.
func (s *Service) Start(t *testing.T, args ...string) *Demo {
	t.Helper()
	return Start(t, s.Send, args...)
}

// with is s.Grants and more.
func (s *Service) with(more Fields) Fields {
	all := Fields{}
	for _, fields := range []Fields{s.Grants, more} {
		maps.Copy(all, fields)
	}
	return all
}

// hidden is the part of a token that nobody may see again: all but the prefix
// and the public ID.
func (s *Service) hidden(token string) string { return token[len(token)-20:] }

// Shared tests what systems.md says that all four share, line by line.
func (s *Service) Shared(t *testing.T) {
	d := s.Start(t)
	who := d.As(s.Member, s.Owner)

	t.Run("a key has a descriptive name", func(t *testing.T) {
		key := who.Create(t, "Nightly build, Frankfurt", Fields{"description": "Renders what was merged."})
		got := who.Get(t, key.Path())
		if got.String("name") != "Nightly build, Frankfurt" || got.String("description") != "Renders what was merged." {
			t.Errorf("it is called %q: %q", got.String("name"), got.String("description"))
		}
		who.TryCreate(t, "", nil).WantField("body.name")
		who.Revoke(t, key)
	})
	t.Run("a key is shown once, at creation, and never again", func(t *testing.T) { s.shownOnce(t, who) })
	t.Run("only a masked prefix is listed", func(t *testing.T) {
		key := who.Create(t, "Masked", nil)
		for _, listed := range who.Get(t, "keys").List("keys") {
			masked, _ := listed["masked"].(string)
			visible, ok := strings.CutSuffix(masked, "…")
			if listed["id"] == key.ID && (!ok || !strings.HasPrefix(key.Token, visible) || len(visible) > len(s.Prefixes[0])+8) {
				t.Errorf("it is listed as %q", masked)
			}
		}
		who.Revoke(t, key)
	})
	t.Run("revoking takes effect on the next request, which then gets 401", func(t *testing.T) {
		for range 20 {
			key := who.Create(t, "Revoked", s.Grants)
			d.Call(t, key.Token, http.MethodGet, s.Path, nil).Want(http.StatusOK)
			who.Revoke(t, key)
			d.Call(t, key.Token, http.MethodGet, s.Path, nil).Want(http.StatusUnauthorized)
		}
	})
	t.Run("keys are stored so that they cannot be read back", s.notReadBack)
	t.Run("separate keys per environment", func(t *testing.T) { s.environments(t, d, who) })
	t.Run("rotation every 90 days is advised, so a key due for rotation can be found", func(t *testing.T) {
		key := who.Create(t, "To rotate", nil)
		made, err := time.Parse(time.RFC3339, who.Get(t, key.Path()).String("created_at"))
		if err != nil {
			t.Fatal(err)
		}
		due := func(when time.Time) []string { return who.Names(t, "state=active&rotated_before="+stamp(when)) }
		if names := due(made); slices.Contains(names, "To rotate") {
			t.Errorf("when it is made it is due already: %q", names)
		}
		if names := due(made.Add(time.Second)); !slices.Contains(names, "To rotate") {
			t.Errorf("of keys made before, it is not one: %q", names)
		}
		before := time.Now()
		who.Rotate(t, key, 0)
		if names := due(before); slices.Contains(names, "To rotate") {
			t.Errorf("rotated, it is due still: %q", names)
		}
		who.Revoke(t, key)
	})
	t.Run("an unused key can be found", func(t *testing.T) {
		used, unused := who.Create(t, "Used", s.Grants), who.Create(t, "Unused", s.Grants)
		made := time.Now()
		d.Call(t, used.Token, http.MethodGet, s.Path, nil).Want(http.StatusOK)
		Eventually(t, 2*time.Second, "the use is counted", func() bool {
			return who.Get(t, used.Path()).Number("requests") == 1
		})
		names := who.Names(t, "state=active&unused_since="+stamp(made))
		if slices.Contains(names, "Used") || !slices.Contains(names, "Unused") {
			t.Errorf("unused since then are %q", names)
		}
		who.Revoke(t, used)
		who.Revoke(t, unused)
	})
}

// stamp is a time in a query.
func stamp(t time.Time) string { return url.QueryEscape(t.UTC().Format(time.RFC3339Nano)) }

func (s *Service) shownOnce(t *testing.T, who *Person) {
	answer := who.TryCreate(t, "Shown once", nil).Want(http.StatusCreated)
	key := issued(answer)
	if strings.Count(answer.Body, s.hidden(key.Token)) != 1 || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the answer that creates it shows it %d times, with Cache-Control: %q",
			strings.Count(answer.Body, s.hidden(key.Token)), answer.Header.Get("Cache-Control"))
	}
	later := []*Answer{
		who.Get(t, "keys"), who.Get(t, key.Path()), who.Get(t, key.Path("usage")), who.Get(t, key.Path("history")),
		who.Get(t, "history"), who.Get(t, "keys.csv"), who.Get(t, "catalog"),
		who.Do(t, http.MethodPatch, key.Path(), Fields{"name": "Renamed"}).Want(http.StatusOK),
		who.Post(t, key.Path("disable"), nil).Want(http.StatusOK),
		who.Post(t, key.Path("enable"), nil).Want(http.StatusOK),
		who.Post(t, key.Path("rotate"), nil).Want(http.StatusOK),
		who.Post(t, key.Path("revoke"), nil).Want(http.StatusNoContent),
	}
	for _, a := range later {
		if strings.Contains(a.Body, s.hidden(key.Token)) {
			t.Errorf("%s shows it again", a.what)
		}
	}
}

// notReadBack looks into the files that the program leaves.
func (s *Service) notReadBack(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "keys with 100%.db")
	d := s.Start(t, "-db", file)
	who := d.As(s.Member, s.Owner)
	key := who.Create(t, "Stored", s.Grants)
	d.Call(t, key.Token, http.MethodGet, s.Path, nil).Want(http.StatusOK)
	search := func() {
		found := false
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(data), key.ID)
			if strings.Contains(string(data), s.hidden(key.Token)) {
				t.Errorf("%s holds the token", f.Name())
			}
		}
		if !found {
			t.Error("not even the key's ID is in the files: this test looks at the wrong ones")
		}
	}
	search()
	d.Stop(syscall.SIGTERM)
	search()

	d = s.Start(t, "-db", file)
	d.Call(t, key.Token, http.MethodGet, s.Path, nil).Want(http.StatusOK)
	if n := d.As(s.Member, s.Owner).Get(t, key.Path()).Number("requests"); n != 1 {
		t.Errorf("of the requests before the stop %d were kept, want 1", n)
	}
}

func (s *Service) environments(t *testing.T, d *Demo, who *Person) {
	if len(s.Prefixes) == 1 { // there is one kind of token: a key for each place where it is used
		production, staging := who.Create(t, "Production", s.Grants), who.Create(t, "Staging", s.Grants)
		who.Revoke(t, staging)
		d.Call(t, staging.Token, http.MethodGet, s.Path, nil).Want(http.StatusUnauthorized)
		d.Call(t, production.Token, http.MethodGet, s.Path, nil).Want(http.StatusOK)
		who.Revoke(t, production)
		return
	}
	for i, environment := range []string{"live", "test"} {
		key := who.Create(t, "For "+environment, s.with(Fields{"environment": environment}))
		if !strings.HasPrefix(key.Token, s.Prefixes[i]) {
			t.Errorf("a key of %s does not begin with %s", environment, s.Prefixes[i])
		}
		if names := who.Names(t, "environment="+environment); !slices.Contains(names, "For "+environment) || slices.Contains(names, "For test") && slices.Contains(names, "For live") {
			t.Errorf("the keys of %s are %q", environment, names)
		}
		who.Post(t, key.Path("rotate"), Fields{"prefix": s.Prefixes[1-i]}).WantCode(http.StatusConflict, "format")
	}
}
