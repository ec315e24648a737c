package apikey_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

func withPeppers(peppers ...apikey.Pepper) func(*apikey.Config) {
	return func(cfg *apikey.Config) { cfg.Now, cfg.Peppers = nil, peppers }
}

// restart ends a rig and starts another on the same keys.
func (r *rig) restart(t *testing.T, configure func(*apikey.Config)) *rig {
	t.Helper()
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return newRigOn(t, &faultyStore{Store: r.store.Store}, configure)
}

func (r *rig) record(id string) []byte {
	r.t.Helper()
	rec, err := r.store.Store.Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec.Bytes()
}

// Keys made without a pepper, or with an older one, get a digest of the newest at their next use.
func TestDigestIsReplacedAtTheNextUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p1, p2 := mustPepper(t, 1), mustPepper(t, 2)
		r := newRig(t, withPeppers())
		ts := tokens{r.issue(apikey.KeyParams{})}
		id := ts[0].Key.ID
		r.rotate(&ts, apikey.RotateParams{Grace: apikeyMaxGrace})
		for _, tt := range []struct {
			name    string
			peppers []apikey.Pepper
		}{
			{"a first pepper", []apikey.Pepper{p1}},
			{"a second pepper", []apikey.Pepper{p2, p1}},
			{"back to the first", []apikey.Pepper{p1, p2}},
		} {
			r = r.restart(t, withPeppers(tt.peppers...))
			for i, issued := range ts {
				version := r.get(id).Version
				for n := range 3 {
					if got := r.verdict(issued.Token.Reveal()); got != "ok" {
						t.Fatalf("%s, token %d, use %d: %s", tt.name, i, n, got)
					}
					synctest.Wait()
					if got := r.get(id).Version; got != version+1 {
						t.Errorf("%s, token %d: version %d after use %d, want %d: replaced once", tt.name, i, got, n, version+1)
					}
				}
			}
			last := r.history(id)[len(r.history(id))-1]
			if last.Action != "rehash" || last.Actor != "" || len(last.Fields) != 0 {
				t.Errorf("%s: the history says %+v", tt.name, last)
			}
			if n := len(r.eventsOf(apikey.EventRehash)); n != 0 {
				t.Errorf("%s: %d events, though nothing failed", tt.name, n)
			}
		}
		// Only the newest is needed now.
		r = r.restart(t, withPeppers(p1))
		r.wantVerdicts("with the newest pepper alone", ts, "ok", "ok")
		r = r.restart(t, withPeppers(p2))
		r.wantVerdicts("with another pepper", ts, "unavailable pepper", "unavailable pepper")
		r = r.restart(t, withPeppers())
		r.wantVerdicts("without a pepper", ts, "unavailable pepper", "unavailable pepper")
		r = r.restart(t, withPeppers(p2, p1))
		r.wantVerdicts("with the pepper back", ts, "ok", "ok")
	})
}

// A wrong token, and one that is refused, replace nothing.
func TestDigestIsReplacedByAGoodUseOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withPeppers())
		disabled, limited := r.issue(apikey.KeyParams{}), r.issue(apikey.KeyParams{Limits: []apikey.LimitOverride{{Limit: daily(1)}}})
		if got := r.passes(limited.Token.Reveal()); got != 1 {
			t.Fatal(got)
		}
		if _, err := r.as(operator).Disable(t.Context(), disabled.Key.ID); err != nil {
			t.Fatal(err)
		}
		limiter := apikey.NewTokenBuckets()
		r = r.restart(t, func(cfg *apikey.Config) {
			withPeppers(mustPepper(t, 1))(cfg)
			cfg.Limiter = limiter
		})
		before := r.snapshot()
		r.verdict(disabled.Token.Reveal())
		p, _, err := r.Verify(t.Context(), apikey.Request{Token: limited.Token.Reveal(), All: []apikey.Permission{"calls:read"}})
		if p != nil || err == nil {
			t.Fatal("the key may do nothing")
		}
		if _, _, err := r.Lookup(t.Context(), limited.Token.Reveal()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.unchanged(before, "refused uses")
	})
}

