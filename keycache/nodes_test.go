package keycache

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// node is one of several on a store, behind a cache of its own.
type node struct {
	*apikey.Manager
	ring *apikey.Keyring
}

func newNode(t *testing.T, store apikey.Store, cfg *Config) node {
	t.Helper()
	m, err := apikey.New(newCache(t, store, cfg), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return node{m, m.Keyring("acct", apikey.Operator("test"))}
}

// admits reports whether a token is let in.
func (n node) admits(t *testing.T, token string) bool {
	t.Helper()
	_, _, err := n.Verify(t.Context(), apikey.Request{Token: token})
	var denial *apikey.Denial
	if err != nil && !errors.As(err, &denial) {
		t.Error(err)
	}
	return err == nil
}

// A key that one node revokes is refused by it at once. By another it is
// refused at once where the store tells of changes, and else within the bound.
func TestRevokeOnAnotherNode(t *testing.T) {
	for name, test := range map[string]struct {
		store apikey.Store
		cfg   *Config
		bound time.Duration
	}{
		"with a feed":              {memstore.New(), nil, 0},
		"without":                  {struct{ apikey.Store }{memstore.New()}, nil, 5 * time.Second},
		"without, a shorter bound": {struct{ apikey.Store }{memstore.New()}, &Config{MaxStale: time.Second}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newNode(t, test.store, test.cfg), newNode(t, test.store, test.cfg)
				synctest.Wait() // for the watches
				issued, err := a.ring.Create(t.Context(), apikey.KeyParams{Name: "x"})
				if err != nil {
					t.Fatal(err)
				}
				token := issued.Token.Reveal()
				if !a.admits(t, token) || !b.admits(t, token) {
					t.Fatal("a new key is refused")
				}
				if _, err := a.ring.Revoke(t.Context(), issued.Key.ID); err != nil {
					t.Fatal(err)
				}
				if a.admits(t, token) {
					t.Error("the node that revoked the key lets it in")
				}
				wait(test.bound) // 0: until the feed has told
				if stale := b.admits(t, token); stale != (test.bound > 0) {
					t.Errorf("after %v another node lets it in: %v", test.bound, stale)
				}
				wait(1)
				if b.admits(t, token) {
					t.Errorf("after more than %v another node lets it in", test.bound)
				}
			})
		})
	}
}

// Rotation, disabling and the rest go the same way.
func TestOwnChangesAreSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, struct{ apikey.Store }{memstore.New()}, nil)
		issued, err := n.ring.Create(t.Context(), apikey.KeyParams{Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		id, token := issued.Key.ID, issued.Token.Reveal()
		for i, step := range []struct {
			do   func() error
			want bool
		}{
			{func() error { return nil }, true},
			{func() error { _, err := n.ring.Disable(t.Context(), id); return err }, false},
			{func() error { _, err := n.ring.Enable(t.Context(), id); return err }, true},
			{func() error { _, err := n.ring.Rotate(t.Context(), id, apikey.RotateParams{}); return err }, false},
		} {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			if got := n.admits(t, token); got != step.want {
				t.Errorf("step %d: admitted: %v", i, got)
			}
		}
		_, err = n.ring.History(t.Context(), apikey.HistoryQuery{})
		if !errors.Is(err, apikey.ErrUnsupported) {
			t.Errorf("History of a store that has none: %v", err)
		}
		_, err = n.ring.Usage(t.Context(), id, apikey.UsageQuery{})
		if !errors.Is(err, apikey.ErrUnsupported) {
			t.Errorf("Usage of a store that has none: %v", err)
		}
	})
}
