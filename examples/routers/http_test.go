package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey/internal/secretwatch"
)

// httpRouters are all but gRPC. The first is what the others are held to.
var httpRouters = []string{"net/http", "chi", "gin", "echo", "fiber"}

// request is one over HTTP: its first line without the version, and the lines
// of its header.
type request struct {
	line   string
	header []string
}

func get(path string, header ...string) request { return request{"GET " + path, header} }

func bearer(token string) string { return "Authorization: Bearer " + token }

// alike are requests that all routers must answer alike.
var alike = []struct {
	name    string
	request func(*world) request
	before  int  // how often the request is made before it counts
	down    bool // the store is
	status  int
	has     []string // parts of the answer
}{
	{
		name: "no key", status: 401, has: []string{`"missing"`, `Www-Authenticate: Bearer realm="api"` + "\r\n"},
		request: func(*world) request { return get("/reports") },
	},
	{
		name: "empty", status: 401, has: []string{`"empty"`},
		request: func(*world) request { return get("/reports", "X-Api-Key: ") },
	},
	{
		name: "another scheme", status: 401, has: []string{`"unsupported_scheme"`},
		request: func(*world) request { return get("/reports", "Authorization: Basic YTpi") },
	},
	{
		name: "two keys in two headers", status: 400, has: []string{`"malformed_request"`},
		request: func(w *world) request { return get("/reports", bearer(w.reader), "X-Api-Key: "+w.writer) },
	},
	{
		name: "two keys in one header", status: 400, has: []string{`"malformed_request"`},
		request: func(w *world) request { return get("/reports", bearer(w.malformed()), bearer(w.reader)) },
	},
	{
		name: "one key, in quotes", status: 400, has: []string{`"malformed_request"`},
		request: func(w *world) request { return get("/reports", bearer(`"`+w.reader+`"`)) },
	},
	{
		name: "malformed", status: 401, has: []string{`"invalid"`, `error="invalid_token"`},
		request: func(w *world) request { return get("/reports", bearer(w.malformed())) },
	},
	{
		name: "unknown", status: 401, has: []string{`"invalid"`, `error="invalid_token"`},
		request: func(w *world) request { return get("/reports", bearer(w.unknown)) },
	},
	{
		name: "revoked", status: 401, has: []string{`"revoked"`, `error="invalid_token"`},
		request: func(w *world) request { return get("/reports", bearer(w.revoked)) },
	},
	{
		name: "permission missing", status: 403, has: []string{`"permission"`, `scope="reports:create"`},
		request: func(w *world) request {
			return request{"POST /reports", []string{bearer(w.reader), "Content-Length: 0"}}
		},
	},
	{
		name: "other owner", status: 403, has: []string{`"owner"`},
		request: func(w *world) request { return get("/accounts/acct_43/reports", bearer(w.reader)) },
	},
	{
		name: "rate limited", status: 429, before: burst,
		has:     []string{`"rate_limited"`, "Retry-After: 30\r\n", `Ratelimit: "minute";r=0;t=60` + "\r\n", `Ratelimit-Policy: "minute";q=2;w=60` + "\r\n"},
		request: func(w *world) request { return get("/reports", bearer(w.reader)) },
	},
	{
		name: "store down", status: 503, down: true, has: []string{`"unavailable"`, "Retry-After: 1\r\n"},
		request: func(w *world) request { return get("/reports", bearer(w.reader)) },
	},
	{
		name: "stream refused", status: 401, has: []string{`"revoked"`},
		request: func(w *world) request { return get("/events", bearer(w.revoked)) },
	},
	{
		name: "good", status: 200,
		has:     []string{`{"account":"acct_42","reports":"march"}`, `Ratelimit: "minute";r=1;t=30` + "\r\n", "Cache-Control: private\r\n", "Vary: Authorization, X-Api-Key\r\n"},
		request: func(w *world) request { return get("/reports", bearer(w.reader)) },
	},
	{
		name: "good, in a header of its own", status: 200,
		request: func(w *world) request { return get("/reports", "X-Api-Key: "+w.reader) },
	},
	{
		name: "good, to create", status: 201, has: []string{`"created"`},
		request: func(w *world) request {
			return request{"POST /reports", []string{bearer(w.writer), "Content-Length: 0"}}
		},
	},
	{
		name: "good, own account", status: 200, has: []string{`"reports"`},
		request: func(w *world) request { return get("/accounts/acct_42/reports", bearer(w.reader)) },
	},
}

