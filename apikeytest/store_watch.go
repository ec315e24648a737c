package apikeytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-apikey/apikey"
)

var watchPromises = []promise{
	{
		name:  "Watch calls changed with nil once it is established",
		needs: watcher,
		fix:   "call changed(nil) first, after the subscription stands and before any other call",
		check: func(ctx context.Context, e *storeEnv) error {
			w := e.watch(ctx)
			return errors.Join(w.heard(e.wait), w.end(e.wait))
		},
	},
	{
		name:  "Watch tells of every create, update and delete",
		needs: watcher,
		fix:   "announce the ID, and the alias if there is one, of each record written, when its transaction is committed",
		check: checkWatchTells,
	},
	{
		name:  "Watch tells every watcher",
		needs: watcher,
		fix:   "keep a queue for each watcher, so that one does not take what another should hear",
		check: checkWatchers,
	},
	{
		name:  "Watch ends with ctx and says why",
		needs: watcher,
		fix:   "return ctx's error as soon as ctx ends",
		check: checkWatchEnds,
	},
	{
		name:  "Watch makes one call at a time",
		needs: watcher,
		fix:   "call changed from one goroutine, the one that Watch was called on",
		check: checkWatchSerial,
	},
	{
		name:  "Watch that is slow holds up nothing",
		needs: watcher,
		fix:   "queue for a slow watcher, or drop what it missed and call changed(nil); never wait for it under a lock or in a write",
		check: checkWatchSlow,
	},
}

// watch is a running Watch and what it told.
type watch struct {
	store  *storeEnv
	cancel context.CancelFunc
	ended  chan error
	told   chan struct{} // something new was

	mu   sync.Mutex
	all  bool            // nil was told since the last forget
	refs map[string]bool // these were
	hook func()          // called by changed
}

func (e *storeEnv) watch(ctx context.Context) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{store: e, cancel: cancel, ended: make(chan error, 1), told: make(chan struct{}, 1), refs: map[string]bool{}}
	go func() {
		s, ok := e.Store.(apikey.Watcher)
		if !ok {
			w.ended <- apikey.ErrUnsupported
			return
		}
		w.ended <- s.Watch(ctx, w.changed)
	}()
	return w
}

func (w *watch) changed(refs []string) {
	w.mu.Lock()
	w.all = w.all || refs == nil
	for _, ref := range refs {
		w.refs[ref] = true
	}
	hook := w.hook
	w.mu.Unlock()
	select {
	case w.told <- struct{}{}:
	default:
	}
	if hook != nil {
		hook()
	}
}

// forget begins anew.
func (w *watch) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all, w.refs = false, map[string]bool{}
}

// missing are those of refs that were not told of; with none given and
// nothing told it is "nil".
func (w *watch) missing(refs []string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all {
		return nil
	}
	if len(refs) == 0 {
		return []string{"nil"}
	}
	return slices.DeleteFunc(slices.Clone(refs), func(ref string) bool { return w.refs[ref] })
}

// heard waits until all of refs were told of, or nil, which says as much.
func (w *watch) heard(wait time.Duration, refs ...string) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		missing := w.missing(refs)
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-w.told:
		case err := <-w.ended:
			w.ended <- err
			return fmt.Errorf("Watch ended before ctx did: %w", orNil(err))
		case <-timer.C:
			return fmt.Errorf("Watch did not call changed with %q within %v", missing, wait)
		}
	}
}

// end ends the ctx of the Watch and waits for it.
func (w *watch) end(wait time.Duration) error {
	w.cancel()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case err := <-w.ended:
		return want(context.Canceled, err, "Watch after its ctx ended")
	case <-timer.C:
		return fmt.Errorf("Watch did not return within %v of its ctx's end", wait)
	}
}

