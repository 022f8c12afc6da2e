package collector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tillwatch/tillwatch/collector"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/fleettest/natstest"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

func TestMain(m *testing.M) {
	natstest.Main()
	os.Exit(m.Run())
}

// patience is how long a test waits for what must happen; it is never measured.
const patience = 90 * time.Second

// rig is a bus and a database with what tests ask of them.
type rig struct {
	t       *testing.T
	url     string
	bus     *bus.Conn
	pub     *bus.Publisher
	db      *influx.Client // nil without a database
	ackWait time.Duration
}

// newRig starts NATS in this process. s may be nil.
func newRig(t *testing.T, s *influxtest.Server) *rig {
	t.Helper()
	r := newRigAt(t, natstest.Start(t).URL())
	if s != nil {
		r.db = s.Client(t)
		if err := r.db.EnsureBuckets(t.Context(), schema.Buckets); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func newRigAt(t *testing.T, url string) *rig {
	t.Helper()
	r := &rig{t: t, url: url, bus: natstest.Connect(t, url), ackWait: time.Minute}
	var err error
	if r.pub, err = r.bus.NewPublisher(bus.PublisherOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.pub.Close)
	return r
}

// running is one collector process.
type running struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan struct{}
	err    error // what Run returned; read after done
	reg    *prometheus.Registry
	log    *lockedBuffer

	mu         sync.Mutex // guards everything below
	conditions map[string][]error
}

func acquirerOf(id string) collector.Acquirer {
	name, source := fleet.ProfileUnionPay, fleet.SourceTerminal
	switch id {
	case "a2":
		source = fleet.SourceSwitch
	case "a3":
		name = fleet.ProfileISO8583
	}
	p, err := fleet.LookupProfile(name)
	if err != nil {
		panic(err)
	}
	return collector.Acquirer{Profile: p, Source: source, Configured: strings.HasPrefix(id, "a")}
}

// start runs a collector with a connection of its own; change may alter its options.
func (r *rig) start(change func(o *collector.Options)) *running {
	r.t.Helper()
	conn, err := bus.Connect(r.t.Context(), bus.Options{URL: r.url, Name: "collector"})
	if err != nil {
		r.t.Fatal(err)
	}
	c := &running{t: r.t, done: make(chan struct{}), reg: prometheus.NewRegistry(), log: &lockedBuffer{}, conditions: map[string][]error{}}
	o := collector.Options{
		Bus: conn, Sink: r.db, Acquirer: acquirerOf, AckWait: r.ackWait, Linger: 20 * time.Millisecond, Registry: c.reg,
		Logger: slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Condition: func(name string, err error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.conditions[name] = append(c.conditions[name], err)
		},
	}
	if change != nil {
		change(&o)
	}
	col, err := collector.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go func() {
		defer close(c.done)
		c.err = col.Run(ctx)
		// As the process does it: what was acknowledged last must reach the server.
		flush, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		if err := conn.SyncedClose(flush); c.err == nil {
			c.err = err
		}
	}()
	r.t.Cleanup(func() {
		if ctx.Err() == nil {
			select {
			case <-c.done:
				r.t.Errorf("Run ended by itself: %v", c.err)
			default:
			}
		}
		cancel()
		<-c.done
	})
	return c
}

// stop ends the collector in good order.
func (c *running) stop() {
	c.t.Helper()
	c.cancel()
	c.wait()
}

func (c *running) wait() {
	c.t.Helper()
	select {
	case <-c.done:
		if c.err != nil {
			c.t.Errorf("Run: %v", c.err)
		}
	case <-time.After(patience):
		c.t.Fatal("Run has not returned")
	}
}

// lastCondition returns how often what was said of name was an error, and the last that was said.
func (c *running) lastCondition(name string) (errs int, last error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, err := range c.conditions[name] {
		if last = err; err != nil {
			errs++
		}
	}
	return errs, last
}

// counter sums the series of a counter that have these labels, given as name, value, name, value.
func (c *running) counter(name string, labels ...string) int {
	c.t.Helper()
	families, err := c.reg.Gather()
	if err != nil {
		c.t.Fatal(err)
	}
	total := 0.0
	for _, f := range families {
		if f.GetName() != "tillwatch_collector_"+name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue series
				}
			}
			total += m.GetCounter().GetValue()
		}
	}
	return int(total)
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// eventually waits for what must come true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not seen: %s", what)
		case <-poll.C:
		}
	}
}

// send publishes messages and waits for the server to have them.
func (r *rig) send(messages ...bus.Message) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for _, m := range messages {
		if err := r.pub.Publish(ctx, m); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := r.pub.Flush(ctx); err != nil {
		r.t.Fatal(err)
	}
}

var durables = map[string]string{bus.StreamTxn: "collector-txn", bus.StreamHB: "collector-hb", bus.StreamDerived: "collector-derived"}

// consumer opens the collectors' own durable consumer of a stream.
func (r *rig) consumer(stream string) *bus.Consumer {
	r.t.Helper()
	c, err := r.bus.Consumer(r.t.Context(), stream, durables[stream], bus.ConsumerOptions{AckWait: r.ackWait})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) lag(stream string) bus.Lag {
	r.t.Helper()
	lag, err := r.consumer(stream).Lag(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return lag
}

// drained waits until every message of every stream was taken and ended, as long as that goes on.
func (r *rig) drained() {
	r.t.Helper()
	for stream := range durables {
		for lag := r.lag(stream); lag != (bus.Lag{}); {
			before := lag
			eventually(r.t, fmt.Sprintf("stream %s drained, beyond %+v", stream, before), func() bool { lag = r.lag(stream); return lag != before })
		}
	}
}

// stored returns the messages of a stream by sequence.
func (r *rig) stored(stream string) map[uint64]bus.Stored {
	r.t.Helper()
	all := map[uint64]bus.Stored{}
	if _, err := r.bus.Each(r.t.Context(), stream, ">", func(s bus.Stored) error { all[s.Seq] = s; return nil }); err != nil {
		r.t.Fatal(err)
	}
	return all
}

type letter struct {
	bus.DeadLetter
	subject string // its own
}

func (r *rig) deadLetters() []letter {
	r.t.Helper()
	var out []letter
	_, err := r.bus.Each(r.t.Context(), bus.StreamDLQ, ">", func(s bus.Stored) error {
		l := letter{subject: s.Subject}
		out = append(out, l)
		return json.Unmarshal(s.Data, &out[len(out)-1].DeadLetter)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) noDeadLetters() {
	r.t.Helper()
	for _, l := range r.deadLetters() {
		r.t.Errorf("dead letter: %+v", l)
	}
}

// sinkFunc is a Sink made of a function.
type sinkFunc func(ctx context.Context, bucket string, lines []byte) error

func (f sinkFunc) Write(ctx context.Context, bucket string, lines []byte) error {
	return f(ctx, bucket, lines)
}
