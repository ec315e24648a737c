// Package memstore is an [apikey.Store] in memory: for tests, for services
// whose keys come from elsewhere at start-up, and as the model of what a Store
// does. What it holds is gone when the process ends.
//
// It is made for millions of keys: a Get never waits for the writing or listing
// of other keys and allocates nothing, and beside its record a key takes about
// 45 bytes.
package memstore

import (
	"context"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"

	"github.com/go-apikey/apikey"
)

// Config is what can be set of a [Store].
type Config struct {
	MaxHistory int // changes kept, the newest ones; 0: 100,000; below 0: none
}

const defaultHistory = 100_000

// Store keeps keys, their usage and their history in memory. It is an
// [apikey.Store], [apikey.NonBlocking], [apikey.UsageReader],
// [apikey.Historian] and [apikey.Watcher]. Make one with [New] or [NewWith].
type Store struct {
	table table // the records, found by ID

	namesMu sync.RWMutex      // taken after mu
	names   map[string]string // the ID of an alias; "" of an ID or alias whose key was deleted

	mu       sync.RWMutex      // of what follows, and of every write
	all      index             // oldest first
	byOwner  index             // by owner, then oldest first
	usage    map[string]*usage // by ID, of the keys that were ever used
	nodes    map[string]uint32 // a number for each UsageBatch.Node
	history  history
	watchers map[*watcher]struct{}
}

var (
	_ apikey.Store       = (*Store)(nil)
	_ apikey.NonBlocking = (*Store)(nil)
	_ apikey.UsageReader = (*Store)(nil)
	_ apikey.Historian   = (*Store)(nil)
	_ apikey.Watcher     = (*Store)(nil)
)

// New returns an empty Store with the zero Config.
func New() *Store { return NewWith(Config{}) }

// NewWith returns an empty Store.
func NewWith(cfg Config) *Store {
	if cfg.MaxHistory == 0 {
		cfg.MaxHistory = defaultHistory
	}
	s := &Store{
		names:    make(map[string]string),
		usage:    make(map[string]*usage),
		nodes:    make(map[string]uint32),
		history:  history{limit: max(cfg.MaxHistory, 0)},
		watchers: make(map[*watcher]struct{}),
	}
	s.table.seed = maphash.MakeSeed()
	s.all = index{table: &s.table}
	s.byOwner = index{table: &s.table, byOwner: true}
	return s
}

// NonBlocking says that Get never waits.
func (s *Store) NonBlocking() {}

// Get is as [apikey.Store] says. It allocates nothing.
func (s *Store) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, readEnded(err)
	}
	if _, rec := s.table.find(ref); rec != nil {
		return rec, nil
	}
	s.namesMu.RLock()
	id := s.names[ref]
	s.namesMu.RUnlock()
	if id != "" {
		if _, rec := s.table.find(id); rec != nil {
			return rec, nil
		}
	}
	return nil, apikey.ErrNotFound
}

// Create is as [apikey.Store] says.
func (s *Store) Create(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	id, alias := rec.ID(), rec.Alias()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return writeEnded(err)
	}
	if s.taken(id) || alias != "" && s.taken(alias) {
		return apikey.ErrExists
	}
	if s.atCap(rec, &w) {
		return apikey.ErrKeyQuota
	}
	if alias != "" {
		s.setName(alias, strings.Clone(id))
	}
	slot := s.table.insert(rec)
	s.all.insert(slot)
	s.byOwner.insert(slot)
	s.wrote(&w, id, alias)
	return nil
}

// Update is as [apikey.Store] says. A record whose Alias, Owner or CreatedAt
// is not as stored is [apikey.ErrInvalid], and changes nothing.
func (s *Store) Update(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	id, alias := rec.ID(), rec.Alias()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return writeEnded(err)
	}
	slot, old := s.table.find(id)
	switch {
	case old == nil:
		return apikey.ErrNotFound
	case old.Version() != rec.Version()-1:
		return apikey.ErrConflict
	case old.Alias() != alias || old.Owner() != rec.Owner() || !old.CreatedAt().Equal(rec.CreatedAt()):
		return fmt.Errorf("%w: %w: memstore: alias, owner and creation time of a key never change", apikey.ErrNotApplied, apikey.ErrInvalid)
	case s.atCap(rec, &w):
		return apikey.ErrKeyQuota
	}
	s.table.replace(slot, rec)
	s.wrote(&w, id, alias)
	return nil
}

// Delete is as [apikey.Store] says.
func (s *Store) Delete(ctx context.Context, id string, w apikey.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return writeEnded(err)
	}
	slot, rec := s.table.find(id)
	if rec == nil {
		return apikey.ErrNotFound
	}
	alias := rec.Alias()
	s.setName(id, "")
	if alias != "" {
		s.setName(alias, "")
	}
	s.all.remove(slot)
	s.byOwner.remove(slot)
	s.table.remove(slot, id)
	delete(s.usage, id)
	s.wrote(&w, id, alias)
	return nil
}

// taken reports whether ref is or was the ID or alias of a key.
func (s *Store) taken(ref string) bool {
	if _, rec := s.table.find(ref); rec != nil {
		return true
	}
	s.namesMu.RLock()
	defer s.namesMu.RUnlock()
	_, ok := s.names[ref]
	return ok
}

// setName copies the name, which may be a part of something large or secret.
func (s *Store) setName(name, id string) {
	s.namesMu.Lock()
	defer s.namesMu.Unlock()
	s.names[strings.Clone(name)] = id
}

// atCap reports whether w.MaxKeys other keys of rec's owner are live already.
func (s *Store) atCap(rec *apikey.Record, w *apikey.Write) bool {
	if w.MaxKeys <= 0 {
		return w.MaxKeys == 0
	}
	id, owner, live := rec.ID(), rec.Owner(), 0
	for other := range s.byOwner.before(position{owner: owner, created: endOfTime}) {
		if other.Owner() != owner {
			break
		}
		if other.ID() != id && other.Live(w.At) {
			if live++; live == w.MaxKeys {
				return true
			}
		}
	}
	return false
}

// wrote records and announces a write that has been made.
func (s *Store) wrote(w *apikey.Write, id, alias string) {
	s.history.add(&w.Change)
	for watcher := range s.watchers {
		watcher.push(id, alias)
	}
}

func readEnded(err error) error { return fmt.Errorf("apikey: memstore: %w", err) }

func writeEnded(err error) error { return fmt.Errorf("%w: memstore: %w", apikey.ErrNotApplied, err) }
