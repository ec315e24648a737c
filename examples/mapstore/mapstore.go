// Package mapstore is a short [apikey.Store], to begin one's own from: see
// docs/store.md. It passes apikeytest.RunStore. For a store in memory that is
// made for use, take package memstore.
package mapstore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-apikey/apikey"
)

// Store keeps records in a map. Make one with [New].
type Store struct {
	mu      sync.Mutex
	rows    map[string]*row   // by ID
	names   map[string]string // the ID of each ID and alias that is or ever was taken
	changes []apikey.Change   // oldest first
}

// row is a key: its record, and beside it what it was used for.
type row struct {
	rec   *apikey.Record
	usage apikey.Usage
	seqs  map[string]int64 // the last UsageBatch.Seq added, by Node
}

var _ apikey.Store = (*Store)(nil)

// New returns an empty Store.
func New() *Store {
	return &Store{rows: make(map[string]*row), names: make(map[string]string)}
}

// Create stores a new record, if its names are free and the cap allows it.
func (s *Store) Create(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", apikey.ErrNotApplied, err)
	}
	id, alias := rec.ID(), rec.Alias()
	_, takenID := s.names[id]
	_, takenAlias := s.names[alias]
	if takenID || alias != "" && takenAlias {
		return apikey.ErrExists
	}
	if s.atCap(rec, &w) {
		return apikey.ErrKeyQuota
	}
	s.rows[id] = &row{rec: rec, seqs: make(map[string]int64)}
	s.names[id] = id
	if alias != "" {
		s.names[alias] = id
	}
	s.record(w.Change)
	return nil
}

// Get finds a record by its ID or alias. Those of a deleted key lead nowhere.
func (s *Store) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r := s.rows[s.names[ref]]; r != nil {
		return r.rec, nil
	}
	return nil, apikey.ErrNotFound
}

// Update replaces a record by its next version, and by no other.
func (s *Store) Update(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", apikey.ErrNotApplied, err)
	}
	r := s.rows[rec.ID()]
	switch {
	case r == nil:
		return apikey.ErrNotFound
	case r.rec.Version() != rec.Version()-1:
		return apikey.ErrConflict
	case s.atCap(rec, &w):
		return apikey.ErrKeyQuota
	}
	r.rec = rec
	s.record(w.Change)
	return nil
}

// Delete removes a key and its usage. Its names stay taken.
func (s *Store) Delete(ctx context.Context, id string, w apikey.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", apikey.ErrNotApplied, err)
	}
	if s.rows[id] == nil {
		return apikey.ErrNotFound
	}
	delete(s.rows, id)
	s.record(w.Change)
	return nil
}

// record keeps the entry of a write that was made.
func (s *Store) record(c apikey.Change) {
	c.Fields = slices.Clone(c.Fields) // the caller's again when the call returns
	s.changes = append(s.changes, c)
}

// atCap reports whether the owner has w.MaxKeys live keys beside rec.
func (s *Store) atCap(rec *apikey.Record, w *apikey.Write) bool {
	if w.MaxKeys < 0 {
		return false
	}
	others := 0
	for id, r := range s.rows {
		if id != rec.ID() && r.rec.Owner() == rec.Owner() && r.rec.Live(w.At) {
			others++
		}
	}
	return others >= w.MaxKeys
}

// List is the keys that q matches after its position, newest first.
func (s *Store) List(ctx context.Context, q apikey.Query) (apikey.Page, error) {
	created, id, err := q.Position()
	if err != nil {
		return apikey.Page{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return apikey.Page{}, err
	}
	var found []*apikey.Key
	for _, r := range s.rows {
		k := r.rec.Key()
		k.Usage = r.usage
		k.Usage.LastUsed = maps.Clone(r.usage.LastUsed)
		if q.Match(k) && (q.After == "" || compare(k.CreatedAt, k.ID, created, id) < 0) {
			found = append(found, k)
		}
	}
	slices.SortFunc(found, func(a, b *apikey.Key) int {
		return compare(b.CreatedAt, b.ID, a.CreatedAt, a.ID)
	})
	if len(found) <= q.Limit {
		return apikey.Page{Keys: found}, nil
	}
	found = found[:q.Limit]
	last := found[q.Limit-1]
	return apikey.Page{Keys: found, Next: q.CursorAt(last.CreatedAt, last.ID)}, nil
}

// compare orders keys by age: below 0 is older.
func compare(created time.Time, id string, otherCreated time.Time, otherID string) int {
	return cmp.Or(created.Compare(otherCreated), cmp.Compare(id, otherID))
}

// AddUsage adds the entries of those keys that have not had this batch yet.
func (s *Store) AddUsage(ctx context.Context, b apikey.UsageBatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", apikey.ErrNotApplied, err)
	}
	var added []*row
	for _, e := range b.Entries {
		if r := s.rows[e.KeyID]; r != nil && r.seqs[b.Node] < b.Seq {
			r.add(&e)
			added = append(added, r)
		}
	}
	for _, r := range added { // only now: a key may have several entries
		r.seqs[b.Node] = b.Seq
	}
	return nil
}

// add adds one entry. A time never goes back.
func (r *row) add(e *apikey.UsageEntry) {
	u := &r.usage
	u.Requests += e.Requests
	u.Limited += e.Limited
	u.Denied += e.Denied
	if e.LastUsed.After(u.LastUsed[e.Secret]) {
		if u.LastUsed == nil {
			u.LastUsed = make(map[uint32]time.Time)
		}
		u.LastUsed[e.Secret] = e.LastUsed
	}
	if e.LastUsed.After(u.LastUsedAt) {
		u.LastUsedAt = e.LastUsed
	}
	if e.LastRefusal.At.After(u.LastRefusal.At) {
		u.LastRefusal = e.LastRefusal
	}
}

// History makes the Store an [apikey.Historian]: the changes that q asks for,
// newest first.
func (s *Store) History(ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
	n, err := q.Position() // the number of a change is its index and one
	if err != nil {
		return apikey.HistoryPage{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return apikey.HistoryPage{}, err
	}
	if n == 0 || int(n) > len(s.changes) {
		n = int64(len(s.changes)) + 1
	}
	var page apikey.HistoryPage
	for i := int(n) - 2; i >= 0; i-- {
		c := s.changes[i]
		if !q.AllOwners && c.Owner != q.Owner || q.KeyID != "" && c.KeyID != q.KeyID {
			continue
		}
		if len(page.Changes) == q.Limit {
			page.Next = q.CursorAt(int64(i) + 2) // the one before, which is on this page
			break
		}
		c.Fields = slices.Clone(c.Fields)
		page.Changes = append(page.Changes, c)
	}
	return page, nil
}
