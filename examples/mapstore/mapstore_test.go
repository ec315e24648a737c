package mapstore_test

import (
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/examples/mapstore"
)

func TestStore(t *testing.T) {
	apikeytest.RunStore(t, func(*testing.T) apikey.Store { return mapstore.New() })
}
