package wiretest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/go-apikey/apikey/internal/secretwatch"
)

// field is a header field, written as it is.
type field struct{ name, value string }

type request struct {
	method string // "": GET
	query  string // with its '?'
	fields []field
	body   string
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	text   string // head and body, to be searched
	reset  bool   // HTTP/2: the stream was reset, there is no answer
}

// exchange is a request under way.
type exchange interface {
	answer(t *testing.T) answer
	abandon(t *testing.T) // as a client that has lost interest
}

// protocol is a way to put a request on the wire.
type protocol struct {
	name  string
	start func(t *testing.T, addr string, r request) exchange
}

var (
	overHTTP1 = protocol{"HTTP1.1", startHTTP1}
	overHTTP2 = protocol{"HTTP2", startHTTP2}
	protocols = []protocol{overHTTP1, overHTTP2}
)

func (p protocol) do(t *testing.T, addr string, r request) answer {
	t.Helper()
	return p.start(t, addr, r).answer(t)
}

func (r *request) verb() string {
	if r.method == "" {
		return http.MethodGet
	}
	return r.method
}

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// dial connects for the length of the test. What is read is in raw too.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // it may be closed already
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

type http1Exchange struct {
	conn   net.Conn
	method string
}

func startHTTP1(t *testing.T, addr string, r request) exchange {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s /calls%s HTTP/1.1\r\nHost: api.example\r\n", r.verb(), r.query)
	for _, f := range r.fields {
		b.WriteString(f.name + ":")
		if f.value != "" {
			b.WriteString(" " + f.value)
		}
		b.WriteString("\r\n")
	}
	if r.body != "" {
		b.WriteString("Content-Length: " + strconv.Itoa(len(r.body)) + "\r\n")
	}
	b.WriteString("\r\n" + r.body)
	conn := dial(t, addr)
	go func() {
		_, _ = conn.Write(b.Bytes()) // a server that has read enough closes
	}()
	return &http1Exchange{conn: conn, method: r.verb()}
}

func (e *http1Exchange) answer(t *testing.T) answer {
	t.Helper()
	var raw bytes.Buffer
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(e.conn, &raw)), &http.Request{Method: e.method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // it was read to its end
	secretwatch.Response(t.Name(), resp.StatusCode, resp.Header, body)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(body), text: raw.String()}
}

func (e *http1Exchange) abandon(t *testing.T) {
	t.Helper()
	if err := e.conn.Close(); err != nil {
		t.Fatal(err)
	}
}

type http2Exchange struct {
	framer *http2.Framer
}

const (
	http2Stream   = 1
	http2MaxFrame = 16384 // what every peer must take (RFC 9113, 4.2)
)

func startHTTP2(t *testing.T, addr string, r request) exchange {
	t.Helper()
	conn := dial(t, addr)
	e := &http2Exchange{framer: http2.NewFramer(conn, conn)}
	e.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := e.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	block := encodeHeaders(t, r)
	chunk := min(len(block), http2MaxFrame)
	err := e.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID:      http2Stream,
		BlockFragment: block[:chunk],
		EndStream:     r.body == "",
		EndHeaders:    chunk == len(block),
	})
	for block = block[chunk:]; len(block) > 0 && err == nil; block = block[chunk:] {
		chunk = min(len(block), http2MaxFrame)
		err = e.framer.WriteContinuation(http2Stream, chunk == len(block), block[:chunk])
	}
	if err == nil && r.body != "" {
		err = e.framer.WriteData(http2Stream, true, []byte(r.body))
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// encodeHeaders compresses the fields as they are: neither checked nor trimmed.
func encodeHeaders(t *testing.T, r request) []byte {
	t.Helper()
	fields := []field{{":method", r.verb()}, {":scheme", "http"}, {":authority", "api.example"}, {":path", "/calls" + r.query}}
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, f := range append(fields, r.fields...) {
		if err := enc.WriteField(hpack.HeaderField{Name: strings.ToLower(f.name), Value: f.value}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func (e *http2Exchange) answer(t *testing.T) answer {
	t.Helper()
	got := answer{header: make(http.Header)}
	var text, body strings.Builder
	for done := false; !done; {
		frame, err := e.framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				// The answer may be on its way already: its end is all that matters.
				_ = e.framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			for _, h := range f.Fields {
				fmt.Fprintf(&text, "%s: %s\n", h.Name, h.Value)
				if !h.IsPseudo() {
					got.header.Add(h.Name, h.Value)
				}
			}
			if got.status, err = strconv.Atoi(f.PseudoValue("status")); err != nil {
				t.Fatal(err)
			}
			done = f.StreamEnded()
		case *http2.DataFrame:
			body.Write(f.Data())
			done = f.StreamEnded()
		case *http2.RSTStreamFrame:
			got.reset, done = true, true
		case *http2.GoAwayFrame:
			t.Fatal(errors.New("the connection was ended: " + f.ErrCode.String()))
		}
	}
	got.body = body.String()
	got.text = text.String() + got.body
	secretwatch.Response(t.Name(), got.status, got.header, []byte(got.body))
	return got
}

func (e *http2Exchange) abandon(t *testing.T) {
	t.Helper()
	if err := e.framer.WriteRSTStream(http2Stream, http2.ErrCodeCancel); err != nil {
		t.Fatal(err)
	}
}
