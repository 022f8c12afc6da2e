package collector_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/collector"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// Numbers that the brands publish for tests.
const (
	visa       = "4111111111111111"
	mastercard = "5500005555555559"
	amex       = "378282246310005"
	jcb        = "3530111333300000"
)

// spaced writes a number as it is printed on a card.
func spaced(pan string) string { return pan[:4] + " " + pan[4:8] + " " + pan[8:12] + " " + pan[12:] }

type planted struct {
	name   string
	key    fleet.Key
	kind   fleet.Kind
	body   string
	guard  string // label of the counter
	want   row    // of the stored point, in part
	secret []string
}

func plantedEvents(now time.Time) []planted {
	ts := fmt.Sprintf(`"ts":%d`, now.UnixMilli())
	k := func(n int) fleet.Key { return key("a1", 500+n) }
	return []planted{
		{"in the version", k(1), fleet.KindTxn, `{` + ts + `,"id":"p1","code":"03","app":"card ` + spaced(visa) + `","merchant":"898440153110001"}`, "pan",
			row{"id": "p1", "merchant": "898440153110001", "app": "card [redacted pan]"}, []string{visa}},
		{"as the id", k(2), fleet.KindTxn, `{` + ts + `,"id":"` + mastercard + `","code":"91","amount":100}`, "pan",
			row{"amount": "100", "code": "91"}, []string{mastercard}},
		{"in a field that is ignored", k(3), fleet.KindTxn, `{` + ts + `,"id":"p3","code":"03","debug":{"card":"` + jcb + `"}}`, "pan",
			row{"id": "p3"}, []string{jcb}},
		{"track 2", k(4), fleet.KindTxn, `{` + ts + `,"id":"p4","code":"03","params":";` + visa + `=29121010000000000000?"}`, "track",
			row{"id": "p4"}, []string{visa, "2912101"}},
		{"where the terminal is repeated", k(9), fleet.KindTxn, `{` + ts + `,"id":"p9","code":"03","terminal":"` + visa + `"}`, "pan",
			row{"id": "p9"}, []string{visa}},
		{"security code", k(5), fleet.KindTxn, `{` + ts + `,"id":"p5","code":"03","cvv2":"737","app":"1"}`, "cvv",
			row{"id": "p5", "app": "1"}, []string{`"737"`}},
		{"two at once", k(6), fleet.KindTxn, `{` + ts + `,"id":"p6","code":"03","app":"` + amex + `","currency":"` + visa + `"}`, "pan",
			row{"id": "p6"}, []string{amex, visa}},
		{"serial number of a heartbeat", k(7), fleet.KindHeartbeat, `{` + ts + `,"boot":1000,"seq":7,"serial":"` + jcb + `","app":"2.4.1","net":{"rssi":-71}}`, "pan",
			row{"seq": "7", "app": "2.4.1", "rssi": "-71"}, []string{jcb}},
		{"a number of a heartbeat", k(8), fleet.KindHeartbeat, `{` + ts + `,"boot":1000,"seq":8,"net":{"rtt_ms":` + visa + `},"health":{"battery":87}}`, "pan",
			row{"seq": "8", "battery": "87"}, []string{visa}},
	}
}

