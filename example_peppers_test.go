package apikey_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// Digests under a key that is not in the database. It may be added to a
// service that has none, and replaced: what is there goes on working and is
// changed over as it is used. On several nodes the order counts: see [Pepper].
func ExamplePepper() {
	ctx := context.Background()
	store := memstore.New()
	open := func(peppers ...apikey.Pepper) *apikey.Manager {
		keys, err := apikey.New(store, &apikey.Config{Peppers: peppers})
		if err != nil {
			panic(err)
		}
		return keys
	}

	keys := open() // the service as it was: plain SHA-256
	issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{Name: "Production"})
	if err != nil {
		panic(err)
	}
	keys.Close(ctx)

	secret := bytes.Repeat([]byte{7}, 32) // really: 32 bytes of crypto/rand from a secret manager
	pepper, err := apikey.NewPepper(1, secret)
	if err != nil {
		panic(err)
	}
	fmt.Println(pepper) // never its bytes

	keys = open(pepper)
	defer keys.Close(ctx)
	caller, _, err := keys.Verify(ctx, apikey.Request{Token: issued.Token.Reveal()})
	if err != nil {
		panic(err)
	}
	fmt.Println("still good:", caller.Owner())
	// Output:
	// apikey.Pepper(version 1, masked)
	// still good: acct_42
}
