package apikeytest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-apikey/apikey"
)

var updatePromises = []promise{
	{
		name:  "Update replaces the record of the version before",
		fix:   "store the new Record.Bytes and every index column in one statement",
		check: checkUpdate,
	},
	{
		name:  "Update refuses any other version with ErrConflict",
		fix:   "write only WHERE id = ? AND version = rec.Version()-1, and answer ErrConflict if that changed no row of a key that is there",
		check: checkConflict,
	},
	{
		name:  "Update loses no change under contention",
		fix:   "compare the version and write in one atomic step; a read, a comparison and a write lose updates",
		check: checkContention,
	},
	{
		name:  "Update is seen by List's filters",
		fix:   "derive every index column anew from the record in Update",
		check: checkUpdateIndexes,
	},
	{
		name:  "Update never touches usage",
		fix:   "keep usage apart from the record's row, or leave its columns out of Update",
		check: checkUpdateUsage,
	},
	{
		name:  "Update of a deleted key is ErrNotFound",
		fix:   "update, never insert: a tombstone is not a key",
		check: checkUpdateDeleted,
	},
	{
		name:  "Get is as fresh as the last acknowledged write",
		fix:   "read the primary, without a cache or snapshot from before",
		check: checkFresh,
	},
}

func checkUpdate(ctx context.Context, e *storeEnv) error {
	k, other := testKey(1, "acct"), testKey(2, "acct")
	k.Alias = "~legacy:1"
	if err := e.add(ctx, k, other); err != nil {
		return err
	}
	for v := int64(2); v < 6; v++ {
		k.Version, k.Name = v, fmt.Sprint("name ", v)
		k.Secrets = []apikey.Secret{{N: uint32(v), Prefix: "sk_", CreatedAt: epoch}, k.Secrets[0]}
		if err := e.Update(ctx, record(k), write("update", k, noCap)); err != nil {
			return fmt.Errorf("Update to version %d: %w", v, err)
		}
		for _, ref := range []string{k.ID, k.Alias} {
			if err := e.holds(ctx, ref, record(k)); err != nil {
				return err
			}
		}
	}
	if err := e.holds(ctx, other.ID, record(other)); err != nil {
		return fmt.Errorf("after Update of another key: %w", err)
	}
	return e.agree(ctx, apikey.Query{Owner: "acct"}, []*apikey.Key{k, other})
}

func checkConflict(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	if err := e.add(ctx, k); err != nil {
		return err
	}
	for range 2 {
		if err := e.change(ctx, k.ID, func(*apikey.Key) {}); err != nil {
			return err
		}
	}
	k.Version = 3
	stored := record(k)
	for _, v := range []int64{1, 2, 3, 5, 6, 1 << 40} {
		k.Version, k.Name = v, "conflicting"
		err := e.Update(ctx, record(k), write("update", k, noCap))
		if err := want(apikey.ErrConflict, err, "Update to version %d of a key at version 3", v); err != nil {
			return err
		}
		if err := e.holds(ctx, k.ID, stored); err != nil {
			return fmt.Errorf("after a refused Update: %w", err)
		}
	}
	return nil
}

