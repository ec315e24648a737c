package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-apikey/apikey"
)

// ways in which a write fails.
var writeFaults = []struct {
	name    string
	answer  func(apply func() error) error
	applied bool // the change was stored
	known   bool // the Manager is told that it was not
}{
	{"fails before", func(func() error) error { return errDisk }, false, false},
	{"fails before and says so", func(func() error) error { return fmt.Errorf("%w: %w", apikey.ErrNotApplied, errDisk) }, false, true},
	{"applies and fails", func(apply func() error) error {
		if err := apply(); err != nil {
			return err
		}
		return errDisk
	}, true, false},
	{"panics", func(func() error) error { panic(errDisk) }, false, false},
	{"applies and panics", func(apply func() error) error {
		if err := apply(); err != nil {
			return err
		}
		panic("out of memory")
	}, true, false},
}

// failWrites makes each write fail so, and counts them.
func (r *rig) failWrites(answer func(apply func() error) error) *atomic.Int64 {
	var writes atomic.Int64
	r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
		if !c.writes() {
			return apply()
		}
		writes.Add(1)
		return answer(apply)
	})
	return &writes
}

func TestOutcomeOfFailedWrites(t *testing.T) {
	t.Parallel()
	verbs := append(keyVerbs()[:9], ownerVerbs(outsideToken(t, "rg_live_"))[:2]...)
	for _, f := range writeFaults {
		for _, verb := range verbs {
			t.Run(verb.name+" when the store "+f.name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, nil)
				id := r.keyFor(verb.name, nil)
				before, events := r.snapshot(), len(r.eventsOf(apikey.EventChanged))
				writes := r.failWrites(f.answer)
				err := verb.call(t.Context(), r.as(operator), id)
				if n := writes.Load(); n != 1 {
					t.Errorf("%d writes: a write whose outcome is not known must not be repeated", n)
				}
				if n := len(r.eventsOf(apikey.EventChanged)); n != events {
					t.Errorf("%d events of a change that was not acknowledged", n-events)
				}
				wantOutcome(t, r, err, f.known, id, verb.name)
				if !f.applied {
					r.unchanged(before, verb.name)
				} else if rigDiff(before, r.snapshot()) == "" {
					t.Error("nothing was changed")
				}
			})
		}
	}
}

func wantOutcome(t *testing.T, r *rig, err error, known bool, id, verb string) {
	t.Helper()
	var unknown *apikey.OutcomeUnknownError
	var unavailable *apikey.UnavailableError
	switch isUnknown, isUnavailable := errors.As(err, &unknown), errors.As(err, &unavailable); {
	case known && (!isUnavailable || isUnknown || unavailable.Op != "store" || !errors.Is(err, errDisk)):
		t.Errorf("error %s, want an *UnavailableError of the store", errText(err))
	case known:
	case !isUnknown || isUnavailable:
		t.Errorf("error %s, want an *OutcomeUnknownError", errText(err))
	case verb == "create" || verb == "import":
		// The key that the error names is the one that there may be.
		for _, k := range r.snapshot().Keys {
			if k.ID != id && k.ID != unknown.KeyID {
				t.Errorf("the error names key %s, stored was %s", unknown.KeyID, k.ID)
			}
		}
	case unknown.KeyID != id:
		t.Errorf("the error names key %s, not %s", unknown.KeyID, id)
	}
}

func TestCreateWithUnknownOutcomeCanBeRevoked(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.failWrites(writeFaults[2].answer)
	issued, err := r.as(member).Create(t.Context(), apikey.KeyParams{Name: "new"})
	var unknown *apikey.OutcomeUnknownError
	if issued != nil || !errors.As(err, &unknown) {
		t.Fatalf("Create = %v, %v", issued, err)
	}
	r.store.fail(nil)
	if _, err := r.as(nobody).Revoke(t.Context(), unknown.KeyID); err != nil {
		t.Errorf("Revoke of the key that the error names: %v", err)
	}
}

// A rotate whose outcome is not known is made sure of by another.
func TestRotateWithUnknownOutcomeIsRepeated(t *testing.T) {
	t.Parallel()
	for _, f := range writeFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			first := r.issue(apikey.KeyParams{})
			r.failWrites(f.answer)
			if issued, err := r.as(member).Rotate(t.Context(), first.Key.ID, apikey.RotateParams{Grace: time.Hour}); issued != nil || err == nil {
				t.Fatalf("Rotate = %v, %v", issued, err)
			}
			if got := r.verdict(first.Token.Reveal()); got != "ok" {
				t.Errorf("the first token, which has an hour at least: %s", got)
			}
			r.store.fail(nil)
			again, err := r.as(member).Rotate(t.Context(), first.Key.ID, apikey.RotateParams{})
			if err != nil {
				t.Fatal(err)
			}
			if got := r.verdict(again.Token.Reveal()); got != "ok" {
				t.Errorf("the new token: %s", got)
			}
			if got := r.verdict(first.Token.Reveal()); got == "ok" {
				t.Error("the first token works still")
			}
		})
	}
}

