package apikey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// keyVerb is a call about one key.
type keyVerb struct {
	name string
	call func(ctx context.Context, r *apikey.Keyring, id string) error
}

// keyVerbs are all calls about one key, of which those that read are last.
func keyVerbs() []keyVerb {
	one := func(name string, f func(*apikey.Keyring, context.Context, string) (*apikey.Key, error)) keyVerb {
		return keyVerb{name, func(ctx context.Context, r *apikey.Keyring, id string) error {
			_, err := f(r, ctx, id)
			return err
		}}
	}
	return []keyVerb{
		one("disable", (*apikey.Keyring).Disable),
		one("enable", (*apikey.Keyring).Enable),
		one("hold", (*apikey.Keyring).Hold),
		one("release", (*apikey.Keyring).Release),
		one("revoke", (*apikey.Keyring).Revoke),
		one("end-rotation", (*apikey.Keyring).EndRotation),
		{"update", func(ctx context.Context, r *apikey.Keyring, id string) error {
			_, err := r.Update(ctx, id, apikey.KeyUpdate{Name: new("renamed")})
			return err
		}},
		{"rotate", func(ctx context.Context, r *apikey.Keyring, id string) error {
			_, err := r.Rotate(ctx, id, apikey.RotateParams{})
			return err
		}},
		{"delete", func(ctx context.Context, r *apikey.Keyring, id string) error { return r.Delete(ctx, id) }},
		one("get", (*apikey.Keyring).Get),
		{"usage", func(ctx context.Context, r *apikey.Keyring, id string) error {
			_, err := r.Usage(ctx, id, apikey.UsageQuery{})
			return err
		}},
	}
}

// ownerVerbs are the calls that are not about one key.
func ownerVerbs(token string) []keyVerb {
	return []keyVerb{
		{"create", func(ctx context.Context, r *apikey.Keyring, _ string) error {
			_, err := r.Create(ctx, apikey.KeyParams{Name: "new"})
			return err
		}},
		{"import", func(ctx context.Context, r *apikey.Keyring, _ string) error {
			_, err := r.Import(ctx, apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "imported"}, Token: token})
			return err
		}},
		{"list", func(ctx context.Context, r *apikey.Keyring, _ string) error {
			_, err := r.List(ctx, apikey.Query{})
			return err
		}},
		{"history", func(ctx context.Context, r *apikey.Keyring, _ string) error {
			_, err := r.History(ctx, apikey.HistoryQuery{})
			return err
		}},
		{"revoke-all", func(ctx context.Context, r *apikey.Keyring, _ string) error {
			_, err := r.RevokeAll(ctx)
			return err
		}},
	}
}

