package collector_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/collector"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// fault is how the proxy treats a request; it may let it through first.
type fault func(w http.ResponseWriter, r *http.Request, through http.Handler)

// proxy stands before a real server. Without a fault it lets everything through.
type proxy struct {
	url    string
	fault  atomic.Pointer[fault]
	failed atomic.Int64 // requests treated by a fault
}

func newProxy(t *testing.T, s *influxtest.Server) *proxy {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(u)
	through.ErrorLog = log.New(io.Discard, "", 0)
	p := &proxy{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := p.fault.Load(); f != nil {
			p.failed.Add(1)
			(*f)(w, r, through)
			return
		}
		through.ServeHTTP(w, r)
	}))
	srv.Config.ErrorLog = through.ErrorLog
	srv.Start()
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

func (p *proxy) set(f fault) {
	p.failed.Store(0)
	if f == nil {
		p.fault.Store(nil)
		return
	}
	p.fault.Store(&f)
}

func says(status int, header, value, body string) fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		if header != "" {
			w.Header().Set(header, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// stored passes the request on, so that the database has the lines, and then answers in its own way.
func stored(then fault) fault {
	return func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		through.ServeHTTP(httptest.NewRecorder(), r)
		then(w, r, through)
	}
}

// raw answers with these bytes and drops the connection.
func raw(answer string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, answer)
		_ = conn.Close()
	}
}

func hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// However the database misbehaves, nothing is lost, nothing is double, nobody's event is called bad, and no more is
// fetched than one batch a lane.
func TestMisbehavingDatabase(t *testing.T) {
	s := influxtest.Start18(t)
	r := newRig(t, s)
	p := newProxy(t, s)
	const batch, writers = 10, 2
	c := r.start(func(o *collector.Options) {
		o.Batch, o.Writers = batch, writers
		o.Sink = s.ClientWith(t, influx.Options{URL: p.url, Timeout: 300 * time.Millisecond})
	})
	var declines, beats []event
	for i, tc := range []struct {
		name  string
		fault fault
		class influx.Class
	}{
		{"busy, says when", says(429, "Retry-After", "0", `{"error":"slow down"}`), influx.Transient},
		{"internal error", says(500, "", "", `{"error":"disk full"}`), influx.Transient},
		{"unavailable", says(503, "", "", `<html>maintenance</html>`), influx.Transient},
		{"gateway timeout after storing", stored(says(504, "", "", ``)), influx.Transient},
		{"connection dropped", func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }, influx.Transient},
		{"connection dropped after storing", stored(func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }), influx.Transient},
		{"half a status line after storing", stored(raw("HTTP/1.1 20")), influx.Transient},
		{"half an error", raw("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 500\r\n\r\n{\"err"), influx.Transient},
		{"no answer", hang, influx.Transient},
		{"no answer after storing", stored(hang), influx.Transient},
		{"another server's page", says(200, "", "", `<html>welcome</html>`), influx.Unexpected},
		{"not there", says(404, "", "", `404 page not found`), influx.Unexpected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			was := c.counter("write_errors_total", "class", string(tc.class))
			p.set(tc.fault)
			ds, hs := someDeclines(fmt.Sprint("fault", i), 60), someBeats(1000*i, 60)
			declines, beats = append(declines, ds...), append(beats, hs...)
			r.send(messages(ds)...)
			r.send(messages(hs)...)
			var txn, hb bus.Lag
			eventually(t, "each lane has asked several times", func() bool {
				txn, hb = r.lag(bus.StreamTxn), r.lag(bus.StreamHB)
				if txn.AckPending > batch*writers || hb.AckPending > batch*writers {
					t.Errorf("fetched beyond a batch a lane: TXN %+v, HB %+v", txn, hb)
				}
				return p.failed.Load() >= 12
			})
			if txn.Pending+uint64(txn.AckPending) != 60 || hb.Pending+uint64(hb.AckPending) != 60 {
				t.Errorf("acknowledged while the database was away: TXN %+v, HB %+v", txn, hb)
			}
			if _, last := c.lastCondition("influx"); last == nil {
				t.Error("nobody was told")
			} else if influx.ClassOf(last) != tc.class {
				t.Errorf("the condition is %v, want class %s", last, tc.class)
			}
			failed := p.failed.Load()
			p.set(nil)
			r.drained()
			same(t, "decline", r.declines(), ids(declines))
			same(t, "heartbeat", r.heartbeats(), ids(beats))
			r.noDeadLetters()
			eventually(t, "the condition ends", func() bool { _, last := c.lastCondition("influx"); return last == nil })
			if now := c.counter("write_errors_total", "class", string(tc.class)); now <= was {
				t.Errorf("write errors of class %s counted: %d, %d before", tc.class, now, was)
			}
			t.Logf("%d failed writes; at most %d and %d of 60 in hand", failed, batch*writers, batch*writers)
		})
	}
	t.Logf("%d declines and %d heartbeats through %d failed writes", len(declines), len(beats), c.counter("write_errors_total"))
}

// While the database is away for longer than AckWait, the messages in hand stay in hand: nobody else is given them.
func TestInHandStaysInHand(t *testing.T) {
	s := influxtest.Start18(t)
	r := newRig(t, s)
	r.ackWait = time.Second
	p := newProxy(t, s)
	p.set(says(503, "", "", ""))
	events := someDeclines("held", 40)
	r.send(messages(events)...)
	r.start(func(o *collector.Options) {
		o.Batch = 100
		o.Sink = s.ClientWith(t, influx.Options{URL: p.url})
	})
	eventually(t, "all in hand", func() bool { l := r.lag(bus.StreamTxn); return l.Pending == 0 && l.AckPending == len(events) })
	// Another process asks for work all the time, for several times AckWait.
	other := r.consumer(bus.StreamTxn)
	asked := 0
	for until := time.Now().Add(4 * r.ackWait); time.Now().Before(until); asked++ {
		got, err := other.Fetch(t.Context(), nil, 10, 200*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			t.Errorf("message %d was delivered again: %t", got[i].Seq(), got[i].Redelivered())
		}
	}
	p.set(nil)
	r.drained()
	same(t, "decline", r.declines(), ids(events))
	r.noDeadLetters()
	t.Logf("%d messages in hand for four times AckWait, asked for %d times by another process", len(events), asked)
}

