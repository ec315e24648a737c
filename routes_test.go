package apikey_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-apikey/apikey"
)

// What a route asks for is remembered with the key that was granted it: of each
// of many routes, of no other key, and no longer than the key is what it was.
func TestGrantedIsRememberedPerRouteAndKey(t *testing.T) {
	t.Parallel()
	m := newManager(t, nil)
	const routes = 140 // more than are remembered, of either kind
	handlers := make([]http.Handler, routes)
	var some apikey.Permissions
	for i := range routes {
		need := apikey.Permission(fmt.Sprintf("part%d:read", i))
		if i%3 == 0 {
			some = append(some, need)
		}
		if i%2 == 0 {
			handlers[i] = m.Require(need)(noContent)
		} else { // the same permissions, asked for otherwise
			handlers[i] = m.Guard(apikey.Policy{All: []apikey.Permission{"part0:read"}, Any: []apikey.Permission{need, "no"}})(noContent)
		}
	}
	someID, someToken := issue(t, m, apikey.KeyParams{Permissions: some})
	_, allToken := issue(t, m, apikey.KeyParams{Permissions: apikey.Permissions{"*"}})
	_, noneToken := issue(t, m, apikey.KeyParams{})
	check := func(when, token string, admitted func(i int) bool) {
		t.Helper()
		for range 3 { // the second time is what may be remembered
			for i, h := range handlers {
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				want := http.StatusForbidden
				if admitted(i) {
					want = http.StatusNoContent
				}
				if w.Code != want {
					t.Fatalf("%s, route %d: %d, want %d", when, i, w.Code, want)
				}
			}
		}
	}
	none := func(int) bool { return false }
	check("a key of all", allToken, func(int) bool { return true })
	check("a key of none", noneToken, none)
	check("a key of some", someToken, func(i int) bool { return i%3 == 0 })
	_, err := m.Keyring("acct_42", apikey.Operator("test")).Update(t.Context(), someID, apikey.KeyUpdate{Permissions: &apikey.Permissions{}})
	if err != nil {
		t.Fatal(err)
	}
	check("after all was taken from it", someToken, none)
}
