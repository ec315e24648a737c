package redislimit_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/redislimit"
	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

// benchKeys is how many keys take turns.
const benchKeys = 1000

// BenchmarkTake decides for 64 goroutines that share 1,000 keys, none of them
// at its limit, beside redis_rate.
func BenchmarkTake(b *testing.B) {
	s := startServer(b)
	ctx := context.Background()
	rate := redis_rate.NewLimiter(s.client())
	names := make([]string, benchKeys)
	lists := make([][]apikey.Bucket, benchKeys)
	for i := range lists {
		id := fmt.Sprintf("k%011d", i)
		names[i] = id
		lists[i] = []apikey.Bucket{{Scope: apikey.ScopeKey, ID: id, Owner: fmt.Sprint("acct_", i), Limit: apikey.PerSecond(1_000_000)}}
	}
	run := func(name string, take func(i int) error) {
		b.Run(name, func(b *testing.B) {
			var next atomic.Int64
			b.SetParallelism(64 / 2)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				i := int(next.Add(1)) * 17
				for pb.Next() {
					i++
					if err := take(i % benchKeys); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	run("redis_rate", func(i int) error {
		_, err := rate.Allow(ctx, names[i], redis_rate.PerSecond(1_000_000))
		return err
	})
	for _, lease := range []int{0, 10} {
		l := newLimiter(b, redis.NewClient(&redis.Options{Addr: s.addr()}), &redislimit.Config{Lease: lease, Timeout: time.Second})
		run(fmt.Sprint("lease=", lease), func(i int) error {
			_, err := l.Take(ctx, time.Time{}, 1, lists[i])
			return err
		})
	}
}
