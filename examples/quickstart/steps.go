package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// A step is one request of the guide and what it answers. The guide that is
// printed and the requests that -check makes are both made from it, so that
// they cannot drift apart. In an answer each "…" stands for what differs from
// run to run: a token, or seconds.
type step struct {
	say    string
	method string // "": GET
	path   string // {id} is the ID of the first key
	as     string // the shell variable whose token goes with it; "": none
	save   string // the shell variable that keeps the body; "": the answer is shown
	status int
	header []string // some of the headers
	body   string
}

func steps() []step {
	return []step{
		{
			say:  "Without a key.",
			path: "/reports", status: 401,
			header: []string{`Cache-Control: no-store`, `Content-Type: application/problem+json`, `Www-Authenticate: Bearer realm="quickstart"`},
			body:   `{"title":"Unauthorized","status":401,"detail":"The request has no API key.","code":"missing"}`,
		},
		{
			say:  "With one. What is left of its limit is in the headers: 9 of 10 an hour, full again in 360 seconds.",
			path: "/reports", as: "KEY", status: 200,
			header: []string{`Cache-Control: private`, `Ratelimit: "hour";r=9;t=360`, `Ratelimit-Policy: "hour";q=10;w=3600`},
			body:   "reports of acct_42",
		},
		{
			say:    "It may read reports, not make them. A refusal takes nothing from the limit.",
			method: "POST", path: "/reports", as: "KEY", status: 403,
			header: []string{`Www-Authenticate: Bearer realm="quickstart", error="insufficient_scope", scope="reports:create"`},
			body:   `{"title":"Forbidden","status":403,"detail":"The API key lacks the permission reports:create.","code":"permission"}`,
		},
		{
			say:    "Issue another key, for tests. This is the one time that its token can be seen.",
			method: "POST", path: "/admin/keys?environment=test", as: "ADMIN", save: "TEST", status: 201,
			body: "demo_test_…",
		},
		{
			say:    "It has the permission; but payouts are for the live environment only.",
			method: "POST", path: "/payouts", as: "TEST", status: 403,
			body: `{"title":"Forbidden","status":403,"detail":"The API key is of another environment.","code":"environment"}`,
		},
		{
			say:  "An export costs as much as 5 calls.",
			path: "/reports/export", as: "KEY", status: 200,
			header: []string{`Ratelimit: "hour";r=4;t=…`},
			body:   "every report of acct_42",
		},
		{
			say:  "4 are left, so another export has to wait: one more is there after 360 seconds.",
			path: "/reports/export", as: "KEY", status: 429,
			header: []string{`Ratelimit: "hour";r=4;t=…`, `Retry-After: …`},
			body:   `{"title":"Too Many Requests","status":429,"detail":"The limit \"hour\" of 10 per 1h0m0s is used up; try again in ….","code":"rate_limited"}`,
		},
		{
			say:    "Rotate: the key gets a new token, and keeps all else. The present token has a day of grace.",
			method: "POST", path: "/admin/keys/{id}/rotate", as: "ADMIN", save: "NEW", status: 201,
			body: "demo_live_…",
		},
		{
			say:  "The earlier token still works,",
			path: "/reports", as: "KEY", status: 200,
			header: []string{`Ratelimit: "hour";r=3;t=…`},
			body:   "reports of acct_42",
		},
		{
			say:  "the new one does already, and both take from the same limit.",
			path: "/reports", as: "NEW", status: 200,
			header: []string{`Ratelimit: "hour";r=2;t=…`},
			body:   "reports of acct_42",
		},
		{
			say:    "All clients have the new token: end the rotation.",
			method: "POST", path: "/admin/keys/{id}/end-rotation", as: "ADMIN", status: 200,
			body: "the earlier token has ended",
		},
		{
			say:  "The earlier token has ended.",
			path: "/reports", as: "KEY", status: 401,
			header: []string{`Www-Authenticate: Bearer realm="quickstart", error="invalid_token"`},
			body:   `{"title":"Unauthorized","status":401,"detail":"The API key was rotated; use its newer token.","code":"rotated"}`,
		},
		{
			say:    "Revoke the key, for ever.",
			method: "POST", path: "/admin/keys/{id}/revoke", as: "ADMIN", status: 200,
			body: "the key is revoked",
		},
		{
			say:  "The very next request is refused.",
			path: "/reports", as: "NEW", status: 401,
			header: []string{`Www-Authenticate: Bearer realm="quickstart", error="invalid_token"`},
			body:   `{"title":"Unauthorized","status":401,"detail":"The API key has been revoked.","code":"revoked"}`,
		},
	}
}

