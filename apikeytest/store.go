package apikeytest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

// RunStore holds a Store to its contract. Each subtest is named by the promise
// that it tests, and a failure says what to fix in the Store. factory returns
// an empty Store each time, and ends it by t.Cleanup.
//
// The abilities that a Store may have besides, such as [apikey.Historian], are
// tested where it has them and skipped by name where not. With -short the long
// lists have 1,000 keys instead of 10,000.
//
// Three promises are left to the adapter's own tests: that what was
// acknowledged survives a kill -9, that two processes on one database see each
// other, and that a ctx is not used after the call. Run it with -race too.
func RunStore(t *testing.T, factory func(t *testing.T) apikey.Store) {
	t.Helper()
	for _, p := range storePromises() {
		t.Run(p.name, func(t *testing.T) {
			e := &storeEnv{Store: factory(t), keys: 10_000, wait: 30 * time.Second}
			if testing.Short() {
				e.keys = 1000
			}
			if !p.needs.of(e.Store) {
				t.Skipf("the Store is no apikey.%s", p.needs.name)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			if err := p.check(ctx, e); err != nil {
				t.Errorf("%v\nto fix: %s", err, p.fix)
			}
		})
	}
}

// promise is one thing that a Store is held to.
type promise struct {
	name  string
	needs ability // zero: of every Store
	fix   string  // what to do about a failure
	check func(ctx context.Context, e *storeEnv) error
}

// ability is an interface that a Store may have besides.
type ability struct {
	name string
	has  func(apikey.Store) bool
}

func (a ability) of(s apikey.Store) bool { return a.has == nil || a.has(s) }

func has[T any](s apikey.Store) bool {
	_, ok := s.(T)
	return ok
}

var (
	usageReader = ability{"UsageReader", has[apikey.UsageReader]}
	historian   = ability{"Historian", has[apikey.Historian]}
	watcher     = ability{"Watcher", has[apikey.Watcher]}
	unwrapper   = ability{"Unwrapper", has[apikey.Unwrapper]}
)

func storePromises() []promise {
	return slices.Concat(createPromises, namePromises, capPromises, updatePromises, deletePromises, recordPromises,
		listPromises, filterPromises, textPromises, usagePromises, seqPromises, hourPromises, historyPromises,
		watchPromises, contextPromises, sharePromises, concurrentPromises)
}

// storeEnv is the Store under test, empty at first, and how hard to try.
type storeEnv struct {
	apikey.Store
	keys int           // of a long list
	wait time.Duration // for what happens in its own time
}
