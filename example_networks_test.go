package apikey_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// A key that works from one network only, behind a balancer: requests count as
// from whom the balancer saw.
func ExampleKeyParams_networks() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{
		HTTP: apikey.HTTPConfig{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		OnEvent: func(_ context.Context, e apikey.Event) {
			if e.Kind == apikey.EventDenied {
				fmt.Println(e.Reason, "from", e.Peer, "- a key of ours:", e.KeyID != "")
			}
		},
	})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{
		Name: "Office", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	})
	if err != nil {
		panic(err)
	}
	h := keys.Require()(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "welcome") }))
	for _, client := range []string{"192.0.2.7", "198.51.100.7"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "10.0.0.1:4711" // the balancer
		r.Header.Set("X-Forwarded-For", client)
		r.Header.Set("Authorization", "Bearer "+issued.Token.Reveal())
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(client, w.Code)
	}
	// Output:
	// 192.0.2.7 200
	// invalid from 198.51.100.7 - a key of ours: true
	// 198.51.100.7 401
}
