package apikeytest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// changing runs f on the changes of a store after each write that it was asked for.
func changing(f func(changes []apikey.Change, w apikey.Write, err error) []apikey.Change) func(s *naive) apikey.Store {
	return func(s *naive) apikey.Store {
		then := func(w apikey.Write, err error) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changes = f(s.changes, w, err)
			return err
		}
		return &override{
			naive: s,
			create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
				return then(w, s.Create(ctx, rec, w))
			},
			update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
				return then(w, s.Update(ctx, rec, w))
			},
			remove: func(ctx context.Context, id string, w apikey.Write) error { return then(w, s.Delete(ctx, id, w)) },
		}
	}
}

// recalling replaces History.
func recalling(f func(s *naive, ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error)) func(s *naive) apikey.Store {
	return func(s *naive) apikey.Store {
		return &override{naive: s, history: func(ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) { return f(s, ctx, q) }}
	}
}

var brokenHistory = []broken{
	{"history in milliseconds", "History returns each Change as it was written", changing(func(changes []apikey.Change, _ apikey.Write, _ error) []apikey.Change {
		for i := range changes {
			changes[i].At = changes[i].At.Truncate(time.Millisecond)
		}
		return changes
	})},
	{"history trimmed", "History returns each Change as it was written", changing(func(changes []apikey.Change, _ apikey.Write, _ error) []apikey.Change {
		for _, c := range changes {
			for i := range c.Fields {
				c.Fields[i].Old = strings.TrimSpace(c.Fields[i].Old)
			}
		}
		return changes
	})},
	{"failed writes in the history", "History holds the Change of every write, and of no refused one", changing(func(changes []apikey.Change, w apikey.Write, err error) []apikey.Change {
		if err != nil {
			changes = append(changes, w.Change)
		}
		return changes
	})},
	{"no deletes in the history", "History holds the Change of every write, and of no refused one", changing(func(changes []apikey.Change, w apikey.Write, err error) []apikey.Change {
		if err == nil && strings.EqualFold(w.Action, "delete") {
			changes = changes[:len(changes)-1]
		}
		return changes
	})},
	{"history by the caller's time", "History goes newest first, as stored, whatever At says", changing(func(changes []apikey.Change, _ apikey.Write, _ error) []apikey.Change {
		slices.SortStableFunc(changes, func(a, b apikey.Change) int { return a.At.Compare(b.At) })
		return changes
	})},
	{"history oldest first", "History goes newest first, as stored, whatever At says", recalling(func(s *naive, ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
		page, err := s.History(ctx, q)
		slices.Reverse(page.Changes)
		return page, err
	})},
	{"history of any key", "History filters by owner and key", recalling(func(s *naive, ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
		q.KeyID = ""
		return s.History(ctx, q)
	})},
	{"history of a key to any owner", "History filters by owner and key", recalling(func(s *naive, ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
		q.AllOwners = q.AllOwners || q.KeyID != ""
		return s.History(ctx, q)
	})},
	{"history of nobody is everybody's", "History filters by owner and key", recalling(func(s *naive, ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
		q.AllOwners = q.AllOwners || q.Owner == ""
		return s.History(ctx, q)
	})},
	{"history by a count of rows", "History's pages together hold every change once", func(s *naive) apikey.Store {
		return &override{naive: s, history: func(ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
			n, err := q.Position()
			if err != nil {
				return apikey.HistoryPage{}, err
			}
			skip := int(cmp.Or(n, 1<<40)) // counted down, so that the position goes the right way
			whole := q
			whole.After, whole.Limit = "", 1<<30
			page, err := s.History(ctx, whole)
			from := min(1<<40-skip, len(page.Changes))
			to := min(from+q.Limit, len(page.Changes))
			if to < len(page.Changes) {
				page.Next = q.CursorAt(int64(1<<40 - to))
			}
			page.Changes = page.Changes[from:to]
			return page, err
		}}
	}},
	{"history in one page", "History's pages together hold every change once", recalling(func(s *naive, ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
		q.Limit = 1000
		return s.History(ctx, q)
	})},
	{"history ends after a page", "History's pages together hold every change once", recalling(func(s *naive, ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
		page, err := s.History(ctx, q)
		page.Next = ""
		return page, err
	})},
	{"history goes with the key", "History stays after Delete", changing(func(changes []apikey.Change, w apikey.Write, err error) []apikey.Change {
		if err == nil && w.Action == "delete" {
			changes = slices.DeleteFunc(changes, func(c apikey.Change) bool { return c.KeyID == w.KeyID })
		}
		return changes
	})},
	{"any history cursor is taken", "History's cursor that was altered or is of another query is ErrInvalid", recalling(func(s *naive, ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
		if _, err := q.Position(); err != nil {
			q.After = ""
		}
		return s.History(ctx, q)
	})},
}

