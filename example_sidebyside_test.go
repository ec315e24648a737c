package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// follow makes imported keys what the old system says they are now. A key that
// it cannot change keeps it from no other.
func follow(ctx context.Context, keys *apikey.Manager, old []oldKey) error {
	rows := make(map[string]oldKey, len(old))
	for _, k := range old {
		rows[k.id] = k
	}
	var errs []error
	every := apikey.Query{AllOwners: true, Limit: 1000}
	for more := true; more; {
		page, err := keys.List(ctx, every)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		for _, key := range page.Keys {
			id, imported := key.Metadata["old_id"]
			if !imported || !key.RevokedAt.IsZero() {
				continue
			}
			row, there := rows[id]
			ring := keys.Keyring(key.Owner, apikey.Operator("migration"))
			if err := followOne(ctx, ring, key, row, there); err != nil {
				errs = append(errs, fmt.Errorf("row %s: %w", id, err))
			}
		}
		every.After, more = page.Next, page.Next != ""
	}
	return errors.Join(errs...)
}

func followOne(ctx context.Context, ring *apikey.Keyring, key *apikey.Key, row oldKey, there bool) (err error) {
	expires := row.params.ExpiresAt
	moved := !expires.Equal(key.ExpiresAt)
	ended := moved && !expires.IsZero() && !expires.After(time.Now())
	switch {
	case there && !row.params.RevokedAt.IsZero():
		_, err = ring.Revoke(ctx, key.ID)
		return err
	case !there || row.stopped || ended:
		_, err = ring.Hold(ctx, key.ID) // not for ever: a table that is empty by mistake must end nothing
		return err
	case !key.HeldAt.IsZero():
		_, err = ring.Release(ctx, key.ID)
	}
	if err != nil {
		return err
	}
	u := apikey.KeyUpdate{Name: &row.params.Name, Permissions: &row.params.Permissions} // where nothing is new, nothing is written
	if moved {
		u.ExpiresAt = &expires
	}
	_, err = ring.Update(ctx, key.ID, u)
	return err
}

// rehearse stands behind the old middleware. It refuses nobody, and tells of
// what the new one would have refused.
func rehearse(keys *apikey.Manager, policy apikey.Policy, tell func(*http.Request, error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, _, err := keys.Check(r, policy); err != nil {
				tell(r, err)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// either admits what keys admits, and what it does not know if the old
// middleware does.
func either(keys *apikey.Manager, policy apikey.Policy, old func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		fallback := old(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			caller, decision, err := keys.Check(r, policy)
			var denial *apikey.Denial
			switch {
			case err == nil:
				keys.SetHeader(w.Header(), caller, decision)
				next.ServeHTTP(w, r.WithContext(apikey.NewContext(r.Context(), caller)))
			case errors.As(err, &denial) && denial.Reason == apikey.ReasonInvalid && denial.KeyID == "":
				fallback.ServeHTTP(w, r)
			default: // it is a key of ours, and it may not: or we cannot say
				keys.WriteError(w, r, err)
			}
		})
	}
}

// Both systems side by side: what is known here is decided here, and the rest
// as it always was.
func ExampleManager_Check_sideBySide() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{Schemes: []apikey.Scheme{{Name: "fm", Prefix: "fm_live_", MinLen: 40}}})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	ring := keys.Keyring("acct_42", apikey.Operator("migration"))
	tokens := readTokens("sha256.csv")
	for _, t := range tokens[:2] {
		key, err := ring.Import(ctx, apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "row " + t.id}, Token: t.token})
		if err != nil {
			panic(err)
		}
		if t.id == "2" {
			if _, err := ring.Revoke(ctx, key.ID); err != nil {
				panic(err)
			}
		}
	}

	old := func(next http.Handler) http.Handler { // it knows rows 1 to 3
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, t := range tokens[:3] {
				if r.Header.Get("X-Api-Key") == t.token {
					next.ServeHTTP(w, r)
					return
				}
			}
			http.Error(w, "the old refusal", http.StatusUnauthorized)
		})
	}
	h := either(keys, apikey.Policy{}, old)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, ours := apikey.FromContext(r.Context())
		fmt.Fprintln(w, "by the new one:", ours)
	}))
	for _, t := range tokens[:4] {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Api-Key", t.token)
		h.ServeHTTP(w, r)
		fmt.Printf("%s: %d %s\n", t.id, w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 1: 200 by the new one: true
	// 2: 401 {"title":"Unauthorized","status":401,"detail":"The API key has been revoked.","code":"revoked"}
	// 3: 200 by the new one: false
	// 4: 401 the old refusal
}

// What the old system has to be told before it may decide again, and whom to
// tell that their token is not known there.
func ExampleManager_List_wayBack() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{Schemes: []apikey.Scheme{{Name: "fm", Prefix: "fm_live_", MinLen: 40}}})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	ring := keys.Keyring("acct_42", apikey.Operator("migration"))
	old := []oldKey{}
	for _, t := range readTokens("sha256.csv") {
		old = append(old, oldKey{id: t.id, owner: "acct_42", params: apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "row " + t.id}, Token: t.token}})
	}
	bring(ctx, keys, old[:3])
	page, err := ring.List(ctx, apikey.Query{})
	if err != nil {
		panic(err)
	}
	for _, key := range page.Keys {
		switch key.Name {
		case "row 2":
			_, err = ring.Revoke(ctx, key.ID)
		case "row 3":
			_, err = ring.Rotate(ctx, key.ID, apikey.RotateParams{})
		}
		if err != nil {
			panic(err)
		}
	}
	if _, err := ring.Create(ctx, apikey.KeyParams{Name: "made since"}); err != nil {
		panic(err)
	}

	now := time.Now()
	works := func(s apikey.Secret) bool { // a token of the old system's
		return s.Scheme != "" && s.EndedAt.IsZero() && (s.NotAfter.IsZero() || now.Before(s.NotAfter))
	}
	n := 0
	every := apikey.Query{AllOwners: true, Limit: 1000}
	for more := true; more; {
		page, err := keys.List(ctx, every)
		if err != nil {
			panic(err)
		}
		for _, key := range page.Keys {
			id, imported := key.Metadata["old_id"]
			active, foreign := key.State(now) == apikey.StateActive, slices.ContainsFunc(key.Secrets, works)
			if imported && !(active && foreign) {
				fmt.Println("end this row there:", id)
			}
			if active && key.Secrets[0].Scheme == "" {
				fmt.Println("has a token that is unknown there:", key.Name)
			}
			if foreign && key.Live(now) {
				n++
			}
		}
		every.After, more = page.Next, page.Next != ""
	}
	fmt.Println("keys that need the Scheme:", n)
	// Unordered output:
	// end this row there: 2
	// end this row there: 3
	// has a token that is unknown there: row 3
	// has a token that is unknown there: made since
	// keys that need the Scheme: 1
}
