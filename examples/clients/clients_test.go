package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey/examples/demo/demotest"
	"github.com/go-apikey/apikey/internal/secretwatch"
)

// languages are what the clients beside Go are written in, and how each is run
// and fenced in a document.
var languages = []struct{ name, needs, program, file, fence string }{
	{"curl", "curl", "sh", "client.sh", "sh"},
	{"node", "node", "node", "client.mjs", "js"},
	{"python", "python3", "python3", "client.py", "python"},
}

// says is what a client of each demo prints.
var says = map[string]*regexp.Regexp{
	"rynko":   regexp.MustCompile(`^a document\n$`),
	"rndrkit": regexp.MustCompile(`^Website: dpl_[0-9a-z]{12}\n$`),
	"lynxo":   regexp.MustCompile(`^import: job_[0-9a-z]{12}\n$`),
	"ringyo":  regexp.MustCompile(`^test call: call_[0-9a-z]{12}\n$`),
}

func TestClients(t *testing.T) {
	for _, d := range demos {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			running := d.start(t)
			who := running.As(d.member, d.owner)
			for _, l := range languages {
				t.Run(l.name, func(t *testing.T) {
					if _, err := exec.LookPath(l.needs); err != nil {
						t.Skipf("there is no %s", l.needs)
					}
					key := who.Create(t, l.name, d.fields)
					stdout, stderr, err := client(t, running, key.Token, l.program, d.name+"/"+l.file)
					if err != nil || !says[d.name].MatchString(stdout) || stderr != "" {
						t.Errorf("it ends with %v and prints\n%s\n%s", err, stdout, stderr)
					}
					who.Revoke(t, key)
					stdout, stderr, err = client(t, running, key.Token, l.program, d.name+"/"+l.file)
					if err == nil || stdout != "" || !strings.Contains(stderr, d.revoked) {
						t.Errorf("with a revoked key it ends with %v and prints\n%s\n%s", err, stdout, stderr)
					}
				})
			}
			t.Run("go, which backs off on 429 and is served in the end", func(t *testing.T) { testBackOff(t, d, running) })
		})
	}
}

// testBackOff has the client call more often than the limit lets it, so that
// it is served only if it waits.
func testBackOff(t *testing.T, d *demo, running *demotest.Demo) {
	program := build(t, ".")
	who := running.As(d.member, d.owner)
	key := who.Create(t, "Go", d.fields)
	before := running.Volley(t, []string{key.Token}, "GET", d.get, 2*d.burst).Statuses
	run := func() (stdout, stderr string, err error) {
		return client(t, running, key.Token, program, "-n", "4", "-header", d.header, running.Base+d.get)
	}
	stdout, stderr, err := run()
	var n int
	var seconds float64
	if _, bad := fmt.Sscanf(stdout, "served %d times in %f s\n", &n, &seconds); bad != nil || err != nil || stderr != "" {
		t.Fatalf("it ends with %v and prints\n%s\n%s", err, stdout, stderr)
	}
	var waits int
	demotest.Eventually(t, 3*time.Second, "what it asked is counted", func() bool {
		got := who.Get(t, key.Path())
		waits = got.Number("limited") - before[429]
		return got.Number("requests") == before[200]+4
	})
	t.Logf("%s, and was refused %d times", strings.TrimSpace(stdout), waits)
	if n != 4 || waits < 1 || waits > 4 || seconds < float64(waits)-0.5 {
		t.Errorf("it was served %d times in %.0f s and refused %d times: want one wait for each refusal, and no second refusal of the same", n, seconds, waits)
	}
	who.Revoke(t, key)
	if stdout, stderr, err = run(); err == nil || stdout != "" || !strings.Contains(stderr, d.revoked) {
		t.Errorf("with a revoked key it ends with %v and prints\n%s\n%s", err, stdout, stderr)
	}
}

// client runs a client as its user would, with what it needs in its
// environment, and has what it prints searched for secrets.
func client(t *testing.T, d *demotest.Demo, token, program string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "BASE="+d.Base, "TOKEN="+token, "no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1")
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	secretwatch.Text(t.Name()+": "+program, out.String()+errOut.String())
	return out.String(), errOut.String(), err
}
