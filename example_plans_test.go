package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// Plans: how many keys an owner has, and how often they may call.
func ExamplePlan() {
	plans := map[string]apikey.Plan{ // in the host's own database
		"acct_42": {
			Name: "starter", MaxKeys: 2,
			OwnerLimits: []apikey.Limit{apikey.PerMinute(3)}, // all keys of the account together
		},
		"acct_43": {Name: "free", Refusal: "API keys are part of the plan Pro."},
	}
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{
		Plan: func(_ context.Context, owner string) (apikey.Plan, error) {
			return plans[owner], nil // of an unknown owner the zero Plan, which is an error: never "unlimited"
		},
		Now: func() time.Time { return now }, // so that this example prints the same every time
	})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)

	var tokens []string
	for range 3 {
		issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{Name: "Mine"})
		if errors.Is(err, apikey.ErrKeyQuota) {
			fmt.Println("the third key: ErrKeyQuota")
			continue
		}
		tokens = append(tokens, issued.Token.Reveal())
	}
	_, err = keys.Keyring("acct_43", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{Name: "Mine"})
	fmt.Println(errors.Is(err, apikey.ErrPlan), err)

	guarded := keys.Require()(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "done") }))
	call := func(token string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		fmt.Printf("%d %s %q\n", w.Code, w.Header().Get("RateLimit"), w.Header().Get("Retry-After"))
	}
	call(tokens[0])
	call(tokens[1])
	call(tokens[0])
	call(tokens[1])
	now = now.Add(20 * time.Second) // as Retry-After said
	call(tokens[1])
	// Output:
	// the third key: ErrKeyQuota
	// true apikey: the owner's plan refuses keys: API keys are part of the plan Pro.
	// 200 "minute";r=2;t=20 ""
	// 200 "minute";r=1;t=40 ""
	// 200 "minute";r=0;t=60 ""
	// 429 "minute";r=0;t=60 "20"
	// 200 "minute";r=0;t=60 ""
}

// A limit of one key's own, for a while: an operator raises it.
func ExampleLimitOverride() {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{
		Plan: func(context.Context, string) (apikey.Plan, error) {
			return apikey.Plan{Name: "starter", MaxKeys: apikey.NoCap, KeyLimits: []apikey.Limit{apikey.PerMinute(60)}}, nil
		},
		Now: func() time.Time { return now },
	})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	ring := keys.Keyring("acct_42", apikey.Operator("support"))
	issued, err := ring.Create(ctx, apikey.KeyParams{Name: "Migration"})
	if err != nil {
		panic(err)
	}

	remaining := func() {
		_, decision, err := keys.Verify(ctx, apikey.Request{Token: issued.Token.Reveal()})
		if err != nil {
			panic(err)
		}
		fmt.Println(decision.Remaining, "of", decision.Limit.N)
	}
	remaining()
	raised := []apikey.LimitOverride{{Limit: apikey.PerMinute(600), Until: now.Add(24 * time.Hour)}} // the name "minute" stands in the plan's place
	if _, err := ring.Update(ctx, issued.Key.ID, apikey.KeyUpdate{Limits: &raised}); err != nil {
		panic(err)
	}
	remaining() // at once, and what was spent stays spent
	now = now.Add(25 * time.Hour)
	remaining() // it ended by itself
	// Output:
	// 59 of 60
	// 598 of 600
	// 59 of 60
}
