package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tillwatch/tillwatch/collector/point"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Sink stores line protocol.
type Sink interface {
	// Write stores whole lines in a bucket, times in nanoseconds, and returns when the database has them or has
	// refused. It must not keep lines. Errors are *influx.Error; writing the same lines again must be harmless.
	Write(ctx context.Context, bucket string, lines []byte) error
}

// Acquirer is what the collector has to know of an acquirer.
type Acquirer struct {
	Profile    *fleet.Profile
	Source     fleet.Source // the authoritative one; the other's events are dropped and counted
	Configured bool         // false: these are defaults, which is said once
}

// Options wires a collector. Bus, Sink and Acquirer are required; other zero values take the defaults in parentheses.
type Options struct {
	Bus      *bus.Conn
	Sink     Sink
	Acquirer func(id string) Acquirer

	Batch           int           // messages a write (2,000)
	Writers         int           // lanes of TXN and of HB, each with one write at a time (2)
	Linger          time.Duration // longest wait for a batch to fill (250 ms)
	AckWait         time.Duration // (60 s)
	MaxAckPending   int           // over all processes (100,000)
	TerminalsCached int           // whose slow facts are remembered (150,000)
	StopTimeout     time.Duration // for the batches in hand when Run is stopped (20 s)

	Logger   *slog.Logger          // nil discards
	Registry prometheus.Registerer // nil registers nowhere

	// Condition is told when something an operator must know begins (err) and ends (nil): "influx" while writes are
	// refused or unanswered, "bus" while nothing can be fetched.
	Condition func(name string, err error)
	// Pulse starts to watch a lane, which then beats at least every few seconds, also while it waits for the database. nil
	// watches nobody.
	Pulse func(lane string) (beat, stop func())
	// Probe is called at named points between two steps that a crash could separate; tests stop the process there.
	Probe func(at string)
}

// Points between two steps at which Options.Probe is called.
const (
	ProbeWritten      = "written"       // the database has the batch, nothing is acknowledged
	ProbeDeadLettered = "dead_lettered" // the dead letter is stored, the original is not terminated
	ProbeRedacted     = "redacted"      // the redacted copy is stored, the original is not erased
)

// Collector moves the streams into the database.
type Collector struct {
	o   Options
	m   *metrics
	log *slog.Logger

	telling sync.Mutex // held while Condition is told; taken before mu

	mu      sync.Mutex // guards everything below
	facts   *point.Facts
	unknown map[string]bool             // acquirers without configuration that were reported
	trouble map[string]map[string]error // by condition and source, what fails now
}

// report notes that a source (a lane, or a lane and its bucket) of a condition fails or works, and passes on whether any
// source fails: one lane that works says nothing of another's.
func (c *Collector) report(condition, source string, err error) {
	c.telling.Lock() // so that what is told comes in the order in which it was found out
	defer c.telling.Unlock()
	c.mu.Lock()
	failing := c.trouble[condition]
	if failing == nil {
		failing = map[string]error{}
		c.trouble[condition] = failing
	}
	if err != nil {
		failing[source] = err
	} else {
		delete(failing, source)
		for _, other := range failing {
			err = other
			break
		}
	}
	c.mu.Unlock()
	c.o.Condition(condition, err)
}

// New validates the options.
func New(o Options) (*Collector, error) {
	var errs []error
	if o.Bus == nil {
		errs = append(errs, errors.New("collector: no bus"))
	}
	if o.Sink == nil {
		errs = append(errs, errors.New("collector: no sink"))
	}
	if o.Acquirer == nil {
		errs = append(errs, errors.New("collector: no acquirers"))
	}
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Batch, 2000)
	def(&o.Writers, 2)
	def(&o.MaxAckPending, 100_000)
	def(&o.TerminalsCached, 150_000)
	defd := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	defd(&o.Linger, 250*time.Millisecond)
	defd(&o.AckWait, time.Minute)
	defd(&o.StopTimeout, 20*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Condition == nil {
		o.Condition = func(string, error) {}
	}
	if o.Pulse == nil {
		o.Pulse = func(string) (beat, stop func()) { return func() {}, func() {} }
	}
	if o.Probe == nil {
		o.Probe = func(string) {}
	}
	c := &Collector{o: o, log: o.Logger, facts: point.NewFacts(o.TerminalsCached), unknown: map[string]bool{}, trouble: map[string]map[string]error{}}
	c.m = newMetrics(o.Registry)
	return c, errors.Join(errs...)
}

// Durable names of the consumers that all collectors share.
const (
	durableTxn     = "collector-txn"
	durableHB      = "collector-hb"
	durableDerived = "collector-derived"
)

// Run moves events until ctx ends; then the batches in hand are finished, within StopTimeout, and what could not be
// written stays in its stream.
func (c *Collector) Run(ctx context.Context) error {
	type road struct {
		stream, durable string
		workers         int
		encode          encoder
	}
	roads := []road{
		{bus.StreamTxn, durableTxn, c.o.Writers, c.encodeEvent},
		{bus.StreamHB, durableHB, c.o.Writers, c.encodeEvent},
		{bus.StreamDerived, durableDerived, 1, c.encodeDerived},
	}
	// Work in hand outlives ctx by StopTimeout.
	finish, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		t := time.AfterFunc(c.o.StopTimeout, cancel)
		context.AfterFunc(finish, func() { t.Stop() })
	})()

	var lanes []*lane
	for _, r := range roads {
		cons, err := c.o.Bus.Consumer(ctx, r.stream, r.durable, bus.ConsumerOptions{AckWait: c.o.AckWait, MaxAckPending: c.o.MaxAckPending})
		if err != nil {
			return err
		}
		for n := range r.workers {
			lanes = append(lanes, &lane{c: c, stream: r.stream, durable: r.durable, name: fmt.Sprintf("%s lane %d", r.stream, n+1), cons: cons, encode: r.encode, lines: map[string]*lines{}})
		}
	}
	var wg sync.WaitGroup
	for _, l := range lanes {
		wg.Go(func() { l.run(ctx, finish) })
	}
	wg.Wait()
	return nil
}

// acquirer looks an acquirer up and reports, once, one that is not configured.
func (c *Collector) acquirer(id string) Acquirer {
	a := c.o.Acquirer(id)
	if !a.Configured {
		c.mu.Lock()
		first := !c.unknown[id] && len(c.unknown) < 1000
		if first {
			c.unknown[id] = true
		}
		c.mu.Unlock()
		if first {
			c.log.Warn("acquirer not configured, using defaults", "acquirer", id, "hint", "add it under acquirers in the configuration")
		}
	}
	return a
}
