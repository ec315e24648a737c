package wiretest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey"
)

// outcome is all that an input gets.
type outcome struct {
	status     int
	code       string // of the problem document
	challenge  string // WWW-Authenticate; "": none
	calls      int64  // of the Store
	usage      counts // by how much K's rises
	policy     string // RateLimit-Policy; "": none
	rateLimit  string // RateLimit; "": none
	retryAfter string // "": none
	peer       string // whom it counts as from; "": the loopback
	untold     bool   // no event: the host was told of this peer before
	anonymous  bool   // passes without a Principal
	byServer   bool   // net/http answers, no handler sees the request
	reset      bool   // net/http resets the stream
}

const challenge = `Bearer realm="api"`

// The outcomes of the table.
var (
	pass        = outcome{status: 200, calls: 1, usage: counts{Requests: 1}}
	passNobody  = outcome{status: 200, anonymous: true}
	missing     = outcome{status: 401, code: "missing", challenge: challenge}            // M
	empty       = outcome{status: 401, code: "empty", challenge: challenge}              // M
	otherScheme = outcome{status: 401, code: "unsupported_scheme", challenge: challenge} // M
	malformed   = outcome{status: 400, code: "malformed_request", challenge: challenge + `, error="invalid_request"`}
	invalid     = outcome{status: 401, code: "invalid", challenge: challenge + `, error="invalid_token"`}           // T, Z
	unknown     = outcome{status: 401, code: "invalid", challenge: challenge + `, error="invalid_token"`, calls: 1} // T
	unavailable = outcome{status: 503, code: "unavailable", retryAfter: "1", calls: 1}
	atServer    = outcome{status: 400, byServer: true}
	tooLarge    = outcome{status: 431, byServer: true}
	reset       = outcome{reset: true}
)

// dead is T for a proven secret: the reason is told.
func dead(reason apikey.Reason) outcome {
	return outcome{status: 401, code: string(reason), challenge: challenge + `, error="invalid_token"`, calls: 1, usage: counts{Denied: 1}}
}

// forbidden is 403 for a reason that no other scope would cure.
func forbidden(reason apikey.Reason) outcome {
	return outcome{status: 403, code: string(reason), calls: 1, usage: counts{Denied: 1}}
}

// lacks is S.
func lacks(scope string) outcome {
	return outcome{status: 403, code: "permission", challenge: challenge + `, error="insufficient_scope", scope="` + scope + `"`, calls: 1, usage: counts{Denied: 1}}
}

// isPeer reports whether the request is to count as from this address.
func (o *outcome) isPeer(a netip.Addr) bool {
	return o.peer == "" && a.IsLoopback() || a.IsValid() && a.String() == o.peer
}

// passes reports whether the handler runs.
func (o *outcome) passes() bool { return o.status == 200 }

// check compares what an input got, and what it left behind, with what it is to get.
func (o *outcome) check(t *testing.T, w *world, got answer, before, after state) {
	t.Helper()
	if got.reset != o.reset || got.status != o.status {
		t.Fatalf("status %d (reset: %t), want %d (reset: %t); body %q", got.status, got.reset, o.status, o.reset, got.body)
	}
	o.checkHeaders(t, got)
	switch {
	case o.passes():
		want := w.issued.Key.ID
		if o.anonymous {
			want = anonymous
		}
		if got.body != want {
			t.Errorf("the handler saw %q, want %q", got.body, want)
		}
	case !o.reset && !o.byServer:
		o.checkProblem(t, w, got)
	}
	checkNoToken(t, w, "the answer", got.text, 8)
	o.checkState(t, w, before, after)
}

