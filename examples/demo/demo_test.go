package demo

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
)

func TestMain(m *testing.M) { secretwatch.Main(m) }

func TestWithin(t *testing.T) {
	for _, test := range []struct{ to, want string }{
		{"/dashboard/", "/dashboard/"},
		{"/dashboard/keys?q=ci&limit=5", "/dashboard/keys?q=ci&limit=5"},
		{"/", "/"},
		{"", dashboard},
		{"//evil.example", dashboard},
		{"///evil.example", dashboard},
		{`/\evil.example`, dashboard},
		{`\\evil.example`, dashboard},
		{"http://evil.example", dashboard},
		{"http:/evil.example", dashboard},
		{"//user@evil.example", dashboard},
		{"javascript:alert(1)", dashboard},
		{"/\t/evil.example", dashboard},
		{"/\n", dashboard},
		{"dashboard/", dashboard},
		{"?x", dashboard},
		{":", dashboard},
	} {
		if got := within(test.to); got != test.want {
			t.Errorf("within(%q) = %q, want %q", test.to, got, test.want)
		}
	}
}

// small is the least Service.
func small() *Service {
	return &Service{
		Title:  "small",
		Plans:  []apikey.Plan{{Name: "only", MaxKeys: 1}},
		Owners: []Owner{{ID: "acme", Name: "Acme", Plan: "only"}},
		People: []Person{{ID: "ana", Owners: []string{"acme"}}},
		Routes: func(*apikey.Manager, *http.ServeMux) {},
	}
}

func TestArguments(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want error // nil: any
	}{
		{"help", []string{"-h"}, flag.ErrHelp},
		{"unknown flag", []string{"-nonsense"}, nil},
		{"an argument that is no flag", []string{"-addr", "127.0.0.1:0", "more"}, nil},
		{"no address", []string{"-addr", "nowhere"}, nil},
		{"a file that cannot be", []string{"-addr", "127.0.0.1:0", "-db", filepath.Join(t.TempDir(), "absent", "keys.db")}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := small().run(t.Context(), test.args, &bytes.Buffer{})
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("run(%q) = %v", test.args, err)
			}
		})
	}
}

func TestStopWhileStarting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := small()
	s.Seed = func(ctx context.Context, _ *apikey.Manager) (string, error) {
		cancel()
		return "", ctx.Err()
	}
	for _, args := range [][]string{{"-addr", "127.0.0.1:0"}, {"-addr", "127.0.0.1:0", "-db", filepath.Join(t.TempDir(), "keys.db")}} {
		if err := s.run(ctx, args, &bytes.Buffer{}); err != nil {
			t.Errorf("run(%q), told to stop, ends with %v", args, err)
		}
	}
}

func TestFileIsMadeAtItsName(t *testing.T) {
	for _, name := range []string{"keys.db", "100% ?.db", "a#b.db", "äöü.db"} {
		file := filepath.Join(t.TempDir(), name)
		_, closeStore, err := openStore(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		if err := closeStore(); err != nil {
			t.Error(err)
		}
		if found, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); !cmp.Equal(found, []string{file}) {
			t.Errorf("for %q there is %q", file, found)
		}
	}
}

func TestUnknownOwnerHasNoPlan(t *testing.T) {
	s := &service{Service: small(), planOf: map[string]string{"acme": "only"}}
	if p, err := s.plan(t.Context(), "acme"); err != nil || p.Name != "only" {
		t.Errorf("acme's is %v, %v", p, err)
	}
	if p, err := s.plan(t.Context(), "nobody"); err == nil {
		t.Errorf("nobody's is %v", p)
	}
}

func TestSetPlan(t *testing.T) {
	keys, err := apikey.New(nopStore{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close(t.Context())
	s := &service{Service: small(), keys: keys, planOf: map[string]string{"acme": "only"}}
	s.Plans = append(s.Plans, apikey.Plan{Name: "other"})
	for _, test := range []struct {
		body   string
		status int
	}{
		{`{"owner":"acme","plan":"nonsense"}`, 422},
		{`{"owner":"acme"}`, 422},
		{`{"owner":"nobody","plan":"other"}`, 404},
		{`{}`, 404},
		{`nonsense`, 400},
		{`{"owner":"` + strings.Repeat("x", maxBody) + `"}`, 413},
		{`{"owner":"acme","plan":"other"}`, 200},
	} {
		w := httptest.NewRecorder()
		s.setPlan(w, httptest.NewRequest("POST", "/demo/plan", strings.NewReader(test.body)))
		if w.Code != test.status {
			t.Errorf("%.40s: %d, want %d", test.body, w.Code, test.status)
		}
		if want := map[bool]string{true: "other", false: "only"}[test.status == 200]; s.planOf["acme"] != want {
			t.Errorf("after %.40s the plan is %s", test.body, s.planOf["acme"])
		}
	}
}

// nopStore is never called.
type nopStore struct{ apikey.Store }

func TestRowsAreBoundedAndPerOwner(t *testing.T) {
	rows := NewRows("row_", Problem)
	first := rows.Add("acme", Row{"name": "first"})
	for range maxRows {
		rows.Add("acme", Row{})
	}
	if n := rows.Len("acme"); n != maxRows {
		t.Errorf("%d are kept", n)
	}
	for _, test := range []struct {
		owner string
		id    any
		want  int
	}{
		{"acme", first["id"], 404},
		{"acme", rows.Add("acme", Row{})["id"], 200},
		{"acme", rows.Add("beta", Row{})["id"], 404},
	} {
		key := &apikey.Key{ID: "Test00000001", Owner: test.owner}
		r := httptest.NewRequest("GET", "/", nil)
		r.SetPathValue("id", test.id.(string))
		w := httptest.NewRecorder()
		rows.Get(w, r.WithContext(apikey.NewContext(r.Context(), key.Principal())))
		if w.Code != test.want {
			t.Errorf("%+v: %d", test, w.Code)
		}
	}
}

func TestReturnedRowsAreCopies(t *testing.T) {
	rows := NewRows("row_", Problem)
	got := rows.Add("acme", Row{"done": time.Time{}})
	got["name"] = "changed"
	if rows.rows["acme"][0]["name"] != nil {
		t.Error("a change of what was returned is stored")
	}
}

// TestREADME: whoever looks for an example finds it there.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(string(readme), "[`"+e.Name()+"`](") {
			t.Errorf("examples/README.md does not say what %s shows", e.Name())
		}
	}
}
