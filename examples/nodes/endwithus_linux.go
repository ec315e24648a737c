package main

import (
	"os/exec"
	"syscall"
)

// endWithUs has the process end with this one, however that ends, and not hear
// of Ctrl-C.
func endWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
