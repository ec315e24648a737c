package apikey_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// Keys move from one store of this package to another, or come back from a
// backup: their clients go on with the tokens they have. The digest is enough;
// nobody needs the token.
func ExampleKeyring_Import() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)

	const token = "sk_Example00001notARealSecret00000000000002fVbsC" // only its holder has it
	sum := sha256.Sum256([]byte(token))
	row := struct{ ID, SHA256 string }{"Example00001", hex.EncodeToString(sum[:])} // what the other place kept

	digest, err := apikey.ParseDigest(row.SHA256)
	if err != nil {
		panic(err)
	}
	ring := keys.Keyring("acct_42", apikey.Operator("migration"))
	params := apikey.ImportParams{
		KeyParams: apikey.KeyParams{Name: "Production", Prefix: "sk_", Permissions: apikey.Permissions{"calls:read"}},
		ID:        row.ID,
		Digest:    digest,
		CreatedAt: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC),
		Requests:  1234,
	}
	if _, err := ring.Import(ctx, params); err != nil {
		panic(err)
	}
	_, err = ring.Import(ctx, params)
	fmt.Println("again:", errors.Is(err, apikey.ErrExists)) // so a run that broke off is repeated

	caller, _, err := keys.Verify(ctx, apikey.Request{Token: token})
	if err != nil {
		panic(err)
	}
	fmt.Println(caller.Owner(), caller.Name(), caller.Can("calls:read"))
	// Output:
	// again: true
	// acct_42 Production true
}
