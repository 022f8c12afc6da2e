package influxtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/embedded"
	"github.com/tillwatch/tillwatch/internal/influx"
)

// Time limits that only a hanging server reaches.
const (
	startLimit = time.Minute
	buildLimit = 25 * time.Minute
)

// Server is a running InfluxDB. Its methods are for the goroutine of its test.
type Server struct {
	URL     string
	Token   influx.Token // the administrator's; empty on a 1.8 without authentication
	Org     string       // empty on 1.8
	Major   int          // 1 or 2
	DataDir string

	t    testing.TB
	opts embedded.InfluxdOptions
	run  *running
}

// running is one Influxd and its Run.
type running struct {
	influxd *embedded.Influxd
	cancel  context.CancelFunc
	ended   chan struct{}
	err     error // what Run returned; read after ended
}

// Start18 starts a 1.8.10 without authentication.
func Start18(t testing.TB) *Server { return start18(t, false) }

// Start18Auth starts a 1.8.10 that demands credentials; Token is the administrator's.
func Start18Auth(t testing.TB) *Server { return start18(t, true) }

func start18(t testing.TB, auth bool) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildLimit)
	defer cancel()
	bin, err := embedded.BuildInflux18(ctx, embedded.BuildOptions{Progress: progress(t)})
	if err != nil {
		t.Fatalf("influxd 1.8: %v", err)
	}
	return start(t, bin, 1, auth)
}

// Start29 starts a 2.9.1. Without cargo the test is skipped, or fails in CI.
func Start29(t testing.TB) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildLimit)
	defer cancel()
	bin, err := embedded.BuildInflux29(ctx, embedded.BuildOptions{Progress: progress(t)})
	if errors.Is(err, embedded.ErrNoRust) && os.Getenv("CI") != "true" {
		t.Skipf("SKIP: influxd 2.9: %v", err)
	}
	if err != nil {
		t.Fatalf("influxd 2.9: %v", err)
	}
	return start(t, bin, 2, true)
}

// Both runs a subtest against each server, named 1.8 and 2.9.
func Both(t *testing.T, f func(t *testing.T, s *Server)) {
	t.Helper()
	t.Run("1.8", func(t *testing.T) { f(t, Start18(t)) })
	t.Run("2.9", func(t *testing.T) { f(t, Start29(t)) })
}

// progress tells both those who watch the test and those who read its log.
func progress(t testing.TB) func(string) {
	return func(line string) {
		t.Log(line)
		fmt.Fprintln(os.Stderr, line)
	}
}

func start(t testing.TB, bin string, major int, auth bool) *Server {
	t.Helper()
	s := &Server{t: t, Major: major, DataDir: filepath.Join(t.TempDir(), "influx")}
	s.opts = embedded.InfluxdOptions{
		Binary: bin, DataDir: s.DataDir, Addr: "127.0.0.1:0", Auth: auth, StartTimeout: startLimit,
		Logger: slog.New(slog.DiscardHandler),
	}
	// Registered after TempDir, so that it runs before the data is removed.
	t.Cleanup(func() { s.halt() })
	if err := s.begin(); err != nil {
		t.Fatalf("start influxd: %v", err)
	}
	s.URL, s.Token, s.Org = s.run.influxd.URL(), s.run.influxd.Token(), s.run.influxd.Org()
	return s
}

func (s *Server) begin() error {
	d, err := embedded.NewInfluxd(s.opts)
	if err != nil {
		return err
	}
	// Not the test's context: it ends before the cleanups, and a server must outlive what they write.
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{influxd: d, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = d.Run(ctx)
	}()
	wait, stop := context.WithTimeout(ctx, startLimit)
	defer stop()
	if err := d.WaitReady(wait); err != nil {
		cancel()
		<-r.ended
		return err
	}
	s.run = r
	return nil
}

// halt stops the server if it runs, and returns when it has ended.
func (s *Server) halt() {
	if s.run == nil {
		return
	}
	s.run.cancel()
	<-s.run.ended
	s.run = nil
}

// Client returns a client with the administrator's token, closed with the test.
func (s *Server) Client(t testing.TB) *influx.Client {
	t.Helper()
	return s.ClientWith(t, influx.Options{Token: s.Token})
}

// ClientWith returns a client with these options; URL and Org are the server's where they are empty.
func (s *Server) ClientWith(t testing.TB, o influx.Options) *influx.Client {
	t.Helper()
	if o.URL == "" {
		o.URL = s.URL
	}
	if o.Org == "" {
		o.Org = s.Org
	}
	c, err := influx.New(o)
	if err != nil {
		t.Fatalf("influx client: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// Kill ends the server with SIGKILL and returns when it is gone. It stays away until Restart.
func (s *Server) Kill() {
	if s.run == nil {
		return
	}
	s.run.influxd.Kill()
	<-s.run.ended
	s.halt()
}

// Stop ends the server in good order and returns when it is gone. It stays away until Restart.
func (s *Server) Stop() { s.halt() }

// Restart starts the server again with the same data at the same address; one that runs is stopped first. The test
// fails when that does not work.
func (s *Server) Restart() {
	s.t.Helper()
	s.halt()
	s.opts.Addr = strings.TrimPrefix(s.URL, "http://")
	if err := s.begin(); err != nil {
		s.t.Fatalf("restart influxd: %v", err)
	}
	if got := s.run.influxd.URL(); got != s.URL {
		s.t.Fatalf("restart influxd: %s was taken meanwhile, it is at %s", s.URL, got)
	}
}
