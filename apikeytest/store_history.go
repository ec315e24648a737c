package apikeytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

var historyPromises = []promise{
	{
		name:  "History returns each Change as it was written",
		needs: historian,
		fix:   "store every field of the Change, times in microseconds and UTC",
		check: checkChanges,
	},
	{
		name:  "History holds the Change of every write, and of no refused one",
		needs: historian,
		fix:   "insert the Change in the transaction of its write, so that they stand or fall together",
		check: checkHistoryWrites,
	},
	{
		name:  "History goes newest first, as stored, whatever At says",
		needs: historian,
		fix:   "number the changes as they are stored and order by that number, descending",
		check: checkHistoryOrder,
	},
	{
		name:  "History filters by owner and key",
		needs: historian,
		fix:   "filter by owner, unless AllOwners, and by key where KeyID is set, byte by byte; no owner without AllOwners is nobody's",
		check: checkHistoryFilters,
	},
	{
		name:  "History's pages together hold every change once",
		needs: historian,
		fix:   "go on with changes older than q.Position, at most Limit of them; changes stored meanwhile are newer and do not shift what follows",
		check: checkHistoryPages,
	},
	{
		name:  "History stays after Delete",
		needs: historian,
		fix:   "do not tie the history to the key by a foreign key that cascades",
		check: checkHistoryDelete,
	},
	{
		name:  "History's cursor that was altered or is of another query is ErrInvalid",
		needs: historian,
		fix:   "take the position from q.Position and return its error",
		check: checkHistoryCursor,
	},
}

// historyLimit is the Limit of a query without one.
const historyLimit = 100

// history is all pages of q. between is called after each.
func history(ctx context.Context, s apikey.Store, q apikey.HistoryQuery, between ...func() error) ([]apikey.Change, error) {
	h, ok := s.(apikey.Historian)
	if !ok {
		return nil, apikey.ErrUnsupported
	}
	var all []apikey.Change
	q.Limit = cmp.Or(q.Limit, historyLimit)
	call := fmt.Sprintf("History(AllOwners: %v Owner: %q KeyID: %q Limit: %d)", q.AllOwners, q.Owner, q.KeyID, q.Limit)
	for {
		page, err := h.History(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", call, err)
		}
		if len(page.Changes) > q.Limit {
			return nil, fmt.Errorf("%s: %d changes in a page", call, len(page.Changes))
		}
		all = append(all, page.Changes...)
		if page.Next == "" {
			return all, nil
		}
		before, err := q.Position()
		if err != nil {
			return nil, err
		}
		first := q.After == ""
		q.After = page.Next
		after, err := q.Position()
		if err != nil {
			return nil, fmt.Errorf("%s: Next is not q.CursorAt of a change: %w", call, err)
		}
		if !first && after >= before {
			return nil, fmt.Errorf("%s: Next is at change %d although the page began below change %d", call, after, before)
		}
		for _, f := range between {
			if err := f(); err != nil {
				return nil, err
			}
		}
	}
}

// historyIs reports what is wrong if q does not give exactly changes, which
// are in the order in which they were stored.
func (e *storeEnv) historyIs(ctx context.Context, q apikey.HistoryQuery, changes []apikey.Change) error {
	got, err := history(ctx, e.Store, q)
	if err != nil {
		return err
	}
	changes = slices.Clone(changes)
	slices.Reverse(changes)
	if d := diff(changes, got); d != "" {
		return fmt.Errorf("History(AllOwners: %v Owner: %.40q KeyID: %q) (-want +got):\n%s", q.AllOwners, q.Owner, q.KeyID, d)
	}
	return nil
}

func checkChanges(ctx context.Context, e *storeEnv) error {
	owner := strings.Repeat("ö", 127) + "x" // 255 bytes
	changes := []apikey.Change{
		{At: epoch.Add(123456 * time.Microsecond), Actor: "suite", Action: "create"},
		{At: time.UnixMicro(1).UTC(), Action: "end-rotation", Fields: []apikey.FieldChange{}},
		{At: lastMoment, Actor: strings.Repeat("日", 85), Action: "update", Fields: []apikey.FieldChange{
			{Name: "name", Old: "", New: `it's "100%" \ _`},
			{Name: "name", Old: "\u00e9", New: "e\u0301"},
			{Name: "description", Old: " \n\t", New: "🔑"},
			{},
		}},
		{At: epoch, Actor: " ", Action: "rehash", Fields: []apikey.FieldChange{
			{Name: "description", Old: strings.Repeat("\U0001F511", 1024), New: strings.Repeat("\U0001F512", 1024)},
			{Name: "permissions", Old: strings.Repeat("p", 129_000), New: strings.Repeat("q", 129_000)},
			{Name: "metadata", Old: strings.Repeat("m", 4096), New: strings.Repeat("n", 4096)},
		}},
	}
	for i := range changes {
		c := &changes[i]
		k := testKey(i, owner)
		c.KeyID, c.Owner = k.ID, owner
		if err := e.Create(ctx, record(k), apikey.Write{Change: *c, MaxKeys: noCap}); err != nil {
			return fmt.Errorf("Create: %w", err)
		}
	}
	return e.historyIs(ctx, apikey.HistoryQuery{Owner: owner}, changes)
}

