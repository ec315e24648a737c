package apikey_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// routerContext is what a router like gin or echo hands to its handlers.
type routerContext struct {
	Writer  http.ResponseWriter
	Request *http.Request
}

type routerHandler func(*routerContext)

// requireKey is a middleware for such a router, in the dozen lines that it takes.
func requireKey(keys *apikey.Manager, need ...apikey.Permission) func(routerHandler) routerHandler {
	policy := apikey.Policy{All: need}
	return func(next routerHandler) routerHandler {
		return func(c *routerContext) {
			caller, decision, err := keys.Check(c.Request, policy)
			if err != nil {
				keys.WriteError(c.Writer, c.Request, err)
				return
			}
			keys.SetHeader(c.Writer.Header(), caller, decision)
			c.Request = c.Request.WithContext(apikey.NewContext(c.Request.Context(), caller))
			next(c)
		}
	}
}

// A router whose handlers are not net/http's.
func ExampleManager_Check() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{
		Name: "Mine", Permissions: apikey.Permissions{"calls:read"},
	})
	if err != nil {
		panic(err)
	}

	handler := func(c *routerContext) {
		caller, _ := apikey.FromContext(c.Request.Context())
		fmt.Fprint(c.Writer, "calls of ", caller.Owner())
	}
	for _, need := range []apikey.Permission{"calls:read", "calls:create"} {
		c := &routerContext{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("GET", "/calls", nil)}
		c.Request.Header.Set("X-Api-Key", issued.Token.Reveal())
		requireKey(keys, need)(handler)(c)
		w := c.Writer.(*httptest.ResponseRecorder)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 calls of acct_42
	// 403 {"title":"Forbidden","status":403,"detail":"The API key lacks the permission calls:create.","code":"permission"}
}
