package redislimit_test

import (
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/redislimit"
)

func TestRunLimiter(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for name, cfg := range map[string]redislimit.Config{
		"exact": {},
		"lease": {Lease: 10, LeaseTime: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg.Timeout = 10 * time.Second // of a busy machine
			apikeytest.RunLimiter(t, func(t *testing.T) apikey.Limiter { return newLimiter(t, s.client(), &cfg) }, apikeytest.ServerClock)
		})
	}
}
