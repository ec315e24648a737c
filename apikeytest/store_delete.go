package apikeytest

import (
	"context"
	"fmt"
	"time"

	"github.com/go-apikey/apikey"
)

var deletePromises = []promise{
	{
		name:  "Delete removes the key from Get and List",
		fix:   "delete the record, or mark it so that neither Get nor List finds it",
		check: checkDelete,
	},
	{
		name:  "IDs and aliases stay taken after Delete",
		fix:   "keep a tombstone of the ID and of the alias, in the same unique index as those of living keys",
		check: checkTombstones,
	},
	{
		name:  "Delete a second time is ErrNotFound",
		fix:   "answer ErrNotFound if the delete changed no row",
		check: checkDeleteTwice,
	},
	{
		name:  "Delete removes the key's usage",
		fix:   "delete the usage with the key, in one transaction, and skip usage of keys that are not there",
		check: checkDeleteUsage,
	},
	{
		name:  "Delete takes an ID and no alias",
		fix:   "look for the ID alone in Delete",
		check: checkDeleteAlias,
	},
}

func checkDelete(ctx context.Context, e *storeEnv) error {
	keys := testKeys(4, "acct")
	keys[1].Alias = "~legacy:1"
	keys[2].RevokedAt = epoch
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	for len(keys) > 0 {
		k := keys[len(keys)/2]
		if err := e.remove(ctx, k); err != nil {
			return err
		}
		if err := e.absent(ctx, k.ID, k.Alias); err != nil {
			return fmt.Errorf("after Delete: %w", err)
		}
		keys = append(keys[:len(keys)/2:len(keys)/2], keys[len(keys)/2+1:]...)
		for _, q := range []apikey.Query{{Owner: "acct"}, {AllOwners: true}, {Owner: "acct", IDs: []string{k.ID}}} {
			if err := e.agree(ctx, q, keys); err != nil {
				return fmt.Errorf("after Delete: %w", err)
			}
		}
		for _, k := range keys {
			if err := e.holds(ctx, k.ID, record(k)); err != nil {
				return fmt.Errorf("after Delete of another key: %w", err)
			}
		}
	}
	return nil
}

func checkTombstones(ctx context.Context, e *storeEnv) error {
	gone := testKey(1, "acct")
	gone.Alias = "AliasLikeAnID"
	if err := e.add(ctx, gone); err != nil {
		return err
	}
	if err := e.change(ctx, gone.ID, func(k *apikey.Key) { k.RevokedAt = epoch }); err != nil {
		return err
	}
	if err := e.remove(ctx, gone); err != nil {
		return err
	}
	for what, edit := range map[string]func(*apikey.Key){
		"the ID":             func(k *apikey.Key) { k.ID = gone.ID },
		"the alias":          func(k *apikey.Key) { k.Alias = gone.Alias },
		"the alias as ID":    func(k *apikey.Key) { k.ID = gone.Alias },
		"the ID as an alias": func(k *apikey.Key) { k.Alias = gone.ID },
	} {
		for _, owner := range []string{"acct", "other"} {
			k := testKey(2, owner)
			edit(k)
			err := e.Create(ctx, record(k), write("create", k, noCap))
			if err := want(apikey.ErrExists, err, "Create with %s of a deleted key", what); err != nil {
				return err
			}
		}
	}
	return e.absent(ctx, gone.ID, gone.Alias)
}

func checkDeleteTwice(ctx context.Context, e *storeEnv) error {
	keys := testKeys(2, "acct")
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	if err := e.remove(ctx, keys[0]); err != nil {
		return err
	}
	for range 2 {
		err := e.Delete(ctx, keys[0].ID, write("delete", keys[0], noCap))
		if err := want(apikey.ErrNotFound, err, "Delete of a deleted key"); err != nil {
			return err
		}
	}
	errs := together(20, func(int) error { return e.Delete(ctx, keys[1].ID, write("delete", keys[1], noCap)) })
	n, err := count(errs, apikey.ErrNotFound, "Delete of one key")
	if err == nil && n != 1 {
		err = fmt.Errorf("of 20 Deletes of one key at once %d succeeded, want 1", n)
	}
	return err
}

func checkDeleteUsage(ctx context.Context, e *storeEnv) error {
	k, other := testKey(1, "acct"), testKey(2, "acct")
	if err := e.add(ctx, k, other); err != nil {
		return err
	}
	if err := e.AddUsage(ctx, batch("node", 1, used(k.ID, 3), used(other.ID, 4))); err != nil {
		return fmt.Errorf("AddUsage: %w", err)
	}
	if err := e.remove(ctx, k); err != nil {
		return err
	}
	if err := e.AddUsage(ctx, batch("node", 2, used(k.ID, 3), used(other.ID, 4))); err != nil {
		return fmt.Errorf("AddUsage with a deleted key among others: %w", err)
	}
	if err := e.absent(ctx, k.ID); err != nil {
		return fmt.Errorf("after AddUsage of a deleted key: %w", err)
	}
	doubled := usageOf(used(other.ID, 8))
	if err := e.usageIs(ctx, other.ID, doubled); err != nil {
		return err
	}
	r, ok := e.Store.(apikey.UsageReader)
	if !ok {
		return nil
	}
	points, err := r.Usage(ctx, k.ID, apikey.UsageQuery{})
	if err != nil || len(points) > 0 {
		return fmt.Errorf("Usage of a deleted key = %v, %w; want none and no error", points, orNil(err))
	}
	return nil
}

func checkDeleteAlias(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	k.Alias = "~legacy:1"
	if err := e.add(ctx, k); err != nil {
		return err
	}
	err := e.Delete(ctx, k.Alias, writeAt(epoch.Add(time.Hour), k, noCap))
	if err := want(apikey.ErrNotFound, err, "Delete by alias"); err != nil {
		return err
	}
	return e.holds(ctx, k.Alias, record(k))
}
