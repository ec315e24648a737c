package apikey_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-apikey/apikey/internal/secretwatch"
)

func TestMain(m *testing.M) { secretwatch.Main(m) }

// TestSecretsAreWatched: no package with tests, of any module here, may do
// without.
func TestSecretsAreWatched(t *testing.T) {
	watched := map[string]bool{} // by directory
	for _, file := range repositoryFiles(t) {
		if strings.HasSuffix(file, "_test.go") && !strings.Contains(file, "testdata") {
			dir := filepath.Dir(file)
			watched[dir] = watched[dir] || callsWatch(t, file)
		}
	}
	for dir, ok := range watched {
		if !ok {
			t.Errorf("the tests in %s are not searched for secrets: they need func TestMain(m *testing.M) { secretwatch.Main(m) }", dir)
		}
	}
}

// callsWatch reports whether a file has a TestMain that ends in secretwatch.Main.
func callsWatch(t *testing.T, file string) bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range parsed.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv != nil || f.Name.Name != "TestMain" || len(f.Body.List) == 0 {
			continue
		}
		last, ok := f.Body.List[len(f.Body.List)-1].(*ast.ExprStmt)
		if !ok {
			continue
		}
		if call, ok := last.X.(*ast.CallExpr); ok {
			if s, ok := call.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Main" {
				if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "secretwatch" {
					return true
				}
			}
		}
	}
	return false
}
