package apikey

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// throttle counts bad tokens by peer, in a table of a fixed size: however many
// addresses come, it takes 512 KiB. Addresses that share a cell share its
// count, which costs nobody with a good token anything, but for one of a slow
// Scheme: who sends from very many networks can have those refused.
//
// A cell is the generic cell rate algorithm (ITU-T I.371, 4.5): the time at
// which its bucket is full again, in µs since 1970, and in the lowest bit
// whether the host was told since then.
type throttle struct {
	seed     maphash.Seed
	interval int64 // µs for one token to flow in
	burst    int64
	cells    [throttleCells]atomic.Int64
}

const throttleCells = 1 << 16

// newThrottle is nil for the zero Limit: nothing is counted.
func newThrottle(l Limit) *throttle {
	if l == (Limit{}) {
		return nil
	}
	return &throttle{
		seed:     maphash.MakeSeed(),
		interval: max(1, l.Per.Microseconds()/int64(l.N)),
		burst:    int64(l.Capacity()),
	}
}

// fail counts a bad token of peer. A wait above 0 says that there were too
// many; first, that this is the first time since there were none.
func (t *throttle) fail(peer netip.Addr, now time.Time) (wait time.Duration, first bool) {
	return t.look(peer, now, 1)
}

// over is fail without counting: for what is refused before it is looked at.
func (t *throttle) over(peer netip.Addr, now time.Time) (wait time.Duration, first bool) {
	return t.look(peer, now, 0)
}

// look counts so many bad tokens of peer, unless there were too many already.
func (t *throttle) look(peer netip.Addr, now time.Time, bad int64) (wait time.Duration, first bool) {
	c, us := t.cell(peer), now.UnixMicro()
	for {
		old := c.Load()
		full, told := min(old>>1, us+t.interval*t.burst), old&1 // less where the clock went back: empty, and no emptier
		if full < us {
			full, told = us, 0
		}
		over := full - us - t.interval*(t.burst-1)
		next := (full+t.interval*bad)<<1 | told
		if over > 0 {
			next = full<<1 | 1
		}
		if !c.CompareAndSwap(old, next) {
			continue
		}
		if over > 0 {
			return time.Duration(over) * time.Microsecond, told == 0
		}
		return 0, false
	}
}

// cell is where a peer is counted: an IPv6 one by its /64, which is what a
// subscriber gets (RFC 6177, 2).
func (t *throttle) cell(peer netip.Addr) *atomic.Int64 {
	peer = peer.Unmap().WithZone("")
	if peer.Is6() {
		peer = netip.PrefixFrom(peer, 64).Masked().Addr()
	}
	return &t.cells[maphash.Comparable(t.seed, peer)%throttleCells]
}
