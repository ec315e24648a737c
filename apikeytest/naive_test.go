package apikeytest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-apikey/apikey"
)

// naive is a Store as simple as one can be that keeps every promise. Broken
// stores are made from it: by the functions that it is made of, which a broken
// store replaces, or by wrapping it in an [override].
type naive struct {
	mu       sync.Mutex
	recs     map[string]*apikey.Record // by name of the ID
	taken    map[string]string         // name of an ID or alias, for ever: the name of the ID
	counts   map[string]*counts        // by name of the ID
	changes  []apikey.Change
	watchers map[*queue]bool

	name  func(string) string // what IDs and aliases are compared by
	owner func(string) string // what owners are compared by
	match func(*apikey.Query, *apikey.Key) bool
	live  func(*apikey.Key, time.Time) bool
	order func(a, b *apikey.Key) int
}

type counts struct {
	seq   map[string]int64 // by node
	total apikey.Usage
	hours map[time.Time]apikey.UsagePoint
}

type queue struct {
	refs []string
	wake chan struct{}
}

func same(s string) string { return s }

func newNaive() *naive {
	return &naive{
		recs: map[string]*apikey.Record{}, taken: map[string]string{}, counts: map[string]*counts{}, watchers: map[*queue]bool{},
		name: same, owner: same, match: (*apikey.Query).Match, live: (*apikey.Key).Live, order: listOrder,
	}
}

// locked is the beginning of each method: `defer s.mu.Unlock()` is the caller's.
func (s *naive) locked(ctx context.Context) error {
	s.mu.Lock()
	return ctx.Err()
}

// others counts the live keys of owner but for id.
func (s *naive) others(owner, id string, at time.Time) int {
	n := 0
	for name, rec := range s.recs {
		if name != s.name(id) && s.owner(rec.Owner()) == s.owner(owner) && s.live(rec.Key(), at) {
			n++
		}
	}
	return n
}

// wrote stores the change and tells the watchers.
func (s *naive) wrote(rec *apikey.Record, w apikey.Write) {
	s.record(w)
	refs := []string{rec.ID()}
	if alias := rec.Alias(); alias != "" {
		refs = append(refs, alias)
	}
	s.tell(refs)
}

func (s *naive) record(w apikey.Write) {
	w.Fields = slices.Clone(w.Fields)
	s.changes = append(s.changes, w.Change)
}

