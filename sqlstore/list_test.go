package sqlstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// With filters one call looks at so many keys and no more; the pages together
// have every key once all the same.
func TestListLooksAtFewKeysAtOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		s := sqltest.Store(t, d, nil)
		var keys []*apikey.Key
		for i := range 30 {
			k := testKey(i, []string{"acct", "other"}[i%2])
			k.CreatedAt = epoch.Add(time.Duration(i/7) * time.Second)
			k.Name = fmt.Sprint("name ", i%3)
			if i%4 == 0 {
				k.ExpiresAt = epoch
			}
			if i%5 == 0 {
				k.RevokedAt = epoch
			}
			keys = append(keys, k)
			mustCreate(t, s, k)
		}
		for _, scan := range []int{1, 2, 7, 29, 30, 31} {
			s.SetScan(scan)
			for _, q := range []apikey.Query{
				{AllOwners: true, Text: "NAME 1"},
				{Owner: "acct", Text: "name 1"},
				{AllOwners: true, Text: "nothing"},
				{AllOwners: true, States: []apikey.State{apikey.StateExpired}},
				{Owner: "acct", States: []apikey.State{apikey.StateExpired}, Environment: "live"},
				{AllOwners: true, ExpiresBefore: epoch.Add(1)},
				{AllOwners: true, UnusedSince: epoch.Add(2 * time.Second)},
				{AllOwners: true, RotatedBefore: epoch.Add(20 * time.Second)},
				{AllOwners: true, RotatedBefore: epoch.Add(20 * time.Second), States: notRevoked},
				{AllOwners: true, RotatedBefore: epoch.Add(20 * time.Second), States: notRevoked, Text: "name 1"},
				{AllOwners: true, RotatedBefore: epoch.Add(9 * time.Second), States: notRevoked[:1]},
				{AllOwners: true, RotatedBefore: epoch, States: notRevoked},
				{AllOwners: true, RotatedBefore: epoch.Add(time.Second + 1), States: notRevoked}, // columns hold microseconds
				{AllOwners: true, RotatedBefore: epoch.Add(20 * time.Second), States: []apikey.State{apikey.StateRevoked}},
				{Owner: "acct", RotatedBefore: epoch.Add(20 * time.Second), States: notRevoked},
				{Owner: "nobody", Text: "name"},
			} {
				for _, limit := range []int{1, 3, 100} {
					q.Limit, q.At = limit, epoch
					agree(t, s, q, keys, scan)
				}
			}
		}
	})
}

var notRevoked = []apikey.State{apikey.StateActive, apikey.StateScheduled, apikey.StateDisabled, apikey.StateHeld, apikey.StateExpired}

// agree asks for all pages. The keys are from the oldest to the newest.
func agree(t *testing.T, s *sqlstore.Store, q apikey.Query, keys []*apikey.Key, scan int) {
	t.Helper()
	var want, got []string
	for _, k := range keys {
		if q.Match(k) {
			want = append(want, k.ID)
		}
	}
	for calls := 0; ; calls++ {
		page, err := s.List(t.Context(), q)
		if err != nil || len(page.Keys) > q.Limit || calls > 2*len(keys) {
			t.Fatalf("List: %d keys, %v, call %d", len(page.Keys), err, calls)
		}
		for _, k := range page.Keys {
			got = append(got, k.ID)
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	slices.Reverse(want)
	if !slices.Equal(want, got) {
		t.Errorf("looking at %d keys at once, limit %d, %+v: %v, want %v", scan, q.Limit, q, got, want)
	}
}

// A space is an owner of its own, and no missing filter.
func TestOwnerOfOneSpace(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		s := sqltest.Store(t, d, nil)
		k, blank := testKey(1, "acct"), testKey(2, " ")
		k.Environment, blank.Environment, blank.Alias = "live", " ", " "
		mustCreate(t, s, k, blank)
		if got := ids(t, s, " "); got != blank.ID+" " {
			t.Errorf("keys of the owner %q: %s", " ", got)
		}
		if rec, err := s.Get(t.Context(), " "); err != nil || rec.ID() != blank.ID {
			t.Errorf("Get by the alias %q: %v, %v", " ", rec, err)
		}
		page, err := s.History(t.Context(), apikey.HistoryQuery{Owner: " ", KeyID: k.ID, Limit: 10})
		if err != nil || len(page.Changes) != 0 {
			t.Errorf("%d changes of another owner's key, %v", len(page.Changes), err)
		}
		list, err := s.List(t.Context(), apikey.Query{AllOwners: true, Environment: " ", Limit: 10})
		if err != nil || len(list.Keys) != 1 {
			t.Errorf("%d keys of the environment %q, %v", len(list.Keys), " ", err)
		}
	})
}

// A record that a newer version wrote is an error of its own, and nobody's key
// is missing.
func TestNewerRecord(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		s := sqltest.StoreIn(t, db.DB, d, nil)
		k := testKey(1, "acct")
		mustCreate(t, s, k)
		newer := record(t, k).Bytes()
		newer[0], newer[1] = 255, 255
		if _, err := db.ExecContext(t.Context(), "UPDATE apikey_keys SET record = "+mark(d), newer); err != nil {
			t.Fatal(err)
		}
		rec, err := s.Get(t.Context(), k.ID)
		wantError(t, "Get", err, apikey.ErrNewerRecord)
		if rec != nil {
			t.Error("Get returned a record too")
		}
		_, err = s.List(t.Context(), apikey.Query{Owner: "acct", Limit: 1})
		wantError(t, "List", err, apikey.ErrNewerRecord)
	})
}
