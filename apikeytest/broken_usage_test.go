package apikeytest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-apikey/apikey"
)

// adding replaces AddUsage.
func adding(f func(s *naive, ctx context.Context, b apikey.UsageBatch) error) func(s *naive) apikey.Store {
	return func(s *naive) apikey.Store {
		return &override{naive: s, addUsage: func(ctx context.Context, b apikey.UsageBatch) error { return f(s, ctx, b) }}
	}
}

// after changes what a key has been used for after an entry of it was added.
func after(f func(before apikey.Usage, e apikey.UsageEntry, total *apikey.Usage)) func(s *naive) apikey.Store {
	return adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		for i, e := range b.Entries {
			s.mu.Lock()
			var before apikey.Usage
			c := s.counts[e.KeyID]
			if c != nil {
				before = c.total
				before.LastUsed = maps.Clone(c.total.LastUsed)
			}
			s.mu.Unlock()
			one := b
			one.Entries = b.Entries[i : i+1]
			one.Seq = b.Seq*1000 + int64(i) // so that each is added once
			if err := s.AddUsage(ctx, one); err != nil {
				return err
			}
			if s.mu.Lock(); c != nil && c.total.Requests+c.total.Limited+c.total.Denied != before.Requests+before.Limited+before.Denied {
				f(before, e, &c.total)
			}
			s.mu.Unlock()
		}
		return nil
	})
}

// numbered gives each batch the node and Seq that f says.
func numbered(f func(b apikey.UsageBatch) (node string, seq int64)) func(s *naive) apikey.Store {
	return adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		b.Node, b.Seq = f(b)
		return s.AddUsage(ctx, b)
	})
}

