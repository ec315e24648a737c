// Package demotest runs a demo service as the program that it is and talks to
// it over HTTP, as its clients and its dashboard do.
package demotest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-apikey/apikey/internal/secretwatch"
)

const programVariable = "APIKEY_DEMO_PROGRAM"

// Program makes this process the demo if [Start] began it. It is for TestMain:
// so the program under test is built as the tests are, with -race too.
func Program(main func()) {
	if os.Getenv(programVariable) != "" {
		main()
		os.Exit(0)
	}
}

// Demo is a demo that runs.
type Demo struct {
	Base string // its address, as it says
	Said string // what else it says at start
	Send Sender

	t      *testing.T
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer
	ended  bool
}

// Sender puts a token into a request as a service's clients do.
type Sender func(r *http.Request, token string)

// Bearer is Authorization: Bearer <token>.
func Bearer(r *http.Request, token string) { r.Header.Set("Authorization", "Bearer "+token) }

// XAPIKey is X-Api-Key: <token>.
func XAPIKey(r *http.Request, token string) { r.Header.Set("X-Api-Key", token) }

// Start starts the demo on a free port, and stops it at the end of the test.
func Start(t *testing.T, send Sender, args ...string) *Demo {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, send, self, args...)
}

func start(t *testing.T, send Sender, program string, args ...string) *Demo {
	t.Helper()
	d := &Demo{Send: send, t: t, cmd: exec.Command(program, append([]string{"-addr", "127.0.0.1:0"}, args...)...)}
	d.cmd.Env = append(os.Environ(), programVariable+"=1")
	d.cmd.Stderr = &d.stderr
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop(syscall.SIGTERM) })
	d.stdout = bufio.NewReader(stdout)
	line, _ := d.stdout.ReadString('\n')
	base, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "listening on ")
	if !ok {
		t.Fatalf("the first line is %q, want the address that it listens on", line)
	}
	rest, _ := d.stdout.Peek(d.stdout.Buffered()) // it says all of it in one write
	d.Base, d.Said = base, string(rest)
	return d
}

// Stop stops it by a signal, and fails the test unless it ends with status 0
// and nothing on standard error. It does so once.
func (d *Demo) Stop(signal os.Signal) {
	d.t.Helper()
	if d.ended {
		return
	}
	d.ended = true
	client.CloseIdleConnections()
	if err := d.cmd.Process.Signal(signal); err != nil {
		d.t.Error(err)
	}
	_, _ = io.Copy(io.Discard, d.stdout) // Wait closes the pipe, so it is read to its end first
	if err := d.cmd.Wait(); err != nil || d.stderr.Len() > 0 {
		d.t.Errorf("after %v it ended with %v, and on stderr %.2000q; want status 0 and nothing", signal, err, d.stderr.String())
	}
}

var client = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 256},
	Timeout:       30 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Call calls the API with a key's token; "": without any.
func (d *Demo) Call(t testing.TB, token, method, path string, body any) *Answer {
	t.Helper()
	return d.Do(t, method, path, body, func(r *http.Request) {
		if token != "" {
			d.Send(r, token)
		}
	})
}

// Do makes a request. A body that is no string is sent as JSON.
func (d *Demo) Do(t testing.TB, method, path string, body any, prepare func(*http.Request)) *Answer {
	t.Helper()
	var content io.Reader = http.NoBody
	if text, ok := body.(string); ok {
		content = strings.NewReader(text)
	} else if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.NewReader(data)
	}
	if !strings.HasPrefix(path, "http://") {
		path = d.Base + path
	}
	r, err := http.NewRequestWithContext(t.Context(), method, path, content)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if prepare != nil {
		prepare(r)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := &Answer{t: t, what: method + " " + r.URL.Path, Status: resp.StatusCode, Header: resp.Header, Body: string(data)}
	a.watch()
	return a
}

// Answer is what a demo answered.
type Answer struct {
	Status int
	Header http.Header
	Body   string

	t    testing.TB
	what string
}

// watch has the whole of the run searched for a token that is in this answer,
// and this answer for all others.
func (a *Answer) watch() {
	body := a.Body
	if token := a.String("token"); token != "" {
		secretwatch.Add(token)
		body = strings.ReplaceAll(body, token, "(the token)")
	}
	secretwatch.Text(a.t.Name()+": "+a.what, body)
}

// Want fails the test unless the status is this one.
func (a *Answer) Want(status int) *Answer {
	a.t.Helper()
	if a.Status != status {
		a.t.Fatalf("%s: %d, want %d\n%s", a.what, a.Status, status, a.Body)
	}
	return a
}

// WantCode is Want, and the code of a problem besides.
func (a *Answer) WantCode(status int, code string) *Answer {
	a.t.Helper()
	if a.Want(status); a.String("code") != code {
		a.t.Fatalf("%s: the code is %q, want %q\n%s", a.what, a.String("code"), code, a.Body)
	}
	return a
}

// WantField is Want of 422 with a fault of this field, such as "body.name".
func (a *Answer) WantField(location string) {
	a.t.Helper()
	a.Want(http.StatusUnprocessableEntity)
	for _, e := range a.List("errors") {
		if e["location"] == location {
			return
		}
	}
	a.t.Fatalf("%s: no error of %s\n%s", a.what, location, a.Body)
}

// Field is what stands at a path of names, nil if nothing does.
func (a *Answer) Field(path ...string) any {
	var v any
	if json.Unmarshal([]byte(a.Body), &v) != nil {
		return nil
	}
	for _, name := range path {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

// String is a text at a path, "" if there is none.
func (a *Answer) String(path ...string) string {
	s, _ := a.Field(path...).(string)
	return s
}

// Number is a number at a path, 0 if there is none.
func (a *Answer) Number(path ...string) int {
	n, _ := a.Field(path...).(float64)
	return int(n)
}

// List is the objects of the array at a path.
func (a *Answer) List(path ...string) []map[string]any {
	var all []map[string]any
	items, _ := a.Field(path...).([]any)
	for _, item := range items {
		object, _ := item.(map[string]any)
		all = append(all, object)
	}
	return all
}

// Eventually waits until a condition holds, as long as the promise allows.
func Eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); !holds(); <-tick.C {
		if time.Since(start) > within {
			t.Fatalf("after %v not yet: %s", within, what)
		}
	}
}