// What the store means by its own errors is no unknown outcome, wrapped or not.
func TestMeaningOfStoreErrors(t *testing.T) {
	t.Parallel()
	for _, known := range []error{apikey.ErrExists, apikey.ErrKeyQuota, apikey.ErrNotFound} {
		r := newRig(t, nil)
		id := r.issue(apikey.KeyParams{}).Key.ID
		r.failWrites(func(func() error) error { return fmt.Errorf("the database said: %w", known) })
		_, err := r.as(operator).Disable(t.Context(), id)
		wantError(t, "Disable", err, known)
		if err != nil && err.Error() != known.Error() {
			t.Errorf("Disable: %q tells of the database", err)
		}
	}
}

func TestFailedReads(t *testing.T) {
	t.Parallel()
	faults := map[string]fault{
		"fails":         func(context.Context, storeCall, func() error) error { return errDisk },
		"panics":        func(context.Context, storeCall, func() error) error { panic("out of memory") },
		"finds nothing": func(context.Context, storeCall, func() error) error { return nil }, // and says no error
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, verb := range keyVerbs() {
				if name == "finds nothing" && verb.name == "get" {
					continue // by List: an empty page is an answer
				}
				r := newRig(t, nil)
				id := r.keyFor(verb.name, nil)
				before := r.snapshot()
				r.store.fail(f)
				err := verb.call(t.Context(), r.as(operator), id)
				var unavailable *apikey.UnavailableError
				if !errors.As(err, &unavailable) || unavailable.Op != "store" {
					t.Errorf("%s: error %s, want an *UnavailableError of the store", verb.name, errText(err))
				}
				r.unchanged(before, verb.name)
			}
		})
	}
}

// A store that does not answer within StoreTimeout.
func TestStoreTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(cfg *apikey.Config) { cfg.Now, cfg.StoreTimeout = nil, 3*time.Second })
		id := r.issue(apikey.KeyParams{}).Key.ID
		hang := func(ops ...string) {
			r.store.fail(func(ctx context.Context, c storeCall, apply func() error) error {
				if slices.Contains(ops, c.op) {
					<-ctx.Done()
					return ctx.Err()
				}
				return apply()
			})
		}
		took := func(what string, call func() error) (err error) {
			start := time.Now()
			err = call()
			if d := time.Since(start); d != 3*time.Second {
				t.Errorf("%s took %v, want StoreTimeout, 3s", what, d)
			}
			wantError(t, what, err, context.DeadlineExceeded)
			return err
		}
		hang("create", "update")
		var unknown *apikey.OutcomeUnknownError
		if err := took("Create", func() error { return call1(r.as(operator).Create(t.Context(), apikey.KeyParams{Name: "x"})) }); !errors.As(err, &unknown) {
			t.Errorf("Create: error %s, want an *OutcomeUnknownError", errText(err))
		}
		if err := took("Disable", func() error { return call1(r.as(operator).Disable(t.Context(), id)) }); !errors.As(err, &unknown) {
			t.Errorf("Disable: error %s, want an *OutcomeUnknownError", errText(err))
		}
		hang("get", "list")
		var unavailable *apikey.UnavailableError
		if err := took("Disable", func() error { return call1(r.as(operator).Disable(t.Context(), id)) }); !errors.As(err, &unavailable) {
			t.Errorf("Disable: error %s, want an *UnavailableError", errText(err))
		}
		if err := took("Get", func() error { return call1(r.as(operator).Get(t.Context(), id)) }); !errors.As(err, &unavailable) {
			t.Errorf("Get: error %s, want an *UnavailableError", errText(err))
		}
		hang()
	})
}

// Where IDs are short some are taken: another is tried.
func TestCreateTriesOtherIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ids := map[string]bool{}
	r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
		if c.op == "create" {
			ids[c.rec.ID()] = true
			if len(ids) < 16 {
				return apikey.ErrExists
			}
		}
		return apply()
	})
	issued := r.issue(apikey.KeyParams{Prefix: "rk_live_"})
	if got := r.verdict(issued.Token.Reveal()); got != "ok" || len(ids) != 16 {
		t.Errorf("with the 16th ID, of %d: %s", len(ids), got)
	}
	writes := r.failWrites(func(func() error) error { return apikey.ErrExists })
	_, err := r.as(operator).Create(t.Context(), apikey.KeyParams{Name: "x"})
	var unavailable *apikey.UnavailableError
	if !errors.As(err, &unavailable) || writes.Load() != 16 {
		t.Errorf("when every ID is taken: %s after %d tries; want an *UnavailableError after 16", errText(err), writes.Load())
	}
}
