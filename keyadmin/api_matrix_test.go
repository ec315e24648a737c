package keyadmin_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-apikey/apikey"
)

// matrix is what each call answers to whom, about which key: the person's
// own account's ("own"), another account's ("other"), one that may do more than
// a member with a low ceiling ("above"), and one that an operator holds
// ("held"). Calls of no single key have one column.
//
//	stranger  not known
//	looker    a member who may only look
//	low       a member with the ceiling jobs:read
//	member    a member with the ceiling *
//	operator  the host's staff
const matrix = `
call                       key    stranger looker low member operator
GET keys                   -      401      200    200 200    200
GET keys.csv               -      401      200    200 200    200
GET history                -      401      200    200 200    200
GET catalog                -      401      200    200 200    200
GET openapi.json           -      401      200    200 200    200
POST keys                  -      401      403    201 201    201
POST keys +above           -      401      403    403 201    201
POST keys +limits          -      401      403    403 403    201
POST keys +metadata        -      401      403    403 403    201
GET keys/{}                own    401      200    200 200    200
GET keys/{}                other  401      404    404 404    404
GET keys/{}                above  401      200    200 200    200
GET keys/{}                held   401      200    200 200    200
GET keys/{}/usage          own    401      200    200 200    200
GET keys/{}/usage          other  401      404    404 404    404
GET keys/{}/usage          above  401      200    200 200    200
GET keys/{}/usage          held   401      200    200 200    200
GET keys/{}/history        own    401      200    200 200    200
GET keys/{}/history        other  401      404    404 404    404
GET keys/{}/history        above  401      200    200 200    200
GET keys/{}/history        held   401      200    200 200    200
PATCH keys/{}              own    401      403    200 200    200
PATCH keys/{}              other  401      403    404 404    404
PATCH keys/{}              above  401      403    403 200    200
PATCH keys/{}              held   401      403    200 200    200
PATCH keys/{} +above       own    401      403    403 200    200
PATCH keys/{} +above       other  401      403    404 404    404
PATCH keys/{} +limits      own    401      403    403 403    200
PATCH keys/{} +limits      other  401      403    403 403    404
PATCH keys/{} +metadata    own    401      403    403 403    200
PATCH keys/{} +metadata    other  401      403    403 403    404
POST keys/{}/disable       own    401      403    200 200    200
POST keys/{}/disable       other  401      403    404 404    404
POST keys/{}/disable       above  401      403    200 200    200
POST keys/{}/disable       held   401      403    200 200    200
POST keys/{}/enable        own    401      403    200 200    200
POST keys/{}/enable        other  401      403    404 404    404
POST keys/{}/enable        above  401      403    403 200    200
POST keys/{}/enable        held   401      403    200 200    200
POST keys/{}/hold          own    401      403    403 403    200
POST keys/{}/hold          other  401      403    403 403    404
POST keys/{}/hold          above  401      403    403 403    200
POST keys/{}/hold          held   401      403    403 403    200
POST keys/{}/release       own    401      403    403 403    200
POST keys/{}/release       other  401      403    403 403    404
POST keys/{}/release       above  401      403    403 403    200
POST keys/{}/release       held   401      403    403 403    200
POST keys/{}/rotate        own    401      403    200 200    200
POST keys/{}/rotate        other  401      403    404 404    404
POST keys/{}/rotate        above  401      403    403 200    200
POST keys/{}/rotate        held   401      403    200 200    200
POST keys/{}/end-rotation  own    401      403    200 200    200
POST keys/{}/end-rotation  other  401      403    404 404    404
POST keys/{}/end-rotation  above  401      403    403 200    200
POST keys/{}/end-rotation  held   401      403    200 200    200
POST keys/{}/revoke        own    401      403    204 204    204
POST keys/{}/revoke        other  401      403    404 404    404
POST keys/{}/revoke        above  401      403    204 204    204
POST keys/{}/revoke        held   401      403    204 204    204
DELETE keys/{}             own    401      403    409 409    409
DELETE keys/{}             other  401      403    404 404    404
DELETE keys/{}             above  401      403    409 409    409
DELETE keys/{}             held   401      403    409 409    409
`

