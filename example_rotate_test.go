package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// A new token without downtime: both work until the clients have changed over.
func ExampleKeyring_Rotate() {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{Now: func() time.Time { return now }})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	ring := keys.Keyring("acct_42", apikey.Operator("support"))
	issued, err := ring.Create(ctx, apikey.KeyParams{Name: "Production"})
	if err != nil {
		panic(err)
	}
	id, earlier := issued.Key.ID, issued.Token.Reveal()

	rotated, err := ring.Rotate(ctx, id, apikey.RotateParams{Grace: 24 * time.Hour})
	if err != nil {
		panic(err)
	}
	fmt.Println("same key:", rotated.Key.ID == id)

	try := func(name, token string) {
		_, _, err := keys.Verify(ctx, apikey.Request{Token: token})
		if denial, ok := errors.AsType[*apikey.Denial](err); ok {
			fmt.Println(name, denial.Reason)
			return
		}
		fmt.Println(name, "works")
	}
	now = now.Add(time.Hour)
	try("earlier", earlier)
	now = now.Add(time.Minute)
	try("newer", rotated.Token.Reveal())

	// Who still uses the earlier one? Its secret has a last use of its own.
	if err := keys.Flush(ctx); err != nil { // happens every 5 s by itself
		panic(err)
	}
	key, err := ring.Get(ctx, id)
	if err != nil {
		panic(err)
	}
	for _, secret := range key.Secrets {
		fmt.Printf("secret %d last used %s\n", secret.N, key.Usage.LastUsed[secret.N].Format(time.TimeOnly))
	}

	now = now.Add(24 * time.Hour) // or ring.EndRotation, sooner
	try("earlier", earlier)
	// Output:
	// same key: true
	// earlier works
	// newer works
	// secret 2 last used 16:05:05
	// secret 1 last used 16:04:05
	// earlier rotated
}

// Keys that are due for rotation, and keys that nobody uses.
func ExampleQuery() {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{Now: func() time.Time { return now }})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	ring := keys.Keyring("acct_42", apikey.Operator("support"))
	old, err := ring.Create(ctx, apikey.KeyParams{Name: "Old"})
	if err != nil {
		panic(err)
	}
	now = now.AddDate(0, 0, 100)
	if _, err := ring.Create(ctx, apikey.KeyParams{Name: "New"}); err != nil {
		panic(err)
	}
	if _, _, err := keys.Verify(ctx, apikey.Request{Token: old.Token.Reveal()}); err != nil {
		panic(err)
	}
	if err := keys.Flush(ctx); err != nil {
		panic(err)
	}

	list := func(what string, q apikey.Query) {
		for { // page by page
			page, err := keys.List(ctx, q)
			if err != nil {
				panic(err)
			}
			for _, k := range page.Keys {
				fmt.Println(what, k.Name, "of", k.Owner)
			}
			if q.After = page.Next; q.After == "" {
				return
			}
		}
	}
	active := []apikey.State{apikey.StateActive}
	list("due for rotation:", apikey.Query{AllOwners: true, States: active, RotatedBefore: now.AddDate(0, 0, -90)})
	now = now.AddDate(0, 0, 31)
	list("unused for 30 days:", apikey.Query{AllOwners: true, States: active, UnusedSince: now.AddDate(0, 0, -30)})
	// Output:
	// due for rotation: Old of acct_42
	// unused for 30 days: New of acct_42
	// unused for 30 days: Old of acct_42
}
