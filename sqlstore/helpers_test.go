package sqlstore_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

// epoch is about when the keys of these tests live.
var epoch = time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)

// testKey is the n-th key; a greater n is made later.
func testKey(n int, owner string) *apikey.Key {
	made := epoch.Add(time.Duration(n) * time.Second)
	return &apikey.Key{
		ID: fmt.Sprintf("Key%09d", n), Owner: owner, Name: fmt.Sprintf("Key %d", n), Environment: "live",
		Permissions: apikey.Permissions{"calls:read"}, CreatedAt: made, CreatedBy: "test",
		Secrets: []apikey.Secret{{N: 1, Prefix: "sk_", CreatedAt: made}}, Version: 1,
	}
}

func record(tb testing.TB, k *apikey.Key) *apikey.Record {
	tb.Helper()
	digests := make([]apikey.Digest, len(k.Secrets))
	for i := range digests {
		digests[i] = apikey.SumToken(fmt.Sprint(k.ID, i))
	}
	rec, err := apikey.NewRecord(k, digests...)
	if err != nil {
		tb.Fatal(err)
	}
	return rec
}

// write goes with a write of k; maxKeys -1: no cap.
func write(k *apikey.Key, maxKeys int) apikey.Write {
	return apikey.Write{
		Change:  apikey.Change{At: epoch, Actor: "test", Action: "write", KeyID: k.ID, Owner: k.Owner},
		MaxKeys: maxKeys,
	}
}

func mustCreate(tb testing.TB, s apikey.Store, keys ...*apikey.Key) {
	tb.Helper()
	for _, k := range keys {
		if err := s.Create(tb.Context(), record(tb, k), write(k, -1)); err != nil {
			tb.Fatal(err)
		}
	}
}

// together calls f n times at once.
func together(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

func wantError(tb testing.TB, what string, err error, targets ...error) {
	tb.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			tb.Errorf("%s: error %v, want %v", what, err, target)
		}
	}
}

func usageEntry(id string, requests int) apikey.UsageEntry {
	return apikey.UsageEntry{KeyID: id, Secret: 1, Hour: epoch, LastUsed: epoch.Add(time.Minute), Requests: int64(requests)}
}
