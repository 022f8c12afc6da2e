package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/config"
	"github.com/tillwatch/tillwatch/internal/simulate"
)

type simulateCommand struct {
	natsFlags
	LogLevel *string `placeholder:"LEVEL" help:"debug, info, warn or error (info)."`

	Terminals  int           `default:"1000" help:"Size of the fleet."`
	Seed       uint64        `default:"1" help:"The same seed gives the same events."`
	Speed      string        `default:"1" placeholder:"X|max" help:"Gaps are divided by it; max leaves none, for ingest load."`
	For        time.Duration `placeholder:"1h" help:"Length in the fleet's own time (files: 1h; NATS: until stopped)."`
	Scenario   string        `type:"existingfile" placeholder:"FILE" help:"YAML of the faults to inject; see docs/simulator.md."`
	Start      time.Time     `placeholder:"TIME" help:"The fleet's first instant, RFC 3339 (files: 2026-11-23T01:00:00Z, a Monday; NATS: now)."`
	Heartbeat  time.Duration `default:"60s" help:"Every terminal's period."`
	Rate       float64       `default:"6" help:"Mean sales per terminal and open hour."`
	Approvals  bool          `default:"true" negatable:"" help:"Send approvals too; without them volume is in the heartbeats' totals only."`
	AlwaysOpen bool          `help:"No opening hours: for demonstrations at night."`

	Out         string `type:"path" placeholder:"FILE" help:"Write events here instead of publishing them."`
	RegistryOut string `type:"path" placeholder:"DIR" help:"Write the registry that fits the fleet (merchants.csv and others)."`
	Truth       string `type:"path" placeholder:"FILE" help:"Write what goes wrong, one fault a line."`

	AcquirerAddr string `placeholder:"HOST:PORT" help:"Serve the acquirers' HTTP API here while the fleet plays."`
}

// Help is shown below the flags.
func (c *simulateCommand) Help() string {
	return `Examples:
  tillwatch simulate --terminals 300 --speed 10 --scenario faults.yaml
  tillwatch simulate --terminals 5000 --for 24h --out day.jsonl --registry-out registry --truth truth.jsonl
  tillwatch simulate --speed max --for 1h --terminals 100000

A scenario:
  faults:
    - {start: 40s, for: 60s, cause: software_conflict, code: "03", rate: 0.8, scope: {acquirer: a1, app: 2.4.1}}`
}

// Run plays the fleet.
func (c *simulateCommand) Run(ctx context.Context, p Process) error {
	speed, full := 1.0, c.Speed == "max"
	if !full {
		var err error
		if speed, err = strconv.ParseFloat(c.Speed, 64); err != nil || speed <= 0 {
			return fmt.Errorf("--speed is %q, want a number above 0, or max", c.Speed)
		}
	}
	o := simulate.Options{
		Terminals: c.Terminals, Seed: c.Seed, Start: c.Start, Heartbeat: c.Heartbeat, Rate: c.Rate,
		Approvals: c.Approvals, AlwaysOpen: c.AlwaysOpen,
	}
	if c.Out == "" && o.Start.IsZero() {
		o.Start = time.Now() // opening hours are those of the clock
	}
	if c.Scenario != "" {
		data, err := os.ReadFile(c.Scenario)
		if err != nil {
			return fmt.Errorf("read scenario: %w", err)
		}
		if o.Scenario, err = simulate.ParseScenario(c.Scenario, data); err != nil {
			return err
		}
	}
	f, err := simulate.New(o)
	if err != nil {
		return err
	}
	if c.RegistryOut != "" {
		if err := f.WriteRegistry(c.RegistryOut); err != nil {
			return err
		}
		fmt.Fprintf(p.Stderr, "registry written to %s\n", c.RegistryOut)
	}
	if c.Out != "" {
		if c.Truth != "" {
			if err := writeFile(c.Truth, func(w io.Writer) error { return simulate.WriteTruth(w, f) }); err != nil {
				return err
			}
		}
		length := c.For
		if length == 0 {
			length = time.Hour
		}
		var sum simulate.Summary
		err := writeFile(c.Out, func(w io.Writer) (err error) { sum, err = simulate.WriteEvents(w, f, length); return err })
		if err != nil {
			return err
		}
		fmt.Fprintln(p.Stderr, "simulate:", sum)
		return nil
	}
	sum, err := c.play(ctx, p, f, simulate.RunOptions{Speed: speed, Max: full, For: c.For, Progress: p.Stderr})
	if c.Truth == "" || sum.Began.IsZero() {
		return err
	}
	// What went wrong, and when by the clock, is known once the fleet was played.
	return errors.Join(err, writeFile(c.Truth, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		for _, t := range f.Truth(sum.Began, speed) {
			if err := enc.Encode(t); err != nil {
				return err
			}
		}
		return nil
	}))
}

// play publishes the fleet and ends when everything is acknowledged, or ctx ends.
func (c *simulateCommand) play(ctx context.Context, p Process, f *simulate.Fleet, run simulate.RunOptions) (sum simulate.Summary, err error) {
	var ov config.Overrides
	c.natsFlags.fill(&ov)
	ov.LogLevel = c.LogLevel
	s, err := load("", ov, p)
	if err != nil {
		return sum, err
	}
	fr, err := newFrame(s, p, conditionBus)
	if err != nil {
		return sum, err
	}
	if c.AcquirerAddr != "" {
		l, err := net.Listen("tcp", c.AcquirerAddr)
		if err != nil {
			return sum, fmt.Errorf("serve the acquirers: %w", err)
		}
		fmt.Fprintf(p.Stderr, "acquirers answer at http://%s/v1/acquirers/{acquirer}/merchants/{merchant}\n", l.Addr())
		stop := serve(l, simulate.NewAcquirerServer(f, simulate.AcquirerOptions{}))
		defer stop()
	}
	conn, err := fr.connect(ctx, s, "tillwatch simulate")
	if err != nil {
		return sum, err
	}
	defer conn.Close()
	return publishFleet(ctx, fr, conn, f, run)
}

// publishFleet plays a fleet over the bus; what is not acknowledged at the end is waited for.
func publishFleet(ctx context.Context, fr *frame, conn *bus.Conn, f *simulate.Fleet, run simulate.RunOptions) (simulate.Summary, error) {
	pub, err := conn.NewPublisher(bus.PublisherOptions{Troubled: func(err error, waiting int) {
		fr.log.Warn("events not taken, keeping them", "waiting", waiting, "err", err)
	}})
	if err != nil {
		return simulate.Summary{}, err
	}
	defer pub.Close()
	run.Publish = func(ctx context.Context, subject, id string, body []byte) error {
		return pub.Publish(ctx, bus.Message{Subject: subject, ID: id, Data: body})
	}
	sum, err := f.Run(ctx, run)
	if err != nil {
		return sum, err
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return sum, pub.Flush(flush)
}

// serve answers HTTP on a listener until stop is called.
func serve(l net.Listener, h http.Handler) (stop func()) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }() // ends with ErrServerClosed
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			srv.Close()
		}
		<-done
	}
}

func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	if err := write(w); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return w.Flush()
}