const (
	endedWrite = "A call whose ctx has ended fails with its error and does nothing"
	endedRead  = "A read whose ctx has ended fails with its error"
)

var brokenContext = []broken{
	{"Create ignores ctx", endedWrite, func(s *naive) apikey.Store {
		return &override{naive: s, create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			return s.Create(context.WithoutCancel(ctx), rec, w)
		}}
	}},
	{"Update ignores ctx", endedWrite, func(s *naive) apikey.Store {
		return &override{naive: s, update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			return s.Update(context.WithoutCancel(ctx), rec, w)
		}}
	}},
	{"Delete ignores ctx", endedWrite, func(s *naive) apikey.Store {
		return &override{naive: s, remove: func(ctx context.Context, id string, w apikey.Write) error {
			return s.Delete(context.WithoutCancel(ctx), id, w)
		}}
	}},
	{"AddUsage ignores ctx", endedWrite, adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		return s.AddUsage(context.WithoutCancel(ctx), b)
	})},
	{"a batch that failed is remembered", endedWrite, adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		err := s.AddUsage(ctx, b)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range b.Entries {
			if c := s.counts[e.KeyID]; c != nil && err != nil {
				c.seq[b.Node] = b.Seq
			}
		}
		return err
	})},
	{"written, and then the ctx looked at", endedWrite, func(s *naive) apikey.Store {
		return &override{naive: s, create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			return cmp.Or(s.Create(context.WithoutCancel(ctx), rec, w), ctx.Err())
		}}
	}},
	{"Get ignores ctx", endedRead, func(s *naive) apikey.Store {
		return &override{naive: s, get: func(ctx context.Context, ref string) (*apikey.Record, error) {
			return s.Get(context.WithoutCancel(ctx), ref)
		}}
	}},
	{"List ignores ctx", endedRead, listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		return s.List(context.WithoutCancel(ctx), q)
	})},
	{"Usage ignores ctx", endedRead, func(s *naive) apikey.Store {
		return &override{naive: s, usage: func(ctx context.Context, id string, q apikey.UsageQuery) ([]apikey.UsagePoint, error) {
			return s.Usage(context.WithoutCancel(ctx), id, q)
		}}
	}},
	{"History ignores ctx", endedRead, recalling(func(s *naive, ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
		return s.History(context.WithoutCancel(ctx), q)
	})},
	{"the change in a transaction of its own", "A write that is cancelled happens in full or not at all", func(s *naive) apikey.Store {
		return &override{naive: s, create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			if err := s.Create(ctx, rec, w); err != nil {
				return err
			}
			pause()
			if ctx.Err() != nil {
				s.mu.Lock()
				s.changes = s.changes[:len(s.changes)-1]
				s.mu.Unlock()
			}
			return ctx.Err()
		}}
	}},
	{"a cancelled write is acknowledged", "A write that is cancelled happens in full or not at all", func(s *naive) apikey.Store {
		return &override{naive: s, update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			pause()
			return ignoring(s.Update(ctx, rec, w), context.DeadlineExceeded)
		}}
	}},
	{"written behind the call", "A ctx that ends after the call undoes nothing", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		b.Entries = slices.Clone(b.Entries)
		go func() {
			pause()
			_ = s.AddUsage(ctx, b)
		}()
		return ctx.Err()
	})},
}

