package apikey_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// TestLongKeyInUse holds what a key costs while requests come in with it, with
// a plan and two limits, ten keys to an owner, to 640 bytes beyond its record;
// and an idle one to its record.
func TestLongKeyInUse(t *testing.T) {
	n := 20_000
	if os.Getenv("APIKEY_LONG") != "" {
		n = 1_000_000
	}
	clock := newClock()
	limits := []apikey.Limit{{Name: "minute", N: 600, Per: time.Minute}}
	buckets := apikey.NewTokenBuckets()
	m := newManagerOn(t, memstore.NewWith(memstore.Config{MaxHistory: -1}), &apikey.Config{
		Limiter: buckets, FlushInterval: time.Hour, Now: clock.now,
		Plan: func(context.Context, string) (apikey.Plan, error) {
			return apikey.Plan{Name: "pro", MaxKeys: apikey.NoCap, OwnerLimits: limits, KeyLimits: limits}, nil
		},
	})
	tokens := make([]string, n)
	for i := range tokens {
		issued, err := m.Keyring(fmt.Sprint("acct_", i/10), apikey.Operator("test")).Create(t.Context(), apikey.KeyParams{Name: "a key", Permissions: apikey.Permissions{"calls:*"}})
		if err != nil {
			t.Fatal(err)
		}
		tokens[i] = issued.Token.Reveal()
	}
	useAll := func() {
		for _, token := range tokens {
			if _, _, err := m.Verify(t.Context(), apikey.Request{Token: token}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Usage is counted apart: the store has its rows, for an hour each, from
	// the first flush on.
	useAll()
	idle := func() {
		for range 2 {
			if err := m.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		clock.add(2 * time.Minute)
		buckets.Sweep(clock.now())
		m.ForgetAllPlans()
	}
	idle()
	record := heap()
	useAll()
	useAll()
	inUse := heap()
	idle()
	after := heap()
	t.Logf("%d keys: %.0f bytes more each in use, %.1f when idle again", n, float64(inUse-record)/float64(n), (float64(after)-float64(record))/float64(n))
	if extra := float64(inUse-record) / float64(n); extra > 640 {
		t.Errorf("a key in use takes %.0f bytes more than its record, must be at most 640", extra)
	}
	if left := (float64(after) - float64(record)) / float64(n); left > 16 {
		t.Errorf("an idle key takes %.1f bytes more than its record", left)
	}
	runtime.KeepAlive(tokens)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
