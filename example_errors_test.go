package apikey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// Answers in the form that a service has always given. The headers are set by
// then; the handler writes status and body.
func ExampleHTTPConfig_errorHandler() {
	type body struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}
	answer := func(w http.ResponseWriter, _ *http.Request, err error) {
		status, b := http.StatusInternalServerError, body{"ERR_500", "Something went wrong"}
		var denial *apikey.Denial
		var unavailable *apikey.UnavailableError
		switch {
		case errors.As(err, &denial):
			status = denial.Status()
			switch denial.Reason {
			case apikey.ReasonMissing:
				b = body{"ERR_AUTH_001", "You are not authorized to access this resource"}
			case apikey.ReasonPermission:
				b = body{"ERR_AUTH_005", "You do not have permission to perform this action"}
			default:
				b = body{"ERR_AUTH_002", denial.Detail()}
			}
		case errors.As(err, &unavailable), errors.Is(err, apikey.ErrClosed):
			status, b = http.StatusServiceUnavailable, body{"ERR_503", "Try again later"}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(b)
	}

	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{
		HTTP: apikey.HTTPConfig{Realm: "example", ErrorHandler: answer},
	})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{Name: "Mine"})
	if err != nil {
		panic(err)
	}

	guarded := keys.Require("calls:create")(http.NotFoundHandler())
	for _, key := range []string{"", issued.Token.Reveal()} {
		r := httptest.NewRequest("POST", "/calls", nil)
		if key != "" {
			r.Header.Set("X-Api-Key", key)
		}
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
		fmt.Print(w.Body)
	}
	// Output:
	// 401 Bearer realm="example"
	// {"error":"ERR_AUTH_001","message":"You are not authorized to access this resource"}
	// 403 Bearer realm="example", error="insufficient_scope", scope="calls:create"
	// {"error":"ERR_AUTH_005","message":"You do not have permission to perform this action"}
}
