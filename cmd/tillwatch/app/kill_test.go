package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/alerter/pipeline"
	"github.com/tillwatch/tillwatch/cmd/tillwatch/app"
	"github.com/tillwatch/tillwatch/collector"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/fleettest/natstest"
	"github.com/tillwatch/tillwatch/internal/fleettest/slacktest"
)

// The test binary is also the program under test: started with killEnv it runs a command line of Tillwatch and, where
// a point is named, kills itself there.
const (
	roleEnv = "TILLWATCH_TEST_ROLE" // app
	killEnv = "TILLWATCH_TEST_KILL" // point:n, the n-th time it is reached
)

func TestMain(m *testing.M) {
	natstest.Main()
	if os.Getenv(roleEnv) == "app" {
		os.Exit(runApp())
	}
	os.Exit(m.Run())
}

func runApp() int {
	p := app.Process{Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr}
	if point, count, ok := strings.Cut(os.Getenv(killEnv), ":"); ok {
		n, _ := strconv.ParseInt(count, 10, 64)
		var hits atomic.Int64
		p.Probe = func(at string) {
			if at == point && hits.Add(1) == n {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // the signal is on its way
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // the parent asks for a graceful end by closing stdin
		_, _ = os.Stdin.Read(make([]byte, 1))
		cancel()
	}()
	return app.Run(ctx, os.Args[1:], p)
}

// load is what the kill test publishes, with the ids it has to find again.
type load struct {
	mu         sync.Mutex // guards everything below
	declines   map[string]bool
	approvals  map[string]bool
	heartbeats map[string]int64 // sequence by terminal: all from 1 on
	bad        map[string]bool
	cards      int // of the declines, those with a card number in them
	faults     int
}

const killAcquirers = 3

// publisher publishes its part of the load at a steady pace: of ten events six heartbeats, two approvals, one decline
// of an everyday code, one decline that is watched or, rarely, a message that cannot be used.
func (l *load) publisher(ctx context.Context, t *testing.T, url string, part, events int, pace time.Duration) {
	c, err := bus.Connect(ctx, bus.Options{URL: url, Name: fmt.Sprintf("publisher %d", part), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	pub, err := c.NewPublisher(bus.PublisherOptions{Timeout: 3 * time.Second})
	if err != nil {
		t.Error(err)
		return
	}
	defer pub.Close()
	rng := rand.New(rand.NewPCG(7, uint64(part)))
	boot := time.Now().Unix()
	const terminals = 250
	seq := make([]int64, terminals)
	next := time.Now()
	for i := range events {
		n := rng.IntN(terminals)
		k := fleet.Key{Acquirer: fmt.Sprintf("k%d", n%killAcquirers), Terminal: fmt.Sprintf("P%02d%05d", part, n)}
		id := fmt.Sprintf("%d-%d-%d", boot, part, i)
		now := time.Now().UnixMilli()
		var m bus.Message
		txn := func(code string) {
			m.ID = k.TxnMsgID(fleet.SourceTerminal, id)
			m.Data = fmt.Appendf(nil, `{"ts":%d,"id":%q,"merchant":"89844015311%04d","code":%q,"type":"sale","amount":%d,"currency":"CNY","app":"2.4.1"}`, now, id, n, code, rng.IntN(100000))
		}
		kind := fleet.KindTxn
		l.mu.Lock()
		switch draw := rng.IntN(1000); {
		case draw < 600:
			kind = fleet.KindHeartbeat
			seq[n]++
			l.heartbeats[k.String()] = seq[n]
			m.ID = k.HeartbeatMsgID(boot, seq[n])
			m.Data = fmt.Appendf(nil, `{"ts":%d,"every_s":60,"boot":%d,"seq":%d,"merchant":"89844015311%04d","model":"A920","app":"2.4.1","net":{"type":"4g","rssi":-71,"rtt_ms":80,"host_ok":true},"health":{"printer":"ok","battery":%d},"totals":{"approved":%d,"declined":3}}`, boot*1000+seq[n], boot, seq[n], n, rng.IntN(100), seq[n])
		case draw < 800:
			txn("00")
			l.approvals[id] = true
		case draw < 997:
			txn([]string{"51", "55", "61", "91"}[rng.IntN(4)])
			l.declines[id] = true
			if draw == 996 { // a sender that breaks the rules: the event is kept, the number is not
				m.Data = append(m.Data[:len(m.Data)-1], `,"note":"6222021234567890128"}`...)
				l.cards++
			}
		default:
			m.ID = k.TxnMsgID(fleet.SourceTerminal, id)
			m.Data = fmt.Appendf(nil, `{"ts":%d,"id":%q,"code":"3 %d"}`, now, id, draw)
			l.bad[id] = true
		}
		l.mu.Unlock()
		m.Subject = k.Subject(kind)
		if err := pub.Publish(ctx, m); err != nil {
			t.Error(err)
			return
		}
		if next = next.Add(pace); time.Until(next) > 5*time.Millisecond {
			pauseTest(time.Until(next))
		}
	}
	if err := pub.Flush(ctx); err != nil {
		t.Errorf("publisher %d: %v", part, err)
	}
}

// pauseTest paces a publisher.
func pauseTest(d time.Duration) { <-time.After(d) }

// fault publishes declines with 03 by ten terminals of an acquirer of its own: one wide incident.
func (l *load) fault(ctx context.Context, t *testing.T, pub *bus.Publisher, n int) {
	boot := time.Now().UnixNano()
	for i := range 10 {
		k := fleet.Key{Acquirer: fmt.Sprintf("f%d", n), Terminal: fmt.Sprintf("F%07d", i)}
		id := fmt.Sprintf("fault-%d-%d-%d", n, i, boot)
		body := fmt.Appendf(nil, `{"ts":%d,"id":%q,"merchant":"89844015399%04d","code":"03","app":"9.9.%d"}`, time.Now().UnixMilli(), id, i, n)
		l.mu.Lock()
		l.declines[id] = true
		l.mu.Unlock()
		if err := pub.Publish(ctx, bus.Message{Subject: k.Subject(fleet.KindTxn), ID: k.TxnMsgID(fleet.SourceTerminal, id), Data: body}); err != nil {
			t.Error(err)
		}
	}
	l.mu.Lock()
	l.faults++
	l.mu.Unlock()
}

// systemEnv switches the long tests of whole systems on; they run in a pass of their own.
const systemEnv = "TILLWATCH_SYSTEM"

func systemTest(t *testing.T) {
	t.Helper()
	if os.Getenv(systemEnv) == "" {
		t.Skip("SKIP: a system test runs in a pass of its own, with " + systemEnv + "=1")
	}
}

// TestSystemKill kills everything, at random and at the points where a crash could separate two steps, and accounts for
// every event by id.
func TestSystemKill(t *testing.T) {
	systemTest(t)
	t.Run("1.8", func(t *testing.T) { killTest(t, influxtest.Start18(t), 200_000, 70*time.Second) })
	t.Run("2.9", func(t *testing.T) { killTest(t, influxtest.Start29(t), 40_000, 25*time.Second) })
}

func killTest(t *testing.T, db *influxtest.Server, events int, over time.Duration) {
	const seed = 20261124
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	nats := natstest.Child(t)
	people := slacktest.Start(t, slacktest.Options{Token: "xoxb-test", Channels: []string{"C0KILL"}, Visible: 2 * time.Second})

	dir := t.TempDir()
	cfg := filepath.Join(dir, "tillwatch.yaml")
	write(t, cfg, `
acquirers:
  k0: {volume: approvals}
  k1: {volume: approvals}
  k2: {volume: approvals}
streams: {txn_max_bytes: 1GiB, hb_max_bytes: 1GiB, derived_max_bytes: 64MiB, control_max_bytes: 64MiB, dlq_max_bytes: 64MiB}
collect: {batch: 500, ack_wait: 5s}
alert: {window: 20s, resolve_after: 10s, hold: 5s}
log: {level: error}
metrics_addr: "127.0.0.1:0"
`)
	env := []string{"SLACK_BOT_TOKEN=xoxb-test", "TILLWATCH_NATS_URL=" + nats.URL(), "TILLWATCH_INFLUX_URL=" + db.URL,
		"TILLWATCH_INFLUX_TOKEN=" + db.Token.Reveal(), "TILLWATCH_INFLUX_ORG=" + db.Org}
	c1 := startChild(t, "collector 1", env, []string{collector.ProbeWritten + ":20", collector.ProbeWritten + ":40"}, "collect", "--config", cfg)
	c2 := startChild(t, "collector 2", env, []string{collector.ProbeDeadLettered + ":5", collector.ProbeRedacted + ":5", collector.ProbeDeadLettered + ":15"}, "collect", "--config", cfg)
	al := startChild(t, "alerter", env, []string{pipeline.ProbePublished + ":1", "sent:1", pipeline.ProbePublished + ":2", "sent:2"},
		"alert", "--config", cfg, "--slack-channel", "C0KILL", "--slack-api-url", people.URL())

	own := natstest.Connect(t, nats.URL())
	l := &load{declines: map[string]bool{}, approvals: map[string]bool{}, heartbeats: map[string]int64{}, bad: map[string]bool{}}
	const publishers = 4
	pace := over * publishers / time.Duration(events)
	var wg sync.WaitGroup
	for part := range publishers {
		wg.Go(func() { l.publisher(ctx, t, nats.URL(), part, events/publishers, pace) })
	}
	faults, err := own.NewPublisher(bus.PublisherOptions{Timeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer faults.Close()

	// The servers are killed from this goroutine, between the faults.
	rng := rand.New(rand.NewPCG(seed, 1))
	kills := map[string]int{}
	published := make(chan struct{})
	go func() { wg.Wait(); close(published) }()
	for n := 0; ; n++ {
		done := false
		select {
		case <-published:
			done = true
		case <-ctx.Done():
			t.Fatal("the time of the test is up")
		case <-time.After(over/12 + time.Duration(rng.Int64N(int64(over/24)))):
		}
		if done && n >= 8 && al.pending() == 0 && c1.pending() == 0 && c2.pending() == 0 {
			break
		}
		if n < 40 {
			l.fault(ctx, t, faults, n)
		}
		if done && n >= 8 {
			continue // only the points are left: let them be reached
		}
		switch n % 8 {
		case 0:
			nats.Kill()
			nats.Start()
			kills["nats"]++
		case 2:
			db.Kill()
			pauseTest(2 * time.Second)
			db.Restart()
			kills["influxd"]++
		case 3:
			c1.kill()
		case 4:
			c2.kill()
		case 5:
			al.kill()
		case 6:
			nats.Kill()
			pauseTest(time.Second)
			nats.Start()
			kills["nats"]++
		case 7:
			db.Kill()
			db.Restart()
			kills["influxd"]++
		}
	}
	if err := faults.Flush(ctx); err != nil {
		t.Fatal(err)
	}

	settle(ctx, t, own)
	incidents := quiet(ctx, t, own)
	awaitPeople(ctx, t, people, incidents)
	for _, c := range []*child{c1, c2, al} {
		c.stop()
	}
	verifyDatabase(ctx, t, db, own, l)
	verifyPeople(t, people, incidents, l.faults)

	for point, c := range map[string]*child{collector.ProbeWritten: c1, collector.ProbeDeadLettered: c2, collector.ProbeRedacted: c2, pipeline.ProbePublished: al, "sent": al} {
		if c.killed(point) == 0 {
			t.Errorf("nothing was killed at %q", point)
		}
	}
	t.Logf("figure: kills: nats %d, influxd %d; collectors %v %v; alerter %v", kills["nats"], kills["influxd"], c1.kills, c2.kills, al.kills)
	t.Logf("figure: events: %d declines (%d with a card number), %d approvals, %d bad, %d terminals with heartbeats; %d incidents; %d Slack posts, %d messages left",
		len(l.declines), l.cards, len(l.approvals), len(l.bad), len(l.heartbeats), len(incidents), people.Posts(), len(people.Messages()))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// settle waits until every collector's consumer has nothing before it.
func settle(ctx context.Context, t *testing.T, c *bus.Conn) {
	t.Helper()
	for _, s := range [][2]string{{bus.StreamTxn, "collector-txn"}, {bus.StreamHB, "collector-hb"}, {bus.StreamDerived, "collector-derived"}} {
		cons, err := c.Consumer(ctx, s[0], s[1], bus.ConsumerOptions{AckWait: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		for {
			lag, err := cons.Lag(ctx)
			if err == nil && lag.Pending == 0 && lag.AckPending == 0 {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("stream %s is not empty: %+v, %v", s[0], lag, err)
			}
			pauseTest(100 * time.Millisecond)
		}
	}
}

// quiet waits until every incident is over and returns the last transition of each.
func quiet(ctx context.Context, t *testing.T, c *bus.Conn) map[string]fleet.Transition {
	t.Helper()
	for {
		last := map[string]fleet.Transition{}
		seen := map[string]map[int]bool{}
		_, err := c.Each(ctx, bus.StreamDerived, fleet.DerivedPrefix+"incident.>", func(s bus.Stored) error {
			var x fleet.Transition
			if err := json.Unmarshal(s.Data, &x); err != nil {
				return err
			}
			if seen[x.Incident] == nil {
				seen[x.Incident] = map[int]bool{}
			}
			if seen[x.Incident][x.N] {
				t.Errorf("transition %d of %s is stored twice", x.N, x.Incident)
			}
			seen[x.Incident][x.N] = true
			last[x.Incident] = x
			return nil
		})
		open := 0
		for _, x := range last {
			if x.Step != fleet.StepResolved && x.Step != fleet.StepAbsorbed {
				open++
			}
		}
		if err == nil && open == 0 && len(last) > 0 {
			return last
		}
		if ctx.Err() != nil {
			t.Fatalf("%d of %d incidents are open: %v", open, len(last), err)
		}
		pauseTest(500 * time.Millisecond)
	}
}
