package apikeytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-apikey/apikey"
)

var listPromises = []promise{
	{
		name:  "List goes newest first, then by ID, both descending",
		fix:   "order by (created_at DESC, id DESC), IDs compared byte by byte",
		check: checkOrder,
	},
	{
		name:  "List's pages together hold every key once",
		fix:   "go on strictly after q.Position in (created_at, id), both compared; set Next to q.CursorAt of the last key looked at, and to nothing at the end",
		check: checkPages,
	},
	{
		name:  "List pages over inserts and deletes",
		fix:   "page by position (keyset), not by a count of rows, and do not look for the cursor's key: it may be gone",
		check: checkPagesShift,
	},
	{
		name:  "List pages under concurrent writes",
		fix:   "page by position (keyset) and read each page in one snapshot",
		check: checkPagesAtOnce,
	},
	{
		name:  "List pages through 10,000 keys",
		fix:   "page on an index over (owner, created_at, id)",
		check: checkLongList,
	},
	{
		name:  "A cursor that was altered or is of another query is ErrInvalid",
		fix:   "take the position from q.Position and return its error",
		check: checkCursor,
	},
	{
		name:  "List shows the keys of q.Owner alone, and of all only with AllOwners",
		fix:   "filter by owner first; an empty Owner without AllOwners matches nothing",
		check: checkListOwner,
	},
}

func checkOrder(ctx context.Context, e *storeEnv) error {
	var keys []*apikey.Key
	for i, id := range []string{
		"bbbbbbb", "BBBBBBB", "aaaaaaa", "AAAAAAA", "aaaaaaaa", "0000000", "9999999", "zzzzzzz", "ZZZZZZZ", "aAaAaAa", "10000000", "2000000",
	} {
		for j, at := range []time.Duration{0, time.Microsecond, time.Second} {
			k := testKey(i, "acct")
			k.ID, k.CreatedAt = fmt.Sprintf("%s%d%d", id, (i+j)%3, j), epoch.Add(at)
			keys = append(keys, k)
		}
	}
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	for _, q := range []apikey.Query{{Owner: "acct"}, {AllOwners: true}, {Owner: "acct", Text: "key"}, {Owner: "acct", IDs: ids(keys)}} {
		if err := e.agree(ctx, q, keys); err != nil {
			return err
		}
	}
	return nil
}

// crowdedKeys are n keys of acct, made at few different times.
func crowdedKeys(n int) []*apikey.Key {
	r := random(2)
	keys := testKeys(n, "acct")
	for i, k := range keys {
		k.ID = fmt.Sprintf("%03d%cKey%03d", r.n(1000), pick(&r, 'a', 'B', '0', 'z'), i)
		k.CreatedAt = epoch.Add(time.Duration(r.n(5)) * time.Microsecond)
	}
	return keys
}

