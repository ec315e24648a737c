package apikeytest

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-apikey/apikey"
)

var createPromises = []promise{
	{
		name: "Create stores what Get returns",
		fix:  "store Record.Bytes as they are and find them by ID and by alias",
		check: func(ctx context.Context, e *storeEnv) error {
			k := testKey(1, "acct")
			k.Alias = "~legacy:42"
			if err := e.add(ctx, k, testKey(2, "acct")); err != nil {
				return err
			}
			for _, ref := range []string{k.ID, k.Alias} {
				if err := e.holds(ctx, ref, record(k)); err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		name:  "Create refuses an ID or alias that is taken",
		fix:   "keep IDs and aliases in one unique index and answer a violation with ErrExists, whoever owns the key",
		check: checkTaken,
	},
	{
		name:  "Create gives a name to one of many concurrent calls",
		fix:   "let a unique index decide, in the transaction of the insert, not a look-up before it",
		check: checkTakenAtOnce,
	},
	{
		name:  "Create that is refused leaves nothing behind",
		fix:   "insert record, alias and Change in one transaction and roll it back on a refusal",
		check: checkRefusedCreate,
	},
	{
		name:  "An absent or malformed ID is ErrNotFound",
		fix:   "answer what no key has, and what cannot be an ID, with ErrNotFound and a nil record, before the database can choke on it",
		check: checkAbsent,
	},
}

func checkTaken(ctx context.Context, e *storeEnv) error {
	first := testKey(1, "acct")
	first.Alias = "~legacy:1"
	second := testKey(2, "acct")
	second.Alias = "AliasLikeAnID"
	if err := e.add(ctx, first, second); err != nil {
		return err
	}
	for what, edit := range map[string]func(*apikey.Key){
		"the same ID":                 func(k *apikey.Key) { k.ID = first.ID },
		"the same ID, another alias":  func(k *apikey.Key) { k.ID, k.Alias = first.ID, "~legacy:2" },
		"the same alias":              func(k *apikey.Key) { k.Alias = first.Alias },
		"an alias that is another ID": func(k *apikey.Key) { k.Alias = first.ID },
		"an ID that is another alias": func(k *apikey.Key) { k.ID = second.Alias },
	} {
		for _, owner := range []string{"acct", "other"} {
			k := testKey(3, owner)
			edit(k)
			err := e.Create(ctx, record(k), write("create", k, noCap))
			if err := want(apikey.ErrExists, err, "Create of a key with %s, owner %q", what, owner); err != nil {
				return err
			}
		}
	}
	if err := e.holds(ctx, first.Alias, record(first)); err != nil {
		return fmt.Errorf("after refused Creates: %w", err)
	}
	return e.holds(ctx, second.ID, record(second))
}

func checkTakenAtOnce(ctx context.Context, e *storeEnv) error {
	const calls = 40
	name := func(what string, key func(i int) *apikey.Key) error {
		errs := together(calls, func(i int) error {
			k := key(i)
			return e.Create(ctx, record(k), write("create", k, noCap))
		})
		n, err := count(errs, apikey.ErrExists, "Create with "+what)
		if err == nil && n != 1 {
			err = fmt.Errorf("%d of %d Creates with %s succeeded, want 1", n, calls, what)
		}
		return err
	}
	if err := name("one ID", func(int) *apikey.Key { return testKey(1, "acct") }); err != nil {
		return err
	}
	if err := name("one alias", func(i int) *apikey.Key {
		k := testKey(100+i, "acct")
		k.Alias = "~legacy:1"
		return k
	}); err != nil {
		return err
	}
	return name("one name, as ID or alias", func(i int) *apikey.Key {
		k := testKey(200+i, "acct")
		if i%2 == 0 {
			k.ID = "AliasLikeAnID"
		} else {
			k.Alias = "AliasLikeAnID"
		}
		return k
	})
}

func checkRefusedCreate(ctx context.Context, e *storeEnv) error {
	first := testKey(1, "acct")
	first.Alias = "~legacy:1"
	if err := e.add(ctx, first); err != nil {
		return err
	}
	k := testKey(2, "acct")
	k.Alias = first.Alias
	if err := want(apikey.ErrExists, e.Create(ctx, record(k), write("create", k, noCap)), "Create with a taken alias"); err != nil {
		return err
	}
	k.Alias = "~legacy:2"
	if err := want(apikey.ErrKeyQuota, e.Create(ctx, record(k), write("create", k, 1)), "Create above the cap"); err != nil {
		return err
	}
	if err := e.absent(ctx, k.ID, k.Alias); err != nil {
		return fmt.Errorf("after refused Creates: %w", err)
	}
	keys, err := e.list(ctx, apikey.Query{Owner: "acct"})
	if err != nil {
		return err
	}
	if d := diff([]*apikey.Key{first}, keys); d != "" {
		return fmt.Errorf("List after refused Creates (-want +got):\n%s", d)
	}
	if err := e.add(ctx, k); err != nil {
		return fmt.Errorf("the ID and alias of a refused Create are free, but: %w", err)
	}
	return nil
}

func checkAbsent(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	k.Alias = "~legacy:1"
	if err := e.add(ctx, k); err != nil {
		return err
	}
	gone := testKey(2, "acct")
	for _, id := range []string{
		gone.ID, "", " ", "%", "_", "~", "x", k.ID + " ", " " + k.ID, k.ID[:len(k.ID)-1], k.ID + "0", k.ID + "\x00",
		"Key%", "' OR 1=1 --", `\`, "é", "\x00", "\xff\xfe", strings.Repeat("a", 100_000), "acct", k.Name, k.Alias + " ",
	} {
		if err := e.absent(ctx, id); err != nil {
			return err
		}
		err := e.Delete(ctx, id, write("delete", gone, noCap))
		if err := want(apikey.ErrNotFound, err, "Delete(%.40q)", id); err != nil {
			return err
		}
	}
	gone.Version = 2
	if err := want(apikey.ErrNotFound, e.Update(ctx, record(gone), write("update", gone, noCap)), "Update of an absent key"); err != nil {
		return err
	}
	if err := e.absent(ctx, gone.ID); err != nil {
		return fmt.Errorf("after Update of an absent key: %w", err)
	}
	return e.holds(ctx, k.ID, record(k))
}
