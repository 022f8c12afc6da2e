//go:build !unix

package embedded

import "context"

// lockFile locks nothing here: two processes may both build, and the rename at the end keeps the binary whole.
func lockFile(context.Context, string, func()) (unlock func(), err error) {
	return func() {}, nil
}
