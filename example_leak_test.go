package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// A token was found where it should not be. Whose is it, does it still work,
// and what stops it?
func ExampleManager_Lookup() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{Name: "Production"})
	if err != nil {
		panic(err)
	}
	paste := "curl -H 'X-Api-Key: " + issued.Token.Reveal() + "' # and sk_this_is_none"

	for _, format := range keys.Formats() {
		for _, token := range regexp.MustCompile(format.Regexp()).FindAllString(paste, -1) {
			key, state, err := keys.Lookup(ctx, token)
			if errors.Is(err, apikey.ErrNotFound) {
				continue // none of ours, or a wrong secret
			}
			if err != nil {
				panic(err)
			}
			fmt.Printf("%q of %s, its token is %s\n", key.Name, key.Owner, state)
			revoked, err := keys.Keyring(key.Owner, apikey.Operator("on-call")).Revoke(ctx, key.ID)
			if err != nil {
				panic(err)
			}
			fmt.Println("revoked:", !revoked.RevokedAt.IsZero())
		}
	}
	_, _, err = keys.Verify(ctx, apikey.Request{Token: issued.Token.Reveal()})
	var denial *apikey.Denial
	fmt.Println(errors.As(err, &denial), denial.Reason)
	// Output:
	// "Production" of acct_42, its token is live
	// revoked: true
	// true revoked
}

// Nobody knows which of an owner's keys leaked: all of them end. Hold is the
// milder way, for when it is not certain yet; it can be undone.
func ExampleKeyring_RevokeAll() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	ring := keys.Keyring("acct_42", apikey.Operator("on-call"))
	var tokens []string
	for _, name := range []string{"Production", "Staging"} {
		issued, err := ring.Create(ctx, apikey.KeyParams{Name: name})
		if err != nil {
			panic(err)
		}
		if _, err := ring.Hold(ctx, issued.Key.ID); err != nil { // stops it until Release
			panic(err)
		}
		tokens = append(tokens, issued.Token.Reveal())
	}
	try := func(token string) {
		_, _, err := keys.Verify(ctx, apikey.Request{Token: token})
		if denial, ok := errors.AsType[*apikey.Denial](err); ok {
			fmt.Println(denial.Reason)
		}
	}
	try(tokens[0])
	n, err := ring.RevokeAll(ctx)
	fmt.Println(n, err)
	try(tokens[0])
	try(tokens[1])
	// Output:
	// held
	// 2 <nil>
	// revoked
	// revoked
}