var (
	columns = []string{"who", "cy", "low", "ana", "support"}
	ofRow   = map[string]string{"own": "own", "other": "theirs", "above": "high", "held": "held"}
	bodies  = map[string]string{
		"":          `{"name":"x","permissions":["jobs:read"]}`,
		"+above":    `{"name":"x","permissions":["jobs:read","jobs:write"]}`,
		"+limits":   `{"name":"x","limits":[{"name":"minute","n":1,"per_seconds":60}]}`,
		"+metadata": `{"name":"x","metadata":{"a":"b"}}`,
	}
)

// TestMatrix calls everything as everybody, and sees that a refusal changes
// nothing, in a world of its own each.
func TestMatrix(t *testing.T) {
	rows := strings.Split(strings.TrimSpace(matrix), "\n")[1:]
	for _, row := range rows {
		cells := strings.Fields(row)
		method, path, body := cells[0], cells[1], ""
		if strings.HasPrefix(cells[2], "+") {
			body = cells[2]
			cells = slices.Delete(cells, 2, 3)
		}
		for i, as := range columns {
			t.Run(strings.Join(strings.Fields(row)[:len(strings.Fields(row))-5], " ")+" as "+as, func(t *testing.T) {
				w := newWorld(t)
				w.keys(t)
				q := request{as: as, method: method, path: strings.Replace(path, "{}", "{"+ofRow[cells[2]]+"}", 1)}
				if method == http.MethodPatch || path == "keys" && method == http.MethodPost {
					q.body = bodies[body]
				}
				before := w.snapshot(t)
				a := w.do(t, q)
				if got := fmt.Sprint(a.status); got != cells[3+i] {
					t.Errorf("%s %s as %s: %s, want %s", method, q.path, as, a.body, cells[3+i])
				}
				if a.status >= 400 || method == http.MethodGet {
					w.unchanged(t, before)
				}
			})
		}
	}
}

// TestMatrixIsWhole: a call that is documented is in the matrix.
func TestMatrixIsWhole(t *testing.T) {
	w := newWorld(t)
	w.withSchema(t)
	for path, item := range w.schema.doc.Paths.Map() {
		for method := range item.Operations() {
			path = strings.TrimPrefix(strings.Replace(path, "{id}", "{}", 1), "/")
			if !strings.Contains(matrix, "\n"+method+" "+path+" ") {
				t.Errorf("%s %s is not in the matrix", method, path)
			}
		}
	}
}

