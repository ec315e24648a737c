package apikey_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/go-apikey/apikey"
)

// listCalls is a handler behind keys.Require("calls:read").
func listCalls(w http.ResponseWriter, r *http.Request) {
	caller, ok := apikey.FromContext(r.Context())
	if !ok {
		http.Error(w, "this route has no guard", http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, "calls of ", caller.Owner())
	if caller.Can("calls:read:recordings") {
		fmt.Fprint(w, ", with recordings")
	}
}

// A handler is tested without a Manager, a Store or a token.
func ExampleNewContext() {
	for _, permissions := range []apikey.Permissions{{"calls:read"}, {"calls:*"}} {
		key := &apikey.Key{ID: "Test00000001", Owner: "acct_42", Permissions: permissions}
		r := httptest.NewRequest("GET", "/calls", nil)
		w := httptest.NewRecorder()
		listCalls(w, r.WithContext(apikey.NewContext(r.Context(), key.Principal())))
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 calls of acct_42
	// 200 calls of acct_42, with recordings
}
