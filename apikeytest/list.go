package apikeytest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// listOrder orders as List does: newest first, then by ID, both descending.
func listOrder(a, b *apikey.Key) int {
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
}

// page is one List, checked for all that holds of any page.
func (e *storeEnv) page(ctx context.Context, q apikey.Query) (apikey.Page, error) {
	page, err := e.List(ctx, q)
	if err != nil {
		return page, fmt.Errorf("List(%s): %w", describe(q), err)
	}
	if len(page.Keys) > q.Limit {
		return page, fmt.Errorf("List(%s): %d keys with Limit %d", describe(q), len(page.Keys), q.Limit)
	}
	created, id, err := q.Position()
	if err != nil {
		return page, err
	}
	last := &apikey.Key{ID: id, CreatedAt: created}
	if q.After == "" {
		last.CreatedAt = lastMoment.Add(time.Hour)
	}
	for _, k := range page.Keys {
		if k == nil {
			return page, fmt.Errorf("List(%s): a nil Key", describe(q))
		}
		if listOrder(last, k) >= 0 {
			return page, fmt.Errorf("List(%s): %s made at %v comes after %s made at %v; the order is newest first, then by ID, both descending, each key once",
				describe(q), k.ID, k.CreatedAt, last.ID, last.CreatedAt)
		}
		last = k
	}
	if page.Next == "" {
		return page, nil
	}
	next := q
	next.After = page.Next
	created, id, err = next.Position()
	if err != nil {
		return page, fmt.Errorf("List(%s): Next is not q.CursorAt of a key: %w", describe(q), err)
	}
	end := &apikey.Key{ID: id, CreatedAt: created}
	if c := listOrder(last, end); c > 0 || c == 0 && len(page.Keys) == 0 {
		return page, fmt.Errorf("List(%s): Next is the position of %s made at %v, which does not lie beyond %s made at %v",
			describe(q), id, created, last.ID, last.CreatedAt)
	}
	return page, nil
}

// list is all pages of q, of 100 keys unless q has a Limit. between is called
// after each.
func (e *storeEnv) list(ctx context.Context, q apikey.Query, between ...func() error) ([]*apikey.Key, error) {
	var all []*apikey.Key
	q.Limit = cmp.Or(q.Limit, 100)
	for {
		page, err := e.page(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Keys...)
		if page.Next == "" {
			return all, nil
		}
		q.After = page.Next
		for _, f := range between {
			if err := f(); err != nil {
				return nil, err
			}
		}
	}
}

// agree reports what is wrong if List does not give those of keys, which are
// all there are, that q.Match lets through.
func (e *storeEnv) agree(ctx context.Context, q apikey.Query, keys []*apikey.Key) error {
	if q.At.IsZero() {
		q.At = epoch
	}
	var matching []*apikey.Key
	for _, k := range keys {
		if q.Match(k) {
			matching = append(matching, k)
		}
	}
	slices.SortFunc(matching, listOrder)
	got, err := e.list(ctx, q)
	if err != nil {
		return err
	}
	if d := diff(ids(matching), ids(got)); d != "" {
		return fmt.Errorf("List(%s): the IDs (-as Query.Match has it +got):\n%s", describe(q), d)
	}
	if d := diff(matching, got); d != "" {
		return fmt.Errorf("List(%s): the keys (-want +got):\n%s", describe(q), d)
	}
	return nil
}

func ids(keys []*apikey.Key) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.ID
	}
	return out
}

// describe shows the fields of q that are set.
func describe(q apikey.Query) string {
	var b strings.Builder
	field := func(name string, set bool, v any) {
		if set {
			fmt.Fprintf(&b, " %s: %v", name, v)
		}
	}
	field("AllOwners", q.AllOwners, true)
	field("Owner", q.Owner != "", fmt.Sprintf("%.60q", q.Owner))
	field("IDs", q.IDs != nil, fmt.Sprintf("%d of %.60q", len(q.IDs), q.IDs))
	field("Text", q.Text != "", fmt.Sprintf("%q", q.Text))
	field("Environment", q.Environment != "", fmt.Sprintf("%q", q.Environment))
	field("States", q.States != nil, q.States)
	field("UnusedSince", !q.UnusedSince.IsZero(), q.UnusedSince)
	field("RotatedBefore", !q.RotatedBefore.IsZero(), q.RotatedBefore)
	field("ExpiresBefore", !q.ExpiresBefore.IsZero(), q.ExpiresBefore)
	field("At", q.States != nil, q.At)
	field("Limit", true, q.Limit)
	field("After", q.After != "", "a cursor")
	return strings.TrimSpace(b.String())
}
