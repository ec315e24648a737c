package apikey_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDocs holds every Go block of the documents to this: it stands, line by line, in a Go file of this
// repository, where it is compiled and mostly run, in an Example or a program under examples. Only the
// depth of its indentation may differ. So no block of a document can stop to compile.
func TestDocs(t *testing.T) {
	sources := make(map[string][]string)
	var documents []string
	for _, file := range repositoryFiles(t) {
		switch slash := filepath.ToSlash(file); {
		case compiled(slash):
			sources[slash] = trimmedLines(readText(t, file))
		case filepath.Base(file) == "README.md", strings.HasSuffix(slash, ".md") && slices.Contains(strings.Split(slash, "/"), "docs"):
			documents = append(documents, file)
		}
	}
	if len(documents) == 0 {
		t.Fatal("no documents found")
	}
	for _, document := range documents {
		blocks, err := goBlocks(readText(t, document))
		if err != nil {
			t.Errorf("%s:%v", document, err)
		}
		for _, block := range blocks {
			if err := findBlock(block, sources); err != nil {
				t.Errorf("%s:%d: %v", document, block.line, err)
			}
		}
	}
}

// compiled tells whether a file is one that go test work compiles.
func compiled(slash string) bool {
	for part := range strings.SplitSeq(slash, "/") {
		if part == "testdata" || strings.HasPrefix(part, "_") || strings.HasPrefix(part, ".") {
			return false
		}
	}
	return strings.HasSuffix(slash, ".go")
}

// A docBlock is a fenced Go block and the line of the document on which its code begins.
type docBlock struct {
	line  int
	lines []string // without indentation
}

// goBlocks extracts the blocks that are fenced as Go. Its error begins with the line of the fault.
func goBlocks(text string) ([]docBlock, error) {
	var blocks []docBlock
	var fence string // the one that is open, if any
	var isGo bool
	var opened int
	for i, line := range trimmedLines(text) {
		ticks := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case fence == "" && len(ticks) >= 3:
			language, _, _ := strings.Cut(strings.TrimSpace(line[len(ticks):]), " ")
			fence, opened, isGo = ticks, i+1, strings.EqualFold(language, "go") || strings.EqualFold(language, "golang")
			if isGo {
				blocks = append(blocks, docBlock{line: i + 2})
			}
		case fence != "" && line == ticks && len(ticks) >= len(fence):
			fence = ""
		case fence != "" && isGo:
			last := &blocks[len(blocks)-1]
			last.lines = append(last.lines, line)
		}
	}
	if fence != "" {
		return blocks, fmt.Errorf("%d: the block that opens here is never closed", opened)
	}
	return blocks, nil
}

// findBlock looks for a block in the sources, and says how far the best of them agrees.
func findBlock(block docBlock, sources map[string][]string) error {
	if strings.TrimSpace(strings.Join(block.lines, "")) == "" {
		return fmt.Errorf("the Go block is empty")
	}
	agreed, where := 0, ""
	for file, lines := range sources {
		for start := range lines {
			n := 0
			for n < len(block.lines) && start+n < len(lines) && lines[start+n] == block.lines[n] {
				n++
			}
			if n == len(block.lines) {
				return nil
			}
			if n > agreed {
				agreed, where = n, fmt.Sprintf("%s:%d", file, start+n+1)
			}
		}
	}
	if agreed == 0 {
		return fmt.Errorf("the Go block stands in no Go file: take it verbatim from an Example or a program")
	}
	return fmt.Errorf("the Go block stands in no Go file; its first %d lines do, but then, at %s, it differs: %q",
		agreed, where, block.lines[agreed])
}

func trimmedLines(text string) []string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return lines
}

func readText(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestGoBlocks(t *testing.T) {
	const document = "# A\n\n```go\nx := 1\n\n\ty()\n```\n\n```sh\ngo version\n```\n\n1. then\n\n   ````go\n   z()\n   ```\n   ````\n"
	blocks, err := goBlocks(document)
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string][]string{"a.go": trimmedLines("func f() {\n\tx := 1\n\n\t\ty()\n}\n")}
	want := []struct {
		line  int
		found bool
	}{{4, true}, {16, false}}
	if len(blocks) != len(want) {
		t.Fatalf("%d Go blocks, want %d: %v", len(blocks), len(want), blocks)
	}
	for i, block := range blocks {
		err := findBlock(block, sources)
		if block.line != want[i].line || (err == nil) != want[i].found {
			t.Errorf("block %d: line %d, found: %v; want line %d, found %v", i, block.line, err, want[i].line, want[i].found)
		}
	}
	if _, err := goBlocks("```go\nx()\n"); err == nil {
		t.Error("a block without an end passed")
	}
	if err := findBlock(docBlock{lines: []string{""}}, sources); err == nil {
		t.Error("an empty block passed")
	}
}
