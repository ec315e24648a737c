package memstore

import (
	"context"
	"slices"
	"strings"

	"github.com/go-apikey/apikey"
)

// history is a ring of the newest changes, numbered 1, 2, … as they are made.
type history struct {
	limit   int
	changes []apikey.Change // the n-th one is at (n-1) % limit
	n       int64           // number of the newest
}

func (h *history) add(c *apikey.Change) {
	if h.limit == 0 {
		return
	}
	entry := *c
	entry.KeyID, entry.Owner = strings.Clone(c.KeyID), strings.Clone(c.Owner) // they may be parts of a record, which would stay in memory
	entry.Fields = slices.Clone(c.Fields)
	if len(h.changes) < h.limit {
		h.changes = append(h.changes, entry)
	} else {
		h.changes[h.n%int64(h.limit)] = entry
	}
	h.n++
}

// History is as [apikey.Historian] says. Changes beyond Config.MaxHistory are
// forgotten, oldest first. One call looks at 10,000 changes at most.
func (s *Store) History(ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
	if err := ctx.Err(); err != nil {
		return apikey.HistoryPage{}, readEnded(err)
	}
	after, err := q.Position()
	if err != nil {
		return apikey.HistoryPage{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	h := &s.history
	if q.After == "" || after > h.n {
		after = h.n + 1
	}
	after = max(after, 1) // a cursor is not secret: anyone can make one of any number
	var page apikey.HistoryPage
	oldest := h.n - int64(len(h.changes)) + 1
	for n := after - 1; n >= oldest; n-- {
		if len(page.Changes) == max(q.Limit, 1) || after-1-n == maxScan {
			page.Next = q.CursorAt(n + 1)
			break
		}
		c := h.changes[(n-1)%int64(h.limit)]
		if (q.AllOwners || q.Owner != "" && c.Owner == q.Owner) && (q.KeyID == "" || c.KeyID == q.KeyID) {
			c.Fields = slices.Clone(c.Fields)
			page.Changes = append(page.Changes, c)
		}
	}
	return page, nil
}
