package wiretest

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// row is a line of the table: inputs that get one outcome, or a few.
type row struct {
	name   string
	inputs []input
}

// input is one request, and what it gets.
type input struct {
	name  string
	set   func(*settings)                                                      // what the service is like
	given func(*testing.T, *world)                                             // what happened before it serves
	first func(t *testing.T, w *world, do func(request, *outcome))             // what was asked before
	send  func(w *world) request                                               // nil: K in X-Api-Key
	want  outcome                                                              // over HTTP/1.1
	http2 *outcome                                                             // over HTTP/2; nil: the same
	run   func(t *testing.T, w *world, p protocol, do func(request, *outcome)) // in place of send
}

// TestBadInputs holds to the table of bad inputs, over both protocols.
func TestBadInputs(t *testing.T) {
	for _, r := range slices.Concat(requestRows, tokenRows, keyRows, routeRows, throttleRows, schemeRows, failureRows) {
		t.Run(r.name, func(t *testing.T) {
			for _, in := range r.inputs {
				t.Run(in.name, func(t *testing.T) {
					for _, p := range protocols {
						t.Run(p.name, func(t *testing.T) { in.test(t, p) })
					}
				})
			}
		})
	}
}

func (in *input) test(t *testing.T, p protocol) {
	t.Helper()
	w := newWorld(t, in.set, in.given)
	do := func(r request, want *outcome) {
		t.Helper()
		before := w.look(t)
		got := p.do(t, w.addr, r)
		calls := w.store.calls.Load()
		after := w.look(t)
		after.calls = calls // without those of looking
		want.check(t, w, got, before, after)
	}
	if in.first != nil {
		in.first(t, w, do)
	}
	if in.run != nil {
		in.run(t, w, p, do)
		return
	}
	want := in.want
	if p.name == overHTTP2.name && in.http2 != nil {
		want = *in.http2
	}
	send := in.send
	if send == nil {
		send = sendK
	}
	do(send(w), &want)
}

func sendK(w *world) request { return request{fields: []field{apiKey(w.k)}} }

func authorization(value string) field { return field{"Authorization", value} }
func bearer(token string) field        { return authorization("Bearer " + token) }
func apiKey(token string) field        { return field{"X-Api-Key", token} }

// fields is an input of these fields.
func fields(name string, f func(w *world) []field, want outcome) input {
	return input{name: name, send: func(w *world) request { return request{fields: f(w)} }, want: want}
}

// auth is an input of an Authorization header alone.
func auth(name string, value func(k string) string, want outcome) input {
	return fields(name, func(w *world) []field { return []field{authorization(value(w.k))} }, want)
}

// token is two inputs: something in place of a token, in each of the headers.
func token(name string, value func(w *world) string, want outcome) []input {
	return []input{
		fields(name+", Bearer", func(w *world) []field { return []field{bearer(value(w))} }, want),
		fields(name+", X-Api-Key", func(w *world) []field { return []field{apiKey(value(w))} }, want),
	}
}

// TestLongTokenTakesConstantMemory measures what the guard itself allocates:
// as much for 64 KiB of token as for one that is just too long.
func TestLongTokenTakesConstantMemory(t *testing.T) {
	w := newWorld(t, nil, nil)
	guarded := w.manager.Require()(http.HandlerFunc(w.handle))
	allocated := func(token string) uint64 {
		r := httptest.NewRequest(http.MethodGet, "/calls", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		const times = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range times {
			rec := httptest.NewRecorder()
			guarded.ServeHTTP(rec, r)
			if rec.Code != http.StatusBadRequest {
				t.Fatalf("status %d, want 400", rec.Code)
			}
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / times
	}
	short := allocated(strings.Repeat("a", 513)) // one more than is looked at
	for name, token := range map[string]string{
		"64 KiB":                        strings.Repeat("a", 64<<10),
		"64 KiB, begins as one of ours": "rd_sk_" + strings.Repeat("a", 64<<10),
		"60,000 dots":                   strings.Repeat(".", 60_000),
	} {
		// Events are kept in a slice, which grows now and then.
		if long := allocated(token); long > short+1024 {
			t.Errorf("%s: %d bytes a request, %d for a token of 513 bytes", name, long, short)
		}
	}
}
