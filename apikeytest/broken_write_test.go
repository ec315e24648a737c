package apikeytest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

var brokenNames = []broken{
	{"an alias is not found", "Create stores what Get returns", func(s *naive) apikey.Store {
		return &override{naive: s, get: func(ctx context.Context, ref string) (*apikey.Record, error) {
			rec, err := s.Get(ctx, ref)
			if err == nil && rec.ID() != ref {
				return nil, apikey.ErrNotFound
			}
			return rec, err
		}}
	}},
	{"Create overwrites", "Create refuses an ID or alias that is taken", func(s *naive) apikey.Store {
		return &override{naive: s, create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			err := s.Create(ctx, rec, w)
			if errors.Is(err, apikey.ErrExists) {
				s.put(rec, w)
				return nil
			}
			return err
		}}
	}},
	{"IDs and aliases in two name spaces", "Create refuses an ID or alias that is taken", func(s *naive) apikey.Store {
		return &override{naive: s, create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			s.mu.Lock()
			id := s.taken[rec.Alias()]
			mixed := id != "" && id == rec.Alias() || s.taken[rec.ID()] != "" && s.taken[rec.ID()] != rec.ID()
			s.mu.Unlock()
			if mixed {
				s.put(rec, w)
				return nil
			}
			return s.Create(ctx, rec, w)
		}}
	}},
	{"taken by another owner is a failure", "Create refuses an ID or alias that is taken", func(s *naive) apikey.Store {
		return &override{naive: s, create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			err := s.Create(ctx, rec, w)
			if errors.Is(err, apikey.ErrExists) {
				return errors.New(err.Error()) // the sentinel is lost
			}
			return err
		}}
	}},
	{"names looked up before the insert", "Create gives a name to one of many concurrent calls", func(s *naive) apikey.Store {
		return &override{naive: s, create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			for _, ref := range []string{rec.ID(), rec.Alias()} {
				if _, err := s.Get(ctx, ref); err == nil {
					return apikey.ErrExists
				}
			}
			pause()
			s.put(rec, w)
			return nil
		}}
	}},
	{"a refused Create keeps its names", "Create that is refused leaves nothing behind", func(s *naive) apikey.Store {
		return &override{naive: s, create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			err := s.Create(ctx, rec, w)
			if errors.Is(err, apikey.ErrKeyQuota) {
				s.mu.Lock()
				s.taken[rec.ID()] = rec.ID()
				s.mu.Unlock()
			}
			return err
		}}
	}},
	{"absent as nil", "An absent or malformed ID is ErrNotFound", func(s *naive) apikey.Store {
		return &override{naive: s, get: func(ctx context.Context, ref string) (*apikey.Record, error) {
			rec, err := s.Get(ctx, ref)
			return rec, ignoring(err, apikey.ErrNotFound)
		}}
	}},
	{"a malformed ID is a failure", "An absent or malformed ID is ErrNotFound", func(s *naive) apikey.Store {
		return &override{naive: s, get: func(ctx context.Context, ref string) (*apikey.Record, error) {
			if strings.Contains(ref, "\x00") {
				return nil, errors.New("invalid byte sequence")
			}
			return s.Get(ctx, ref)
		}}
	}},
	{"Update inserts what is absent", "An absent or malformed ID is ErrNotFound", upsert},
	{"case-folded IDs", "IDs compare byte by byte", func(s *naive) apikey.Store {
		s.name = func(ref string) string {
			if strings.HasPrefix(ref, "~") {
				return ref
			}
			return fold(ref)
		}
		return s
	}},
	{"case-folded aliases", "Aliases compare byte by byte", func(s *naive) apikey.Store {
		s.name = func(ref string) string {
			if strings.HasPrefix(ref, "~") {
				return fold(ref)
			}
			return ref
		}
		return s
	}},
	{"aliases without trailing spaces", "Aliases compare byte by byte", func(s *naive) apikey.Store {
		s.name = func(ref string) string { return strings.TrimRight(ref, " ") }
		return s
	}},
	{"case-folded owners", "Owners compare byte by byte", func(s *naive) apikey.Store { s.owner = fold; return s }},
	{"owners without trailing spaces", "Owners compare byte by byte", func(s *naive) apikey.Store {
		s.owner = func(owner string) string { return strings.TrimRight(owner, " ") }
		return s
	}},
	{"owners without accents", "Owners compare byte by byte", func(s *naive) apikey.Store {
		s.owner = strings.NewReplacer("\u00e9", "e", "e\u0301", "e").Replace
		return s
	}},
	{"owners normalised", "Owners compare byte by byte", func(s *naive) apikey.Store {
		s.owner = strings.NewReplacer("e\u0301", "\u00e9").Replace
		return s
	}},
}

