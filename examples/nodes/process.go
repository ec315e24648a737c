package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// node is a process of this program that runs nodeMain.
type node struct {
	name, url string

	cmd   *exec.Cmd // nil: it does not run
	stdin io.Closer
	ended chan struct{} // closed when it has, by err
	err   error
}

// start starts it and waits until it serves.
func (n *node) start(ctx context.Context, set *settings) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	env, err := json.Marshal(set)
	if err != nil {
		return err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), nodeVariable+"="+string(env))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	n.cmd, n.stdin, n.ended = cmd, stdin, make(chan struct{})
	address := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n') // "" where it ended
		address <- strings.TrimSpace(line)
		n.err = cmd.Wait()
		close(n.ended)
	}()
	select {
	case n.url = <-address:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if n.url == "" {
		return errors.New("it did not begin to serve")
	}
	return nil
}

func (n *node) pid() int { return n.cmd.Process.Pid }

// kill is kill -9.
func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	<-n.ended
	n.cmd = nil
}

// stop has it end by itself, and says how that went.
func (n *node) stop(ctx context.Context) error {
	if n.cmd == nil {
		return nil
	}
	_ = n.stdin.Close()
	select {
	case <-n.ended:
		n.cmd = nil
		return n.err
	case <-ctx.Done():
		n.kill()
		return fmt.Errorf("it did not end: %w", context.Cause(ctx))
	}
}
