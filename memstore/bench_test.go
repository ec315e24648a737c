package memstore_test

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// BenchmarkGet compares Get with the same look-up written out by hand, in
// turns, over keys in random order. Both medians and their ratio are reported;
// -benchtime 11x is enough. The map of the floor takes 56 bytes a key, and a
// garbage collection with 1,000,000 keys in it several times the processor time.
func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			s, floor := memstore.NewWith(memstore.Config{MaxHistory: -1}), newFloor()
			for i := range n {
				rec := typicalRecord(b, i, n)
				mustCreate(b, s, rec)
				floor.put(rec)
			}
			ids := shuffledIDs(n)
			const perRound = 1 << 18
			var ours, theirs []float64
			for b.Loop() {
				start := time.Now()
				for i, j := 0, 0; i < perRound; i++ {
					rec, err := s.Get(b.Context(), ids[j])
					if err != nil {
						b.Fatal(err)
					}
					j = (j + int(rec.Version())) % len(ids) // waits for this record before the next look-up
				}
				middle := time.Now()
				for i, j := 0, 0; i < perRound; i++ {
					rec, err := floor.get(b.Context(), ids[j])
					if err != nil {
						b.Fatal(err)
					}
					j = (j + int(rec.Version())) % len(ids)
				}
				ours = append(ours, float64(middle.Sub(start))/perRound)
				theirs = append(theirs, float64(time.Since(middle))/perRound)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(ours), "ns/get")
			b.ReportMetric(median(theirs), "floor-ns/get")
			b.ReportMetric(median(ours)/median(theirs), "ratio")
		})
	}
}

func BenchmarkGetParallel(b *testing.B) {
	const n = 100_000
	s := memstore.NewWith(memstore.Config{MaxHistory: -1})
	for i := range n {
		mustCreate(b, s, typicalRecord(b, i, n))
	}
	ids := shuffledIDs(n)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for j := rand.IntN(n); pb.Next(); {
			rec, err := s.Get(b.Context(), ids[j])
			if err != nil {
				b.Error(err)
				return
			}
			j = (j + int(rec.Version())) % n
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	s := memstore.NewWith(memstore.Config{MaxHistory: -1})
	recs := make([]*apikey.Record, 0, 200_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%cap(recs) == 0 {
			b.StopTimer()
			recs = recs[:0]
			for j := range cap(recs) {
				recs = append(recs, typicalRecord(b, i+j, 1_000_000))
			}
			b.StartTimer()
		}
		mustCreate(b, s, recs[i%cap(recs)])
	}
}

func BenchmarkList(b *testing.B) {
	const n = 100_000
	s := memstore.NewWith(memstore.Config{MaxHistory: -1})
	for i := range n {
		mustCreate(b, s, typicalRecord(b, i, n))
	}
	for name, q := range map[string]apikey.Query{
		"one owner":  {Owner: typicalRecord(b, 42, n).Owner(), Limit: 50},
		"all owners": {AllOwners: true, Limit: 50},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if page, err := s.List(b.Context(), q); err != nil || len(page.Keys) == 0 {
					b.Fatal(page, err)
				}
			}
		})
	}
}

// BenchmarkMemory reports what 1,000,000 keys cost, and a garbage collection
// beside one of the same keys in a map.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		c, inMap := cost(b, 1_000_000), costInMap(b, 1_000_000)
		b.ReportMetric(c.perKey, "B/key")
		b.ReportMetric(c.record, "record-B/key")
		b.ReportMetric(c.scan, "scan-B/key")
		b.ReportMetric(float64(c.gc.Milliseconds()), "gc-cpu-ms")
		b.ReportMetric(float64(c.gc)/float64(inMap.gc), "gc-of-map's")
	}
}

// TestLongMemory holds the Store to 256 bytes a key at 1,000,000 keys, 10 of
// each owner, history and usage apart; and what a garbage collection must look
// through to a tenth of what it must with the same keys in a map. The time that
// a collection takes is BenchmarkMemory's: it depends on what else is running.
func TestLongMemory(t *testing.T) {
	n := 100_000
	if os.Getenv("APIKEY_LONG") != "" {
		n = 1_000_000
	}
	c, inMap := cost(t, n), costInMap(t, n)
	t.Logf("%d keys: %.1f bytes each, %.1f of them the record, %.1f to look through (%.1f in a map); a garbage collection took %v of processor time (%v)",
		n, c.perKey, c.record, c.scan, inMap.scan, c.gc, inMap.gc)
	if c.perKey > 256 {
		t.Errorf("%.1f bytes a key, must be at most 256", c.perKey)
	}
	if c.scan > inMap.scan/10 {
		t.Errorf("a garbage collection looks through %.1f bytes a key, must be at most a tenth of %.1f", c.scan, inMap.scan)
	}
}

// keyCost is what each of many keys costs in bytes: in all, for its record
// alone, and those in which a garbage collection looks for pointers; and the
// processor time that one takes with all of them.
type keyCost struct {
	perKey, record, scan float64
	gc                   time.Duration
}

