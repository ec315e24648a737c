// Package apigolden holds what a module exports, and what it links into a host,
// against golden files in its folder api, so that no change of either happens
// unseen. Only tests import it.
package apigolden

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files in api/")

// Test is TestAPI of a module: a test in its top folder that does nothing else.
// The golden files are written by
//
//	go test -run TestAPI -update .
func Test(t *testing.T) {
	t.Helper()
	module := goList(t, "-m")[0]
	want := map[string][]string{"api/imports.txt": importLines(t, module)}
	exports := exportFiles(t)
	for _, pkg := range libraryPackages(t) {
		want[goldenFile(module, pkg)] = exportedLines(t, pkg, exports)
	}
	have, err := filepath.Glob("api/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range have {
		if _, ok := want[filepath.ToSlash(file)]; !ok {
			want[filepath.ToSlash(file)] = nil // of a package that is gone
		}
	}
	for file, lines := range want {
		t.Run(file, func(t *testing.T) {
			if *update {
				writeGolden(t, file, lines)
				return
			}
			compareGolden(t, file, lines)
		})
	}
}

func compareGolden(t *testing.T, file string, now []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	golden := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	var diff strings.Builder
	for _, line := range golden {
		if line != "" && !slices.Contains(now, line) {
			fmt.Fprintf(&diff, "- %s\n", line)
		}
	}
	for _, line := range now {
		if !slices.Contains(golden, line) {
			fmt.Fprintf(&diff, "+ %s\n", line)
		}
	}
	if diff.Len() > 0 {
		t.Errorf("%s no longer says what the code exports or imports (- gone, + new):\n%s"+
			"If that is meant: go test -run TestAPI -update . and note the change in CHANGELOG.md.", file, diff.String())
	}
}

func writeGolden(t *testing.T, file string, lines []string) {
	t.Helper()
	if lines == nil {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// goldenFile is api/apikey.txt for a module's top package, apikey, and
// api/memstore.txt for the one in its folder memstore.
func goldenFile(module, pkg string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
	if name == "" {
		name = path.Base(module)
	}
	return "api/" + strings.ReplaceAll(name, "/", "_") + ".txt"
}

// libraryPackages lists the packages of this module that others may rest on.
func libraryPackages(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, line := range goList(t, "-f", "{{.Name}} {{.ImportPath}}", "./...") {
		name, path, _ := strings.Cut(line, " ")
		parts := strings.Split(path, "/")
		if name != "main" && !slices.Contains(parts, "internal") && !slices.Contains(parts, "examples") {
			paths = append(paths, path)
		}
	}
	return paths
}

// exportFiles maps the import path of each package of this module, and of those that they import, to the
// export data that the compiler left in the build cache.
func exportFiles(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, line := range goList(t, "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./...") {
		path, file, _ := strings.Cut(line, " ")
		files[path] = file
	}
	return files
}

// exportedLines describes each exported name of a package, field of a struct and method in a line of
// its own, sorted. A name's own line holds its whole type, unless fields or methods follow on theirs.
func exportedLines(t *testing.T, path string, exports map[string]string) []string {
	t.Helper()
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	pkg, err := importer.ForCompiler(token.NewFileSet(), "gc", lookup).Import(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		if typeName, ok := obj.(*types.TypeName); ok {
			lines = append(lines, typeLines(typeName)...)
			continue
		}
		line := types.ObjectString(obj, types.RelativeTo(pkg))
		if c, ok := obj.(*types.Const); ok {
			line = fmt.Sprintf("const %s %s = %s", name, types.TypeString(c.Type(), types.RelativeTo(pkg)), c.Val().ExactString())
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

func typeLines(obj *types.TypeName) []string {
	relative := types.RelativeTo(obj.Pkg())
	name := types.TypeString(obj.Type(), relative) // with its type parameters
	if obj.IsAlias() {
		return []string{types.ObjectString(obj, relative)}
	}
	var lines []string
	switch under := obj.Type().Underlying().(type) {
	case *types.Struct:
		lines = append(lines, "type "+name+" struct")
		for field := range under.Fields() {
			if !field.Exported() {
				continue
			}
			line := "field " + obj.Name() + "." + field.Name() + " " + types.TypeString(field.Type(), relative)
			if field.Embedded() {
				line += " (embedded)"
			}
			lines = append(lines, line)
		}
	case *types.Interface:
		lines = append(lines, "type "+name+" interface")
		for method := range under.Methods() {
			if method.Exported() {
				lines = append(lines, methodLine(obj.Name(), method, relative))
			} else {
				lines = append(lines, "type "+name+" interface, closed by unexported methods")
			}
		}
		return lines
	default:
		lines = append(lines, "type "+name+" "+types.TypeString(under, relative))
	}
	return append(lines, methodLines(obj, relative)...)
}

// methodLines describes the methods of a type and those of its embedded fields.
func methodLines(obj *types.TypeName, relative types.Qualifier) []string {
	var lines []string
	byValue := types.NewMethodSet(obj.Type())
	for selection := range types.NewMethodSet(types.NewPointer(obj.Type())).Methods() {
		method := selection.Obj().(*types.Func)
		if !method.Exported() {
			continue
		}
		receiver := "*" + obj.Name()
		if byValue.Lookup(obj.Pkg(), method.Name()) != nil {
			receiver = obj.Name()
		}
		lines = append(lines, methodLine("("+receiver+")", method, relative))
	}
	return lines
}

func methodLine(receiver string, method *types.Func, relative types.Qualifier) string {
	signature := strings.TrimPrefix(types.TypeString(method.Signature(), relative), "func")
	return "method " + receiver + "." + method.Name() + signature
}

// importLines lists what the top package links into a host: each package outside the standard library,
// and those of the standard library that it imports itself. What these import in turn is Go's own matter
// and differs between its releases.
func importLines(t *testing.T, module string) []string {
	t.Helper()
	standard := make(map[string]bool)
	lines := []string{}
	for _, line := range goList(t, "-deps", "-f", "{{.Standard}} {{.ImportPath}}", ".") {
		isStandard, path, _ := strings.Cut(line, " ")
		standard[path] = isStandard == "true"
		if !standard[path] && path != module {
			lines = append(lines, path)
		}
	}
	for _, path := range goList(t, "-f", `{{join .Imports "\n"}}`, ".") {
		if standard[path] {
			lines = append(lines, "std "+path)
		}
	}
	slices.Sort(lines)
	return lines
}

// goList runs go list, without a workspace, and returns the lines that it prints.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	return strings.Split(strings.TrimSpace(string(Go(t, append([]string{"list"}, args...)...))), "\n")
}

// Go runs the go command, without a workspace, and returns what it prints.
func Go(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}
