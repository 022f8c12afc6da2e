// Package natstest starts real NATS servers for tests.
//
//	Start ─▶ a server in this process (fast; cannot be killed)
//	Child ─▶ the same server in a child process, for SIGKILL and restart on the same data and port
//
// Child runs the test binary again, so a package that uses it calls Main from TestMain.
package natstest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/embedded"
)

// Start runs a server in this process until the test ends.
func Start(t testing.TB) *embedded.NATS {
	t.Helper()
	n, err := embedded.NewNATS(embedded.NATSOptions{DataDir: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	return n
}

// Connect connects to a server and makes the layout there, with small streams.
func Connect(t testing.TB, url string) *bus.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := bus.Connect(ctx, bus.Options{URL: url, Name: t.Name(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Ensure(ctx, SmallLayout); err != nil {
		t.Fatal(err)
	}
	return c
}

// SmallLayout reserves little, so that many servers fit on a small disk.
var SmallLayout = bus.Layout{TxnMaxBytes: 512 << 20, HBMaxBytes: 512 << 20, DerivedMaxBytes: 64 << 20, ControlMaxBytes: 64 << 20, DLQMaxBytes: 64 << 20}

// Limit gives a stream another size; 0 is exactly what it holds now, so that a stream that refuses is full.
func Limit(t testing.TB, url, stream string, maxBytes int64) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(context.Background(), stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	if cfg.MaxBytes = maxBytes; maxBytes == 0 {
		cfg.MaxBytes = int64(s.CachedInfo().State.Bytes)
	}
	if _, err := js.UpdateStream(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
}

const serveEnv = "TILLWATCH_TEST_NATS_SERVE" // dir|addr

// Main runs a server instead of the tests when the test binary was started by Child. Call it first in TestMain.
func Main() {
	v := os.Getenv(serveEnv)
	if v == "" {
		return
	}
	dir, addr, _ := strings.Cut(v, "|")
	n, err := embedded.NewNATS(embedded.NATSOptions{DataDir: dir, Addr: addr, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err == nil {
		err = n.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(n.URL())
	io.Copy(io.Discard, os.Stdin) // until the parent is gone
	n.Stop()
	os.Exit(0)
}

// Server is a server in a child process.
type Server struct {
	t    testing.TB
	dir  string
	addr string

	mu    sync.Mutex // guards everything below
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// Child starts a server in a child process; it ends with the test.
func Child(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), addr: "127.0.0.1:0"}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// URL is where clients connect; it stays the same over restarts.
func (s *Server) URL() string { return "nats://" + s.addr }

// Start starts the server again on the same data and port.
func (s *Server) Start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := s.start()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("start nats child: %v", err)
		}
	}
}

func (s *Server) start() error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+s.dir+"|"+s.addr)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	url := strings.TrimSpace(line)
	host, ok := strings.CutPrefix(url, "nats://")
	if err != nil || !ok || s.addr != "127.0.0.1:0" && host != s.addr {
		cmd.Process.Kill()
		cmd.Wait()
		return errors.Join(fmt.Errorf("child said %q, want %s", line, s.addr), err)
	}
	s.addr, s.cmd, s.stdin = host, cmd, stdin
	return nil
}

// PID is the process number of the running child.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// Kill sends SIGKILL and waits for the end.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.stdin.Close()
	s.cmd = nil
}
