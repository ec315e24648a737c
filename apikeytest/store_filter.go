package apikeytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

var filterPromises = []promise{
	{
		name:  "States go by q.At",
		fix:   "compute the state from the record's times at q.At, as Key.State does; store no state and ask no clock",
		check: checkStates,
	},
	{
		name:  "UnusedSince goes by last use, or by creation if there was none",
		fix:   "compare coalesce(last_used, created_at) < q.UnusedSince, with the usage that was flushed last",
		check: checkUnused,
	},
	{
		name:  "RotatedBefore goes by the newest secret",
		fix:   "compare Secrets[0].CreatedAt < q.RotatedBefore",
		check: checkRotated,
	},
	{
		name:  "ExpiresBefore leaves out keys that do not expire",
		fix:   "a zero ExpiresAt is no time, so it is before nothing; compare expires_at < q.ExpiresBefore",
		check: checkExpires,
	},
	{
		name:  "IDs narrow: nil is any, an empty list none",
		fix:   "tell nil from an empty list, take 500 IDs, and let the owner and every other filter hold besides",
		check: checkIDFilter,
	},
	{
		name:  "Environment is exact",
		fix:   "compare the environment byte by byte",
		check: checkEnvironment,
	},
	{
		name:  "Query.Match is the meaning of all filters together",
		fix:   "filter in the database as much as you like, then ask Query.Match of what is left",
		check: checkMatch,
	},
}

// moments are times around which the keys of the filters' tests live.
func moments(r *random) time.Time {
	return epoch.Add(time.Duration(r.n(5)-2) * pick(r, time.Microsecond, time.Hour))
}

