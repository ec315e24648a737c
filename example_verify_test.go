package apikey_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// Where requests do not come over net/http: gRPC, a queue, a socket. The host
// finds the token and makes the answer, Verify decides.
func ExampleManager_Verify() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{
		Name: "Worker", Permissions: apikey.Permissions{"jobs:run"},
	})
	if err != nil {
		panic(err)
	}

	verify := func(token string, need apikey.Permission) {
		caller, _, err := keys.Verify(ctx, apikey.Request{Token: token, All: []apikey.Permission{need}})
		var denial *apikey.Denial
		var unavailable *apikey.UnavailableError
		switch {
		case errors.As(err, &denial): // the request is at fault: UNAUTHENTICATED or PERMISSION_DENIED in gRPC
			fmt.Println("refused:", denial.Reason, denial.Permission)
		case errors.As(err, &unavailable): // nobody can say: UNAVAILABLE, and the caller tries again
			fmt.Println("not now")
		case err != nil: // ErrCost, ErrClosed
			fmt.Println(err)
		default:
			fmt.Println("runs for", caller.Owner())
		}
	}
	verify(issued.Token.Reveal(), "jobs:run")
	verify(issued.Token.Reveal(), "jobs:delete")
	verify("sk_something", "jobs:run")
	// Output:
	// runs for acct_42
	// refused: permission jobs:delete
	// refused: invalid
}

// A stream outlives the request that opened it. Recheck says whether its
// caller is still good; it takes nothing from limits.
func ExampleManager_Recheck() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	ring := keys.Keyring("acct_42", apikey.Operator("signup"))
	issued, err := ring.Create(ctx, apikey.KeyParams{Name: "Feed"})
	if err != nil {
		panic(err)
	}

	caller, _, err := keys.Verify(ctx, apikey.Request{Token: issued.Token.Reveal()})
	if err != nil {
		panic(err)
	}
	fmt.Println("before each message:", keys.Recheck(ctx, caller))
	if _, err := ring.Disable(ctx, caller.KeyID()); err != nil {
		panic(err)
	}
	var denial *apikey.Denial
	fmt.Println(errors.As(keys.Recheck(ctx, caller), &denial), denial.Reason)
	// Output:
	// before each message: <nil>
	// true disabled
}