func checkContention(ctx context.Context, e *storeEnv) error {
	const writers, rounds = 8, 15
	k := testKey(1, "acct")
	k.Metadata = map[string]string{"n": "0"}
	if err := e.add(ctx, k); err != nil {
		return err
	}
	errs := together(writers, func(int) error {
		for range rounds {
			if err := e.increment(ctx, k.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err := first(errs); err != nil {
		return err
	}
	rec, err := e.get(ctx, k.ID)
	if err != nil {
		return err
	}
	if n, v := rec.Key().Metadata["n"], rec.Version(); n != strconv.Itoa(writers*rounds) || v != writers*rounds+1 {
		return fmt.Errorf("after %d acknowledged increments the counter is %s and the version %d, want %d and %d",
			writers*rounds, n, v, writers*rounds, writers*rounds+1)
	}
	return nil
}

// increment adds 1 to the metadata "n", again and again until no other write
// comes between.
func (e *storeEnv) increment(ctx context.Context, id string) error {
	for {
		err := e.change(ctx, id, func(k *apikey.Key) {
			n, _ := strconv.Atoi(k.Metadata["n"])
			k.Metadata = map[string]string{"n": strconv.Itoa(n + 1)}
		})
		if !errors.Is(err, apikey.ErrConflict) {
			return err
		}
	}
}

func checkUpdateIndexes(ctx context.Context, e *storeEnv) error {
	k, other := testKey(1, "acct"), testKey(2, "acct")
	k.Name, k.Description = "before", "once"
	if err := e.add(ctx, k, other); err != nil {
		return err
	}
	edits := []func(k *apikey.Key){
		func(*apikey.Key) {},
		func(k *apikey.Key) { k.Name = "after" },
		func(k *apikey.Key) { k.Description = "later" },
		func(k *apikey.Key) { k.DisabledAt = epoch },
		func(k *apikey.Key) { k.DisabledAt, k.HeldAt = time.Time{}, epoch },
		func(k *apikey.Key) { k.HeldAt, k.ExpiresAt = time.Time{}, epoch.Add(time.Hour) },
		func(k *apikey.Key) { k.ExpiresAt, k.NotBefore = time.Time{}, epoch.Add(time.Hour) },
		func(k *apikey.Key) {
			k.Secrets = []apikey.Secret{{N: 2, Prefix: "sk_", CreatedAt: epoch.Add(5 * time.Hour)}, k.Secrets[0]}
		},
		func(k *apikey.Key) { k.RevokedAt = epoch },
	}
	for i, edit := range edits {
		edit(k)
		if i > 0 {
			k.Version++
			if err := e.Update(ctx, record(k), write("update", k, noCap)); err != nil {
				return fmt.Errorf("Update: %w", err)
			}
		}
		keys := []*apikey.Key{k, other}
		for _, q := range []apikey.Query{
			{Text: "before"},
			{Text: "after"},
			{Text: "once"},
			{Text: "later"},
			{ExpiresBefore: epoch.Add(2 * time.Hour)},
			{RotatedBefore: epoch.Add(time.Hour)},
			{States: []apikey.State{apikey.StateActive}},
			{States: []apikey.State{apikey.StateDisabled, apikey.StateHeld, apikey.StateScheduled, apikey.StateRevoked}},
			{States: []apikey.State{apikey.StateExpired}, At: epoch.Add(2 * time.Hour)},
		} {
			q.Owner = "acct"
			if err := e.agree(ctx, q, keys); err != nil {
				return fmt.Errorf("after %d Updates: %w", i, err)
			}
		}
	}
	return nil
}

func checkUpdateUsage(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	if err := e.add(ctx, k); err != nil {
		return err
	}
	if err := e.AddUsage(ctx, batch("node", 1, used(k.ID, 5))); err != nil {
		return fmt.Errorf("AddUsage: %w", err)
	}
	for range 2 {
		if err := e.change(ctx, k.ID, func(k *apikey.Key) {
			k.Name = "changed"
			k.Usage = apikey.Usage{Requests: 1000} // which a record does not hold
		}); err != nil {
			return err
		}
		if err := e.usageIs(ctx, k.ID, usageOf(used(k.ID, 5))); err != nil {
			return fmt.Errorf("after Update: %w", err)
		}
	}
	return nil
}

func checkUpdateDeleted(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	k.Alias = "~legacy:1"
	if err := e.add(ctx, k); err != nil {
		return err
	}
	if err := e.remove(ctx, k); err != nil {
		return err
	}
	for _, v := range []int64{2, 3, 1} {
		k.Version = v
		err := e.Update(ctx, record(k), write("update", k, noCap))
		if err := want(apikey.ErrNotFound, err, "Update of a deleted key to version %d", v); err != nil {
			return err
		}
		if err := e.absent(ctx, k.ID, k.Alias); err != nil {
			return err
		}
	}
	return nil
}

func checkFresh(ctx context.Context, e *storeEnv) error {
	const updates = 60
	k := testKey(1, "acct")
	k.Alias = "~legacy:1"
	if err := e.add(ctx, k); err != nil {
		return err
	}
	var acknowledged atomic.Int64
	acknowledged.Store(1)
	errs := together(4, func(i int) error {
		fresh := func(ref string) error {
			least := acknowledged.Load()
			rec, err := e.get(ctx, ref)
			if err == nil && rec.Version() < least {
				err = fmt.Errorf("Get(%q) gave version %d after version %d was acknowledged", ref, rec.Version(), least)
			}
			return err
		}
		for n := range int64(updates) {
			if i == 0 {
				if err := e.change(ctx, k.ID, func(*apikey.Key) {}); err != nil {
					return err
				}
				acknowledged.Store(n + 2)
			}
			for range 3 {
				if err := errors.Join(fresh(k.ID), fresh(k.Alias)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return first(errs)
}
