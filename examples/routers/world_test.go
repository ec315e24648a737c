package main

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/memstore"
)

const (
	ourAccount = "acct_42"
	burst      = 2 // requests that each key may make: the clock of a world stands still
)

// world is a service with keys of all sorts, of one test's own.
type world struct {
	service
	down atomic.Bool // the store fails

	reader, writer, revoked, unknown string // tokens
	readerID                         string
}

func newWorld(t *testing.T, every time.Duration) *world {
	t.Helper()
	w := &world{}
	store := &apikeytest.FaultyStore{Store: memstore.New(), Fail: func(op string, _ int) apikeytest.Fault {
		if op == "Get" && w.down.Load() {
			return apikeytest.FailBefore
		}
		return apikeytest.NoFault
	}}
	noon := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	keys, err := apikey.New(store, &apikey.Config{
		Formats: []apikey.Format{{Prefix: "rd_sk_"}},
		Plan: func(context.Context, string) (apikey.Plan, error) {
			return apikey.Plan{Name: "small", MaxKeys: apikey.NoCap, KeyLimits: []apikey.Limit{apikey.PerMinute(burst)}}, nil
		},
		Now:     func() time.Time { return noon },
		OnEvent: func(_ context.Context, e apikey.Event) { secretwatch.Event("an event of routers", e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.down.Store(false)
		if err := keys.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	w.service = service{keys: keys, every: every}
	w.reader, w.readerID = w.create(t, "reports:read")
	w.writer, _ = w.create(t, "reports:*")
	token, id := w.create(t, "reports:*")
	w.revoked = token
	w.revoke(t, id)
	token, id = w.create(t, "reports:*")
	w.unknown = token
	w.revoke(t, id)
	if err := w.keyring().Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) keyring() *apikey.Keyring {
	return w.keys.Keyring(ourAccount, apikey.Operator("test"))
}

func (w *world) create(t *testing.T, may apikey.Permission) (token, id string) {
	t.Helper()
	issued, err := w.keyring().Create(t.Context(), apikey.KeyParams{Name: "K", Permissions: apikey.Permissions{may}})
	if err != nil {
		t.Fatal(err)
	}
	return issued.Token.Reveal(), issued.Key.ID
}

func (w *world) revoke(t *testing.T, id string) {
	t.Helper()
	if _, err := w.keyring().Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

// malformed is a token with one character mistyped.
func (w *world) malformed() string {
	last := "0"
	if w.reader[len(w.reader)-1] == '0' {
		last = "1"
	}
	return w.reader[:len(w.reader)-1] + last
}
