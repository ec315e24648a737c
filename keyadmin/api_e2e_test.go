package keyadmin_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

// TestLife walks through the life of a key with every call of the table, each
// answer held against the served document.
func TestLife(t *testing.T) {
	w := newWorld(t)
	w.withSchema(t)
	call := func(as, method, path, body string, want int, header ...string) *answer {
		t.Helper()
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		a := w.do(t, request{as: as, method: method, path: path, body: body, header: h})
		if a.status != want {
			t.Fatalf("%s %s: %d %s, want %d", method, path, a.status, a.body, want)
		}
		return a
	}
	verify := func(token string) error {
		_, _, err := w.manager.Verify(t.Context(), apikey.Request{Token: token})
		return err
	}

	a := call("ana", "POST", "keys", `{"name":"ci","description":"two\nlines","environment":"live","permissions":["jobs:read"],
		"expires_at":"2027-01-01T00:00:00+02:00","networks":["192.0.2.1","2001:db8::/32"]}`, 201)
	first := a.token(t)
	created := decode[struct{ Key keyShown }](t, a).Key
	w.ids["it"] = created.ID
	if got, want := a.header.Get("Location"), "/dashboard/keys/"+created.ID; got != want {
		t.Errorf("Location is %q, want %q", got, want)
	}
	if created.State != "active" || created.CreatedBy != "ana" || created.Owner != "acme" || created.Masked != "rd_sk_"+created.ID[:8]+"…" ||
		!created.ExpiresAt.Equal(time.Date(2026, 12, 31, 22, 0, 0, 0, time.UTC)) || strings.Join(created.Networks, " ") != "192.0.2.1/32 2001:db8::/32" {
		t.Errorf("created: %+v", created)
	}
	a = call("ana", "GET", "keys/{it}", "", 200)
	if got := a.header.Get("ETag"); got != `"1"` {
		t.Errorf("ETag is %s", got)
	}
	call("ana", "PATCH", "keys/{it}", `{"networks":null,"name":"CI","expires_at":null}`, 200, "If-Match", `"7", "1"`)
	call("ana", "PATCH", "keys/{it}", `{"name":"stale"}`, 412, "If-Match", `"1"`)
	call("ana", "PATCH", "keys/{it}", `{"name":"weak"}`, 412, "If-Match", `W/"2"`)
	call("ana", "PATCH", "keys/{it}", `{"preset":"read-only"}`, 200, "If-Match", `*`)
	if err := verify(first); err != nil {
		t.Fatal(err)
	}
	if err := w.manager.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	changed := decode[keyShown](t, call("support", "PATCH", "keys/{it}", `{"limits":[{"name":"minute","n":5,"per_seconds":60,"until":"2027-01-01T00:00:00Z"}],
		"metadata":{"ticket":"7"},"description":null}`, 200))
	if changed.Requests != 1 || changed.LastUsedAt.IsZero() || changed.Metadata["ticket"] != "7" || changed.Name != "CI" || !changed.ExpiresAt.IsZero() ||
		len(changed.Networks) != 0 || changed.Description != "" || strings.Join(changed.Permissions, " ") != "*:read" || len(changed.Limits) != 1 {
		t.Errorf("changed: %+v", changed)
	}
	if seen := decode[keyShown](t, call("ana", "GET", "keys/{it}", "", 200)); seen.Metadata != nil {
		t.Errorf("metadata is shown to who is no operator: %v", seen.Metadata)
	}

	second := call("ana", "POST", "keys/{it}/rotate", `{"grace_seconds":3600,"prefix":"rd_new_"}`, 200).token(t)
	for _, token := range []string{first, second} {
		if err := verify(token); err != nil {
			t.Error(err)
		}
	}
	call("ana", "POST", "keys/{it}/end-rotation", "", 200)
	if verify(first) == nil {
		t.Error("the first token still works")
	}
	call("ana", "POST", "keys/{it}/disable", "", 200)
	w.set(func() { w.time = w.time.Add(time.Minute) })
	if verify(second) == nil {
		t.Error("a disabled key works")
	}
	if err := w.manager.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	shown := decode[keyShown](t, call("ana", "GET", "keys/{it}", "", 200))
	if shown.State != "disabled" || shown.LastRefusal.Reason != string(apikey.ReasonDisabled) || len(shown.Secrets) != 2 || !shown.Secrets[1].NotAfter.Equal(start) ||
		shown.Secrets[0].Masked != "rd_new_"+created.ID[:8]+"…" || shown.Secrets[1].Masked != created.Masked {
		t.Errorf("shown: %+v", shown)
	}
	call("ana", "POST", "keys/{it}/enable", "", 200)
	call("support", "POST", "keys/{it}/hold", "", 200)
	call("support", "POST", "keys/{it}/release", "", 200)
	if err := verify(second); err != nil {
		t.Error(err)
	}
	if got := decode[struct{ Points []struct{ Requests int } }](t, call("ana", "GET", "keys/{it}/usage?from=2026-07-01T00:00:00Z", "", 200)); len(got.Points) != 1 || got.Points[0].Requests != 3 {
		t.Errorf("usage: %+v", got)
	}
	call("ana", "DELETE", "keys/{it}", "", 409)
	call("ana", "POST", "keys/{it}/revoke", "", 204)
	call("ana", "GET", "keys?state=revoked,held&q=ci&environment=live&unused_since=2027-01-01T00:00:00Z&rotated_before=2027-01-01T00:00:00Z&limit=1", "", 200)
	call("ana", "GET", "keys.csv", "", 200)
	call("ana", "DELETE", "keys/{it}", "", 204)
	call("ana", "GET", "keys/{it}", "", 404)
	type change struct{ Action, Actor, Detail string }
	history := decode[struct{ Changes []change }](t, call("ana", "GET", "keys/{it}/history", "", 200)).Changes
	var actions []string
	for _, c := range history {
		actions = append(actions, c.Action)
	}
	if got, want := strings.Join(actions, ","), "delete,revoke,release,hold,enable,disable,end-rotation,rotate,update,update,update,create"; got != want {
		t.Errorf("history is %q, want %q", got, want)
	}
	if want := "name: ci → CI; "; !strings.HasPrefix(history[10].Detail, want) {
		t.Errorf("detail is %q, want %q…", history[10].Detail, want)
	}
	call("ana", "GET", "history?limit=2", "", 200)
	call("ana", "GET", "catalog", "", 200)
	call("ana", "GET", "openapi.json", "", 200)
}

// keyShown is a key as a client reads it.
type keyShown struct {
	ID, Owner, Name, Description, Masked, State string
	CreatedBy                                   string    `json:"created_by"`
	ExpiresAt                                   time.Time `json:"expires_at"`
	LastUsedAt                                  time.Time `json:"last_used_at"`
	RevokedAt                                   time.Time `json:"revoked_at"`
	Networks, Permissions                       []string
	Requests                                    int
	Metadata                                    map[string]string
	Limits                                      []struct{ N int }
	Secrets                                     []struct {
		Masked   string
		NotAfter time.Time `json:"not_after"`
	}
	LastRefusal struct{ Reason, Peer string } `json:"last_refusal"`
}
