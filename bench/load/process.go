package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// process is a server in a process of its own, as its client sees it.
type process struct {
	name    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	orders  *json.Encoder
	answers *json.Decoder
	said    *strings.Builder // on its standard error
	started answer

	sent, answered int64 // to it, by it
}

// start starts this program once more. It ends with stop, with ctx, or with
// this program.
func start(ctx context.Context, name string, set setup) (*process, error) {
	if !mainCalled.Load() {
		return nil, errors.New("load: the main function must call load.Main before all else")
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	p := &process{name: name, said: new(strings.Builder)}
	p.cmd = exec.CommandContext(ctx, program) //nolint:gosec // it is this program
	p.cmd.Env = append(os.Environ(), serverVariable+"=1")
	p.cmd.Stderr = p.said
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	p.orders, p.answers = json.NewEncoder(p.in), json.NewDecoder(out)
	if p.started, err = p.tell(&order{Do: "start", Setup: set}); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// tell gives an order and waits for the answer.
func (p *process) tell(o *order) (a answer, err error) {
	if err := p.orders.Encode(o); err != nil {
		return a, fmt.Errorf("load: the server was told %s: %w", o.Do, err)
	}
	if err := p.answers.Decode(&a); err != nil {
		return a, fmt.Errorf("load: the server was told %s: %w", o.Do, err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("load: the server was told %s: %s", o.Do, a.Error)
	}
	return a, nil
}

// stop has the server count, and ends it.
func (p *process) stop() (Counts, error) {
	a, err := p.tell(&order{Do: "stop"})
	a.Counts.Server, a.Counts.Sent, a.Counts.Answered = p.name, p.sent, p.answered
	return a.Counts, errors.Join(err, p.end())
}

// end ends the process, and waits for it.
func (p *process) end() error {
	_ = p.in.Close() // it ends with its input
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("load: the server: %w: %s", err, p.said)
	}
	return nil
}