// guide is what is printed: the tokens, which open nothing but this demo, then
// each step.
func (s *service) guide(base string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Paste this into another shell, and then one step after the other.\n\n")
	fmt.Fprintf(&b, "   ADMIN=%s\n   KEY=%s\n", s.admin.Token.Reveal(), s.first.Token.Reveal())
	for i, step := range steps() {
		fmt.Fprintf(&b, "\n%d. %s\n\n   %s\n", i+1, step.say, step.command(base, s.first.Key.ID))
		for line := range strings.Lines(step.answer()) {
			b.WriteString(strings.Repeat(" ", min(3, len(line)-1)) + line) // no blanks where a line has none
		}
	}
	return b.String()
}

// command is the step as a line for a shell.
func (s *step) command(base, id string) string {
	var b strings.Builder
	b.WriteString("curl -i")
	if s.save != "" {
		b.Reset()
		fmt.Fprintf(&b, "%s=$(curl -s", s.save)
	}
	if s.method != "" {
		b.WriteString(" -X " + s.method)
	}
	if s.as != "" {
		fmt.Fprintf(&b, ` -H "Authorization: Bearer $%s"`, s.as)
	}
	fmt.Fprintf(&b, " '%s'", s.url(base, id))
	if s.save != "" {
		fmt.Fprintf(&b, `); echo "$%s"`, s.save)
	}
	return b.String()
}

func (s *step) url(base, id string) string { return base + strings.ReplaceAll(s.path, "{id}", id) }

// answer is what the command prints, of the headers only some.
func (s *step) answer() string {
	if s.save != "" {
		return s.body + "\n"
	}
	lines := append([]string{fmt.Sprintf("HTTP/1.1 %d %s", s.status, http.StatusText(s.status))}, s.header...)
	return strings.Join(append(lines, "", s.body), "\n") + "\n"
}

// check makes the requests of all steps, and fails if an answer is another
// than the guide says.
func (s *service) check(ctx context.Context, base string, stdout io.Writer) error {
	vars := map[string]string{"ADMIN": s.admin.Token.Reveal(), "KEY": s.first.Token.Reveal()}
	var errs []error
	for i, step := range steps() {
		if err := step.run(ctx, base, s.first.Key.ID, vars); err != nil {
			errs = append(errs, fmt.Errorf("step %d: %w", i+1, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	_, err := fmt.Fprintf(stdout, "\nchecked: all %d answers are as printed\n", len(steps()))
	return err
}

// run makes the step's request and compares what it answers.
func (s *step) run(ctx context.Context, base, id string, vars map[string]string) error {
	req, err := http.NewRequestWithContext(ctx, s.method, s.url(base, id), http.NoBody)
	if err != nil {
		return err
	}
	if s.as != "" {
		req.Header.Set("Authorization", "Bearer "+vars[s.as])
	}
	resp, err := new(http.Client).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	body := strings.TrimSuffix(string(data), "\n")
	if s.save != "" {
		vars[s.save] = body
	}
	got := step{save: s.save, status: resp.StatusCode, body: body}
	for _, line := range s.header {
		name, _, _ := strings.Cut(line, ": ")
		got.header = append(got.header, name+": "+strings.Join(resp.Header.Values(name), ", "))
	}
	if s.status != resp.StatusCode || !matches(s.answer(), got.answer()) {
		return fmt.Errorf("%s %s answers with status %d\n%swhere the guide says %d\n%s",
			req.Method, s.path, resp.StatusCode, got.answer(), s.status, s.answer())
	}
	return nil
}

// matches reports whether got is want, where each … of want is any text within a line.
func matches(want, got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".+")
	return regexp.MustCompile("^" + pattern + "$").MatchString(got)
}
