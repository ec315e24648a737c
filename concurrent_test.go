package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-apikey/apikey"
)

// capped is a Config with a plan of that many keys.
func capped(maxKeys int) func(*apikey.Config) {
	return func(cfg *apikey.Config) {
		cfg.Plan = func(context.Context, string) (apikey.Plan, error) {
			return apikey.Plan{Name: "small", MaxKeys: maxKeys}, nil
		}
	}
}

// liveKeys is how many keys of the owner count against the cap.
func (r *rig) liveKeys() int {
	n := 0
	for _, k := range r.snapshot().Keys {
		if k.Owner == rigOwner && k.Live(r.now()) {
			n++
		}
	}
	return n
}

// quotaErrors fails unless each error is none or ErrKeyQuota, and returns how many are none.
func quotaErrors(t *testing.T, errs []error) (passed int) {
	t.Helper()
	for _, err := range errs {
		if err == nil {
			passed++
		} else {
			wantError(t, "at the cap", err, apikey.ErrKeyQuota)
		}
	}
	return passed
}

func TestCapHoldsUnderConcurrentCreatesImportsAndExpiries(t *testing.T) {
	t.Parallel()
	const maxKeys = 10
	r := newRig(t, capped(maxKeys))
	var expired []string
	for range maxKeys {
		expired = append(expired, r.issue(apikey.KeyParams{ExpiresAt: rigStart.Add(time.Hour)}).Key.ID)
	}
	r.advance(time.Hour)
	tokens := make([]string, 200)
	for i := range tokens {
		tokens[i] = outsideToken(t, "rg_live_")
	}
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			if n := r.liveKeys(); n > maxKeys {
				t.Errorf("%d live keys, the plan allows %d", n, maxKeys)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	errs := atOnce(200, func(i int) error {
		var err error
		switch i % 3 {
		case 0:
			_, err = r.as(operator).Create(t.Context(), apikey.KeyParams{Name: "new"})
		case 1:
			_, err = r.as(operator).Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "imported"}, Token: tokens[i]})
		case 2:
			later := r.now().Add(time.Duration(1+i) * time.Hour)
			_, err = r.as(operator).Update(t.Context(), expired[i%maxKeys], apikey.KeyUpdate{ExpiresAt: &later})
		}
		return err
	})
	close(stop)
	watching.Wait()
	passed := quotaErrors(t, errs)
	if n := r.liveKeys(); n != maxKeys || passed < maxKeys {
		t.Errorf("%d live keys after %d calls that passed, want %d", n, passed, maxKeys)
	}
}

func TestCapCountsWhatIsLive(t *testing.T) {
	t.Parallel()
	r := newRig(t, capped(2))
	a := r.issue(apikey.KeyParams{ExpiresAt: rigStart.Add(time.Hour)}).Key.ID
	b := r.issue(apikey.KeyParams{NotBefore: rigStart.Add(time.Hour)}).Key.ID
	create := func() error {
		_, err := r.as(operator).Create(t.Context(), apikey.KeyParams{Name: "more"})
		return err
	}
	for _, err := range []error{
		call1(r.as(operator).Disable(t.Context(), a)),
		call1(r.as(operator).Hold(t.Context(), b)),
	} {
		wantError(t, "stopping a key", err, nil)
	}
	before := r.snapshot()
	wantError(t, "create beside a disabled and a scheduled, held one", create(), apikey.ErrKeyQuota)
	_, err := r.as(operator).Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "x"}, Token: outsideToken(t, "rg_live_")})
	wantError(t, "import beside them", err, apikey.ErrKeyQuota)
	r.unchanged(before, "at the cap")

	// What does not make one more passes at the cap.
	for what, err := range map[string]error{
		"enable":    call1(r.as(operator).Enable(t.Context(), a)),
		"rotate":    call1(r.as(operator).Rotate(t.Context(), a, apikey.RotateParams{Grace: time.Minute})),
		"rename":    call1(r.as(operator).Update(t.Context(), a, apikey.KeyUpdate{Name: new("x")})),
		"prolong":   call1(r.as(operator).Update(t.Context(), a, apikey.KeyUpdate{ExpiresAt: new(rigStart.Add(2 * time.Hour))})),
		"of others": call1(r.Keyring("acct_43", operator).Create(t.Context(), apikey.KeyParams{Name: "x"})),
		"import of a revoked one": call1(r.as(operator).Import(t.Context(), apikey.ImportParams{
			KeyParams: apikey.KeyParams{Name: "x"}, Token: outsideToken(t, "rg_live_"), RevokedAt: rigStart,
		})),
		"import of an expired one": call1(r.as(operator).Import(t.Context(), apikey.ImportParams{
			KeyParams: apikey.KeyParams{Name: "x", ExpiresAt: rigStart}, Token: outsideToken(t, "rg_live_"),
		})),
	} {
		wantError(t, what+" at the cap", err, nil)
	}
	wantError(t, "create", create(), apikey.ErrKeyQuota)

	// An expired one makes room, and cannot come back into it.
	r.advance(2 * time.Hour)
	wantError(t, "create when one has expired", create(), nil)
	_, err = r.as(operator).Update(t.Context(), a, apikey.KeyUpdate{ExpiresAt: new(time.Time)})
	wantError(t, "revive the expired one", err, apikey.ErrKeyQuota)
	_, err = r.as(operator).Rotate(t.Context(), a, apikey.RotateParams{})
	wantError(t, "rotate the expired one", err, nil)
	_, err = r.as(operator).Revoke(t.Context(), b)
	wantError(t, "revoke", err, nil)
	_, err = r.as(operator).Update(t.Context(), a, apikey.KeyUpdate{ExpiresAt: new(time.Time)})
	wantError(t, "revive the expired one in the place of a revoked one", err, nil)
	wantError(t, "create", create(), apikey.ErrKeyQuota)
}

