package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is a fenced block of a document.
var block = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

// TestDocument: docs/clients.md shows every client as it is run here, and none
// that is not. Of Go blocks the top's own test sees to it.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]int{}
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		shown[m[1]+"\n"+m[2]]++
	}
	for _, d := range demos {
		for _, l := range languages {
			file := filepath.Join(d.name, l.file)
			client, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := shown[l.fence+"\n"+string(client)]; n != 1 {
				t.Errorf("%s is shown %d times", file, n)
			}
			delete(shown, l.fence+"\n"+string(client))
		}
	}
	for other := range shown {
		fence, code, _ := strings.Cut(other, "\n")
		for _, l := range languages {
			if fence == l.fence {
				t.Errorf("this is no client:\n%s", code)
			}
		}
	}
}
