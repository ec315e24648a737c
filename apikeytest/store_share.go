package apikeytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-apikey/apikey"
)

var sharePromises = []promise{
	{
		name:  "What List returns is the caller's",
		fix:   "make every Key of a Page anew, its slices and maps too",
		check: checkPageShared,
	},
	{
		name:  "What Usage and History return is the caller's",
		fix:   "copy points and changes, their Fields too, out of what the Store keeps",
		check: checkSeriesShared,
	},
	{
		name:  "Arguments are the caller's again after the call",
		fix:   "copy what is kept of a Write and of a UsageBatch, and sort or change no argument in place",
		check: checkArguments,
	},
	{
		name:  "Unwrap gives another Store with the same keys",
		needs: unwrapper,
		fix:   "return the Store that is wrapped; what is written through one is read through the other",
		check: checkUnwrap,
	},
}

// spoil changes all that can be reached from k.
func spoil(k *apikey.Key) {
	for i := range k.Permissions {
		k.Permissions[i] = "spoiled"
	}
	for i := range k.Limits {
		k.Limits[i].N = -1
	}
	for i := range k.Secrets {
		k.Secrets[i].N = 99
	}
	for name := range k.Metadata {
		k.Metadata[name] = "spoiled"
	}
	for n := range k.Usage.LastUsed {
		k.Usage.LastUsed[n] = time.Unix(1, 0)
	}
	*k = apikey.Key{ID: "spoiled"}
}

func checkPageShared(ctx context.Context, e *storeEnv) error {
	keys := testKeys(3, "acct")
	for _, k := range keys {
		k.Metadata = map[string]string{"a": "b"}
		k.Limits = []apikey.LimitOverride{{Limit: apikey.PerMinute(5)}}
	}
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	for _, k := range keys {
		if err := e.addUsage(ctx, batch("node", 1, used(k.ID, 2))); err != nil {
			return err
		}
		k.Usage = usageOf(used(k.ID, 2))
	}
	for range 2 {
		page, err := e.page(ctx, apikey.Query{Owner: "acct", Limit: 10})
		if err != nil {
			return err
		}
		for i, k := range page.Keys {
			spoil(k)
			page.Keys[i] = nil
		}
		for _, k := range keys {
			if err := e.holds(ctx, k.ID, record(k)); err != nil {
				return fmt.Errorf("after a key of List's was changed: %w", err)
			}
		}
		if err := e.agree(ctx, apikey.Query{Owner: "acct"}, keys); err != nil {
			return fmt.Errorf("after a key of List's was changed: %w", err)
		}
	}
	return nil
}

func checkSeriesShared(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	if err := e.add(ctx, k); err != nil {
		return err
	}
	if err := e.addUsage(ctx, batch("node", 1, inHour(k.ID, 1, 0, 1), inHour(k.ID, 1, 1, 2))); err != nil {
		return err
	}
	for range 2 {
		if usageReader.of(e.Store) {
			if err := e.hoursAre(ctx, k.ID, apikey.UsageQuery{}, []apikey.UsagePoint{point(0, 1), point(1, 2)}); err != nil {
				return fmt.Errorf("after what Usage returned was changed: %w", err)
			}
			points, err := e.hours(ctx, k.ID, apikey.UsageQuery{})
			if err != nil {
				return err
			}
			clear(points)
			_ = append(points[:1], apikey.UsagePoint{Requests: 99})
		}
		if historian.of(e.Store) {
			if err := e.historyIs(ctx, apikey.HistoryQuery{Owner: "acct"}, []apikey.Change{write("create", k, noCap).Change}); err != nil {
				return fmt.Errorf("after what History returned was changed: %w", err)
			}
			changes, err := history(ctx, e.Store, apikey.HistoryQuery{Owner: "acct"})
			if err != nil {
				return err
			}
			for i := range changes {
				clear(changes[i].Fields)
				changes[i] = apikey.Change{}
			}
		}
	}
	return nil
}

func checkArguments(ctx context.Context, e *storeEnv) error {
	keys := testKeys(3, "acct")
	for _, k := range keys {
		w := write("create", k, noCap)
		if err := e.Create(ctx, record(k), w); err != nil {
			return fmt.Errorf("Create: %w", err)
		}
		w.Fields[0] = apikey.FieldChange{Name: "spoiled"}
	}
	b := batch("node", 1, used(keys[0].ID, 1), used(keys[1].ID, 2))
	sent := slices.Clone(b.Entries)
	if err := e.addUsage(ctx, b); err != nil {
		return err
	}
	if d := diff(sent, b.Entries); d != "" {
		return fmt.Errorf("AddUsage changed the batch (-before +after):\n%s", d)
	}
	for i := range b.Entries {
		b.Entries[i] = used(keys[2].ID, 1000)
	}
	for i, k := range keys[:2] {
		k.Usage = usageOf(used(k.ID, i+1))
	}
	q := apikey.Query{
		Owner: "acct", IDs: []string{keys[2].ID, keys[0].ID, keys[1].ID, keys[0].ID}, At: epoch,
		States: []apikey.State{apikey.StateScheduled, apikey.StateActive, apikey.StateExpired},
	}
	asked := q
	asked.IDs, asked.States = slices.Clone(q.IDs), slices.Clone(q.States)
	if err := e.agree(ctx, q, keys); err != nil {
		return fmt.Errorf("after the arguments of other calls were changed: %w", err)
	}
	if d := diff(asked, q); d != "" {
		return fmt.Errorf("List changed its Query (-before +after):\n%s", d)
	}
	if !historian.of(e.Store) {
		return nil
	}
	var changes []apikey.Change
	for _, k := range keys {
		changes = append(changes, write("create", k, noCap).Change)
	}
	if err := e.historyIs(ctx, apikey.HistoryQuery{Owner: "acct"}, changes); err != nil {
		return fmt.Errorf("after the Fields of a Write were changed: %w", err)
	}
	return nil
}

func checkUnwrap(ctx context.Context, e *storeEnv) error {
	u, ok := e.Store.(apikey.Unwrapper)
	if !ok {
		return apikey.ErrUnsupported
	}
	inner := u.Unwrap()
	if inner == nil {
		return errors.New("Unwrap() = nil")
	}
	in := &storeEnv{Store: inner, keys: e.keys, wait: e.wait}
	outer, below := testKey(1, "acct"), testKey(2, "acct")
	if err := e.add(ctx, outer); err != nil {
		return err
	}
	if err := in.add(ctx, below); err != nil {
		return fmt.Errorf("through Unwrap: %w", err)
	}
	if err := in.holds(ctx, outer.ID, record(outer)); err != nil {
		return fmt.Errorf("through Unwrap, what was written through the wrapper: %w", err)
	}
	if err := e.holds(ctx, below.ID, record(below)); err != nil {
		return fmt.Errorf("through the wrapper, what was written through Unwrap: %w", err)
	}
	if err := e.change(ctx, outer.ID, func(k *apikey.Key) { k.Name = "changed" }); err != nil {
		return err
	}
	outer.Version, outer.Name = 2, "changed"
	return in.holds(ctx, outer.ID, record(outer))
}
