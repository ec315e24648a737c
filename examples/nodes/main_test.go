package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/sqlstore"
)

func TestMain(m *testing.M) {
	if os.Getenv(nodeVariable) != "" {
		os.Exit(nodeMain())
	}
	secretwatch.Main(m)
}

// needs skips a test whose server is not there, unless APIKEY_REQUIRE names it.
func needs(t *testing.T, server string) {
	t.Helper()
	var err error
	switch server {
	case "redis":
		_, err = exec.LookPath("redis-server")
	case "postgres":
		err = (&database{Dialect: sqlstore.PostgreSQL, DSN: postgresDSN("")}).answers(t.Context())
	}
	if err == nil {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("APIKEY_REQUIRE"), ","), server) {
		t.Fatalf("APIKEY_REQUIRE names %s: %v", server, err)
	}
	t.Skipf("without %s: %v", server, err)
}

// TestCheck runs the program's own check, as a user does.
func TestCheck(t *testing.T) {
	needs(t, "redis")
	tests := []struct {
		name string
		args []string
		long bool
	}{
		{"postgres", nil, false},
		{"postgres, leases", []string{"-lease", "10"}, true},
		{"sqlite", []string{"-sqlite"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.long && os.Getenv("APIKEY_LONG") == "" {
				t.Skip("with APIKEY_LONG=1 only")
			}
			if test.name != "sqlite" {
				needs(t, "postgres")
			}
			var stdout bytes.Buffer
			err := run(t.Context(), append(test.args, "-check"), &stdout)
			secretwatch.Text(t.Name(), stdout.String())
			t.Log(stdout.String())
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(stdout.String(), "\nok "); n != 6 {
				t.Errorf("%d steps are ok, want 6", n)
			}
		})
	}
}

// TestSchemaIsRemoved: nothing of a run stays on the server.
func TestSchemaIsRemoved(t *testing.T) {
	needs(t, "postgres")
	ctx := t.Context()
	d, err := openDatabase(ctx, &options{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	db, err := d.open()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	there := func() (schema bool) {
		t.Helper()
		if err := db.QueryRowContext(ctx, "SELECT to_regnamespace($1) IS NOT NULL", d.Schema).Scan(&schema); err != nil {
			t.Fatal(err)
		}
		return schema
	}
	if err := sqlstore.Migrate(ctx, db, d.Dialect, nil); err != nil || !there() {
		t.Errorf("the schema is there: %v, %v", there(), err)
	}
	if err := d.remove(ctx); err != nil || there() {
		t.Errorf("the schema is still there: %v, %v", there(), err)
	}
}

// TestCheckFails has each node count limits for itself, and holds the check to
// finding it.
func TestCheckFails(t *testing.T) {
	needs(t, "redis")
	s, err := start(t.Context(), &options{addr: "127.0.0.1:0", sqlite: true, alone: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	all, err := s.overload(t.Context(), 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := judgeLimit(minute, all, 3); err == nil || !strings.Contains(err.Error(), "passed within") {
		t.Errorf("three nodes that count for themselves: %v", err)
	}
}

// TestServe starts the program without -check, does what it says, and ends it.
func TestServe(t *testing.T) {
	needs(t, "redis")
	ctx, stop := context.WithCancel(t.Context())
	out := make(lines, 100)
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-addr", "127.0.0.1:0", "-postgres", "postgres://127.0.0.1:1/none"}, out)
	}()
	var text string
	for !strings.Contains(text, "Ctrl-C") {
		select {
		case line := <-out:
			text += line
		case err := <-done:
			t.Fatalf("it ended: %v", err)
		}
	}
	if !strings.Contains(text, "over a SQLite file, as PostgreSQL does not answer") {
		t.Errorf("it does not say that PostgreSQL is not there")
	}
	key := regexp.MustCompile(`(?m)^KEY=(.+)$`).FindStringSubmatch(text)
	front := regexp.MustCompile(`balancer (http://\S+)`).FindStringSubmatch(text)
	if key == nil || front == nil {
		t.Fatal("it prints no key or no address")
	}
	seen := map[string]bool{}
	for range 3 {
		a := work(ctx, front[1], key[1])
		if a.status != http.StatusOK {
			t.Errorf("status %d: %s", a.status, a.body)
		}
		seen[a.node] = true
	}
	if len(seen) != 3 {
		t.Errorf("three requests were answered by %v", seen)
	}
	admin := regexp.MustCompile(`(?m)^ADMIN=(.+)$`).FindStringSubmatch(text)
	revoke := regexp.MustCompile(`'(http://\S+/revoke\S+)'`).FindStringSubmatch(text)
	if admin == nil || revoke == nil {
		t.Fatal("it prints no way to revoke")
	}
	if a := send(ctx, "POST", revoke[1], admin[1]); a.status != http.StatusOK {
		t.Errorf("revoke: status %d: %s", a.status, a.body)
	}
	n := node{name: "any", url: front[1]}
	if _, err := refuses(ctx, &n, key[1], time.Now()); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// lines is a writer whose writes can be received.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func TestArguments(t *testing.T) {
	for _, test := range []struct {
		args []string
		want error // nil: any
	}{
		{[]string{"-h"}, flag.ErrHelp},
		{[]string{"-nonsense"}, nil},
	} {
		if err := run(t.Context(), test.args, &bytes.Buffer{}); err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("run(%q) = %v", test.args, err)
		}
	}
}