// outsideToken is a well-formed token that no Store of a test knows.
func outsideToken(t *testing.T, prefix string) string {
	t.Helper()
	m, err := apikey.New(memstore.New(), &apikey.Config{Formats: rigFormats()})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := m.Keyring("elsewhere", operator).Create(t.Context(), apikey.KeyParams{Name: "elsewhere", Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return issued.Token.Reveal()
}

// A key for each verb, in the state in which it has something to do.
func (r *rig) keyFor(verb string, perms apikey.Permissions) string {
	r.t.Helper()
	id := r.issue(apikey.KeyParams{Permissions: perms}).Key.ID
	ring := r.as(operator)
	var err error
	switch verb {
	case "enable":
		_, err = ring.Disable(r.t.Context(), id)
	case "release":
		_, err = ring.Hold(r.t.Context(), id)
	case "delete":
		_, err = ring.Revoke(r.t.Context(), id)
	case "end-rotation":
		_, err = ring.Rotate(r.t.Context(), id, apikey.RotateParams{Grace: time.Hour})
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func TestKeyringCeilingOfEachVerb(t *testing.T) {
	t.Parallel()
	actors := []apikey.Actor{nobody, junior, member, operator}
	stops := map[string]bool{"disable": true, "revoke": true} // anybody may
	reads := map[string]bool{"get": true, "usage": true}
	operators := map[string]bool{"hold": true, "release": true}
	for _, verb := range keyVerbs() {
		for _, by := range actors {
			t.Run(fmt.Sprintf("%s by %q", verb.name, by.ID), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, nil)
				id := r.keyFor(verb.name, apikey.Permissions{"calls:read", "calls:create"})
				before := r.snapshot()
				may := by.IsOperator() || stops[verb.name] || reads[verb.name] || by.ID == "member" && !operators[verb.name]
				err := verb.call(t.Context(), r.as(by), id)
				if may {
					wantError(t, verb.name, err, nil)
					if !reads[verb.name] && rigDiff(before, r.snapshot()) == "" {
						t.Error("it was allowed and did nothing")
					}
					return
				}
				wantError(t, verb.name, err, apikey.ErrForbidden)
				r.unchanged(before, verb.name)
			})
		}
	}
}

func TestKeyringCeilingOfKeysAsTheyWillBe(t *testing.T) {
	t.Parallel()
	perms := func(p ...apikey.Permission) *apikey.Permissions { return (*apikey.Permissions)(&p) }
	create := func(p apikey.KeyParams) func(context.Context, *apikey.Keyring, string) error {
		p.Name = "new"
		return func(ctx context.Context, r *apikey.Keyring, _ string) error {
			_, err := r.Create(ctx, p)
			return err
		}
	}
	update := func(u apikey.KeyUpdate) func(context.Context, *apikey.Keyring, string) error {
		return func(ctx context.Context, r *apikey.Keyring, id string) error {
			_, err := r.Update(ctx, id, u)
			return err
		}
	}
	limits := []apikey.LimitOverride{{Limit: apikey.PerMinute(5)}}
	tests := []struct {
		name string
		by   apikey.Actor
		was  apikey.Permissions
		call func(context.Context, *apikey.Keyring, string) error
		want error
	}{
		{"create within", member, nil, create(apikey.KeyParams{Permissions: *perms("calls:create", "users:read")}), nil},
		{"create at the ceiling", member, nil, create(apikey.KeyParams{Permissions: *perms("calls:*")}), nil},
		{"create above", member, nil, create(apikey.KeyParams{Permissions: *perms("calls:read", "users:write")}), apikey.ErrForbidden},
		{"create a wider wildcard", member, nil, create(apikey.KeyParams{Permissions: *perms("*:read")}), apikey.ErrForbidden},
		{"create with anything by nobody", nobody, nil, create(apikey.KeyParams{Permissions: *perms("calls:read")}), apikey.ErrForbidden},
		{"create a key that may do nothing, by nobody", nobody, nil, create(apikey.KeyParams{}), nil},
		{"create with limits", member, nil, create(apikey.KeyParams{Limits: limits}), apikey.ErrForbidden},
		{"create with metadata", member, nil, create(apikey.KeyParams{Metadata: map[string]string{"a": "b"}}), apikey.ErrForbidden},
		{"create with both by an operator", operator, nil, create(apikey.KeyParams{Limits: limits, Metadata: map[string]string{"a": "b"}}), nil},
		{"raise within", member, *perms("calls:read"), update(apikey.KeyUpdate{Permissions: perms("calls:*")}), nil},
		{"raise above", member, *perms("calls:read"), update(apikey.KeyUpdate{Permissions: perms("calls:read", "users:write")}), apikey.ErrForbidden},
		{"raise above by a little", junior, *perms("calls:read"), update(apikey.KeyUpdate{Permissions: perms("calls:*")}), apikey.ErrForbidden},
		{"lower what exceeds", junior, *perms("calls:*"), update(apikey.KeyUpdate{Permissions: perms("calls:read")}), apikey.ErrForbidden},
		{"rename what exceeds", junior, *perms("calls:*"), update(apikey.KeyUpdate{Name: new("x")}), apikey.ErrForbidden},
		{"change nothing of what exceeds", junior, *perms("calls:*"), update(apikey.KeyUpdate{}), apikey.ErrForbidden},
		{"anything by an operator", operator, *perms("calls:*"), update(apikey.KeyUpdate{Permissions: perms("*")}), nil},
		{"set limits", member, *perms("calls:read"), update(apikey.KeyUpdate{Limits: &limits}), apikey.ErrForbidden},
		{"clear limits", member, *perms("calls:read"), update(apikey.KeyUpdate{Limits: new([]apikey.LimitOverride)}), apikey.ErrForbidden},
		{"set metadata", member, *perms("calls:read"), update(apikey.KeyUpdate{Metadata: &map[string]string{"a": "b"}}), apikey.ErrForbidden},
		{"import by one with all permissions", apikey.Actor{Ceiling: *perms("*")}, nil, func(ctx context.Context, r *apikey.Keyring, _ string) error {
			_, err := r.Import(ctx, apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "imported"}, Token: outsideToken(t, "rg_live_")})
			return err
		}, apikey.ErrForbidden},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			id := r.issue(apikey.KeyParams{Permissions: tt.was}).Key.ID
			before := r.snapshot()
			wantError(t, tt.name, tt.call(t.Context(), r.as(tt.by), id), tt.want)
			if tt.want != nil {
				r.unchanged(before, tt.name)
			}
		})
	}
}

