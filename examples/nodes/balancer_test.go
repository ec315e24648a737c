package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// backends are a balancer over servers that answer and one that is gone, and
// how often each was asked.
func TestBalancer(t *testing.T) {
	type counted struct {
		*httptest.Server
		n atomic.Int32
	}
	b := newBalancer()
	add := func(name string, h http.HandlerFunc) *counted {
		c := &counted{}
		c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.n.Add(1)
			h(w, r)
		}))
		t.Cleanup(c.Close)
		b.set(name, c.URL)
		return c
	}
	ok := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For"))
	}
	breaks := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	front := httptest.NewServer(b)
	t.Cleanup(front.Close)
	ask := func(method string) (status int, tried, body string) {
		req, err := http.NewRequestWithContext(t.Context(), method, front.URL, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req) //nolint:forbidigo // a test's
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header.Get("X-Tried"), string(text)
	}

	first, second := add("a", ok), add("b", ok)
	for range 10 {
		if status, tried, body := ask("GET"); status != 200 || tried != "1" || body != "127.0.0.1" {
			t.Errorf("two nodes: %d, tried %q, the client is %q", status, tried, body)
		}
	}
	if first.n.Load() != 5 || second.n.Load() != 5 {
		t.Errorf("asked %d and %d times, want 5 each", first.n.Load(), second.n.Load())
	}

	first.Close()
	tries := ""
	for range 4 {
		status, tried, _ := ask("POST") // which was not sent
		if tries += tried; status != 200 {
			t.Errorf("one node is gone: %d", status)
		}
	}
	if strings.Count(tries, "2") != 1 {
		t.Errorf("tried %s nodes, want 2 once, and then to leave the one alone", tries)
	}

	broken := add("a", breaks)
	if status, _, _ := ask("GET"); status != 200 {
		t.Errorf("a node breaks off: %d", status)
	}
	b.set("a", broken.URL) // is well again, it seems
	statuses := map[int]int{}
	for range 2 {
		status, _, _ := ask("POST")
		statuses[status]++
	}
	if statuses[200] != 1 || statuses[502] != 1 {
		t.Errorf("a POST that a node broke off must not be repeated: %v", statuses)
	}

	second.Close()
	if status, _, body := ask("GET"); status != 502 || body != "no node answers\n" {
		t.Errorf("no node is there: %d %q", status, body)
	}
}
