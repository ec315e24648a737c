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

// editing changes each record on its way in.
func editing(s *naive, edit func(*apikey.Record) *apikey.Record) apikey.Store {
	return &override{
		naive: s,
		create: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			return s.Create(ctx, edit(rec), w)
		},
		update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			return s.Update(ctx, edit(rec), w)
		},
	}
}

// matching replaces the meaning of the filters.
func matching(f func(q apikey.Query, k *apikey.Key) bool) func(s *naive) apikey.Store {
	return func(s *naive) apikey.Store {
		s.match = func(q *apikey.Query, k *apikey.Key) bool { return f(*q, k) }
		return s
	}
}

// listing replaces List.
func listing(f func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error)) func(s *naive) apikey.Store {
	return func(s *naive) apikey.Store {
		return &override{naive: s, list: func(ctx context.Context, q apikey.Query) (apikey.Page, error) { return f(s, ctx, q) }}
	}
}

// ordering replaces the order.
func ordering(f func(a, b *apikey.Key) int) func(s *naive) apikey.Store {
	return func(s *naive) apikey.Store { s.order = f; return s }
}

var brokenRecords = []broken{
	{"a column too short", "A record comes back byte for byte", func(s *naive) apikey.Store {
		return editing(s, func(rec *apikey.Record) *apikey.Record {
			k := rec.Key()
			if len(k.Name) <= 255 {
				return rec
			}
			k.Name = k.Name[:255]
			return record(k)
		})
	}},
	{"metadata of 4 KiB cut", "A record comes back byte for byte", func(s *naive) apikey.Store {
		return editing(s, func(rec *apikey.Record) *apikey.Record {
			k := rec.Key()
			for name, v := range k.Metadata {
				k.Metadata[name] = v[:min(len(v), 4000)]
			}
			if len(k.Metadata["big"]) < 4000 {
				return rec
			}
			return record(k)
		})
	}},
	{"records rebuilt from columns", "A record of a later form keeps what this version cannot read", func(s *naive) apikey.Store {
		return editing(s, func(rec *apikey.Record) *apikey.Record { return record(rec.Key()) })
	}},
	{"List without metadata", "List returns every field of a key", listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		page, err := s.List(ctx, q)
		for _, k := range page.Keys {
			k.Metadata = nil
		}
		return page, err
	})},
	{"sorted by milliseconds", "Times keep their microseconds, from 1970 to 9999", ordering(func(a, b *apikey.Key) int {
		const ms = time.Millisecond
		return cmp.Or(b.CreatedAt.Truncate(ms).Compare(a.CreatedAt.Truncate(ms)), strings.Compare(b.ID, a.ID))
	})},
	{"nanoseconds overflow in 2262", "Times keep their microseconds, from 1970 to 9999", ordering(func(a, b *apikey.Key) int {
		return cmp.Or(cmp.Compare(b.CreatedAt.UnixNano(), a.CreatedAt.UnixNano()), strings.Compare(b.ID, a.ID))
	})},
}

