package apikeytest_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
)

// example runs a test that does not fail, as go test would, for an Example.
func example(test func(testing.TB)) {
	e := &exampleTB{}
	test(e)
	for _, f := range slices.Backward(e.cleanups) {
		f()
	}
}

type exampleTB struct {
	testing.TB // nil: what a test that does not fail has no need of
	cleanups   []func()
}

func (*exampleTB) Helper()                  {}
func (*exampleTB) Context() context.Context { return context.Background() }
func (e *exampleTB) Cleanup(f func())       { e.cleanups = append(e.cleanups, f) }

func TestManagerIsReadyAndClosed(t *testing.T) {
	var m *apikey.Manager
	var token string
	t.Run("a test of a host", func(t *testing.T) {
		m = apikeytest.NewManager(t, &apikey.Config{Formats: []apikey.Format{{Prefix: "rd_sk_", Environment: "live"}}})
		token = apikeytest.Token(t, m, "acct_42", "calls:*")
		p, _, err := m.Verify(t.Context(), apikey.Request{Token: token, All: []apikey.Permission{"calls:read"}})
		if err != nil {
			t.Fatal(err)
		}
		if p.Owner() != "acct_42" || p.Environment() != "live" || p.Can("keys:read") {
			t.Errorf("got owner %q, environment %q, keys:read %v", p.Owner(), p.Environment(), p.Can("keys:read"))
		}
	})
	if _, _, err := m.Verify(context.Background(), apikey.Request{Token: token}); !errors.Is(err, apikey.ErrClosed) {
		t.Errorf("after the test: %v, want ErrClosed", err)
	}
}