// Between the reading and the writing of a change somebody makes the key stronger than the actor.
func TestKeyringCeilingIsCheckedOnEachRetry(t *testing.T) {
	t.Parallel()
	for _, verb := range keyVerbs() {
		switch verb.name {
		case "enable", "update", "rotate", "end-rotation":
		default:
			continue
		}
		t.Run(verb.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			id := r.keyFor(verb.name, apikey.Permissions{"calls:read"})
			var raised snapshot
			r.store.fail(func(ctx context.Context, c storeCall, apply func() error) error {
				if c.op == "update" {
					r.store.fail(nil)
					if _, err := r.as(operator).Update(ctx, id, apikey.KeyUpdate{Permissions: &apikey.Permissions{"*"}}); err != nil {
						t.Error(err)
					}
					raised = r.snapshot()
				}
				return apply()
			})
			wantError(t, verb.name, verb.call(t.Context(), r.as(member), id), apikey.ErrForbidden)
			r.unchanged(raised, verb.name)
			if r.get(id).Permissions.Covers(apikey.Permissions{"*"}) == false {
				t.Error("the other change was lost")
			}
		})
	}
}

func TestKeyringTellsNothingOfOtherOwnersKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	theirs, err := r.Keyring("acct_43", operator).Create(t.Context(), apikey.KeyParams{Name: "theirs"})
	if err != nil {
		t.Fatal(err)
	}
	const unknown = "0123456789Ab"
	malformed := []string{"", "short", "0123456789A!", strings.Repeat("a", 33), "../../passwd", "0123456\x00abcd", "schlüssel123", "~x:0123456"}
	before := r.snapshot()
	for _, by := range []apikey.Actor{nobody, member, operator} {
		for _, verb := range keyVerbs() {
			name := fmt.Sprintf("%s by %q", verb.name, by.ID)
			ofUnknown := verb.call(t.Context(), r.as(by), unknown)
			if (verb.name == "hold" || verb.name == "release") && !by.IsOperator() {
				wantError(t, name, ofUnknown, apikey.ErrForbidden)
			} else {
				wantError(t, name, ofUnknown, apikey.ErrNotFound)
			}
			ofTheirs := verb.call(t.Context(), r.as(by), theirs.Key.ID)
			if ofTheirs == nil || ofTheirs.Error() != ofUnknown.Error() {
				t.Errorf("%s: of another owner's key %v, of an unknown one %v", name, ofTheirs, ofUnknown)
			}
			for _, id := range malformed {
				calls := r.store.calls.Load()
				if err := verb.call(t.Context(), r.as(by), id); err == nil || err.Error() != ofUnknown.Error() {
					t.Errorf("%s: of the ID %q %v, of an unknown one %v", name, id, err, ofUnknown)
				}
				if r.store.calls.Load() != calls {
					t.Errorf("%s: the malformed ID %q reached the store", name, id)
				}
			}
		}
	}
	r.unchanged(before, "calls about another owner's key")
	if got := r.verdict(theirs.Token.Reveal()); got != "ok" {
		t.Errorf("the other owner's key: %s", got)
	}
}

