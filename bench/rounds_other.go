//go:build !unix

package bench

import "os/exec"

// Where there are no signals, a child that nobody speaks to does what little it
// does by itself.

func ofOwnGroup(*exec.Cmd) {}

func (c *child) halt() error { return nil }

func (c *child) wake() error { return nil }
