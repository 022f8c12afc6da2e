package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/config"
	"github.com/tillwatch/tillwatch/internal/embedded"
	"github.com/tillwatch/tillwatch/internal/service"
)

type upCommand struct {
	commonFlags
	influxFlags
	alertFlags
	Demo    bool   `help:"Play a fleet of 300 terminals with two faults, and show what Tillwatch says of them."`
	DataDir string `type:"path" placeholder:"DIR" help:"Where state lives (tillwatch, or tillwatch-demo, in the user's data folder)."`
	Influxd string `type:"path" placeholder:"PATH" help:"An influxd of 1.8 or 2.x to run (the one on PATH; else 1.8.10 is built once, which takes a minute)."`
}

// Help is shown below the flags.
func (c *upCommand) Help() string {
	return `Nothing but Go has to be there. NATS listens on 127.0.0.1:4222 and InfluxDB on 127.0.0.1:8086 where these ports are free; the addresses are in DIR/endpoints.json. State survives a restart. With --influx-url that server is used instead of a child.

Examples:
  tillwatch up --demo
  tillwatch up --data-dir /var/lib/tillwatch --config tillwatch.yaml
  tillwatch up --influxd /usr/bin/influxd`
}

// Run runs everything until ctx ends.
func (c *upCommand) Run(ctx context.Context, p Process) error {
	var o config.Overrides
	c.commonFlags.fill(&o)
	c.influxFlags.fill(&o)
	c.alertFlags.fill(&o)
	if c.Demo {
		demoDefaults(&o)
	}
	s, err := load(c.Config, o, p)
	if err != nil {
		return err
	}
	if err := s.alertable(); err != nil {
		return err
	}
	if c.Validate {
		return valid(s, p)
	}
	dir, err := c.dataDir()
	if err != nil {
		return err
	}
	lock, err := embedded.LockDir(dir)
	if err != nil {
		return err
	}
	defer lock.Unlock()

	if o.MetricsAddr == nil && s.File() == "" {
		s.MetricsAddr = embedded.FreeAddr(s.MetricsAddr)
	}
	f, err := newFrame(s, p, conditionBus, conditionInflux, conditionAlerts, conditionSlack)
	if err != nil {
		return err
	}
	u := &machine{c: c, s: s, f: f, p: p, dir: dir, external: s.Influx.URL != config.Default().Influx.URL || o.InfluxURL != nil}
	return u.run(ctx)
}

// dataDir is DIR, or a folder of the user's.
func (c *upCommand) dataDir() (string, error) {
	if c.DataDir != "" {
		return c.DataDir, nil
	}
	name := "tillwatch"
	if c.Demo {
		name = "tillwatch-demo"
	}
	if base := os.Getenv("XDG_DATA_HOME"); base != "" {
		return filepath.Join(base, name), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the user's data folder: %w; name one with --data-dir", err)
	}
	return filepath.Join(home, ".local", "share", name), nil
}

// machine is everything on one machine.
type machine struct {
	c        *upCommand
	s        *settings
	f        *frame
	p        Process
	dir      string
	external bool // the database is somebody else's
	influxd  *embedded.Influxd
}

// run starts what others need first: NATS, then the database, then collector and alerter, then the demonstration. They
// stop in reverse.
func (m *machine) run(ctx context.Context) error {
	if !m.external {
		bin, err := m.findInfluxd(ctx)
		if err != nil {
			return err
		}
		m.influxd, err = embedded.NewInfluxd(embedded.InfluxdOptions{Binary: bin, DataDir: filepath.Join(m.dir, "influx"), Logger: m.f.log})
		if err != nil {
			return err
		}
	}
	nats, err := embedded.NewNATS(embedded.NATSOptions{DataDir: m.dir, Logger: m.f.log})
	if err != nil {
		return err
	}
	if err := nats.Start(); err != nil {
		return err
	}
	defer nats.Stop()
	m.s.NATS.URL = nats.URL()
	m.s.Streams = oneMachine(m.s.Streams)

	conn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.SyncedClose(context.WithoutCancel(ctx))

	d, err := m.newDemo()
	if err != nil {
		return err
	}
	defer d.stop()

	g := service.NewGroup(service.GroupOptions{StopTimeout: m.s.Collect.StopTimeout + m.s.Alert.StopTimeout + 30*time.Second, Logger: m.f.log})
	g.Add("metrics", m.f.server.Run)
	ready := make(chan struct{})
	if m.influxd != nil {
		g.Add("influxd", m.influxd.Run)
	}
	g.Add("collector", func(ctx context.Context) error {
		if m.influxd != nil {
			if err := m.influxd.WaitReady(ctx); err != nil {
				return err
			}
			m.s.Influx.URL, m.s.Influx.Org = m.influxd.URL(), m.influxd.Org()
			m.s.Influx.Token = config.Secret(m.influxd.Token().Reveal())
		}
		select {
		case <-m.f.server.Ready():
		case <-ctx.Done():
			return nil
		}
		if err := m.announce(); err != nil {
			return err
		}
		close(ready)
		return runCollector(ctx, m.s, m.f, conn, m.p)
	})
	g.Add("alerter", func(ctx context.Context) error { return runAlerter(ctx, m.s, m.f, conn, m.p) })
	if d != nil {
		g.Add("demo", func(ctx context.Context) error {
			select {
			case <-ready:
			case <-ctx.Done():
				return nil
			}
			return d.run(ctx, conn)
		})
	}
	return g.Run(ctx)
}

// oneMachine makes the streams smaller where nobody has said how large they are to be: a server reserves their sum of
// the free disk.
func oneMachine(s config.Streams) config.Streams {
	s.Replicas = 1
	d := config.Default().Streams
	smaller := func(v *config.Bytes, def, small config.Bytes) {
		if *v == def {
			*v = small
		}
	}
	smaller(&s.TxnMaxBytes, d.TxnMaxBytes, 2*config.GiB)
	smaller(&s.HBMaxBytes, d.HBMaxBytes, 512*config.MiB)
	smaller(&s.DerivedMaxBytes, d.DerivedMaxBytes, 256*config.MiB)
	smaller(&s.ControlMaxBytes, d.ControlMaxBytes, 256*config.MiB)
	smaller(&s.DLQMaxBytes, d.DLQMaxBytes, 64*config.MiB)
	return s
}

func (m *machine) connect(ctx context.Context) (*bus.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return m.f.connect(ctx, m.s, "tillwatch up")
}

// findInfluxd takes the one named, the one on PATH, or builds one.
func (m *machine) findInfluxd(ctx context.Context) (string, error) {
	bin, version, err := embedded.FindInfluxd(ctx, m.c.Influxd)
	if errors.Is(err, embedded.ErrNoInfluxd) {
		return embedded.BuildInflux18(ctx, embedded.BuildOptions{
			Progress: func(line string) { fmt.Fprintln(m.p.Stderr, line) }, Logger: m.f.log,
		})
	}
	if err != nil {
		return "", err
	}
	m.f.log.Info("using influxd", "path", bin, "version", version)
	return bin, nil
}