func (r *rig) planted(p planted) (seq uint64) {
	r.t.Helper()
	id := p.key.HeartbeatMsgID(1000, 7)
	if p.kind == fleet.KindTxn {
		id = p.key.TxnMsgID(fleet.SourceTerminal, "sent")
	}
	seq, err := r.bus.Append(r.t.Context(), bus.Message{Subject: p.key.Subject(p.kind), ID: id, Data: []byte(p.body)}, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	return seq
}

func streamOf(kind fleet.Kind) string {
	if kind == fleet.KindHeartbeat {
		return bus.StreamHB
	}
	return bus.StreamTxn
}

// noSecrets looks for what was planted in everything that is kept.
func (r *rig) noSecrets(secrets []string, cs ...*running) {
	r.t.Helper()
	texts := map[string]string{}
	for _, c := range cs {
		texts["the log"] += c.log.String()
	}
	for _, stream := range []string{bus.StreamTxn, bus.StreamHB, bus.StreamDLQ} {
		for seq, s := range r.stored(stream) {
			texts[fmt.Sprintf("message %d of %s", seq, stream)] = s.Subject + " " + s.ID + " " + string(s.Data)
		}
	}
	for _, p := range append(r.rows(schema.BucketEvents, schema.Decline), r.rows(schema.BucketRaw, schema.Heartbeat)...) {
		texts["the database"] += fmt.Sprintf("%q\n", p)
	}
	for where, text := range texts {
		plain := strings.NewReplacer(" ", "", "-", "").Replace(text)
		for _, secret := range secrets {
			if strings.Contains(text, secret) || strings.Contains(plain, secret) {
				r.t.Errorf("%s has %q: %.300s", where, secret, text)
			}
		}
	}
}

// An event with card data is stored, once, without it; its original is gone from the stream and a redacted copy is in
// its place, so that every reader of the stream has the event.
func TestCardDataIsRedactedAndTheEventKept(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		r := newRig(t, s)
		var secrets []string
		seqs := map[string]uint64{}
		events := plantedEvents(time.Now())
		for _, p := range events {
			seqs[p.name] = r.planted(p)
			secrets = append(secrets, p.secret...)
		}
		fine := someDeclines("fine", 20)
		r.send(messages(fine)...)
		c := r.start(nil)
		r.drained()
		points := map[string][]row{} // by terminal
		for _, p := range append(r.rows(schema.BucketEvents, schema.Decline), r.rows(schema.BucketRaw, schema.Heartbeat)...) {
			points[p["terminal"]] = append(points[p["terminal"]], p)
		}
		hits := map[string]int{}
		for _, p := range events {
			t.Run(p.name, func(t *testing.T) {
				hits[p.guard] += max(1, strings.Count(p.name, "two at once")*2)
				of := points[p.key.Terminal]
				if len(of) != 1 {
					t.Fatalf("%d points, want 1: %v", len(of), of)
				}
				for name, want := range p.want {
					if of[0][name] != want {
						t.Errorf("%s is %q, want %q: %v", name, of[0][name], want, of[0])
					}
				}
				var copies []bus.Stored
				for seq, m := range r.stored(streamOf(p.kind)) {
					if m.Subject == p.key.Subject(p.kind) {
						if seq == seqs[p.name] {
							t.Errorf("the original is still there: %s", m.Data)
						}
						copies = append(copies, m)
					}
				}
				if len(copies) != 1 || !strings.HasSuffix(copies[0].ID, bus.RedactedSuffix) || !strings.HasPrefix(copies[0].ID, "a1."+p.key.Terminal+".") {
					t.Errorf("copies in the stream: %+v", copies)
				}
			})
		}
		same(t, "decline", r.declinesOf(fine), ids(fine))
		r.noDeadLetters()
		r.noSecrets(secrets, c)
		for kind, want := range hits {
			if got := c.counter("card_data_hits_total", "kind", kind); got != want {
				t.Errorf("%d hits of %s counted, want %d", got, kind, want)
			}
		}
		if n := c.counter("redacted_total"); n != len(events) {
			t.Errorf("%d events redacted, want %d", n, len(events))
		}
		if n := strings.Count(c.log.String(), "card data redacted"); n < len(events) {
			t.Errorf("%d warnings, want one an event at least", n)
		}
		t.Logf("%d events with card data, hits %v", len(events), hits)
	})
}

// declinesOf are the stored declines of these events' terminals and ids.
func (r *rig) declinesOf(events []event) map[string]row {
	all, out := r.declines(), map[string]row{}
	for _, e := range events {
		if p, ok := all[e.id]; ok {
			out[e.id] = p
		}
	}
	return out
}

