package apikeytest

import (
	"context"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// NewManager is a Manager over an empty store in memory, for a service's own
// tests. A nil cfg is the zero Config. It is closed by t.Cleanup, and the test
// fails if it cannot be made or closed.
func NewManager(t testing.TB, cfg *apikey.Config) *apikey.Manager {
	t.Helper()
	m, err := apikey.New(memstore.New(), cfg)
	if err != nil {
		t.Fatalf("apikeytest.NewManager: %v", err)
	}
	t.Cleanup(func() {
		// t.Context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			t.Errorf("apikeytest.NewManager: %v", err)
		}
	})
	return m
}

// Token is the token of a new key of owner that has these permissions, as a
// client would send it. The test fails if it cannot be made. The
// key itself is found by its token with [apikey.Manager.Lookup].
func Token(t testing.TB, m *apikey.Manager, owner string, perms ...apikey.Permission) string {
	t.Helper()
	issued, err := m.Keyring(owner, apikey.Operator("test")).Create(t.Context(), apikey.KeyParams{
		Name: "apikeytest", Permissions: perms,
	})
	if err != nil {
		t.Fatalf("apikeytest.Token: %v", err)
	}
	return issued.Token.Reveal()
}
