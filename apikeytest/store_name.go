package apikeytest

import (
	"context"
	"fmt"

	"github.com/go-apikey/apikey"
)

var namePromises = []promise{
	{
		name:  "IDs compare byte by byte",
		fix:   "give the ID's column a binary collation (C, utf8mb4_bin, BINARY) in every index and comparison",
		check: checkIDs,
	},
	{
		name:  "Aliases compare byte by byte",
		fix:   "give the alias's column a binary collation without padding, or a bytes type",
		check: checkAliases,
	},
	{
		name:  "Owners compare byte by byte",
		fix:   "give the owner's column a binary collation without padding, or a bytes type, in List, caps and history alike",
		check: checkOwners,
	},
}

// lookalikes are strings that some collation takes for one another.
var lookalikes = []string{
	"acct_1", "Acct_1", "ACCT_1", "acct_1 ", " acct_1", "acct_1  ", "acct%1", `acct\_1`, "acct-1", "acct1",
	"caf\u00e9", "cafe\u0301", "cafe", "stra\u00dfe", "strasse", "k", "K", "\u212a", "i", "I", "\u0131", "\u0130",
	"\uff41", "a", "日本", "ﾆﾎﾝ", "ニホン", "にほん", "🔑", "🔒", "o'brien", `o"brien`, "o`brien", "æ", "ae", "0", "00",
}

func checkIDs(ctx context.Context, e *storeEnv) error {
	ids := []string{"aBcdefg", "abcdefg", "ABCDEFG", "abcdefg0", "abcdefgh", "0000000", "00000000", "1e00000", "1E00000"}
	var keys []*apikey.Key
	for i, id := range ids {
		k := testKey(i, "acct")
		k.ID = id
		keys = append(keys, k)
	}
	if err := e.add(ctx, keys...); err != nil {
		return fmt.Errorf("of IDs that differ: %w", err)
	}
	if err := e.absent(ctx, "abcdefG", "Abcdefg", "ABCDEFGH"); err != nil {
		return err
	}
	if err := e.AddUsage(ctx, batch("node", 1, used(ids[0], 7))); err != nil {
		return fmt.Errorf("AddUsage: %w", err)
	}
	keys[0].Usage = usageOf(used(ids[0], 7))
	if err := e.change(ctx, ids[1], func(k *apikey.Key) { k.Name = "changed" }); err != nil {
		return err
	}
	keys[1].Name, keys[1].Version = "changed", 2
	if err := e.remove(ctx, keys[2]); err != nil {
		return err
	}
	keys = append(keys[:2], keys[3:]...)
	for _, k := range keys {
		if err := e.holds(ctx, k.ID, record(k)); err != nil {
			return err
		}
		if err := e.agree(ctx, apikey.Query{Owner: "acct", IDs: []string{k.ID}}, keys); err != nil {
			return err
		}
	}
	return e.agree(ctx, apikey.Query{Owner: "acct"}, keys)
}

func checkAliases(ctx context.Context, e *storeEnv) error {
	for i, name := range lookalikes {
		k := testKey(i, "acct")
		k.Alias = "~s:" + name
		if err := e.add(ctx, k); err != nil {
			return fmt.Errorf("with alias %q, after others like it: %w", k.Alias, err)
		}
	}
	for i, name := range lookalikes {
		k := testKey(i, "acct")
		k.Alias = "~s:" + name
		if err := e.holds(ctx, k.Alias, record(k)); err != nil {
			return err
		}
	}
	return e.absent(ctx, "~S:acct_1", "~s:aCCt_1", "~s:日本 ", "~s:CAFE")
}

func checkOwners(ctx context.Context, e *storeEnv) error {
	var keys []*apikey.Key
	for i, owner := range lookalikes {
		k := testKey(i, owner)
		if err := e.Create(ctx, record(k), write("create", k, 1)); err != nil {
			return fmt.Errorf("Create, the first key of owner %q, with a cap of 1: %w", owner, err)
		}
		keys = append(keys, k)
	}
	for i, owner := range lookalikes {
		if err := e.agree(ctx, apikey.Query{Owner: owner}, keys); err != nil {
			return err
		}
		k := testKey(1000+i, owner)
		err := e.Create(ctx, record(k), write("create", k, 1))
		if err := want(apikey.ErrKeyQuota, err, "Create, the second key of owner %q, with a cap of 1", owner); err != nil {
			return err
		}
	}
	for _, owner := range []string{"aCCT_1", "CAFE", "caf", "acct_", "acct_1   ", "%", "_"} {
		if err := e.agree(ctx, apikey.Query{Owner: owner}, keys); err != nil {
			return err
		}
	}
	if !historian.of(e.Store) {
		return nil
	}
	for i, owner := range lookalikes {
		got, err := history(ctx, e.Store, apikey.HistoryQuery{Owner: owner})
		if err != nil {
			return err
		}
		if d := diff([]apikey.Change{write("create", keys[i], 1).Change}, got); d != "" {
			return fmt.Errorf("History of owner %q (-want +got):\n%s", owner, d)
		}
	}
	return nil
}
