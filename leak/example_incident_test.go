package leak_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// The night on which a customer's token stands in a public paste, step by step
// as in docs/leaks.md: whose is it, stop it, what was done with it, tell the
// owner, let them work again.
func Example_incident() {
	now := time.Date(2026, 1, 2, 22, 0, 0, 0, time.UTC)
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{
		Formats: exampleFormats, Now: func() time.Time { return now },
	})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{Name: "Production", Prefix: "rg_live_"})
	if err != nil {
		panic(err)
	}
	paste := []byte("KEY=" + issued.Token.Reveal() + "\nOLD=rg_live_" + "000000000000000000000000000000000000000000000")

	leakedAt := now.Add(4 * time.Hour)
	now = leakedAt.Add(30 * time.Minute)
	_, _, _ = keys.Verify(ctx, apikey.Request{Token: issued.Token.Reveal(), Peer: netip.MustParseAddr("203.0.113.9")})
	now = leakedAt.Add(time.Hour) // 3 a.m.

	// 1. Whose is it?
	var leaked []*apikey.Key
	for _, format := range keys.Formats() {
		for _, token := range regexp.MustCompile(format.Regexp()).FindAll(paste, -1) {
			key, state, err := keys.Lookup(ctx, string(token))
			if errors.Is(err, apikey.ErrNotFound) {
				continue // none of ours, or a wrong secret
			}
			if err != nil {
				panic(err)
			}
			fmt.Printf("%q of %s is %s, its token is %s\n", key.Name, key.Owner, key.State(now), state)
			leaked = append(leaked, key)
		}
	}
	key := leaked[0]

	// 2. Stop it.
	ring := keys.Keyring(key.Owner, apikey.Operator("on-call"))
	if _, err := ring.Hold(ctx, key.ID); err != nil { // until Release; for ever: Revoke
		panic(err)
	}

	// 3. What was done with it?
	if err := keys.Flush(ctx); err != nil {
		panic(err)
	}
	key, err = ring.Get(ctx, key.ID)
	if err != nil {
		panic(err)
	}
	for _, secret := range key.Secrets {
		fmt.Printf("secret %d used after the leak: %v\n", secret.N, key.Usage.LastUsed[secret.N].After(leakedAt))
	}
	hours, err := ring.Usage(ctx, key.ID, apikey.UsageQuery{From: leakedAt})
	if err != nil {
		panic(err)
	}
	for _, h := range hours {
		fmt.Printf("%s: %d requests, %d refused\n", h.Hour.Format(time.TimeOnly), h.Requests, h.Denied)
	}
	since := apikey.HistoryQuery{} // of every key of the owner, newest first
	for more := true; more; {
		page, err := ring.History(ctx, since)
		if err != nil {
			panic(err)
		}
		for _, change := range page.Changes {
			if more = change.At.After(leakedAt); !more {
				break
			}
			fmt.Println(change.KeyID == key.ID, change.Actor, change.Action)
		}
		since.After = page.Next
		more = more && page.Next != ""
	}

	// 4. Tell the owner.
	fmt.Printf("A token of your key %q was found in public.\n", key.Name) // and key.Masked()
	fmt.Printf("We stopped the key at %s. It was last used at %s.\n", key.HeldAt.Format(time.DateTime), key.Usage.LastUsedAt.Format(time.DateTime))

	// 5. Let them work again: with another token, and only then without the hold.
	renewed, err := ring.Rotate(ctx, key.ID, apikey.RotateParams{}) // no grace: every earlier token ends now
	if err != nil {
		panic(err)
	}
	if _, err := ring.Release(ctx, key.ID); err != nil {
		panic(err)
	}
	for _, token := range []apikey.Token{issued.Token, renewed.Token} {
		_, _, err := keys.Verify(ctx, apikey.Request{Token: token.Reveal()})
		fmt.Println(err == nil)
	}
	// Output:
	// "Production" of acct_42 is active, its token is live
	// secret 1 used after the leak: true
	// 02:00:00: 1 requests, 0 refused
	// true on-call hold
	// A token of your key "Production" was found in public.
	// We stopped the key at 2026-01-03 03:00:00. It was last used at 2026-01-03 02:30:00.
	// false
	// true
}

// A pepper got out. The new one is put before it, what is in use changes over
// by itself, and what was not used by then gets another token before the old
// pepper is taken out.
func Example_leakedPepper() {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	ctx := context.Background()
	store := memstore.New()
	open := func(peppers ...apikey.Pepper) *apikey.Manager {
		keys, err := apikey.New(store, &apikey.Config{Peppers: peppers, Now: func() time.Time { return now }})
		if err != nil {
			panic(err)
		}
		return keys
	}
	leaked, err := apikey.NewPepper(1, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		panic(err)
	}
	fresh, err := apikey.NewPepper(2, bytes.Repeat([]byte{2}, 32)) // really: 32 bytes of crypto/rand
	if err != nil {
		panic(err)
	}

	keys := open(leaked)
	ring := keys.Keyring("acct_42", apikey.Operator("signup"))
	var tokens []apikey.Token
	for _, name := range []string{"in use", "idle"} {
		issued, err := ring.Create(ctx, apikey.KeyParams{Name: name})
		if err != nil {
			panic(err)
		}
		tokens = append(tokens, issued.Token)
	}
	keys.Close(ctx)

	now = now.Add(time.Hour)
	started := now
	keys = open(fresh, leaked) // the first makes new digests, the others still verify
	now = now.Add(24 * time.Hour)
	if _, _, err := keys.Verify(ctx, apikey.Request{Token: tokens[0].Reveal()}); err != nil {
		panic(err)
	}
	if err := keys.Flush(ctx); err != nil {
		panic(err)
	}
	idle, err := keys.List(ctx, apikey.Query{AllOwners: true, UnusedSince: started})
	if err != nil {
		panic(err)
	}
	for _, key := range idle.Keys { // and on with idle.Next
		fmt.Printf("%q of %s still has the old digest\n", key.Name, key.Owner)
	}
	keys.Close(ctx)

	keys = open(fresh)
	defer keys.Close(ctx)
	for _, token := range tokens {
		_, _, err := keys.Verify(ctx, apikey.Request{Token: token.Reveal()})
		_, unavailable := errors.AsType[*apikey.UnavailableError](err)
		fmt.Println(err == nil, unavailable)
	}
	// Output:
	// "idle" of acct_42 still has the old digest
	// true false
	// false true
}

// Somebody could write to the database: nobody knows which keys are real. All
// of them end, owner by owner.
func Example_everyKey() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	for _, owner := range []string{"acct_42", "acct_42", "acct_7"} {
		if _, err := keys.Keyring(owner, apikey.Operator("signup")).Create(ctx, apikey.KeyParams{Name: "Production"}); err != nil {
			panic(err)
		}
	}

	all := apikey.Query{AllOwners: true}
	for more := true; more; {
		page, err := keys.List(ctx, all)
		if err != nil {
			panic(err)
		}
		for _, key := range page.Keys {
			n, err := keys.Keyring(key.Owner, apikey.Operator("on-call")).RevokeAll(ctx)
			if err != nil {
				panic(err) // start again: what is revoked stays revoked
			}
			if n > 0 {
				fmt.Printf("%s: %d keys revoked\n", key.Owner, n)
			}
		}
		all.After, more = page.Next, page.Next != ""
	}
	// Unordered output:
	// acct_42: 2 keys revoked
	// acct_7: 1 keys revoked
}
