package apikeytest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// watching replaces what is called by Watch.
func watching(f func(changed func([]string)) func([]string)) func(s *naive) apikey.Store {
	return func(s *naive) apikey.Store {
		return &override{naive: s, watch: func(ctx context.Context, changed func([]string)) error { return s.Watch(ctx, f(changed)) }}
	}
}

var brokenWatch = []broken{
	{"watching begins in silence", "Watch calls changed with nil once it is established", watching(func(changed func([]string)) func([]string) {
		return func(refs []string) {
			if refs != nil {
				changed(refs)
			}
		}
	})},
	{"aliases are not told of", "Watch tells of every create, update and delete", watching(func(changed func([]string)) func([]string) {
		return func(refs []string) {
			changed(slices.DeleteFunc(refs, func(ref string) bool { return strings.HasPrefix(ref, "~") }))
		}
	})},
	{"deletes are not told of", "Watch tells of every create, update and delete", func(s *naive) apikey.Store {
		return &override{naive: s, remove: func(ctx context.Context, id string, w apikey.Write) error {
			s.mu.Lock()
			watchers := s.watchers
			s.watchers = nil
			s.mu.Unlock()
			err := s.Delete(ctx, id, w)
			s.mu.Lock()
			s.watchers = watchers
			s.mu.Unlock()
			return err
		}}
	}},
	{"one watcher at a time", "Watch tells every watcher", func(s *naive) apikey.Store {
		return &override{naive: s, watch: func(ctx context.Context, changed func([]string)) error {
			s.mu.Lock()
			first := len(s.watchers) == 0
			s.mu.Unlock()
			if first {
				return s.Watch(ctx, changed)
			}
			changed(nil)
			<-ctx.Done()
			return ctx.Err()
		}}
	}},
	{"watching ends without a reason", "Watch ends with ctx and says why", func(s *naive) apikey.Store {
		return &override{naive: s, watch: func(ctx context.Context, changed func([]string)) error {
			return ignoring(s.Watch(ctx, changed), context.Canceled)
		}}
	}},
	{"watching does not end", "Watch ends with ctx and says why", func(s *naive) apikey.Store {
		return &override{naive: s, watch: func(ctx context.Context, changed func([]string)) error {
			err := s.Watch(ctx, changed)
			<-time.After(time.Hour)
			return err
		}}
	}},
	{"calls of changed at once", "Watch makes one call at a time", watching(func(changed func([]string)) func([]string) {
		return func(refs []string) {
			if refs == nil {
				changed(nil)
			}
			for _, ref := range refs {
				go changed([]string{ref})
			}
		}
	})},
	{"a writer waits for watchers", "Watch that is slow holds up nothing", func(s *naive) apikey.Store {
		var told func([]string)
		return &override{
			naive: s,
			watch: func(ctx context.Context, changed func([]string)) error {
				changed(nil)
				s.mu.Lock()
				told = changed
				s.mu.Unlock()
				<-ctx.Done()
				return ctx.Err()
			},
			create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
				err := s.Create(ctx, rec, w)
				s.mu.Lock()
				changed := told
				s.mu.Unlock()
				if err == nil && changed != nil {
					changed([]string{rec.ID()})
				}
				return err
			},
		}
	}},
}
