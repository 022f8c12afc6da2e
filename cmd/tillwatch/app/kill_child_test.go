package app_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// child is one process of Tillwatch that is started again whenever it ends.
type child struct {
	t    *testing.T
	name string
	args []string
	env  []string

	mu      sync.Mutex // guards everything below
	cmd     *exec.Cmd
	stdin   interface{ Close() error }
	armed   string // point at which the present process kills itself
	waiting []string
	kills   map[string]int // by point, or "outside"
	outside bool           // the present process was killed by kill
	stopped bool
	ended   chan struct{}
}

func startChild(t *testing.T, name string, env []string, points []string, args ...string) *child {
	c := &child{t: t, name: name, args: args, env: env, waiting: points, kills: map[string]int{}, ended: make(chan struct{})}
	c.mu.Lock()
	c.start()
	c.mu.Unlock()
	go c.supervise()
	return c
}

// start runs the next process; mu is held.
func (c *child) start() {
	c.armed = ""
	if len(c.waiting) > 0 {
		c.armed, c.waiting = c.waiting[0], c.waiting[1:]
	}
	cmd := exec.Command(os.Args[0], c.args...)
	cmd.Env = append(os.Environ(), roleEnv+"=app", killEnv+"="+c.armed)
	cmd.Env = append(cmd.Env, c.env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.t.Errorf("start %s: %v", c.name, err)
		c.cmd = nil
		return
	}
	c.cmd, c.stdin = cmd, stdin
}

func (c *child) supervise() {
	defer close(c.ended)
	for {
		c.mu.Lock()
		cmd := c.cmd
		c.mu.Unlock()
		if cmd == nil {
			return
		}
		err := cmd.Wait()
		c.mu.Lock()
		killed := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if c.stopped {
			if err != nil {
				c.t.Errorf("%s ended with %v", c.name, err)
			}
			c.mu.Unlock()
			return
		}
		switch {
		case killed && c.armed != "" && !c.outside:
			point, _, _ := strings.Cut(c.armed, ":")
			c.kills[point]++
		case killed:
			c.kills["outside"]++
			c.outside = false
			if c.armed != "" { // killed before it came to its point: the next process tries again
				c.waiting = append([]string{c.armed}, c.waiting...)
			}
		default:
			c.t.Errorf("%s ended by itself: %v", c.name, err)
		}
		c.start()
		c.mu.Unlock()
	}
}

// kill sends SIGKILL from outside.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil {
		c.outside = true
		_ = c.cmd.Process.Kill()
	}
}

// stop asks for a graceful end and waits for it.
func (c *child) stop() {
	c.mu.Lock()
	c.stopped = true
	if c.stdin != nil {
		c.stdin.Close()
	}
	c.mu.Unlock()
	<-c.ended
}

func (c *child) killed(point string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kills[point]
}

// pending is the number of points that were not reached yet.
func (c *child) pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.waiting)
	if c.armed != "" {
		n++
	}
	return n
}