func TestKeyringRefusesWhatIsNoOwner(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	id := r.issue(apikey.KeyParams{}).Key.ID
	verbs := append(keyVerbs(), ownerVerbs(outsideToken(t, "rg_live_"))...)
	before := r.snapshot()
	calls := r.store.calls.Load()
	owners := map[string]string{
		"empty": "", "too long": strings.Repeat("o", 256), "NUL": "a\x00b", "line feed": "a\n", "not UTF-8": "a\xff", "bidi": "a\u202eb", "C1 control": "a\u0085",
	}
	for what, owner := range owners {
		for _, by := range []apikey.Actor{nobody, member, operator} {
			for _, verb := range verbs {
				wantError(t, fmt.Sprintf("%s of the %s owner by %q", verb.name, what, by.ID), verb.call(t.Context(), r.Keyring(owner, by), id), apikey.ErrOwner)
			}
		}
	}
	for _, actorID := range []string{strings.Repeat("i", 256), "a\x00", "\xff", "a\u2066b"} {
		for _, verb := range verbs {
			err := verb.call(t.Context(), r.as(apikey.Operator(actorID)), id)
			wantFields(t, fmt.Sprintf("%s by the actor %q", verb.name, actorID), err, "Actor.ID")
		}
	}
	if n := r.store.calls.Load() - calls; n != 0 {
		t.Errorf("%d calls reached the store", n)
	}
	r.unchanged(before, "calls with wrong owners")
	if _, err := r.Keyring(strings.Repeat("o", 255), operator).Create(t.Context(), apikey.KeyParams{Name: "long"}); err != nil {
		t.Errorf("an owner of 255 bytes: %v", err)
	}
}

func TestKeyringAfterClose(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	id := r.issue(apikey.KeyParams{}).Key.ID
	token := outsideToken(t, "rg_live_")
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	calls := r.store.calls.Load()
	for _, verb := range append(keyVerbs(), ownerVerbs(token)...) {
		for _, by := range []apikey.Actor{nobody, operator} {
			wantError(t, fmt.Sprintf("%s by %q", verb.name, by.ID), verb.call(t.Context(), r.as(by), id), apikey.ErrClosed)
		}
	}
	if n := r.store.calls.Load() - calls; n != 0 {
		t.Errorf("%d calls reached the store", n)
	}
}

func TestKeyringWithAnEndedContext(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	id := r.issue(apikey.KeyParams{}).Key.ID
	token := outsideToken(t, "rg_live_")
	before := r.snapshot()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, verb := range append(keyVerbs(), ownerVerbs(token)...) {
		err := verb.call(ctx, r.as(operator), id)
		wantError(t, verb.name, err, context.Canceled)
		if _, unknown := errors.AsType[*apikey.OutcomeUnknownError](err); unknown {
			t.Errorf("%s: nothing was tried, and the outcome is said to be unknown", verb.name)
		}
	}
	r.unchanged(before, "calls with an ended context")
}