func checkHistoryWrites(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	k.Alias = "~legacy:1"
	var stored []apikey.Change
	n := 0
	try := func(target error, call string, do func(w apikey.Write) error, maxKeys int) error {
		n++
		w := write(call, k, maxKeys)
		w.Actor = fmt.Sprint("actor ", n)
		if err := want(target, do(w), "%s, call %d", call, n); err != nil {
			return err
		}
		if target == nil {
			stored = append(stored, w.Change)
		}
		if err := e.historyIs(ctx, apikey.HistoryQuery{AllOwners: true}, stored); err != nil {
			return fmt.Errorf("after %s, which gave %w: %w", call, orNil(target), err)
		}
		return nil
	}
	create := func(w apikey.Write) error { return e.Create(ctx, record(k), w) }
	update := func(v int64) func(apikey.Write) error {
		return func(w apikey.Write) error {
			k.Version = v
			return e.Update(ctx, record(k), w)
		}
	}
	remove := func(w apikey.Write) error { return e.Delete(ctx, k.ID, w) }
	ended, cancel := context.WithCancel(ctx)
	cancel()
	return first([]error{
		try(apikey.ErrNotFound, "Update", update(2), noCap),
		try(apikey.ErrNotFound, "Delete", remove, noCap),
		try(apikey.ErrKeyQuota, "Create", func(w apikey.Write) error { k.Version = 1; return create(w) }, 0),
		try(nil, "Create", create, 1),
		try(apikey.ErrExists, "Create", create, noCap),
		try(nil, "Update", update(2), noCap),
		try(apikey.ErrConflict, "Update", update(2), noCap),
		try(apikey.ErrConflict, "Update", update(4), noCap),
		try(apikey.ErrKeyQuota, "Update", update(3), 0),
		try(context.Canceled, "Update", func(w apikey.Write) error { k.Version = 3; return e.Update(ended, record(k), w) }, noCap),
		try(nil, "Update", update(3), 1),
		try(context.Canceled, "Delete", func(w apikey.Write) error { return e.Delete(ended, k.ID, w) }, noCap),
		try(nil, "Delete", remove, noCap),
		try(apikey.ErrNotFound, "Delete", remove, noCap),
		try(apikey.ErrNotFound, "Update", update(4), noCap),
		try(apikey.ErrExists, "Create", create, noCap),
	})
}

func checkHistoryOrder(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	k.Metadata = map[string]string{"n": "0"}
	var stored []apikey.Change
	for v, at := range []time.Duration{3, 1, 2, 2, 5, -4} {
		k.Version = int64(v + 1)
		w := writeAt(epoch.Add(at*time.Hour), k, noCap)
		do := e.Update
		if v == 0 {
			do = e.Create
		}
		if err := do(ctx, record(k), w); err != nil {
			return fmt.Errorf("write of version %d: %w", k.Version, err)
		}
		stored = append(stored, w.Change)
	}
	if err := e.historyIs(ctx, apikey.HistoryQuery{Owner: "acct"}, stored); err != nil {
		return err
	}
	errs := together(6, func(int) error {
		return first([]error{e.increment(ctx, k.ID), e.increment(ctx, k.ID), e.increment(ctx, k.ID)})
	})
	if err := first(errs); err != nil {
		return err
	}
	changes, err := history(ctx, e.Store, apikey.HistoryQuery{KeyID: k.ID, AllOwners: true})
	if err != nil {
		return err
	}
	if len(changes) != 24 {
		return fmt.Errorf("History has %d changes of a key at version 24", len(changes))
	}
	for i, c := range changes {
		if len(c.Fields) != 1 || c.Fields[0].New != fmt.Sprint(24-i) {
			return fmt.Errorf("History's change %d of a key at version 24, written by many at once, made %+v, want version %d", i, c.Fields, 24-i)
		}
	}
	return nil
}

