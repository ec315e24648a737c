package apikeytest

import (
	"context"
	"fmt"
	"time"

	"github.com/go-apikey/apikey"
)

var capPromises = []promise{
	{
		name:  "Create counts the keys that are live at w.At",
		fix:   "count the owner's keys as Key.Live does, at w.At: revoked and expired ones do not count; disabled, held and scheduled ones do",
		check: checkLive,
	},
	{
		name:  "Create with MaxKeys 0 is refused and with -1 never",
		fix:   "count only if MaxKeys is 0 or more, and refuse where the owner's live keys are at least that many",
		check: checkCapEdges,
	},
	{
		name:  "The cap goes by w.At and by no clock",
		fix:   "compare expiries with w.At, never with now() or time.Now()",
		check: checkCapClock,
	},
	{
		name:  "The cap follows every change of a key",
		fix:   "keep what the cap counts in step with each Update and Delete, in its transaction",
		check: checkCapFollows,
	},
	{
		name:  "Create keeps the cap under 200 concurrent calls",
		fix:   "lock the owner (a row, an advisory lock, a mutex) before counting, and hold it until the insert is committed",
		check: checkCapAtOnce,
	},
	{
		name:  "Update counts the owner's other keys",
		fix:   "with MaxKeys of 0 or more count the owner's live keys without the one that is updated, at w.At",
		check: checkUpdateCap,
	},
	{
		name:  "Update keeps the cap under 200 concurrent later expiries",
		fix:   "lock the owner in Update too, by the lock that Create takes, before counting",
		check: checkUpdateCapAtOnce,
	},
	{
		name:  "Create and Update keep the cap together",
		fix:   "let Create and Update take the same lock of the owner",
		check: checkMixedCapAtOnce,
	},
}

// capIs reports what is wrong if owner does not have n live keys at that time
// as far as Create sees. It leaves none behind.
func (e *storeEnv) capIs(ctx context.Context, n int, owner string, at time.Time, probe int) error {
	k := testKey(probe, owner)
	err := e.Create(ctx, record(k), writeAt(at, k, n))
	if err := want(apikey.ErrKeyQuota, err, "Create at %v with MaxKeys %d and %d live keys", at, n, n); err != nil {
		return err
	}
	if err := e.Create(ctx, record(k), writeAt(at, k, n+1)); err != nil {
		return fmt.Errorf("Create at %v with MaxKeys %d and %d live keys: %w", at, n+1, n, err)
	}
	return e.remove(ctx, k)
}

func checkLive(ctx context.Context, e *storeEnv) error {
	at := epoch.Add(24 * time.Hour)
	edits := []func(*apikey.Key){
		func(*apikey.Key) {},
		func(k *apikey.Key) { k.DisabledAt = at.Add(-time.Hour) },
		func(k *apikey.Key) { k.HeldAt = at.Add(-time.Hour) },
		func(k *apikey.Key) { k.NotBefore = at.Add(time.Hour) },
		func(k *apikey.Key) { k.ExpiresAt = at.Add(time.Hour) },
		func(k *apikey.Key) { k.ExpiresAt = at.Add(time.Microsecond) },
		func(k *apikey.Key) { k.DisabledAt, k.ExpiresAt = at, at.Add(time.Hour) },
		func(k *apikey.Key) { k.ExpiresAt = at },
		func(k *apikey.Key) { k.ExpiresAt = at.Add(-time.Microsecond) },
		func(k *apikey.Key) { k.ExpiresAt = at.Add(-time.Hour) },
		func(k *apikey.Key) { k.RevokedAt = at.Add(-time.Hour) },
		func(k *apikey.Key) { k.RevokedAt = at.Add(time.Hour) },
		func(k *apikey.Key) { k.RevokedAt, k.ExpiresAt = at, at.Add(time.Hour) },
		func(k *apikey.Key) { k.DisabledAt, k.ExpiresAt = at, at.Add(-time.Hour) },
	}
	var keys []*apikey.Key
	for i, edit := range edits {
		k := testKey(i, "acct")
		edit(k)
		other := testKey(500+i, "other")
		edit(other)
		if err := e.add(ctx, k, other); err != nil {
			return err
		}
		keys = append(keys, k)
	}
	for i, now := range []time.Time{at, at.Add(-2 * time.Hour), at.Add(time.Microsecond), at.Add(48 * time.Hour)} {
		live := 0
		for _, k := range keys {
			if k.Live(now) {
				live++
			}
		}
		if err := e.capIs(ctx, live, "acct", now, 1000+i); err != nil {
			return err
		}
	}
	return nil
}

func checkCapEdges(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	if err := want(apikey.ErrKeyQuota, e.Create(ctx, record(k), write("create", k, 0)), "Create with MaxKeys 0 of an owner without keys"); err != nil {
		return err
	}
	if err := e.add(ctx, testKeys(5, "acct")...); err != nil {
		return fmt.Errorf("with MaxKeys -1: %w", err)
	}
	k = testKey(10, "acct")
	return want(apikey.ErrKeyQuota, e.Create(ctx, record(k), write("create", k, 2)), "Create with MaxKeys 2 and 5 live keys")
}

