package collector_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/collector"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/fleettest/natstest"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// Stopped while the database takes its time, a collector finishes what it has in hand: that is stored and
// acknowledged, and nobody is given it again.
func TestStopFinishesWhatIsInHand(t *testing.T) {
	r := newRig(t, influxtest.Start18(t))
	events := someDeclines("last", 100)
	r.send(messages(events)...)
	writing, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c := r.start(func(o *collector.Options) {
		o.Writers, o.Batch, o.Linger = 1, 40, 200*time.Millisecond
		o.Sink = sinkFunc(func(ctx context.Context, bucket string, lines []byte) error {
			once.Do(func() { close(writing) })
			<-proceed
			return r.db.Write(ctx, bucket, lines)
		})
	})
	<-writing
	c.cancel()
	close(proceed)
	c.wait()
	if lag := r.lag(bus.StreamTxn); lag.Pending != 60 || lag.AckPending != 0 {
		t.Errorf("after the stop: %+v, want 60 pending and none in hand", lag)
	}
	if n := len(r.declines()); n != 40 {
		t.Errorf("%d declines stored, want the 40 in hand", n)
	}
	r.start(nil)
	r.drained()
	same(t, "decline", r.declines(), ids(events))
	t.Logf("40 of %d were in hand and stored; the next collector stored the rest", len(events))
}

// Stopped while the database does not answer at all, a collector gives up after StopTimeout, and what it had goes to
// the next one.
func TestStopWithoutDatabase(t *testing.T) {
	s := influxtest.Start18(t)
	r := newRig(t, s)
	r.ackWait = time.Second
	p := newProxy(t, s)
	for i, f := range []fault{hang, stored(hang), says(503, "Retry-After", "3600", "")} {
		p.set(f)
		declines, beats := someDeclines(fmt.Sprint("held", i), 100), someBeats(1000*i, 100)
		r.send(messages(declines)...)
		r.send(messages(beats)...)
		c := r.start(func(o *collector.Options) {
			o.StopTimeout = 100 * time.Millisecond
			o.Sink = s.ClientWith(t, influx.Options{URL: p.url, Timeout: time.Hour})
		})
		eventually(t, "a write is under way", func() bool { return p.failed.Load() > 0 })
		c.stop()
		if n := c.counter("messages_total", "outcome", "postponed"); n == 0 {
			t.Error("nothing was given up, although the database never answered")
		}
		p.set(nil)
		next := r.start(nil)
		r.drained()
		next.stop()
		got := r.declinesOf(declines)
		same(t, "decline", got, ids(declines))
		stored := r.heartbeats()
		for _, id := range ids(beats) {
			if _, ok := stored[id]; !ok {
				t.Errorf("heartbeat %s is missing", id)
			}
		}
		r.noDeadLetters()
		t.Logf("%d given up, %d of them stored by the next", c.counter("messages_total", "outcome", "postponed"), next.counter("messages_total", "outcome", "stored"))
	}
}

// A collector whose bus goes away waits for it, says so, and goes on.
func TestBusGoesAway(t *testing.T) {
	srv := natstest.Child(t)
	r := newRigAt(t, srv.URL())
	r.ackWait = 2 * time.Second
	s := influxtest.Start18(t)
	r.db = s.Client(t)
	if err := r.db.EnsureBuckets(t.Context(), schema.Buckets); err != nil {
		t.Fatal(err)
	}
	c := r.start(func(o *collector.Options) { o.Batch = 50 })
	var all []event
	for round := range 2 {
		events := someDeclines(fmt.Sprint("round", round), 500)
		all = append(all, events...)
		taken := c.counter("messages_total")
		r.send(messages(events)...)
		eventually(t, "it works", func() bool { return c.counter("messages_total") > taken })
		srv.Kill()
		eventually(t, "the condition begins", func() bool { _, last := c.lastCondition("bus"); return last != nil })
		srv.Start()
		r.drained()
		eventually(t, "the condition ends", func() bool { _, last := c.lastCondition("bus"); return last == nil })
	}
	same(t, "decline", r.declines(), ids(all))
	r.noDeadLetters()
	c.stop()
	t.Logf("%d declines over 2 kills of the bus; %d messages taken", len(all), c.counter("messages_total"))
}

// An hour without a database, at the pace of the test: a full stream waits, and the collector holds one batch a lane
// and nothing more. Then all of it is stored.
func TestLongOutageIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("200,000 messages")
	}
	const n, batch, writers = 200_000, 2000, 2
	r := newRigAt(t, natstest.Child(t).URL())
	now := time.Now()
	var sent []bus.Message
	for i := range n {
		e := txn(key("a1", i%1000), fmt.Sprintf("%d", i), "03", now, `,"merchant":"898440153110001","amount":1200,"app":"2.4.1"`)
		if sent = append(sent, e.Message); len(sent) == 20_000 {
			r.send(sent...)
			sent = sent[:0]
		}
	}
	sent = nil
	var away atomic.Bool
	away.Store(true)
	var tries atomic.Int64
	var mu sync.Mutex // guards seen and twice
	seen, twice := map[string]bool{}, 0
	before := heapInUse()
	c := r.start(func(o *collector.Options) {
		o.Batch, o.Writers, o.Linger = batch, writers, time.Second // so that batches fill
		o.Sink = sinkFunc(func(_ context.Context, _ string, lines []byte) error {
			if away.Load() {
				tries.Add(1)
				return &influx.Error{Class: influx.Transient, Op: "write", Message: "no answer"}
			}
			mu.Lock()
			defer mu.Unlock()
			for line := range bytes.Lines(lines) {
				_, rest, ok := bytes.Cut(line, []byte(` id="`))
				id, _, ok2 := bytes.Cut(rest, []byte(`"`))
				if !ok || !ok2 {
					return fmt.Errorf("line %q", line)
				}
				if seen[string(id)] {
					twice++
				}
				seen[string(id)] = true
			}
			return nil
		})
	})
	most := before
	eventually(t, "each lane has tried several times", func() bool {
		most = max(most, heapInUse())
		return tries.Load() >= 6*writers
	})
	lag := r.lag(bus.StreamTxn)
	if lag.AckPending > batch*writers || lag.Pending+uint64(lag.AckPending) != n {
		t.Errorf("in hand: %+v, want at most %d of %d", lag, batch*writers, n)
	}
	t.Logf("heap %d KiB before, at most %d KiB while %d messages waited; %d in hand, %d tries", before>>10, most>>10, n, lag.AckPending, tries.Load())
	if most-before > 100<<20 {
		t.Errorf("heap grew by %d MiB", (most-before)>>20)
	}
	away.Store(false)
	r.drained()
	c.stop()
	if len(seen) != n || twice != 0 {
		t.Errorf("%d ids stored, %d of them twice; want %d once", len(seen), twice, n)
	}
	for i := range n {
		if !seen[fmt.Sprint(i)] {
			t.Fatalf("id %d is missing", i)
		}
	}
	r.noDeadLetters()
	t.Logf("%d stored once when the database was back", len(seen))
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}
