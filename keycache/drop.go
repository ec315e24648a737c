package keycache

import (
	"slices"
	"sort"
)

// mostDrops are the drops that are kept for queries that are under way.
const mostDrops = 4096

// drops are the names that were dropped lately: for a query that began before,
// and comes back with a key that is known by one of them.
type drops struct {
	last uint64 // the number of the latest
	list []drop // in order; of no use when no query runs
}

type drop struct {
	n    uint64
	name string // "": all
}

// first is the first drop after began that concerns a key of these names; 0 if
// there is none.
func (d *drops) first(began uint64, names []string) uint64 {
	i := sort.Search(len(d.list), func(i int) bool { return d.list[i].n > began })
	for _, x := range d.list[i:] {
		if x.name == "" || slices.Contains(names, x.name) {
			return x.n
		}
	}
	return 0
}

// Forget drops the keys of these IDs and aliases: who asks for one from now on
// gets what the inner Store says from now on. Writes through the cache do so by
// themselves.
func (s *Store) Forget(refs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drops.last++
	for _, ref := range refs {
		if ref == "" {
			continue
		}
		s.remember(ref)
		delete(s.fills, ref)
		if e, ok := s.entries.GetEntryQuietly(ref); ok {
			e.Value.rec.Store(nil)
		}
	}
}

// forgetAll drops every key. That it is known is remembered.
func (s *Store) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drops.last++
	s.remember("")
	clear(s.fills)
	s.epoch.Add(1)
}

// remember keeps the latest drop for the queries that run. The caller holds mu.
func (s *Store) remember(name string) {
	if len(s.running) == 0 {
		return
	}
	if len(s.drops.list) == mostDrops { // too many to tell apart: any of them may concern any key
		s.drops.list = nil
		for f := range s.running {
			if f.dropped == 0 {
				f.dropped = f.began + 1
			}
		}
	}
	s.drops.list = append(s.drops.list, drop{s.drops.last, name})
}