// call1 is the error of a call that gives something besides.
func call1[T any](_ T, err error) error { return err }

// A key is prolonged just before it expires. Before that is stored it expires, and another key is made in its place.
func TestCapHoldsWhenAKeyExpiresWhileItIsProlonged(t *testing.T) {
	t.Parallel()
	r := newRig(t, capped(1))
	id := r.issue(apikey.KeyParams{ExpiresAt: rigStart.Add(time.Second)}).Key.ID
	r.advance(time.Second - time.Microsecond)
	r.store.fail(func(ctx context.Context, c storeCall, apply func() error) error {
		if c.op == "update" {
			r.store.fail(nil)
			r.advance(time.Millisecond)
			if _, err := r.as(operator).Create(ctx, apikey.KeyParams{Name: "in its place"}); err != nil {
				t.Errorf("a key in the place of an expired one: %v", err)
			}
		}
		return apply()
	})
	_, err := r.as(operator).Update(t.Context(), id, apikey.KeyUpdate{ExpiresAt: new(time.Time)})
	wantError(t, "prolonging", err, apikey.ErrKeyQuota)
	if n := r.liveKeys(); n != 1 {
		t.Errorf("%d live keys, the plan allows 1", n)
	}
}

func TestPlanOfNoKeysAndPlanThatRefuses(t *testing.T) {
	t.Parallel()
	var plan atomic.Pointer[apikey.Plan]
	plan.Store(&apikey.Plan{Name: "big", MaxKeys: apikey.NoCap})
	r := newRig(t, func(cfg *apikey.Config) {
		cfg.Plan = func(context.Context, string) (apikey.Plan, error) { return *plan.Load(), nil }
	})
	live := r.issue(apikey.KeyParams{}).Key.ID
	expired := r.issue(apikey.KeyParams{ExpiresAt: rigStart.Add(time.Minute)}).Key.ID
	r.advance(time.Hour)
	token := outsideToken(t, "rg_live_")
	calls := func() map[string]error {
		return map[string]error{
			"create": call1(r.as(operator).Create(t.Context(), apikey.KeyParams{Name: "x"})),
			"import": call1(r.as(operator).Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "x"}, Token: token})),
			"revive": call1(r.as(operator).Update(t.Context(), expired, apikey.KeyUpdate{ExpiresAt: new(time.Time)})),
		}
	}
	before := r.snapshot()
	plan.Store(&apikey.Plan{Name: "none", MaxKeys: 0})
	for what, err := range calls() {
		wantError(t, what+" with MaxKeys 0", err, apikey.ErrKeyQuota)
	}
	plan.Store(&apikey.Plan{Name: "unpaid", MaxKeys: apikey.NoCap, Refusal: "The bill is not paid."})
	refused := calls()
	refused["rotate"] = call1(r.as(operator).Rotate(t.Context(), live, apikey.RotateParams{}))
	for what, err := range refused {
		wantError(t, what+" with a plan that refuses", err, apikey.ErrPlan)
		if err != nil && err.Error() != apikey.ErrPlan.Error()+": The bill is not paid." {
			t.Errorf("%s: %q does not say why", what, err)
		}
	}
	r.unchanged(before, "what the plan refuses")

	plan.Store(&apikey.Plan{Name: "none", MaxKeys: 0})
	_, err := r.as(operator).Rotate(t.Context(), live, apikey.RotateParams{})
	wantError(t, "rotate with MaxKeys 0", err, nil)
	plan.Store(&apikey.Plan{Name: "unpaid", Refusal: "The bill is not paid."})
	for what, err := range map[string]error{
		"rename":  call1(r.as(operator).Update(t.Context(), live, apikey.KeyUpdate{Name: new("x")})),
		"disable": call1(r.as(operator).Disable(t.Context(), live)),
		"revoke":  call1(r.as(operator).Revoke(t.Context(), live)),
		"delete":  r.as(operator).Delete(t.Context(), live),
	} {
		if what == "delete" && errors.Is(err, apikey.ErrLive) {
			continue // the map's order put it before the revoke
		}
		wantError(t, what+" with a plan that refuses", err, nil)
	}
}