func (s *naive) tell(refs []string) {
	for q := range s.watchers {
		q.refs = append(q.refs, refs...)
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

func (s *naive) Create(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	err := s.locked(ctx)
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	names := []string{s.name(rec.ID())}
	if alias := rec.Alias(); alias != "" {
		names = append(names, s.name(alias))
	}
	for _, name := range names {
		if s.taken[name] != "" {
			return apikey.ErrExists
		}
	}
	if w.MaxKeys >= 0 && s.others(rec.Owner(), rec.ID(), w.At) >= w.MaxKeys {
		return apikey.ErrKeyQuota
	}
	for _, name := range names {
		s.taken[name] = names[0]
	}
	s.recs[names[0]] = rec
	s.counts[names[0]] = &counts{seq: map[string]int64{}, hours: map[time.Time]apikey.UsagePoint{}}
	s.wrote(rec, w)
	return nil
}

func (s *naive) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	err := s.locked(ctx)
	defer s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if rec := s.recs[s.taken[s.name(ref)]]; rec != nil {
		return rec, nil
	}
	return nil, apikey.ErrNotFound
}

func (s *naive) Update(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	err := s.locked(ctx)
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	stored := s.recs[s.name(rec.ID())]
	switch {
	case stored == nil:
		return apikey.ErrNotFound
	case stored.Version() != rec.Version()-1:
		return apikey.ErrConflict
	case w.MaxKeys >= 0 && s.others(rec.Owner(), rec.ID(), w.At) >= w.MaxKeys:
		return apikey.ErrKeyQuota
	}
	s.recs[s.name(rec.ID())] = rec
	s.wrote(rec, w)
	return nil
}

func (s *naive) Delete(ctx context.Context, id string, w apikey.Write) error {
	err := s.locked(ctx)
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	rec := s.recs[s.name(id)]
	if rec == nil {
		return apikey.ErrNotFound
	}
	delete(s.recs, s.name(id))
	delete(s.counts, s.name(id))
	s.wrote(rec, w)
	return nil
}

// all are the keys that q matches, in order.
func (s *naive) all(q *apikey.Query) []*apikey.Key {
	var keys []*apikey.Key
	for name, rec := range s.recs {
		k := rec.Key()
		k.Usage = s.counts[name].total
		k.Usage.LastUsed = maps.Clone(k.Usage.LastUsed)
		owner := k.Owner // the folding of a broken store is seen by the filter only
		if !q.AllOwners && s.owner(owner) == s.owner(q.Owner) {
			k.Owner = q.Owner
		}
		if s.match(q, k) {
			k.Owner = owner
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, s.order)
	return keys
}

func (s *naive) List(ctx context.Context, q apikey.Query) (apikey.Page, error) {
	err := s.locked(ctx)
	defer s.mu.Unlock()
	if err != nil {
		return apikey.Page{}, err
	}
	created, id, err := q.Position()
	if err != nil {
		return apikey.Page{}, err
	}
	keys := s.all(&q)
	if q.After != "" {
		at := &apikey.Key{ID: id, CreatedAt: created}
		keys = slices.DeleteFunc(keys, func(k *apikey.Key) bool { return s.order(k, at) <= 0 })
	}
	page := apikey.Page{Keys: keys}
	if len(keys) > q.Limit {
		page.Keys = keys[:q.Limit]
		last := keys[q.Limit-1]
		page.Next = q.CursorAt(last.CreatedAt, last.ID)
	}
	return page, nil
}

func (s *naive) AddUsage(ctx context.Context, b apikey.UsageBatch) error {
	err := s.locked(ctx)
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	for i, e := range b.Entries {
		c := s.counts[s.name(e.KeyID)]
		if c == nil || b.Seq <= c.seq[b.Node] {
			continue
		}
		c.add(e)
		if i+1 == len(b.Entries) || b.Entries[i+1].KeyID != e.KeyID {
			c.seq[b.Node] = b.Seq
		}
	}
	return nil
}

func (c *counts) add(e apikey.UsageEntry) {
	t := &c.total
	t.Requests += e.Requests
	t.Limited += e.Limited
	t.Denied += e.Denied
	if e.LastUsed.After(t.LastUsedAt) {
		t.LastUsedAt = e.LastUsed
	}
	if e.LastUsed.After(t.LastUsed[e.Secret]) {
		if t.LastUsed == nil {
			t.LastUsed = map[uint32]time.Time{}
		}
		t.LastUsed[e.Secret] = e.LastUsed
	}
	if e.LastRefusal.At.After(t.LastRefusal.At) {
		t.LastRefusal = e.LastRefusal
	}
	p := c.hours[e.Hour]
	c.hours[e.Hour] = apikey.UsagePoint{
		Hour: e.Hour, Requests: p.Requests + e.Requests, Limited: p.Limited + e.Limited, Denied: p.Denied + e.Denied,
	}
}

func (s *naive) Usage(ctx context.Context, id string, q apikey.UsageQuery) ([]apikey.UsagePoint, error) {
	err := s.locked(ctx)
	defer s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	c := s.counts[s.name(id)]
	if c == nil {
		return nil, nil
	}
	var points []apikey.UsagePoint
	for hour, p := range c.hours {
		if !hour.Before(q.From) && (q.To.IsZero() || hour.Before(q.To)) {
			points = append(points, p)
		}
	}
	slices.SortFunc(points, func(a, b apikey.UsagePoint) int { return a.Hour.Compare(b.Hour) })
	return points, nil
}

func (s *naive) History(ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
	err := s.locked(ctx)
	defer s.mu.Unlock()
	if err != nil {
		return apikey.HistoryPage{}, err
	}
	n, err := q.Position()
	if err != nil {
		return apikey.HistoryPage{}, err
	}
	if q.After == "" {
		n = int64(len(s.changes)) + 1
	}
	var page apikey.HistoryPage
	for n--; n > 0; n-- {
		c := s.changes[n-1]
		if !q.AllOwners && s.owner(c.Owner) != s.owner(q.Owner) || q.KeyID != "" && c.KeyID != q.KeyID {
			continue
		}
		if len(page.Changes) == q.Limit {
			page.Next = q.CursorAt(n + 1)
			break
		}
		c.Fields = slices.Clone(c.Fields)
		page.Changes = append(page.Changes, c)
	}
	return page, nil
}

func (s *naive) Watch(ctx context.Context, changed func(refs []string)) error {
	q := &queue{wake: make(chan struct{}, 1)}
	err := s.locked(ctx)
	s.watchers[q] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watchers, q)
		s.mu.Unlock()
	}()
	if err != nil {
		return err
	}
	changed(nil)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-q.wake:
		}
		s.mu.Lock()
		refs := q.refs
		q.refs = nil
		s.mu.Unlock()
		if refs != nil { // else the last round had them
			changed(refs)
		}
	}
}

// fold is a comparison without case.
func fold(s string) string { return strings.ToLower(s) }