// checkHeaders compares all headers that have a meaning here, each with all its lines.
func (o *outcome) checkHeaders(t *testing.T, got answer) {
	t.Helper()
	if o.reset || o.byServer {
		if c := got.header.Values("WWW-Authenticate"); c != nil {
			t.Errorf("WWW-Authenticate %q of a request that no handler saw", c)
		}
		return
	}
	cache, vary, contentType := "no-store", "", "application/problem+json"
	if o.passes() {
		cache, vary, contentType = "private", "Authorization, X-Api-Key", "text/plain; charset=utf-8"
	}
	if o.anonymous {
		cache = ""
	}
	for name, want := range map[string]string{
		"WWW-Authenticate": o.challenge,
		"Retry-After":      o.retryAfter,
		"RateLimit-Policy": o.policy,
		"RateLimit":        o.rateLimit,
		"Cache-Control":    cache,
		"Vary":             vary,
		"Content-Type":     contentType,
	} {
		var lines []string
		if want != "" {
			lines = []string{want}
		}
		if diff := cmp.Diff(lines, got.header.Values(name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// checkProblem reads the problem document. It has these members and no others,
// and tells nothing of keys, owners and causes.
func (o *outcome) checkProblem(t *testing.T, w *world, got answer) {
	t.Helper()
	var p struct {
		Title, Detail, Code string
		Status              int
	}
	dec := json.NewDecoder(strings.NewReader(got.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		t.Fatalf("body %q: %v", got.body, err)
	}
	if p.Status != o.status || p.Code != o.code || p.Title != http.StatusText(o.status) {
		t.Errorf("problem %+v, want status %d, code %q and the status's title", p, o.status, o.code)
	}
	if p.Detail == "" {
		t.Error("the problem has no detail")
	}
	for _, private := range []string{w.issued.Key.ID, ownerA, errBroken.Error()} {
		if strings.Contains(got.text, private) {
			t.Errorf("%q is not the client's to know: %s", private, got.text)
		}
	}
}

// checkState compares what was counted, stored and told.
func (o *outcome) checkState(t *testing.T, w *world, before, after state) {
	t.Helper()
	if n := after.calls - before.calls; n != o.calls {
		t.Errorf("%d calls of the Store, want %d", n, o.calls)
	}
	if ran := after.runs - before.runs; ran != 0 != o.passes() {
		t.Errorf("the handler ran %d times with status %d", ran, o.status)
	}
	if w.bodyReads.Load() != 0 || w.parsed.Load() {
		t.Errorf("query or body was looked into: %d reads, form parsed: %t", w.bodyReads.Load(), w.parsed.Load())
	}
	if diff := cmp.Diff(before.records, after.records); diff != "" {
		t.Errorf("records changed (-before +after):\n%s", diff)
	}
	id := w.issued.Key.ID
	if diff := cmp.Diff(countsOf(before.usage, id, o.usage), countsOf(after.usage, "", counts{})); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	last, refusal := after.usage[id].LastUsedAt, after.usage[id].LastRefusal
	if o.usage.Requests == 0 && !last.Equal(before.usage[id].LastUsedAt) {
		t.Errorf("last used at %v by a refused request", last)
	}
	switch proven := o.usage.Denied+o.usage.Limited > 0; {
	case proven && (string(refusal.Reason) != o.code || !o.isPeer(refusal.Peer) || !refusal.At.Equal(w.clock.now())):
		t.Errorf("last refusal is %+v, want %s now by who asked", refusal, o.code)
	case !proven && refusal != before.usage[id].LastRefusal:
		t.Errorf("last refusal is %+v, without a proven secret", refusal)
	}
	o.checkEvents(t, w, after.events[len(before.events):])
}

// checkEvents wants one event of each refusal, none of anything else.
func (o *outcome) checkEvents(t *testing.T, w *world, events []apikey.Event) {
	t.Helper()
	for _, e := range events {
		checkNoToken(t, w, "an event", fmt.Sprintf("%+v", e), 12) // an event names the key
	}
	if o.passes() || o.reset || o.byServer || o.untold {
		if len(events) > 0 {
			t.Errorf("events %+v of a request that is none", events)
		}
		return
	}
	if len(events) != 1 {
		t.Fatalf("%d events, want one", len(events))
	}
	e := events[0]
	kind, reason, keyID, owner := apikey.EventDenied, apikey.Reason(o.code), "", ""
	switch o.status {
	case http.StatusServiceUnavailable:
		kind, reason = apikey.EventUnavailable, ""
	case http.StatusInternalServerError:
		kind, reason = apikey.EventCost, ""
	}
	if o.usage != (counts{}) {
		keyID, owner = w.issued.Key.ID, ownerA
	}
	if e.Kind != kind || e.Reason != reason || e.KeyID != keyID || e.Owner != owner || !o.isPeer(e.Peer) || e.Err == nil && kind != apikey.EventDenied {
		t.Errorf("event %+v, want kind %s, reason %q, key %q of %q", e, kind, reason, keyID, owner)
	}
}

// checkNoToken wants nothing in text of K or L beyond their prefix and so many
// characters of the ID: not even six characters in a row, of which there are
// 5.7·10¹⁰.
func checkNoToken(t *testing.T, w *world, what, text string, ofID int) {
	t.Helper()
	const run = 6
	for _, token := range []string{w.k, w.l} {
		for i := strings.LastIndexByte(token, '_') + 1 + ofID; i+run <= len(token); i++ {
			if part := token[i : i+run]; strings.Contains(text, part) {
				t.Fatalf("%s has a part of a token, %q: %s", what, part, text)
			}
		}
	}
}
