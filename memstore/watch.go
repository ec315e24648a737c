package memstore

import (
	"context"
	"sync"
)

// maxWatched is how many IDs and aliases wait for a watcher that is slow. A
// watcher that is slower still is told to forget all.
const maxWatched = 1024

// watcher is one call of Watch.
type watcher struct {
	wake chan struct{} // holds one token while there is something to tell

	mu   sync.Mutex
	refs []string
	all  bool // something was lost, or nothing was told yet: forget all
}

// Watch is as [apikey.Watcher] says. Where changed takes so long that more than
// 1,024 IDs and aliases wait for it, they are dropped and it is called with nil.
func (s *Store) Watch(ctx context.Context, changed func(refs []string)) error {
	w := &watcher{wake: make(chan struct{}, 1), all: true}
	w.wake <- struct{}{}
	s.mu.Lock()
	s.watchers[w] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watchers, w)
		s.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return readEnded(ctx.Err())
		case <-w.wake:
		}
		if refs, ok := w.take(); ok && ctx.Err() == nil {
			changed(refs)
		}
	}
}

// push never waits.
func (w *watcher) push(id, alias string) {
	w.mu.Lock()
	if !w.all {
		w.refs = append(w.refs, id)
		if alias != "" {
			w.refs = append(w.refs, alias)
		}
		if len(w.refs) > maxWatched {
			w.refs, w.all = nil, true
		}
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default: // it is awake already
	}
}

// take is what to tell: nil for "forget all"; false if there is nothing.
func (w *watcher) take() (refs []string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	refs, ok = w.refs, w.all || len(w.refs) > 0
	w.refs, w.all = nil, false
	return refs, ok
}
