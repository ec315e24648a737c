package apikeytest

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/go-apikey/apikey"
)

var usagePromises = []promise{
	{
		name:  "AddUsage adds to what is stored",
		fix:   "add requests, limited and denied to the key's totals as 64-bit integers",
		check: checkAdds,
	},
	{
		name:  "AddUsage applies several entries of one key in one batch",
		fix:   "remember a key's Seq after the last of its entries, not after the first",
		check: checkSeveral,
	},
	{
		name:  "AddUsage keeps the last use of each secret",
		fix:   "keep last used by (key, secret), and the latest of them as LastUsedAt",
		check: checkSecrets,
	},
	{
		name:  "AddUsage moves no time backwards",
		fix:   "replace a stored time by a later one only; a zero LastUsed and a LastRefusal with a zero At replace nothing",
		check: checkBackwards,
	},
	{
		name:  "AddUsage keeps the last refusal whole",
		fix:   "store time, peer and reason of the latest refusal together",
		check: checkRefusal,
	},
	{
		name:  "AddUsage skips keys that do not exist",
		fix:   "skip the entries of an unknown key, neither failing nor keeping them, and apply the others",
		check: checkUnknown,
	},
	{
		name:  "AddUsage never changes a record or its Version",
		fix:   "keep usage in a place of its own, not in the record",
		check: checkUsageVersion,
	},
	{
		name:  "AddUsage takes 500 entries and none",
		fix:   "split or bulk-load large batches; an empty one is no error",
		check: checkBatchSizes,
	},
}

func checkAdds(ctx context.Context, e *storeEnv) error {
	keys := testKeys(3, "acct")
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	if err := e.usageIs(ctx, keys[0].ID, apikey.Usage{}); err != nil {
		return fmt.Errorf("of a new key: %w", err)
	}
	entries := make([][]apikey.UsageEntry, len(keys))
	for seq := int64(1); seq <= 5; seq++ {
		b := batch("node", seq)
		for i, k := range keys[:2] {
			u := used(k.ID, int(seq)+i*10)
			u.Limited, u.Denied = seq*100, seq*1000+int64(i)
			u.LastUsed = u.LastUsed.Add(time.Duration(seq) * time.Microsecond)
			if seq == 5 {
				u.Requests, u.Limited, u.Denied = 1<<53+1, 1<<33+1, 1<<62+1
			}
			b.Entries = append(b.Entries, u)
			entries[i] = append(entries[i], u)
		}
		if err := e.addUsage(ctx, b); err != nil {
			return err
		}
		for i, k := range keys {
			if err := e.usageIs(ctx, k.ID, usageOf(entries[i]...)); err != nil {
				return fmt.Errorf("after batch %d: %w", seq, err)
			}
		}
	}
	return nil
}

// severalEntries are of one key: two secrets in three hours.
func severalEntries(id string) []apikey.UsageEntry {
	var entries []apikey.UsageEntry
	for secret := uint32(1); secret <= 2; secret++ {
		for h := range 3 {
			hour := epoch.Add(time.Duration(h) * time.Hour)
			entries = append(entries, apikey.UsageEntry{
				KeyID: id, Secret: secret, Hour: hour, LastUsed: hour.Add(time.Duration(secret) * time.Minute),
				Requests: int64(secret), Limited: int64(10 * (h + 1)), Denied: 100,
			})
		}
	}
	return entries
}

func checkSeveral(ctx context.Context, e *storeEnv) error {
	keys := testKeys(2, "acct")
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	one, two := severalEntries(keys[0].ID), severalEntries(keys[1].ID)
	b := batch("node", 1, append(append([]apikey.UsageEntry(nil), one...), two...)...)
	for range 2 {
		if err := e.addUsage(ctx, b); err != nil {
			return err
		}
		if err := e.usageIs(ctx, keys[0].ID, usageOf(one...)); err != nil {
			return err
		}
		if err := e.usageIs(ctx, keys[1].ID, usageOf(two...)); err != nil {
			return err
		}
	}
	return nil
}

func checkSecrets(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	if err := e.add(ctx, k); err != nil {
		return err
	}
	secret := func(n uint32, at time.Duration) apikey.UsageEntry {
		u := used(k.ID, 1)
		u.Secret, u.LastUsed = n, epoch.Add(at)
		return u
	}
	all := []apikey.UsageEntry{
		secret(1, time.Hour), secret(2, time.Minute), secret(1<<32-1, 2*time.Minute), secret(2, 2*time.Hour), secret(3, time.Second),
	}
	for i, u := range all {
		if err := e.addUsage(ctx, batch("node", int64(i+1), u)); err != nil {
			return err
		}
		if err := e.usageIs(ctx, k.ID, usageOf(all[:i+1]...)); err != nil {
			return err
		}
	}
	return nil
}

// refused is an entry of one denied request.
func refused(id string, at time.Duration, reason apikey.Reason) apikey.UsageEntry {
	return apikey.UsageEntry{
		KeyID: id, Secret: 1, Hour: epoch, Denied: 1,
		LastRefusal: apikey.Refusal{At: epoch.Add(at), Peer: netip.MustParseAddr("192.0.2.7"), Reason: reason},
	}
}

