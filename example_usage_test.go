package apikey_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// What a key was used for, and what was done to it.
func ExampleKeyring_History() {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{Now: func() time.Time { return now }})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	ring := keys.Keyring("acct_42", apikey.Operator("ada@example.com"))
	issued, err := ring.Create(ctx, apikey.KeyParams{Name: "Production", Permissions: apikey.Permissions{"calls:*"}})
	if err != nil {
		panic(err)
	}
	if _, err := ring.Update(ctx, issued.Key.ID, apikey.KeyUpdate{Permissions: &apikey.Permissions{"calls:read"}}); err != nil {
		panic(err)
	}

	for _, need := range []apikey.Permission{"calls:read", "calls:read", "calls:create"} {
		now = now.Add(50 * time.Minute)
		_, _, _ = keys.Verify(ctx, apikey.Request{ // the last one is refused
			Token: issued.Token.Reveal(), All: []apikey.Permission{need}, Peer: netip.MustParseAddr("192.0.2.7"),
		})
	}
	if err := keys.Flush(ctx); err != nil { // happens every 5 s by itself
		panic(err)
	}

	key, err := ring.Get(ctx, issued.Key.ID)
	if err != nil {
		panic(err)
	}
	u := key.Usage
	fmt.Printf("%d requests, the last at %s; %d refused\n", u.Requests, u.LastUsedAt.Format(time.TimeOnly), u.Denied)
	fmt.Printf("last refusal: %s from %s at %s\n", u.LastRefusal.Reason, u.LastRefusal.Peer, u.LastRefusal.At.Format(time.TimeOnly))

	hours, err := ring.Usage(ctx, key.ID, apikey.UsageQuery{})
	if err != nil {
		panic(err)
	}
	for _, h := range hours {
		fmt.Printf("%s: %d requests, %d refused\n", h.Hour.Format(time.TimeOnly), h.Requests, h.Denied)
	}

	history, err := ring.History(ctx, apikey.HistoryQuery{KeyID: key.ID})
	if err != nil {
		panic(err)
	}
	for _, change := range history.Changes { // newest first
		fmt.Println(change.Actor, change.Action)
		for _, f := range change.Fields {
			fmt.Printf("  %s: %q, was %q\n", f.Name, f.New, f.Old)
		}
	}
	// Output:
	// 2 requests, the last at 16:44:05; 1 refused
	// last refusal: permission from 192.0.2.7 at 17:34:05
	// 15:00:00: 1 requests, 0 refused
	// 16:00:00: 1 requests, 0 refused
	// 17:00:00: 0 requests, 1 refused
	// ada@example.com update
	//   permissions: "[calls:read]", was "[calls:*]"
	// ada@example.com create
	//   name: "Production", was ""
	//   permissions: "[calls:*]", was "[]"
	//   secrets: "1: sk_", was ""
}
