package apikey_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// Each route says what it asks of a key. There is no list of paths that need
// none: a route without a guard is one that the code leaves open.
func ExampleManager_Guard() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)

	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "done") })
	mux := http.NewServeMux()
	mux.Handle("GET /reports", keys.Require("reports:read")(ok))
	mux.Handle("GET /search", keys.Guard(apikey.Policy{
		Any: []apikey.Permission{"reports:read", "search:use"}, // one of them is enough
	})(ok))
	mux.Handle("GET /accounts/{account}", keys.Guard(apikey.Policy{
		Owner: func(r *http.Request) string { return r.PathValue("account") }, // nobody else's
	})(ok))
	mux.Handle("GET /whoami", keys.Require()(ok)) // any valid key

	issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{
		Name: "Search only", Permissions: apikey.Permissions{"search:*"},
	})
	if err != nil {
		panic(err)
	}
	for _, path := range []string{"/reports", "/search", "/accounts/acct_42", "/accounts/acct_43", "/whoami"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+issued.Token.Reveal())
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, path)
	}
	// Output:
	// 403 /reports
	// 200 /search
	// 200 /accounts/acct_42
	// 403 /accounts/acct_43
	// 200 /whoami
}