// Between the use of a key and the replacing of its digest somebody changes the key: their change stands.
func TestDigestUpgradeOverwritesNothing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(context.Context, *apikey.Keyring, string) error{
		"revoke": func(ctx context.Context, ring *apikey.Keyring, id string) error { return call1(ring.Revoke(ctx, id)) },
		"rename": func(ctx context.Context, ring *apikey.Keyring, id string) error {
			return call1(ring.Update(ctx, id, apikey.KeyUpdate{Name: new("other")}))
		},
		"rotate": func(ctx context.Context, ring *apikey.Keyring, id string) error {
			return call1(ring.Rotate(ctx, id, apikey.RotateParams{}))
		},
		"delete": func(ctx context.Context, ring *apikey.Keyring, id string) error {
			if _, err := ring.Revoke(ctx, id); err != nil {
				return err
			}
			return ring.Delete(ctx, id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, withPeppers())
				issued := r.issue(apikey.KeyParams{})
				id, token := issued.Key.ID, issued.Token.Reveal()
				r = r.restart(t, withPeppers(mustPepper(t, 1)))
				var changed snapshot
				var record []byte
				r.store.fail(func(ctx context.Context, c storeCall, apply func() error) error {
					if c.op == "update" {
						r.store.fail(nil)
						if err := change(ctx, r.as(operator), id); err != nil {
							t.Error(err)
						}
						changed = r.snapshot()
						if name != "delete" {
							record = r.record(id)
						}
					}
					return apply()
				})
				if got := r.verdict(token); got != "ok" {
					t.Fatal(got)
				}
				synctest.Wait()
				r.unchanged(changed, "the upgrade")
				if name != "delete" && !bytes.Equal(record, r.record(id)) {
					t.Error("the digest was replaced in what had changed")
				}
				if events := r.eventsOf(apikey.EventRehash); len(events) != 0 {
					t.Errorf("an event of what is no failure: %v", events[0].Err)
				}
				want := map[string]string{"revoke": "revoked", "rename": "ok", "rotate": "rotated", "delete": "invalid"}[name]
				if got := r.verdict(token); got != want {
					t.Errorf("the token after %s: %s, want %s", name, got, want)
				}
			})
		})
	}
}

// A store that cannot take the new digest refuses nobody. It is told of, and tried again.
func TestDigestUpgradeFails(t *testing.T) {
	t.Parallel()
	for _, f := range writeFaults {
		if f.applied {
			continue
		}
		t.Run("the store "+f.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, withPeppers())
				issued := r.issue(apikey.KeyParams{})
				id, token := issued.Key.ID, issued.Token.Reveal()
				r = r.restart(t, withPeppers(mustPepper(t, 1)))
				writes := r.failWrites(f.answer)
				use := func() {
					for range 10 {
						if got := r.verdict(token); got != "ok" {
							t.Error(got)
						}
						synctest.Wait()
					}
				}
				use()
				if n := writes.Load(); n != 1 {
					t.Errorf("%d writes for ten uses at once", n)
				}
				if events := r.eventsOf(apikey.EventRehash); len(events) != 1 || events[0].KeyID != id || events[0].Err == nil {
					t.Errorf("events %+v", events)
				}
				r.store.fail(nil)
				if err := r.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				use()
				if version := r.get(id).Version; version != 2 {
					t.Errorf("version %d when the store is back: it was not tried again", version)
				}
			})
		})
	}
}

// More keys than fit into the queue are used at once: all are upgraded in the end.
func TestDigestUpgradeOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withPeppers())
		var all []*apikey.Issued
		for i := range 1000 {
			all = append(all, r.issue(apikey.KeyParams{Name: fmt.Sprint("key ", i)}))
		}
		r = r.restart(t, withPeppers(mustPepper(t, 1)))
		for range 20 {
			for _, issued := range all {
				if got := r.verdict(issued.Token.Reveal()); got != "ok" {
					t.Fatal(got)
				}
			}
			synctest.Wait()
		}
		for _, issued := range all {
			if version := r.get(issued.Key.ID).Version; version != 2 {
				t.Fatalf("version %d", version)
			}
		}
	})
}

// Two Managers on one store, each with its own peppers, as while a new one is rolled out: neither refuses a good token.
func TestDigestUpgradeWhilePeppersAreRolledOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		p1, p2 := mustPepper(t, 1), mustPepper(t, 2)
		before := newRigOn(t, &faultyStore{Store: store}, withPeppers(p1, p2))
		after := newRigOn(t, &faultyStore{Store: store}, withPeppers(p2, p1))
		token := before.issue(apikey.KeyParams{}).Token.Reveal()
		for range 20 {
			for _, r := range []*rig{before, after} {
				if got := r.verdict(token); got != "ok" {
					t.Fatal(got)
				}
			}
			synctest.Wait()
		}
	})
}
