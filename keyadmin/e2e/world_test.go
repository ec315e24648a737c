package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keyadmin"
	"github.com/go-apikey/apikey/memstore"
)

// world is a service with a login, the page at /settings/keys/, and an API
// that keys guard.
type world struct {
	store   *stoppable
	manager *apikey.Manager
	server  *httptest.Server
	host    string

	mu     sync.Mutex
	offset time.Duration // of the service's clock
	plans  map[string]apikey.Plan
	slow   chan struct{} // not nil: pages wait until it is closed
}

const mount = "/settings/keys/"

var support = apikey.Operator("support")

var people = map[string]keyadmin.Session{
	"ana":     {Actor: apikey.Actor{ID: "ana@northwind.example", Ceiling: apikey.Permissions{"*"}}, Owner: "northwind", Owners: []keyadmin.OwnerInfo{{ID: "northwind", Name: "Northwind"}, {ID: "lab", Name: "Northwind Lab"}}, Abilities: everything},
	"cy":      {Actor: apikey.Actor{ID: "cy@northwind.example", Ceiling: apikey.Permissions{"*"}}, Owner: "northwind", Owners: []keyadmin.OwnerInfo{{ID: "northwind", Name: "Northwind"}}, Abilities: keyadmin.Abilities{See: true}},
	"di":      {Actor: apikey.Actor{ID: "di@northwind.example", Ceiling: apikey.Permissions{"*:read"}}, Owner: "northwind", Owners: []keyadmin.OwnerInfo{{ID: "northwind", Name: "Northwind"}}, Abilities: everything},
	"none":    {Actor: apikey.Actor{ID: "none@northwind.example"}, Owner: "northwind", Owners: []keyadmin.OwnerInfo{{ID: "northwind", Name: "Northwind"}}},
	"support": {Actor: support, Owner: "northwind", Owners: []keyadmin.OwnerInfo{{ID: "northwind", Name: "Northwind"}, {ID: "lab", Name: "Northwind Lab"}}, Abilities: everything},
}

var everything = keyadmin.Abilities{See: true, Create: true, Change: true, Revoke: true}

var catalog = &apikey.Catalog{
	Permissions: []apikey.PermissionInfo{
		{Permission: "documents:read", Title: "Read documents", Group: "Documents"},
		{Permission: "documents:generate", Title: "Generate documents", Description: "Each one counts against the month’s volume.", Group: "Documents"},
		{Permission: "templates:read", Title: "Read templates", Group: "Templates"},
		{Permission: "templates:manage", Title: "Change and publish templates", Group: "Templates"},
		{Permission: "analytics:read", Title: "See analytics", Group: "Analytics"},
		{Permission: "team:manage", Title: "Invite members and set roles", Group: "Team"},
	},
	Presets: []apikey.Preset{
		{Name: "read-only", Title: "Read only", Description: "Sees everything, changes nothing.", Permissions: apikey.Permissions{"*:read"}},
		{Name: "full-access", Title: "Full access", Description: "Whatever there is, now and later.", Permissions: apikey.Permissions{"*"}},
	},
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{store: &stoppable{Store: memstore.New()}, plans: map[string]apikey.Plan{}}
	m, err := apikey.New(w.store, &apikey.Config{
		Formats:       []apikey.Format{{Prefix: "nw_live_", Environment: "live"}, {Prefix: "nw_test_", Environment: "test"}},
		Schemes:       []apikey.Scheme{{Name: "legacy", Prefix: "fm_", MinLen: 20, MaxLen: 64, Environment: "live"}},
		Catalog:       catalog,
		Plan:          w.plan,
		PlanTTL:       time.Millisecond,
		FlushInterval: 50 * time.Millisecond,
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
	admin, err := keyadmin.New(m, &keyadmin.Config{
		Identify: identify, Title: "Northwind API", LearnMore: "/docs", SignIn: "/login?user=ana",
		Links: []keyadmin.Link{{Name: "Docs", URL: "/docs"}},
		SwitchOwner: func(rw http.ResponseWriter, r *http.Request, owner string) {
			http.SetCookie(rw, &http.Cookie{Name: "owner", Value: owner, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
			http.Redirect(rw, r, mount, http.StatusSeeOther)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(w.routes(admin))
	t.Cleanup(w.server.Close)
	u, err := url.Parse(w.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.host = u.Host
	return w
}

func (w *world) routes(admin http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(mount, func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		slow := w.slow
		w.mu.Unlock()
		if slow != nil && !strings.Contains(r.URL.Path, "/ui/app-") {
			select {
			case <-slow:
			case <-r.Context().Done():
			}
		}
		admin.ServeHTTP(rw, r)
	})
	mux.HandleFunc("GET /login", func(rw http.ResponseWriter, r *http.Request) {
		http.SetCookie(rw, &http.Cookie{Name: "user", Value: r.URL.Query().Get("user"), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		rw.Header().Set("Content-Type", "text/html")
		_, _ = rw.Write([]byte(`<!doctype html><link rel="icon" href="data:,"><title>in</title>signed in`))
	})
	mux.HandleFunc("GET /docs", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = rw.Write([]byte(`<!doctype html><link rel="icon" href="data:,"><title>docs</title>the docs`))
	})
	ok := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNoContent) })
	mux.Handle("GET /v1/documents", w.manager.Require("documents:read")(ok))
	mux.Handle("POST /v1/documents", w.manager.Require("documents:generate")(ok))
	return mux
}

func identify(r *http.Request) (*keyadmin.Session, error) {
	cookie, err := r.Cookie("user")
	if err != nil {
		return nil, err
	}
	s, ok := people[cookie.Value]
	if !ok {
		return nil, errors.New("who is this?")
	}
	if owner, err := r.Cookie("owner"); err == nil {
		s.Owner = owner.Value
	}
	return &s, nil
}

func (w *world) plan(_ context.Context, owner string) (apikey.Plan, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p, ok := w.plans[owner]; ok {
		return p, nil
	}
	return apikey.Plan{Name: "pro", MaxKeys: 25, OwnerLimits: []apikey.Limit{apikey.PerMinute(1000)}, KeyLimits: []apikey.Limit{apikey.PerSecond(20)}}, nil
}

// now is a fixed day, and goes on from it.
func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return began.Add(time.Since(startedAt) + w.offset)
}

var (
	began     = time.Date(2026, 7, 1, 14, 20, 0, 0, time.UTC)
	startedAt = time.Now()
)

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// call asks the guarded API, as a program with the key would.
func (w *world) call(t *testing.T, method, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.server.URL+"/v1/documents", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := w.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// stoppable is a Store that fails while it is stopped.
type stoppable struct {
	*memstore.Store
	mu      sync.Mutex
	stopped bool
}

var errStopped = errors.New("the store is stopped")

func (s *stoppable) stop(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = on
}

func (s *stoppable) List(ctx context.Context, q apikey.Query) (apikey.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return apikey.Page{}, errStopped
	}
	return s.Store.List(ctx, q)
}
