package bench

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/didip/tollbooth/v8"
	"github.com/go-chi/httprate"
	gostore "github.com/sethvargo/go-limiter"
	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	throttledstore "github.com/throttled/throttled/v2/store/memstore"
	limiter3 "github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"github.com/go-apikey/apikey"
)

// Limits are the ways to take one token from the bucket of a name. Each reads
// the clock at least once.
func Limits() []Subject { return slices.Concat(ownLimits(), rateLimits(), libraryLimits()) }

// ownLimits are those of apikey.
func ownLimits() []Subject {
	return []Subject{
		{
			Name:   "apikey.TokenBuckets",
			Module: ownModule,
			Leaves: "as whoever calls it with a name has it, by a look-up; a Manager's own buckets are found without",
			Start:  limiter(tokenBuckets),
		},
	}
}

// libraryLimits are those of libraries that limit.
func libraryLimits() []Subject {
	return []Subject{
		{
			Name:   "go-limiter",
			Module: "github.com/sethvargo/go-limiter",
			Leaves: "several buckets at once; it fills up at once when an interval ends, rather than as time goes",
			Start:  limiter(goLimiter),
		},
		{
			Name:   "ulule/limiter",
			Module: "github.com/ulule/limiter/v3",
			Leaves: "several buckets at once; it fills up at once when a period ends, and counts what it refuses",
			Start:  limiter(ululeLimiter),
		},
		{
			Name:   "httprate",
			Module: "github.com/go-chi/httprate",
			Leaves: "several buckets at once; it guesses from the last window. It is made for a middleware: measured is its OnLimit with a writer, without headers",
			Start:  limiter(httprateLimiter),
		},
		{
			Name:   "tollbooth",
			Module: "github.com/didip/tollbooth/v8",
			Leaves: "what remains, and several buckets at once; measured is LimitReached, which its middleware calls",
			Start:  limiter(tollboothLimiter),
		},
		{
			Name:   "throttled",
			Module: "github.com/throttled/throttled/v2",
			Leaves: "several buckets at once; with a store that drops nothing: one that does is slower",
			Start:  limiter(throttledLimiter),
		},
	}
}

// taker is an instance of a limiter. Each goroutine has a function of its own,
// which takes one token and reports whether it was there.
type taker struct {
	clients func() func(name string) bool
	close   func()
}

// limiter starts a subject of Limits: one instance with a limit that no run
// reaches, and when asked for it another one whose limit is spent. The names
// are those of the keys.
func limiter(start func(limit apikey.Limit) (taker, error)) func(w *Workload) (*Running, error) {
	return func(w *Workload) (*Running, error) {
		ids := &Workload{Keys: w.Keys, Tokens: inOneBuffer(w.Keys, func(b []byte, i int) []byte { return append(b, w.ID(i)...) })}
		wide, err := start(wideLimit())
		if err != nil {
			return nil, err
		}
		closeAll := wide.close
		running := tokenSubject(ids, "", answers(wide), func() (clientMaker, error) {
			spent, err := start(spentLimit())
			if err != nil {
				return nil, err
			}
			closeAll = func() { wide.close(); spent.close() }
			return answers(spent), nil
		})
		requests := running.Requests
		running.Requests = func(c Case) []string {
			if c == Accepted || c == Limited {
				return requests(c)
			}
			return nil
		}
		running.Close = func() { closeAll() }
		return running, warm(ids, answers(wide), "")
	}
}

// answers is a taker as a server would answer.
func answers(t taker) clientMaker {
	return func() func(string) int {
		take := t.clients()
		return func(name string) int {
			if take(name) {
				return http.StatusNoContent
			}
			return http.StatusTooManyRequests
		}
	}
}

func nothingToClose() {}

func tokenBuckets(limit apikey.Limit) (taker, error) {
	buckets := apikey.NewTokenBuckets()
	return taker{func() func(string) bool {
		ctx := context.Background()
		bucket := []apikey.Bucket{{Scope: apikey.ScopeKey, Limit: limit}}
		return func(name string) bool {
			bucket[0].ID = name
			d, err := buckets.Take(ctx, time.Now(), 1, bucket)
			return err == nil && d.Allowed
		}
	}, nothingToClose}, nil
}

func goLimiter(limit apikey.Limit) (taker, error) {
	store, err := memorystore.New(&memorystore.Config{Tokens: uint64(limit.N), Interval: limit.Per})
	if err != nil {
		return taker{}, err
	}
	return taker{
		clients: func() func(string) bool { return func(name string) bool { return goLimiterTake(store, name) } },
		close:   func() { _ = store.Close(context.Background()) },
	}, nil
}

func goLimiterTake(store gostore.Store, name string) bool {
	_, _, _, ok, err := store.Take(context.Background(), name)
	return err == nil && ok
}

func ululeLimiter(limit apikey.Limit) (taker, error) {
	instance := limiter3.New(memory.NewStore(), limiter3.Rate{Period: limit.Per, Limit: int64(limit.N)})
	return taker{func() func(string) bool {
		ctx := context.Background()
		return func(name string) bool {
			state, err := instance.Get(ctx, name)
			return err == nil && !state.Reached
		}
	}, nothingToClose}, nil
}

func httprateLimiter(limit apikey.Limit) (taker, error) {
	instance := httprate.NewRateLimiter(limit.N, limit.Per, httprate.WithResponseHeaders(httprate.ResponseHeaders{}))
	return taker{func() func(string) bool {
		r, err := http.NewRequest(http.MethodGet, "/", nil) //nolint:noctx // that of a server's request is as bare
		if err != nil {
			panic(err)
		}
		w := &nullWriter{header: make(http.Header)}
		return func(name string) bool { return !instance.OnLimit(w, r, name) }
	}, nothingToClose}, nil
}

func tollboothLimiter(limit apikey.Limit) (taker, error) {
	instance := tollbooth.NewLimiter(float64(limit.N)/limit.Per.Seconds(), nil).SetBurst(limit.N)
	return taker{func() func(string) bool {
		return func(name string) bool { return !instance.LimitReached(name) }
	}, nothingToClose}, nil
}

func throttledLimiter(limit apikey.Limit) (taker, error) {
	store, err := throttledstore.NewCtx(0)
	if err != nil {
		return taker{}, err
	}
	quota := throttled.RateQuota{MaxRate: throttled.PerDuration(limit.N, limit.Per), MaxBurst: limit.N - 1}
	instance, err := throttled.NewGCRARateLimiterCtx(store, quota)
	if err != nil {
		return taker{}, err
	}
	return taker{func() func(string) bool {
		ctx := context.Background()
		return func(name string) bool {
			limited, _, err := instance.RateLimitCtx(ctx, name, 1)
			return err == nil && !limited
		}
	}, nothingToClose}, nil
}