// A server that says when it wants to be asked again is not asked before.
func TestRetryAfterIsHeeded(t *testing.T) {
	r := newRig(t, nil)
	var patient, eager atomic.Int64
	c := r.start(func(o *collector.Options) {
		o.Writers = 1
		o.StopTimeout = time.Millisecond
		o.Sink = sinkFunc(func(_ context.Context, bucket string, _ []byte) error {
			if bucket == schema.BucketEvents {
				patient.Add(1)
				return &influx.Error{Class: influx.Transient, Op: "write", Status: 429, RetryAfter: time.Hour}
			}
			eager.Add(1)
			return &influx.Error{Class: influx.Transient, Op: "write", Status: 503}
		})
	})
	r.send(messages(someDeclines("busy", 3))...)
	eventually(t, "one try", func() bool { return patient.Load() > 0 })
	r.send(messages(someBeats(0, 3))...)
	eventually(t, "the other lane has tried several times", func() bool { return eager.Load() >= 5 })
	if n := patient.Load(); n != 1 {
		t.Errorf("a server that asked for an hour was asked %d times", n)
	}
	// And the wait does not hold the process up.
	c.stop()
	t.Logf("%d try with Retry-After, %d without", patient.Load(), eager.Load())
}

// A bucket that is not there is told to the operator with what to do, nobody's event suffers, and once it is there
// everything is stored.
func TestBucketMissing(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		r := newRig(t, nil)
		r.db = s.Client(t)
		declines, beats := someDeclines("early", 50), someBeats(0, 50)
		r.send(messages(declines)...)
		r.send(messages(beats)...)
		c := r.start(nil)
		eventually(t, "told several times", func() bool { errs, _ := c.lastCondition("influx"); return errs >= 6 })
		_, last := c.lastCondition("influx")
		if influx.ClassOf(last) != influx.BucketMissing || !strings.Contains(last.Error(), "create the bucket") || !strings.Contains(last.Error(), "pos_") {
			t.Errorf("condition: %v", last)
		}
		r.noDeadLetters()
		if err := r.db.EnsureBuckets(t.Context(), schema.Buckets); err != nil {
			t.Fatal(err)
		}
		r.drained()
		same(t, "decline", r.declines(), ids(declines))
		same(t, "heartbeat", r.heartbeats(), ids(beats))
		r.noDeadLetters()
		eventually(t, "the condition ends", func() bool { _, last := c.lastCondition("influx"); return last == nil })
		t.Logf("%v", last)
	})
}

// Without a token and with a wrong one the operator is told and nothing is dead-lettered; a collector with a good token
// stores it all.
func TestBadToken(t *testing.T) {
	servers := map[string]func(testing.TB) *influxtest.Server{"1.8": influxtest.Start18Auth, "2.9": influxtest.Start29}
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			r := newRig(t, s)
			r.ackWait = time.Second
			declines, beats := someDeclines("denied", 50), someBeats(0, 50)
			r.send(messages(declines)...)
			r.send(messages(beats)...)
			for _, token := range []influx.Token{"", "nobody:nothing"} {
				c := r.start(func(o *collector.Options) {
					o.Sink = s.ClientWith(t, influx.Options{Token: token})
					o.StopTimeout = time.Millisecond
				})
				eventually(t, "told several times", func() bool { errs, _ := c.lastCondition("influx"); return errs >= 6 })
				_, last := c.lastCondition("influx")
				if influx.ClassOf(last) != influx.Unauthorised || !strings.Contains(last.Error(), "token") {
					t.Errorf("condition: %v", last)
				}
				c.stop()
				if token != "" && strings.Contains(c.log.String(), token.Reveal()) {
					t.Error("the log has the token")
				}
				t.Logf("%v", last)
			}
			r.noDeadLetters()
			if n := len(r.declines()); n != 0 {
				t.Errorf("%d declines stored without a token", n)
			}
			r.start(nil)
			r.drained()
			same(t, "decline", r.declines(), ids(declines))
			same(t, "heartbeat", r.heartbeats(), ids(beats))
			r.noDeadLetters()
		})
	}
}

// A database that is killed and comes back has everything, and nothing twice.
func TestDatabaseKilled(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		r := newRig(t, s)
		c := r.start(func(o *collector.Options) { o.Batch = 50 })
		var declines, beats []event
		for round := range 3 {
			ds, hs := someDeclines(fmt.Sprint("round", round), 400), someBeats(1000*round, 400)
			declines, beats = append(declines, ds...), append(beats, hs...)
			r.send(messages(ds)...)
			r.send(messages(hs)...)
			s.Kill()
			eventually(t, "a write failed", func() bool {
				l := r.lag(bus.StreamTxn)
				_, last := c.lastCondition("influx")
				return last != nil || l == bus.Lag{} && r.lag(bus.StreamHB) == bus.Lag{}
			})
			s.Restart()
			r.drained()
		}
		same(t, "decline", r.declines(), ids(declines))
		same(t, "heartbeat", r.heartbeats(), ids(beats))
		r.noDeadLetters()
		t.Logf("%d declines, %d heartbeats, 3 kills, %d failed writes", len(declines), len(beats), c.counter("write_errors_total"))
	})
}
