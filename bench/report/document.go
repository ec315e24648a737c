package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// What is between the markers of the document is the report's; the rest is kept
// by hand.
const (
	beginMarker = "<!-- Written by go run ./bench/report: what is changed here by hand is lost. -->"
	endMarker   = "<!-- The end of what go run ./bench/report wrote. -->"
)

// plotsDir is where the plots are, from the document's directory.
const plotsDir = "docs/plots"

// deliver prints the report, or writes it into a document and its plots beside
// it.
func deliver(o *options, m *measured, stdout io.Writer) error {
	d := write(m)
	if o.out == "" {
		_, err := io.WriteString(stdout, d.text.String())
		return err
	}
	parts, err := splitDocument(o.out)
	if err != nil {
		return err
	}
	dir := filepath.Join(filepath.Dir(o.out), filepath.FromSlash(plotsDir))
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // G301: a directory of the checkout
		return err
	}
	for name, svg := range d.plots {
		if err := replaceFile(filepath.Join(dir, name), svg); err != nil {
			return err
		}
	}
	return replaceFile(o.out, []byte(parts.with(d.text.String())))
}

// replaceFile writes a file of the checkout if it is not so already.
func replaceFile(name string, data []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, data) { //nolint:gosec // G304: its user names it
		return nil
	}
	return os.WriteFile(name, data, 0o644) //nolint:gosec // G306: a file of the checkout
}

// parts is a document: what stands before and after the report's own part.
type parts struct{ before, after string }

// with is the document with another part of the report's.
func (p parts) with(text string) string {
	return p.before + beginMarker + "\n\n" + strings.TrimSpace(text) + "\n\n" + endMarker + p.after
}

// splitDocument reads a document, which must have both markers, each once.
func splitDocument(name string) (parts, error) {
	data, err := os.ReadFile(name) //nolint:gosec // G304: its user names it
	if errors.Is(err, os.ErrNotExist) {
		return parts{}, fmt.Errorf("%w: the report is written at the top of the checkout", err)
	}
	if err != nil {
		return parts{}, err
	}
	return split(string(data))
}

func split(text string) (parts, error) {
	before, rest, begins := strings.Cut(text, beginMarker)
	own, after, ends := strings.Cut(rest, endMarker)
	if !begins || !ends || strings.Contains(own+after, beginMarker) || strings.Contains(before+after, endMarker) {
		return parts{}, fmt.Errorf("the document must have, each once and in this order, the lines %q and %q", beginMarker, endMarker)
	}
	return parts{before, after}, nil
}
