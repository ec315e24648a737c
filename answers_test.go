package apikey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/memstore"
)

// TestAnswers makes every answer that a client can get, and holds the table of docs/answers.md to them, row by row.
func TestAnswers(t *testing.T) {
	document := readText(t, "docs/answers.md")
	for _, c := range answerCases() {
		t.Run(c.when, func(t *testing.T) {
			a := newAnswering(t)
			r := httptest.NewRequest("GET", "/", nil)
			c.prepare(t, a, r)
			guarded := a.keys.Guard(c.policy)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				t.Error("the request was let through")
			}))
			w := secretwatch.Recorder(t)
			guarded.ServeHTTP(w, r)
			var problem struct {
				Title, Detail, Code string
				Status              int
			}
			if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if problem.Status != w.Code || problem.Title != http.StatusText(w.Code) {
				t.Errorf("the body says %d %q, the status is %d", problem.Status, problem.Title, w.Code)
			}
			if h := w.Header(); h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("headers: %v", h)
			}
			row := fmt.Sprintf("| %s | %d | `%s` | %s | %s | %s |\n", c.when, w.Code, problem.Code,
				code(w.Header().Get("WWW-Authenticate")), code(w.Header().Get("Retry-After")), problem.Detail)
			if !strings.Contains(document, row) {
				t.Errorf("docs/answers.md lacks this row:\n%s", row)
			}
		})
	}
	rows := 0
	for line := range strings.Lines(document) {
		if strings.HasPrefix(line, "| ") && strings.Count(line, " | ") == 5 && !strings.HasPrefix(line, "| when ") {
			rows++
		}
	}
	if want := len(answerCases()); rows != want {
		t.Errorf("the table of docs/answers.md has %d rows, and there are %d answers", rows, want)
	}
}

// code is a header's value in a table.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// answering is a service that can be made to give any answer.
type answering struct {
	keys    *apikey.Manager
	ring    *apikey.Keyring
	now     time.Time
	plan    apikey.Plan
	planErr error
}

func newAnswering(t *testing.T) *answering {
	t.Helper()
	a := &answering{
		now:  time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
		plan: apikey.Plan{Name: "starter", MaxKeys: apikey.NoCap, KeyLimits: []apikey.Limit{apikey.PerMinute(6)}},
	}
	keys, err := apikey.New(memstore.New(), &apikey.Config{
		Formats: []apikey.Format{{Prefix: "rg_live_", Environment: "live"}, {Prefix: "rg_test_", Environment: "test"}},
		Plan:    func(context.Context, string) (apikey.Plan, error) { return a.plan, a.planErr },
		Now:     func() time.Time { return a.now },

		FailedAttempts: apikey.Limit{Name: "failed", N: 6, Per: time.Minute, Burst: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := keys.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	a.keys, a.ring = keys, keys.Keyring("acct_42", apikey.Operator("test"))
	return a
}

// issue makes a key and puts its token into the request.
func (a *answering) issue(t *testing.T, r *http.Request, p apikey.KeyParams) (id string) {
	t.Helper()
	p.Name = "test"
	issued, err := a.ring.Create(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+issued.Token.Reveal())
	return issued.Key.ID
}

type answerCase struct {
	when    string
	policy  apikey.Policy
	prepare func(t *testing.T, a *answering, r *http.Request)
}

func answerCases() []answerCase {
	type prepare = func(t *testing.T, a *answering, r *http.Request)
	header := func(values ...string) prepare {
		return func(_ *testing.T, _ *answering, r *http.Request) { r.Header["Authorization"] = values }
	}
	// with is a good key, to which something happened.
	with := func(p apikey.KeyParams, happened func(a *answering, id string) error) prepare {
		return func(t *testing.T, a *answering, r *http.Request) {
			t.Helper()
			id := a.issue(t, r, p)
			if err := happened(a, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	none := func(*answering, string) error { return nil }
	change := func(f func(ring *apikey.Keyring, id string) error) prepare {
		return with(apikey.KeyParams{}, func(a *answering, id string) error { return f(a.ring, id) })
	}
	base := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	return []answerCase{
		{"no credential", apikey.Policy{}, header()},
		{"an empty `Authorization` or `X-Api-Key`", apikey.Policy{}, header("")},
		{"another scheme, as `Basic`", apikey.Policy{}, header("Basic dTpw")},
		{"badly formed, or two credentials", apikey.Policy{}, header("Bearer")},
		{"no key of ours, or a wrong secret", apikey.Policy{}, header("Bearer rg_live_" + strings.Repeat("0", 45))},
		{"the key was revoked", apikey.Policy{}, change(func(ring *apikey.Keyring, id string) error {
			_, err := ring.Revoke(context.Background(), id)
			return err
		})},
		{"an operator holds the key", apikey.Policy{}, change(func(ring *apikey.Keyring, id string) error {
			_, err := ring.Hold(context.Background(), id)
			return err
		})},
		{"the key is disabled", apikey.Policy{}, change(func(ring *apikey.Keyring, id string) error {
			_, err := ring.Disable(context.Background(), id)
			return err
		})},
		{"the key has expired", apikey.Policy{}, with(apikey.KeyParams{ExpiresAt: base.Add(time.Hour)}, func(a *answering, _ string) error {
			a.now = a.now.Add(time.Hour)
			return nil
		})},
		{"the key begins later", apikey.Policy{}, with(apikey.KeyParams{NotBefore: base.Add(time.Hour)}, none)},
		{"the token was rotated out", apikey.Policy{}, change(func(ring *apikey.Keyring, id string) error {
			_, err := ring.Rotate(context.Background(), id, apikey.RotateParams{})
			return err
		})},
		{"the plan refuses keys", apikey.Policy{}, with(apikey.KeyParams{}, func(a *answering, _ string) error {
			a.plan.Refusal = "API keys are part of the plan Pro."
			return nil
		})},
		{"a key of another environment", apikey.Policy{Environment: "test"}, with(apikey.KeyParams{}, none)},
		{"a key of another owner", apikey.Policy{Owner: func(*http.Request) string { return "acct_43" }}, with(apikey.KeyParams{}, none)},
		{"a permission is missing", apikey.Policy{All: []apikey.Permission{"calls:create"}}, with(apikey.KeyParams{}, none)},
		{"a limit is used up", apikey.Policy{Cost: 6}, func(t *testing.T, a *answering, r *http.Request) {
			t.Helper()
			a.issue(t, r, apikey.KeyParams{})
			if _, _, err := a.keys.Check(r, apikey.Policy{}); err != nil { // takes one of six, so that five are left
				t.Fatal(err)
			}
		}},
		{"too many keys that are none came from this address", apikey.Policy{}, func(t *testing.T, a *answering, r *http.Request) {
			t.Helper()
			newAnswering(t).issue(t, r, apikey.KeyParams{})
			if _, _, err := a.keys.Check(r, apikey.Policy{}); err == nil {
				t.Fatal("another service's key passed")
			}
		}},
		{"it cannot be checked now", apikey.Policy{}, with(apikey.KeyParams{}, func(a *answering, _ string) error {
			a.planErr = errors.New("the database of plans is down")
			return nil
		})},
		{"a route costs more than a limit holds", apikey.Policy{Cost: 7}, with(apikey.KeyParams{}, none)},
	}
}
