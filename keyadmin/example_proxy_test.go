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

// Behind an identity-aware proxy: it signs people in and says who they are in a
// header. The proxy must drop that header where a client sent it, and nobody
// else must reach the service.
func ExampleNew_identityAwareProxy() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{Formats: []apikey.Format{{Prefix: "rd_sk_"}}})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)

	admin, err := keyadmin.New(keys, &keyadmin.Config{
		Identify: func(r *http.Request) (*keyadmin.Session, error) {
			email := r.Header.Get("X-Auth-Request-Email")
			if email == "" {
				return nil, errors.New("the proxy names nobody")
			}
			name, domain, _ := strings.Cut(email, "@")
			if domain != "staff.example" {
				return nil, nil // known, and has no access: 403
			}
			return &keyadmin.Session{
				Actor:     apikey.Operator(name), // the host's own staff
				Owner:     "acme",
				Owners:    []keyadmin.OwnerInfo{{ID: "acme", Name: "Acme Ltd"}},
				Abilities: keyadmin.Abilities{See: true, Create: true, Change: true, Revoke: true},
			}, nil
		},
	})
	if err != nil {
		panic(err)
	}
	handler := http.StripPrefix("/admin/keys", admin) // for a router that sets no Request.Pattern

	for _, email := range []string{"support@staff.example", "ana@elsewhere.example", ""} {
		r := httptest.NewRequest("POST", "https://app.example/admin/keys/keys", strings.NewReader(`{"name":"For Acme","metadata":{"ticket":"4711"}}`))
		r.Header.Set("X-Auth-Request-Email", email)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Printf("%q: %d\n", email, w.Code)
	}
	// Output:
	// "support@staff.example": 201
	// "ana@elsewhere.example": 403
	// "": 401
}
