package redislimit

import (
	"math"
	"time"

	"github.com/go-apikey/apikey"
)

// state is how one bucket stands after a decision.
type state struct {
	level float64       // tokens
	full  time.Duration // until it is
	wait  time.Duration // until n tokens are there; 0: they are
}

// decision finds the bucket that a Decision is of.
type decision struct {
	allowed bool
	any     bool
	limit   apikey.Limit
	state   state
}

func (d *decision) add(limit apikey.Limit, s state) {
	if d.allowed {
		s.wait = 0
	}
	switch {
	case !d.any:
	case !d.allowed && s.wait <= d.state.wait, d.allowed && s.level >= d.state.level:
		return
	}
	d.any, d.limit, d.state = true, limit, s
}

func (d *decision) Decision() apikey.Decision {
	remaining := math.Floor(max(0, min(d.state.level, float64(d.limit.Capacity()))))
	return apikey.Decision{Allowed: d.allowed, Limit: d.limit, Remaining: int(remaining), Reset: d.state.full, RetryAfter: d.state.wait}
}
