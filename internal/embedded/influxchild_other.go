//go:build !unix

package embedded

import "syscall"

// childAttr has nothing to offer here: a child outlives a parent that was killed until it next writes to its log.
func childAttr() *syscall.SysProcAttr { return nil }
