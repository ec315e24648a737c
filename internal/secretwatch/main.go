package secretwatch

import (
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
	"testing"
)

// Main runs the tests, searches what they let out, and exits: with their code,
// or with 1 where that would be 0 and a secret is out.
func Main(m *testing.M) {
	if os.Getenv(teeVariable) != "" {
		os.Exit(runTee())
	}
	if slices.ContainsFunc(os.Args[1:], func(arg string) bool { return strings.HasPrefix(arg, "-test.fuzzworker") }) {
		os.Exit(m.Run()) // its findings are inputs that fail, and it makes keys by the million
	}
	os.Exit(watch(m))
}

func watch(m *testing.M) int {
	stdout, err := startTee(os.Stdout)
	if err != nil {
		return cannot(err)
	}
	stderr, err := startTee(os.Stderr)
	if err != nil {
		return cannot(err)
	}
	spool, err := newSpool()
	if err != nil {
		return cannot(err)
	}
	collected.Store(spool)
	listen()
	realStdout, realStderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = stdout.in, stderr.in
	log.SetOutput(os.Stderr) //nolint:forbidigo // it has kept the standard error of before

	code := m.Run()

	os.Stdout, os.Stderr = realStdout, realStderr
	log.SetOutput(os.Stderr) //nolint:forbidigo // as above
	collected.Store(nil)
	found, err := search(stdout, stderr, spool)
	if err != nil {
		return cannot(err)
	}
	report(os.Stderr, found)
	if len(found) > 0 && code == 0 {
		code = 1
	}
	return code
}

func cannot(err error) int {
	fmt.Fprintf(os.Stderr, "FAIL: secretwatch: %v\n", err)
	return 2
}

// search waits for the last of the output and looks through everything.
func search(stdout, stderr *tee, spool *spool) ([]finding, error) {
	var found []finding
	for _, t := range []struct {
		place string
		*tee
	}{{"standard output", stdout}, {"standard error", stderr}} {
		text, err := t.drain()
		if err != nil {
			return nil, err
		}
		found = append(found, scan(t.place, text)...)
	}
	err := spool.each(func(place string, text []byte) { found = append(found, scan(place, text)...) })
	return found, err
}

const mostReported = 20

// report tells what is out, and where, without repeating it.
func report(w io.Writer, found []finding) {
	if len(found) == 0 {
		return
	}
	_, _ = fmt.Fprintf(w, "FAIL: secretwatch: %d times a secret is out (where a test failed too, by its own message perhaps):\n", len(found))
	for i, f := range found {
		if i == mostReported {
			_, _ = fmt.Fprintf(w, "\tand %d more\n", len(found)-i)
			return
		}
		_, _ = fmt.Fprintf(w, "\t%s: %s: %q\n", f.place, f.what, f.around)
	}
}
