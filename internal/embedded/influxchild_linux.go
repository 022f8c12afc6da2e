package embedded

import "syscall"

// childAttr lets the kernel end the child when this process dies, and keeps a terminal's Ctrl-C from the child: it is
// to stop after those who still write to it.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