// serialOrder fails unless the key's history is a chain in which each change begins where the one before it ended, so
// that it explains the key as it is.
func (r *rig) serialOrder(id string) []apikey.Change {
	r.t.Helper()
	changes := r.history(id)
	key := r.get(id)
	if int64(len(changes)) != key.Version {
		r.t.Errorf("%d changes in the history, version %d", len(changes), key.Version)
	}
	now := map[string]string{"permissions": "[]"}
	for i, c := range changes {
		for _, f := range c.Fields {
			if now[f.Name] != f.Old {
				r.t.Errorf("change %d, %s: %s was %q, and %q after the change before", i, c.Action, f.Name, f.Old, now[f.Name])
			}
			now[f.Name] = f.New
		}
	}
	if now["name"] != key.Name || now["description"] != key.Description {
		r.t.Errorf("the history ends in name %q and description %q, the key has %q and %q", now["name"], now["description"], key.Name, key.Description)
	}
	return changes
}

// tokenWatch knows the tokens that a key was given, and looks after each write how many of them work. Writes are made
// one by one, so that what it sees is the key at one moment.
type tokenWatch struct {
	rig     *rig
	writing sync.Mutex
	mu      sync.Mutex
	tokens  []string
	revoked atomic.Bool // a Revoke was acknowledged
}

func (w *tokenWatch) fault(_ context.Context, c storeCall, apply func() error) error {
	if c.op != "update" {
		return apply()
	}
	w.writing.Lock()
	defer w.writing.Unlock()
	err := apply()
	if err == nil {
		w.look()
	}
	return err
}

func (w *tokenWatch) look() {
	revoked := w.revoked.Load()
	w.mu.Lock()
	tokens := slices.Clone(w.tokens)
	w.mu.Unlock()
	live := 0
	for _, token := range tokens {
		if w.rig.verdict(token) == "ok" {
			live++
		}
	}
	if live > 2 {
		w.rig.t.Errorf("%d tokens of one key work", live)
	}
	if revoked && live > 0 {
		w.rig.t.Errorf("%d tokens of a revoked key work", live)
	}
}

func (w *tokenWatch) rotate(p apikey.RotateParams, id string) error {
	issued, err := w.rig.as(operator).Rotate(w.rig.t.Context(), id, p)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens = append(w.tokens, issued.Token.Reveal())
	return nil
}

func TestConcurrentChangesOfOneKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	first := r.issue(apikey.KeyParams{Permissions: apikey.Permissions{"calls:read"}})
	id := first.Key.ID
	w := &tokenWatch{rig: r, tokens: []string{first.Token.Reveal()}}
	r.store.fail(w.fault)
	errs := atOnce(200, func(i int) error {
		switch i % 4 {
		case 0:
			return w.rotate(apikey.RotateParams{}, id)
		case 1:
			return w.rotate(apikey.RotateParams{Grace: time.Hour, EndOldest: true}, id)
		case 2:
			_, err := r.as(member).Update(t.Context(), id, apikey.KeyUpdate{Name: new(fmt.Sprintf("name %d", i))})
			return err
		default:
			_, err := r.as(member).Update(t.Context(), id, apikey.KeyUpdate{Description: new(fmt.Sprintf("text %d", i))})
			return err
		}
	})
	for _, err := range errs {
		wantError(t, "change", err, nil)
	}
	r.serialOrder(id)
	key := r.get(id)
	if key.Version != 201 || key.Secrets[0].N != 101 {
		t.Errorf("version %d and newest secret %d after 200 changes, 100 of them rotations; want 201 and 101", key.Version, key.Secrets[0].N)
	}
	w.look()
	if n := len(w.tokens); n != 101 {
		t.Errorf("%d tokens were handed out, want 101", n)
	}
}

func TestConcurrentChangesAndRevokesOfOneKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	first := r.issue(apikey.KeyParams{Permissions: apikey.Permissions{"calls:read"}})
	id := first.Key.ID
	w := &tokenWatch{rig: r, tokens: []string{first.Token.Reveal()}}
	r.store.fail(w.fault)
	var changes atomic.Int64
	errs := atOnce(200, func(i int) error {
		late := w.revoked.Load()
		var err error
		switch i % 4 {
		case 0:
			err = w.rotate(apikey.RotateParams{Grace: time.Hour, EndOldest: true}, id)
		case 1:
			_, err = r.as(member).Update(t.Context(), id, apikey.KeyUpdate{Name: new(fmt.Sprintf("name %d", i))})
		case 2:
			_, err = r.as(operator).Update(t.Context(), id, apikey.KeyUpdate{Description: new(fmt.Sprintf("text %d", i))})
		default:
			if _, err = r.as(nobody).Revoke(t.Context(), id); err == nil {
				w.revoked.Store(true)
			}
			return err
		}
		if err == nil {
			changes.Add(1)
		}
		if late && err == nil {
			t.Error("a change began after a revoke was acknowledged, and passed")
		}
		if errors.Is(err, apikey.ErrRevoked) {
			return nil
		}
		return err
	})
	for _, err := range errs {
		wantError(t, "change", err, nil)
	}
	history := r.serialOrder(id)
	if last := history[len(history)-1].Action; last != "revoke" {
		t.Errorf("the last change is %s, want revoke", last)
	}
	// Made, changed so often, and revoked once.
	if version, want := r.get(id).Version, changes.Load()+2; version != want {
		t.Errorf("version %d after %d changes and a revoke, want %d", version, changes.Load(), want)
	}
	w.look()
}

