package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/embedded"
	"github.com/tillwatch/tillwatch/internal/fleettest/natstest"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// screen is what a child writes, safe to read while it writes.
type screen struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// running is one `tillwatch up`.
type running struct {
	cmd   *exec.Cmd
	stdin interface{ Close() error }
	out   screen
	errs  screen
	done  chan error
}

func startUp(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{cmd: exec.Command(os.Args[0], append([]string{"up"}, args...)...), done: make(chan error, 1)}
	r.cmd.Env = append(os.Environ(), roleEnv+"=app")
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.errs
	stdin, err := r.cmd.StdinPipe()
	if err == nil {
		r.stdin, err = stdin, r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() { r.done <- r.cmd.Wait() }()
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	return r
}

// await polls until ok, or fails with what the child said.
func (r *running) await(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); pauseTest(100 * time.Millisecond) {
		select {
		case err := <-r.done:
			t.Fatalf("up ended (%v) before %s:\n%s\n%s", err, what, r.out.String(), r.errs.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s:\n%s\n%s", what, r.out.String(), r.errs.String())
		}
	}
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.stdin.Close()
	select {
	case err := <-r.done:
		if err != nil {
			t.Fatalf("up ended with %v:\n%s", err, r.errs.String())
		}
	case <-time.After(90 * time.Second):
		t.Fatalf("up does not stop:\n%s", r.errs.String())
	}
}

type where struct {
	PID                   int
	NATS, Influx, Metrics string
}

func (r *running) endpoints(t *testing.T, dir string) (w where) {
	t.Helper()
	r.await(t, "endpoints.json", 3*time.Minute, func() bool {
		raw, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
		return err == nil && json.Unmarshal(raw, &w) == nil && w.PID == r.cmd.Process.Pid
	})
	return w
}

// rows counts the rows of a query, -1 while the database does not answer.
func rows(t *testing.T, url, bucket, query string) int {
	t.Helper()
	c, err := influx.New(influx.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	series, err := c.Query(t.Context(), bucket, query)
	if err != nil {
		return -1
	}
	n := 0
	for _, s := range series {
		n += len(s.Values)
	}
	return n
}

// TestSystemUp is the demonstration as a new user sees it: a living fleet, a fault, the incident with its next steps,
// its end; then what `up` promises of its data directory and its database.
func TestSystemUp(t *testing.T) {
	systemTest(t)
	bin, err := embedded.BuildInflux18(t.Context(), embedded.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	began := time.Now()
	r := startUp(t, "--demo", "--data-dir", dir, "--influxd", bin)
	at := r.endpoints(t, dir)
	for _, page := range []string{"/healthz", "/readyz", "/metrics"} {
		r.await(t, page, time.Minute, func() bool {
			resp, err := http.Get(at.Metrics + page)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		})
	}

	// A second one on the same data is refused and says by whom.
	second := startUp(t, "--data-dir", dir, "--influxd", bin, "--metrics-addr", "127.0.0.1:0")
	if err := <-second.done; err == nil || !strings.Contains(second.errs.String(), fmt.Sprintf("in use by process %d", at.PID)) {
		t.Errorf("second up: %v, %s", err, second.errs.String())
	}

	r.await(t, "incident with next steps", 3*time.Minute, func() bool {
		s := r.out.String()
		return strings.Contains(s, "Opened") && strings.Contains(s, "Next steps") && strings.Contains(s, "app 2.4.1")
	})
	r.await(t, "the acquirer's answer in the merchant's incident", 3*time.Minute, func() bool {
		return strings.Contains(r.out.String(), "was cancelled on")
	})
	t.Logf("figure: demo: incident with its cause %.0f s after the start", time.Since(began).Seconds())

	// The database dies and comes back; nothing of the demonstration is lost by it.
	pid := childOf(t, r.cmd.Process.Pid, "influxd")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.await(t, "database after its death", time.Minute, func() bool {
		return rows(t, at.Influx, schema.BucketEvents, `SELECT "id" FROM "decline" LIMIT 5`) == 5
	})
	r.await(t, "resolution", 4*time.Minute, func() bool { return strings.Count(r.out.String(), "Resolved after") >= 2 })
	t.Logf("figure: demo: both incidents over %.0f s after the start", time.Since(began).Seconds())
	r.await(t, "incidents in the database", 30*time.Second, func() bool {
		return rows(t, at.Influx, schema.BucketEvents, `SELECT "target" FROM "incident" WHERE "state" = 'resolved'`) >= 2
	})
	for _, query := range []string{`SELECT "message" FROM "finding"`, `SELECT "asked" FROM "check_run"`} {
		if n := rows(t, at.Influx, schema.BucketEvents, query); n < 1 {
			t.Errorf("%s: %d rows", query, n)
		}
	}
	r.stop(t)
	if gone := childOf(t, r.cmd.Process.Pid, "influxd"); gone != 0 {
		t.Errorf("influxd %d is left behind", gone)
	}

	// State survives a restart: the streams, and what the database had.
	again := startUp(t, "--data-dir", dir, "--influxd", bin, "--metrics-addr", "127.0.0.1:0")
	at = again.endpoints(t, dir)
	again.await(t, "old rows", time.Minute, func() bool {
		return rows(t, at.Influx, schema.BucketEvents, `SELECT "target" FROM "incident" WHERE "state" = 'resolved'`) >= 2
	})
	c := natstest.Connect(t, at.NATS)
	last, err := c.Last(t.Context(), "derived.v1.finding.a2.merchant-status")
	if err != nil || last == nil {
		t.Errorf("the finding is gone from DERIVED: %+v, %v", last, err)
	}
	again.stop(t)
}

// childOf finds a child process by the name of its program, 0 without one.
func childOf(t *testing.T, parent int, name string) int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(dirs) == 0 {
		t.Skip("SKIP: no /proc on this system to find the child process in")
	}
	for _, path := range dirs {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		var pid, ppid int
		var comm, state string
		if _, err := fmt.Sscanf(string(raw), "%d %s %s %d", &pid, &comm, &state, &ppid); err == nil && ppid == parent && strings.Contains(comm, name) && state != "Z" {
			return pid
		}
	}
	return 0
}
