package keyadmin

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/google/go-cmp/cmp"
)

// bodyKinds are what the fuzz targets read bodies as.
var bodyKinds = []func(t *testing.T, data []byte){roundTrip[createJSON], roundTrip[updateJSON], roundTrip[rotateJSON]}

// FuzzBodies: what is read and written is read again as the same, and written
// as the same bytes. What is refused is refused in words of ours.
func FuzzBodies(f *testing.F) {
	for kind, bodies := range [][]string{
		{
			`{"name":"ci","description":"a\nb","prefix":"rd_sk_","environment":"live","permissions":["jobs:read"],"preset":"x",` +
				`"expires_at":"2027-01-01T00:00:00.000001+02:00","not_before":"2026-01-01T00:00:00Z","networks":["192.0.2.0/24"],` +
				`"limits":[{"name":"m","n":1,"per_seconds":0.5,"burst":2,"until":"2027-01-01T00:00:00Z"}],"metadata":{"a":"b"}}`,
			`{"name":"x","permissions":null,"networks":[],"metadata":{}}`, `{"name":"x","name":"y"}`, `{"Name":"x"}`, `null`, `[]`, `{"name":1e999}`,
			"{\"name\":\"\xff\"}", `{"name":"\ud800"}`, `{"limits":[{"n":-9223372036854775809}]}`, `{"name":"x"}{}`,
		},
		{`{"name":null,"description":null,"permissions":null,"expires_at":null,"networks":null,"limits":null,"metadata":null}`, `{"name":"x","expires_at":"2027-01-01T00:00:00Z"}`, `{}`},
		{`{"grace_seconds":3600,"prefix":"rd_sk_","end_oldest":true}`, `{"grace_seconds":-1}`, `{"grace_seconds":1.0}`},
	} {
		for _, body := range bodies {
			f.Add(byte(kind), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) { bodyKinds[int(kind)%len(bodyKinds)](t, data) })
}

func roundTrip[T any](t *testing.T, data []byte) {
	t.Helper()
	var loose any
	looseErr := strictJSON.Unmarshal(data, &loose)
	var first, second T
	if err := strictJSON.Unmarshal(data, &first); err != nil {
		if at, what, ok := strings.Cut(err.Error(), ": must "); !ok || !strings.HasPrefix(at, "body") || what == "" {
			t.Errorf("an error in other words: %v", err)
		}
		return
	}
	if looseErr != nil {
		t.Errorf("%q is read as %T, and is no JSON: %v", data, first, looseErr)
	}
	var one, two bytes.Buffer
	if err := strictJSON.Marshal(&one, first); err != nil {
		t.Fatal(err)
	}
	if err := strictJSON.Unmarshal(one.Bytes(), &second); err != nil {
		t.Fatalf("%s cannot be read again: %v", one.Bytes(), err)
	}
	if diff := cmp.Diff(first, second, cmp.AllowUnexported(field[string]{}, field[apikey.Permissions]{}, field[time.Time]{},
		field[[]string]{}, field[[]limitJSON]{}, field[map[string]string]{})); diff != "" {
		t.Errorf("%q is read again as another (-first +second):\n%s", data, diff)
	}
	if err := strictJSON.Marshal(&two, second); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("written as %s and then as %s, %v", one.Bytes(), two.Bytes(), err)
	}
}

// FuzzKnown: a location shows nothing that could be a token.
func FuzzKnown(f *testing.F) {
	for _, s := range []string{"body.name", "body.limits[0].n", "query.stat", "body.metadata.rd_sk_0123456789abcdefghij", "", "...", "body.a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := known(s)
		if !strings.HasPrefix(s, out) {
			t.Errorf("%q is no beginning of %q", out, s)
		}
		for part := range strings.SplitSeq(out, ".") {
			if bare := index.ReplaceAllString(part, ""); len(bare) > 24 || strings.ContainsAny(bare, "0123456789") {
				t.Errorf("%q shows %q", out, part)
			}
		}
	})
}

// TestLocate: fields of the library by their JSON names.
func TestLocate(t *testing.T) {
	for field, want := range map[string]string{
		"Name": "body.name", "Permissions[2]": "body.permissions[2]", "Limits[1].Per": "body.limits[1].per_seconds", "Limits[0].Until": "body.limits[0].until",
		"Limits": "body.limits", "ExpiresAt": "body.expires_at", "After": "query.cursor", "Limit": "query.limit", "Text": "query.q", "States[3]": "query.state",
		"Grace": "body.grace_seconds", "Networks[0]": "body.networks[0]", "Metadata": "body.metadata",
	} {
		if got := locate(field); got != want {
			t.Errorf("%s is at %s, want %s", field, got, want)
		}
	}
}

// TestToProblem: what is not known is 503, and its text is told to nobody.
func TestToProblem(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{errors.New("10.0.0.8: refused"), 503, "unavailable"},
		{apikey.ErrClosed, 503, "unavailable"},
		{apikey.ErrUnsupported, 501, "unsupported"},
		{apikey.ErrConflict, 409, "conflict"},
		{&apikey.OutcomeUnknownError{KeyID: "0123456789ab", Err: errors.New("10.0.0.8: refused")}, 503, "outcome_unknown"},
		{&apikey.InvalidError{Fields: []apikey.FieldError{{Field: "Actor.ID", Message: "must be shorter"}}}, 500, "misconfigured"},
	} {
		p := toProblem(c.err)
		if p.Status != c.status || p.Code != c.code || strings.Contains(p.Detail, "10.0.0.8") {
			t.Errorf("%v is %+v, want %d %s", c.err, p, c.status, c.code)
		}
	}
	p := toProblem(&apikey.InvalidError{Fields: []apikey.FieldError{{Field: "NotBefore", Message: "must be before ExpiresAt"}}})
	if diff := cmp.Diff([]fieldAt{{"body.not_before", "must be before expires_at"}}, p.Errors); diff != "" {
		t.Error(diff)
	}
	if toProblem(nil) != nil {
		t.Error("nothing is a problem")
	}
}
