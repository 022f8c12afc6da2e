package bench_test

import (
	"bufio"
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/cmd/tillwatch/app"
	"github.com/tillwatch/tillwatch/collector/point"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/embedded"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/natstest"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

const (
	roleEnv  = "TILLWATCH_BENCH_ROLE" // collect or limit
	linesEnv = "TILLWATCH_BENCH_LINES"
	batch    = 2000
	writers  = 2
)

func TestMain(m *testing.M) {
	natstest.Main()
	ctx, cancel := context.WithCancel(context.Background())
	switch os.Getenv(roleEnv) {
	case "collect":
		go func() { _, _ = os.Stdin.Read(make([]byte, 1)); cancel() }()
		os.Exit(app.Run(ctx, os.Args[1:], app.Process{Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr}))
	case "limit":
		go func() { _, _ = os.Stdin.Read(make([]byte, 1)); cancel() }()
		if err := limit(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	cancel()
	os.Exit(m.Run())
}

// limit is the peer: it drains the stream with the collector's own consumer settings and writes lines that were
// prepared beforehand, with as many writers.
func limit(ctx context.Context) error {
	f, err := os.Open(os.Getenv(linesEnv))
	if err != nil {
		return err
	}
	var lines [][]byte
	if err := gob.NewDecoder(bufio.NewReader(f)).Decode(&lines); err != nil {
		return err
	}
	c, err := bus.Connect(ctx, bus.Options{URL: os.Getenv("TILLWATCH_NATS_URL"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer c.Close()
	db, err := influx.New(influx.Options{URL: os.Getenv("TILLWATCH_INFLUX_URL")})
	if err != nil {
		return err
	}
	cons, err := c.Consumer(ctx, bus.StreamHB, "collector-hb", bus.ConsumerOptions{})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			var got []bus.Delivery
			var buf []byte
			for ctx.Err() == nil {
				got, err := cons.Fetch(ctx, got[:0], batch, 250*time.Millisecond)
				if err != nil || len(got) == 0 {
					continue
				}
				buf = buf[:0]
				for i := range got {
					buf = append(buf, lines[got[i].Seq()-1]...)
				}
				if err := db.Write(ctx, schema.BucketRaw, buf); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				for i := range got {
					_ = got[i].Ack()
				}
			}
		})
	}
	wg.Wait()
	return c.SyncedClose(context.Background())
}

// heartbeat is DESIGN's own: about 350 bytes, 16 values.
func heartbeat(terminal, seq int, boot int64) []byte {
	return fmt.Appendf(nil, `{"ts":%d,"every_s":60,"boot":%d,"seq":%d,"merchant":"89844015311%04d","model":"A920","serial":"SN%06d","app":"2.4.1","os":"10","params":"17:9f3c2a","net":{"type":"4g","rssi":%d,"rtt_ms":%d,"host_ok":true},"health":{"printer":"ok","reader":"ok","battery":%d,"tamper":false,"storage_mb":512},"totals":{"approved":%d,"declined":%d}}`,
		boot*1000+int64(seq)*60_000+int64(terminal%1000), boot, seq, terminal%10000, terminal, -60-seq%30, 50+terminal%100, 100-seq%50, seq*7, seq/3)
}

// rig is one fill of the servers.
type rig struct {
	nats *natstest.Server
	conn *bus.Conn
	db   *embedded.Influxd
	stop context.CancelFunc
}

func newRig(b *testing.B) *rig {
	b.Helper()
	bin, err := embedded.BuildInflux18(b.Context(), embedded.BuildOptions{})
	if err != nil {
		b.Fatal(err)
	}
	r := &rig{nats: natstest.Child(b)}
	r.conn = natstest.Connect(b, r.nats.URL())
	if r.db, err = embedded.NewInfluxd(embedded.InfluxdOptions{Binary: bin, DataDir: b.TempDir(), Addr: "127.0.0.1:0"}); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.db.Run(ctx) }()
	r.stop = func() { cancel(); <-done }
	b.Cleanup(r.stop)
	if err := r.db.WaitReady(b.Context()); err != nil {
		b.Fatal(err)
	}
	c, err := influx.New(influx.Options{URL: r.db.URL()})
	if err != nil {
		b.Fatal(err)
	}
	if err := c.EnsureBuckets(b.Context(), schema.Buckets); err != nil {
		b.Fatal(err)
	}
	return r
}

// fill publishes n heartbeats of so many terminals and returns the lines a collector writes for them.
func (r *rig) fill(b *testing.B, n, terminals int) [][]byte {
	b.Helper()
	p, err := r.conn.NewPublisher(bus.PublisherOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	facts := point.NewFacts(terminals)
	boot := time.Now().Add(-time.Duration(n/terminals+2) * time.Minute).Unix()
	lines := make([][]byte, 0, n)
	for i := range n {
		k := fleet.Key{Acquirer: "a1", Terminal: fmt.Sprintf("B%07d", i%terminals)}
		body := heartbeat(i%terminals, 1+i/terminals, boot)
		if err := p.Publish(b.Context(), bus.Message{Subject: k.Subject(fleet.KindHeartbeat), ID: k.HeartbeatMsgID(boot, int64(1+i/terminals)), Data: body}); err != nil {
			b.Fatal(err)
		}
		var h fleet.Heartbeat
		if err := fleet.DecodeHeartbeat(body, k, &h); err != nil {
			b.Fatal(err)
		}
		lines = append(lines, point.AppendHeartbeat(nil, k, &h, time.Now(), facts))
	}
	if err := p.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	return lines
}

// cost is what draining the stream took.
type cost struct {
	rate                float64 // messages/s
	cpu, dbCPU, natsCPU float64 // µs a message
	allocs              float64 // a message, all libraries included; 0 where not measured
	peakMB              float64
}

// drain runs a child in a role until the stream's consumer is done.
func (r *rig) drain(b *testing.B, role string, n int, lines [][]byte) cost {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "TILLWATCH_NATS_URL="+r.nats.URL(), "TILLWATCH_INFLUX_URL="+r.db.URL())
	metrics := freePort(b)
	if role == "collect" {
		cfg := filepath.Join(b.TempDir(), "t.yaml")
		if err := os.WriteFile(cfg, []byte("streams: {txn_max_bytes: 512MiB, hb_max_bytes: 512MiB, derived_max_bytes: 64MiB, control_max_bytes: 64MiB, dlq_max_bytes: 64MiB}\nlog: {level: error}\nmetrics_addr: "+metrics+"\nacquirers: {a1: {}}\n"), 0o600); err != nil {
			b.Fatal(err)
		}
		cmd.Args = append(cmd.Args, "collect", "--config", cfg)
	} else {
		path := filepath.Join(b.TempDir(), "lines")
		f, err := os.Create(path)
		if err == nil {
			err = gob.NewEncoder(f).Encode(lines)
		}
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
		cmd.Env = append(cmd.Env, linesEnv+"="+path)
	}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	cons, err := r.conn.Consumer(b.Context(), bus.StreamHB, "collector-hb", bus.ConsumerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	dbBefore, natsBefore := cpuOf(b, r.db.PID()), cpuOf(b, r.nats.PID())
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	var began time.Time
	for {
		lag, err := cons.Lag(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if began.IsZero() && (lag.AckPending > 0 || lag.Pending < uint64(n)) {
			began = time.Now() // the start of the process is not part of its speed
		}
		if lag.Pending == 0 && lag.AckPending == 0 {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	took := time.Since(began)
	c := cost{rate: float64(n) / took.Seconds()}
	c.dbCPU = (cpuOf(b, r.db.PID()) - dbBefore).Seconds() * 1e6 / float64(n)
	c.natsCPU = (cpuOf(b, r.nats.PID()) - natsBefore).Seconds() * 1e6 / float64(n)
	if role == "collect" {
		c.allocs = metric(b, metrics, "go_memstats_mallocs_total") / float64(n)
	}
	c.peakMB = peakMB(b, cmd.Process.Pid)
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	c.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() * 1e6 / float64(n)
	return c
}

// BenchmarkCollect drains a stream of heartbeats by the collector and by the limit, each from fresh servers, and
// reports the collector's speed as a share of the limit's.
func BenchmarkCollect(b *testing.B) {
	for _, terminals := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("terminals=%d", terminals), func(b *testing.B) {
			const n = 300_000
			for range b.N {
				costs := map[string]cost{}
				for _, role := range []string{"limit", "collect"} {
					r := newRig(b)
					lines := r.fill(b, n, terminals)
					costs[role] = r.drain(b, role, n, lines)
					r.stop()
					r.nats.Kill()
				}
				ours, peer := costs["collect"], costs["limit"]
				b.ReportMetric(ours.rate, "msg/s")
				b.ReportMetric(ours.rate/peer.rate, "of-limit")
				b.ReportMetric(ours.cpu, "cpu-µs/msg")
				b.ReportMetric(peer.cpu, "limit-cpu-µs/msg")
				b.ReportMetric(ours.allocs, "mallocs/msg")
				b.ReportMetric(ours.dbCPU, "influxd-cpu-µs/msg")
				b.ReportMetric(ours.natsCPU, "nats-cpu-µs/msg")
				b.ReportMetric(ours.peakMB, "peak-MB")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

func freePort(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// cpuOf reads the CPU time of a process from /proc (100 ticks a second).
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// peakMB is the largest resident size of a process so far.
func peakMB(b *testing.B, pid int) float64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	return 0
}

// metric reads one value from a process' metrics page.
func metric(b *testing.B, addr, name string) float64 {
	b.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				b.Fatal(err)
			}
			return v
		}
	}
	b.Fatalf("%s is not on the metrics page", name)
	return 0
}