func checkWatchTells(ctx context.Context, e *storeEnv) (err error) {
	w := e.watch(ctx)
	defer func() { err = errors.Join(err, w.end(e.wait)) }()
	if err := w.heard(e.wait); err != nil {
		return err
	}
	k, plain := testKey(1, "acct"), testKey(2, "acct")
	k.Alias = "~legacy:1"
	for what, do := range []func() error{
		func() error { return e.add(ctx, k, plain) },
		func() error {
			nop := func(*apikey.Key) {}
			return errors.Join(e.change(ctx, k.ID, nop), e.change(ctx, plain.ID, nop))
		},
		func() error { return errors.Join(e.remove(ctx, k), e.remove(ctx, plain)) },
	} {
		w.forget()
		if err := do(); err != nil {
			return err
		}
		if err := w.heard(e.wait, k.ID, k.Alias, plain.ID); err != nil {
			return fmt.Errorf("after %s: %w", []string{"Create", "Update", "Delete"}[what], err)
		}
	}
	return nil
}

func checkWatchers(ctx context.Context, e *storeEnv) (err error) {
	watches := []*watch{e.watch(ctx), e.watch(ctx), e.watch(ctx)}
	for _, w := range watches {
		defer func() { err = errors.Join(err, w.end(e.wait)) }()
		if err := w.heard(e.wait); err != nil {
			return err
		}
		w.forget()
	}
	keys := testKeys(10, "acct")
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	for _, w := range watches {
		if err := w.heard(e.wait, ids(keys)...); err != nil {
			return fmt.Errorf("of several watchers at once one did not hear: %w", err)
		}
	}
	return nil
}

func checkWatchEnds(ctx context.Context, e *storeEnv) error {
	w := e.watch(ctx)
	if err := w.heard(e.wait); err != nil {
		w.cancel()
		return err
	}
	if err := w.end(e.wait); err != nil {
		return err
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := e.watch(ended).end(e.wait); err != nil {
		return fmt.Errorf("with a ctx that had ended before: %w", err)
	}
	late, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	defer cancel()
	w = e.watch(late)
	select {
	case err := <-w.ended:
		return want(context.DeadlineExceeded, err, "Watch past its deadline")
	case <-time.After(e.wait):
		return fmt.Errorf("Watch did not return within %v of its deadline", e.wait)
	}
}

func checkWatchSerial(ctx context.Context, e *storeEnv) (err error) {
	w := e.watch(ctx)
	defer func() { err = errors.Join(err, w.end(e.wait)) }()
	if err := w.heard(e.wait); err != nil {
		return err
	}
	var running, most atomic.Int64
	w.mu.Lock()
	w.hook = func() {
		n := running.Add(1)
		if n > most.Load() {
			most.Store(n)
		}
		_, _ = e.Get(ctx, "Key000000000") // must not deadlock
		<-time.After(time.Millisecond)    // for another call to come meanwhile
		running.Add(-1)
	}
	w.mu.Unlock()
	w.forget()
	keys := testKeys(30, "acct")
	errs := together(len(keys), func(i int) error { return e.add(ctx, keys[i]) })
	if err := first(errs); err != nil {
		return err
	}
	if err := w.heard(e.wait, ids(keys)...); err != nil {
		return err
	}
	if n := most.Load(); n > 1 {
		return fmt.Errorf("%d calls of changed ran at once", n)
	}
	return nil
}

func checkWatchSlow(ctx context.Context, e *storeEnv) (err error) {
	w := e.watch(ctx)
	release := make(chan struct{})
	var once sync.Once
	defer func() {
		once.Do(func() { close(release) })
		err = errors.Join(err, w.end(e.wait))
	}()
	if err := w.heard(e.wait); err != nil {
		return err
	}
	w.mu.Lock()
	w.hook = func() { <-release }
	w.mu.Unlock()
	w.forget()
	keys := testKeys(300, "acct")
	short, cancel := context.WithTimeout(ctx, e.wait)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.add(short, keys...) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("while a call of changed had not returned: %w", err)
		}
	case <-time.After(2 * e.wait):
		return fmt.Errorf("while a call of changed had not returned, 300 Creates did not return within %v", 2*e.wait)
	}
	once.Do(func() { close(release) })
	if err := w.heard(e.wait, ids(keys)...); err != nil {
		return fmt.Errorf("after a call of changed that took long: %w", err)
	}
	return nil
}
