package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tillwatch/tillwatch/internal/influx"
)

// InfluxdOptions say which server runs where.
type InfluxdOptions struct {
	// Binary is an influxd of 1.8 or 2.x (BuildInflux18, FindInfluxd). Required.
	Binary string
	// DataDir holds everything the server writes, its log and its credentials. It is made when it is missing. Required.
	DataDir string
	// Addr is the loopback address to listen on. Empty: 127.0.0.1:8086. When the port is 0 or taken, a free one is
	// used; URL tells which. A restarted child listens where its predecessor did.
	Addr string
	// Auth demands credentials on 1.8; Token has the administrator's. 2.x always does.
	Auth bool
	// StartTimeout bounds the time from the child's start until it answers; a big database takes a while to open.
	// Zero: 2 minutes.
	StartTimeout time.Duration
	// StopTimeout is how long the child may take to stop before it is killed. Zero: 30 seconds.
	StopTimeout time.Duration
	// Logger is told when the child starts, dies and stops. Nil: nothing is logged. The child's own log is influxd.log
	// in DataDir.
	Logger *slog.Logger
}

// The pause before the child is started again after it died: doubled each time, and back to the shortest once a child
// has lived for steadyAfter.
const (
	shortestPause = 100 * time.Millisecond
	longestPause  = 30 * time.Second
	steadyAfter   = time.Minute
)

// ErrKilled is what Run returns after Kill.
var ErrKilled = errors.New("influxd was killed")

// Influxd is a child process that runs an InfluxDB server.
type Influxd struct {
	opts  InfluxdOptions
	ready chan struct{} // closed when the server has answered for the first time
	ended chan struct{} // closed when Run is about to return
	kill  chan struct{} // closed by Kill

	once sync.Once // Kill

	mu    sync.Mutex // guards everything below
	began bool
	err   error // what Run returns, once ended is closed
	addr  string
	cred  credentials
	pid   int
}

// NewInfluxd checks the options. It starts nothing.
func NewInfluxd(o InfluxdOptions) (*Influxd, error) {
	var errs []error
	if o.Binary == "" {
		errs = append(errs, errors.New("binary is required"))
	}
	if o.DataDir == "" {
		errs = append(errs, errors.New("data directory is required"))
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:8086"
	}
	if host, _, err := net.SplitHostPort(o.Addr); err != nil {
		errs = append(errs, fmt.Errorf("address %q: want host:port", o.Addr))
	} else if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		errs = append(errs, fmt.Errorf("address %q: the embedded server listens on loopback only, such as 127.0.0.1:8086", o.Addr))
	}
	if o.StartTimeout < 0 || o.StopTimeout < 0 {
		errs = append(errs, errors.New("a time limit is negative"))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("influxd options: %w", errors.Join(errs...))
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 2 * time.Minute
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Influxd{opts: o, ready: make(chan struct{}), ended: make(chan struct{}), kill: make(chan struct{})}, nil
}