var brokenLists = []broken{
	{"sorted by time only", "List goes newest first, then by ID, both descending", ordering(func(a, b *apikey.Key) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(a.ID, b.ID))
	})},
	{"oldest first", "List goes newest first, then by ID, both descending", ordering(func(a, b *apikey.Key) int { return listOrder(b, a) })},
	{"IDs sorted without case", "List goes newest first, then by ID, both descending", ordering(func(a, b *apikey.Key) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(fold(b.ID), fold(a.ID)), strings.Compare(b.ID, a.ID))
	})},
	{"the cursor by time alone", "List's pages together hold every key once", ordering(func(a, b *apikey.Key) int {
		if a.Owner == "" || b.Owner == "" { // one of them is the cursor's
			return b.CreatedAt.Compare(a.CreatedAt)
		}
		return listOrder(a, b)
	})},
	{"the cursor's key again", "List's pages together hold every key once", listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		page, err := s.List(ctx, q)
		if created, id, _ := q.Position(); err == nil && id != "" && len(page.Keys) > 0 {
			page.Keys = append([]*apikey.Key{{ID: id, CreatedAt: created}}, page.Keys[:len(page.Keys)-1]...)
		}
		return page, err
	})},
	{"the last page left out", "List's pages together hold every key once", listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		page, err := s.List(ctx, q)
		if len(page.Keys) < q.Limit && q.After != "" {
			page.Keys = nil
		}
		return page, err
	})},
	{"Limit ignored", "List's pages together hold every key once", listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		q.Limit = 1000
		return s.List(ctx, q)
	})},
	{"Next without an end", "List's pages together hold every key once", listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		page, err := s.List(ctx, q)
		if created, id, _ := q.Position(); err == nil && page.Next == "" {
			page.Next = q.CursorAt(cmp.Or(created, epoch), cmp.Or(id, "Key000000000"))
		}
		return page, err
	})},
	{"a cursor of its own making", "List's pages together hold every key once", listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		page, err := s.List(ctx, q)
		if page.Next != "" {
			page.Next = "2"
		}
		return page, err
	})},
	{"paging by a count of rows", "List pages over inserts and deletes", func(s *naive) apikey.Store {
		rows := map[apikey.Cursor]int{}
		return &override{naive: s, list: func(ctx context.Context, q apikey.Query) (apikey.Page, error) {
			whole := q
			whole.After, whole.Limit = "", 1<<30
			page, err := s.List(ctx, whole)
			if _, _, perr := q.Position(); err != nil || perr != nil {
				return apikey.Page{}, errors.Join(err, perr)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			from := min(rows[q.After], len(page.Keys))
			to := min(from+q.Limit, len(page.Keys))
			if to < len(page.Keys) {
				page.Next = q.CursorAt(page.Keys[to-1].CreatedAt, page.Keys[to-1].ID)
				rows[page.Next] = to
			}
			page.Keys = page.Keys[from:to]
			return page, nil
		}}
	}},
	{"the cursor's key must be there", "List pages over inserts and deletes", listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		if _, id, _ := q.Position(); id != "" {
			if _, err := s.Get(ctx, id); err != nil {
				return apikey.Page{}, ignoring(err, apikey.ErrNotFound)
			}
		}
		return s.List(ctx, q)
	})},
	{"Update takes a key out for a moment", "List pages under concurrent writes", func(s *naive) apikey.Store {
		return &override{naive: s, update: func(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
			if err := s.Update(ctx, rec, w); err != nil {
				return err
			}
			s.mu.Lock()
			delete(s.recs, rec.ID())
			s.mu.Unlock()
			pause()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.recs[rec.ID()] = rec
			return nil
		}}
	}},
	{"lists end after 200 keys", "List pages through 10,000 keys", listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		page, err := s.List(ctx, q)
		page.Keys = page.Keys[:min(200, len(page.Keys))]
		return page, err
	})},
	{"any cursor is taken", "A cursor that was altered or is of another query is ErrInvalid", listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		if _, _, err := q.Position(); err != nil {
			q.After = ""
		}
		return s.List(ctx, q)
	})},
	{"no owner is all owners", "List shows the keys of q.Owner alone, and of all only with AllOwners", matching(func(q apikey.Query, k *apikey.Key) bool {
		q.AllOwners = q.AllOwners || q.Owner == ""
		return q.Match(k)
	})},
	{"AllOwners ignored", "List shows the keys of q.Owner alone, and of all only with AllOwners", matching(func(q apikey.Query, k *apikey.Key) bool {
		q.AllOwners = q.AllOwners && q.Owner == ""
		return q.Match(k)
	})},
	{"IDs of other owners' keys", "List shows the keys of q.Owner alone, and of all only with AllOwners", matching(func(q apikey.Query, k *apikey.Key) bool {
		q.AllOwners = q.AllOwners || q.IDs != nil
		return q.Match(k)
	})},
}