func TestKeyringReturnsCopies(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	params := apikey.KeyParams{Permissions: apikey.Permissions{"calls:read"}, Metadata: map[string]string{"a": "b"}, Limits: []apikey.LimitOverride{{Limit: apikey.PerMinute(5)}}}
	issued := r.issue(params)
	before := r.snapshot()
	params.Permissions[0], params.Metadata["a"], params.Limits[0].N = "*", "c", 6
	got, err := r.as(operator).Get(t.Context(), issued.Key.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*apikey.Key{issued.Key, got} {
		k.Permissions[0], k.Metadata["a"], k.Limits[0].N, k.Secrets[0].Prefix, k.Name = "*", "c", 6, "x_", "other"
	}
	r.unchanged(before, "changing what was given and returned")

	ceiling := apikey.Permissions{"calls:read"}
	ring := r.as(apikey.Actor{Ceiling: ceiling})
	ceiling[0] = "*"
	_, err = ring.Create(t.Context(), apikey.KeyParams{Name: "x", Permissions: apikey.Permissions{"users:write"}})
	wantError(t, "a ceiling raised after the Keyring was made", err, apikey.ErrForbidden)
}

func TestUpdateSetsAndClearsEachField(t *testing.T) {
	t.Parallel()
	later, muchLater := rigStart.Add(time.Hour), rigStart.Add(48*time.Hour)
	limits := []apikey.LimitOverride{{Limit: apikey.PerMinute(5), Until: muchLater}}
	full := apikey.KeyParams{
		Name: "name", Description: "a\nb", Permissions: apikey.Permissions{"calls:read"}, NotBefore: later, ExpiresAt: muchLater,
		Limits: limits, Metadata: map[string]string{"a": "b"},
	}
	tests := []struct {
		name   string
		update apikey.KeyUpdate
		want   func(*apikey.Key)
	}{
		{"name", apikey.KeyUpdate{Name: new("other")}, func(k *apikey.Key) { k.Name = "other" }},
		{"description", apikey.KeyUpdate{Description: new("other")}, func(k *apikey.Key) { k.Description = "other" }},
		{"no description", apikey.KeyUpdate{Description: new("")}, func(k *apikey.Key) { k.Description = "" }},
		{
			"permissions, normalised",
			apikey.KeyUpdate{Permissions: &apikey.Permissions{"users:read", "calls:*", "calls:read", "calls:*"}},
			func(k *apikey.Key) { k.Permissions = apikey.Permissions{"calls:*", "users:read"} },
		},
		{"no permissions", apikey.KeyUpdate{Permissions: new(apikey.Permissions)}, func(k *apikey.Key) { k.Permissions = nil }},
		{
			"not before, cut to microseconds",
			apikey.KeyUpdate{NotBefore: new(later.Add(1500).In(time.FixedZone("", 3600)))},
			func(k *apikey.Key) { k.NotBefore = later.Add(1000) },
		},
		{"no not before", apikey.KeyUpdate{NotBefore: new(time.Time)}, func(k *apikey.Key) { k.NotBefore = time.Time{} }},
		{"expiry", apikey.KeyUpdate{ExpiresAt: new(muchLater.Add(time.Hour))}, func(k *apikey.Key) { k.ExpiresAt = muchLater.Add(time.Hour) }},
		{"no expiry", apikey.KeyUpdate{ExpiresAt: new(time.Time)}, func(k *apikey.Key) { k.ExpiresAt = time.Time{} }},
		{
			"limits",
			apikey.KeyUpdate{Limits: &[]apikey.LimitOverride{{Limit: apikey.PerHour(7)}}},
			func(k *apikey.Key) { k.Limits = []apikey.LimitOverride{{Limit: apikey.PerHour(7)}} },
		},
		{"no limits", apikey.KeyUpdate{Limits: new([]apikey.LimitOverride)}, func(k *apikey.Key) { k.Limits = nil }},
		{"metadata", apikey.KeyUpdate{Metadata: &map[string]string{"c": ""}}, func(k *apikey.Key) { k.Metadata = map[string]string{"c": ""} }},
		{"no metadata", apikey.KeyUpdate{Metadata: new(map[string]string)}, func(k *apikey.Key) { k.Metadata = nil }},
		{
			"two at once, at the version asked for",
			apikey.KeyUpdate{Name: new("x"), Description: new("y"), IfVersion: 1},
			func(k *apikey.Key) { k.Name, k.Description = "x", "y" },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			want := r.issue(full).Key
			tt.want(want)
			want.Version = 2
			got, err := r.as(operator).Update(t.Context(), want.ID, tt.update)
			if err != nil {
				t.Fatal(err)
			}
			if d := rigDiff(want, got); d != "" {
				t.Errorf("returned (-want +got):\n%s", d)
			}
			if d := rigDiff(want, r.get(want.ID)); d != "" {
				t.Errorf("stored (-want +got):\n%s", d)
			}
		})
	}
}

