package keycache

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-apikey/apikey"
)

const (
	leastPause = 100 * time.Millisecond
	mostPause  = 30 * time.Second
)

// watch listens to w until the cache is closed. It only ever makes the cache
// forget: while it is deaf, MaxStale holds.
func (s *Store) watch(w apikey.Watcher) {
	pause := leastPause
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.life.Done():
			return
		case <-timer.C:
		}
		heard, err := s.watchOnce(w)
		if s.life.Err() != nil || errors.Is(err, apikey.ErrUnsupported) {
			return
		}
		if heard {
			pause = leastPause
		}
		s.tell(err)
		timer.Reset(pause)
		pause = min(2*pause, mostPause)
	}
}

// watchOnce is one call of Watch, and whether anything was heard of it.
func (s *Store) watchOnce(w apikey.Watcher) (_ bool, err error) {
	var heard atomic.Bool
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("apikey: keycache: panic: %v", r)
		}
	}()
	err = w.Watch(s.life, func(refs []string) {
		heard.Store(true)
		if refs == nil {
			s.forgetAll()
			return
		}
		s.Forget(refs...)
	})
	return heard.Load(), err
}

func (s *Store) tell(err error) {
	defer func() { _ = recover() }() // of the host's function: the cache goes on without it
	if s.cfg.OnWatchError != nil {
		s.cfg.OnWatchError(err)
	}
}
