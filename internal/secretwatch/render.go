package secretwatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
)

// Error hands over an error, and all that it wraps, as anybody might print it.
// It returns err; nil is nothing.
func Error(place string, err error) error {
	if place += ": error"; err != nil && takes(place) {
		value(place, err, 4)
	}
	return err
}

// Event hands over a structure for a host, with the structures and errors that
// it points to.
func Event(place string, event any) {
	if place += ": event"; takes(place) {
		value(place, event, 4)
	}
}

// value prints v under every verb, and then what fmt would not follow.
func value(place string, v any, depth int) {
	encoded, err := json.Marshal(v)
	Text(place, fmt.Sprintf("%v\n%+v\n%#v\n%q\n%x\n%s\n%v", v, v, v, v, v, encoded, err))
	if depth == 0 {
		return
	}
	if e, ok := v.(error); ok {
		Text(place, e.Error())
		switch u := v.(type) {
		case interface{ Unwrap() error }:
			inner(place, u.Unwrap(), depth)
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				inner(place, e, depth)
			}
		}
	}
	r := reflect.Indirect(reflect.ValueOf(v))
	if r.Kind() != reflect.Struct {
		return
	}
	for _, f := range r.Fields() {
		if f.CanInterface() && (f.Kind() == reflect.Pointer || f.Kind() == reflect.Interface) && !f.IsNil() {
			if f.Kind() == reflect.Pointer {
				f = f.Elem()
			}
			inner(place, f.Interface(), depth)
		}
	}
}

func inner(place string, v any, depth int) {
	if v != nil {
		value(place, v, depth-1)
	}
}

// Response hands over an answer as a client sees it.
func Response(place string, status int, header http.Header, body []byte) {
	if collected.Load() == nil {
		return
	}
	var h bytes.Buffer
	_ = header.Write(&h) // into memory
	Text(place+": HTTP header", fmt.Sprintf("%d\n%s%q", status, h.Bytes(), header))
	Text(place+": HTTP body", string(body))
}

// Recorder is a recorder of an answer that is handed over when the test ends.
func Recorder(t testing.TB) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	t.Cleanup(func() { Response(t.Name(), w.Code, w.Header(), w.Body.Bytes()) })
	return w
}

// Transport hands over every answer that it reads through base; nil is
// [http.DefaultTransport].
func Transport(place string, base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return transport{place, base}
}

type transport struct {
	place string
	base  http.RoundTripper
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, Error(t.place, err)
	}
	resp.Body = &heard{ReadCloser: resp.Body, place: t.place, resp: resp}
	return resp, nil
}

// heard keeps what is read of a body until it is closed.
type heard struct {
	io.ReadCloser
	place string
	resp  *http.Response
	body  bytes.Buffer
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	h.body.Write(p[:n])
	return n, err
}

func (h *heard) Close() error {
	Response(h.place, h.resp.StatusCode, h.resp.Header, h.body.Bytes())
	h.body.Reset()
	return h.ReadCloser.Close()
}
