//go:build unix

package bench

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ofOwnGroup puts a process into a group of its own. When its parent dies, the
// kernel ends the groups that are left behind with a process that stands still
// (POSIX, _exit), so that none stays.
func ofOwnGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// halt has the child stand still.
func (c *child) halt() error { return c.signal(syscall.SIGSTOP) }

// wake has it go on.
func (c *child) wake() error { return c.signal(syscall.SIGCONT) }

// signal sends one to a child, which may have ended.
func (c *child) signal(s os.Signal) error {
	if err := c.cmd.Process.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
