package redislimit

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Config is how a [Limiter] behaves. The zero Config is safe: exact, and
// without Redis nothing passes.
type Config struct {
	// Prefix begins every name in Redis; without braces. "": "apikey:".
	// Services that share a Redis need one each.
	Prefix string

	// Timeout is the longest that a decision may take, after which it counts as
	// failed. It should be at least twice the round trip to Redis, better four
	// times: the first call on a new connection takes so many, and fails where
	// there is less. 0: 100 ms; 1 ms to 1 minute.
	Timeout time.Duration

	// OnFailure is what happens to requests while Redis cannot be asked.
	OnFailure OnFailure

	// Nodes is over how many nodes Fallback divides each limit; with Fallback
	// it is required. A node's share of the burst is never below what one
	// request takes: where the burst is less than Nodes times that, all nodes
	// together have more than the burst. Their rates add up to the limit's.
	Nodes int

	// Lease is how many tokens a node takes ahead from a bucket that is in use,
	// to decide the next requests without a round trip. 0: none, each decision
	// is made in Redis; at most 1,000,000. A node never takes more than a
	// quarter of what is there.
	Lease int

	// LeaseTime is how long tokens that were taken ahead may be used. What is
	// unused goes back before, and is lost with a node that dies. 0: 2 s;
	// 100 ms to 1 minute.
	LeaseTime time.Duration
}

// OnFailure says what a [Limiter] answers while Redis is slow, gone or cannot
// be written to.
type OnFailure int

// The answers while Redis fails.
const (
	Deny                   OnFailure = iota // an error, which a Manager answers with 503
	Fallback                                // each limit's share of one in Config.Nodes, counted in this process
	InsecureAdmitOnFailure                  // everything passes, without any limit
)

func (c *Config) normalise() error {
	var faults []error
	check := func(ok bool, text string) {
		if !ok {
			faults = append(faults, errors.New(text))
		}
	}
	if c.Prefix == "" {
		c.Prefix = "apikey:"
	}
	if c.Timeout == 0 {
		c.Timeout = 100 * time.Millisecond
	}
	if c.LeaseTime == 0 {
		c.LeaseTime = 2 * time.Second
	}
	check(!strings.ContainsAny(c.Prefix, "{}"), "Prefix must be without braces")
	check(c.Timeout >= time.Millisecond && c.Timeout <= time.Minute, "Timeout must be 1ms to 1m")
	check(c.OnFailure >= Deny && c.OnFailure <= InsecureAdmitOnFailure, "OnFailure must be one of the constants")
	check(c.OnFailure != Fallback || c.Nodes >= 1, "Nodes must be at least 1 with Fallback")
	check(c.Nodes >= 0 && c.Nodes <= 100_000, "Nodes must be 0 to 100,000")
	check(c.Lease >= 0 && c.Lease <= 1_000_000, "Lease must be 0 to 1,000,000")
	check(c.LeaseTime >= 100*time.Millisecond && c.LeaseTime <= time.Minute, "LeaseTime must be 100ms to 1m")
	if len(faults) > 0 {
		return fmt.Errorf("redislimit: %w", errors.Join(faults...))
	}
	return nil
}