func TestChangesThatChangeNothing(t *testing.T) {
	t.Parallel()
	later := rigStart.Add(time.Hour)
	full := apikey.KeyParams{
		Name: "name", Description: "d", Permissions: apikey.Permissions{"calls:read"}, ExpiresAt: later,
		Limits: []apikey.LimitOverride{{Limit: apikey.PerMinute(5), Until: later}}, Metadata: map[string]string{"a": "b"},
	}
	update := func(u apikey.KeyUpdate) func(context.Context, *apikey.Keyring, string) (*apikey.Key, error) {
		return func(ctx context.Context, r *apikey.Keyring, id string) (*apikey.Key, error) {
			return r.Update(ctx, id, u)
		}
	}
	twice := func(f func(*apikey.Keyring, context.Context, string) (*apikey.Key, error)) func(context.Context, *apikey.Keyring, string) (*apikey.Key, error) {
		return func(ctx context.Context, r *apikey.Keyring, id string) (*apikey.Key, error) { return f(r, ctx, id) }
	}
	tests := []struct {
		name        string
		first, then func(context.Context, *apikey.Keyring, string) (*apikey.Key, error)
	}{
		{"an empty update", nil, update(apikey.KeyUpdate{})},
		{"an update to what is there", nil, update(apikey.KeyUpdate{
			Name: &full.Name, Description: &full.Description, Permissions: &apikey.Permissions{"calls:read", "calls:read"},
			NotBefore: &full.NotBefore, ExpiresAt: new(full.ExpiresAt.Add(999).Local()), Limits: &full.Limits, Metadata: &full.Metadata,
		})},
		{"disable twice", twice((*apikey.Keyring).Disable), twice((*apikey.Keyring).Disable)},
		{"hold twice", twice((*apikey.Keyring).Hold), twice((*apikey.Keyring).Hold)},
		{"revoke twice", twice((*apikey.Keyring).Revoke), twice((*apikey.Keyring).Revoke)},
		{"enable what is enabled", nil, twice((*apikey.Keyring).Enable)},
		{"release what is not held", nil, twice((*apikey.Keyring).Release)},
		{"end no rotation", nil, twice((*apikey.Keyring).EndRotation)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			key := r.issue(full).Key
			if tt.first != nil {
				var err error
				if key, err = tt.first(t.Context(), r.as(operator), key.ID); err != nil {
					t.Fatal(err)
				}
			}
			before, events := r.snapshot(), len(r.eventsOf(apikey.EventChanged))
			r.advance(time.Minute)
			r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
				if c.writes() {
					t.Errorf("%s reached the store", c.op)
				}
				return apply()
			})
			got, err := tt.then(t.Context(), r.as(operator), key.ID)
			if err != nil {
				t.Fatal(err)
			}
			if d := rigDiff(key, got); d != "" {
				t.Errorf("returned (-before +after):\n%s", d)
			}
			r.unchanged(before, tt.name)
			if n := len(r.eventsOf(apikey.EventChanged)); n != events {
				t.Errorf("%d events", n-events)
			}
		})
	}
}

func TestIfVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	id := r.issue(apikey.KeyParams{}).Key.ID
	before := r.snapshot()
	for _, version := range []int64{-1, 2, 1 << 62} {
		_, err := r.as(operator).Update(t.Context(), id, apikey.KeyUpdate{Name: new("x"), IfVersion: version})
		wantError(t, fmt.Sprintf("update of version %d", version), err, apikey.ErrVersion)
		_, err = r.as(operator).Rotate(t.Context(), id, apikey.RotateParams{IfVersion: version})
		wantError(t, fmt.Sprintf("rotate of version %d", version), err, apikey.ErrVersion)
	}
	r.unchanged(before, "changes of another version")

	// Of many that saw the same version one wins.
	errs := atOnce(50, func(i int) error {
		_, err := r.as(operator).Update(t.Context(), id, apikey.KeyUpdate{Name: new(fmt.Sprint(i)), IfVersion: 1})
		return err
	})
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantError(t, "update", err, apikey.ErrVersion)
		}
	}
	if version := r.get(id).Version; won != 1 || version != 2 {
		t.Errorf("%d of 50 changes of version 1 were made; the version is %d", won, version)
	}
}

