package apikeytest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-apikey/apikey"
)

var contextPromises = []promise{
	{
		name:  "A call whose ctx has ended fails with its error and does nothing",
		fix:   "look at ctx before anything else, and return ctx.Err, wrapped or not",
		check: checkEnded,
	},
	{
		name:  "A read whose ctx has ended fails with its error",
		fix:   "look at ctx before anything else in Get, List, Usage and History too, also when the answer is at hand",
		check: checkEndedReads,
	},
	{
		name:  "A write that is cancelled happens in full or not at all",
		fix:   "write record, alias, tombstone and Change in one transaction",
		check: checkCancelled,
	},
	{
		name:  "A ctx that ends after the call undoes nothing",
		fix:   "be done with ctx when the call returns: commit before, leave no work behind that it could cancel",
		check: checkEndsAfter,
	},
}

// ended are contexts that have, by the error that they end with.
func ended(ctx context.Context) map[error]context.Context {
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	late, cancel := context.WithDeadline(ctx, time.Unix(1, 0))
	cancel()
	return map[error]context.Context{context.Canceled: cancelled, context.DeadlineExceeded: late}
}

func checkEnded(ctx context.Context, e *storeEnv) error {
	k, fresh := testKey(1, "acct"), testKey(2, "acct")
	k.Alias = "~legacy:1"
	if err := e.add(ctx, k); err != nil {
		return err
	}
	next := *k
	next.Version = 2
	for target, gone := range ended(ctx) {
		calls := map[string]error{
			"Create":   e.Create(gone, record(fresh), write("create", fresh, noCap)),
			"Update":   e.Update(gone, record(&next), write("update", &next, noCap)),
			"AddUsage": e.AddUsage(gone, batch("node", 1, used(k.ID, 1))),
			"Delete":   e.Delete(gone, k.ID, write("delete", k, noCap)),
		}
		for call, err := range calls {
			if err := want(target, err, "%s with a ctx that has ended", call); err != nil {
				return err
			}
		}
		if err := e.holds(ctx, k.Alias, record(k)); err != nil {
			return fmt.Errorf("after Update and Delete with a ctx that had ended: %w", err)
		}
		if err := e.absent(ctx, fresh.ID); err != nil {
			return fmt.Errorf("after Create with a ctx that had ended: %w", err)
		}
		if err := e.usageIs(ctx, k.ID, apikey.Usage{}); err != nil {
			return fmt.Errorf("after AddUsage with a ctx that had ended: %w", err)
		}
	}
	if err := e.addUsage(ctx, batch("node", 1, used(k.ID, 1))); err != nil {
		return err
	}
	if err := e.usageIs(ctx, k.ID, usageOf(used(k.ID, 1))); err != nil {
		return fmt.Errorf("after a batch that failed with its ctx and was repeated: %w", err)
	}
	return e.add(ctx, fresh)
}

func checkEndedReads(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	k.Alias = "~legacy:1"
	if err := e.add(ctx, k); err != nil {
		return err
	}
	for target, gone := range ended(ctx) {
		for _, ref := range []string{k.ID, k.Alias, "Key999999999"} {
			rec, err := e.Get(gone, ref)
			if err := want(target, err, "Get(%q) with a ctx that has ended", ref); err != nil {
				return err
			}
			if rec != nil {
				return fmt.Errorf("Get(%q) with a ctx that has ended gave a record and an error", ref)
			}
		}
		_, err := e.List(gone, apikey.Query{Owner: "acct", Limit: 10})
		if err := want(target, err, "List with a ctx that has ended"); err != nil {
			return err
		}
		if r, ok := e.Store.(apikey.UsageReader); ok {
			_, err := r.Usage(gone, k.ID, apikey.UsageQuery{})
			if err := want(target, err, "Usage with a ctx that has ended"); err != nil {
				return err
			}
		}
		if h, ok := e.Store.(apikey.Historian); ok {
			_, err := h.History(gone, apikey.HistoryQuery{Owner: "acct", Limit: 10})
			if err := want(target, err, "History with a ctx that has ended"); err != nil {
				return err
			}
		}
	}
	return nil
}

