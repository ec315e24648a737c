package apikeytest

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-apikey/apikey"
)

var concurrentPromises = []promise{
	{
		name:  "Every method is safe beside every other",
		fix:   "guard what is shared; under -race the report names the two places",
		check: checkBeside,
	},
}

// expected are the errors that a call may have when others change the same keys.
func expected(err error) error {
	for _, ok := range []error{apikey.ErrConflict, apikey.ErrNotFound, apikey.ErrExists, apikey.ErrKeyQuota} {
		err = ignoring(err, ok)
	}
	return err
}

// turn is one round of all that can be called, on keys that others use too.
func (e *storeEnv) turn(ctx context.Context, worker, i int) error {
	id := testKey((worker+i)%7, "").ID
	own := testKey(1000+worker*1000+i, "acct")
	own.Alias = fmt.Sprint("~legacy:", own.ID)
	shared := testKey(500+i, "acct") // made and deleted by several at once
	err := expected(e.add(ctx, own, shared))
	u := used(id, 1)
	err = errors.Join(err, expected(e.change(ctx, id, func(k *apikey.Key) { k.Name = own.ID })))
	err = errors.Join(err, e.addUsage(ctx, batch(fmt.Sprint("node", worker), int64(i+1), u)))
	_, get := e.get(ctx, own.Alias)
	_, list := e.list(ctx, apikey.Query{Owner: "acct", Text: "key", Limit: 20})
	err = errors.Join(err, get, list, expected(e.remove(ctx, shared)), e.remove(ctx, own))
	if usageReader.of(e.Store) {
		_, hours := e.hours(ctx, id, apikey.UsageQuery{})
		err = errors.Join(err, hours)
	}
	if historian.of(e.Store) {
		_, changes := history(ctx, e.Store, apikey.HistoryQuery{AllOwners: true, KeyID: id})
		err = errors.Join(err, changes)
	}
	return err
}

func checkBeside(ctx context.Context, e *storeEnv) error {
	const workers, turns = 6, 14
	keys := testKeys(7, "acct")
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	if watcher.of(e.Store) {
		w := e.watch(ctx)
		defer func() { _ = w.end(e.wait) }()
	}
	errs := together(workers, func(worker int) error {
		for i := range turns {
			if err := e.turn(ctx, worker, i); err != nil {
				return fmt.Errorf("among concurrent calls: %w", err)
			}
		}
		return nil
	})
	if err := first(errs); err != nil {
		return err
	}
	all, err := e.list(ctx, apikey.Query{Owner: "acct"})
	if err != nil {
		return err
	}
	var requests int64
	for _, k := range all {
		requests += k.Usage.Requests
	}
	if len(all) != len(keys) || requests != workers*turns {
		return fmt.Errorf("after concurrent calls there are %d keys with %d requests, want %d and %d", len(all), requests, len(keys), workers*turns)
	}
	return nil
}
