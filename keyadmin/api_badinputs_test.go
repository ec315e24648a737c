package keyadmin_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/google/go-cmp/cmp"
)

// badInputs are refused, and nothing is changed.
var badInputs = []struct {
	row string
	request
	status    int
	code      string   // "": any
	locations []string // sorted; nil: none
}{
	{`owner ""`, request{as: "empty", method: "GET", path: "keys"}, 403, "no_member", nil},
	{`owner "", create`, request{as: "empty", method: "POST", path: "keys", body: `{"name":"x"}`}, 403, "no_member", nil},
	{`owner "", revoke`, request{as: "empty", method: "POST", path: "keys/{own}/revoke"}, 403, "no_member", nil},
	{`owner with controls`, request{as: "control", method: "GET", path: "history"}, 403, "no_member", nil},
	{`owner with controls, update`, request{as: "control", method: "PATCH", path: "keys/{own}", body: `{"name":"x"}`}, 403, "no_member", nil},
	{`owner with controls, delete`, request{as: "control", method: "DELETE", path: "keys/{revoked}"}, 403, "no_member", nil},
	{`owner of others`, request{as: "ana", method: "GET", path: "keys", header: http.Header{"X-Owner": {"beta"}}}, 403, "no_member", nil},
	{`create with an owner of choice`, post("keys", `{"name":"x","owner":"beta"}`), 422, "invalid", []string{"body.owner"}},
	{`create with an id of choice`, post("keys", `{"name":"x","id":"0123456789ab"}`), 422, "invalid", []string{"body.id"}},
	{`create with a hash of choice`, post("keys", `{"name":"x","hash":"00"}`), 422, "invalid", []string{"body.hash"}},
	{`create with a token of choice`, post("keys", `{"name":"x","token":"TOKEN"}`), 422, "invalid", []string{"body.token"}},
	{`a token for a name of a field`, post("keys", `{"name":"x","TOKEN":1}`), 422, "invalid", []string{"body"}},
	{`a token for a permission`, post("keys", `{"name":"x","permissions":["TOKEN"]}`), 422, "invalid", []string{"body.permissions[0]"}},
	{`a token for a network`, post("keys", `{"name":"x","networks":["TOKEN"]}`), 422, "invalid", []string{"body.networks[0]"}},
	{`a token for a time`, post("keys", `{"name":"x","expires_at":"TOKEN"}`), 422, "invalid", []string{"body.expires_at"}},
	{`a token for a prefix`, post("keys", `{"name":"x","prefix":"TOKEN"}`), 422, "invalid", []string{"body.prefix"}},
	{`a token for a preset`, post("keys", `{"name":"x","preset":"TOKEN"}`), 422, "invalid", []string{"body.preset"}},
	{`a token for JSON`, post("keys", `TOKEN`), 400, "malformed", []string{"body"}},
	{`a token twice`, post("keys", `{"name":"x","TOKEN":1,"TOKEN":2}`), 400, "malformed", []string{"body"}},
	{`a token for a key`, request{as: "ana", method: "GET", path: "keys/TOKEN"}, 404, "no_key", nil},
	{`a token in the query`, request{as: "ana", method: "GET", path: "keys?TOKEN=1"}, 422, "invalid", []string{"query"}},
	{`a token in the query twice`, request{as: "ana", method: "GET", path: "keys?TOKEN=1&TOKEN=2"}, 422, "invalid", []string{"query"}},
	{`a token for a state`, request{as: "ana", method: "GET", path: "keys?state=TOKEN"}, 422, "invalid", []string{"query.state[0]"}},
	{`a token for a cursor`, request{as: "ana", method: "GET", path: "keys?cursor=TOKEN"}, 422, "invalid", []string{"query.cursor"}},
	{`a token in the metadata`, request{as: "support", method: "POST", path: "keys", body: `{"name":"x","metadata":{"TOKEN":1}}`}, 422, "invalid", []string{"body.metadata"}},
	{`a token in If-Match`, request{as: "ana", method: "PATCH", path: "keys/{own}", body: `{}`, header: http.Header{"If-Match": {`"TOKEN"`}}}, 412, "changed", nil},

	{`permissions beyond the ceiling`, request{as: "low", method: "POST", path: "keys", body: `{"name":"x","permissions":["jobs:read","jobs:write"]}`}, 403, "ceiling", nil},
	{`["*"] beyond the ceiling`, request{as: "low", method: "POST", path: "keys", body: `{"name":"x","permissions":["*"]}`}, 403, "ceiling", nil},
	{`preset beyond the ceiling`, request{as: "low", method: "POST", path: "keys", body: `{"name":"x","preset":"read-only"}`}, 403, "ceiling", nil},
	{`update of a key that may do more`, request{as: "low", method: "PATCH", path: "keys/{high}", body: `{"name":"mine"}`}, 403, "ceiling", nil},
	{`update to more`, request{as: "low", method: "PATCH", path: "keys/{own}", body: `{"permissions":["*"]}`}, 403, "ceiling", nil},
	{`enable of a key that may do more`, request{as: "low", method: "POST", path: "keys/{high}/enable"}, 403, "ceiling", nil},
	{`rotate of a key that may do more`, request{as: "low", method: "POST", path: "keys/{high}/rotate"}, 403, "ceiling", nil},
	{`limits from no operator`, post("keys", `{"name":"x","limits":[{"name":"m","n":1,"per_seconds":60}]}`), 403, "operators_only", nil},
	{`metadata from no operator`, post("keys", `{"name":"x","metadata":{"a":"b"}}`), 403, "operators_only", nil},
	{`limits by update from no operator`, patch("keys/{own}", `{"limits":[]}`), 403, "operators_only", nil},
	{`metadata by update from no operator`, patch("keys/{own}", `{"metadata":{}}`), 403, "operators_only", nil},
	{`hold from no operator`, post("keys/{own}/hold", ""), 403, "operators_only", nil},
	{`release from no operator`, post("keys/{held}/release", ""), 403, "operators_only", nil},
	{`duplicate JSON key`, post("keys", `{"name":"x","name":"y"}`), 400, "malformed", []string{"body"}},
	{`duplicate JSON key within`, request{as: "support", method: "POST", path: "keys", body: `{"name":"x","metadata":{"a":"1","a":"2"}}`}, 400, "malformed", []string{"body"}},
	{`trailing {}`, post("keys", `{"name":"x"}{}`), 400, "malformed", []string{"body"}},
	{`invalid UTF-8`, post("keys", "{\"name\":\"x\xff\"}"), 400, "malformed", []string{"body"}},
	{`no body`, request{as: "ana", method: "POST", path: "keys"}, 400, "malformed", nil},
	{`a field in other letter case`, post("keys", `{"name":"x","Permissions":["jobs:read"]}`), 422, "invalid", []string{"body"}},
	{`required field in other letter case`, post("keys", `{"NAME":"x"}`), 422, "invalid", []string{"body"}},
	{`update of a field in other letter case`, patch("keys/{own}", `{"Name":"y"}`), 422, "invalid", []string{"body"}},
	{`limit of a field in other letter case`, request{as: "support", method: "PATCH", path: "keys/{own}", body: `{"limits":[{"name":"m","N":1,"per_seconds":60}]}`}, 422, "invalid", []string{"body"}},
	{`unknown field`, post("keys", `{"name":"x","colour":"y"}`), 422, "invalid", []string{"body.colour"}},
	{`prefix and environment by update`, patch("keys/{own}", `{"prefix":"rd_test_","environment":"test"}`), 422, "invalid", []string{"body.environment", "body.prefix"}},
	{`body null`, post("keys", `null`), 422, "invalid", []string{"body"}},
	{`body []`, post("keys", `[]`), 422, "invalid", []string{"body"}},
	{`update null`, patch("keys/{own}", `null`), 422, "invalid", []string{"body"}},
	{`update []`, patch("keys/{own}", `[]`), 422, "invalid", []string{"body"}},
	{`rotate null`, post("keys/{own}/rotate", `null`), 422, "invalid", []string{"body"}},
	{`rotate []`, post("keys/{own}/rotate", `[]`), 422, "invalid", []string{"body"}},
	{`body over 1 MiB`, post("keys", `{"name":"x"`+strings.Repeat(" ", 1<<20-11)+"}"), 413, "too_large", nil},
	{`not application/json`, request{as: "ana", method: "POST", path: "keys", body: `{"name":"x"}`, header: http.Header{"Content-Type": {"text/plain"}}}, 415, "media_type", nil},
	{`no Content-Type`, request{as: "ana", method: "POST", path: "keys", body: `{"name":"x"}`, header: http.Header{"Content-Type": nil}}, 415, "media_type", nil},
	{`a form`, request{as: "ana", method: "POST", path: "keys/{own}/disable", body: `a=b`, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}, 415, "media_type", nil},
	{`JSON of another charset`, request{as: "ana", method: "POST", path: "keys", body: `{"name":"x"}`, header: http.Header{"Content-Type": {"application/json; charset=utf-16"}}}, 415, "media_type", nil},
	{`JSON of another kind`, request{as: "ana", method: "POST", path: "keys", body: `{"name":"x"}`, header: http.Header{"Content-Type": {"application/problem+json"}}}, 415, "media_type", nil},
	{`name empty`, post("keys", `{"name":""}`), 422, "invalid", []string{"body.name"}},
	{`name left out`, post("keys", `{}`), 422, "invalid", []string{"body"}},
	{`name null`, patch("keys/{own}", `{"name":null}`), 422, "invalid", []string{"body.name"}},
	{`name over 256 runes`, post("keys", `{"name":"`+strings.Repeat("é", 257)+`"}`), 422, "invalid", []string{"body.name"}},
	{`name with NUL`, post("keys", `{"name":"a\u0000"}`), 422, "invalid", []string{"body.name"}},
	{`name with CR`, post("keys", `{"name":"a\r"}`), 422, "invalid", []string{"body.name"}},
	{`name with LF`, post("keys", `{"name":"a\n"}`), 422, "invalid", []string{"body.name"}},
	{`name with bidi control`, post("keys", `{"name":"a\u202eb"}`), 422, "invalid", []string{"body.name"}},
	{`name with bidi control, by update`, patch("keys/{own}", `{"name":"a\u202eb"}`), 422, "invalid", []string{"body.name"}},
	{`expiry in the past`, post("keys", `{"name":"x","expires_at":"2026-07-01T12:00:59Z"}`), 422, "invalid", []string{"body.expires_at"}},
	{`expiry in the past, by update`, patch("keys/{own}", `{"expires_at":"2026-07-01T12:00:59Z"}`), 422, "invalid", []string{"body.expires_at"}},
	{`expiry in the year 10000`, post("keys", `{"name":"x","expires_at":"10000-01-01T00:00:00Z"}`), 422, "invalid", []string{"body.expires_at"}},
	{`expiry in the year 10000 of UTC`, post("keys", `{"name":"x","expires_at":"9999-12-31T23:59:59-01:00"}`), 422, "invalid", []string{"body.expires_at"}},
	{`expiry without zone`, post("keys", `{"name":"x","expires_at":"2027-01-01T00:00:00"}`), 422, "invalid", []string{"body.expires_at"}},
	{`expiry that only some readers take`, post("keys", `{"name":"x","expires_at":"2027-01-01T0:00:00Z"}`), 422, "invalid", []string{"body.expires_at"}},
	{`not before after the end`, post("keys", `{"name":"x","expires_at":"2027-01-01T00:00:00Z","not_before":"2027-01-02T00:00:00Z"}`), 422, "invalid", []string{"body.not_before"}},
	{`negative integer`, limit(`"n":-1`), 422, "invalid", []string{"body.limits[0].n"}},
	{`overflowing integer`, limit(`"n":9223372036854775808`), 422, "invalid", []string{"body.limits[0].n"}},
	{`integer beyond all numbers`, limit(`"n":1e999`), 422, "invalid", []string{"body.limits[0].n"}},
	{`half an integer`, limit(`"n":1.5`), 422, "invalid", []string{"body.limits[0].n"}},
	{`negative burst`, limit(`"n":1,"burst":-1`), 422, "invalid", []string{"body.limits[0].burst"}},
	{`limit that is over`, limit(`"n":1,"until":"2026-07-01T12:00:00Z"`), 422, "invalid", []string{"body.limits[0].until"}},
	{`limit of a bad name`, request{as: "support", method: "POST", path: "keys", body: `{"name":"x","limits":[{"name":"A B","n":1,"per_seconds":1}]}`}, 422, "invalid", []string{"body.limits[0].name"}},
	{`permission that the catalog does not know`, post("keys", `{"name":"x","permissions":["jobs:raed"]}`), 422, "invalid", []string{"body.permissions[0]"}},
	{`permissions and preset`, post("keys", `{"name":"x","permissions":[],"preset":"read-only"}`), 422, "invalid", []string{"body.preset"}},
	{`permissions and preset, by update`, patch("keys/{own}", `{"permissions":["jobs:read"],"preset":"read-only"}`), 422, "invalid", []string{"body.preset"}},
	{`grace < 0`, post("keys/{own}/rotate", `{"grace_seconds":-1}`), 422, "invalid", []string{"body.grace_seconds"}},
	{`grace over 30 days`, post("keys/{own}/rotate", `{"grace_seconds":2592001}`), 422, "invalid", []string{"body.grace_seconds"}},
	{`overflowing grace`, post("keys/{own}/rotate", `{"grace_seconds":18446744073709551617}`), 422, "invalid", []string{"body.grace_seconds"}},
	{`a later expiry for an expired key when the cap is full`, patch("keys/{expired}", `{"expires_at":"2027-01-01T00:00:00Z"}`), 409, "quota", nil},
	{`no expiry for an expired key when the cap is full`, patch("keys/{expired}", `{"expires_at":null}`), 409, "quota", nil},
	{`create when the cap is full`, post("keys", `{"name":"x"}`), 409, "quota", nil},
	{`limit 0`, get("keys?limit=0"), 422, "invalid", []string{"query.limit"}},
	{`limit -1`, get("keys?limit=-1"), 422, "invalid", []string{"query.limit"}},
	{`limit 1e9`, get("keys?limit=1e9"), 422, "invalid", []string{"query.limit"}},
	{`limit 1000000000`, get("keys?limit=1000000000"), 422, "invalid", []string{"query.limit"}},
	{`limit abc`, get("keys?limit=abc"), 422, "invalid", []string{"query.limit"}},
	{`limit of history`, get("history?limit=0"), 422, "invalid", []string{"query.limit"}},
	{`limit twice`, get("keys?limit=1&limit=2"), 422, "invalid", []string{"query.limit"}},
	{`unknown query parameter`, get("keys?stat=active"), 422, "invalid", []string{"query.stat"}},
	{`unknown query parameter of a change`, post("keys/{own}/disable?force=1", ""), 422, "invalid", []string{"query.force"}},
	{`query parameter in other letter case`, get("keys?State=active"), 422, "invalid", []string{"query.State"}},
	{`unknown state`, get("keys?state=alive"), 422, "invalid", []string{"query.state[0]"}},
	{`malformed query`, get("keys?state=%zz"), 422, "invalid", []string{"query"}},
	{`time without zone`, get("keys?unused_since=2026-01-01T00:00:00"), 422, "invalid", []string{"query.unused_since"}},
	{`text over 256 bytes`, get("keys?q=" + strings.Repeat("a", 257)), 422, "invalid", []string{"query.q"}},
	{`id %00`, get("keys/%00"), 404, "no_key", nil},
	{`id %00, its history`, get("keys/%00/history"), 404, "no_key", nil},
	{`id %2e%2e%2fx`, get("keys/%2e%2e%2fx"), 404, "no_key", nil},
	{`id %2e%2e`, get("keys/%2e%2e/usage"), 404, "no_key", nil},
	{`id of 10 KB`, get("keys/" + strings.Repeat("a", 10<<10)), 404, "no_key", nil},
	{`id of 10 KB, revoked`, post("keys/"+strings.Repeat("a", 10<<10)+"/revoke", ""), 404, "no_key", nil},
	{`update of a revoked key`, patch("keys/{revoked}", `{"name":"x"}`), 409, "revoked", nil},
	{`enable of a revoked key`, post("keys/{revoked}/enable", ""), 409, "revoked", nil},
	{`rotate of a revoked key`, post("keys/{revoked}/rotate", `{}`), 409, "revoked", nil},
	{`rotate with grace and two live secrets`, post("keys/{rotating}/rotate", `{"grace_seconds":60}`), 409, "rotating", nil},
	{`rotate into another environment`, post("keys/{own}/rotate", `{"prefix":"rd_test_"}`), 409, "format", nil},
	{`If-Match of an older version`, request{as: "ana", method: "PATCH", path: "keys/{rotating}", body: `{"name":"x"}`, header: http.Header{"If-Match": {`"1"`}}}, 412, "changed", nil},
	{`If-Match of an older version, rotate`, request{as: "ana", method: "POST", path: "keys/{rotating}/rotate", header: http.Header{"If-Match": {`"1"`}}}, 412, "changed", nil},
	{`If-Match of older versions`, request{as: "ana", method: "PATCH", path: "keys/{rotating}", body: `{"name":"x"}`, header: http.Header{"If-Match": {`"1", "7"`}}}, 412, "changed", nil},
	{`If-Match of older versions, in two fields`, request{as: "ana", method: "PATCH", path: "keys/{rotating}", body: `{"name":"x"}`, header: http.Header{"If-Match": {`"7"`, `"1"`}}}, 412, "changed", nil},
	{`If-Match that is weak`, request{as: "ana", method: "PATCH", path: "keys/{rotating}", body: `{"name":"x"}`, header: http.Header{"If-Match": {`W/"2"`}}}, 412, "changed", nil},
	{`If-Match that is no tag`, request{as: "ana", method: "PATCH", path: "keys/{rotating}", body: `{"name":"x"}`, header: http.Header{"If-Match": {`2`}}}, 412, "changed", nil},
	{`delete of a live key`, request{as: "ana", method: "DELETE", path: "keys/{own}"}, 409, "live", nil},
	{`delete of a held key`, request{as: "ana", method: "DELETE", path: "keys/{held}"}, 409, "live", nil},
	{`cross-site`, crossing("POST", "Sec-Fetch-Site", "cross-site"), 403, "cross_origin", nil},
	{`same-site`, crossing("POST", "Sec-Fetch-Site", "same-site"), 403, "cross_origin", nil},
	{`Origin of another`, crossing("POST", "Origin", "https://evil.example"), 403, "cross_origin", nil},
	{`Origin: null`, crossing("POST", "Origin", "null"), 403, "cross_origin", nil},
	{`Origin: null beside same-origin`, request{as: "ana", method: "DELETE", path: "keys/{revoked}", header: http.Header{"Origin": {"null"}, "Sec-Fetch-Site": {"same-origin"}}}, 403, "cross_origin", nil},
	{`cross-site, unidentified`, request{as: "who", method: "PATCH", path: "keys/{own}", header: http.Header{"Sec-Fetch-Site": {"cross-site"}}}, 403, "cross_origin", nil},
	{`GET on what changes: disable`, get("keys/{own}/disable"), 405, "method", nil},
	{`GET on what changes: enable`, get("keys/{disabled}/enable"), 405, "method", nil},
	{`GET on what changes: hold`, request{as: "support", method: "GET", path: "keys/{own}/hold"}, 405, "method", nil},
	{`GET on what changes: release`, request{as: "support", method: "GET", path: "keys/{held}/release"}, 405, "method", nil},
	{`GET on what changes: revoke`, get("keys/{own}/revoke"), 405, "method", nil},
	{`GET on what changes: rotate`, get("keys/{own}/rotate"), 405, "method", nil},
	{`GET on what changes: end-rotation`, get("keys/{rotating}/end-rotation"), 405, "method", nil},
	{`PUT`, request{as: "ana", method: "PUT", path: "keys/{own}", body: `{}`}, 405, "method", nil},
	{`OPTIONS`, request{as: "ana", method: "OPTIONS", path: "keys"}, 405, "method", nil},
	{`DELETE of all`, request{as: "ana", method: "DELETE", path: "keys"}, 405, "method", nil},
	{`no such call`, get("keys/{own}/reveal"), 404, "not_found", nil},
	{`no such call, with a slash`, get("keys/"), 404, "not_found", nil},
	{`not identified`, request{as: "who", method: "GET", path: "keys"}, 401, "unidentified", nil},
	{`identified, and no session`, request{as: "nobody", method: "GET", path: "keys"}, 403, "no_member", nil},
	{`member no longer`, request{as: "lapsed", method: "GET", path: "keys"}, 403, "no_member", nil},
}