// storedChanges makes n keys of owners a, b and ab, and gives the changes.
func (e *storeEnv) storedChanges(ctx context.Context, n int) ([]apikey.Change, error) {
	stored := make([]apikey.Change, 0, 2*n)
	for i := range n {
		k := testKey(i, []string{"a", "b", "ab"}[i%3])
		stored = append(stored, write("create", k, noCap).Change)
		if err := e.add(ctx, k); err != nil {
			return nil, err
		}
		if i%2 == 0 {
			k.Version = 2
			stored = append(stored, write("update", k, noCap).Change)
			if err := e.change(ctx, k.ID, func(*apikey.Key) {}); err != nil {
				return nil, err
			}
		}
	}
	return stored, nil
}

func checkHistoryFilters(ctx context.Context, e *storeEnv) error {
	stored, err := e.storedChanges(ctx, 12)
	if err != nil {
		return err
	}
	for _, q := range []apikey.HistoryQuery{
		{},
		{AllOwners: true},
		{AllOwners: true, Owner: "a"},
		{Owner: "a"},
		{Owner: "b"},
		{Owner: "A"},
		{Owner: "a "},
		{Owner: "%"},
		{Owner: "a", KeyID: stored[0].KeyID},
		{Owner: "b", KeyID: stored[0].KeyID},
		{AllOwners: true, KeyID: stored[0].KeyID},
		{AllOwners: true, KeyID: strings.ToUpper(stored[0].KeyID)},
		{KeyID: stored[0].KeyID},
		{AllOwners: true, KeyID: "Key%"},
	} {
		var changes []apikey.Change
		for _, c := range stored {
			if (q.AllOwners || c.Owner == q.Owner) && (q.KeyID == "" || c.KeyID == q.KeyID) {
				changes = append(changes, c)
			}
		}
		if err := e.historyIs(ctx, q, changes); err != nil {
			return err
		}
	}
	return nil
}

func checkHistoryPages(ctx context.Context, e *storeEnv) error {
	stored, err := e.storedChanges(ctx, 20)
	if err != nil {
		return err
	}
	for _, limit := range []int{1, 2, 7, len(stored) - 1, len(stored), len(stored) + 1, 1000} {
		for _, q := range []apikey.HistoryQuery{{AllOwners: true}, {Owner: "a"}, {AllOwners: true, KeyID: stored[0].KeyID}} {
			q.Limit = limit
			var changes []apikey.Change
			for _, c := range stored {
				if (q.AllOwners || c.Owner == q.Owner) && (q.KeyID == "" || c.KeyID == q.KeyID) {
					changes = append(changes, c)
				}
			}
			if err := e.historyIs(ctx, q, changes); err != nil {
				return err
			}
		}
	}
	n := 100
	got, err := history(ctx, e.Store, apikey.HistoryQuery{AllOwners: true, Limit: 3}, func() error {
		n++
		k := testKey(n, "a")
		return errors.Join(e.add(ctx, k), e.remove(ctx, k))
	})
	if err != nil {
		return err
	}
	slices.Reverse(stored)
	if d := diff(stored, got); d != "" {
		return fmt.Errorf("History, in pages of 3 while changes were stored (-want +got):\n%s", d)
	}
	return nil
}

func checkHistoryDelete(ctx context.Context, e *storeEnv) error {
	stored, err := e.storedChanges(ctx, 4)
	if err != nil {
		return err
	}
	for i := range 4 {
		k := testKey(i, []string{"a", "b", "ab"}[i%3])
		k.Version = 3
		stored = append(stored, write("delete", k, noCap).Change)
		if err := e.remove(ctx, k); err != nil {
			return err
		}
		if err := e.historyIs(ctx, apikey.HistoryQuery{AllOwners: true}, stored); err != nil {
			return fmt.Errorf("after Delete: %w", err)
		}
	}
	return nil
}

func checkHistoryCursor(ctx context.Context, e *storeEnv) error {
	h, ok := e.Store.(apikey.Historian)
	if _, err := e.storedChanges(ctx, 12); err != nil || !ok {
		return err
	}
	page, err := h.History(ctx, apikey.HistoryQuery{Owner: "a", Limit: 2})
	if err != nil {
		return fmt.Errorf("History: %w", err)
	}
	if page.Next == "" {
		return fmt.Errorf("History of 6 changes: Next is empty after %d of them", len(page.Changes))
	}
	altered := []byte(page.Next)
	altered[len(altered)/2] ^= 1
	for what, q := range map[string]apikey.HistoryQuery{
		"altered":          {Owner: "a", After: apikey.Cursor(altered)},
		"cut short":        {Owner: "a", After: page.Next[:len(page.Next)-4]},
		"of another owner": {Owner: "b", After: page.Next},
		"of another key":   {Owner: "a", KeyID: "Key000000000", After: page.Next},
	} {
		q.Limit = 2
		_, err := h.History(ctx, q)
		if err := want(apikey.ErrInvalid, err, "History with a cursor %s", what); err != nil {
			return err
		}
	}
	return nil
}
