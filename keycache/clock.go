package keycache

import (
	"math"
	"time"
)

// moment is a time by two clocks, in nanoseconds: the monotonic one stands
// still while the machine sleeps, the other one can be set.
type moment struct{ mono, wall int64 }

// clock reads both of the system's.
func clock() func() moment {
	base := time.Now()
	return func() moment {
		now := time.Now()
		return moment{int64(now.Sub(base)), now.UnixNano()}
	}
}

// since is how long ago then was by the clock that went further. Where the
// wall clock was set back it is not known, which is as good as for ever.
func (m moment) since(then moment) time.Duration {
	wall := m.wall - then.wall
	if wall < 0 {
		return math.MaxInt64
	}
	return time.Duration(max(m.mono-then.mono, wall))
}
