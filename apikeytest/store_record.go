package apikeytest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

var recordPromises = []promise{
	{
		name:  "A record comes back byte for byte",
		fix:   "keep Record.Bytes in a bytes column that has room for it and read it back with ParseRecord; never rebuild a record from columns",
		check: checkBytes,
	},
	{
		name:  "A record of a later form keeps what this version cannot read",
		fix:   "keep Record.Bytes as they are: a later version appends fields that this one carries along unread",
		check: checkLaterForm,
	},
	{
		name:  "List returns every field of a key",
		fix:   "fill a Page from Record.Key and the usage, not from columns",
		check: checkFields,
	},
	{
		name:  "Times keep their microseconds, from 1970 to 9999",
		fix:   "keep times as microseconds in 64-bit integers, or in a type that has them for these years",
		check: checkMicroseconds,
	},
}

// lastMoment is the last time that a record can hold.
var lastMoment = time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)

// oddKeys are keys whose fields are nil, empty, at their maximum and unusual.
func oddKeys(owner string) []*apikey.Key {
	edits := []func(*apikey.Key){
		func(*apikey.Key) {},
		func(k *apikey.Key) { // nothing that may be missing
			*k = apikey.Key{ID: k.ID, Owner: owner, CreatedAt: k.CreatedAt, Secrets: []apikey.Secret{{}}, Version: 1}
		},
		func(k *apikey.Key) {
			k.Permissions, k.Limits, k.Metadata = apikey.Permissions{}, []apikey.LimitOverride{}, map[string]string{}
		},
		func(k *apikey.Key) {
			k.Metadata = map[string]string{"": "", "a": "", "A": "b", "é": "日本 'quoted\" \\ %"}
		},
		func(k *apikey.Key) { k.Metadata = map[string]string{"big": strings.Repeat("m", 4093)} },
		func(k *apikey.Key) {
			k.Name, k.Description = `a'b"c\d%e_f`, "lines\nof\ttext 🔑 \u00e9 e\u0301 \u0130\u0131ſ"
		},
		func(k *apikey.Key) { k.ID, k.Alias, k.CreatedBy = "a000001", "~s:"+strings.Repeat("l", 509), " x " },
		func(k *apikey.Key) { k.ID = strings.Repeat("Zz", 16) },
		func(k *apikey.Key) { k.NotBefore, k.ExpiresAt = epoch.Add(time.Microsecond), lastMoment },
		func(k *apikey.Key) {
			k.DisabledAt, k.HeldAt, k.RevokedAt = epoch.Add(time.Microsecond), epoch.Add(2*time.Microsecond), lastMoment
		},
		func(k *apikey.Key) {
			k.Secrets = []apikey.Secret{
				{N: 1<<32 - 1, Prefix: "rd_sk_", CreatedAt: lastMoment},
				{N: 1<<32 - 2, Prefix: "rg_live_", CreatedAt: epoch, NotAfter: epoch.Add(time.Hour), EndedAt: epoch.Add(time.Minute)},
			}
		},
		func(k *apikey.Key) {
			k.Limits = []apikey.LimitOverride{{Limit: apikey.PerMinute(60), Until: lastMoment}, {Limit: apikey.PerHour(0)}}
		},
		func(k *apikey.Key) {
			k.Networks = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/33")}
		},
		largestKey,
	}
	keys := make([]*apikey.Key, len(edits))
	for i, edit := range edits {
		keys[i] = testKey(i, owner)
		edit(keys[i])
	}
	return keys
}

// largestKey fills k up to the bounds that a Keyring sets, and beyond.
func largestKey(k *apikey.Key) {
	k.ID = strings.Repeat("9", 32)
	k.Alias = "~s:" + strings.Repeat("\U0001F511", 127)
	k.Name, k.Description = strings.Repeat("\U0001F511", 256), strings.Repeat("\U0001F512", 1024)
	k.Environment = strings.Repeat("e", 64)
	k.CreatedBy = strings.Repeat("日", 85)
	k.Metadata = map[string]string{}
	for i := range 32 {
		k.Metadata[fmt.Sprintf("name-%02d", i)] = strings.Repeat("v", 121)
	}
	k.Permissions = nil // 128 KB of them
	for i := range 1000 {
		k.Permissions = append(k.Permissions, apikey.Permission(fmt.Sprintf("%04d:", i)+strings.Repeat("p", 123)))
	}
	for i := range 64 {
		k.Networks = append(k.Networks, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(i)}), 128))
	}
	for i := range 16 {
		k.Limits = append(k.Limits, apikey.LimitOverride{
			Limit: apikey.Limit{Name: fmt.Sprintf("limit-%02d", i), N: 1_000_000_000, Per: 366 * 24 * time.Hour, Burst: 1_000_000_000},
			Until: lastMoment,
		})
	}
}

