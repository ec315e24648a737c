package memstore_test

import (
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/memstore"
)

func TestStore(t *testing.T) {
	apikeytest.RunStore(t, func(*testing.T) apikey.Store { return memstore.New() })
}
