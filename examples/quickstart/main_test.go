package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestCheck(t *testing.T) {
	var stdout bytes.Buffer
	if err := run(t.Context(), []string{"-check", "-addr", "127.0.0.1:0"}, &stdout); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(stdout.String(), "\n")
	if !strings.HasPrefix(first, "listening on http://127.0.0.1:") || strings.HasSuffix(first, ":0") {
		t.Errorf("the first line is %q, want the address it listens on", first)
	}
	if !strings.HasSuffix(stdout.String(), "\nchecked: all 14 answers are as printed\n") {
		t.Errorf("the last line does not say that all was checked:\n%s", stdout.String())
	}
}

// TestCheckFails holds the check itself to finding what differs.
func TestCheckFails(t *testing.T) {
	s, err := newService(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.keys.Close(t.Context()); err != nil { // so every answer is 503
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	out := make(lines, 1)
	go func() { done <- run(ctx, []string{"-addr", "127.0.0.1:0"}, out) }()
	first, _, _ := strings.Cut(<-out, "\n")
	err = s.check(t.Context(), strings.TrimPrefix(first, "listening on "), &bytes.Buffer{}) // tokens of another Manager
	stop()
	if err == nil || !strings.Contains(err.Error(), "step 2: GET /reports answers with status 401") {
		t.Errorf("the check of keys that the server does not know: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("run, when its context ended: %v", err)
	}
}

// lines is a writer whose writes can be received.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		want, got string
		match     bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"t=…", "t=360", true},
		{"t=…", "t=", false},
		{"a.c", "abc", false},
		{"a…", "a1\nb", false},
		{"a", "a\nb", false},
	} {
		if got := matches(test.want, test.got); got != test.match {
			t.Errorf("matches(%q, %q) = %v", test.want, test.got, got)
		}
	}
}

func TestArguments(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want error // nil: any
	}{
		{"help", []string{"-h"}, flag.ErrHelp},
		{"unknown flag", []string{"-nonsense"}, nil},
		{"no address", []string{"-addr", "nowhere"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := run(t.Context(), test.args, &bytes.Buffer{})
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("run(%q) = %v", test.args, err)
			}
		})
	}
}

// TestInterrupt runs the program itself, as it is built, and ends it by Ctrl-C.
func TestInterrupt(t *testing.T) {
	program := filepath.Join(t.TempDir(), "quickstart")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), program, "-addr", "127.0.0.1:0")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			scanner := bufio.NewScanner(stdout)
			scanner.Scan()
			base, ok := strings.CutPrefix(scanner.Text(), "listening on ")
			if !ok {
				t.Fatalf("the first line is %q", scanner.Text())
			}
			resp, err := http.Get(base + "/reports")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("GET /reports: %s", resp.Status)
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			for scanner.Scan() { // Wait closes the pipe, so it is read to its end first
			}
			if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
				t.Errorf("it ended with %v, and on stderr %q; want status 0 and nothing", err, stderr.String())
			}
		})
	}
}

// TestREADME holds the README to what the guide prints: the request that it shows, and its answer.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var sessions []string
	for _, step := range steps() {
		sessions = append(sessions, "$ "+step.command("http://127.0.0.1:8080", "")+"\n"+step.answer())
	}
	blocks := strings.Split(string(readme), "```console\n")[1:]
	for _, block := range blocks {
		if block, _, _ = strings.Cut(block, "```\n"); !slices.Contains(sessions, block) {
			t.Errorf("the guide prints no such request and answer:\n%s", block)
		}
	}
	if len(blocks) == 0 {
		t.Error("the README shows no request")
	}
}
