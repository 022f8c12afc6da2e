package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// runner runs the commands of one build and says every quarter of a minute how it goes.
type runner struct {
	name     string
	progress func(string)
	began    time.Time
}

// command runs one command to its end. Its output is kept for the error, and the last line shows in the progress.
func (r *runner) command(ctx context.Context, dir string, env []string, name string, args ...string) error {
	var kept tail
	if err := r.run(ctx, dir, env, &kept, &kept, name, args...); err != nil {
		return fmt.Errorf("%s %s: %w%s\n%s", filepath.Base(name), args[0], err, kept.advice(), kept.String())
	}
	return nil
}

// output is command for a command whose standard output is wanted.
func (r *runner) output(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	var kept tail
	var out bytes.Buffer
	if err := r.run(ctx, dir, env, &out, &kept, name, args...); err != nil {
		_, _ = kept.Write(out.Bytes())
		return nil, fmt.Errorf("%s %s: %w%s\n%s", filepath.Base(name), args[0], err, kept.advice(), kept.String())
	}
	return out.Bytes(), nil
}

func (r *runner) run(ctx context.Context, dir string, env []string, stdout io.Writer, kept *tail, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) // #nosec G204 -- the go tool, cargo's own tools
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdout, cmd.Stderr = stdout, kept
	// What the command started may hold the pipes open after it was killed.
	cmd.WaitDelay = 5 * time.Second
	done := make(chan struct{})
	var told sync.WaitGroup
	told.Go(func() {
		tick := time.NewTicker(15 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				r.progress(fmt.Sprintf("%s: %s so far; %s", r.name, time.Since(r.began).Round(time.Second), kept.last()))
			}
		}
	})
	err := cmd.Run()
	close(done)
	told.Wait()
	return errors.Join(err, ctx.Err())
}

// tail keeps the last lines written to it.
type tail struct {
	mu    sync.Mutex
	lines []string
	part  string // a line that has not ended yet
}

const tailLines = 25

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.part + string(p)
	for {
		line, rest, ended := strings.Cut(text, "\n")
		if !ended {
			break
		}
		if line = strings.TrimSpace(line); line != "" {
			t.lines = append(t.lines, line)
		}
		text = rest
	}
	t.part = text[max(0, len(text)-4096):]
	if n := len(t.lines); n > tailLines {
		t.lines = append([]string(nil), t.lines[n-tailLines:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	if t.part != "" {
		lines = append(lines[:len(lines):len(lines)], t.part)
	}
	return strings.Join(lines, "\n")
}

func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		return "starting"
	}
	return t.lines[len(t.lines)-1]
}

// advice adds to an error what to do about it, where the output tells.
func (t *tail) advice() string {
	text := t.String()
	for _, sign := range []string{"no such host", "dial tcp", "i/o timeout", "connection refused", "proxyconnect", "TLS handshake", "module lookup disabled", "Could not resolve host", "network is unreachable"} {
		if strings.Contains(text, sign) {
			return ": the sources could not be fetched; check the network, or GOPROXY (go env GOPROXY)"
		}
	}
	for _, sign := range []string{"no space left on device", "disk quota exceeded"} {
		if strings.Contains(text, sign) {
			return ": the disk is full"
		}
	}
	for _, sign := range []string{`"gcc": executable file not found`, `"cc": executable file not found`, "linker `cc` not found"} {
		if strings.Contains(text, sign) {
			return ": a C compiler is needed; install gcc or clang"
		}
	}
	return ""
}
