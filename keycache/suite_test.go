package keycache

import (
	"context"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/memstore"
)

// On one node the cache is no staler than what it caches, so that it is held to
// the whole contract: what is written through it is forgotten at once.
func TestStore(t *testing.T) {
	apikeytest.RunStore(t, func(t *testing.T) apikey.Store { return newCache(t, memstore.New(), nil) })
}

// So is the cache where nobody tells it anything.
func TestStoreWithoutWatcher(t *testing.T) {
	apikeytest.RunStore(t, func(t *testing.T) apikey.Store { return newCache(t, struct{ apikey.Store }{memstore.New()}, nil) })
}

// So is what a Keyring writes through.
func TestUnwrapped(t *testing.T) {
	apikeytest.RunStore(t, func(t *testing.T) apikey.Store { return newCache(t, memstore.New(), nil).Unwrap() })
}

// So is a cache of a cache.
func TestStoreTwice(t *testing.T) {
	apikeytest.RunStore(t, func(t *testing.T) apikey.Store { return newCache(t, newCache(t, memstore.New(), nil), nil) })
}

func newCache(tb testing.TB, inner apikey.Store, cfg *Config) *Store {
	tb.Helper()
	s, err := New(inner, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(tb.Context())); err != nil {
			tb.Error(err)
		}
	})
	return s
}
