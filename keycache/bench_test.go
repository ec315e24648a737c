package keycache

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
	"github.com/maypok86/otter/v2"
)

// BenchmarkHit compares a Get that is answered by the cache with one of otter
// alone, in turns over the same keys in random order: otter that keeps the same
// bound by its own means, and otter that keeps none. Medians are reported, of
// times and of ratios within a round; -benchtime 21x is enough.
func BenchmarkHit(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			store := memstore.NewWith(memstore.Config{MaxHistory: -1})
			cache := newCache(b, store, &Config{MaxBytes: 1 << 30, MaxStale: time.Hour})
			options := otter.Options[string, *apikey.Record]{
				MaximumWeight: 1 << 30,
				Weigher:       func(string, *apikey.Record) uint32 { return 1000 },
			}
			plain := otter.Must(&options)
			options.ExpiryCalculator = otter.ExpiryWriting[string, *apikey.Record](time.Hour)
			expiring := otter.Must(&options)
			defer expiring.StopAllGoroutines()
			names := ids(0, n)
			for _, id := range names {
				mustCreate(b, store, id)
				rec, err := cache.Get(b.Context(), id)
				if err != nil {
					b.Fatal(err)
				}
				plain.Set(id, rec)
				expiring.Set(id, rec)
			}
			rand.Shuffle(n, func(i, j int) { names[i], names[j] = names[j], names[i] })
			ctx := b.Context()
			ours := timed(b, names, func(id string) bool { rec, err := cache.Get(ctx, id); return err == nil && rec != nil })
			withBound := timed(b, names, func(id string) bool { rec, ok := expiring.GetIfPresent(id); return ok && rec != nil })
			without := timed(b, names, func(id string) bool { rec, ok := plain.GetIfPresent(id); return ok && rec != nil })
			var each [3][]float64
			var ratios [2][]float64 // of ours to the others', within a round
			for b.Loop() {
				for i, f := range []func() float64{ours, withBound, without} {
					each[i] = append(each[i], f())
				}
				last := len(each[0]) - 1
				for i := range ratios {
					ratios[i] = append(ratios[i], each[0][last]/each[i+1][last])
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(each[0]), "ns/hit")
			b.ReportMetric(median(each[1]), "otter-ns/hit")
			b.ReportMetric(median(each[2]), "unbounded-otter-ns/hit")
			b.ReportMetric(median(ratios[0]), "ratio")
			b.ReportMetric(median(ratios[1]), "ratio-unbounded")
		})
	}
}

// timed is a function that calls get many times and returns how long one took.
func timed(b *testing.B, names []string, get func(id string) bool) func() float64 {
	const perRound = 1 << 16
	j := 0
	return func() float64 {
		start := time.Now()
		for range perRound {
			if !get(names[j]) {
				b.Fatal("not cached")
			}
			if j++; j == len(names) {
				j = 0
			}
		}
		return float64(time.Since(start)) / perRound
	}
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

func mustCreate(tb testing.TB, store apikey.Store, id string) {
	tb.Helper()
	if err := store.Create(tb.Context(), record(id, "", 1, false), noCap); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkMiss is what the cache adds where it has nothing.
func BenchmarkMiss(b *testing.B) {
	store := memstore.New()
	cache := newCache(b, store, nil)
	mustCreate(b, store, keyID)
	b.ReportAllocs()
	for b.Loop() {
		cache.Forget(keyID)
		if _, err := cache.Get(b.Context(), keyID); err != nil {
			b.Fatal(err)
		}
	}
}

// A hit allocates nothing. What otter does after it now and then, beside the
// calls, is divided among them.
func TestHitAllocatesNothing(t *testing.T) {
	store := memstore.New()
	cache := newCache(t, store, nil)
	rec := record(keyID, keyAlias, 1, false)
	if err := store.Create(t.Context(), rec, noCap); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{keyID, keyAlias} {
		get := func() {
			if got, err := cache.Get(t.Context(), name); err != nil || got == nil {
				t.Error(err)
			}
		}
		get()
		runtime.GC()
		if n := testing.AllocsPerRun(1000, get); n != 0 {
			t.Errorf("Get(%q) allocates %v times", name, n)
		}
	}
}
