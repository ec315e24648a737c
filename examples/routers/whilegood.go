package main

import (
	"context"
	"time"

	"github.com/go-apikey/apikey"
)

// whileGood is for what outlives a request: a context that ends when the key
// that ctx was admitted with is no longer good, with the error of Recheck as
// its cause. It asks once in every interval. A store that fails ends it too:
// who wants to bear that goes on where the error is an *apikey.UnavailableError,
// and says for how long.
func whileGood(ctx context.Context, keys *apikey.Manager, every time.Duration) (context.Context, context.CancelFunc) {
	caller, _ := apikey.FromContext(ctx)
	ctx, end := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := keys.Recheck(ctx, caller); err != nil {
				end(err)
				return
			}
		}
	}()
	return ctx, func() { end(nil) }
}
