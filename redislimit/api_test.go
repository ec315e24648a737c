package redislimit_test

import (
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

// TestAPI holds the exported API against the golden file, which is written by
//
//	go test -run TestAPI -update .
func TestAPI(t *testing.T) {
	const golden = "api/redislimit.txt"
	now := strings.Join(exported(t), "\n") + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), now); diff != "" {
		t.Errorf("the exported API is not that of %s (-golden +now); if that is meant: go test -run TestAPI -update ., and a line in CHANGELOG.md\n%s", golden, diff)
	}
}

// exported describes each exported name, field and method in a line of its own.
func exported(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-export", "-f", "{{.ImportPath}} {{.Export}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
	pkg, err := importer.ForCompiler(token.NewFileSet(), "gc", open).Import("github.com/go-apikey/apikey/redislimit")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		if _, ok := obj.(*types.TypeName); ok {
			lines = append(lines, typeLines(obj)...)
			continue
		}
		line := types.ObjectString(obj, types.RelativeTo(pkg))
		if c, ok := obj.(*types.Const); ok {
			line += " = " + c.Val().ExactString()
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

func typeLines(obj types.Object) []string {
	relative := types.RelativeTo(obj.Pkg())
	under, isStruct := obj.Type().Underlying().(*types.Struct)
	if !isStruct {
		return []string{types.ObjectString(obj, relative)}
	}
	lines := []string{"type " + obj.Name() + " struct"}
	for field := range under.Fields() {
		if field.Exported() {
			lines = append(lines, "field "+obj.Name()+"."+field.Name()+" "+types.TypeString(field.Type(), relative))
		}
	}
	for selection := range types.NewMethodSet(types.NewPointer(obj.Type())).Methods() {
		if method := selection.Obj(); method.Exported() {
			lines = append(lines, "method (*"+obj.Name()+")."+method.Name()+strings.TrimPrefix(types.TypeString(method.Type(), relative), "func"))
		}
	}
	return lines
}