var brokenUsage = []broken{
	{"the newest batch is the total", "AddUsage adds to what is stored", after(func(_ apikey.Usage, e apikey.UsageEntry, total *apikey.Usage) {
		total.Requests = e.Requests
	})},
	{"counts of 32 bits", "AddUsage adds to what is stored", after(func(_ apikey.Usage, _ apikey.UsageEntry, total *apikey.Usage) {
		total.Limited = int64(int32(total.Limited))
	})},
	{"counts as floating point", "AddUsage adds to what is stored", after(func(_ apikey.Usage, _ apikey.UsageEntry, total *apikey.Usage) {
		total.Requests = int64(float64(total.Requests))
	})},
	{"one entry of a key in a batch", "AddUsage applies several entries of one key in one batch", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		for i := range b.Entries {
			one := b
			one.Entries = b.Entries[i : i+1]
			if err := s.AddUsage(ctx, one); err != nil {
				return err
			}
		}
		return ctx.Err()
	})},
	{"last use of the key alone", "AddUsage keeps the last use of each secret", after(func(_ apikey.Usage, e apikey.UsageEntry, total *apikey.Usage) {
		total.LastUsed = map[uint32]time.Time{e.Secret: total.LastUsedAt}
	})},
	{"last use moves backwards", "AddUsage moves no time backwards", after(func(_ apikey.Usage, e apikey.UsageEntry, total *apikey.Usage) {
		if !e.LastUsed.IsZero() {
			total.LastUsedAt = e.LastUsed
		}
	})},
	{"no use replaces the last", "AddUsage moves no time backwards", after(func(_ apikey.Usage, e apikey.UsageEntry, total *apikey.Usage) {
		if e.LastUsed.IsZero() {
			total.LastUsedAt = time.Time{}
		}
	})},
	{"no refusal replaces the last", "AddUsage moves no time backwards", after(func(_ apikey.Usage, e apikey.UsageEntry, total *apikey.Usage) {
		if e.LastRefusal.At.IsZero() {
			total.LastRefusal = e.LastRefusal
		}
	})},
	{"last use kept in seconds", "AddUsage moves no time backwards", after(func(_ apikey.Usage, _ apikey.UsageEntry, total *apikey.Usage) {
		total.LastUsedAt = total.LastUsedAt.Truncate(time.Second)
	})},
	{"times come back in another zone", "AddUsage keeps the last use of each secret", after(func(_ apikey.Usage, _ apikey.UsageEntry, total *apikey.Usage) {
		total.LastUsedAt = total.LastUsedAt.In(time.FixedZone("here", 3600))
	})},
	{"the reason of another refusal", "AddUsage keeps the last refusal whole", after(func(before apikey.Usage, _ apikey.UsageEntry, total *apikey.Usage) {
		if before.LastRefusal.Reason != "" {
			total.LastRefusal.Reason = before.LastRefusal.Reason
		}
	})},
	{"peers without their zone", "AddUsage keeps the last refusal whole", after(func(_ apikey.Usage, _ apikey.UsageEntry, total *apikey.Usage) {
		total.LastRefusal.Peer = total.LastRefusal.Peer.WithZone("")
	})},
	{"an unknown key is a failure", "AddUsage skips keys that do not exist", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		for _, e := range b.Entries {
			if _, err := s.Get(ctx, e.KeyID); err != nil {
				return err
			}
		}
		return s.AddUsage(ctx, b)
	})},
	{"an unknown key ends the batch", "AddUsage skips keys that do not exist", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		for i, e := range b.Entries {
			if _, err := s.Get(ctx, e.KeyID); err != nil {
				b.Entries = b.Entries[:i]
				break
			}
		}
		return s.AddUsage(ctx, b)
	})},
	{"usage waits for its key", "AddUsage skips keys that do not exist", func(s *naive) apikey.Store {
		var waiting []apikey.UsageBatch
		return &override{
			naive: s,
			create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
				err := s.Create(ctx, rec, w)
				s.mu.Lock()
				all := slices.Clone(waiting)
				s.mu.Unlock()
				for _, b := range all {
					err = errors.Join(err, s.AddUsage(ctx, b))
				}
				return err
			},
			addUsage: func(ctx context.Context, b apikey.UsageBatch) error {
				s.mu.Lock()
				waiting = append(waiting, b)
				s.mu.Unlock()
				return s.AddUsage(ctx, b)
			},
		}
	}},
	{"usage raises the version", "AddUsage never changes a record or its Version", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		for _, e := range b.Entries {
			if rec, err := s.Get(ctx, e.KeyID); err == nil {
				k := rec.Key()
				k.Version++
				s.put(record(k), write("usage", k, noCap))
			}
		}
		return s.AddUsage(ctx, b)
	})},
	{"batches of 100", "AddUsage takes 500 entries and none", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		b.Entries = b.Entries[:min(100, len(b.Entries))]
		return s.AddUsage(ctx, b)
	})},
	{"an empty batch is a failure", "AddUsage takes 500 entries and none", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		if len(b.Entries) == 0 {
			return errors.New("syntax error at or near VALUES")
		}
		return s.AddUsage(ctx, b)
	})},
	{"usage added twice", "AddUsage adds a batch once however often it is repeated", func(s *naive) apikey.Store {
		var seq atomic.Int64
		return numbered(func(apikey.UsageBatch) (string, int64) { return "", seq.Add(1) })(s)
	}},
	{"batches applied as a whole", "AddUsage goes on where a batch was partly applied", func(s *naive) apikey.Store {
		last := map[string]int64{}
		return adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
			s.mu.Lock()
			skip := b.Seq <= last[b.Node]
			last[b.Node] = max(b.Seq, last[b.Node])
			s.mu.Unlock()
			if skip {
				return ctx.Err()
			}
			return s.AddUsage(ctx, b)
		})(s)
	}},
	{"only the very last batch is known", "AddUsage skips a Seq that is not above the last one", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		s.mu.Lock()
		for _, e := range b.Entries {
			if c := s.counts[e.KeyID]; c != nil && c.seq[b.Node] != b.Seq {
				c.seq[b.Node] = 0
			}
		}
		s.mu.Unlock()
		return s.AddUsage(ctx, b)
	})},
	{"a gap in the numbers is skipped", "AddUsage skips a Seq that is not above the last one", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		if b.Seq > 100 {
			return ctx.Err()
		}
		return s.AddUsage(ctx, b)
	})},
	{"one number for all nodes", "AddUsage tells nodes apart", numbered(func(b apikey.UsageBatch) (string, int64) { return "", b.Seq })},
	{"case-folded nodes", "AddUsage tells nodes apart", numbered(func(b apikey.UsageBatch) (string, int64) { return fold(b.Node), b.Seq })},
	{"usage read and written back", "AddUsage is exact under concurrency", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		s.mu.Lock()
		read := map[string]int64{}
		for _, e := range b.Entries {
			if c := s.counts[e.KeyID]; c != nil && b.Seq > c.seq[b.Node] {
				read[e.KeyID] = c.total.Requests
			}
		}
		s.mu.Unlock()
		pause()
		if err := s.AddUsage(ctx, b); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for id, n := range read {
			for _, e := range b.Entries {
				if e.KeyID == id {
					n += e.Requests
				}
			}
			s.counts[id].total.Requests = n
		}
		return nil
	})},
	{"usage written back by Update", "Every method is safe beside every other", func(s *naive) apikey.Store {
		return &override{naive: s, update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			s.mu.Lock()
			var before apikey.Usage
			c := s.counts[rec.ID()]
			if c != nil {
				before = c.total
				before.LastUsed = maps.Clone(before.LastUsed)
			}
			s.mu.Unlock()
			pause()
			err := s.Update(ctx, rec, w)
			s.mu.Lock()
			defer s.mu.Unlock()
			if c != nil && err == nil {
				c.total = before
			}
			return err
		}}
	}},
}

