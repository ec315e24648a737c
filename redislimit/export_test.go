package redislimit

import (
	"context"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/redis/go-redis/v9"
)

// SetClock has l's script go by a clock of the test's, and decide all in the
// way that is for leases if slow.
func (l *Limiter) SetClock(micros func() int64, slow bool) {
	l.clock = micros
	mend := func(old, now string) {
		if !strings.Contains(l.source, old) {
			panic("the script is otherwise: mend SetClock")
		}
		l.source = strings.Replace(l.source, old, now, 1)
	}
	mend("local now = time[1] * 1000000 + time[2]", "local now = unpack('<d', requests, 9)")
	mend("'PXAT', ", "'PX', 1e9 + 0 * ") // keys would expire by the server's clock
	if slow {
		mend("or not quick(n, count, pos, size, first)", "or true")
	}
	l.hash = redis.NewScript(l.source).Hash()
}

// KeyName and Slot are what a bucket is called and where a cluster keeps it.
func KeyName(prefix string, b apikey.Bucket) string { return keyName(prefix, &b) }
func Slot(owner string) int                         { return slot(owner) }

// Hand is how many tokens lie in hand of l, and in how many buckets.
func (l *Limiter) Hand() (tokens, buckets int) {
	for i := range l.leases.shards {
		sh := &l.leases.shards[i]
		sh.mu.Lock()
		for _, e := range sh.buckets {
			if e.id != 0 {
				tokens += e.hand
				buckets++
			}
		}
		sh.mu.Unlock()
	}
	return tokens, buckets
}

// AgeLeases makes every lease's deadline pass, by one of its clocks.
func (l *Limiter) AgeLeases(wall bool) {
	for i := range l.leases.shards {
		sh := &l.leases.shards[i]
		sh.mu.Lock()
		for _, e := range sh.buckets {
			if wall {
				e.deadline.wall -= int64(time.Hour)
			} else {
				e.deadline.mono -= time.Hour
			}
		}
		sh.mu.Unlock()
	}
}

// HoldLeases keeps l from giving leases back by itself, as if it were stopped.
func (l *Limiter) HoldLeases() { l.leases.sweeping.Store(true) }

// SweepIdle gives all leases back as if they lay idle.
func (l *Limiter) SweepIdle(ctx context.Context) error {
	for i := range l.leases.shards {
		sh := &l.leases.shards[i]
		sh.mu.Lock()
		for _, e := range sh.buckets {
			e.touched -= l.cfg.LeaseTime / 4
		}
		sh.mu.Unlock()
	}
	return l.sweep(ctx, false)
}

// Flying reports whether l is taking tokens ahead.
func (l *Limiter) Flying() bool {
	for i := range l.leases.shards {
		sh := &l.leases.shards[i]
		sh.mu.Lock()
		defer sh.mu.Unlock()
		for _, e := range sh.buckets {
			if e.flight != nil {
				return true
			}
		}
	}
	return false
}

// Entries is how many buckets l knows.
func (l *Limiter) Entries() int { return l.leases.len() }

// ReturnTwice gives the lease of the only bucket back, twice, as a client does
// that repeats a call whose answer was lost.
func (l *Limiter) ReturnTwice(ctx context.Context) error {
	for i := range l.leases.shards {
		s := sweeper{limiter: l, all: true}
		s.collect(&l.leases.shards[i], l.moment())
		for j := range s.returns {
			for range 2 {
				if err := l.giveBack(ctx, &s.returns[j]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