func get(path string) request { return request{as: "ana", method: "GET", path: path} }
func post(path, body string) request {
	return request{as: "ana", method: "POST", path: path, body: body}
}

func patch(path, body string) request {
	return request{as: "ana", method: "PATCH", path: path, body: body}
}

func limit(fields string) request {
	return request{as: "support", method: "POST", path: "keys", body: `{"name":"x","limits":[{"name":"m","per_seconds":60,` + fields + `}]}`}
}

func crossing(method, name, value string) request {
	return request{as: "ana", method: method, path: "keys/{own}/disable", header: http.Header{name: {value}}}
}

// TestBadInputs: the store is byte for byte as before after each.
func TestBadInputs(t *testing.T) {
	w := newWorld(t)
	w.withSchema(t)
	w.keys(t)
	token := w.make(t, "acme", "tokened", apikey.KeyParams{})
	w.set(func() { w.plans["acme"] = apikey.Plan{Name: "full", MaxKeys: 6} }) // as many as are live
	before := w.snapshot(t)
	for _, c := range badInputs {
		t.Run(c.row, func(t *testing.T) {
			c.path = strings.ReplaceAll(c.path, "TOKEN", token)
			c.body = strings.ReplaceAll(c.body, "TOKEN", token)
			if match := c.header.Get("If-Match"); strings.Contains(match, "TOKEN") {
				c.header = http.Header{"If-Match": {strings.ReplaceAll(match, "TOKEN", token)}}
			}
			a := w.do(t, c.request)
			p := a.problem(t)
			if a.status != c.status || c.code != "" && p.Code != c.code {
				t.Errorf("%d %s, want %d and code %s", a.status, a.body, c.status, c.code)
			}
			if diff := cmp.Diff(c.locations, p.locations()); diff != "" {
				t.Errorf("locations (-want +got): %s\n%s", diff, a.body)
			}
			if strings.Contains(string(a.body), token) || strings.Contains(fmt.Sprint(a.header), token) {
				t.Errorf("the answer repeats the token: %s", a.body)
			}
			w.unchanged(t, before)
		})
	}
}

