package redislimit_test

import (
	"context"
	"log"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
	"github.com/go-apikey/apikey/redislimit"
	"github.com/redis/go-redis/v9"
)

// Limits of a service on three nodes. While Redis is gone each node counts for
// itself, a third of each limit.
func Example() {
	client := redis.NewClient(&redis.Options{Addr: "redis:6379", DialerRetries: 1})
	defer client.Close()
	limiter, err := redislimit.New(client, &redislimit.Config{
		Lease:     10, // take ten tokens ahead from a bucket that is in use
		OnFailure: redislimit.Fallback,
		Nodes:     3,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer limiter.Close(context.Background()) // gives back what was taken ahead

	keys, err := apikey.New(memstore.New(), &apikey.Config{
		Limiter: limiter,
		Plan: func(context.Context, string) (apikey.Plan, error) {
			return apikey.Plan{Name: "free", MaxKeys: 5, KeyLimits: []apikey.Limit{apikey.PerMinute(600)}}, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close(context.Background())
}
