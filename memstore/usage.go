package memstore

import (
	"context"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// keptHours are the hours of a key's series that are kept, back from its
// newest: 90 days.
const keptHours = 90 * 24

// usage is what one key was used for. Times are in microseconds since 1970.
type usage struct {
	requests, limited, denied int64
	lastUsed                  []secretUse
	refusal                   *apikey.Refusal // nil: none
	hours                     []hourUse       // oldest first
	applied                   []nodeSeq
}

type secretUse struct {
	n  uint32
	at int64
}

type hourUse struct {
	hour                      int64 // since 1970
	requests, limited, denied int64
}

// nodeSeq is the last batch of a node that was applied to a key.
type nodeSeq struct {
	node uint32
	seq  int64
}

// AddUsage is as [apikey.Store] says. A batch is applied in full or not at all.
func (s *Store) AddUsage(ctx context.Context, b apikey.UsageBatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return writeEnded(err)
	}
	node, ok := s.nodes[b.Node]
	if !ok {
		node = uint32(len(s.nodes))
		s.nodes[strings.Clone(b.Node)] = node
	}
	applied := make([]*usage, 0, len(b.Entries))
	for i := range b.Entries {
		e := &b.Entries[i]
		u := s.usage[e.KeyID]
		if u == nil {
			if _, rec := s.table.find(e.KeyID); rec == nil {
				continue
			}
			u = new(usage)
			s.usage[strings.Clone(e.KeyID)] = u // it may be a part of something larger
		}
		if *u.seq(node) < b.Seq {
			u.add(e)
			applied = append(applied, u)
		}
	}
	for _, u := range applied { // only now: a key may have several entries
		*u.seq(node) = b.Seq
	}
	return nil
}

// Usage is as [apikey.UsageReader] says. Hours are kept for 90 days before the
// newest hour in which the key was used.
func (s *Store) Usage(ctx context.Context, id string, q apikey.UsageQuery) ([]apikey.UsagePoint, error) {
	if err := ctx.Err(); err != nil {
		return nil, readEnded(err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	u := s.usage[id]
	if u == nil {
		return nil, nil
	}
	var points []apikey.UsagePoint
	for _, h := range u.hours {
		hour := time.Unix(h.hour*3600, 0).UTC()
		if !hour.Before(q.From) && (q.To.IsZero() || hour.Before(q.To)) {
			points = append(points, apikey.UsagePoint{Hour: hour, Requests: h.requests, Limited: h.limited, Denied: h.denied})
		}
	}
	return points, nil
}

// readUsage copies u, which may be nil.
func (s *Store) readUsage(u *usage) apikey.Usage {
	if u == nil {
		return apikey.Usage{}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := apikey.Usage{Requests: u.requests, Limited: u.limited, Denied: u.denied}
	if u.refusal != nil {
		c.LastRefusal = *u.refusal
	}
	if len(u.lastUsed) > 0 {
		c.LastUsed = make(map[uint32]time.Time, len(u.lastUsed))
	}
	for _, l := range u.lastUsed {
		at := time.UnixMicro(l.at).UTC()
		c.LastUsed[l.n] = at
		if at.After(c.LastUsedAt) {
			c.LastUsedAt = at
		}
	}
	return c
}

func (u *usage) add(e *apikey.UsageEntry) {
	u.requests += e.Requests
	u.limited += e.Limited
	u.denied += e.Denied
	if !e.LastUsed.IsZero() {
		at := u.secret(e.Secret)
		*at = max(*at, e.LastUsed.UnixMicro())
	}
	if r := e.LastRefusal; !r.At.IsZero() && (u.refusal == nil || r.At.After(u.refusal.At)) {
		u.refusal = &r
	}
	if e.Requests != 0 || e.Limited != 0 || e.Denied != 0 {
		u.addHour(hourUse{e.Hour.Unix() / 3600, e.Requests, e.Limited, e.Denied})
	}
}

func (u *usage) secret(n uint32) *int64 {
	i := slices.IndexFunc(u.lastUsed, func(l secretUse) bool { return l.n == n })
	if i < 0 {
		i = len(u.lastUsed)
		u.lastUsed = append(u.lastUsed, secretUse{n: n})
	}
	return &u.lastUsed[i].at
}

func (u *usage) addHour(h hourUse) {
	i := sort.Search(len(u.hours), func(i int) bool { return u.hours[i].hour >= h.hour })
	if i == len(u.hours) || u.hours[i].hour != h.hour {
		u.hours = slices.Insert(u.hours, i, hourUse{hour: h.hour})
	}
	u.hours[i].requests += h.requests
	u.hours[i].limited += h.limited
	u.hours[i].denied += h.denied

	oldest := u.hours[len(u.hours)-1].hour - keptHours
	old := sort.Search(len(u.hours), func(i int) bool { return u.hours[i].hour > oldest })
	u.hours = slices.Delete(u.hours, 0, old)
}

// seq is the number of the last batch of a node that was applied; 0: none.
func (u *usage) seq(node uint32) *int64 {
	i := slices.IndexFunc(u.applied, func(a nodeSeq) bool { return a.node == node })
	if i < 0 {
		i = len(u.applied)
		u.applied = append(u.applied, nodeSeq{node: node})
	}
	return &u.applied[i].seq
}
