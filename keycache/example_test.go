package keycache_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keycache"
	"github.com/go-apikey/apikey/memstore"
)

// A service puts the cache between its database and the Manager, and closes
// it after the Manager.
func Example() {
	ctx := context.Background()
	database := memstore.New() // or sqlstore.New(…): whatever is slower than memory

	cache, err := keycache.New(database, &keycache.Config{
		MaxStale: 2 * time.Second, // for which a key revoked elsewhere may still pass here
		MaxBytes: 256 << 20,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close(ctx)
	keys, err := apikey.New(cache, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close(ctx)

	acct := keys.Keyring("acct_42", apikey.Operator("signup"))
	issued, err := acct.Create(ctx, apikey.KeyParams{Name: "Production"})
	if err != nil {
		log.Fatal(err)
	}
	admitted := func() bool {
		_, _, err := keys.Verify(ctx, apikey.Request{Token: issued.Token.Reveal()})
		return err == nil
	}
	fmt.Println("admitted:", admitted())
	if _, err := acct.Revoke(ctx, issued.Key.ID); err != nil {
		log.Fatal(err)
	}
	fmt.Println("admitted:", admitted()) // at once, on the node that revokes
	// Output:
	// admitted: true
	// admitted: false
}