func checkBackwards(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	if err := e.add(ctx, k); err != nil {
		return err
	}
	at := func(d time.Duration) apikey.UsageEntry {
		u := refused(k.ID, d, "expired")
		u.LastUsed, u.Requests = epoch.Add(d), 1
		return u
	}
	none := apikey.UsageEntry{KeyID: k.ID, Secret: 1, Hour: epoch, Limited: 1}
	all := []apikey.UsageEntry{none, at(time.Hour), at(time.Minute), none, at(time.Hour - time.Microsecond), at(time.Hour + time.Microsecond), none}
	for i, u := range all {
		u.LastRefusal.Reason = apikey.Reason(fmt.Sprint("reason_", i))
		if u.LastRefusal.At.IsZero() {
			u.LastRefusal = apikey.Refusal{}
		}
		all[i] = u
		if err := e.addUsage(ctx, batch("node", int64(i+1), u)); err != nil {
			return err
		}
		if err := e.usageIs(ctx, k.ID, usageOf(all[:i+1]...)); err != nil {
			return fmt.Errorf("after entry %d: %w", i, err)
		}
	}
	return nil
}

func checkRefusal(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	if err := e.add(ctx, k); err != nil {
		return err
	}
	peers := []netip.Addr{
		netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"),
		{},
		netip.MustParseAddr("::ffff:192.0.2.1"),
		netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("::"), netip.MustParseAddr("0.0.0.0"),
	}
	var all []apikey.UsageEntry
	for i, peer := range peers {
		u := refused(k.ID, time.Duration(i)*time.Microsecond, apikey.Reason(fmt.Sprint("reason_", i)))
		u.LastRefusal.Peer = peer
		all = append(all, u)
		if err := e.addUsage(ctx, batch("node", int64(i+1), u)); err != nil {
			return err
		}
		if err := e.usageIs(ctx, k.ID, usageOf(all...)); err != nil {
			return err
		}
	}
	return nil
}

func checkUnknown(ctx context.Context, e *storeEnv) error {
	keys := testKeys(3, "acct")
	if err := e.add(ctx, keys[0], keys[2]); err != nil {
		return err
	}
	for seq, b := range []apikey.UsageBatch{
		batch("node", 1, used(keys[1].ID, 5)),
		batch("node", 2, used("0unknown", 5), used(keys[0].ID, 7), used(keys[1].ID, 5), used(keys[2].ID, 7), used("zunknown", 5)),
	} {
		if err := e.addUsage(ctx, b); err != nil {
			return fmt.Errorf("batch %d, with keys that do not exist: %w", seq+1, err)
		}
	}
	for _, k := range []*apikey.Key{keys[0], keys[2]} {
		if err := e.usageIs(ctx, k.ID, usageOf(used(k.ID, 7))); err != nil {
			return err
		}
	}
	if err := e.absent(ctx, keys[1].ID); err != nil {
		return err
	}
	if err := e.add(ctx, keys[1]); err != nil {
		return fmt.Errorf("after usage of its ID was skipped: %w", err)
	}
	if err := e.usageIs(ctx, keys[1].ID, apikey.Usage{}); err != nil {
		return fmt.Errorf("of a key made after usage of its ID was skipped: %w", err)
	}
	return nil
}

func checkUsageVersion(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	if err := e.add(ctx, k); err != nil {
		return err
	}
	for seq := range int64(3) {
		if err := e.addUsage(ctx, batch("node", seq+1, used(k.ID, 1))); err != nil {
			return err
		}
		if err := e.holds(ctx, k.ID, record(k)); err != nil {
			return fmt.Errorf("after AddUsage: %w", err)
		}
	}
	k.Version = 2
	if err := e.Update(ctx, record(k), write("update", k, noCap)); err != nil {
		return fmt.Errorf("Update of version 1 after AddUsage: %w", err)
	}
	return nil
}

func checkBatchSizes(ctx context.Context, e *storeEnv) error {
	keys := testKeys(500, "acct")
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	all := batch("node", 1)
	for i, k := range keys {
		u := used(k.ID, i+1)
		all.Entries = append(all.Entries, u)
		k.Usage = usageOf(u)
	}
	if err := e.addUsage(ctx, all, batch("node", 2), all, batch("other", 1)); err != nil {
		return err
	}
	if err := e.agree(ctx, apikey.Query{Owner: "acct"}, keys); err != nil {
		return err
	}
	many := batch("node", 3)
	for h := range 500 {
		u := used(keys[0].ID, 1)
		u.Hour = epoch.Add(time.Duration(h) * time.Hour)
		many.Entries = append(many.Entries, u)
	}
	if err := e.addUsage(ctx, many, many); err != nil {
		return err
	}
	return e.usageIs(ctx, keys[0].ID, usageOf(append(many.Entries, used(keys[0].ID, 1))...))
}
