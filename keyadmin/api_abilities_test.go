package keyadmin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/keyadmin"
)

// needs is the one ability that a call asks for.
var needs = map[string]func(*keyadmin.Abilities) *bool{
	"GET keys": sees, "GET keys.csv": sees, "GET history": sees, "GET catalog": sees, "GET openapi.json": sees,
	"GET keys/{id}": sees, "GET keys/{id}/usage": sees, "GET keys/{id}/history": sees,
	"POST keys":              func(a *keyadmin.Abilities) *bool { return &a.Create },
	"PATCH keys/{id}":        changes,
	"POST keys/{id}/enable":  changes,
	"POST keys/{id}/rotate":  changes,
	"POST keys/{id}/release": changes, "POST keys/{id}/end-rotation": changes,
	"POST keys/{id}/disable": revokes, "POST keys/{id}/revoke": revokes, "POST keys/{id}/hold": revokes, "DELETE keys/{id}": revokes,
}

func sees(a *keyadmin.Abilities) *bool    { return &a.See }
func changes(a *keyadmin.Abilities) *bool { return &a.Change }
func revokes(a *keyadmin.Abilities) *bool { return &a.Revoke }

// TestAbilities: each documented call needs one ability, and no other.
func TestAbilities(t *testing.T) {
	w := newWorld(t)
	w.withSchema(t)
	w.keys(t)
	documented := 0
	for path, item := range w.schema.doc.Paths.Map() {
		for method := range item.Operations() {
			documented++
			call := method + " " + strings.TrimPrefix(path, "/")
			of, ok := needs[call]
			if !ok {
				t.Errorf("%s is not in the table", call)
				continue
			}
			q := request{as: "support", method: method, path: strings.Replace(strings.TrimPrefix(path, "/"), "{id}", "{unknown}", 1)}
			w.set(func() {
				w.people["support"].Abilities = everything
				*of(&w.people["support"].Abilities) = false
			})
			if a := w.do(t, q); a.status != 403 || a.problem(t).Code != "forbidden" {
				t.Errorf("%s with all other abilities: %d %s", call, a.status, a.body)
			}
			w.set(func() {
				w.people["support"].Abilities = keyadmin.Abilities{}
				*of(&w.people["support"].Abilities) = true
			})
			if a := w.do(t, q); a.status == 403 {
				t.Errorf("%s with its ability alone: %d %s", call, a.status, a.body)
			}
		}
	}
	if documented != len(needs) {
		t.Errorf("%d calls are documented, and %d in the table", documented, len(needs))
	}
}

// TestUntidyPaths are nothing's, and redirect nobody out of the mount.
func TestUntidyPaths(t *testing.T) {
	w := newWorld(t)
	w.keys(t)
	h := w.handler(t)
	for _, path := range []string{"//keys", "/keys//" + w.ids["own"], "/keys/./x", "/keys/../keys", "/keys/.", "/keys/..", "/keys/", "/keys/" + w.ids["own"] + "/", "//"} {
		r := httptest.NewRequest("GET", "/x", nil)
		r.URL.Path, r.RequestURI = path, path
		r.Header.Set("X-User", "ana")
		rec := secretwatch.Recorder(t)
		h.ServeHTTP(rec, r)
		if rec.Code != http.StatusNotFound || rec.Header().Get("Location") != "" {
			t.Errorf("%s: %d, Location %q", path, rec.Code, rec.Header().Get("Location"))
		}
	}
}
