package collector_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/collector"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// New names everything that is missing at once.
func TestNewValidates(t *testing.T) {
	_, err := collector.New(collector.Options{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"no bus", "no sink", "no acquirers"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
}

// Every decline and every heartbeat of several acquirers is stored once, approvals and the other source's events not
// at all, and nothing is left to do.
func TestEverythingIsStoredOnce(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		r := newRig(t, s)
		c := r.start(nil)
		now := time.Now()
		acquirers := []string{"a1", "a2", "a3", "new-one"}
		var beats, declines, approvals, others []event
		for _, a := range acquirers {
			src, otherSrc := `,"src":"terminal"`, `,"src":"switch"`
			if a == "a2" {
				src, otherSrc = otherSrc, src
			}
			for n := range 25 {
				k := key(a, n)
				for seq := range 4 {
					app := "2.4.1"
					if seq >= 2 && n%2 == 0 {
						app = "2.4.2"
					}
					beats = append(beats, beat(k, seq, now.Add(time.Duration(seq-10)*time.Minute), fmt.Sprintf(`,"model":"A920","app":%q,"net":{"rssi":-70}`, app)))
				}
				for i, code := range []string{"03", "91", "A0", "58", "zz"} {
					id := fmt.Sprintf("d%d-%d", n, i)
					declines = append(declines, txn(k, id, code, now, src+`,"merchant":"898440153110001","amount":1200,"currency":"CNY"`))
					others = append(others, txn(k, id, code, now, otherSrc))
				}
				for i := range 8 {
					approvals = append(approvals, txn(k, fmt.Sprintf("ok%d-%d", n, i), "00", now, src))
				}
			}
		}
		// Heartbeats first, so that the models of the declines are known.
		r.send(messages(beats)...)
		r.drained()
		var mixed []bus.Message
		for i := range approvals {
			if i < len(declines) {
				mixed = append(mixed, declines[i].Message, others[i].Message)
			}
			mixed = append(mixed, approvals[i].Message)
		}
		r.send(mixed...)
		r.drained()

		stored := r.declines()
		same(t, "decline", stored, ids(declines))
		for id, p := range stored {
			if p["model"] != "A920" || p["merchant"] != "898440153110001" || p["amount"] != "1200" || p["clock"] != "" {
				t.Errorf("decline %s is %v", id, p)
			}
		}
		same(t, "heartbeat", r.heartbeats(), ids(beats))
		r.noDeadLetters()
		// The last of each fact is what the last heartbeat said, though it was written by exception.
		facts, err := r.db.Query(t.Context(), schema.BucketRaw, `SELECT last("app") AS "app" FROM "heartbeat" GROUP BY "acquirer", "terminal"`)
		if err != nil || len(facts) != 100 {
			t.Fatalf("%d terminals, %v", len(facts), err)
		}
		for _, f := range facts {
			want := "2.4.1"
			if f.Tags["terminal"][7]%2 == 0 {
				want = "2.4.2"
			}
			if app, _ := f.Text(0, "app"); app != want {
				t.Errorf("last(app) of %v is %q, want %q", f.Tags, app, want)
			}
		}
		for _, want := range []struct {
			n      int
			name   string
			labels []string
		}{
			{500, "messages_total", []string{"stream", "TXN", "outcome", "stored"}},
			{1300, "messages_total", []string{"stream", "TXN", "outcome", "not_stored"}},
			{400, "messages_total", []string{"stream", "HB", "outcome", "stored"}},
			{2200, "messages_total", nil},
			{375, "other_source_total", []string{"src", "switch"}},
			{125, "other_source_total", []string{"src", "terminal"}},
			{500, "lines_total", []string{"bucket", "pos_events"}},
			{400, "lines_total", []string{"bucket", "pos_raw"}},
			{0, "dead_letters_total", nil}, {0, "write_errors_total", nil}, {0, "card_data_hits_total", nil},
		} {
			eventually(t, fmt.Sprintf("%s %v = %d", want.name, want.labels, want.n), func() bool { return c.counter(want.name, want.labels...) >= want.n })
			if got := c.counter(want.name, want.labels...); got != want.n {
				t.Errorf("%s %v is %d, want %d", want.name, want.labels, got, want.n)
			}
		}
		c.stop()
		if n := strings.Count(c.log.String(), "acquirer not configured"); n != 1 {
			t.Errorf("an acquirer without configuration was reported %d times, want once", n)
		}
		if errs, last := c.lastCondition("influx"); last != nil || errs != 0 {
			t.Errorf("condition influx: %v, %d times", last, errs)
		}
		t.Logf("%d declines, %d heartbeats stored; %d approvals and %d of the other source not", len(declines), len(beats), len(approvals), len(others))
	})
}

