package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/embedded"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

const patience = time.Minute // only a hang takes so long

// bothBinaries runs a subtest with each real influxd.
func bothBinaries(t *testing.T, f func(t *testing.T, bin string, auth bool)) {
	progress := func(line string) { fmt.Fprintln(os.Stderr, line) }
	t.Run("1.8", func(t *testing.T) {
		bin, err := embedded.BuildInflux18(t.Context(), embedded.BuildOptions{Progress: progress})
		if err != nil {
			t.Fatal(err)
		}
		f(t, bin, true)
	})
	t.Run("2.9", func(t *testing.T) {
		bin, err := embedded.BuildInflux29(t.Context(), embedded.BuildOptions{Progress: progress})
		if errors.Is(err, embedded.ErrNoRust) && os.Getenv("CI") != "true" {
			t.Skipf("SKIP: influxd 2.9: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		f(t, bin, true)
	})
}

// started is an Influxd whose Run goes on.
type started struct {
	*embedded.Influxd
	stop  context.CancelFunc
	ended chan error
}

func start(t *testing.T, o embedded.InfluxdOptions) *started {
	t.Helper()
	d, err := embedded.NewInfluxd(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &started{Influxd: d, stop: cancel, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ended <- d.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

func (s *started) ready(t *testing.T) *influx.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.WaitReady(ctx); err != nil {
		t.Fatalf("not ready: %v", err)
	}
	c, err := influx.New(influx.Options{URL: s.URL(), Token: s.Token(), Org: s.Org()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (s *started) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(patience):
		t.Fatal("Run does not end")
		return nil
	}
}

// eventually calls ok until it is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		if ok() {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func points(t *testing.T, c *influx.Client) int64 {
	t.Helper()
	rows, err := c.Query(t.Context(), "b", `SELECT count("v") AS n FROM "m"`)
	if err != nil || len(rows) != 1 {
		t.Fatalf("count: %v, %v", rows, err)
	}
	n, _ := rows[0].Int(0, "n")
	return n
}

// A child that dies is started again at the same address with the same data and credentials; a stop is in good order,
// and a later Run finds everything.
func TestInfluxdComesBack(t *testing.T) {
	bothBinaries(t, func(t *testing.T, bin string, auth bool) {
		ctx := t.Context()
		o := embedded.InfluxdOptions{Binary: bin, DataDir: filepath.Join(t.TempDir(), `a "quoted" path`), Addr: "127.0.0.1:0", Auth: auth}
		s := start(t, o)
		c := s.ready(t)
		if err := c.EnsureBuckets(ctx, []schema.Bucket{{Name: "b"}}); err != nil {
			t.Fatal(err)
		}
		if err := c.Write(ctx, "b", []byte("m v=1i 1\nm v=2i 2")); err != nil {
			t.Fatal(err)
		}
		first := s.PID()
		if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a new child", func() bool { return s.PID() != first && s.PID() != 0 && c.Ready(ctx) == nil })
		if n := points(t, c); n != 2 {
			t.Errorf("%d points after a kill, want 2", n)
		}
		url, token := s.URL(), s.Token()
		s.stop()
		if err := s.wait(t); err != nil {
			t.Errorf("a stop: %v", err)
		}
		if influx.ClassOf(c.Ready(ctx)) != influx.Transient {
			t.Error("the child outlives Run")
		}
		o.Addr = strings.TrimPrefix(url, "http://")
		again := start(t, o)
		if n := points(t, again.ready(t)); n != 2 {
			t.Errorf("%d points after a restart, want 2", n)
		}
		if again.Token() != token || token == "" {
			t.Error("the token changed, or there is none")
		}
		info, err := os.Stat(filepath.Join(o.DataDir, "influx-admin.json"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the credentials' file: %v, %v; want mode 0600", info, err)
		}
		again.Kill()
		if err := again.wait(t); !errors.Is(err, embedded.ErrKilled) {
			t.Errorf("after Kill Run returns %v", err)
		}
		if err := again.Run(ctx); err == nil {
			t.Error("Run twice is accepted")
		}
	})
}

// Another server that has the port, and even answers as InfluxDB would, is neither disturbed nor mistaken for the child.
func TestInfluxdTakenPort(t *testing.T) {
	bothBinaries(t, func(t *testing.T, bin string, auth bool) {
		one := start(t, embedded.InfluxdOptions{Binary: bin, DataDir: t.TempDir(), Addr: "127.0.0.1:0", Auth: auth})
		first := one.ready(t)
		addr := strings.TrimPrefix(one.URL(), "http://")
		two := start(t, embedded.InfluxdOptions{Binary: bin, DataDir: t.TempDir(), Addr: addr, Auth: auth})
		second := two.ready(t)
		if one.URL() == two.URL() {
			t.Fatalf("both are at %s", one.URL())
		}
		for _, c := range []*influx.Client{first, second} {
			if err := c.EnsureBuckets(t.Context(), []schema.Bucket{{Name: "b"}}); err != nil {
				t.Errorf("%v: %v", c, err)
			}
		}
	})
}

// Data that somebody else set up is not taken over silently.
func TestInfluxdForeignData(t *testing.T) {
	bothBinaries(t, func(t *testing.T, bin string, auth bool) {
		o := embedded.InfluxdOptions{Binary: bin, DataDir: t.TempDir(), Addr: "127.0.0.1:0", Auth: auth}
		s := start(t, o)
		s.ready(t)
		s.stop()
		if err := s.wait(t); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(o.DataDir, "influx-admin.json")); err != nil {
			t.Fatal(err)
		}
		again := start(t, o)
		if err := again.wait(t); err == nil || !strings.Contains(err.Error(), "set up by somebody else") {
			t.Errorf("Run returns %v", err)
		}
		if err := again.WaitReady(t.Context()); err == nil {
			t.Error("WaitReady returns nil")
		}
		if _, err := os.Stat(filepath.Join(o.DataDir, "influx-admin.json")); err == nil {
			t.Error("credentials that open nothing were kept")
		}
	})
}

// fake is a binary that says it is a 1.8 and then does what body says.
func fake(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "influxd")
	text := "#!/bin/sh\nif [ \"$1\" = version ]; then echo 'InfluxDB v1.8.10 (git: a b)'; exit; fi\n" + body + "\n"
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInfluxdThatDoesNotStart(t *testing.T) {
	s := start(t, embedded.InfluxdOptions{Binary: fake(t, "echo 'meta is corrupt' >&2; exit 7"), DataDir: t.TempDir()})
	err := s.wait(t)
	if err == nil || !strings.Contains(err.Error(), "exit status 7") || !strings.Contains(err.Error(), "meta is corrupt") {
		t.Errorf("Run returns %v; want the exit status and the log", err)
	}
	silent := start(t, embedded.InfluxdOptions{Binary: fake(t, "exec sleep 1000"), DataDir: t.TempDir(), StartTimeout: 50 * time.Millisecond})
	if err := silent.wait(t); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Errorf("Run of a server that never listens returns %v", err)
	}
	deaf := start(t, embedded.InfluxdOptions{
		Binary: fake(t, "trap '' TERM; while :; do sleep 0.01; done"), DataDir: t.TempDir(), StopTimeout: 50 * time.Millisecond,
	})
	eventually(t, "a child", func() bool { return deaf.PID() != 0 })
	pid := deaf.PID()
	eventually(t, "the trap", func() bool { return ignoresTerm(t, pid) })
	deaf.stop()
	if err := deaf.wait(t); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("Run of a server that does not stop returns %v", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the child is still there: %v", err)
	}
}

// ignoresTerm reports whether the process has told the kernel to ignore SIGTERM; true where that cannot be seen.
func ignoresTerm(t *testing.T, pid int) bool {
	t.Helper()
	if runtime.GOOS != "linux" {
		return true
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "SigIgn:")
	var mask uint64
	_, _ = fmt.Sscanf(rest, "%x", &mask)
	return mask&(1<<(uint(syscall.SIGTERM)-1)) != 0
}

func TestInfluxdOptions(t *testing.T) {
	_, err := embedded.NewInfluxd(embedded.InfluxdOptions{Addr: "0.0.0.0:8086", StopTimeout: -1})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"binary", "data directory", "loopback", "negative"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
	if _, err := embedded.NewInfluxd(embedded.InfluxdOptions{Binary: "b", DataDir: "d", Addr: "8086"}); err == nil {
		t.Error("an address without a host is accepted")
	}
}

// With these set, the test binary is not a test but the parent that TestInfluxdDiesWithItsParent kills.
const parentBinary, parentData = "TILLWATCH_TEST_PARENT_BINARY", "TILLWATCH_TEST_PARENT_DATA"

func init() {
	bin := os.Getenv(parentBinary)
	if bin == "" {
		return
	}
	d, err := embedded.NewInfluxd(embedded.InfluxdOptions{Binary: bin, DataDir: os.Getenv(parentData), Addr: "127.0.0.1:0"})
	if err == nil {
		go func() {
			<-d.Ready()
			fmt.Printf("child %d at %s\n", d.PID(), d.URL())
		}()
		err = d.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, "parent:", err)
	os.Exit(1)
}

func TestInfluxdDiesWithItsParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIP: only Linux ends a child with its parent")
	}
	bothBinaries(t, func(t *testing.T, bin string, _ bool) {
		parent := exec.Command(os.Args[0])
		parent.Env = append(os.Environ(), parentBinary+"="+bin, parentData+"="+t.TempDir())
		parent.Stderr = os.Stderr
		out, err := parent.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := parent.Start(); err != nil {
			t.Fatal(err)
		}
		defer parent.Wait()
		defer parent.Process.Kill()
		pid, addr := 0, ""
		for lines := bufio.NewScanner(out); addr == "" && lines.Scan(); {
			_, _ = fmt.Sscanf(lines.Text(), "child %d at http://%s", &pid, &addr)
		}
		if addr == "" {
			t.Fatal("the parent said nothing of a child")
		}
		defer func() {
			if t.Failed() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}()
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("the child at %q: %v", addr, err)
		}
		conn.Close()
		if err := parent.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the child's end", func() bool {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
			}
			return err != nil
		})
	})
}
