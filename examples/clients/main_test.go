package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/go-apikey/apikey/examples/demo/demotest"
	"github.com/go-apikey/apikey/internal/secretwatch"
)

func TestMain(m *testing.M) {
	demotest.Program(becomeDemo)
	secretwatch.Main(m)
}

const demoFlag = "-program"

// becomeDemo makes this process, which demotest started in place of a demo,
// the program that -program names.
func becomeDemo() {
	i := slices.Index(os.Args, demoFlag)
	program := os.Args[i+1]
	err := syscall.Exec(program, append([]string{program}, slices.Delete(os.Args[1:], i-1, i+1)...), os.Environ())
	panic(err)
}

// A demo is what the tests need to know of one.
type demo struct {
	name          string
	send          demotest.Sender
	header        string          // that send sets
	member, owner string          // may do everything there
	fields        demotest.Fields // of their keys
	get           string          // an address to GET
	burst         int             // of the limit that this draws on
	revoked       string          // the code of a revoked key's answer
}

var demos = []*demo{
	{
		name: "rynko", send: demotest.Bearer, header: "Authorization", member: "bo", owner: "beta",
		fields: demotest.Fields{"permissions": []string{"*"}}, get: "/api/v1/analytics", burst: 60, revoked: "ERR_AKEY_002",
	},
	{
		name: "rndrkit", send: demotest.XAPIKey, header: "X-Api-Key", member: "ana", owner: "studio",
		get: "/api/projects", burst: 120, revoked: `"revoked"`,
	},
	{
		name: "lynxo", send: demotest.Bearer, header: "Authorization", member: "ana", owner: "lab",
		fields: demotest.Fields{"preset": "full-access"}, get: "/v1/jobs", burst: 120, revoked: `"revoked"`,
	},
	{
		name: "ringyo", send: demotest.Bearer, header: "Authorization", member: "bo", owner: "smallco",
		fields: demotest.Fields{"permissions": []string{"*"}, "environment": "test"}, get: "/v1/agents", burst: 60, revoked: `"revoked"`,
	},
}

// start runs the demo as the program that go build makes of it.
func (d *demo) start(t *testing.T, args ...string) *demotest.Demo {
	t.Helper()
	return demotest.Start(t, d.send, append([]string{demoFlag, build(t, filepath.Join("..", d.name))}, args...)...)
}

// build builds the program in a directory of a module of its own, with -race
// if this is.
func build(t *testing.T, dir string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", slices.Concat([]string{"build"}, raceFlag, []string{"-o", program, "."})...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build in %s: %v\n%s", dir, err, out)
	}
	return program
}