// A thousand declines within one second, ids that several terminals share, and everything published twice, the second
// time without the id by which the stream drops a copy: each is stored, and once.
func TestSameSecondAndTwice(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		r := newRig(t, s)
		r.start(func(o *collector.Options) { o.Batch = 100 })
		second := time.Now().Truncate(time.Second)
		var all, beats []event
		for i := range 1000 {
			all = append(all, txn(key("a1", i%40), fmt.Sprint("20261123-", i), "03", second, ""))
		}
		for n := range 50 {
			all = append(all, txn(key("a1", 100+n), "shared-000001", "03", second, ""))
			beats = append(beats, beat(key("a1", n), 1, second, `,"app":"1"`), beat(key("a1", n), 2, second.Add(time.Second), `,"app":"2"`))
		}
		for range 2 {
			r.send(messages(all)...)
			r.send(messages(beats)...)
			r.drained()
			// The same again comes as something new to the stream, as over MQTT, or after the dedup window.
			for i := range all {
				all[i].ID = ""
			}
			for i := range beats {
				beats[i].ID = ""
			}
		}
		if n := len(r.stored(bus.StreamTxn)); n != 2*len(all) {
			t.Fatalf("%d messages in TXN, want %d: the copies were dropped before the collector", n, 2*len(all))
		}
		same(t, "decline", r.declines(), ids(all))
		same(t, "heartbeat", r.heartbeats(), ids(beats))
		r.noDeadLetters()
		t.Logf("%d declines of one second and %d heartbeats, each twice", len(all), len(beats))
	})
}

// Several processes share the work: nothing is lost, nothing is double, and the last of a fact is the truth although
// each process saw only some of a terminal's heartbeats.
func TestTwoCollectorsShare(t *testing.T) {
	r := newRig(t, influxtest.Start18(t))
	const terminals, beatsEach, declined = 10, 60, 3000
	now := time.Now()
	var beats, declines []event
	for seq := range beatsEach {
		for n := range terminals {
			// A flag that flaps: each process may have seen the same value twice, with the other value between.
			beats = append(beats, beat(key("a1", n), seq, now.Add(time.Duration(seq-beatsEach)*time.Second), fmt.Sprintf(`,"net":{"host_ok":%t}`, (seq+n)%3 == 0)))
		}
	}
	declines = someDeclines("shared", declined)
	r.send(messages(declines)...)
	r.send(messages(beats)...)
	// Neither writes before both have something to write.
	both := make(chan struct{})
	arrived := make(chan struct{}, 2)
	go func() {
		for range 2 {
			<-arrived
		}
		close(both)
	}()
	var cs []*running
	for range 2 {
		first := make(chan struct{}, 1)
		first <- struct{}{}
		cs = append(cs, r.start(func(o *collector.Options) {
			o.Batch = 7
			o.Sink = sinkFunc(func(ctx context.Context, bucket string, lines []byte) error {
				if bucket == schema.BucketRaw {
					select {
					case <-first:
						arrived <- struct{}{}
					default:
					}
					select {
					case <-both:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				return r.db.Write(ctx, bucket, lines)
			})
		}))
	}
	r.drained()
	same(t, "decline", r.declines(), ids(declines))
	same(t, "heartbeat", r.heartbeats(), ids(beats))
	r.noDeadLetters()
	facts, err := r.db.Query(t.Context(), schema.BucketRaw, `SELECT last("host_ok") AS "ok" FROM "heartbeat" GROUP BY "terminal"`)
	if err != nil || len(facts) != terminals {
		t.Fatal(len(facts), err)
	}
	for _, f := range facts {
		n := int(f.Tags["terminal"][7] - '0')
		if got, want := f.Values[0][f.Column("ok")], (beatsEach-1+n)%3 == 0; got != want {
			t.Errorf("last(host_ok) of %s is %v, want %t", f.Tags["terminal"], got, want)
		}
	}
	for i, c := range cs {
		c.stop()
		n := c.counter("messages_total", "stream", "HB", "outcome", "stored")
		if n == 0 {
			t.Errorf("collector %d stored no heartbeat", i)
		}
		t.Logf("collector %d stored %d heartbeats, %d declines", i, n, c.counter("messages_total", "stream", "TXN", "outcome", "stored"))
	}
}
