package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/tillwatch/tillwatch/internal/influx"
)

// launch is what every child of one Run has in common.
type launch struct {
	binary  string
	major   int
	version string
	dir     string // absolute
	cred    credentials
	newCred bool // the credentials were made by this Run
	log     *childLog
}

// child is one process.
type child struct {
	pid   int
	proc  *os.Process
	bound chan string   // gets the address once, when the child says that it listens
	addr  string        // the address received from bound
	gone  chan struct{} // closed when the process has ended
	err   error         // how it ended; read after gone
}

// start runs a child that listens on addr.
func (l *launch) start(addr string) (*child, error) {
	args, err := l.arguments(addr)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(args[0], args[1:]...) // #nosec G204 -- the influxd that was named or built
	cmd.Dir = l.dir                           // 2.x would read a config file of the folder it starts in
	cmd.Env = childEnv()
	cmd.SysProcAttr = childAttr()
	cmd.WaitDelay = 5 * time.Second
	c := &child{bound: make(chan string, 1), gone: make(chan struct{})}
	l.log.watch(func(addr string) {
		select {
		case c.bound <- addr:
		default:
		}
	})
	cmd.Stdout, cmd.Stderr = l.log, l.log

	started := make(chan error)
	go func() {
		// On Linux the child is to die with its parent, which for the kernel is the thread that started it; so that
		// thread is held for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			c.proc, c.pid = cmd.Process, cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		if c.err == nil {
			c.err = errors.New("it ended by itself")
		}
		close(c.gone)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start influxd: %w", err)
	}
	return c, nil
}

// stop asks the child to stop and kills it after a while. It returns nil when the child stopped in time.
func (c *child) stop(within time.Duration) error {
	if err := c.proc.Signal(syscall.SIGTERM); err != nil {
		c.kill() // a system without SIGTERM; or it has ended already
	}
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-c.gone:
		return nil
	case <-late.C:
		c.kill()
		<-c.gone
		return fmt.Errorf("influxd did not stop within %s and was killed", within)
	}
}

func (c *child) kill() { _ = c.proc.Kill() }

// awaitReady returns nil when the child answers and has its first account. The child says itself where it listens:
// another server that answers on a port is never mistaken for it.
func (l *launch) awaitReady(ctx context.Context, c *child) error {
	select {
	case c.addr = <-c.bound:
	case <-c.gone:
		return errors.New("it ended before it listened")
	case <-ctx.Done():
		return errors.New("it did not say in time that it listens")
	}
	client, err := influx.New(influx.Options{URL: "http://" + c.addr, Token: l.cred.Token, Org: l.cred.Org, Timeout: 10 * time.Second})
	if err != nil {
		return err
	}
	defer client.Close()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		err := l.setUp(ctx, client)
		if err == nil || influx.ClassOf(err) != influx.Transient {
			return err
		}
		select {
		case <-c.gone:
			return errors.New("it ended before it answered")
		case <-ctx.Done():
			return fmt.Errorf("it did not answer in time: %w", err)
		case <-poll.C:
		}
	}
}

func (l *launch) setUp(ctx context.Context, client *influx.Client) error {
	if err := client.Ready(ctx); err != nil {
		return err
	}
	if l.cred.Token == "" {
		return nil
	}
	_, err := client.Setup(ctx, influx.Admin{User: l.cred.User, Password: l.cred.Password, Org: l.cred.Org, Bucket: "default", Token: l.cred.Token})
	if err != nil {
		return err
	}
	// Whether Setup made the account just now, before a crash, or in a request whose answer was lost: it opens.
	_, err = client.Query(ctx, "", "SHOW DATABASES")
	if influx.ClassOf(err) != influx.Unauthorised {
		return err
	}
	if l.newCred {
		_ = os.Remove(filepath.Join(l.dir, credentialsFile)) // it opens nothing
	}
	return fmt.Errorf("the data in %s was set up by somebody else, and its token is not known here: use another directory, or run that server yourself and give its URL and token", l.dir)
}

// arguments is the command line of a child that listens on addr.
func (l *launch) arguments(addr string) ([]string, error) {
	if l.major == 2 {
		in := func(name string) string { return filepath.Join(l.dir, name) }
		return []string{
			l.binary, "run", "--reporting-disabled", "--http-bind-address", addr, "--bolt-path", in("influxd.bolt"),
			"--sqlite-path", in("influxd.sqlite"), "--engine-path", in("engine"), "--pprof-disabled", "--log-level", "info",
		}, nil
	}
	path := filepath.Join(l.dir, "influxdb.conf")
	if err := os.WriteFile(path, []byte(config18(l.dir, addr, l.cred.Token != "")), 0o600); err != nil {
		return nil, fmt.Errorf("write influxdb.conf: %w", err)
	}
	return []string{l.binary, "run", "-config", path}, nil
}

// config18 is the configuration of a 1.8. What it sets differs from the server's defaults or must not change with them.
func config18(dir, addr string, auth bool) string {
	quote := func(parts ...string) string {
		// TOML's basic strings escape as Go's do for what a path holds.
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(filepath.Join(parts...)) + `"`
	}
	return fmt.Sprintf(`# Written by tillwatch at every start; changes here are lost.
reporting-disabled = true
bind-address = "127.0.0.1:0" # backup and restore

[meta]
  dir = %s

[data]
  dir = %s
  wal-dir = %s
  wal-fsync-delay = "0s" # an acknowledged write is on the disk
  index-version = "tsi1" # as in 2.x: on disk, not in memory
  cache-max-memory-size = "1g"
  cache-snapshot-memory-size = "25m"
  max-series-per-database = 0
  max-values-per-tag = 0 # a fleet has more than 100,000 terminals
  query-log-enabled = false

[coordinator]
  query-timeout = "60s"

[monitor]
  store-enabled = false

[subscriber]
  enabled = false

[continuous_queries]
  enabled = false

[http]
  bind-address = "%s"
  auth-enabled = %t
  flux-enabled = false
  log-enabled = false
  pprof-enabled = false
  max-body-size = 25000000

[logging]
  format = "logfmt"
  level = "info"
  suppress-logo = true
`, quote(dir, "meta"), quote(dir, "data"), quote(dir, "wal"), addr, auth)
}
