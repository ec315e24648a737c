package keyadmin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/keyadmin"
	"github.com/go-apikey/apikey/memstore"
	"github.com/google/go-cmp/cmp"
)

var support = apikey.Operator("support")

var everything = keyadmin.Abilities{See: true, Create: true, Change: true, Revoke: true}

// world is a service with the handler at /dashboard/, and keys of two owners.
type world struct {
	store   *memstore.Store
	manager *apikey.Manager
	server  *httptest.Server
	schema  *schema // of the served document; nil: answers are not held against it

	mu     sync.Mutex
	time   time.Time
	people map[string]*keyadmin.Session
	plans  map[string]apikey.Plan
	ids    map[string]string // of keys by their names
}

var start = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

var catalog = &apikey.Catalog{
	Permissions: []apikey.PermissionInfo{
		{Permission: "jobs:read", Title: "Read jobs", Group: "Jobs"},
		{Permission: "jobs:write", Description: "And read them.", Group: "Jobs"},
		{Permission: "account:manage"},
	},
	Presets: []apikey.Preset{{Name: "read-only", Title: "Read only", Permissions: apikey.Permissions{"*:read"}}},
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{store: memstore.New(), time: start, ids: map[string]string{}, plans: map[string]apikey.Plan{}}
	w.people = map[string]*keyadmin.Session{
		"support": {Actor: support, Owner: "acme", Owners: []keyadmin.OwnerInfo{{ID: "acme", Name: "Acme"}, {ID: "beta"}}, Abilities: everything},
		"ana":     {Actor: apikey.Actor{ID: "ana", Ceiling: apikey.Permissions{"*"}}, Owner: "acme", Owners: []keyadmin.OwnerInfo{{ID: "acme"}}, Abilities: everything},
		"low":     {Actor: apikey.Actor{ID: "low", Ceiling: apikey.Permissions{"jobs:read"}}, Owner: "acme", Owners: []keyadmin.OwnerInfo{{ID: "acme"}}, Abilities: everything},
		"cy":      {Actor: apikey.Actor{ID: "cy", Ceiling: apikey.Permissions{"*"}}, Owner: "acme", Owners: []keyadmin.OwnerInfo{{ID: "acme"}}, Abilities: keyadmin.Abilities{See: true}},
		"bo":      {Actor: apikey.Actor{ID: "bo", Ceiling: apikey.Permissions{"*"}}, Owner: "beta", Owners: []keyadmin.OwnerInfo{{ID: "beta"}}, Abilities: everything},
		"lapsed":  {Actor: apikey.Actor{ID: "lapsed"}, Owner: "acme", Owners: []keyadmin.OwnerInfo{{ID: "beta"}}, Abilities: everything},
		"empty":   {Actor: support, Owner: "", Owners: []keyadmin.OwnerInfo{{ID: ""}}, Abilities: everything},
		"control": {Actor: support, Owner: "a\x01", Owners: []keyadmin.OwnerInfo{{ID: "a\x01"}}, Abilities: everything},
		"nobody":  nil,
	}
	m, err := apikey.New(w.store, &apikey.Config{
		Formats:       []apikey.Format{{Prefix: "rd_sk_", Environment: "live"}, {Prefix: "rd_new_", Environment: "live"}, {Prefix: "rd_test_", Environment: "test"}},
		Schemes:       []apikey.Scheme{{Name: "legacy", Prefix: "fm_", MinLen: 20, Environment: "live"}},
		Catalog:       catalog,
		Plan:          w.plan,
		FlushInterval: time.Hour,
		Now:           w.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.manager = m
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	mux := http.NewServeMux()
	mux.Handle("/dashboard/", w.handler(t))
	w.server = httptest.NewServer(mux)
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) handler(t testing.TB) http.Handler {
	t.Helper()
	h, err := keyadmin.New(w.manager, &keyadmin.Config{Identify: w.identify, Title: "Acme keys"})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (w *world) identify(r *http.Request) (*keyadmin.Session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.people[r.Header.Get("X-User")]
	if !ok {
		return nil, errors.New("who is this?")
	}
	if s == nil {
		return nil, nil
	}
	copied := *s
	if owner := r.Header.Get("X-Owner"); owner != "" {
		copied.Owner = owner
	}
	return &copied, nil
}

func (w *world) plan(_ context.Context, owner string) (apikey.Plan, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p, ok := w.plans[owner]; ok {
		return p, nil
	}
	return apikey.Plan{Name: "pro", MaxKeys: 1000, OwnerLimits: []apikey.Limit{apikey.PerMinute(300)}}, nil
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// make makes a key of an owner, named name, and changes it as said.
func (w *world) make(t testing.TB, owner, name string, p apikey.KeyParams, then ...func(*apikey.Keyring, string) (*apikey.Key, error)) string {
	t.Helper()
	p.Name = name
	keys := w.manager.Keyring(owner, support)
	issued, err := keys.Create(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range then {
		if _, err := f(keys, issued.Key.ID); err != nil {
			t.Fatal(err)
		}
	}
	w.ids[name] = issued.Key.ID
	return issued.Token.Reveal()
}

// keys makes one key of every kind.
func (w *world) keys(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	type ring = apikey.Keyring
	low := apikey.KeyParams{Permissions: apikey.Permissions{"jobs:read"}}
	w.make(t, "acme", "own", low)
	w.make(t, "acme", "high", apikey.KeyParams{Permissions: apikey.Permissions{"*"}})
	w.make(t, "acme", "held", low, func(r *ring, id string) (*apikey.Key, error) { return r.Hold(ctx, id) })
	w.make(t, "acme", "disabled", low, func(r *ring, id string) (*apikey.Key, error) { return r.Disable(ctx, id) })
	w.make(t, "acme", "revoked", low, func(r *ring, id string) (*apikey.Key, error) { return r.Revoke(ctx, id) })
	w.make(t, "acme", "rotating", low, func(r *ring, id string) (*apikey.Key, error) {
		issued, err := r.Rotate(ctx, id, apikey.RotateParams{Grace: time.Hour})
		if err != nil {
			return nil, err
		}
		return issued.Key, nil
	})
	w.make(t, "acme", "expired", apikey.KeyParams{Permissions: low.Permissions, ExpiresAt: w.now().Add(time.Second)})
	w.make(t, "beta", "theirs", low)
	w.set(func() { w.time = w.time.Add(time.Minute) })
	w.ids["unknown"] = "0123456789ab"
}

// request is one call.
type request struct {
	as, method, path string // the path is relative to the mount; {name} stands for the ID of the key of this name
	body             string // "": none
	header           http.Header
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// do calls, and holds the answer against the promises for every answer.
func (w *world) do(t testing.TB, q request) *answer {
	t.Helper()
	for name, id := range w.ids {
		q.path = strings.ReplaceAll(q.path, "{"+name+"}", id)
	}
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	r, err := http.NewRequestWithContext(t.Context(), q.method, w.server.URL+"/dashboard/"+q.path, body)
	if err != nil {
		t.Fatal(err)
	}
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("X-User", q.as)
	maps.Copy(r.Header, q.header)
	client := *w.server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(secretwatch.Error(t.Name(), err))
	}
	a := &answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	if (a.status == 201 || a.status == 200) && bytes.Contains(a.body, []byte(`"token":`)) {
		secretwatch.Reveal(t.Name()+": HTTP body", a.token(t))
	}
	secretwatch.Response(t.Name(), a.status, a.header, a.body)
	checkHeaders(t, q, a)
	if w.schema != nil {
		w.schema.check(t, q, r, a)
	}
	return a
}

func checkHeaders(t testing.TB, q request, a *answer) {
	t.Helper()
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
			"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
	} {
		if got := a.header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s %s: %s is %q, want %q", q.method, q.path, name, got, want)
		}
	}
	if a.status >= 400 && q.method != http.MethodHead {
		if got := a.header.Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s %s: %d with Content-Type %q", q.method, q.path, a.status, got)
		}
		if p := a.problem(t); p.Status != a.status || p.Title == "" || p.Code == "" {
			t.Errorf("%s %s: a problem that lacks something: %s", q.method, q.path, a.body)
		}
	}
}

type problem struct {
	Status              int
	Title, Detail, Code string
	Errors              []struct{ Location, Message string }
}

func (a *answer) problem(t testing.TB) problem {
	t.Helper()
	return decode[problem](t, a)
}

func (p problem) locations() []string {
	var out []string
	for _, e := range p.Errors {
		out = append(out, e.Location)
	}
	slices.Sort(out)
	return out
}

func (a *answer) token(t testing.TB) string {
	t.Helper()
	return decode[struct{ Token string }](t, a).Token
}

func decode[T any](t testing.TB, a *answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return v
}

// snapshot is all that the store keeps: records, and how much history.
type snapshot struct {
	Records map[string][]byte
	History int
}

func (w *world) snapshot(t testing.TB) snapshot {
	t.Helper()
	s := snapshot{Records: map[string][]byte{}}
	for q := (apikey.Query{AllOwners: true, Limit: 1000}); ; {
		page, err := w.store.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Keys {
			rec, err := w.store.Get(t.Context(), k.ID)
			if err != nil {
				t.Fatal(err)
			}
			s.Records[k.ID] = rec.Bytes()
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	for q := (apikey.HistoryQuery{AllOwners: true, Limit: 1000}); ; {
		page, err := w.store.History(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		s.History += len(page.Changes)
		if q.After = page.Next; q.After == "" {
			return s
		}
	}
}

// unchanged fails the test if the store differs from before.
func (w *world) unchanged(t testing.TB, before snapshot) {
	t.Helper()
	if diff := cmp.Diff(before, w.snapshot(t)); diff != "" {
		t.Errorf("the store changed (-before +after):\n%s", diff)
	}
}
