//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// What is done to one key, and how it came out: for a rotation ok and the number
// of the new token, for a verification ok and the number of the one it tried.
type (
	step struct {
		verb  string
		token uint32
	}
	answer struct {
		ok    bool
		token uint32
	}
	keyState struct {
		made, revoked bool
		token         uint32 // the one that works
	}
)

// oneKey is what a key is to whoever uses it alone.
var oneKey = porcupine.Model{
	Init: func() any { return keyState{} },
	Step: func(state, in, out any) (bool, any) {
		k, do, got := state.(keyState), in.(step), out.(answer)
		switch do.verb {
		case "create":
			return !k.made && got.ok, keyState{made: true, token: 1}
		case "revoke":
			k.revoked = true
			return k.made && got.ok, k
		case "rotate":
			if !got.ok {
				return k.revoked, k
			}
			next := keyState{made: true, token: got.token}
			return k.made && !k.revoked && got.token == k.token+1, next
		}
		return got.ok == (k.made && !k.revoked && do.token == k.token), k
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprint(in, " → ", out) },
}

// TestLinearizable has five nodes create, rotate, revoke and verify keys at
// once, and asks of each key's history whether one after another would have
// been answered so.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	for _, d := range []sqlstore.Dialect{sqlstore.PostgreSQL, sqlstore.SQLite} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			sqltest.Need(t, d)
			db := sqltest.Open(t, d)
			nodes := make([]*apikey.Manager, 5)
			for i := range nodes {
				nodes[i] = newManager(t, sqltest.StoreIn(t, db.Again(t, ""), d, nil), apikey.Config{})
			}
			keys, steps := times(5, 200), 0
			for range keys {
				history := historyOf(t, nodes)
				steps += len(history)
				if !porcupine.CheckOperations(oneKey, history) {
					t.Fatalf("not linearizable: %+v", history)
				}
			}
			t.Logf("%d keys, %d steps", keys, steps)
		})
	}
}

// historyOf is what the nodes did to one key.
func historyOf(t *testing.T, nodes []*apikey.Manager) []porcupine.Operation {
	t.Helper()
	began := time.Now()
	var mu sync.Mutex
	var history []porcupine.Operation
	tokens := map[uint32]string{}
	do := func(node int, in step, call func() answer) {
		from := time.Since(began)
		out := call()
		to := time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		history = append(history, porcupine.Operation{ClientId: node, Input: in, Call: int64(from), Output: out, Return: int64(to)})
	}
	known := func(n uint32, token string) {
		mu.Lock()
		defer mu.Unlock()
		tokens[n] = token
	}
	var id string
	do(0, step{verb: "create"}, func() answer {
		issued, err := nodes[0].Keyring("acct", apikey.Operator("test")).Create(t.Context(), apikey.KeyParams{Name: "key"})
		if err != nil {
			t.Fatal(err)
		}
		id = issued.Key.ID
		known(1, issued.Token.Reveal())
		return answer{ok: true, token: 1}
	})
	var wg sync.WaitGroup
	for node, m := range nodes {
		wg.Go(func() {
			ring := m.Keyring("acct", apikey.Operator("test"))
			for i := range 12 {
				switch n := rand.N(10); {
				case n == 0 && i > 6:
					do(node, step{verb: "revoke"}, func() answer {
						_, err := ring.Revoke(t.Context(), id)
						return answer{ok: noFailure(t, err)}
					})
				case n < 4:
					do(node, step{verb: "rotate"}, func() answer {
						issued, err := ring.Rotate(t.Context(), id, apikey.RotateParams{})
						if !noFailure(t, err) {
							return answer{}
						}
						known(issued.Key.Secrets[0].N, issued.Token.Reveal())
						return answer{true, issued.Key.Secrets[0].N}
					})
				default:
					mu.Lock()
					token := uint32(len(tokens)) // nearly always the newest
					secret := tokens[token]
					mu.Unlock()
					do(node, step{"verify", token}, func() answer {
						_, _, err := m.Verify(t.Context(), apikey.Request{Token: secret})
						return answer{ok: noFailure(t, err)}
					})
				}
			}
		})
	}
	wg.Wait()
	return history
}

// noFailure reports whether err is nil; of a failure it tells the test.
func noFailure(t *testing.T, err error) bool {
	t.Helper()
	var denial *apikey.Denial
	if err != nil && !errors.As(err, &denial) && !errors.Is(err, apikey.ErrRevoked) {
		t.Errorf("nothing failed, and the answer is %v", err)
	}
	return err == nil
}
