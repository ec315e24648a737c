package keycache

import (
	"context"

	"github.com/go-apikey/apikey"
)

// through is a Store without the cache, whose writes make the cache forget
// before they return, whatever came of them.
type through struct {
	inner apikey.Store
	cache *Store
}

// Get reads the inner Store.
func (t through) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	return t.inner.Get(ctx, ref)
}

// Create is the inner Store's.
func (t through) Create(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	defer t.cache.Forget(rec.ID(), rec.Alias())
	return t.inner.Create(ctx, rec, w)
}

// Update is the inner Store's.
func (t through) Update(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	defer t.cache.Forget(rec.ID(), rec.Alias())
	return t.inner.Update(ctx, rec, w)
}

// Delete is the inner Store's.
func (t through) Delete(ctx context.Context, id string, w apikey.Write) error {
	defer t.cache.Forget(id)
	return t.inner.Delete(ctx, id, w)
}

// List is the inner Store's.
func (t through) List(ctx context.Context, q apikey.Query) (apikey.Page, error) {
	return t.inner.List(ctx, q)
}

// AddUsage is the inner Store's. Usage is nothing that a record has.
func (t through) AddUsage(ctx context.Context, b apikey.UsageBatch) error {
	return t.inner.AddUsage(ctx, b)
}

// primary is what a Keyring uses.
type primary struct{ through }

var (
	_ apikey.Store       = primary{}
	_ apikey.UsageReader = primary{}
	_ apikey.Historian   = primary{}
)

// Unwrap is the inner Store, or what that caches in turn, without this cache;
// writes through it make this cache forget. Its Usage and History are the inner
// Store's, or [apikey.ErrUnsupported].
func (s *Store) Unwrap() apikey.Store {
	inner := s.inner
	for {
		u, ok := inner.(apikey.Unwrapper)
		if !ok {
			return primary{through{inner, s}}
		}
		inner = u.Unwrap()
	}
}

// Usage makes it an [apikey.UsageReader].
func (p primary) Usage(ctx context.Context, id string, q apikey.UsageQuery) ([]apikey.UsagePoint, error) {
	if r, ok := p.inner.(apikey.UsageReader); ok {
		return r.Usage(ctx, id, q)
	}
	return nil, apikey.ErrUnsupported
}

// History makes it an [apikey.Historian].
func (p primary) History(ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
	if h, ok := p.inner.(apikey.Historian); ok {
		return h.History(ctx, q)
	}
	return apikey.HistoryPage{}, apikey.ErrUnsupported
}