// cost is what n keys cost in a Store.
func cost(tb testing.TB, n int) keyCost {
	tb.Helper()
	recs := make([]*apikey.Record, n)
	empty := heapAfterGC()
	for i := range recs {
		recs[i] = typicalRecord(tb, i, n)
	}
	records := heapAfterGC()
	s := memstore.NewWith(memstore.Config{MaxHistory: -1})
	for _, rec := range recs {
		mustCreate(tb, s, rec)
	}
	both := heapAfterGC()
	clear(recs)
	alone := heapAfterGC()
	if _, err := s.Get(tb.Context(), keyID(n-1)); err != nil { // it is in use to here
		tb.Fatal(err)
	}
	runtime.KeepAlive(recs)
	return keyCost{
		perKey: (both.live - empty.live) / float64(n),
		record: (records.live - empty.live) / float64(n),
		scan:   (alone.scan - empty.scan) / float64(n),
		gc:     alone.gc,
	}
}

// costInMap is what n keys cost in a map, as a struct each.
func costInMap(tb testing.TB, n int) keyCost {
	tb.Helper()
	empty := heapAfterGC()
	keys := make(map[string]*apikey.Key, n)
	for i := range n {
		k := typicalRecord(tb, i, n).Key()
		keys[k.ID] = k
	}
	full := heapAfterGC()
	runtime.KeepAlive(keys)
	return keyCost{
		perKey: (full.live - empty.live) / float64(n),
		scan:   (full.scan - empty.scan) / float64(n),
		gc:     full.gc,
	}
}

// heap is what lives after a garbage collection, those bytes of it in which
// the next looks for pointers, and the processor time of the cheapest of five.
type heap struct {
	live, scan float64
	gc         time.Duration
}

func heapAfterGC() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/scan/heap:bytes"},
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
	}
	h := heap{gc: time.Hour}
	for range 5 {
		metrics.Read(samples)
		before := samples[2].Value.Float64()
		runtime.GC()
		metrics.Read(samples)
		h.live, h.scan = float64(samples[0].Value.Uint64()), float64(samples[1].Value.Uint64())
		h.gc = min(h.gc, time.Duration((samples[2].Value.Float64()-before)*float64(time.Second)))
	}
	return h
}

// floor is the look-up written out by hand.
type floor struct {
	seed   maphash.Seed
	shards [256]struct {
		sync.RWMutex
		recs map[string]*apikey.Record
	}
}

func newFloor() *floor {
	f := &floor{seed: maphash.MakeSeed()}
	for i := range f.shards {
		f.shards[i].recs = make(map[string]*apikey.Record)
	}
	return f
}

func (f *floor) put(rec *apikey.Record) {
	f.shards[byte(maphash.String(f.seed, rec.ID()))].recs[rec.ID()] = rec
}

func (f *floor) get(ctx interface{ Err() error }, id string) (*apikey.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	shard := &f.shards[byte(maphash.String(f.seed, id))]
	shard.RLock()
	rec, ok := shard.recs[id]
	shard.RUnlock()
	if !ok {
		return nil, apikey.ErrNotFound
	}
	return rec, nil
}

// shuffledIDs are the IDs of n typical records in random order, in one buffer
// in order of use, so that reading them costs no cache miss of its own.
func shuffledIDs(n int) []string {
	var buf []byte
	for _, i := range rand.Perm(n) {
		buf = append(buf, keyID(i)...)
	}
	all, ids := string(buf), make([]string, n)
	for i := range ids {
		ids[i] = all[12*i : 12*i+12]
	}
	return ids
}

func median(s []float64) float64 {
	slices.Sort(s)
	return s[len(s)/2]
}

// typicalRecord is the i-th of n keys of owners who have 10 each on average,
// made in no order.
func typicalRecord(tb testing.TB, i, n int) *apikey.Record {
	tb.Helper()
	created := time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)
	return newRecord(tb, &apikey.Key{
		ID: keyID(i), Owner: fmt.Sprintf("acct_%06d", mix(i)%uint64(max(n/10, 1))), Name: "Production", Environment: "live",
		Permissions: apikey.Permissions{"calls:*", "numbers:read"}, CreatedAt: created, CreatedBy: "user_7",
		Secrets: []apikey.Secret{{N: 1, Prefix: "rg_live_", CreatedAt: created}}, Version: 1,
	})
}

// keyID is a well-formed ID of 12 characters, scattered as random ones are.
func keyID(i int) string {
	const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	x := mix(i)
	id := make([]byte, 12)
	for j := range id {
		id[j] = base62[x%62]
		x /= 62
	}
	return string(id)
}

// mix scatters numbers, no two to one place: the finalizer of SplitMix64.
func mix(i int) uint64 {
	x := uint64(i+1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func newRecord(tb testing.TB, k *apikey.Key) *apikey.Record {
	tb.Helper()
	digests := make([]apikey.Digest, len(k.Secrets))
	for i, s := range k.Secrets {
		digests[i] = apikey.SumToken(fmt.Sprintf("%s%s%d", s.Prefix, k.ID, s.N))
	}
	rec, err := apikey.NewRecord(k, digests...)
	if err != nil {
		tb.Fatal(err)
	}
	return rec
}

func mustCreate(tb testing.TB, s *memstore.Store, rec *apikey.Record) {
	tb.Helper()
	if err := s.Create(tb.Context(), rec, apikey.Write{MaxKeys: -1}); err != nil {
		tb.Fatal(err)
	}
}
