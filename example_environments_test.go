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

// Keys for tests beside those for the real thing, told apart at a glance.
func ExampleFormat_environments() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{
		Formats: []apikey.Format{
			{Prefix: "rg_live_", Environment: "live"},
			{Prefix: "rg_test_", Environment: "test"},
		},
	})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)

	mux := http.NewServeMux()
	mux.Handle("POST /calls", keys.Require()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if caller, _ := apikey.FromContext(r.Context()); caller.Environment() == "test" {
			fmt.Fprint(w, "pretended to call")
			return
		}
		fmt.Fprint(w, "called")
	})))
	mux.Handle("POST /payouts", keys.Guard(apikey.Policy{Environment: "live"})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "paid out")
	})))

	ring := keys.Keyring("acct_42", apikey.Operator("signup"))
	for _, environment := range []string{"live", "test"} {
		issued, err := ring.Create(ctx, apikey.KeyParams{Name: "Mine", Environment: environment})
		if err != nil {
			panic(err)
		}
		token := issued.Token.Reveal()
		fmt.Println(token[:strings.LastIndex(token, "_")+1])
		for _, path := range []string{"/calls", "/payouts"} {
			r := httptest.NewRequest("POST", path, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			fmt.Println(w.Code, w.Body)
		}
	}
	// Output:
	// rg_live_
	// 200 called
	// 200 paid out
	// rg_test_
	// 200 pretended to call
	// 403 {"title":"Forbidden","status":403,"detail":"The API key is of another environment.","code":"environment"}
}
