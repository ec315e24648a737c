package apikey_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/go-apikey/apikey"
)

// Each call is one entry of the history and one event, which says who did what, when, and what changed by it.
func TestHistoryAndEventsOfEachCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ring := r.as(operator)
	issued, err := r.as(member).Create(t.Context(), apikey.KeyParams{Name: "one", Permissions: apikey.Permissions{"calls:read"}, ExpiresAt: rigStart.Add(48 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	id := issued.Key.ID
	made := func(n uint32) string { return fmt.Sprintf("%d: rg_live_", n) }
	at := func(minute int) time.Time { return rigStart.Add(time.Duration(minute) * time.Minute) }
	text := func(minute int) string { return at(minute).Format(time.RFC3339Nano) }
	expiry := rigStart.Add(48 * time.Hour).Format(time.RFC3339Nano)
	want := []apikey.Change{{At: at(0), Actor: "member", Action: "create", Fields: []apikey.FieldChange{
		{Name: "name", New: "one"},
		{Name: "environment", New: "live"},
		{Name: "permissions", Old: "[]", New: "[calls:read]"},
		{Name: "expires_at", New: expiry},
		{Name: "secrets", New: made(1)},
	}}}
	steps := []struct {
		call   func() error
		action string
		actor  string
		fields []apikey.FieldChange
	}{
		{func() error {
			return call1(ring.Update(t.Context(), id, apikey.KeyUpdate{
				Name: new("two"), Description: new("text"), Permissions: &apikey.Permissions{"calls:*", "users:read"}, NotBefore: new(at(0)), ExpiresAt: new(time.Time),
				Limits: &[]apikey.LimitOverride{{Limit: apikey.PerMinute(5)}, {Limit: apikey.Limit{Name: "day", N: 9, Per: 24 * time.Hour, Burst: 3}, Until: at(100)}},
			}))
		}, "update", "ops", []apikey.FieldChange{
			{Name: "name", Old: "one", New: "two"},
			{Name: "description", New: "text"},
			{Name: "permissions", Old: "[calls:read]", New: "[calls:* users:read]"},
			{Name: "limits", New: "minute: 5 per 1m0s; day: 9 per 24h0m0s, burst 3 until " + text(100)},
			{Name: "not_before", New: text(0)},
			{Name: "expires_at", Old: expiry},
		}},
		{func() error {
			return call1(ring.Update(t.Context(), id, apikey.KeyUpdate{Metadata: &map[string]string{"m-name": "m-value"}}))
		}, "update", "ops", []apikey.FieldChange{{Name: "metadata"}}},
		{func() error {
			return call1(r.as(member).Rotate(t.Context(), id, apikey.RotateParams{Grace: time.Hour}))
		}, "rotate", "member", []apikey.FieldChange{{Name: "secrets", Old: made(1), New: made(1) + " until " + text(63) + "; " + made(2)}}},
		{func() error {
			return call1(r.as(member).EndRotation(t.Context(), id))
		}, "end-rotation", "member", []apikey.FieldChange{{Name: "secrets", Old: made(1) + " until " + text(63) + "; " + made(2), New: made(1) + " ended " + text(4) + "; " + made(2)}}},
		{func() error { return call1(r.as(junior).Disable(t.Context(), id)) }, "disable", "junior", nil},
		{func() error { return call1(r.as(member).Enable(t.Context(), id)) }, "enable", "member", nil},
		{func() error { return call1(ring.Hold(t.Context(), id)) }, "hold", "ops", nil},
		{func() error { return call1(ring.Release(t.Context(), id)) }, "release", "ops", nil},
		{func() error { return call1(r.as(nobody).Revoke(t.Context(), id)) }, "revoke", "", nil},
		{func() error { return ring.Delete(t.Context(), id) }, "delete", "ops", nil},
	}
	for i, step := range steps {
		r.advance(time.Minute)
		if err := step.call(); err != nil {
			t.Fatalf("%s: %v", step.action, err)
		}
		want = append(want, apikey.Change{At: at(i + 1), Actor: step.actor, Action: step.action, Fields: step.fields})
	}
	for i := range want {
		want[i].KeyID, want[i].Owner = id, rigOwner
	}
	if d := rigDiff(want, r.history(id)); d != "" {
		t.Errorf("history, oldest first (-want +got):\n%s", d)
	}
	var events []apikey.Event
	for i := range want {
		events = append(events, apikey.Event{Kind: apikey.EventChanged, At: want[i].At, KeyID: id, Owner: rigOwner, Change: &want[i]})
	}
	if d := rigDiff(events, r.eventsOf(apikey.EventChanged)); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

func TestHistoryOfImport(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	token := outsideToken(t, "rg_live_")
	key, err := r.as(operator).Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "old"}, Token: token, CreatedAt: rigStart.AddDate(-1, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	want := []apikey.Change{{At: rigStart, Actor: "ops", Action: "import", KeyID: key.ID, Owner: rigOwner}}
	got := r.history(key.ID)
	if d := rigDiff(want, got, cmpopts.IgnoreFields(apikey.Change{}, "Fields")); d != "" {
		t.Errorf("history (-want +got):\n%s", d)
	}
	if d := rigDiff(apikey.Event{Kind: apikey.EventChanged, At: rigStart, KeyID: key.ID, Owner: rigOwner, Change: &got[0]}, r.eventsOf(apikey.EventChanged)[0]); d != "" {
		t.Errorf("event (-want +got):\n%s", d)
	}
}

func TestHistoryHoldsNoMetadataAndNoSecret(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	issued := r.issue(apikey.KeyParams{Metadata: map[string]string{"secret-name": "secret-value"}})
	id := issued.Key.ID
	if _, err := r.as(operator).Update(t.Context(), id, apikey.KeyUpdate{Metadata: &map[string]string{"secret-name": "secret-other"}}); err != nil {
		t.Fatal(err)
	}
	rotated, err := r.as(operator).Rotate(t.Context(), id, apikey.RotateParams{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.as(operator).Update(t.Context(), id, apikey.KeyUpdate{Metadata: new(map[string]string)}); err != nil {
		t.Fatal(err)
	}
	history, err := json.Marshal(r.history(id))
	if err != nil {
		t.Fatal(err)
	}
	shown := string(history) + fmt.Sprintf("%+v %#v", r.eventsOf(apikey.EventChanged), r.history(id))
	for _, hidden := range []string{"secret-name", "secret-value", "secret-other", afterID(issued), afterID(rotated)} {
		if strings.Contains(shown, hidden) {
			t.Errorf("the history shows %q", hidden)
		}
	}
	if n := strings.Count(string(history), `"metadata"`); n != 3 {
		t.Errorf("that metadata changed is said %d times, want 3", n)
	}
}

// afterID is what is secret of a token.
func afterID(issued *apikey.Issued) string {
	return issued.Token.Reveal()[len(issued.Key.Secrets[0].Prefix)+len(issued.Key.ID):]
}

// A panic of the host's function stops nothing.
func TestEventPanics(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *apikey.Config) {
		cfg.OnEvent = func(context.Context, apikey.Event) { panic("the log is full") }
	})
	issued := r.issue(apikey.KeyParams{})
	if got := r.verdict(issued.Token.Reveal()); got != "ok" {
		t.Error(got)
	}
	if got := r.verdict("nonsense"); got != "invalid" {
		t.Error(got)
	}
	if _, err := r.as(operator).Revoke(t.Context(), issued.Key.ID); err != nil {
		t.Error(err)
	}
	if n := r.Stats().EventPanics; n != 3 {
		t.Errorf("%d panics were counted, want 3", n)
	}
}

func TestEventsOfRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	issued := r.issue(apikey.KeyParams{})
	if got := r.verdict(issued.Token.Reveal()); got != "ok" {
		t.Fatal(got)
	}
	if _, err := r.as(operator).Disable(t.Context(), issued.Key.ID); err != nil {
		t.Fatal(err)
	}
	r.verdict(issued.Token.Reveal())
	r.verdict("nonsense")
	denied := []apikey.Event{
		{Kind: apikey.EventDenied, At: rigStart, KeyID: issued.Key.ID, Owner: rigOwner, Reason: apikey.ReasonDisabled},
		{Kind: apikey.EventDenied, At: rigStart, Reason: apikey.ReasonInvalid},
	}
	if d := rigDiff(denied, r.eventsOf(apikey.EventDenied), cmpopts.IgnoreFields(apikey.Event{}, "Err")); d != "" {
		t.Errorf("denials (-want +got):\n%s", d)
	}
	r.store.fail(func(context.Context, storeCall, func() error) error { return errDisk })
	if got := r.verdict(issued.Token.Reveal()); got != "unavailable store" {
		t.Error(got)
	}
	down := r.eventsOf(apikey.EventUnavailable)
	if len(down) != 1 {
		t.Fatalf("%d events of a store that is down", len(down))
	}
	wantError(t, "the event", down[0].Err, errDisk)
}

func TestHistoryPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	a, b := r.issue(apikey.KeyParams{Name: "a"}).Key.ID, r.issue(apikey.KeyParams{Name: "b"}).Key.ID
	if _, err := r.Keyring("acct_43", operator).Create(t.Context(), apikey.KeyParams{Name: "theirs"}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		for _, id := range []string{a, b} {
			if _, err := r.as(operator).Update(t.Context(), id, apikey.KeyUpdate{Name: new(fmt.Sprint("name ", i))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for keyID, want := range map[string]int{"": 12, a: 6, "0123456789Ab": 0} {
		var got []apikey.Change
		for q := (apikey.HistoryQuery{KeyID: keyID, Limit: 5, Owner: "acct_43", AllOwners: true}); ; { // the Keyring's owner counts
			page, err := r.as(nobody).History(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Changes...)
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		if len(got) != want {
			t.Errorf("%d changes of %q, want %d", len(got), keyID, want)
		}
		for i, c := range got {
			if c.Owner != rigOwner || keyID != "" && c.KeyID != keyID || i > 0 && c.At.After(got[i-1].At) {
				t.Errorf("change %d: %+v", i, c)
			}
		}
	}
}