func checkBytes(ctx context.Context, e *storeEnv) error {
	owner := strings.Repeat("ö", 127) + "x" // 255 bytes
	keys := oddKeys(owner)
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	for i, k := range keys {
		if err := e.holds(ctx, k.ID, record(k)); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		k.Version = 2
		if err := e.Update(ctx, record(k), write("update", k, noCap)); err != nil {
			return fmt.Errorf("Update of record %d: %w", i, err)
		}
		ref := k.ID
		if k.Alias != "" {
			ref = k.Alias
		}
		if err := e.holds(ctx, ref, record(k)); err != nil {
			return fmt.Errorf("record %d after Update: %w", i, err)
		}
	}
	return nil
}

// later is what a later version might write in place of rec: a higher form
// that this version may read, and fields appended that it does not know.
func later(rec *apikey.Record, form byte, extra ...byte) *apikey.Record {
	b := append(rec.Bytes(), extra...)
	b[0] = form
	l, err := apikey.ParseRecord(b)
	if err != nil {
		panic(err) // a mistake of the suite
	}
	return l
}

func checkLaterForm(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	created := later(record(k), 2, 3, 'n', 'e', 'w', 0, 0xff, 0xfe, '\'', '\n', 0)
	if err := e.Create(ctx, created, write("create", k, noCap)); err != nil {
		return fmt.Errorf("Create: %w", err)
	}
	if err := e.holds(ctx, k.ID, created); err != nil {
		return err
	}
	k.Version = 2
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	updated := later(record(k), 255, every...)
	if err := e.Update(ctx, updated, write("update", k, noCap)); err != nil {
		return fmt.Errorf("Update: %w", err)
	}
	return e.holds(ctx, k.ID, updated)
}

func checkFields(ctx context.Context, e *storeEnv) error {
	keys := oddKeys("acct")
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	all, err := e.list(ctx, apikey.Query{Owner: "acct"})
	if err != nil {
		return err
	}
	byID := map[string]*apikey.Key{}
	for _, k := range all {
		byID[k.ID] = k
	}
	for i, k := range keys {
		if d := diff(k, byID[k.ID]); d != "" {
			return fmt.Errorf("List's key %d (-want +got):\n%s", i, d)
		}
	}
	return nil
}

func checkMicroseconds(ctx context.Context, e *storeEnv) error {
	first := time.UnixMicro(1).UTC()
	made := []time.Time{
		first, first.Add(time.Microsecond), epoch, epoch.Add(time.Microsecond), epoch.Add(2 * time.Microsecond),
		time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC), time.Date(2262, 4, 11, 23, 47, 17, 0, time.UTC),
		lastMoment.Add(-time.Microsecond), lastMoment,
	}
	r := random(1)
	var keys []*apikey.Key
	for i, at := range made {
		k := testKey(i, "acct")
		k.ID = fmt.Sprintf("%03dKey%d", r.n(1000), i) // another order than that of the times
		k.CreatedAt, k.ExpiresAt = at, lastMoment
		k.Secrets[0].CreatedAt = at
		k.Usage = apikey.Usage{Requests: 1, LastUsedAt: at, LastUsed: map[uint32]time.Time{1: at}}
		keys = append(keys, k)
	}
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	var b apikey.UsageBatch
	for _, k := range keys {
		b.Entries = append(b.Entries, apikey.UsageEntry{
			KeyID: k.ID, Secret: 1, Hour: k.CreatedAt.Truncate(time.Hour), LastUsed: k.CreatedAt, Requests: 1,
		})
	}
	slices.SortFunc(b.Entries, func(a, b apikey.UsageEntry) int { return strings.Compare(a.KeyID, b.KeyID) })
	b.Node, b.Seq = "node", 1
	if err := e.AddUsage(ctx, b); err != nil {
		return fmt.Errorf("AddUsage: %w", err)
	}
	for limit := range keys {
		if err := e.agree(ctx, apikey.Query{Owner: "acct", Limit: limit + 1}, keys); err != nil {
			return err
		}
	}
	for _, at := range made {
		for _, q := range []apikey.Query{{UnusedSince: at}, {RotatedBefore: at}} {
			q.Owner = "acct"
			if err := e.agree(ctx, q, keys); err != nil {
				return err
			}
		}
	}
	return nil
}
