package demotest

import (
	"maps"
	"net/http"
	"strings"
	"testing"
)

// Person is somebody at the dashboard.
type Person struct {
	d           *Demo
	user, owner string
}

// As is a person who looks at an owner; "": at their first.
func (d *Demo) As(user, owner string) *Person { return &Person{d: d, user: user, owner: owner} }

// Do makes a call of the dashboard, "keys" for example.
func (p *Person) Do(t testing.TB, method, path string, body any) *Answer {
	t.Helper()
	return p.d.Do(t, method, "/dashboard/"+path, body, func(r *http.Request) {
		r.Header.Set("X-Demo-User", p.user)
		if p.owner != "" {
			r.Header.Set("X-Demo-Owner", p.owner)
		}
	})
}

// Get is Do with GET, which must be answered 200.
func (p *Person) Get(t testing.TB, path string) *Answer {
	t.Helper()
	return p.Do(t, http.MethodGet, path, nil).Want(http.StatusOK)
}

// Key is a key that was created.
type Key struct{ ID, Token string }

// Path is the address of its API, or of a verb under it.
func (k Key) Path(verb ...string) string {
	return strings.Join(append([]string{"keys", k.ID}, verb...), "/")
}

// Fields are more of a new key than its name.
type Fields map[string]any

// Create makes a key.
func (p *Person) Create(t testing.TB, name string, fields Fields) Key {
	t.Helper()
	return issued(p.TryCreate(t, name, fields).Want(http.StatusCreated))
}

// TryCreate asks for a key.
func (p *Person) TryCreate(t testing.TB, name string, fields Fields) *Answer {
	t.Helper()
	body := map[string]any{"name": name}
	maps.Copy(body, fields)
	return p.Do(t, http.MethodPost, "keys", body)
}

// Rotate gives a key a new token.
func (p *Person) Rotate(t testing.TB, k Key, grace int) Key {
	t.Helper()
	return issued(p.Post(t, k.Path("rotate"), map[string]any{"grace_seconds": grace}).Want(http.StatusOK))
}

func issued(a *Answer) Key { return Key{ID: a.String("key", "id"), Token: a.String("token")} }

// Post is Do with POST.
func (p *Person) Post(t testing.TB, path string, body any) *Answer {
	t.Helper()
	return p.Do(t, http.MethodPost, path, body)
}

// Revoke revokes a key.
func (p *Person) Revoke(t testing.TB, k Key) {
	t.Helper()
	p.Post(t, k.Path("revoke"), nil).Want(http.StatusNoContent)
}

// Names are those of the keys that a query of the list finds, newest first.
func (p *Person) Names(t testing.TB, query string) []string {
	t.Helper()
	names := []string{}
	for _, key := range p.Get(t, "keys?"+query).List("keys") {
		name, _ := key["name"].(string)
		names = append(names, name)
	}
	return names
}

// Actions are what a history says was done, newest first.
func (p *Person) Actions(t testing.TB, path string) []string {
	t.Helper()
	var actions []string
	for _, change := range p.Get(t, path).List("changes") {
		action, _ := change["action"].(string)
		actions = append(actions, action)
	}
	return actions
}

// SetPlan is what a billing system does.
func (d *Demo) SetPlan(t testing.TB, owner, plan string) {
	t.Helper()
	d.Do(t, http.MethodPost, "/demo/plan", map[string]string{"owner": owner, "plan": plan}, nil).Want(http.StatusOK)
}