func checkStates(ctx context.Context, e *storeEnv) error {
	var keys []*apikey.Key
	for i := range 32 {
		for j := range 2 {
			k := testKey(i*2+j, "acct")
			for bit, t := range []*time.Time{&k.RevokedAt, &k.HeldAt, &k.DisabledAt, &k.ExpiresAt, &k.NotBefore} {
				if i>>bit&1 == 1 {
					*t = epoch.Add(time.Duration(bit*j) * time.Hour)
				}
			}
			keys = append(keys, k)
		}
	}
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	for _, at := range []time.Time{
		epoch, epoch.Add(-time.Microsecond), epoch.Add(time.Microsecond), epoch.Add(3 * time.Hour), epoch.Add(5 * time.Hour),
		time.UnixMicro(1).UTC(), lastMoment,
	} {
		for _, states := range [][]apikey.State{
			{apikey.StateActive},
			{apikey.StateScheduled},
			{apikey.StateExpired},
			{apikey.StateDisabled},
			{apikey.StateHeld},
			{apikey.StateRevoked},
			{apikey.StateActive, apikey.StateExpired, apikey.StateActive},
			{apikey.StateRevoked, apikey.StateHeld, apikey.StateDisabled, apikey.StateExpired, apikey.StateScheduled, apikey.StateActive},
			{},
		} {
			if err := e.agree(ctx, apikey.Query{Owner: "acct", States: states, At: at}, keys); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkUnused(ctx context.Context, e *storeEnv) error {
	keys := testKeys(6, "acct")
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	agree := func() error {
		for _, at := range []time.Duration{0, time.Second, 3 * time.Second, time.Hour, time.Hour + time.Microsecond, 3 * time.Hour} {
			if err := e.agree(ctx, apikey.Query{Owner: "acct", UnusedSince: epoch.Add(at)}, keys); err != nil {
				return err
			}
		}
		return nil
	}
	if err := agree(); err != nil {
		return fmt.Errorf("before any use: %w", err)
	}
	var b apikey.UsageBatch
	for i, k := range keys[:3] {
		u := used(k.ID, 1)
		u.LastUsed = epoch.Add(time.Duration(i) * time.Hour)
		u.Hour = u.LastUsed
		b.Entries = append(b.Entries, u)
		k.Usage = usageOf(u)
	}
	refused := apikey.UsageEntry{KeyID: keys[4].ID, Secret: 1, Hour: epoch.Add(2 * time.Hour), Limited: 3}
	b.Entries = append(b.Entries, refused) // which is no use
	keys[4].Usage = usageOf(refused)
	b.Node, b.Seq = "node", 1
	if err := e.AddUsage(ctx, b); err != nil {
		return fmt.Errorf("AddUsage: %w", err)
	}
	return agree()
}

func checkRotated(ctx context.Context, e *storeEnv) error {
	keys := testKeys(6, "acct")
	for i, k := range keys {
		k.Secrets[0].CreatedAt = epoch.Add(time.Duration(i) * time.Hour)
		if i%2 == 1 {
			k.Secrets = append(k.Secrets, apikey.Secret{N: 2, Prefix: "sk_", CreatedAt: epoch.Add(-time.Hour), EndedAt: epoch})
		}
	}
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	for i := range 7 {
		for _, d := range []time.Duration{-time.Microsecond, 0, time.Microsecond} {
			q := apikey.Query{Owner: "acct", RotatedBefore: epoch.Add(time.Duration(i)*time.Hour + d)}
			if err := e.agree(ctx, q, keys); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkExpires(ctx context.Context, e *storeEnv) error {
	keys := testKeys(6, "acct")
	for i, k := range keys[:4] {
		k.ExpiresAt = epoch.Add(time.Duration(i) * time.Microsecond)
	}
	keys[4].ExpiresAt = lastMoment
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	for i := -1; i < 6; i++ {
		q := apikey.Query{Owner: "acct", ExpiresBefore: epoch.Add(time.Duration(i) * time.Microsecond)}
		if err := e.agree(ctx, q, keys); err != nil {
			return err
		}
	}
	return e.agree(ctx, apikey.Query{Owner: "acct", ExpiresBefore: lastMoment}, keys)
}

func checkIDFilter(ctx context.Context, e *storeEnv) error {
	keys := testKeys(20, "acct")
	keys[3].Alias = "~legacy:3"
	for i := range 5 {
		keys = append(keys, testKey(100+i, "other"))
	}
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	var many []string
	for i := range 500 {
		many = append(many, testKey(i, "").ID)
	}
	for _, list := range [][]string{
		nil,
		{},
		{keys[2].ID},
		{keys[5].ID, keys[2].ID, keys[19].ID},
		{keys[2].ID, keys[2].ID},
		{keys[2].ID, "Key999999999", "", "'; --", "%", "\x00", "\xff"},
		{keys[3].Alias},
		{keys[21].ID},
		many,
	} {
		for _, q := range []apikey.Query{{Owner: "acct"}, {AllOwners: true}, {Owner: "acct", Text: "key 2"}, {Owner: "acct", Limit: 2}} {
			q.IDs = list
			if err := e.agree(ctx, q, keys); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkEnvironment(ctx context.Context, e *storeEnv) error {
	names := []string{"live", "Live", "live ", "", "test", "li", "liv%", "liv_"}
	var keys []*apikey.Key
	for i, name := range names {
		k := testKey(i, "acct")
		k.Environment = name
		keys = append(keys, k)
	}
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	for _, name := range append(names, "LIVE", "%", "l") {
		if err := e.agree(ctx, apikey.Query{Owner: "acct", Environment: name}, keys); err != nil {
			return err
		}
	}
	return nil
}

// randomKey is the n-th, and what it was used for.
func randomKey(r *random, n int) (*apikey.Key, []apikey.UsageEntry) {
	k := testKey(n, pick(r, "acct", "acct", "acct", "Acct", "other"))
	k.CreatedAt = moments(r)
	words := []string{"Alpha", "beta", "100%", "a_b", "ÉTÉ", "Straße", "\u212aelvin", "x"}
	k.Name, k.Description = pick(r, words...)+" "+pick(r, words...), pick(r, words...)
	k.Environment = pick(r, "live", "test", "")
	for _, t := range []*time.Time{&k.NotBefore, &k.ExpiresAt, &k.DisabledAt, &k.HeldAt, &k.RevokedAt} {
		if r.n(4) == 0 {
			*t = moments(r)
		}
	}
	k.Secrets[0].CreatedAt = moments(r)
	if r.n(2) == 0 {
		return k, nil
	}
	u := used(k.ID, 1+r.n(5))
	u.LastUsed = moments(r)
	u.Hour = u.LastUsed.Truncate(time.Hour)
	k.Usage = usageOf(u)
	return k, []apikey.UsageEntry{u}
}

func randomQuery(r *random, keys []*apikey.Key) apikey.Query {
	q := apikey.Query{Owner: pick(r, "acct", "acct", "Acct", "other", ""), At: moments(r), Limit: pick(r, 7, 50, 1000)}
	q.AllOwners = r.n(3) == 0
	if r.n(4) == 0 {
		q.IDs = make([]string, r.n(40))
		for i := range q.IDs {
			q.IDs[i] = keys[r.n(len(keys))].ID
		}
	}
	if r.n(3) == 0 {
		q.Text = pick(r, "a", "ALPHA", "%", "_", "été", "STRASSE", "stra\u1e9ee", "kelvin", "a b", "nothing")
	}
	if r.n(4) == 0 {
		q.Environment = pick(r, "live", "test", "Live")
	}
	if r.n(3) == 0 {
		all := []apikey.State{
			apikey.StateActive, apikey.StateScheduled, apikey.StateExpired, apikey.StateDisabled, apikey.StateHeld, apikey.StateRevoked,
		}
		i := r.n(len(all))
		q.States = all[i : i+r.n(len(all)-i+1)]
	}
	for _, t := range []*time.Time{&q.UnusedSince, &q.RotatedBefore, &q.ExpiresBefore} {
		if r.n(6) == 0 {
			*t = moments(r)
		}
	}
	return q
}

func checkMatch(ctx context.Context, e *storeEnv) error {
	r := random(3)
	var keys []*apikey.Key
	b := apikey.UsageBatch{Node: "node", Seq: 1}
	for i := range 150 {
		k, entries := randomKey(&r, i)
		keys = append(keys, k)
		b.Entries = append(b.Entries, entries...)
	}
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	slices.SortFunc(b.Entries, func(a, b apikey.UsageEntry) int { return strings.Compare(a.KeyID, b.KeyID) })
	if err := e.AddUsage(ctx, b); err != nil {
		return fmt.Errorf("AddUsage: %w", err)
	}
	for range 150 {
		if err := e.agree(ctx, randomQuery(&r, keys), keys); err != nil {
			return err
		}
	}
	return nil
}