func checkCapClock(ctx context.Context, e *storeEnv) error {
	early, late := testKey(1, "early"), testKey(2, "late")
	early.ExpiresAt = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	late.ExpiresAt = time.Date(8000, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := e.add(ctx, early, late); err != nil {
		return err
	}
	if err := e.capIs(ctx, 1, "early", early.ExpiresAt.Add(-time.Second), 3); err != nil {
		return err
	}
	if err := e.capIs(ctx, 0, "late", late.ExpiresAt.Add(time.Second), 4); err != nil {
		return err
	}
	u := early
	u.Version, u.ExpiresAt = 2, late.ExpiresAt
	if err := e.Update(ctx, record(u), writeAt(epoch, u, 1)); err != nil {
		return fmt.Errorf("Update of the only key with MaxKeys 1: %w", err)
	}
	return e.capIs(ctx, 1, "early", late.ExpiresAt.Add(-time.Second), 5)
}

func checkCapFollows(ctx context.Context, e *storeEnv) error {
	keys := testKeys(3, "acct")
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	steps := []struct {
		live int
		do   func() error
	}{
		{3, func() error { return nil }},
		{2, func() error { return e.change(ctx, keys[0].ID, func(k *apikey.Key) { k.RevokedAt = epoch }) }},
		{1, func() error { return e.change(ctx, keys[1].ID, func(k *apikey.Key) { k.ExpiresAt = epoch }) }},
		{2, func() error {
			return e.change(ctx, keys[1].ID, func(k *apikey.Key) { k.ExpiresAt = epoch.Add(99 * time.Hour) })
		}},
		{3, func() error { return e.add(ctx, testKey(9, "acct")) }},
		{2, func() error { return e.remove(ctx, keys[2]) }},
		{2, func() error { return e.remove(ctx, keys[0]) }},
		{2, func() error { return e.change(ctx, keys[1].ID, func(k *apikey.Key) { k.DisabledAt = epoch }) }},
	}
	for i, s := range steps {
		if err := s.do(); err != nil {
			return err
		}
		if err := e.capIs(ctx, s.live, "acct", epoch.Add(time.Hour), 100+i); err != nil {
			return fmt.Errorf("after step %d (of: none, revoke, expire, later expiry, create, delete a live one, delete a revoked one, disable): %w", i, err)
		}
	}
	return nil
}

const (
	crowd = 200 // calls at once
	room  = 7   // of them that the cap leaves room for
)

// liveAre reports what is wrong if errs do not have exactly room successes, or
// owner not that many live keys.
func (e *storeEnv) liveAre(ctx context.Context, errs []error, owner, call string) error {
	n, err := count(errs, apikey.ErrKeyQuota, call)
	if err != nil {
		return err
	}
	keys, err := e.list(ctx, apikey.Query{Owner: owner})
	if err != nil {
		return err
	}
	live := 0
	for _, k := range keys {
		if k.Live(epoch) {
			live++
		}
	}
	if n != room || live != room {
		return fmt.Errorf("%s: of %d calls at once with MaxKeys %d, %d succeeded and the owner has %d live keys", call, crowd, room, n, live)
	}
	return nil
}

func checkCapAtOnce(ctx context.Context, e *storeEnv) error {
	errs := together(crowd, func(i int) error {
		k := testKey(i, "acct")
		return e.Create(ctx, record(k), writeAt(epoch, k, room))
	})
	return e.liveAre(ctx, errs, "acct", "Create")
}

func checkUpdateCap(ctx context.Context, e *storeEnv) error {
	keys := testKeys(3, "acct")
	keys[2].ExpiresAt = epoch
	if err := e.add(ctx, append(keys, testKey(9, "other"))...); err != nil {
		return err
	}
	update := func(k *apikey.Key, maxKeys int) error {
		k.Version++
		err := e.Update(ctx, record(k), writeAt(epoch, k, maxKeys))
		if err != nil {
			k.Version--
		}
		return err
	}
	before := record(keys[2])
	keys[2].ExpiresAt = epoch.Add(time.Hour)
	if err := want(apikey.ErrKeyQuota, update(keys[2], 2), "Update to a later expiry, MaxKeys 2, two other keys live"); err != nil {
		return err
	}
	if err := e.holds(ctx, keys[2].ID, before); err != nil {
		return fmt.Errorf("after a refused Update: %w", err)
	}
	if err := want(nil, update(keys[0], 2), "Update, MaxKeys 2, one other key live"); err != nil {
		return err
	}
	if err := want(apikey.ErrKeyQuota, update(keys[0], 1), "Update, MaxKeys 1, one other key live"); err != nil {
		return err
	}
	if err := want(nil, update(keys[2], 3), "Update to a later expiry, MaxKeys 3, two other keys live"); err != nil {
		return err
	}
	if err := want(apikey.ErrKeyQuota, update(keys[1], 2), "Update, MaxKeys 2, two other keys live"); err != nil {
		return err
	}
	return want(nil, update(keys[1], noCap), "Update with MaxKeys -1")
}

// revive gives the expired key k a later end.
func (e *storeEnv) revive(ctx context.Context, k *apikey.Key) error {
	later := *k
	later.Version, later.ExpiresAt = 2, epoch.Add(time.Hour)
	return e.Update(ctx, record(&later), writeAt(epoch, &later, room))
}

// expired are n keys of owner that ended before epoch.
func expired(n int, owner string) []*apikey.Key {
	keys := testKeys(n, owner)
	for _, k := range keys {
		k.ExpiresAt = epoch.Add(-time.Minute)
	}
	return keys
}

func checkUpdateCapAtOnce(ctx context.Context, e *storeEnv) error {
	keys := expired(crowd, "acct")
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	errs := together(crowd, func(i int) error { return e.revive(ctx, keys[i]) })
	return e.liveAre(ctx, errs, "acct", "Update to a later expiry")
}

func checkMixedCapAtOnce(ctx context.Context, e *storeEnv) error {
	keys := expired(crowd/2, "acct")
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	errs := together(crowd, func(i int) error {
		if i%2 == 0 {
			return e.revive(ctx, keys[i/2])
		}
		k := testKey(1000+i, "acct")
		return e.Create(ctx, record(k), writeAt(epoch, k, room))
	})
	return e.liveAre(ctx, errs, "acct", "Create and Update to a later expiry")
}