func upsert(s *naive) apikey.Store {
	return &override{naive: s, update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
		err := s.Update(ctx, rec, w)
		if errors.Is(err, apikey.ErrNotFound) {
			s.put(rec, w)
			return nil
		}
		return err
	}}
}

var brokenUpdates = []broken{
	{"an alias leads to the first version", "Update replaces the record of the version before", func(s *naive) apikey.Store {
		first := map[string]*apikey.Record{}
		return &override{
			naive: s,
			create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
				err := s.Create(ctx, rec, w)
				if s.mu.Lock(); err == nil {
					first[rec.Alias()] = rec
				}
				s.mu.Unlock()
				return err
			},
			get: func(ctx context.Context, ref string) (*apikey.Record, error) {
				rec, err := s.Get(ctx, ref)
				s.mu.Lock()
				defer s.mu.Unlock()
				if err == nil && ref == rec.Alias() && first[ref] != nil {
					return first[ref], nil
				}
				return rec, err
			},
		}
	}},
	{"the last write wins", "Update refuses any other version with ErrConflict", func(s *naive) apikey.Store {
		return &override{naive: s, update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			err := s.Update(ctx, rec, w)
			if errors.Is(err, apikey.ErrConflict) {
				s.put(rec, w)
				return nil
			}
			return err
		}}
	}},
	{"any newer version is taken", "Update refuses any other version with ErrConflict", func(s *naive) apikey.Store {
		return &override{naive: s, update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			err := s.Update(ctx, rec, w)
			if stored, _ := s.Get(ctx, rec.ID()); errors.Is(err, apikey.ErrConflict) && rec.Version() > stored.Version() {
				s.put(rec, w)
				return nil
			}
			return err
		}}
	}},
	{"a repeated Update is no conflict", "Update refuses any other version with ErrConflict", func(s *naive) apikey.Store {
		return &override{naive: s, update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			err := s.Update(ctx, rec, w)
			if stored, _ := s.Get(ctx, rec.ID()); errors.Is(err, apikey.ErrConflict) && rec.Version() == stored.Version() {
				return nil
			}
			return err
		}}
	}},
	{"lost update", "Update loses no change under contention", func(s *naive) apikey.Store {
		return &override{naive: s, update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			stored, err := s.Get(ctx, rec.ID())
			if err != nil {
				return err
			}
			if stored.Version() != rec.Version()-1 {
				return apikey.ErrConflict
			}
			pause()
			s.put(rec, w)
			return nil
		}}
	}},
	{"indexes of the first version", "Update is seen by List's filters", func(s *naive) apikey.Store {
		first := map[string]*apikey.Key{}
		s.match = func(q *apikey.Query, k *apikey.Key) bool {
			if first[k.ID] == nil {
				first[k.ID] = k
			}
			return q.Match(first[k.ID])
		}
		return s
	}},
	{"usage reset by update", "Update never touches usage", func(s *naive) apikey.Store {
		return &override{naive: s, update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			err := s.Update(ctx, rec, w)
			s.mu.Lock()
			defer s.mu.Unlock()
			if err == nil {
				s.counts[rec.ID()].total = apikey.Usage{}
			}
			return err
		}}
	}},
	{"Update revives a tombstone", "Update of a deleted key is ErrNotFound", upsert},
	{"Get answers from a cache", "Get is as fresh as the last acknowledged write", func(s *naive) apikey.Store {
		type entry struct {
			rec *apikey.Record
			at  time.Time
		}
		cache := map[string]entry{}
		return &override{
			naive: s,
			get: func(ctx context.Context, ref string) (*apikey.Record, error) {
				s.mu.Lock()
				c := cache[ref]
				s.mu.Unlock()
				if c.rec != nil && strings.HasPrefix(ref, "~") && time.Since(c.at) < time.Second {
					return c.rec, ctx.Err()
				}
				rec, err := s.Get(ctx, ref)
				s.mu.Lock()
				defer s.mu.Unlock()
				cache[ref] = entry{rec, time.Now()}
				return rec, err
			},
		}
	}},
}