// A message that cannot be used and has card data leaves no trace of it in the dead letter or in the stream.
func TestCardDataInDeadLetters(t *testing.T) {
	r := newRig(t, influxtest.Start18(t))
	now := time.Now().UnixMilli()
	bodies := map[string]string{ // by subject
		"fleet.v1.a1.10000001.txn":         `{"ts":1,"id":"` + visa + `"`,
		"fleet.v1.a1.10000002.txn":         fmt.Sprintf(`{"ts":%d,"id":"1","code":"%s"}`, now, mastercard),
		"fleet.v1.a1.10000003.txn":         fmt.Sprintf(`{"ts":%d,"id":"1","code":"03","terminal":"1","app":"%s"}`, now, spaced(jcb)),
		"fleet.v1.a1.10000004.heartbeat":   "card " + spaced(visa) + " was refused",
		"fleet.v1.a1." + visa + ".txn":     fmt.Sprintf(`{"ts":%d,"id":"1","code":"03"}`, now),
		"fleet.v1." + amex + "-.1.txn":     fmt.Sprintf(`{"ts":%d,"id":"1","code":"03x5x"}`, now),
		"fleet.v1.-" + visa + ".1.txn":     fmt.Sprintf(`{"ts":%d,"id":"1","code":"03"}`, now),
		"fleet.v1.a1._zz" + jcb + ".txn":   fmt.Sprintf(`{"ts":%d,"id":"1","code":"03"}`, now),
		"fleet.v1.a1.10000009.txn":         `{"ts":1,"id":"1","code":"03","note":"` + visa + strings.Repeat("x", 5000) + `"}`,
		"fleet.v1.a1.10000010.heartbeat":   `{"ts":1,"boot":"` + mastercard + `","seq":1}`,
		"fleet.v1.a1.1_20" + amex + ".txn": `{}`,
	}
	for subject, body := range bodies {
		if err := r.bus.Publish(t.Context(), bus.Message{Subject: subject, Data: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	fine := someDeclines("fine", 5)
	r.send(messages(fine)...)
	c := r.start(nil)
	r.drained()
	letters := r.deadLetters()
	if len(letters) != len(bodies) {
		t.Errorf("%d dead letters, want %d: %+v", len(letters), len(bodies), letters)
	}
	same(t, "decline", r.declinesOf(fine), ids(fine))
	r.noSecrets([]string{visa, mastercard, amex, jcb}, c)
	t.Logf("%d dead letters without the card data of their originals", len(letters))
}

// A process that dies between any two steps: another one finishes, and every event is stored once, dead-lettered once,
// and no original with card data is left.
func TestCrashBetweenSteps(t *testing.T) {
	for _, at := range []string{collector.ProbeWritten, collector.ProbeRedacted, collector.ProbeDeadLettered} {
		t.Run(at, func(t *testing.T) {
			r := newRig(t, influxtest.Start18(t))
			r.ackWait = time.Second
			events := plantedEvents(time.Now())
			var secrets []string
			for _, p := range events {
				r.planted(p)
				secrets = append(secrets, p.secret...)
			}
			fine, beats := someDeclines("fine", 30), someBeats(0, 30)
			r.send(messages(fine)...)
			r.send(messages(beats)...)
			bad := bus.Message{Subject: "fleet.v1.a1.77777777.txn", Data: []byte("rubbish")}
			r.send(bad)
			var hit atomic.Int32
			var first *running
			ready := make(chan struct{})
			first = r.start(func(o *collector.Options) {
				o.Probe = func(where string) {
					<-ready
					if where == at && hit.Add(1) == 1 {
						first.cancel()
						runtime.Goexit() // this lane does nothing more, as after a kill -9
					}
				}
			})
			close(ready)
			first.wait()
			if hit.Load() == 0 {
				t.Fatalf("the first collector never came to %s", at)
			}
			second := r.start(nil)
			r.drained()
			again := second.counter("messages_total")
			if again == 0 {
				t.Error("the second collector had nothing to do: the first one was not stopped in the middle")
			}
			points := map[string]int{}
			for _, p := range append(r.rows(schema.BucketEvents, schema.Decline), r.rows(schema.BucketRaw, schema.Heartbeat)...) {
				points[p["terminal"]]++
			}
			for _, p := range events {
				if points[p.key.Terminal] != 1 {
					t.Errorf("%s: %d points, want 1", p.name, points[p.key.Terminal])
				}
			}
			same(t, "decline", r.declinesOf(fine), ids(fine))
			heartbeats := r.heartbeats()
			for _, id := range ids(beats) {
				if _, ok := heartbeats[id]; !ok {
					t.Errorf("heartbeat %s is missing", id)
				}
			}
			if letters := r.deadLetters(); len(letters) != 1 || letters[0].Subject != bad.Subject {
				t.Errorf("dead letters: %+v", letters)
			}
			r.noSecrets(secrets, first, second)
			t.Logf("stopped at %s; the second collector took %d messages", at, again)
		})
	}
}
