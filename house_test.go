package apikey_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-apikey/apikey/internal/apigolden"
)

// mayRequire is all that the root module may require, for ever: who adds this module to a service adds
// these and nothing else.
var mayRequire = []string{"github.com/google/go-cmp", "golang.org/x/crypto", "golang.org/x/time"}

// moduleFile is what go mod edit -json prints of a go.mod.
type moduleFile struct {
	Go      string
	Require []struct {
		Path     string
		Indirect bool
	}
	Tool []struct{ Path string }
}

func TestRootRequiresLittle(t *testing.T) {
	for _, require := range readModule(t, "go.mod").Require {
		if !require.Indirect && !slices.Contains(mayRequire, require.Path) {
			t.Errorf("go.mod requires %s: the root module may only require %s", require.Path, strings.Join(mayRequire, ", "))
		}
	}
}

func TestModulesAgree(t *testing.T) {
	var work struct {
		Go  string
		Use []struct{ DiskPath string }
	}
	decodeJSON(t, apigolden.Go(t, "work", "edit", "-json", "go.work"), &work)
	var used []string
	for _, use := range work.Use {
		used = append(used, filepath.Clean(use.DiskPath))
	}
	for _, file := range repositoryFiles(t) {
		if filepath.Base(file) != "go.mod" {
			continue
		}
		module := readModule(t, file)
		if module.Go != work.Go {
			t.Errorf("%s says go %s and go.work says go %s: all modules share one", file, module.Go, work.Go)
		}
		if len(module.Tool) > 0 {
			t.Errorf("%s requires the tool %s: run tools by go run module@version", file, module.Tool[0].Path)
		}
		if !slices.Contains(used, filepath.Dir(file)) {
			t.Errorf("go.work does not use %s: go test work passes it by", filepath.Dir(file))
		}
	}
}

// unfetchable matches a path that go get puts into no module (golang.org/x/mod/module.CheckFilePath): one
// file of such a name, and nobody can require the module.
var unfetchable = regexp.MustCompile(`(?i)(^|/)(con|prn|aux|nul|com[1-9]|lpt[1-9])(\.[^/]*)?(/|$)|[^\w!#$%&()+,./=@\[\]^{}~ -]|\.(/|$)`)

func TestFileNamesFitAModule(t *testing.T) {
	for _, file := range repositoryFiles(t) {
		if found := unfetchable.FindString(filepath.ToSlash(file)); found != "" {
			t.Errorf("%s: go get refuses a module with %q in a path", file, found)
		}
	}
}

// machinePath matches a path into somebody's machine. It is put together here so that it does not match this file.
var machinePath = regexp.MustCompile(`(^|[^\w.\-/])/(` + strings.Join([]string{"root", "home", "work", "Users"}, "|") + `)(/|\b)|[A-Z]:\\Users`)

func TestNoMachinePaths(t *testing.T) {
	for _, file := range repositoryFiles(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(data, 0) >= 0 {
			continue // not text
		}
		for i, line := range strings.Split(string(data), "\n") {
			if found := machinePath.FindString(line); found != "" {
				t.Errorf("%s:%d: %q is a path of one machine", file, i+1, found)
			}
		}
	}
}

// repositoryFiles lists the regular files of the repository, of all its modules, from its top.
func repositoryFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Name() == ".git" {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil // of a work tree: it names the repository's place
		}
		if entry.Type().IsRegular() {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readModule(t *testing.T, file string) moduleFile {
	t.Helper()
	var module moduleFile
	decodeJSON(t, apigolden.Go(t, "mod", "edit", "-json", file), &module)
	return module
}

func decodeJSON(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}
