package memstore

import (
	"context"
	"slices"

	"github.com/go-apikey/apikey"
)

const (
	// maxScan is how many keys or changes one call looks at, so that none takes
	// long: about 20 ms for keys, which are decoded one by one.
	maxScan = 10_000
	// Keys are read under the lock so many at once, as a page may need.
	minBatch, maxBatch = 32, 256
)

// row is a key as the indexes have it, to be decoded outside of the lock.
type row struct {
	rec   *apikey.Record
	usage *usage
}

// List is as [apikey.Store] says. One call looks at 10,000 keys at most.
func (s *Store) List(ctx context.Context, q apikey.Query) (apikey.Page, error) {
	created, id, err := q.Position()
	if err != nil {
		return apikey.Page{}, err
	}
	at := position{owner: q.Owner, created: created, id: id}
	if q.After == "" {
		at.created = endOfTime
	}
	limit := max(q.Limit, 1)
	batch := min(max(limit+1, minBatch), maxBatch) // one more, to see whether it was the last page
	var page apikey.Page
	for looked := 0; ; {
		if err := ctx.Err(); err != nil {
			return apikey.Page{}, readEnded(err)
		}
		rows := s.rows(&q, at, batch)
		for _, row := range rows {
			if len(page.Keys) == limit || looked == maxScan {
				page.Next = q.CursorAt(at.created, at.id)
				return page, nil
			}
			k := row.rec.Key()
			k.Usage = s.readUsage(row.usage)
			if q.Match(k) {
				page.Keys = append(page.Keys, k)
			}
			at.created, at.id = k.CreatedAt, k.ID
			looked++
		}
		if len(rows) < batch {
			return page, nil
		}
	}
}

// rows are the next n keys before at that q may match, newest first; fewer only
// if there are no more.
func (s *Store) rows(q *apikey.Query, at position, n int) []row {
	if q.IDs != nil {
		return s.namedRows(q.IDs, at, n)
	}
	if q.Owner == "" && !q.AllOwners {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	index := &s.byOwner
	if q.AllOwners {
		index = &s.all
	}
	rows := make([]row, 0, n)
	for rec := range index.before(at) {
		if len(rows) == n || !q.AllOwners && rec.Owner() != q.Owner {
			break
		}
		rows = append(rows, row{rec, s.usage[rec.ID()]})
	}
	return rows
}

// namedRows are the next n keys before at that have one of these IDs.
func (s *Store) namedRows(ids []string, at position, n int) []row {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	var rows []row
	s.mu.RLock()
	for _, id := range slices.Compact(ids) {
		if _, rec := s.table.find(id); rec != nil && comparePosition(rec, &at) < 0 {
			rows = append(rows, row{rec, s.usage[rec.ID()]})
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(rows, func(a, b row) int {
		p := positionOf(a.rec)
		return comparePosition(b.rec, &p)
	})
	return rows[:min(len(rows), n)]
}
