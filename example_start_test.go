package apikey_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// A service that issues keys and asks for them.
func Example() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)

	// Where a customer asks for a key:
	issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{
		Name: "Production", Permissions: apikey.Permissions{"calls:*"},
	})
	if err != nil {
		panic(err)
	}
	token := issued.Token.Reveal() // the only time it can be seen

	// Where requests come in:
	mux := http.NewServeMux()
	mux.Handle("POST /calls", keys.Require("calls:create")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := apikey.FromContext(r.Context())
		fmt.Fprintln(w, "started a call for", caller.Owner())
	})))

	for _, authorization := range []string{"Bearer " + token, "Bearer something else", ""} {
		r := httptest.NewRequest("POST", "/calls", nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 started a call for acct_42
	//
	// 400 {"title":"Bad Request","status":400,"detail":"The request must have exactly one API key, without quotes or spaces in it.","code":"malformed_request"}
	// 401 {"title":"Unauthorized","status":401,"detail":"The request has no API key.","code":"missing"}
}
