package sqlstore_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// Of a node the highest eight batches are remembered, in whatever order they
// come; one below them is taken as added, and never added twice.
func TestBatchesRemembered(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		s := sqltest.StoreIn(t, db.DB, d, nil)
		a, b, c := testKey(1, "acct"), testKey(2, "acct"), testKey(3, "acct")
		mustCreate(t, s, a, b, c)
		for i, step := range []struct {
			seq  int64
			keys []*apikey.Key
			want [3]int64 // the requests of a, b and c
		}{
			{0, []*apikey.Key{a}, [3]int64{0, 0, 0}},  // numbers begin at 1
			{-1, []*apikey.Key{a}, [3]int64{0, 0, 0}}, // and are not negative
			{10, []*apikey.Key{a}, [3]int64{1, 0, 0}},
			{1, []*apikey.Key{a, b}, [3]int64{1, 1, 0}},
			{20, []*apikey.Key{a}, [3]int64{2, 1, 0}},
			{30, []*apikey.Key{a}, [3]int64{3, 1, 0}},
			{40, []*apikey.Key{a}, [3]int64{4, 1, 0}},
			{50, []*apikey.Key{a}, [3]int64{5, 1, 0}},
			{60, []*apikey.Key{a}, [3]int64{6, 1, 0}},
			{70, []*apikey.Key{a}, [3]int64{7, 1, 0}},
			{2, []*apikey.Key{c}, [3]int64{7, 1, 1}},     // in the place of 1
			{1, []*apikey.Key{b}, [3]int64{7, 1, 1}},     // forgotten, and not added again
			{10, []*apikey.Key{a, b}, [3]int64{7, 2, 1}}, // b has not had it
			{10, []*apikey.Key{a, b}, [3]int64{7, 2, 1}},
			{3, []*apikey.Key{b, c}, [3]int64{7, 2, 2}}, // in the place of 2
			{80, []*apikey.Key{a}, [3]int64{8, 2, 2}},   // in the place of 3
			{9, []*apikey.Key{c}, [3]int64{8, 2, 2}},
			{80, []*apikey.Key{a, b}, [3]int64{8, 3, 2}},
		} {
			batch := apikey.UsageBatch{Node: "node", Seq: step.seq}
			for _, k := range step.keys {
				batch.Entries = append(batch.Entries, usageEntry(k.ID, 1))
			}
			if err := s.AddUsage(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			if got := [3]int64{requests(t, s, a), requests(t, s, b), requests(t, s, c)}; got != step.want {
				t.Errorf("after batch %d of the test, Seq %d: %v requests, want %v", i+1, step.seq, got, step.want)
			}
		}
		if n := count(t, db, "apikey_batches"); n != 8 {
			t.Errorf("%d batches are remembered, want 8", n)
		}
	})
}

func requests(t *testing.T, s *sqlstore.Store, k *apikey.Key) int64 {
	t.Helper()
	page, err := s.List(t.Context(), apikey.Query{AllOwners: true, IDs: []string{k.ID}, Limit: 1})
	if err != nil || len(page.Keys) != 1 {
		t.Fatal(page, err)
	}
	return page.Keys[0].Usage.Requests
}

// What comes from outside is data to the list in which rows are handed over.
func TestRefusalsOfAnyText(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		s := sqltest.Store(t, d, nil)
		for i, text := range []string{`"`, `\`, `",1,2]`, `{a,"b"}`, `NULL`, ` x `, "é\u2028\n\x01", `'; --`, ``} {
			k := testKey(i, "acct")
			mustCreate(t, s, k)
			e := usageEntry(k.ID, 0)
			e.Denied = 1
			e.LastRefusal = apikey.Refusal{At: epoch.Add(time.Second), Reason: apikey.Reason(text), Peer: netip.MustParseAddr("fe80::1").WithZone(text)}
			if err := s.AddUsage(t.Context(), apikey.UsageBatch{Node: fmt.Sprint("node", i), Seq: 1, Entries: []apikey.UsageEntry{e}}); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			page, err := s.List(t.Context(), apikey.Query{AllOwners: true, IDs: []string{k.ID}, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e.LastRefusal, page.Keys[0].Usage.LastRefusal, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("%q (- want, + got):\n%s", text, diff)
			}
		}
	})
}