var brokenShare = []broken{
	{"keys shared by pages", "What List returns is the caller's", func(s *naive) apikey.Store {
		type cached struct {
			key     *apikey.Key
			version int64
			used    int64
		}
		cache := map[string]cached{}
		return &override{naive: s, list: func(ctx context.Context, q apikey.Query) (apikey.Page, error) {
			page, err := s.List(ctx, q)
			s.mu.Lock()
			defer s.mu.Unlock()
			for i, k := range page.Keys {
				if c := cache[k.ID]; c.version == k.Version && c.used == k.Usage.Requests {
					page.Keys[i] = c.key
					continue
				}
				cache[k.ID] = cached{k, k.Version, k.Usage.Requests}
			}
			return page, err
		}}
	}},
	{"times of use shared by pages", "What List returns is the caller's", listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		page, err := s.List(ctx, q)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, k := range page.Keys {
			if c := s.counts[k.ID]; c != nil {
				k.Usage.LastUsed = c.total.LastUsed
			}
		}
		return page, err
	})},
	{"fields of changes shared", "What Usage and History return is the caller's", func(s *naive) apikey.Store {
		return &override{naive: s, history: func(ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
			page, err := s.History(ctx, q)
			s.mu.Lock()
			defer s.mu.Unlock()
			for i := range page.Changes {
				for _, c := range s.changes {
					if c.KeyID == page.Changes[i].KeyID && c.At.Equal(page.Changes[i].At) {
						page.Changes[i].Fields = c.Fields
					}
				}
			}
			return page, err
		}}
	}},
	{"points shared", "What Usage and History return is the caller's", func(s *naive) apikey.Store {
		cache := map[string][]apikey.UsagePoint{}
		return &override{naive: s, usage: func(ctx context.Context, id string, q apikey.UsageQuery) ([]apikey.UsagePoint, error) {
			points, err := s.Usage(ctx, id, q)
			s.mu.Lock()
			defer s.mu.Unlock()
			if cache[id] == nil || len(cache[id]) != len(points) {
				cache[id] = points
			}
			return cache[id], err
		}}
	}},
	{"fields of a Write kept", "Arguments are the caller's again after the call", changing(func(changes []apikey.Change, w apikey.Write, err error) []apikey.Change {
		if err == nil {
			changes[len(changes)-1].Fields = w.Fields
		}
		return changes
	})},
	{"a batch kept for later", "Arguments are the caller's again after the call", func(s *naive) apikey.Store {
		var kept []apikey.UsageBatch
		return &override{
			naive: s,
			addUsage: func(ctx context.Context, b apikey.UsageBatch) error {
				s.mu.Lock()
				defer s.mu.Unlock()
				kept = append(kept, b)
				return ctx.Err()
			},
			list: func(ctx context.Context, q apikey.Query) (apikey.Page, error) {
				s.mu.Lock()
				all := slices.Clone(kept)
				s.mu.Unlock()
				for _, b := range all {
					_ = s.AddUsage(ctx, b)
				}
				return s.List(ctx, q)
			},
		}
	}},
	{"IDs sorted in place", "Arguments are the caller's again after the call", listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		page, err := s.List(ctx, q)
		slices.Sort(q.IDs)
		return page, err
	})},
	{"a batch changed in place", "Arguments are the caller's again after the call", adding(func(s *naive, ctx context.Context, b apikey.UsageBatch) error {
		err := s.AddUsage(ctx, b)
		slices.Reverse(b.Entries)
		return err
	})},
	{"Unwrap gives a Store of its own", "Unwrap gives another Store with the same keys", func(s *naive) apikey.Store { return wrapper{s, newNaive()} }},
	{"Unwrap gives nothing", "Unwrap gives another Store with the same keys", func(s *naive) apikey.Store { return wrapper{s, nil} }},
}
