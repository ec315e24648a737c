package apikeytest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-apikey/apikey"
)

// broken is a Store with one fault, and the promise that it breaks by it.
type broken struct {
	fault   string
	promise string
	make    func(s *naive) apikey.Store
}

var brokenStores = slices.Concat(brokenNames, brokenCaps, brokenUpdates, brokenDeletes, brokenRecords, brokenLists,
	brokenFilters, brokenUsage, brokenHours, brokenHistory, brokenWatch, brokenContext, brokenShare)

// The suite is tested by stores that have a fault each: the promise that names
// the fault must fail. With -v what else fails is logged.
func TestSuiteFindsBrokenStores(t *testing.T) {
	for _, b := range brokenStores {
		t.Run(b.fault, func(t *testing.T) {
			found := false
			for _, p := range storePromises() {
				if p.name != b.promise && !testing.Verbose() {
					continue
				}
				err := try(t, p, b.make)
				switch {
				case err == nil:
				case p.name == b.promise:
					found = true
					t.Logf("%s: %v", p.name, err)
				default:
					t.Logf("fails too: %s", p.name)
				}
			}
			if !found {
				t.Errorf("a store with the fault %q keeps the promise %q", b.fault, b.promise)
			}
		})
	}
}

func TestSuitePassesGoodStores(t *testing.T) {
	for name, open := range map[string]func(*naive) apikey.Store{
		"naive":             func(s *naive) apikey.Store { return s },
		"without abilities": func(s *naive) apikey.Store { return struct{ apikey.Store }{s} },
		"wrapping":          func(s *naive) apikey.Store { return wrapper{s, s} },
		"faulty without":    func(s *naive) apikey.Store { return &FaultyStore{Store: s} },
		"short pages": func(s *naive) apikey.Store {
			return &override{naive: s, list: func(ctx context.Context, q apikey.Query) (apikey.Page, error) {
				q.Limit = (q.Limit + 1) / 2
				return s.List(ctx, q)
			}}
		},
		"sentinels wrapped": func(s *naive) apikey.Store {
			return &override{
				naive: s,
				get: func(ctx context.Context, ref string) (*apikey.Record, error) {
					rec, err := s.Get(ctx, ref)
					if err != nil {
						return nil, fmt.Errorf("the database said: %w", err)
					}
					return rec, nil
				},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range storePromises() {
				if err := try(t, p, open); err != nil {
					t.Errorf("%s: %v", p.name, err)
				}
			}
		})
	}
}

func TestPromises(t *testing.T) {
	names := map[string]bool{}
	for _, p := range storePromises() {
		if p.fix == "" || names[p.name] {
			t.Errorf("promise %q: twice, or without a fix", p.name)
		}
		names[p.name] = true
		if !slices.ContainsFunc(brokenStores, func(b broken) bool { return b.promise == p.name }) {
			t.Errorf("promise %q: no broken store shows that its check fails", p.name)
		}
	}
	for _, b := range brokenStores {
		if !names[b.promise] {
			t.Errorf("broken store %q: there is no promise %q", b.fault, b.promise)
		}
	}
}

// try holds a store of its own to p, in a bubble where waiting takes no time.
func try(t *testing.T, p promise, open func(*naive) apikey.Store) (err error) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		e := &storeEnv{Store: open(newNaive()), keys: 300, wait: time.Minute}
		if p.needs.of(e.Store) {
			err = p.check(ctx, e)
		}
		<-time.After(48 * time.Hour) // what is left running ends by then
	})
	return err
}

// pause lets others run: what a broken store does between two steps that
// should have been one.
func pause() { <-time.After(time.Millisecond) }

// wrapper is a Store around another.
type wrapper struct {
	*naive
	inner apikey.Store
}

func (w wrapper) Unwrap() apikey.Store { return w.inner }

// put stores rec whatever is there.
func (s *naive) put(rec *apikey.Record, w apikey.Write) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.name(rec.ID())
	s.taken[id] = id
	if alias := rec.Alias(); alias != "" {
		s.taken[s.name(alias)] = id
	}
	if s.counts[id] == nil {
		s.counts[id] = &counts{seq: map[string]int64{}, hours: map[time.Time]apikey.UsagePoint{}}
	}
	s.recs[id] = rec
	s.wrote(rec, w)
}

// count is others, with the lock.
func (s *naive) count(rec *apikey.Record, at time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.others(rec.Owner(), rec.ID(), at)
}
