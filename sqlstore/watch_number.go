package sqlstore

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

const (
	// windowBegin is how far back in the numbers somebody may have yet to commit
	// when a feed begins.
	windowBegin = 1000
	// graceMissing is how long a number may be on its way from the counter to its
	// row. After that who has it holds a lock on the row, or gave it up.
	graceMissing = time.Minute
	maxMissing   = 10_000
)

// numberFeed is the feed where changes are numbered before they are committed:
// what has a higher number than the last one is new, and so is what turns up of
// the numbers that were missing. On SQLite, where one writes at a time, none is.
type numberFeed struct {
	store   *Store
	last    int64
	server  string
	missing map[int64]time.Time // since when; nil: nothing is committed late
}

func (f *numberFeed) begin(ctx context.Context) error {
	err := f.store.read(ctx, func(x *session) error {
		return x.row(ctx, f.store.sql.feedNow, nil).Scan(&f.last, &f.server)
	})
	if err != nil || f.missing == nil {
		return err
	}
	f.last = max(f.last-windowBegin, 0)
	_, _, err = f.news(ctx)
	return err
}

func (f *numberFeed) next(ctx context.Context) (refs []string, all bool, err error) {
	if f.missing == nil {
		return f.news(ctx)
	}
	var last int64
	var server string
	err = f.store.read(ctx, func(x *session) error { return x.row(ctx, f.store.sql.feedNow, nil).Scan(&last, &server) })
	if err != nil {
		return nil, false, err
	}
	if server != f.server || last < f.last && last != 0 { // 0: all was pruned
		return nil, false, errOtherServer
	}
	late, err := f.late(ctx)
	if err != nil {
		return nil, false, err
	}
	refs, all, err = f.news(ctx)
	return append(late, refs...), all || len(f.missing) > maxMissing, err
}

// news are the changes with higher numbers than the last one.
func (f *numberFeed) news(ctx context.Context) (refs []string, all bool, err error) {
	refs, numbers, err := f.changes(ctx, f.store.sql.feedNext, args{"n": f.last, "number": int64(maxTold)})
	if err != nil {
		return nil, false, err
	}
	for _, n := range numbers {
		for m := max(f.last+1, n-maxMissing); m < n && f.missing != nil; m++ {
			f.missing[m] = time.Now()
		}
		f.last = n
	}
	return refs, false, nil
}

// late are changes whose numbers were missing before.
func (f *numberFeed) late(ctx context.Context) (refs []string, err error) {
	if len(f.missing) == 0 {
		return nil, nil
	}
	refs, found, err := f.changes(ctx, f.store.sql.feedPending, args{"rows": numbers(f.missing, 0)})
	if err != nil {
		return nil, err
	}
	for _, n := range found {
		delete(f.missing, n)
	}
	return refs, f.giveUp(ctx)
}

// changes are what a statement finds in the feed: the refs told of, and the
// numbers of the changes.
func (f *numberFeed) changes(ctx context.Context, st *statement, a args) (refs []string, found []int64, err error) {
	err = f.store.read(ctx, func(x *session) error {
		refs, found = nil, nil
		rows, err := x.rows(ctx, st, a)
		if err != nil {
			return err
		}
		return eachRow(rows, func(scan func(...any) error) error {
			var n int64
			var id, alias string
			if err := scan(&n, &id, &alias); err != nil {
				return err
			}
			refs, found = addRefs(refs, id, alias), append(found, n)
			return nil
		})
	})
	return refs, found, err
}

// giveUp forgets the numbers that were missing for long and that nobody holds:
// their transactions were rolled back.
func (f *numberFeed) giveUp(ctx context.Context) error {
	old := numbers(f.missing, graceMissing)
	if old == "[]" {
		return nil
	}
	rows, err := f.store.db.QueryContext(ctx, f.store.sql.feedInFlight.text, old)
	if err == nil {
		err = eachRow(rows, func(scan func(...any) error) error { // it came meanwhile: the next poll tells
			var n int64
			err := scan(&n)
			f.missing[n] = time.Now()
			return err
		})
	}
	if f.store.dialect.lockedNow(err) {
		return nil
	}
	if err != nil {
		return err
	}
	maps.DeleteFunc(f.missing, func(_ int64, since time.Time) bool { return time.Since(since) > graceMissing })
	return nil
}

// numbers is a JSON list of those that are missing for longer than this.
func numbers(missing map[int64]time.Time, longer time.Duration) string {
	list := []int64{}
	for n, since := range missing {
		if time.Since(since) > longer {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	b, _ := json.Marshal(list) // of integers
	return string(b)
}
