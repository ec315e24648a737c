package redislimit_test

import (
	"os"
	"testing"

	"github.com/go-apikey/apikey/internal/secretwatch"
)

func TestMain(m *testing.M) {
	if os.Getenv(nodeVariable) != "" {
		os.Exit(runNode())
	}
	secretwatch.Main(m)
}
