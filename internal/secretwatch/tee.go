package secretwatch

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"time"
)

// teeVariable is set in the environment of a process that copies.
const teeVariable = "APIKEY_SECRETWATCH_TEE"

// A tee copies a stream to where it went before and keeps it. A process of its
// own does that, and not a goroutine: what a test printed just before it
// panicked, or called os.Exit, is shown none the less, and no test finds a
// goroutine that it did not start.
type tee struct {
	in   *os.File // what the stream is now
	kept *os.File
	copy *exec.Cmd
}

func startTee(out *os.File) (*tee, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	kept, err := tempFile()
	if err != nil {
		return nil, err
	}
	from, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c := exec.Command(self)                                                    //nolint:gosec,noctx // this program, until its input ends
	c.Env = append(os.Environ(), teeVariable+"=1", "GORACE=atexit_sleep_ms=0") // it has no races to wait for
	c.Stdin, c.Stdout, c.Stderr = from, out, kept
	if err := c.Start(); err != nil {
		return nil, err
	}
	return &tee{in: in, kept: kept, copy: c}, from.Close()
}

// runTee is the process that copies. It outlives an interrupt, since the tests
// have something to say after one.
func runTee() int {
	signal.Ignore(os.Interrupt)
	if _, err := io.Copy(io.MultiWriter(os.Stdout, os.Stderr), os.Stdin); err != nil {
		return 1
	}
	return 0
}

// drain ends the stream and is all that went through it.
func (t *tee) drain() ([]byte, error) {
	if err := t.in.Close(); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- t.copy.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
	case <-time.After(30 * time.Second):
		return nil, errors.New("a process that a test started and left running holds the output open")
	}
	if _, err := t.kept.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	defer discard(t.kept)
	return io.ReadAll(t.kept)
}

func tempFile() (*os.File, error) {
	f, err := os.CreateTemp("", "secretwatch-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // now, where an open file can be removed, so that no end of the process leaves it behind
	return f, nil
}

func discard(f *os.File) {
	_ = f.Close()
	_ = os.Remove(f.Name())
}
