package redislimit_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/redislimit"
	"github.com/go-redis/redis_rate/v10"
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
	type contender struct {
		name  string
		calls int // of a round: all take about as long
		take  func(i int) error
	}
	all := []contender{{"redis_rate", 15_000, func(i int) error {
		_, err := rate.Allow(ctx, names[i], redis_rate.PerSecond(1_000_000))
		return err
	}}}
	for i, lease := range []int{0, 10} {
		prefix := fmt.Sprintf("lease=%d:", lease) // buckets of its own: in exact mode there are no leases
		l := newLimiter(b, s.client(), &redislimit.Config{Prefix: prefix, Lease: lease, Timeout: time.Second})
		all = append(all, contender{fmt.Sprint("lease=", lease), []int{45_000, 150_000}[i], func(i int) error {
			_, err := l.Take(ctx, time.Time{}, 1, lists[i])
			return err
		}})
	}
	for _, c := range all {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			share(b, c.take)
		})
	}
	b.Run("ratios", func(b *testing.B) { // interleaved, since the machine may be shared
		var took, client, server [3][]float64
		for b.Loop() {
			for i, c := range all {
				start, clientStart, serverStart := time.Now(), processorTime(), s.processorTime()
				calls := float64(together(b, c.calls, c.take))
				took[i] = append(took[i], float64(time.Since(start).Nanoseconds())/calls)
				client[i] = append(client[i], (processorTime()-clientStart)/calls)
				server[i] = append(server[i], (s.processorTime()-serverStart)/calls)
			}
		}
		for i, name := range []string{"redis_rate", "exact", "lease"} {
			b.ReportMetric(median(took[i]), name+"-ns")
			b.ReportMetric(median(client[i]), name+"-client-cpu-ns")
			b.ReportMetric(median(server[i]), name+"-server-cpu-ns")
			b.ReportMetric(median(took[0])/median(took[i]), name+"-×")
			b.ReportMetric((median(client[0])+median(server[0]))/(median(client[i])+median(server[i])), name+"-cpu-×")
		}
	})
}

const goroutines = 64

func share(b *testing.B, take func(i int) error) {
	b.SetParallelism(max(1, goroutines/runtime.GOMAXPROCS(0)))
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for i := int(next.Add(17)); pb.Next(); i++ {
			if err := take(i % benchKeys); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// together makes about so many calls and returns how many.
func together(b *testing.B, calls int, take func(i int) error) int {
	var wg sync.WaitGroup
	for w := range goroutines {
		wg.Go(func() {
			for i := range calls / goroutines {
				if err := take((17*w + i) % benchKeys); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return calls / goroutines * goroutines
}

// processorTime is what this process used, in nanoseconds.
func processorTime() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return float64(used.Utime.Nano() + used.Stime.Nano())
}

// processorTime is what the server used, in nanoseconds.
func (s *server) processorTime() float64 {
	info := s.control.Info(context.Background(), "cpu").Val()
	user, _ := strconv.ParseFloat(value(info, "used_cpu_user"), 64)
	system, _ := strconv.ParseFloat(value(info, "used_cpu_sys"), 64)
	return (user + system) * 1e9
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkLeasedBucket takes from buckets that are in hand, with no round trip.
func BenchmarkLeasedBucket(b *testing.B) {
	s := startServer(b)
	limit := apikey.Limit{Name: "x", N: 1_000_000_000, Per: time.Second}
	for n := 1; n <= 2; n++ {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := newLimiter(b, s.client(), &redislimit.Config{Lease: 1_000_000, LeaseTime: time.Minute, Timeout: time.Second})
			list := []apikey.Bucket{
				{Scope: apikey.ScopeKey, ID: "7Qx2mB4kZ0aA", Owner: "acct_0123456789", Limit: limit},
				{Scope: apikey.ScopeOwner, ID: "acct_0123456789", Owner: "acct_0123456789", Limit: limit},
			}[:n]
			b.ReportAllocs()
			start := processorTime()
			for b.Loop() {
				if d, err := l.Take(b.Context(), time.Time{}, 1, list); err != nil || !d.Allowed {
					b.Fatal(d, err)
				}
			}
			b.ReportMetric((processorTime()-start)/float64(b.N), "cpu-ns/op") // on a machine that is shared
		})
	}
}