// cancelling calls f with a ctx that ends about then.
func cancelling(ctx context.Context, i int, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(i*i)*time.Microsecond)
	defer cancel()
	return f(ctx)
}

func checkCancelled(ctx context.Context, e *storeEnv) error {
	const tries = 60
	for i := range tries {
		k := testKey(i, "acct")
		k.Alias = fmt.Sprint("~legacy:", i)
		err := cancelling(ctx, i, func(ctx context.Context) error { return e.Create(ctx, record(k), write("create", k, noCap)) })
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("Create whose ctx ended during the call: %w; want nil or the ctx's error", err)
		}
		wrote, werr := e.wrote(ctx, k, 1)
		if werr != nil {
			return werr
		}
		if err == nil && !wrote {
			return errors.New("Create whose ctx ended during the call gave no error, but nothing was stored")
		}
		if !wrote { // so that its names are free
			if err := e.add(ctx, k); err != nil {
				return fmt.Errorf("after a Create that was cancelled: %w", err)
			}
		}
		k.Version = 2
		err = cancelling(ctx, i, func(ctx context.Context) error { return e.Update(ctx, record(k), write("update", k, noCap)) })
		wrote, werr = e.wrote(ctx, k, 2)
		if werr != nil {
			return werr
		}
		if err == nil && !wrote {
			return errors.New("Update whose ctx ended during the call gave no error, but nothing was stored")
		}
	}
	return nil
}

// wrote reports whether the last write of k, to the version v, was done, and
// an error if it was half done: alias, List and history must agree with Get.
func (e *storeEnv) wrote(ctx context.Context, k *apikey.Key, v int64) (bool, error) {
	var now int64
	rec, err := e.Get(ctx, k.ID)
	if err == nil && rec != nil {
		now = rec.Version()
	} else if !errors.Is(err, apikey.ErrNotFound) {
		return false, fmt.Errorf("Get after a write that was cancelled: %w", orNil(err))
	}
	found := 0
	if _, err := e.Get(ctx, k.Alias); err == nil {
		found++
	}
	keys, err := e.list(ctx, apikey.Query{Owner: k.Owner, IDs: []string{k.ID}})
	if err != nil {
		return false, err
	}
	if want := int(min(now, 1)); found != want || len(keys) != want {
		return false, fmt.Errorf("after a write that was cancelled Get by ID finds %d, Get by alias %d, List %d keys", want, found, len(keys))
	}
	if historian.of(e.Store) {
		changes, err := history(ctx, e.Store, apikey.HistoryQuery{AllOwners: true, KeyID: k.ID})
		if err != nil {
			return false, err
		}
		if int64(len(changes)) != now {
			return false, fmt.Errorf("after a write that was cancelled the key is at version %d and History has %d changes", now, len(changes))
		}
	}
	return now == v, nil
}

// within calls f with a ctx that ends when f has returned.
func within(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return f(ctx)
}

func checkEndsAfter(ctx context.Context, e *storeEnv) error {
	keys := testKeys(3, "acct")
	for _, k := range keys {
		if err := within(ctx, func(ctx context.Context) error { return e.add(ctx, k) }); err != nil {
			return err
		}
		if err := e.holds(ctx, k.ID, record(k)); err != nil {
			return err
		}
	}
	k := keys[1]
	k.Version, k.Name = 2, "changed"
	if err := within(ctx, func(ctx context.Context) error {
		return e.Update(ctx, record(k), write("update", k, noCap))
	}); err != nil {
		return fmt.Errorf("Update: %w", err)
	}
	u := used(k.ID, 3)
	if err := within(ctx, func(ctx context.Context) error { return e.addUsage(ctx, batch("node", 1, u)) }); err != nil {
		return err
	}
	k.Usage = usageOf(u)
	if err := within(ctx, func(ctx context.Context) error { return e.remove(ctx, keys[0]) }); err != nil {
		return err
	}
	return e.agree(ctx, apikey.Query{Owner: "acct"}, keys[1:])
}