// TestGoodInputs are rows of the same table that are not refused.
func TestGoodInputs(t *testing.T) {
	w := newWorld(t)
	w.withSchema(t)
	w.keys(t)
	for _, body := range []string{`{"name":"x","permissions":[]}`, `{"name":"x","permissions":null}`, `{"name":"x"}`} {
		a := w.do(t, post("keys", body))
		if got := decode[struct {
			Key struct{ Permissions []string }
		}](t, a).Key.Permissions; a.status != 201 || got == nil || len(got) > 0 {
			t.Errorf("%s: %d, permissions %q, want none", body, a.status, got)
		}
	}
	for _, name := range []string{`<script>alert(1)</script>`, `=cmd()`, strings.Repeat("😀", 256)} {
		if a := w.do(t, post("keys", `{"name":"`+name+`"}`)); a.status != 201 {
			t.Errorf("name %q: %d %s", name, a.status, a.body)
		}
	}
	largest := `{"name":"x"` + strings.Repeat(" ", 1<<20-12) + `}`
	if a := w.do(t, post("keys", largest)); len(largest) != 1<<20 || a.status != 201 {
		t.Errorf("a body of %d bytes: %d %s", len(largest), a.status, a.body)
	}
	before := w.snapshot(t)
	for range 2 {
		if a := w.do(t, post("keys/{revoked}/revoke", "")); a.status != 204 || len(a.body) > 0 {
			t.Errorf("revoked again: %d %s", a.status, a.body)
		}
	}
	w.unchanged(t, before)
	if a := w.do(t, post("keys/{rotating}/rotate", `{"grace_seconds":0}`)); a.status != 200 {
		t.Errorf("rotated with grace 0: %d %s", a.status, a.body)
	}
	if a := w.do(t, request{as: "ana", method: "POST", path: "keys", body: `{"name":"x"}`, header: http.Header{"Content-Type": {"Application/JSON; charset=UTF-8"}}}); a.status != 201 {
		t.Errorf("JSON in other letters: %d %s", a.status, a.body)
	}
	if a := w.do(t, request{as: "ana", method: "PATCH", path: "keys/{own}", body: `{"name":"y"}`, header: http.Header{"If-Match": {`"9"`, `"1"`}}}); a.status != 200 {
		t.Errorf("If-Match in two fields: %d %s", a.status, a.body)
	}
	if a := w.do(t, request{as: "ana", method: "POST", path: "keys/{own}/disable", header: http.Header{"Origin": {w.server.URL}, "Sec-Fetch-Site": {"same-origin"}}}); a.status != 200 {
		t.Errorf("from the same origin: %d %s", a.status, a.body)
	}
}

// TestManyFaults: an answer is not larger than what it answers, and is the same
// each time.
func TestManyFaults(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{
		`{"name":"x","permissions":[0` + strings.Repeat(",0", 100_000) + `]}`,
		`{"name":"x","permissions":["A"` + strings.Repeat(`,"A"`, 999) + `]}`,
		`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}`,
	} {
		first := w.do(t, post("keys", body))
		if first.status != 422 || len(first.body) > 10<<10 || len(first.problem(t).Errors) == 0 {
			t.Errorf("%d, %d bytes", first.status, len(first.body))
		}
		for range 3 {
			if again := w.do(t, post("keys", body)); string(again.body) != string(first.body) {
				t.Fatalf("%s and then %s", first.body, again.body)
			}
		}
	}
}
