package apikey_test

import (
	"context"
	"crypto/sha256"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/memstore"
)

func sha256Of(s string) string {
	sum := sha256.Sum256([]byte(s))
	return string(sum[:])
}

func closeManager(t testing.TB, m *apikey.Manager) {
	t.Helper()
	if err := m.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// newManager is a Manager on an empty store, closed when the test ends.
func newManager(t testing.TB, cfg *apikey.Config) *apikey.Manager {
	t.Helper()
	return newManagerOn(t, memstore.New(), cfg)
}

func newManagerOn(t testing.TB, s apikey.Store, cfg *apikey.Config) *apikey.Manager {
	t.Helper()
	m, err := apikey.New(s, watched(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closeManager(t, m)
		watchStore(t, s)
	})
	return m
}

// watched hands over the events too, save of a benchmark.
func watched(t testing.TB, cfg *apikey.Config) *apikey.Config {
	if _, measured := t.(*testing.B); measured {
		return cfg
	}
	var c apikey.Config
	if cfg != nil {
		c = *cfg
	}
	next := c.OnEvent
	c.OnEvent = func(ctx context.Context, e apikey.Event) {
		secretwatch.Event(t.Name(), e)
		if next != nil {
			next(ctx, e)
		}
	}
	return &c
}

// watchStore names the digests of a thousand keys in s.
func watchStore(t testing.TB, s apikey.Store) {
	t.Helper()
	mem, ok := s.(*memstore.Store)
	if !ok {
		return
	}
	ctx := context.Background() // the test's has ended
	page, err := mem.List(ctx, apikey.Query{AllOwners: true, Limit: 1000})
	if err != nil {
		t.Error(err)
	}
	for _, k := range page.Keys {
		rec, err := mem.Get(ctx, k.ID)
		if err != nil {
			t.Error(err)
			return
		}
		secretwatch.Record(rec.Bytes())
	}
}

// issue makes a key of acct_42 and gives its ID and token.
func issue(t testing.TB, m *apikey.Manager, p apikey.KeyParams) (id, token string) {
	t.Helper()
	if p.Name == "" {
		p.Name = "a key"
	}
	issued, err := m.Keyring("acct_42", apikey.Operator("test")).Create(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return issued.Key.ID, issued.Token.Reveal()
}

// oneKey is a Manager with one key.
func oneKey(t testing.TB, cfg *apikey.Config, perms ...apikey.Permission) (*apikey.Manager, string) {
	t.Helper()
	m := newManager(t, cfg)
	_, token := issue(t, m, apikey.KeyParams{Permissions: perms})
	return m, token
}