func TestRoutersAnswerAlike(t *testing.T) {
	for _, c := range alike {
		t.Run(c.name, func(t *testing.T) {
			var want string
			for _, router := range httpRouters {
				w := newWorld(t, time.Minute)
				addr := start(t, router, &w.service)
				for range c.before {
					send(t, addr, c.request(w))
				}
				w.down.Store(c.down)
				got := send(t, addr, c.request(w))
				if want == "" {
					want = got
					if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d %s\r\n", c.status, http.StatusText(c.status))) {
						t.Fatalf("%s: want status %d:\n%s", router, c.status, got)
					}
					for _, part := range c.has {
						if !strings.Contains(got, part) {
							t.Errorf("%s: there is no %q in the answer:\n%s", router, part, got)
						}
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s answers otherwise than %s (-want +got):\n%s", router, httpRouters[0], diff)
				}
			}
		})
	}
}

// TestEscapedOwners: routers read escapes differently, and none lets a key of
// one account into another's by them.
func TestEscapedOwners(t *testing.T) {
	for _, path := range []string{"acct%5F43", "acct%5f43", "acct_43%2F..%2Facct_42", "acct_42%2F..%2Facct_43", "acct_42%00", "%61cct_43", ""} {
		for _, router := range httpRouters {
			w := newWorld(t, time.Minute)
			got := send(t, start(t, router, &w.service), get("/accounts/"+path+"/reports", bearer(w.reader)))
			if strings.HasPrefix(got, "HTTP/1.1 2") {
				t.Errorf("%s let a key of %s into /accounts/%s:\n%s", router, ourAccount, path, got)
			}
		}
	}
}

// start serves s until the test ends.
func start(t *testing.T, router string, s *service) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := newServer(router, s)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.serve(ln) }()
	t.Cleanup(func() {
		if err := server.stop(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return ln.Addr().String()
}

// send makes a request and returns the answer as it came, byte for byte, but
// for the order of the header's lines and the Date among them.
func send(t *testing.T, addr string, r request) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := append([]string{r.line + " HTTP/1.1", "Host: api.example"}, r.header...)
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	answer, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &raw)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	secretwatch.Text(t.Name(), raw.String())
	head, body, _ := strings.Cut(raw.String(), "\r\n\r\n")
	lines = strings.Split(head, "\r\n")
	header := slices.DeleteFunc(lines[1:], func(line string) bool { return strings.HasPrefix(line, "Date: ") })
	slices.Sort(header)
	return lines[0] + "\r\n" + strings.Join(header, "\r\n") + "\r\n\r\n" + body
}

// TestStreamsEnd: a stream whose key is revoked ends, and says why.
func TestStreamsEnd(t *testing.T) {
	var want string
	for _, router := range httpRouters {
		w := newWorld(t, 20*time.Millisecond)
		addr := start(t, router, &w.service)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+w.reader)
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		lines := bufio.NewScanner(answer.Body)
		if !lines.Scan() || lines.Text() != `{"event":1}` {
			t.Fatalf("%s: the stream began with %q: %v", router, lines.Text(), lines.Err())
		}
		w.revoke(t, w.readerID)
		last := ""
		for lines.Scan() {
			last = lines.Text()
		}
		if lines.Err() != nil || last != `{"end":"revoked"}` {
			t.Errorf("%s: the stream ended in %q: %v", router, last, lines.Err())
		}
		answer.Header.Del("Date")
		got := fmt.Sprint(answer.Status, answer.Header, answer.TransferEncoding)
		if want == "" {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s streams otherwise than %s (-want +got):\n%s", router, httpRouters[0], diff)
		}
	}
}
