package keycache

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// TestStress changes keys through the cache, and what it unwraps, while they
// are read under both names, while others push them out and while all is
// forgotten now and then: no Get is older than what was acknowledged before it.
func TestStress(t *testing.T) {
	const keys, writers, readers = 8, 2, 4
	s := newCache(t, memstore.NewWith(memstore.Config{MaxHistory: -1}), &Config{MaxBytes: 1 << 20})
	names := ids(0, keys)
	aliases := make([]string, keys)
	var acked [keys]atomic.Int64
	for i, id := range names {
		aliases[i] = fmt.Sprint("~legacy:", i)
		if err := s.Create(t.Context(), record(id, aliases[i], 1, false), noCap); err != nil {
			t.Fatal(err)
		}
		acked[i].Store(1)
	}
	others := ids(1000, 5000)
	for _, id := range others {
		mustCreate(t, s, id)
	}
	end := time.Now().Add(time.Second)
	var wg sync.WaitGroup
	work := func(n int, f func(worker int)) {
		for worker := range n {
			wg.Go(func() {
				for time.Now().Before(end) && !t.Failed() {
					f(worker)
				}
			})
		}
	}
	work(writers, func(worker int) { // each has keys of its own
		i := worker + writers*rand.IntN(keys/writers)
		store := []apikey.Store{s, s.Unwrap()}[rand.IntN(2)]
		next := acked[i].Load() + 1
		if err := store.Update(t.Context(), record(names[i], aliases[i], next, false), noCap); err != nil {
			t.Error(err)
		}
		acked[i].Store(next)
	})
	var gets atomic.Int64
	work(readers, func(int) {
		i := rand.IntN(keys)
		before := acked[i].Load()
		rec, err := s.Get(t.Context(), [][]string{names, aliases}[rand.IntN(2)][i])
		if err != nil || rec.Version() < before {
			t.Errorf("Get: %v, %v; version %d was acknowledged before", rec, err, before)
		}
		gets.Add(1)
	})
	work(1, func(int) {
		if rand.IntN(1000) == 0 {
			s.forgetAll()
		}
		if _, err := s.Get(t.Context(), others[rand.IntN(len(others))]); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	t.Logf("%d Gets beside %d Updates", gets.Load(), acked[0].Load()*keys)
}