var brokenFilters = []broken{
	{"own clock in the states", "States go by q.At", matching(func(q apikey.Query, k *apikey.Key) bool {
		q.At = time.Now()
		return q.Match(k)
	})},
	{"an expired key is never disabled", "States go by q.At", matching(func(q apikey.Query, k *apikey.Key) bool {
		if !k.ExpiresAt.IsZero() && !q.At.Before(k.ExpiresAt) {
			c := *k
			c.DisabledAt = time.Time{}
			k = &c
		}
		return q.Match(k)
	})},
	{"no state is any state", "States go by q.At", matching(func(q apikey.Query, k *apikey.Key) bool {
		if len(q.States) == 0 {
			q.States = nil
		}
		return q.Match(k)
	})},
	{"never used is not unused", "UnusedSince goes by last use, or by creation if there was none", matching(func(q apikey.Query, k *apikey.Key) bool {
		return q.Match(k) && (q.UnusedSince.IsZero() || !k.Usage.LastUsedAt.IsZero())
	})},
	{"unused up to and including", "UnusedSince goes by last use, or by creation if there was none", matching(func(q apikey.Query, k *apikey.Key) bool {
		if !q.UnusedSince.IsZero() {
			q.UnusedSince = q.UnusedSince.Add(time.Microsecond)
		}
		return q.Match(k)
	})},
	{"rotated by the older secret", "RotatedBefore goes by the newest secret", matching(func(q apikey.Query, k *apikey.Key) bool {
		c := *k
		c.Secrets = k.Secrets[len(k.Secrets)-1:]
		return q.Match(&c)
	})},
	{"no expiry is before all", "ExpiresBefore leaves out keys that do not expire", matching(func(q apikey.Query, k *apikey.Key) bool {
		if k.ExpiresAt.IsZero() {
			q.ExpiresBefore = time.Time{}
		}
		return q.Match(k)
	})},
	{"an empty list is any", "IDs narrow: nil is any, an empty list none", matching(func(q apikey.Query, k *apikey.Key) bool {
		if len(q.IDs) == 0 {
			q.IDs = nil
		}
		return q.Match(k)
	})},
	{"IDs match aliases", "IDs narrow: nil is any, an empty list none", matching(func(q apikey.Query, k *apikey.Key) bool {
		if k.Alias != "" && slices.Contains(q.IDs, k.Alias) {
			q.IDs = nil
		}
		return q.Match(k)
	})},
	{"at most 100 IDs", "IDs narrow: nil is any, an empty list none", listing(func(s *naive, ctx context.Context, q apikey.Query) (apikey.Page, error) {
		if len(q.IDs) > 100 {
			return apikey.Page{}, errors.New("too many parameters")
		}
		return s.List(ctx, q)
	})},
	{"case-folded environment", "Environment is exact", matching(func(q apikey.Query, k *apikey.Key) bool {
		if strings.EqualFold(q.Environment, k.Environment) {
			q.Environment = k.Environment
		}
		return q.Match(k)
	})},
	{"IDs instead of states", "Query.Match is the meaning of all filters together", matching(func(q apikey.Query, k *apikey.Key) bool {
		if q.IDs != nil {
			q.States = nil
		}
		return q.Match(k)
	})},
	{"LIKE not escaped", "Text is a plain substring", matching(func(q apikey.Query, k *apikey.Key) bool {
		text := q.Text
		q.Text = ""
		pattern := "%" + apikey.Fold(text) + "%"
		return q.Match(k) && (text == "" || like(pattern, apikey.Fold(k.Name)) || like(pattern, apikey.Fold(k.Description)))
	})},
	{"trimmed text", "Text is a plain substring", matching(func(q apikey.Query, k *apikey.Key) bool {
		q.Text = strings.TrimSpace(q.Text)
		return q.Match(k)
	})},
	{"lower case for folding", "Text folds case as apikey.Fold does", matching(substring(strings.ToLower))},
	{"text with case", "Text folds case as apikey.Fold does", matching(substring(same))},
	{"ASCII folding", "Text folds case as apikey.Fold does", matching(substring(func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' {
				r += 'a' - 'A'
			}
			return r
		}, s)
	}))},
	{"text without accents", "Text folds case as apikey.Fold does", matching(substring(func(s string) string {
		return apikey.Fold(strings.NewReplacer("\u00e9", "e", "\u00c9", "e", "\u0301", "").Replace(s))
	}))},
	{"name only", "Text looks into name and description, and no further", matching(func(q apikey.Query, k *apikey.Key) bool {
		c := *k
		c.Description = ""
		return q.Match(&c)
	})},
	{"name and description joined", "Text looks into name and description, and no further", matching(func(q apikey.Query, k *apikey.Key) bool {
		c := *k
		c.Name += " " + c.Description
		return q.Match(&c)
	})},
}

// substring is the text filter by another folding.
func substring(fold func(string) string) func(q apikey.Query, k *apikey.Key) bool {
	return func(q apikey.Query, k *apikey.Key) bool {
		text := fold(q.Text)
		q.Text = ""
		return q.Match(k) && (strings.Contains(fold(k.Name), text) || strings.Contains(fold(k.Description), text))
	}
}

// like is LIKE of SQL, without an escape.
func like(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	if pattern[0] == '%' {
		pattern = strings.TrimLeft(pattern, "%")
		for i := range len(s) + 1 {
			if like(pattern, s[i:]) {
				return true
			}
		}
		return false
	}
	return s != "" && (pattern[0] == '_' || pattern[0] == s[0]) && like(pattern[1:], s[1:])
}