func TestRevokedIsForEver(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	issued := r.issue(apikey.KeyParams{ExpiresAt: rigStart.Add(time.Hour)})
	id, token := issued.Key.ID, issued.Token.Reveal()
	ring := r.as(operator)
	r.advance(time.Minute)
	if _, err := ring.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	before := r.snapshot()
	changes := map[string]func() error{
		"update":       func() error { return call1(ring.Update(t.Context(), id, apikey.KeyUpdate{Name: new("x")})) },
		"no expiry":    func() error { return call1(ring.Update(t.Context(), id, apikey.KeyUpdate{ExpiresAt: new(time.Time)})) },
		"empty update": func() error { return call1(ring.Update(t.Context(), id, apikey.KeyUpdate{})) },
		"disable":      func() error { return call1(ring.Disable(t.Context(), id)) },
		"enable":       func() error { return call1(ring.Enable(t.Context(), id)) },
		"hold":         func() error { return call1(ring.Hold(t.Context(), id)) },
		"release":      func() error { return call1(ring.Release(t.Context(), id)) },
		"rotate":       func() error { return call1(ring.Rotate(t.Context(), id, apikey.RotateParams{})) },
		"end-rotation": func() error { return call1(ring.EndRotation(t.Context(), id)) },
	}
	for what, f := range changes {
		wantError(t, what, f(), apikey.ErrRevoked)
		if got := r.verdict(token); got != "revoked" {
			t.Errorf("after %s: %s", what, got)
		}
	}
	r.unchanged(before, "changes of a revoked key")

	for _, clock := range []time.Time{rigStart, rigStart.AddDate(-20, 0, 0), rigStart.AddDate(1, 0, 0)} {
		r.clock.Store(clock.UnixMicro())
		if got := r.verdict(token); got != "revoked" {
			t.Errorf("with the clock at %v: %s", clock, got)
		}
	}
	r.clock.Store(rigStart.Add(time.Hour).UnixMicro())

	imports := map[string]apikey.ImportParams{
		"import of its token":  {KeyParams: apikey.KeyParams{Name: "again"}, Token: token},
		"import of its digest": {KeyParams: apikey.KeyParams{Name: "again", Prefix: "rg_live_"}, ID: id, Digest: apikey.SumToken(token)},
	}
	tryImports := func(when string) {
		for what, p := range imports {
			_, err := ring.Import(t.Context(), p)
			wantError(t, what+when, err, apikey.ErrExists)
			_, err = r.Keyring("acct_43", operator).Import(t.Context(), p)
			wantError(t, what+" for another owner"+when, err, apikey.ErrExists)
		}
	}
	tryImports("")
	if err := ring.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	tryImports(" after Delete")
	for what, f := range changes {
		wantError(t, what+" after Delete", f(), apikey.ErrNotFound)
	}
	wantError(t, "revoke after Delete", call1(ring.Revoke(t.Context(), id)), apikey.ErrNotFound)
	wantError(t, "Delete after Delete", ring.Delete(t.Context(), id), apikey.ErrNotFound)
	if got := r.verdict(token); got != "invalid" {
		t.Errorf("after Delete: %s", got)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	live := r.issue(apikey.KeyParams{}).Key.ID
	disabled := r.keyFor("enable", nil)
	expiring := r.issue(apikey.KeyParams{ExpiresAt: rigStart.Add(time.Minute)})
	before := r.snapshot()
	for what, id := range map[string]string{"active": live, "disabled": disabled, "expiring": expiring.Key.ID} {
		wantError(t, "Delete of a key that is "+what, r.as(operator).Delete(t.Context(), id), apikey.ErrLive)
	}
	r.unchanged(before, "Delete of live keys")

	r.advance(time.Minute)
	if err := r.as(operator).Delete(t.Context(), expiring.Key.ID); err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, c := range r.history(expiring.Key.ID) {
		actions = append(actions, c.Action)
	}
	if d := rigDiff([]string{"create", "revoke", "delete"}, actions); d != "" {
		t.Errorf("history of a deleted key (-want +got):\n%s", d)
	}
	_, err := r.as(operator).Get(t.Context(), expiring.Key.ID)
	wantError(t, "Get of a deleted key", err, apikey.ErrNotFound)

	// Somebody prolongs it in between: it is revoked by then, and stays so.
	id := r.issue(apikey.KeyParams{ExpiresAt: r.now().Add(time.Minute)}).Key.ID
	r.advance(time.Hour)
	r.store.fail(func(ctx context.Context, c storeCall, apply func() error) error {
		if c.op == "delete" {
			r.store.fail(nil)
			_, err := r.as(operator).Update(ctx, id, apikey.KeyUpdate{ExpiresAt: new(time.Time)})
			wantError(t, "prolonging a key while it is deleted", err, apikey.ErrRevoked)
		}
		return apply()
	})
	wantError(t, "Delete", r.as(operator).Delete(t.Context(), id), nil)
}

// A store that lets nobody win ends in ErrConflict, not in an endless loop.
func TestChangeGivesUpAtLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		id := r.issue(apikey.KeyParams{}).Key.ID
		before := r.snapshot()
		r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
			if c.op == "update" {
				return fmt.Errorf("wrapped: %w", apikey.ErrConflict)
			}
			return apply()
		})
		_, err := r.as(operator).Disable(t.Context(), id)
		wantError(t, "Disable", err, apikey.ErrConflict)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err = r.as(operator).Disable(ctx, id)
		wantError(t, "Disable with a deadline", err, context.DeadlineExceeded)
		r.store.fail(nil)
		r.unchanged(before, "Disable")
	})
}
