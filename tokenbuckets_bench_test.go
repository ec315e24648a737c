package apikey

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// shardedLimiters is what one writes by hand: a rate.Limiter behind sharded
// maps, one limit, one bucket, no decision but yes or no and what remains.
type shardedLimiters struct {
	seed   maphash.Seed
	shards [256]struct {
		mu       sync.RWMutex
		limiters map[string]*rate.Limiter
	}
}

func (s *shardedLimiters) take(now time.Time, id string) (bool, float64) {
	shard := &s.shards[maphash.String(s.seed, id)%256]
	shard.mu.RLock()
	lim := shard.limiters[id]
	shard.mu.RUnlock()
	if lim == nil {
		shard.mu.Lock()
		if shard.limiters == nil {
			shard.limiters = make(map[string]*rate.Limiter)
		}
		lim = rate.NewLimiter(1e6, 1e6)
		shard.limiters[id] = lim
		shard.mu.Unlock()
	}
	return lim.AllowN(now, 1), lim.TokensAt(now)
}

// BenchmarkTake compares with the floor, one bucket each: at 1 and at
// 1,000,000 of them in random order, the handle known or not.
func BenchmarkTake(b *testing.B) {
	limit := Limit{Name: "second", N: 1e6, Per: time.Second}
	ctx := b.Context()
	for _, size := range []int{1, 1_000_000} {
		ids := make([]string, size)
		for i := range ids {
			ids[i] = fmt.Sprintf("%012d", i)
		}
		start := time.Now()
		floor := &shardedLimiters{seed: maphash.MakeSeed()}
		limiter := NewTokenBuckets()
		unresolved := make([][]Bucket, size)
		resolved := make([][]Bucket, size)
		for i, id := range ids {
			floor.take(start, id)
			unresolved[i] = []Bucket{{Scope: ScopeKey, ID: id, Limit: limit}}
			resolved[i] = []Bucket{{Scope: ScopeKey, ID: id, Limit: limit}}
			limiter.resolve(resolved[i], start)
		}
		rand.Shuffle(size, func(i, j int) { // use in another order than they were made
			ids[i], ids[j] = ids[j], ids[i]
			unresolved[i], unresolved[j] = unresolved[j], unresolved[i]
			resolved[i], resolved[j] = resolved[j], resolved[i]
		})
		b.Run(fmt.Sprintf("floor/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i = (i + 1) % size {
				floor.take(start.Add(time.Duration(i)*time.Microsecond), ids[i])
			}
		})
		for name, lists := range map[string][][]Bucket{"looked up": unresolved, "handle": resolved} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i = (i + 1) % size {
					if _, err := limiter.Take(ctx, start.Add(time.Duration(i)*time.Microsecond), 1, lists[i]); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkTakeMore has what one bucket does not show.
func BenchmarkTakeMore(b *testing.B) {
	start := time.Now()
	limiter := NewTokenBuckets()
	buckets := func(ids ...string) []Bucket {
		list := make([]Bucket, len(ids))
		for i, id := range ids {
			list[i] = Bucket{Scope: ScopeKey, ID: id, Limit: Limit{Name: "second", N: 1e6, Per: time.Second}}
		}
		limiter.resolve(list, start)
		return list
	}
	refused := []Bucket{{Scope: ScopeOwner, ID: "empty", Limit: Limit{Name: "year", N: 1, Per: 365 * 24 * time.Hour}}}
	limiter.resolve(refused, start)
	_, _ = limiter.Take(context.Background(), start, 1, refused)
	for _, bb := range []struct {
		name    string
		buckets []Bucket
	}{{"two", buckets("a", "b")}, {"eight", buckets("c", "d", "e", "f", "g", "h", "i", "j")}, {"refused", refused}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, _ = limiter.Take(context.Background(), start.Add(time.Duration(i)*time.Microsecond), 1, bb.buckets)
			}
		})
	}
	b.Run("parallel distinct", func(b *testing.B) {
		var next atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			mine := buckets(fmt.Sprint("p", next.Add(1)))
			for i := 0; pb.Next(); i++ {
				_, _ = limiter.Take(context.Background(), start.Add(time.Duration(i)*time.Microsecond), 1, mine)
			}
		})
	})
}

// BenchmarkTokenBucketsMemory reports the heap that 1,000,000 buckets take.
func BenchmarkTokenBucketsMemory(b *testing.B) {
	const size = 1_000_000
	ids := make([]string, size)
	for i := range ids {
		ids[i] = fmt.Sprintf("%012d", i)
	}
	now := time.Now()
	for b.Loop() {
		before := heapBytes()
		limiter := NewTokenBuckets()
		for _, id := range ids {
			bucket := []Bucket{{Scope: ScopeKey, ID: id, Limit: PerMinute(60)}}
			limiter.resolve(bucket, now)
		}
		b.ReportMetric(float64(heapBytes()-before)/size, "bytes/bucket")
		if limiter.Len() != size {
			b.Fatalf("Len = %d, want %d", limiter.Len(), size)
		}
		limiter.Sweep(now.Add(time.Hour))
		b.ReportMetric(float64(heapBytes())-float64(before), "bytes-after-sweep")
		runtime.KeepAlive(limiter)
	}
	runtime.KeepAlive(ids)
}

// BenchmarkSweep reports how long the longest lock was held while 1,000,000
// idle buckets were dropped: of the quietest round, since in any round the
// machine may take the processor away under a lock (of processor time a lock
// took 150 µs at most). Run it with -benchtime 5x.
func BenchmarkSweep(b *testing.B) {
	now := time.Now()
	quietest := time.Hour
	for b.Loop() {
		b.StopTimer()
		limiter := filledBuckets(1_000_000, now)
		runtime.GC()
		b.StartTimer()
		quietest = min(quietest, longestSweepLock(limiter, now.Add(time.Hour)))
		if n := limiter.Len(); n != 0 {
			b.Fatalf("%d buckets are left", n)
		}
	}
	b.ReportMetric(float64(quietest.Microseconds()), "µs-longest-lock")
}

func filledBuckets(size int, now time.Time) *TokenBuckets {
	limiter := NewTokenBuckets()
	for i := range size {
		bucket := []Bucket{{Scope: ScopeKey, ID: fmt.Sprintf("%012d", i), Limit: PerMinute(60)}}
		limiter.resolve(bucket, now)
	}
	return limiter
}

// longestSweepLock does what Sweep does and times each lock it takes.
func longestSweepLock(t *TokenBuckets, now time.Time) time.Duration {
	var longest time.Duration
	for i := range t.table.shards {
		for from, more := 0, true; more; from += sweepStep {
			began := time.Now()
			more = t.sweep(&t.table.shards[i], from, t.sinceStart(now))
			longest = max(longest, time.Since(began))
		}
	}
	return longest
}

func heapBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
