package apikey_test

import (
	"context"
	"fmt"
	"time"

	"github.com/go-apikey/apikey"
)

// A Manager does this for every request. Without one, a limiter can also count
// something else.
func ExampleTokenBuckets() {
	limiter := apikey.NewTokenBuckets()
	now := time.Now()
	buckets := []apikey.Bucket{
		{Scope: apikey.ScopeKey, ID: "7Qx2mB4kT9ab", Owner: "acct_42", Limit: apikey.PerSecond(2)},
		{Scope: apikey.ScopeOwner, ID: "acct_42", Owner: "acct_42", Limit: apikey.PerMinute(600)},
	}
	for range 3 {
		d, err := limiter.Take(context.Background(), now, 1, buckets)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(d.Allowed, d.Limit.Name, d.Remaining, d.RetryAfter)
	}
	d, _ := limiter.Take(context.Background(), now.Add(500*time.Millisecond), 1, buckets)
	fmt.Println(d.Allowed)
	// Output:
	// true second 1 0s
	// true second 0 0s
	// false second 0 500ms
	// true
}
