package apikey_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// A route that takes keys and, in the same header, the sessions of a login. A
// Bearer value without the prefix of a key counts as no credential, and a
// request without a credential is let through to the next check. A bad key is
// refused all the same.
func ExamplePolicy_skipForeign() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)

	handler := func(w http.ResponseWriter, r *http.Request) {
		if caller, ok := apikey.FromContext(r.Context()); ok {
			fmt.Fprint(w, "key of ", caller.Owner())
			return
		}
		jwt, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if user := sessionOf(jwt); ok && user != "" {
			fmt.Fprint(w, "session of ", user)
			return
		}
		http.Error(w, "log in, or use a key", http.StatusUnauthorized) // Optional let it through, so this is ours to refuse
	}
	guarded := keys.Guard(apikey.Policy{Optional: true, SkipForeign: true})(http.HandlerFunc(handler))

	issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{Name: "Mine"})
	if err != nil {
		panic(err)
	}
	for _, authorization := range []string{
		"Bearer " + issued.Token.Reveal(),
		"Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2ln",
		"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJldmUifQ.",
		"Bearer sk_" + strings.Repeat("x", 45),
		"",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 key of acct_42
	// 200 session of ada
	// 401 log in, or use a key
	// 401 {"title":"Unauthorized","status":401,"detail":"The API key is not valid.","code":"invalid"}
	// 401 log in, or use a key
}

// sessionOf stands for the host's own check of a session; "": it is none.
func sessionOf(jwt string) string {
	if jwt == "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2ln" {
		return "ada"
	}
	return ""
}
