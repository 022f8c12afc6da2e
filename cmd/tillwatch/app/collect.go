package app

import (
	"context"
	"fmt"
	"time"

	"github.com/tillwatch/tillwatch/collector"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/config"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/service"
)

type collectCommand struct {
	commonFlags
	natsFlags
	influxFlags
}

// Help is shown below the flags.
func (c *collectCommand) Help() string {
	return `Any number of collectors share the work. An event is acknowledged after the database has it.

Examples:
  tillwatch collect --nats-url nats://nats:4222 --influx-url http://influx:8086
  tillwatch collect --config tillwatch.yaml --validate`
}

// Run collects until ctx ends.
func (c *collectCommand) Run(ctx context.Context, p Process) error {
	var o config.Overrides
	c.commonFlags.fill(&o)
	c.natsFlags.fill(&o)
	c.influxFlags.fill(&o)
	s, err := load(c.Config, o, p)
	if err != nil {
		return err
	}
	if c.Validate {
		return valid(s, p)
	}
	f, err := newFrame(s, p, conditionBus, conditionInflux)
	if err != nil {
		return err
	}
	g := service.NewGroup(service.GroupOptions{StopTimeout: s.Collect.StopTimeout + 10*time.Second, Logger: f.log})
	g.Add("metrics", f.server.Run)
	g.Add("collector", func(ctx context.Context) error {
		conn, err := f.connect(ctx, s, "tillwatch collect")
		if err != nil {
			return err
		}
		defer conn.SyncedClose(context.WithoutCancel(ctx))
		go f.watch(ctx, conn)
		return runCollector(ctx, s, f, conn, p)
	})
	return g.Run(ctx)
}

// runCollector wires and runs a collector on a connection.
func runCollector(ctx context.Context, s *settings, f *frame, conn *bus.Conn, p Process) error {
	db, err := f.database(ctx, s)
	if err != nil {
		return err
	}
	defer db.Close()
	c, err := collector.New(collector.Options{
		Bus: conn, Sink: db,
		Acquirer: func(id string) collector.Acquirer {
			a, configured := s.Acquirer(id)
			return collector.Acquirer{Profile: s.profile(id), Source: fleet.Source(a.Source), Configured: configured}
		},
		Batch: s.Collect.Batch, Writers: s.Collect.Writers, AckWait: s.Collect.AckWait, MaxAckPending: s.Collect.MaxAckPending,
		TerminalsCached: s.Collect.TerminalsCached, StopTimeout: s.Collect.StopTimeout,
		Logger: f.log, Registry: f.registry, Condition: f.health.Set, Pulse: f.pulse, Probe: p.Probe,
	})
	if err != nil {
		return err
	}
	f.log.Info("collector started", "influx", s.Influx.URL)
	return c.Run(ctx)
}

// valid says that a configuration is good.
func valid(s *settings, p Process) error {
	from := s.File()
	if from == "" {
		from = "defaults, environment and flags"
	}
	_, err := fmt.Fprintf(p.Stdout, "configuration is valid (%s): %d acquirers, %d merchants\n", from, len(s.Acquirers), len(s.merchants))
	return err
}
