package boltstore_test

import (
	"path/filepath"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/examples/boltstore"
	"github.com/go-apikey/apikey/internal/secretwatch"
)

func TestMain(m *testing.M) { secretwatch.Main(m) }

func TestStore(t *testing.T) {
	apikeytest.RunStore(t, func(t *testing.T) apikey.Store {
		s, err := boltstore.Open(filepath.Join(t.TempDir(), "keys.db"))
		if err != nil {
			t.Fatal(err)
		}
		s.SkipSync()
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}
