// Package cachebench sets a Store on a database beside the same one behind a
// keycache. Neither of the two modules imports the other.
package cachebench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keycache"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

const keys = 1000

// BenchmarkWarm is Get through a warm keycache, beside Get without it and beside
// otter alone that keeps the same bound, in rounds of all three by turns:
//
//	go test -run '^$' -bench . -benchtime 21x .
func BenchmarkWarm(b *testing.B) {
	for _, d := range sqltest.Dialects() {
		b.Run(d.String(), func(b *testing.B) {
			sqltest.Need(b, d)
			store := sqltest.Store(b, d, &sqlstore.Config{PollInterval: time.Hour})
			cache, err := keycache.New(store, &keycache.Config{MaxStale: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = cache.Close(b.Context()) }()
			alone := otter.Must(&otter.Options[string, *apikey.Record]{
				MaximumWeight:    64 << 20,
				Weigher:          func(string, *apikey.Record) uint32 { return 1000 },
				ExpiryCalculator: otter.ExpiryWriting[string, *apikey.Record](time.Hour),
			})
			defer alone.StopAllGoroutines()
			ids := make([]string, keys)
			for i := range ids {
				ids[i] = create(b, store, i)
				rec, err := store.Get(b.Context(), ids[i])
				if err != nil {
					b.Fatal(err)
				}
				alone.Set(ids[i], rec)
			}
			get := func(s apikey.Store) func(id string) bool {
				return func(id string) bool { rec, err := s.Get(b.Context(), id); return err == nil && rec != nil }
			}
			through, without := get(cache), get(store)
			timed(b, ids, 2*keys, through) // what begins meanwhile to watch forgets all
			otterAlone := func(id string) bool { rec, ok := alone.GetIfPresent(id); return ok && rec != nil }
			var hits, misses, bares, faster, slower []float64
			for b.Loop() {
				miss := timed(b, ids, keys, without)
				for range 3 {
					hit, bare := timed(b, ids, 200*keys, through), timed(b, ids, 200*keys, otterAlone)
					hits, misses, bares = append(hits, hit), append(misses, miss), append(bares, bare)
					faster, slower = append(faster, miss/hit), append(slower, hit/bare)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(hits), "cached-ns")
			b.ReportMetric(median(misses), "database-ns")
			b.ReportMetric(median(bares), "otter-ns")
			b.ReportMetric(median(faster), "times-faster")
			b.ReportMetric(median(slower), "times-otter")
		})
	}
}

func create(b *testing.B, s apikey.Store, i int) string {
	b.Helper()
	made := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
	k := &apikey.Key{
		ID: fmt.Sprintf("Key%09d", i), Owner: fmt.Sprint("acct_", i/10), Name: "Production", Permissions: apikey.Permissions{"calls:*"},
		CreatedAt: made, Secrets: []apikey.Secret{{N: 1, Prefix: "sk_", CreatedAt: made}}, Version: 1,
	}
	rec, err := apikey.NewRecord(k, apikey.SumToken(k.ID))
	if err != nil {
		b.Fatal(err)
	}
	w := apikey.Write{Change: apikey.Change{At: made, Actor: "test", Action: "create", KeyID: k.ID, Owner: k.Owner}, MaxKeys: -1}
	if err := s.Create(b.Context(), rec, w); err != nil {
		b.Fatal(err)
	}
	return k.ID
}

// timed is how many nanoseconds one of n calls takes.
func timed(b *testing.B, ids []string, n int, get func(id string) bool) float64 {
	b.Helper()
	start := time.Now()
	for i := range n {
		if !get(ids[i%len(ids)]) {
			b.Fatal("not found")
		}
	}
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}
