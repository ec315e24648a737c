package keyadmin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keyadmin"
	"github.com/go-apikey/apikey/memstore"
)

// A page that looks like the host's, leads back into it, and lets people go
// from one of their workspaces to another.
func ExampleNew_theme() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	workspaceOf := func(r *http.Request) string {
		if cookie, err := r.Cookie("workspace"); err == nil {
			return cookie.Value
		}
		return "acme"
	}

	admin, err := keyadmin.New(keys, &keyadmin.Config{
		Title:       "Acme",
		Accent:      "#0f766e",
		Links:       []keyadmin.Link{{Name: "Home", URL: "/"}, {Name: "Billing", URL: "/billing"}},
		LearnMore:   "https://docs.example/api-keys",
		SignIn:      "/login?to=/settings/keys/",
		RotateAfter: 60 * 24 * time.Hour,
		SwitchOwner: func(w http.ResponseWriter, r *http.Request, owner string) { // one of Session.Owners, by a form of the page
			http.SetCookie(w, &http.Cookie{Name: "workspace", Value: owner, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
			http.Redirect(w, r, "/settings/keys/", http.StatusSeeOther)
		},
		Identify: func(r *http.Request) (*keyadmin.Session, error) {
			return &keyadmin.Session{
				Actor:     apikey.Actor{ID: "ana@acme.example", Ceiling: apikey.Permissions{"*"}},
				Owner:     workspaceOf(r), // of the cookie; refused if it is none of these
				Owners:    []keyadmin.OwnerInfo{{ID: "acme", Name: "Acme Ltd"}, {ID: "lab", Name: "Acme Lab"}},
				Abilities: keyadmin.Abilities{See: true, Create: true, Change: true, Revoke: true},
			}, nil
		},
	})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/settings/keys/", admin)

	r := httptest.NewRequest("GET", "https://app.example/settings/keys/", http.NoBody)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, strings.Contains(w.Body.String(), "Acme Lab"))
	r = httptest.NewRequest("POST", "https://app.example/settings/keys/ui/owner", strings.NewReader("to=lab"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Set-Cookie"))
	// Output:
	// 200 true
	// 303 workspace=lab; Path=/; HttpOnly; Secure; SameSite=Lax
}
