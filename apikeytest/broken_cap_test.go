package apikeytest

import (
	"context"
	"time"

	"github.com/go-apikey/apikey"
)

// capFirst checks the cap, and writes a moment later, without it. With a lock,
// nobody else who takes it comes between.
func capFirst(s *naive, lock chan struct{}, do func(context.Context, *apikey.Record, apikey.Write) error) func(context.Context, *apikey.Record, apikey.Write) error {
	return func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
		if lock != nil {
			lock <- struct{}{}
			defer func() { <-lock }()
		}
		if w.MaxKeys >= 0 && s.count(rec, w.At) >= w.MaxKeys {
			return apikey.ErrKeyQuota
		}
		pause()
		w.MaxKeys = noCap
		return do(ctx, rec, w)
	}
}

var brokenCaps = []broken{
	{"revoked keys count", "Create counts the keys that are live at w.At", func(s *naive) apikey.Store {
		s.live = func(k *apikey.Key, at time.Time) bool { return k.ExpiresAt.IsZero() || at.Before(k.ExpiresAt) }
		return s
	}},
	{"disabled keys do not count", "Create counts the keys that are live at w.At", func(s *naive) apikey.Store {
		s.live = func(k *apikey.Key, at time.Time) bool { return k.Live(at) && k.DisabledAt.IsZero() }
		return s
	}},
	{"scheduled keys do not count", "Create counts the keys that are live at w.At", func(s *naive) apikey.Store {
		s.live = func(k *apikey.Key, at time.Time) bool { return k.Live(at) && !at.Before(k.NotBefore) }
		return s
	}},
	{"revoked in time to come counts", "Create counts the keys that are live at w.At", func(s *naive) apikey.Store {
		s.live = func(k *apikey.Key, at time.Time) bool {
			return k.Live(at) || at.Before(k.RevokedAt) && (k.ExpiresAt.IsZero() || at.Before(k.ExpiresAt))
		}
		return s
	}},
	{"a key is live at its very end", "Create counts the keys that are live at w.At", func(s *naive) apikey.Store {
		s.live = func(k *apikey.Key, at time.Time) bool {
			return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || !at.After(k.ExpiresAt))
		}
		return s
	}},
	{"other owners' keys count", "Create counts the keys that are live at w.At", func(s *naive) apikey.Store {
		return &override{naive: s, create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			s.mu.Lock()
			n := 0
			for _, other := range s.recs {
				if s.live(other.Key(), w.At) {
					n++
				}
			}
			s.mu.Unlock()
			if w.MaxKeys >= 0 && n >= w.MaxKeys {
				return apikey.ErrKeyQuota
			}
			return s.Create(ctx, rec, w)
		}}
	}},
	{"MaxKeys 0 is no cap", "Create with MaxKeys 0 is refused and with -1 never", func(s *naive) apikey.Store {
		return &override{naive: s, create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			if w.MaxKeys == 0 {
				w.MaxKeys = noCap
			}
			return s.Create(ctx, rec, w)
		}}
	}},
	{"a cap that is exceeded already is none", "Create with MaxKeys 0 is refused and with -1 never", func(s *naive) apikey.Store {
		return &override{naive: s, create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			if s.count(rec, w.At) != w.MaxKeys {
				w.MaxKeys = noCap
			}
			return s.Create(ctx, rec, w)
		}}
	}},
	{"own clock in the cap", "The cap goes by w.At and by no clock", func(s *naive) apikey.Store {
		s.live = func(k *apikey.Key, _ time.Time) bool { return k.Live(time.Now()) }
		return s
	}},
	{"the cap counts creations", "The cap follows every change of a key", func(s *naive) apikey.Store {
		created := map[string]bool{}
		return &override{naive: s, create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			s.mu.Lock()
			full := w.MaxKeys >= 0 && len(created) >= w.MaxKeys
			created[rec.ID()] = created[rec.ID()] || !full
			s.mu.Unlock()
			if full {
				return apikey.ErrKeyQuota
			}
			w.MaxKeys = noCap
			return s.Create(ctx, rec, w)
		}}
	}},
	{"cap checked before the insert", "Create keeps the cap under 200 concurrent calls", func(s *naive) apikey.Store {
		return &override{naive: s, create: capFirst(s, nil, s.Create)}
	}},
	{"Update has no cap", "Update counts the owner's other keys", func(s *naive) apikey.Store {
		return &override{naive: s, update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			w.MaxKeys = noCap
			return s.Update(ctx, rec, w)
		}}
	}},
	{"Update counts the key itself", "Update counts the owner's other keys", func(s *naive) apikey.Store {
		return &override{naive: s, update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			if stored, err := s.Get(ctx, rec.ID()); err == nil && w.MaxKeys > 0 && stored.Key().Live(w.At) {
				w.MaxKeys--
			}
			return s.Update(ctx, rec, w)
		}}
	}},
	{"cap checked before the update", "Update keeps the cap under 200 concurrent later expiries", func(s *naive) apikey.Store {
		return &override{naive: s, update: capFirst(s, nil, s.Update)}
	}},
	{"Create and Update lock apart", "Create and Update keep the cap together", func(s *naive) apikey.Store {
		return &override{
			naive: s, create: capFirst(s, make(chan struct{}, 1), s.Create), update: capFirst(s, make(chan struct{}, 1), s.Update),
		}
	}},
}
