package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Proc is what a process with one subject says once it is ready.
type Proc struct {
	Set        string        `json:"set"`
	Size       int           `json:"size"`
	Subject    string        `json:"subject"`
	Setup      time.Duration `json:"setup"`      // to make it ready
	Heap       int64         `json:"heap"`       // bytes that it takes, none of its keys having been used
	InUse      int64         `json:"in_use"`     // the same after the calibration: most keys were used
	Collection time.Duration `json:"collection"` // processor time of one garbage collection of its own heap
	Absent     string        `json:"absent,omitempty"`
	Failed     string        `json:"failed,omitempty"`
}

// errand is what a parent tells a child to do.
type errand struct {
	Load Load          `json:"load"` // the zero Load: say what the heap is
	N    int           `json:"n"`    // 0: calibrate
	Long time.Duration `json:"long"` // of a round, to calibrate
}

// answer is what a child answers.
type answer struct {
	N      int    `json:"n,omitempty"`
	Sample Sample `json:"sample"`
	Heap   int64  `json:"heap,omitempty"`
	NoCase bool   `json:"no_case,omitempty"`
	Err    string `json:"err,omitempty"`
}

// Child is the whole work of a process that measures one subject of a set at
// one size: it makes it ready, says so, and does what the lines of in say until
// they end. Each subject has a process of its own, so that nobody's garbage and
// nobody's memory is another's.
func Child(s *Set, size int, subject string, in io.Reader, out io.Writer) error {
	answers := json.NewEncoder(out)
	w := s.workload(size)
	before := heapBytes() // with the workload, which stays
	running, proc := startSubject(s, size, subject, w)
	if running != nil {
		defer running.Close()
		proc.Heap = int64(heapBytes()) - int64(before)
		proc.Collection = collection()
		debug.FreeOSMemory() // others need it
	}
	if err := answers.Encode(proc); err != nil || running == nil {
		return err
	}
	defer runtime.KeepAlive(w)
	meter := NewMeter(running)
	for errands := json.NewDecoder(in); ; {
		var e errand
		if err := errands.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		a := meter.run(e)
		if e.Load == (Load{}) {
			a = answer{Heap: int64(heapBytes()) - int64(before) - meter.bytes()}
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

// startSubject makes a subject ready; nil, if it cannot be, and why.
func startSubject(s *Set, size int, name string, w *Workload) (*Running, Proc) {
	proc := Proc{Set: s.Name, Size: size, Subject: name}
	subjects := s.Subjects(size)
	i := slices.IndexFunc(subjects, func(s Subject) bool { return s.Name == name })
	if i < 0 {
		proc.Failed = "there is no such subject"
		return nil, proc
	}
	began := time.Now()
	running, err := subjects[i].Start(w)
	switch {
	case errors.Is(err, ErrAbsent):
		proc.Absent = err.Error()
		return nil, proc
	case err != nil:
		proc.Failed = err.Error()
		return nil, proc
	}
	proc.Setup = time.Since(began)
	return running, proc
}

// run does an errand.
func (m *Meter) run(e errand) (a answer) {
	var err error
	switch {
	case e.Load == Load{}:
	case e.N == 0:
		a.N, err = m.Calibrate(e.Load, e.Long)
	default:
		a.Sample, err = m.Run(e.Load, e.N)
	}
	switch {
	case errors.Is(err, ErrNoCase):
		a.NoCase = true
	case err != nil:
		a.Err = err.Error()
	}
	return a
}

// child is a process as its parent sees it. It stands still but while it is
// spoken to, so that nothing that it does by itself disturbs the others.
type child struct {
	Proc
	cmd     *exec.Cmd
	in      io.WriteCloser
	errands *json.Encoder
	answers *json.Decoder
	end     sync.Once
}

// spawn starts a process that calls Child and waits until its subject is ready.
// command is what starts this program anew.
func spawn(command func(args ...string) *exec.Cmd, r Row) (*child, error) {
	cmd := command("-child", r.Set, "-size", strconv.Itoa(r.Size), "-subject", r.Subject)
	ofOwnGroup(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, in: in, errands: json.NewEncoder(in), answers: json.NewDecoder(bufio.NewReader(out))}
	if err := c.answers.Decode(&c.Proc); err != nil {
		c.close()
		return nil, fmt.Errorf("bench: %s of %s ended before it was ready: %w", r.Subject, r.Set, err)
	}
	return c, c.halt()
}

// tell has the child do something, and waits until it has. That the subject
// did not do its job is in the answer, and no error.
func (c *child) tell(e errand) (a answer, err error) {
	if err := c.wake(); err != nil {
		return a, err
	}
	if err := c.errands.Encode(e); err != nil {
		return a, err
	}
	if err := c.answers.Decode(&a); err != nil {
		return a, fmt.Errorf("bench: %s of %s ended: %w", c.Subject, c.Set, err)
	}
	return a, c.halt()
}

// close ends the child: by itself, or after a while by force.
func (c *child) close() {
	c.end.Do(func() {
		_ = c.wake()
		_ = c.in.Close()
		force := time.AfterFunc(30*time.Second, func() { _ = c.cmd.Process.Kill() })
		defer force.Stop()
		_ = c.cmd.Wait()
	})
}
