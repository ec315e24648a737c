package tooltest

import (
	"testing"

	"github.com/go-apikey/apikey/internal/secretwatch"
)

func TestMain(m *testing.M) { secretwatch.Main(m) }
