package keyadmin_test

import (
	"bytes"
	"flag"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden file in api/")

const (
	packagePath = "github.com/go-apikey/apikey/keyadmin"
	golden      = "api/keyadmin.txt"
)

// TestAPI holds the exported API against its golden file, which is written by
//
//	go test -run TestAPI -update .
func TestAPI(t *testing.T) {
	now := strings.Join(exported(t), "\n") + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), now); diff != "" {
		t.Errorf("%s no longer says what the code exports (-golden +now):\n%s"+
			"If that is meant: go test -run TestAPI -update . and note the change in CHANGELOG.md.", golden, diff)
	}
}

// exported describes each exported name, field of a struct and method in a
// line of its own.
func exported(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-export", "-f", "{{.ImportPath}} {{.Export}}", ".")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
	pkg, err := importer.ForCompiler(token.NewFileSet(), "gc", lookup).Import(packagePath)
	if err != nil {
		t.Fatal(err)
	}
	relative := types.RelativeTo(pkg)
	var lines []string
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		lines = append(lines, types.ObjectString(obj, relative))
		if s, ok := obj.Type().Underlying().(*types.Struct); ok {
			for f := range s.Fields() {
				if f.Exported() {
					lines = append(lines, "field "+name+"."+f.Name()+" "+types.TypeString(f.Type(), relative))
				}
			}
		}
		for selection := range types.NewMethodSet(types.NewPointer(obj.Type())).Methods() {
			if selection.Obj().Exported() {
				lines = append(lines, types.SelectionString(selection, relative))
			}
		}
	}
	slices.Sort(lines)
	return lines
}
