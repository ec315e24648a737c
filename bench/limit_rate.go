package bench

import (
	"hash/maphash"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/go-apikey/apikey"
)

const xtime = "golang.org/x/time"

// rateLimits are those that one writes by hand around x/time/rate: a limiter for
// each name, made when the name is first seen.
func rateLimits() []Subject {
	return []Subject{
		{
			Name:   "x/time/rate, sharded map",
			Module: xtime,
			Leaves: "what remains and when to come back; several buckets at once; changes of the limit; idle limiters are never dropped",
			Start:  limiter(shardedRates(false)),
		},
		{
			Name:   "x/time/rate, sharded map, what remains",
			Module: xtime,
			Leaves: "as x/time/rate, sharded map, but what remains",
			Start:  limiter(shardedRates(true)),
		},
		{
			Name:   "x/time/rate, map under one RWMutex",
			Module: xtime,
			Leaves: "as x/time/rate, sharded map",
			Start:  limiter(lockedRates),
		},
		{
			Name:   "x/time/rate, sync.Map",
			Module: xtime,
			Leaves: "as x/time/rate, sharded map",
			Start:  limiter(syncRates),
		},
	}
}

func newRate(limit apikey.Limit) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(float64(limit.N)/limit.Per.Seconds()), limit.N)
}

// shardedRates keeps them in 256 maps, as many as apikey.TokenBuckets has, each
// under a lock of its own.
func shardedRates(remaining bool) func(limit apikey.Limit) (taker, error) {
	return func(limit apikey.Limit) (taker, error) {
		s := &shardedMap{seed: maphash.MakeSeed(), limit: limit}
		return taker{func() func(string) bool {
			if !remaining {
				return func(name string) bool { return s.find(name).Allow() }
			}
			return func(name string) bool {
				now := time.Now()
				found := s.find(name)
				return found.AllowN(now, 1) && found.TokensAt(now) >= 0
			}
		}, nothingToClose}, nil
	}
}

type shardedMap struct {
	seed   maphash.Seed
	limit  apikey.Limit
	shards [256]struct {
		mu       sync.RWMutex
		limiters map[string]*rate.Limiter
	}
}

func (s *shardedMap) find(name string) *rate.Limiter {
	shard := &s.shards[maphash.String(s.seed, name)%uint64(len(s.shards))]
	shard.mu.RLock()
	found := shard.limiters[name]
	shard.mu.RUnlock()
	if found != nil {
		return found
	}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if found = shard.limiters[name]; found == nil {
		if shard.limiters == nil {
			shard.limiters = make(map[string]*rate.Limiter)
		}
		found = newRate(s.limit)
		shard.limiters[name] = found
	}
	return found
}

func lockedRates(limit apikey.Limit) (taker, error) {
	var mu sync.RWMutex
	limiters := make(map[string]*rate.Limiter)
	return taker{func() func(string) bool {
		return func(name string) bool {
			mu.RLock()
			found := limiters[name]
			mu.RUnlock()
			if found == nil {
				mu.Lock()
				if found = limiters[name]; found == nil {
					found = newRate(limit)
					limiters[name] = found
				}
				mu.Unlock()
			}
			return found.Allow()
		}
	}, nothingToClose}, nil
}

func syncRates(limit apikey.Limit) (taker, error) {
	var limiters sync.Map
	return taker{func() func(string) bool {
		return func(name string) bool {
			found, ok := limiters.Load(name)
			if !ok {
				found, _ = limiters.LoadOrStore(name, newRate(limit))
			}
			lim, ok := found.(*rate.Limiter)
			return ok && lim.Allow()
		}
	}, nothingToClose}, nil
}
