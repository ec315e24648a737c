package sqlstore

import (
	"flag"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden file in api/")

// TestAPI holds the exported API against api/sqlstore.txt, which is written by
//
//	go test -run TestAPI -update .
func TestAPI(t *testing.T) {
	const golden = "api/sqlstore.txt"
	now := strings.Join(exported(t), "\n") + "\n"
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	was, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(was) != now {
		t.Errorf("%s no longer says what the package exports, which is\n%sIf that is meant: go test -run TestAPI -update . and note the change in CHANGELOG.md.", golden, now)
	}
}

// exported describes each exported name, field and method in a line of its own.
func exported(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	files, self := map[string]string{}, ""
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path], self = file, path // which comes last
	}
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
	pkg, err := importer.ForCompiler(token.NewFileSet(), "gc", lookup).Import(self)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		if _, ok := obj.(*types.TypeName); !ok {
			lines = append(lines, types.ObjectString(obj, types.RelativeTo(pkg)))
			continue
		}
		lines = append(lines, "type "+name)
		if st, ok := obj.Type().Underlying().(*types.Struct); ok {
			for f := range st.Fields() {
				if f.Exported() {
					lines = append(lines, "field "+name+"."+f.Name()+" "+types.TypeString(f.Type(), types.RelativeTo(pkg)))
				}
			}
		}
		for sel := range types.NewMethodSet(types.NewPointer(obj.Type())).Methods() {
			if sel.Obj().Exported() {
				lines = append(lines, "method "+name+"."+sel.Obj().Name()+strings.TrimPrefix(types.TypeString(sel.Type(), types.RelativeTo(pkg)), "func"))
			}
		}
	}
	slices.Sort(lines)
	return lines
}
