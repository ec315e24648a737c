//go:build linux

package faulttest

import (
	"flag"
	"os"
	"testing"
	"time"

	mysql "github.com/go-sql-driver/mysql"

	"github.com/go-apikey/apikey/internal/secretwatch"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(clientVariable); file != "" {
		os.Exit(runClient(file))
	}
	_ = mysql.SetLogger(&mysql.NopLogger{})                // connections break here all the time
	if err := flag.Set("test.parallel", "4"); err != nil { // most of what the tests do is to wait
		panic(err)
	}
	secretwatch.Main(m)
}

// long reports whether counts are high enough to mean something.
var long = os.Getenv("APIKEY_LONG") != ""

// times is how often something is done.
func times(gate, inLong int) int {
	if long {
		return inLong
	}
	return gate
}

// wait waits for as long: what is waited for is another process, whose time
// nothing here can tell.
func wait(d time.Duration) {
	<-time.After(d)
}
