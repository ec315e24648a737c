//go:build linux

package faulttest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// Two nodes whose clocks are an hour apart, on one database.
func TestClocksAnHourApart(t *testing.T) {
	t.Parallel()
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		late := newManager(t, sqltest.StoreIn(t, db.DB, d, nil), apikey.Config{})
		early := newManager(t, sqltest.StoreIn(t, db.Again(t, ""), d, nil), apikey.Config{
			Now: func() time.Time { return time.Now().Add(time.Hour) },
		})
		for _, nodes := range [][2]*apikey.Manager{{late, early}, {early, late}} {
			one, two := nodes[0], nodes[1]
			ring, other := one.Keyring("acct", apikey.Operator("test")), two.Keyring("acct", apikey.Operator("test"))
			issued, err := ring.Create(t.Context(), apikey.KeyParams{Name: "key"})
			if err != nil {
				t.Fatal(err)
			}
			admitted(t, two, issued.Token.Reveal(), "")
			again, err := other.Rotate(t.Context(), issued.Key.ID, apikey.RotateParams{})
			if err != nil {
				t.Fatal(err)
			}
			admitted(t, one, issued.Token.Reveal(), apikey.ReasonRotated)
			admitted(t, one, again.Token.Reveal(), "")
			for _, stop := range []struct {
				call   func() (*apikey.Key, error)
				reason apikey.Reason
			}{
				{func() (*apikey.Key, error) { return ring.Disable(t.Context(), issued.Key.ID) }, apikey.ReasonDisabled},
				{func() (*apikey.Key, error) { return ring.Revoke(t.Context(), issued.Key.ID) }, apikey.ReasonRevoked},
			} {
				if _, err := stop.call(); err != nil {
					t.Fatal(err)
				}
				admitted(t, one, again.Token.Reveal(), stop.reason)
				admitted(t, two, again.Token.Reveal(), stop.reason)
			}
			if err := errors.Join(one.Flush(t.Context()), two.Flush(t.Context())); err != nil {
				t.Fatal(err)
			}
			key, err := other.Get(t.Context(), issued.Key.ID)
			if err != nil || key.Usage.Requests != 2 || key.RevokedAt.IsZero() {
				t.Errorf("used %d times, revoked %v, %v; want 2", key.Usage.Requests, key.RevokedAt, err)
			}
		}
		capOfClocks(t, late, early)
		whole(t, db.DB)
	})
}

// capOfClocks: keys that expire within the hour are live to one node only, and
// come on top; the others do not.
func capOfClocks(t *testing.T, late, early *apikey.Manager) {
	t.Helper()
	const soon = 3
	for range soon {
		_, err := late.Keyring(capped, apikey.Operator("test")).Create(t.Context(), apikey.KeyParams{Name: "soon", ExpiresAt: time.Now().Add(30 * time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range 20 {
		m := []*apikey.Manager{late, early}[i%2]
		wg.Go(func() {
			_, err := m.Keyring(capped, apikey.Operator("test")).Create(t.Context(), apikey.KeyParams{Name: "key"})
			if err != nil && !errors.Is(err, apikey.ErrKeyQuota) {
				t.Errorf("Create: %v", err)
			}
		})
	}
	wg.Wait()
	stay, expire := 0, 0
	for _, k := range (&load{t: t, m: late}).list(capped) {
		if k.ExpiresAt.IsZero() {
			stay++
		} else {
			expire++
		}
	}
	if stay != mostLive || expire != soon {
		t.Errorf("with a cap of %d there are %d keys, and %d that expire within the hour; want %d and %d", mostLive, stay, expire, mostLive, soon)
	}
}

// admitted verifies a token, which is refused for the reason; "": it is not.
func admitted(t *testing.T, m *apikey.Manager, token string, reason apikey.Reason) {
	t.Helper()
	_, _, err := m.Verify(t.Context(), apikey.Request{Token: token})
	var denial *apikey.Denial
	switch {
	case reason == "" && err != nil:
		t.Errorf("a good token: %v", err)
	case reason != "" && (!errors.As(err, &denial) || denial.Reason != reason):
		t.Errorf("a token that is %s: %v", reason, err)
	}
}