// Run starts the child and keeps it running until ctx is done, then stops it and returns nil. A child that dies before
// it has ever answered is an error that quotes its log; one that dies later is started again. Run is called once.
func (d *Influxd) Run(ctx context.Context) (err error) {
	d.mu.Lock()
	again := d.began
	d.began = true
	d.mu.Unlock()
	if again {
		return errors.New("influxd: Run was called twice")
	}
	defer func() {
		d.mu.Lock()
		d.err = err
		d.mu.Unlock()
		close(d.ended)
	}()
	version, err := InfluxdVersion(ctx, d.opts.Binary)
	if err != nil {
		return err
	}
	major, err := influxdMajor(version)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(d.opts.DataDir)
	if err != nil {
		return fmt.Errorf("influxd: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("influxd: %w", err)
	}
	cred, isNew, err := loadCredentials(dir, major, d.opts.Auth)
	if err != nil {
		return fmt.Errorf("influxd: %w", err)
	}
	log, err := openLog(filepath.Join(dir, "influxd.log"))
	if err != nil {
		return fmt.Errorf("influxd: %w", err)
	}
	defer log.close()
	d.mu.Lock()
	d.cred = cred
	d.mu.Unlock()
	return d.supervise(ctx, &launch{binary: d.opts.Binary, major: major, version: version, dir: dir, cred: cred, newCred: isNew, log: log})
}

// supervise runs one child after the other.
func (d *Influxd) supervise(ctx context.Context, l *launch) error {
	addr, pause, wasReady, moved := d.opts.Addr, shortestPause, false, false
	for {
		began := time.Now()
		bound, err := d.runChild(ctx, l, addr, !wasReady)
		switch {
		case errors.Is(err, ErrKilled):
			return err
		case ctx.Err() != nil:
			return err // nil, or that it had to be killed
		case bound != "":
			addr, wasReady = bound, true
		case !wasReady && !moved && l.log.sawAddressInUse():
			host, port, _ := net.SplitHostPort(addr)
			d.opts.Logger.Info("influxd port is taken", "port", port)
			addr, moved = net.JoinHostPort(host, "0"), true
			continue
		case !wasReady:
			return fmt.Errorf("influxd %s did not start: %w; the end of its log:\n%s", l.version, err, l.log.end())
		}
		if time.Since(began) > steadyAfter {
			pause = shortestPause
		}
		d.opts.Logger.Warn("influxd died", "err", err, "restart_in", pause, "log", l.log.path)
		select {
		case <-ctx.Done():
			return nil
		case <-d.kill:
			return ErrKilled
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// runChild runs one child until it has died or ctx is done. It returns the address that the child bound, "" when it
// never answered.
func (d *Influxd) runChild(ctx context.Context, l *launch, addr string, first bool) (bound string, err error) {
	c, err := l.start(addr)
	if err != nil {
		return "", err
	}
	d.setPID(c.pid)
	defer d.setPID(0)
	answers := make(chan error, 1)
	startCtx, cancel := context.WithTimeout(ctx, d.opts.StartTimeout)
	defer cancel()
	go func() { answers <- l.awaitReady(startCtx, c) }()
	for {
		select {
		case <-c.gone:
			return bound, c.err
		case <-d.kill:
			c.kill()
			<-c.gone
			return bound, ErrKilled
		case <-ctx.Done():
			return bound, c.stop(d.opts.StopTimeout)
		case err := <-answers:
			if ctx.Err() != nil {
				return bound, c.stop(d.opts.StopTimeout)
			}
			if err != nil {
				select {
				case <-c.gone: // it died, which says more than that it did not answer
					return "", c.err
				default:
				}
				return "", errors.Join(err, c.stop(d.opts.StopTimeout))
			}
			bound = c.addr
			d.mu.Lock()
			d.addr = bound
			d.mu.Unlock()
			d.opts.Logger.Info("influxd ready", "version", l.version, "addr", bound, "pid", c.pid)
			if first {
				close(d.ready)
			}
		}
	}
}

func (d *Influxd) setPID(pid int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pid = pid
}

// Ready is closed when the server has answered for the first time. URL, Token and Org are known from then on.
func (d *Influxd) Ready() <-chan struct{} { return d.ready }

// WaitReady returns nil when Ready is closed, or an error when ctx is done or Run has ended before.
func (d *Influxd) WaitReady(ctx context.Context) error {
	select {
	case <-d.ready:
		return nil
	case <-d.ended:
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.err != nil {
			return d.err
		}
		return errors.New("influxd was stopped before it was ready")
	case <-ctx.Done():
		return fmt.Errorf("wait for influxd: %w", ctx.Err())
	}
}

// URL is the server's address, such as http://127.0.0.1:8086; empty before Ready.
func (d *Influxd) URL() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.addr == "" {
		return ""
	}
	return "http://" + d.addr
}

// Token is the administrator's credential, empty on a 1.8 without Auth. It is kept in DataDir, readable by the user only.
func (d *Influxd) Token() influx.Token {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cred.Token
}

// Org is the organization on 2.x; empty on 1.8.
func (d *Influxd) Org() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cred.Org
}

// PID is the child's process number, 0 while there is no child.
func (d *Influxd) PID() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pid
}

// Kill ends the child as a power cut would, without a chance to write anything more. It is not started again: Run
// returns ErrKilled.
func (d *Influxd) Kill() { d.once.Do(func() { close(d.kill) }) }

// childEnv is this process's environment without what would override the child's configuration.
func childEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "INFLUXDB_") && !strings.HasPrefix(kv, "INFLUXD_") && !strings.HasPrefix(kv, "INFLUX_") {
			env = append(env, kv)
		}
	}
	return env
}
