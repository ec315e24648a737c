package apikeytest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/memstore"
)

// api is the service whose tests these are.
func api(keys *apikey.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /calls", keys.Require("calls:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := apikey.FromContext(r.Context())
		_, _ = io.WriteString(w, "calls of "+p.Owner())
	})))
	return mux
}

// A service's own test has a Manager and tokens in one line each.
func ExampleToken() {
	testAPI := func(t testing.TB) {
		keys := apikeytest.NewManager(t, nil)
		token := apikeytest.Token(t, keys, "acct_42", "calls:read")

		r := httptest.NewRequest("GET", "/calls", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api(keys).ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	example(testAPI)
	// Output: 200 calls of acct_42
}

// What does a service answer while its database is down?
func ExampleFaultyStore() {
	store := &apikeytest.FaultyStore{
		Store: memstore.New(),
		Fail: func(op string, n int) apikeytest.Fault {
			if op == "Get" && n == 1 {
				return apikeytest.FailBefore
			}
			return apikeytest.NoFault
		},
	}
	testOutage := func(t testing.TB) {
		keys, err := apikey.New(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = keys.Close(t.Context()) }()
		token := apikeytest.Token(t, keys, "acct_42", "calls:read")
		for range 2 {
			r := httptest.NewRequest("GET", "/calls", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			api(keys).ServeHTTP(w, r)
			fmt.Println(w.Code)
		}
		fmt.Println("the store was asked", store.Calls("Get"), "times")
	}
	example(testOutage)
	// Output:
	// 503
	// 200
	// the store was asked 2 times
}

// An adapter holds itself to the contract of a Store in one line.
func ExampleRunStore() {
	testStore := func(t *testing.T) {
		apikeytest.RunStore(t, func(*testing.T) apikey.Store { return memstore.New() })
	}
	_ = testStore // go test calls it as TestStore
}
