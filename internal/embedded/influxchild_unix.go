//go:build unix && !linux

package embedded

import "syscall"

// childAttr keeps a terminal's Ctrl-C from the child: it is to stop after those who still write to it. A child
// outlives a parent that was killed until it next writes to its log.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
