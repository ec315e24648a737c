package keyadmin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keyadmin"
	"github.com/go-apikey/apikey/memstore"
)

// Under an existing router, with the login that the service has: the session
// is found by its cookie, and the workspace by what the person last chose.
func ExampleNew_sessionCookie() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{Formats: []apikey.Format{{Prefix: "rd_sk_"}}})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)

	admin, err := keyadmin.New(keys, &keyadmin.Config{
		Title: "Acme API keys",
		Identify: func(r *http.Request) (*keyadmin.Session, error) {
			cookie, err := r.Cookie("session")
			if err != nil {
				return nil, err // 401
			}
			user, ok := sessions[cookie.Value]
			if !ok {
				return nil, errors.New("no such session")
			}
			s := &keyadmin.Session{
				Actor:     apikey.Actor{ID: user.email, Ceiling: apikey.Permissions{"*"}},
				Owner:     user.workspace,
				Abilities: keyadmin.Abilities{See: true},
			}
			for id, role := range user.roles { // asked anew each time: who is removed is out at once
				s.Owners = append(s.Owners, keyadmin.OwnerInfo{ID: id})
				if id == user.workspace && role == "admin" {
					s.Abilities = keyadmin.Abilities{See: true, Create: true, Change: true, Revoke: true}
				}
			}
			return s, nil
		},
	})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux() // the service's own
	mux.Handle("/settings/keys/", admin)

	call := func(session, method, path, body string) int {
		r := httptest.NewRequest(method, "https://app.example"+path, strings.NewReader(body))
		r.AddCookie(&http.Cookie{Name: "session", Value: session})
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Code
	}
	fmt.Println("an admin creates:", call("s-ana", "POST", "/settings/keys/keys", `{"name":"Production"}`))
	fmt.Println("a viewer lists:", call("s-cy", "GET", "/settings/keys/keys", ""))
	fmt.Println("a viewer creates:", call("s-cy", "POST", "/settings/keys/keys", `{"name":"Mine"}`))
	fmt.Println("a stranger lists:", call("s-none", "GET", "/settings/keys/keys", ""))
	// Output:
	// an admin creates: 201
	// a viewer lists: 200
	// a viewer creates: 403
	// a stranger lists: 401
}

type member struct {
	email, workspace string
	roles            map[string]string // by workspace
}

// sessions stands for the service's own.
var sessions = map[string]member{
	"s-ana": {"ana@acme.example", "acme", map[string]string{"acme": "admin", "beta": "viewer"}},
	"s-cy":  {"cy@acme.example", "acme", map[string]string{"acme": "viewer"}},
}