func checkPages(ctx context.Context, e *storeEnv) error {
	keys := crowdedKeys(40)
	for i, k := range keys {
		k.Environment = []string{"live", "test"}[i%2]
	}
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	for _, limit := range []int{1, 2, 3, 7, 39, 40, 41, 1000} {
		for _, q := range []apikey.Query{
			{Owner: "acct"}, {AllOwners: true}, {Owner: "acct", Environment: "test"}, {Owner: "acct", Text: "1"}, {Owner: "nobody"},
		} {
			q.Limit = limit
			if err := e.agree(ctx, q, keys); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkPagesShift(ctx context.Context, e *storeEnv) error {
	keys := crowdedKeys(60)
	for i, k := range keys {
		k.CreatedAt = k.CreatedAt.Add(time.Duration(i/20) * time.Second)
	}
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	slices.SortFunc(keys, listOrder)
	// Of ten keys in a row, the third and the fifth are deleted when the page
	// that holds them has been read, and two are inserted before it.
	var stay []string
	for i, k := range keys {
		if i%10 != 2 && i%10 != 4 {
			stay = append(stay, k.ID)
		}
	}
	read := 0
	between := func() error {
		for range 5 {
			if i := read; i < len(keys) && (i%10 == 2 || i%10 == 4) {
				if err := e.remove(ctx, keys[i]); err != nil {
					return err
				}
			}
			read++
		}
		newest, oldest := testKey(1000+read, "acct"), testKey(2000+read, "acct")
		newest.CreatedAt, oldest.CreatedAt = epoch.Add(time.Hour), epoch.Add(-time.Hour)
		return e.add(ctx, newest, oldest)
	}
	got, err := e.list(ctx, apikey.Query{Owner: "acct", Limit: 5}, between)
	if err != nil {
		return err
	}
	return listedOnce(stay, got)
}

// listedOnce reports what is wrong if not all of stay are in got. Twice they
// cannot be, for page checks the order.
func listedOnce(stay []string, got []*apikey.Key) error {
	listed := map[string]int{}
	for _, k := range got {
		listed[k.ID]++
	}
	for _, id := range stay {
		if listed[id] != 1 {
			return fmt.Errorf("List: key %s, there all the while, was listed %d times, want once", id, listed[id])
		}
	}
	return nil
}

func checkPagesAtOnce(ctx context.Context, e *storeEnv) error {
	keys := crowdedKeys(50)
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	var done atomic.Bool
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	errs := together(4, func(i int) error {
		if i == 0 {
			defer done.Store(true)
			<-begun
			for _, limit := range []int{3, 7, 20, 3, 7, 20, 3, 7, 20} {
				got, err := e.list(ctx, apikey.Query{Owner: "acct", Limit: limit})
				if err != nil {
					return err
				}
				if err := listedOnce(ids(keys), got); err != nil {
					return err
				}
			}
			return nil
		}
		defer begin()
		for n := 0; n < 200 && !done.Load(); n++ {
			if n == 1 {
				begin()
			}
			k := testKey(i*100_000+n, "acct")
			k.CreatedAt = epoch.Add(time.Duration(n%5) * time.Microsecond)
			if err := e.add(ctx, k); err != nil {
				return err
			}
			if err := e.change(ctx, keys[(n*4+i)%len(keys)].ID, func(*apikey.Key) {}); ignoring(err, apikey.ErrConflict) != nil {
				return err
			}
			if err := e.remove(ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
	return first(errs)
}

func checkLongList(ctx context.Context, e *storeEnv) error {
	const writers = 8
	owner := func(i int) string { return []string{"other", "acct", "acct", "acct", "acct"}[i%5] }
	errs := together(writers, func(w int) error {
		for i := w; i < e.keys; i += writers {
			k := testKey(i, owner(i))
			k.CreatedAt = epoch.Add(time.Duration(i/10) * time.Microsecond) // ten at a time
			if err := e.add(ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
	if err := first(errs); err != nil {
		return err
	}
	for _, q := range []apikey.Query{{AllOwners: true}, {Owner: "acct"}, {Owner: "other", Text: "99"}} {
		wanted := 0
		for i := range e.keys {
			k := testKey(i, owner(i))
			if q.Match(k) {
				wanted++
			}
		}
		q.Limit = 1000
		got, err := e.list(ctx, q)
		if err != nil {
			return err
		}
		if len(got) != wanted {
			return fmt.Errorf("List(%s) of %d keys gave %d, want %d", describe(q), e.keys, len(got), wanted)
		}
	}
	return nil
}

func checkCursor(ctx context.Context, e *storeEnv) error {
	if err := e.add(ctx, testKeys(5, "acct")...); err != nil {
		return err
	}
	q := apikey.Query{Owner: "acct", Limit: 2}
	page, err := e.page(ctx, q)
	if err != nil {
		return err
	}
	if page.Next == "" {
		return fmt.Errorf("List(%s) of 5 keys: Next is empty after %d of them", describe(q), len(page.Keys))
	}
	altered := []byte(page.Next)
	altered[len(altered)/2] ^= 1
	for what, q := range map[string]apikey.Query{
		"altered":             {Owner: "acct", After: apikey.Cursor(altered)},
		"cut short":           {Owner: "acct", After: page.Next[:len(page.Next)-4]},
		"made up":             {Owner: "acct", After: "' OR 1=1 --"},
		"of another owner":    {Owner: "other", After: page.Next},
		"of another filter":   {Owner: "acct", Text: "x", After: page.Next},
		"of a narrower query": {AllOwners: true, After: page.Next},
	} {
		q.Limit = 2
		_, err := e.List(ctx, q)
		if err := want(apikey.ErrInvalid, err, "List with a cursor %s", what); err != nil {
			return err
		}
	}
	return nil
}

func checkListOwner(ctx context.Context, e *storeEnv) error {
	var keys []*apikey.Key
	for i, owner := range []string{"a", "b", "a", "c", "ab", "b"} {
		keys = append(keys, testKey(i, owner))
	}
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	for _, q := range []apikey.Query{
		{},
		{Text: "Key"},
		{IDs: ids(keys)},
		{Owner: "a"},
		{Owner: "b"},
		{Owner: "d"},
		{Owner: "a", IDs: ids(keys)},
		{Owner: "b", Text: "Key"},
		{AllOwners: true},
		{AllOwners: true, Owner: "a"},
		{AllOwners: true, IDs: ids(keys[:2])},
		{Owner: strings.Repeat("a", 255)},
	} {
		for _, limit := range []int{1, 100} {
			q.Limit = limit
			if err := e.agree(ctx, q, keys); err != nil {
				return err
			}
		}
	}
	return nil
}
