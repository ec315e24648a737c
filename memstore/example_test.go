package memstore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

func ExampleNew() {
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer keys.Close(ctx)

	issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{Name: "Production"})
	if err != nil {
		log.Fatal(err)
	}
	principal, _, err := keys.Verify(ctx, apikey.Request{Token: issued.Token.Reveal()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(principal.Owner(), principal.Name())
	// Output: acct_42 Production
}

func ExampleNewWith() {
	// A test that makes very many changes, and looks at none.
	store := memstore.NewWith(memstore.Config{MaxHistory: -1})

	page, err := store.History(context.Background(), apikey.HistoryQuery{AllOwners: true, Limit: 10})
	fmt.Println(len(page.Changes), err)
	// Output: 0 <nil>
}
