package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// A page on which people make keys for their own account: never one that may
// do more than they may themselves.
func ExampleActor() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)

	createKey := func(w http.ResponseWriter, r *http.Request) {
		user := userOf(r) // of the login that the service has
		by := apikey.Actor{ID: user.email, Ceiling: user.permissions}
		issued, err := keys.Keyring(user.account, by).Create(r.Context(), apikey.KeyParams{
			Name:        r.FormValue("name"),
			Permissions: apikey.Permissions{apikey.Permission(r.FormValue("permission"))},
		})
		switch {
		case errors.Is(err, apikey.ErrInvalid): // it names the field and its bounds
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		case errors.Is(err, apikey.ErrForbidden), errors.Is(err, apikey.ErrPlan):
			http.Error(w, err.Error(), http.StatusForbidden)
		case errors.Is(err, apikey.ErrKeyQuota):
			http.Error(w, err.Error(), http.StatusConflict)
		case err != nil:
			http.Error(w, "try again later", http.StatusServiceUnavailable)
		default:
			w.Header().Set("Cache-Control", "no-store")
			fmt.Fprintln(w, "copy it now, it is not shown again:", issued.Token.Reveal())
		}
	}

	for _, query := range []string{"name=Mine&permission=calls:read", "name=Mine&permission=*", "permission=calls:read"} {
		w := httptest.NewRecorder()
		createKey(w, httptest.NewRequest("POST", "/keys?"+query, nil))
		if w.Code == http.StatusOK {
			fmt.Println(w.Code)
			continue
		}
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 200
	// 403 apikey: the actor may not do this: the key may do more than the actor's Ceiling covers
	// 422 apikey: invalid input: Name: must be 1 to 256 characters
}

type user struct {
	email, account string
	permissions    apikey.Permissions
}

// userOf stands for the host's own session.
func userOf(*http.Request) user {
	return user{"ada@example.com", "acct_42", apikey.Permissions{"calls:*"}}
}