// reading replaces Usage.
func reading(f func(points []apikey.UsagePoint, q apikey.UsageQuery) []apikey.UsagePoint) func(s *naive) apikey.Store {
	return func(s *naive) apikey.Store {
		return &override{naive: s, usage: func(ctx context.Context, id string, q apikey.UsageQuery) ([]apikey.UsagePoint, error) {
			points, err := s.Usage(ctx, id, apikey.UsageQuery{})
			return f(points, q), err
		}}
	}
}

// between are the points of q; with to, those at its end too.
func between(points []apikey.UsagePoint, q apikey.UsageQuery, to bool) []apikey.UsagePoint {
	return slices.DeleteFunc(points, func(p apikey.UsagePoint) bool {
		return p.Hour.Before(q.From) || !q.To.IsZero() && !p.Hour.Before(q.To) && (!to || !p.Hour.Equal(q.To))
	})
}

var brokenHours = []broken{
	{"hours newest first", "Usage returns the hours in which anything happened, oldest first", reading(func(points []apikey.UsagePoint, q apikey.UsageQuery) []apikey.UsagePoint {
		points = between(points, q, false)
		slices.Reverse(points)
		return points
	})},
	{"hours without requests left out", "Usage returns the hours in which anything happened, oldest first", reading(func(points []apikey.UsagePoint, q apikey.UsageQuery) []apikey.UsagePoint {
		return slices.DeleteFunc(between(points, q, false), func(p apikey.UsagePoint) bool { return p.Requests == 0 })
	})},
	{"the newest batch is the hour", "Usage returns the hours in which anything happened, oldest first", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		err := s.AddUsage(ctx, b)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range b.Entries {
			if c := s.counts[e.KeyID]; c != nil && err == nil {
				c.hours[e.Hour] = apikey.UsagePoint{Hour: e.Hour, Requests: e.Requests, Limited: e.Limited, Denied: e.Denied}
			}
		}
		return err
	})},
	{"To included", "Usage goes from From up to, not including, To", reading(func(points []apikey.UsagePoint, q apikey.UsageQuery) []apikey.UsagePoint {
		return between(points, q, true)
	})},
	{"From ignored", "Usage goes from From up to, not including, To", reading(func(points []apikey.UsagePoint, q apikey.UsageQuery) []apikey.UsagePoint {
		q.From = time.Time{}
		return between(points, q, false)
	})},
	{"hours added twice", "Usage counts a repeated batch once", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		s.mu.Lock()
		for _, e := range b.Entries {
			if c := s.counts[e.KeyID]; c != nil && b.Seq <= c.seq[b.Node] {
				p := c.hours[e.Hour]
				p.Requests += e.Requests
				c.hours[e.Hour] = p
			}
		}
		s.mu.Unlock()
		return s.AddUsage(ctx, b)
	})},
	{"usage of an unknown key is a failure", "Usage of an unknown key is none", func(s *naive) apikey.Store {
		return &override{naive: s, usage: func(ctx context.Context, id string, q apikey.UsageQuery) ([]apikey.UsagePoint, error) {
			if _, err := s.Get(ctx, id); err != nil {
				return nil, err
			}
			return s.Usage(ctx, id, q)
		}}
	}},
}
