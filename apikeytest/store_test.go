package apikeytest

import (
	"testing"

	"github.com/go-apikey/apikey"
)

func TestRunStore(t *testing.T) {
	RunStore(t, func(*testing.T) apikey.Store { return newNaive() })
}