var brokenDeletes = []broken{
	{"deleted keys are listed", "Delete removes the key from Get and List", func(s *naive) apikey.Store {
		gone := map[string]bool{}
		return &override{
			naive: s,
			remove: func(ctx context.Context, id string, w apikey.Write) error {
				rec, err := s.Get(ctx, id)
				s.mu.Lock()
				defer s.mu.Unlock()
				if err != nil || gone[id] || rec.ID() != id {
					return cmp.Or(ctx.Err(), apikey.ErrNotFound)
				}
				gone[id] = true
				return nil
			},
			get: func(ctx context.Context, ref string) (*apikey.Record, error) {
				rec, err := s.Get(ctx, ref)
				s.mu.Lock()
				defer s.mu.Unlock()
				if err == nil && gone[rec.ID()] {
					return nil, apikey.ErrNotFound
				}
				return rec, err
			},
		}
	}},
	{"ID freed by delete", "IDs and aliases stay taken after Delete", func(s *naive) apikey.Store { return freeing(s, (*apikey.Record).ID) }},
	{"alias freed by delete", "IDs and aliases stay taken after Delete", func(s *naive) apikey.Store { return freeing(s, (*apikey.Record).Alias) }},
	{"Delete again succeeds", "Delete a second time is ErrNotFound", func(s *naive) apikey.Store {
		return &override{naive: s, remove: func(ctx context.Context, id string, w apikey.Write) error {
			return ignoring(s.Delete(ctx, id, w), apikey.ErrNotFound)
		}}
	}},
	{"two Deletes at once succeed", "Delete a second time is ErrNotFound", func(s *naive) apikey.Store {
		return &override{naive: s, remove: func(ctx context.Context, id string, w apikey.Write) error {
			rec, err := s.Get(ctx, id)
			if err != nil || rec.ID() != id {
				return errors.Join(err, apikey.ErrNotFound)
			}
			pause()
			return ignoring(s.Delete(ctx, id, w), apikey.ErrNotFound)
		}}
	}},
	{"usage kept after delete", "Delete removes the key's usage", func(s *naive) apikey.Store {
		return &override{naive: s, remove: func(ctx context.Context, id string, w apikey.Write) error {
			s.mu.Lock()
			kept := s.counts[id]
			s.mu.Unlock()
			err := s.Delete(ctx, id, w)
			if s.mu.Lock(); err == nil {
				s.counts[id] = kept
			}
			s.mu.Unlock()
			return err
		}}
	}},
	{"usage of a deleted key is a failure", "Delete removes the key's usage", func(s *naive) apikey.Store {
		return &override{naive: s, addUsage: func(ctx context.Context, b apikey.UsageBatch) error {
			s.mu.Lock()
			bad := slices.ContainsFunc(b.Entries, func(e apikey.UsageEntry) bool { return s.taken[e.KeyID] != "" && s.recs[e.KeyID] == nil })
			s.mu.Unlock()
			if bad {
				return errors.New("foreign key constraint")
			}
			return s.AddUsage(ctx, b)
		}}
	}},
	{"Delete finds by alias", "Delete takes an ID and no alias", func(s *naive) apikey.Store {
		return &override{naive: s, remove: func(ctx context.Context, ref string, w apikey.Write) error {
			rec, err := s.Get(ctx, ref)
			if err != nil {
				return err
			}
			return s.Delete(ctx, rec.ID(), w)
		}}
	}},
}

// freeing frees a name when its key is deleted.
func freeing(s *naive, name func(*apikey.Record) string) apikey.Store {
	return &override{naive: s, remove: func(ctx context.Context, id string, w apikey.Write) error {
		rec, err := s.Get(ctx, id)
		if err == nil {
			err = s.Delete(ctx, id, w)
		}
		if s.mu.Lock(); err == nil {
			delete(s.taken, name(rec))
		}
		s.mu.Unlock()
		return err
	}}
}
