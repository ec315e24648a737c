package sqlstore

import (
	"context"
	"encoding/json"
	"math"

	"github.com/go-apikey/apikey"
)

// History is as [apikey.Historian] says: in the order in which the changes
// were written, of one key also that in which they were committed. They are
// there until Prune finds them older than Config.KeepHistory.
func (s *Store) History(ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
	before, err := q.Position()
	if err != nil {
		return apikey.HistoryPage{}, err
	}
	var page apikey.HistoryPage
	err = s.read(ctx, func(x *session) (err error) {
		page, err = x.history(ctx, &q, before)
		return err
	})
	return page, err
}

func (x *session) history(ctx context.Context, q *apikey.HistoryQuery, before int64) (page apikey.HistoryPage, err error) {
	if !q.AllOwners && q.Owner == "" || !q.AllOwners && !storable(q.Owner, 255) || !storable(q.KeyID, 32) {
		return page, nil
	}
	if q.After == "" {
		before = math.MaxInt64
	}
	st := x.store.sql.historyOwner
	switch {
	case q.AllOwners && q.KeyID != "":
		st = x.store.sql.historyKey
	case q.AllOwners:
		st = x.store.sql.historyAll
	case q.KeyID != "":
		st = x.store.sql.historyOwnerKey
	}
	limit := max(q.Limit, 1)
	rows, err := x.rows(ctx, st, args{"before": before, "owner": q.Owner, "id": q.KeyID, "number": int64(limit) + 1})
	if err != nil {
		return page, err
	}
	last := int64(0)
	err = eachRow(rows, func(scan func(...any) error) error {
		var n int64
		var entry []byte
		if err := scan(&n, &entry); err != nil {
			return err
		}
		if len(page.Changes) == limit {
			page.Next = q.CursorAt(last)
			return nil
		}
		last = n
		var c apikey.Change
		if err := json.Unmarshal(entry, &c); err != nil {
			return err
		}
		page.Changes = append(page.Changes, c)
		return nil
	})
	return page, err
}
