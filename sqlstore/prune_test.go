package sqlstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

func TestPrune(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		cfg := &sqlstore.Config{KeepUsage: 48 * time.Hour, KeepHistory: 24 * time.Hour}
		s := sqltest.StoreIn(t, db.DB, d, cfg)
		k := testKey(1, "acct")
		mustCreate(t, s, k) // whose change is at epoch
		for day := range 3 {
			b := apikey.UsageBatch{Node: fmt.Sprint("node", day), Seq: 1}
			for hour := range 24 {
				e := usageEntry(k.ID, 1)
				e.Hour = epoch.Add(time.Duration(24*day+hour) * time.Hour)
				b.Entries = append(b.Entries, e)
			}
			if err := s.AddUsage(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		for v := int64(2); v < 4; v++ {
			k.Version = v
			w := write(k, -1)
			w.At = epoch.Add(time.Duration(v) * 12 * time.Hour)
			if err := s.Update(t.Context(), record(t, k), w); err != nil {
				t.Fatal(err)
			}
		}
		now := time.Now()
		for _, step := range []struct {
			after                 time.Duration
			hours, changes, nodes int
		}{
			{0, 72, 3, 3},
			{24 * time.Hour, 72, 3, 3},
			{49 * time.Hour, 71, 1, 3},
			{72 * time.Hour, 48, 0, 3},
			{now.AddDate(0, 0, 29).Sub(epoch), 0, 0, 3}, // they have sent now
			{now.AddDate(0, 0, 31).Sub(epoch), 0, 0, 0},
		} {
			if err := s.Prune(t.Context(), epoch.Add(step.after)); err != nil {
				t.Fatal(err)
			}
			hours, changes, nodes, batches := count(t, db, "apikey_hours"), count(t, db, "apikey_history"), count(t, db, "apikey_nodes"), count(t, db, "apikey_batches")
			if hours != step.hours || changes != step.changes || nodes != step.nodes || batches != nodes {
				t.Errorf("after %v there are %d hours, %d changes, %d nodes, %d batches; want %d, %d, %d", step.after, hours, changes, nodes, batches, step.hours, step.changes, step.nodes)
			}
		}
		page, err := s.List(t.Context(), apikey.Query{Owner: "acct", Limit: 1})
		if err != nil || page.Keys[0].Usage.Requests != 72 {
			t.Errorf("totals: %v, %v; want 72 requests", page.Keys[0].Usage, err)
		}
	})
}

// What an import brings was used long ago, and is counted once all the same if
// its batch comes again.
func TestPruneBetweenRepeats(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		s := sqltest.Store(t, d, nil)
		k := testKey(1, "acct")
		mustCreate(t, s, k)
		now := time.Now()
		e := usageEntry(k.ID, 1000)
		e.Hour, e.LastUsed = now.AddDate(-1, 0, 0).Truncate(time.Hour), now.AddDate(-1, 0, 0)
		for range 2 {
			if err := s.AddUsage(t.Context(), apikey.UsageBatch{Node: "node", Seq: 1, Entries: []apikey.UsageEntry{e}}); err != nil {
				t.Fatal(err)
			}
			if err := s.Prune(t.Context(), now); err != nil {
				t.Fatal(err)
			}
		}
		if n := requests(t, s, k); n != 1000 {
			t.Errorf("%d requests are counted, want 1000", n)
		}
	})
}