// TestIsolation: of another owner's key everything is said byte for byte and
// header for header as of a key that there is not, to everybody.
func TestIsolation(t *testing.T) {
	w := newWorld(t)
	w.keys(t)
	before := w.snapshot(t)
	for _, as := range []string{"who", "cy", "low", "ana", "support"} {
		for _, c := range []request{
			{method: "GET", path: "keys/{}"},
			{method: "HEAD", path: "keys/{}"},
			{method: "PATCH", path: "keys/{}", body: `{"name":"x"}`},
			{method: "PATCH", path: "keys/{}", body: `{"permissions":["*"]}`},
			{method: "PATCH", path: "keys/{}", body: `{"limits":[]}`},
			{method: "PATCH", path: "keys/{}", body: `{"name":""}`},
			{method: "PATCH", path: "keys/{}", body: `{"name":"x"}`, header: http.Header{"If-Match": {`"1"`}}},
			{method: "PATCH", path: "keys/{}", body: `{"name":"x"}`, header: http.Header{"If-Match": {`"9"`}}},
			{method: "PATCH", path: "keys/{}", body: `{"name":"x"}`, header: http.Header{"If-Match": {`"1", "9"`}}},
			{method: "PATCH", path: "keys/{}", body: `{"name":"x"}`, header: http.Header{"If-Match": {`*`}}},
			{method: "POST", path: "keys/{}/disable"},
			{method: "POST", path: "keys/{}/enable"},
			{method: "POST", path: "keys/{}/hold"},
			{method: "POST", path: "keys/{}/release"},
			{method: "POST", path: "keys/{}/revoke"},
			{method: "POST", path: "keys/{}/rotate"},
			{method: "POST", path: "keys/{}/rotate", body: `{"grace_seconds":60,"prefix":"rd_test_"}`},
			{method: "POST", path: "keys/{}/rotate", header: http.Header{"If-Match": {`"1"`}}},
			{method: "POST", path: "keys/{}/end-rotation"},
			{method: "DELETE", path: "keys/{}"},
			{method: "GET", path: "keys/{}/usage"},
			{method: "GET", path: "keys/{}/history"},
			{method: "GET", path: "keys/{}/history?cursor=AAAAAAAAAAAAAAAAAAAAAA"},
			{method: "GET", path: "keys/{}/reveal"},
			{method: "PUT", path: "keys/{}"},
		} {
			c.as = as
			path := c.path
			c.path = strings.Replace(path, "{}", "{theirs}", 1)
			theirs := w.do(t, c)
			c.path = strings.Replace(path, "{}", "{unknown}", 1)
			unknown := w.do(t, c)
			theirs.header.Del("Date")
			unknown.header.Del("Date")
			if theirs.status != unknown.status || string(theirs.body) != string(unknown.body) || !maps.EqualFunc(theirs.header, unknown.header, slices.Equal) {
				t.Errorf("%s %s as %s tells them apart:\n%+v %s\n%+v %s", c.method, path, as, theirs, theirs.body, unknown, unknown.body)
			}
			if theirs.status < 400 {
				t.Errorf("%s %s as %s: %d", c.method, path, as, theirs.status)
			}
		}
	}
	w.unchanged(t, before)
	for _, path := range []string{"keys", "keys.csv", "history", "keys?q=theirs"} {
		if a := w.do(t, get(path)); strings.Contains(string(a.body), w.ids["theirs"]) || a.status != 200 {
			t.Errorf("%s has another owner's key: %d %s", path, a.status, a.body)
		}
	}
}

// TestDeletedIsUnknown, but for its history, which its owner keeps.
func TestDeletedIsUnknown(t *testing.T) {
	w := newWorld(t)
	w.keys(t)
	if err := w.manager.Keyring("beta", support).Delete(t.Context(), w.revokeTheirs(t)); err != nil {
		t.Fatal(err)
	}
	for _, as := range []string{"ana", "bo"} {
		theirs := w.do(t, request{as: as, method: "GET", path: "keys/{theirs}/history"})
		if want := map[string]int{"ana": 404, "bo": 200}[as]; theirs.status != want {
			t.Errorf("history of a deleted key to %s: %d %s, want %d", as, theirs.status, theirs.body, want)
		}
	}
}

func (w *world) revokeTheirs(t *testing.T) string {
	t.Helper()
	if _, err := w.manager.Keyring("beta", support).Revoke(t.Context(), w.ids["theirs"]); err != nil {
		t.Fatal(err)
	}
	return w.ids["theirs"]
}

// TestMembershipEnds with the next request, and so do abilities.
func TestMembershipEnds(t *testing.T) {
	w := newWorld(t)
	w.keys(t)
	status := func(q request, want int) {
		t.Helper()
		if a := w.do(t, q); a.status != want {
			t.Errorf("%s %s: %d %s, want %d", q.method, q.path, a.status, a.body, want)
		}
	}
	status(patch("keys/{own}", `{"name":"a"}`), 200)
	w.set(func() { w.people["ana"].Abilities.Change = false })
	before := w.snapshot(t)
	status(patch("keys/{own}", `{"name":"b"}`), 403)
	status(get("keys"), 200)
	w.set(func() { w.people["ana"].Abilities = everything; w.people["ana"].Actor.Ceiling = apikey.Permissions{} })
	status(patch("keys/{own}", `{"name":"b"}`), 403)
	w.set(func() { w.people["ana"].Owners = nil })
	status(get("keys"), 403)
	status(post("keys/{own}/revoke", ""), 403)
	w.set(func() { delete(w.people, "ana") })
	status(get("keys"), 401)
	w.unchanged(t, before)
}