func TestKeyJSONShowsNothingThatIsHidden(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	issued := r.issue(apikey.KeyParams{Name: "shown", Metadata: map[string]string{"hidden-name": "hidden-value"}})
	issued.Key.Alias = "~hidden:alias"
	data, err := json.Marshal(issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{"hidden", "etadata", "lias", "igest", issued.Token.Reveal(), strings.TrimPrefix(issued.Token.Reveal(), "rg_live_"+issued.Key.ID)} {
		if strings.Contains(string(data), hidden) {
			t.Errorf("the JSON of a key shows %q", hidden)
		}
	}
	var back apikey.Key
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if d := rigDiff(issued.Key, &back, cmpopts.IgnoreFields(apikey.Key{}, "Alias", "Metadata")); d != "" {
		t.Errorf("what is shown of a key (-key +JSON):\n%s", d)
	}
}

func TestRevokeAll(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var tokens []string
	for i := range 30 {
		issued := r.issue(apikey.KeyParams{Permissions: apikey.Permissions{"*"}, ExpiresAt: []time.Time{{}, rigStart.Add(time.Minute)}[i%2]})
		tokens = append(tokens, issued.Token.Reveal())
		var err error
		switch i % 5 {
		case 0:
			_, err = r.as(operator).Disable(t.Context(), issued.Key.ID)
		case 1:
			_, err = r.as(operator).Hold(t.Context(), issued.Key.ID)
		case 2:
			_, err = r.as(operator).Revoke(t.Context(), issued.Key.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	other, err := r.Keyring("acct_4", operator).Create(t.Context(), apikey.KeyParams{Name: "of another owner"})
	if err != nil {
		t.Fatal(err)
	}
	r.advance(time.Hour)
	// Meanwhile somebody makes one more.
	made := false
	r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
		if c.op == "update" && !made {
			made = true
			tokens = append(tokens, r.issue(apikey.KeyParams{}).Token.Reveal())
		}
		return apply()
	})
	n, err := r.as(nobody).RevokeAll(t.Context())
	if n != 25 || err != nil {
		t.Errorf("RevokeAll = %d, %v; want 25 (six of 31 were revoked before)", n, err)
	}
	for _, token := range tokens {
		if got := r.verdict(token); got != "revoked" {
			t.Errorf("a token of the owner's: %s", got)
		}
	}
	if got := r.verdict(other.Token.Reveal()); got != "ok" {
		t.Errorf("a token of another owner's: %s", got)
	}
	if n, err := r.as(nobody).RevokeAll(t.Context()); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
}

// A Store without the optional abilities does all the rest.
func TestStoreWithoutHistoryAndHours(t *testing.T) {
	t.Parallel()
	m, err := apikey.New(struct{ apikey.Store }{memstore.New()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ring := m.Keyring(rigOwner, operator)
	issued, err := ring.Create(t.Context(), apikey.KeyParams{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if got := verdictOf(t.Context(), m, issued.Token.Reveal()); got != "ok" {
		t.Error(got)
	}
	_, err = ring.History(t.Context(), apikey.HistoryQuery{})
	wantError(t, "History", err, apikey.ErrUnsupported)
	_, err = ring.Usage(t.Context(), issued.Key.ID, apikey.UsageQuery{})
	wantError(t, "Usage", err, apikey.ErrUnsupported)
	wantError(t, "Close", m.Close(t.Context()), nil)
}

// staleCache is a Store that caches another and never looks again.
type staleCache struct {
	apikey.Store
	seen map[string]*apikey.Record
}

func (s *staleCache) Unwrap() apikey.Store { return s.Store }

func (s *staleCache) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	if rec := s.seen[ref]; rec != nil {
		return rec, nil
	}
	rec, err := s.Store.Get(ctx, ref)
	if err == nil {
		s.seen[ref] = rec
	}
	return rec, err
}

// A Keyring reads and writes through a cache: verification alone is as stale as it is.
func TestKeyringGoesThroughACache(t *testing.T) {
	t.Parallel()
	cache := &staleCache{Store: memstore.New(), seen: map[string]*apikey.Record{}}
	m, err := apikey.New(cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	ring := m.Keyring(rigOwner, operator)
	issued, err := ring.Create(t.Context(), apikey.KeyParams{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	id, token := issued.Key.ID, issued.Token.Reveal()
	if got := verdictOf(t.Context(), m, token); got != "ok" {
		t.Error(got)
	}
	for i := range 3 { // each of which needs the record as it is
		if _, err := ring.Update(t.Context(), id, apikey.KeyUpdate{Name: new(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = ring.Revoke(t.Context(), id)
	wantError(t, "Revoke", err, nil)
	key, _, err := m.Lookup(t.Context(), token)
	if err != nil || key.RevokedAt.IsZero() {
		t.Errorf("Lookup: %v, %v", key, err)
	}
	clear(cache.seen)
	if got := verdictOf(t.Context(), m, token); got != "revoked" {
		t.Error(got)
	}
	wantError(t, "Close", m.Close(t.Context()), nil)
}
