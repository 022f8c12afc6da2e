package collector_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/collector"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// One line of a batch that the database refuses (a field has another type there) becomes a dead letter; all others of
// the batch are stored, on a server that stores the good lines of a refused batch and on one that stores none.
func TestOneRefusedLine(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		r := newRig(t, s)
		now := time.Now()
		// Somebody else has written these fields with other types; types hold for a measurement and a day.
		for bucket, line := range map[string]string{
			schema.BucketRaw:    "heartbeat,acquirer=other,terminal=1 battery=1.5",
			schema.BucketEvents: `decline,acquirer=other,code=03,h=0 latency_ms="slow"`,
		} {
			if err := r.db.Write(t.Context(), bucket, fmt.Appendf(nil, "%s %d\n", line, now.UnixNano())); err != nil {
				t.Fatal(err)
			}
		}
		var declines, beats []event
		badDecline := txn(key("a1", 3), "bad", "03", now, `,"latency_ms":240`)
		badBeat := beat(key("a1", 77), 1, now, `,"app":"2.4.1","health":{"battery":87}`)
		for i := range 150 {
			declines = append(declines, txn(key("a1", i%7), fmt.Sprint("good-", i), "03", now, ""))
			beats = append(beats, beat(key("a1", i), 1, now, `,"app":"2.4.1"`))
			if i == 77 {
				declines = append(declines, badDecline)
				beats[77] = badBeat
			}
		}
		r.send(messages(declines)...)
		r.send(messages(beats)...)
		c := r.start(func(o *collector.Options) { o.Batch, o.Writers, o.Linger = 1000, 1, 300*time.Millisecond })
		r.drained()
		letters := r.deadLetters()
		if len(letters) != 2 {
			t.Errorf("%d dead letters, want 2", len(letters))
		}
		for _, l := range letters {
			want := map[string]string{
				badDecline.Subject: "dlq.v1.a1.10000003.txn", badBeat.Subject: "dlq.v1.a1.10000077.heartbeat",
			}[l.Subject]
			body := map[string]string{badDecline.Subject: string(badDecline.Data), badBeat.Subject: string(badBeat.Data)}[l.Subject]
			if l.Reason != collector.ReasonRefused || l.subject != want || l.Payload != body || !strings.Contains(l.Detail, "the database refuses its line") || !strings.Contains(l.Detail, "conflict") {
				t.Errorf("dead letter on %s: %+v", l.subject, l.DeadLetter)
			}
		}
		var goodDeclines, goodBeats []string
		for _, id := range ids(declines) {
			if id != badDecline.id {
				goodDeclines = append(goodDeclines, id)
			}
		}
		for _, id := range ids(beats) {
			if id != badBeat.id {
				goodBeats = append(goodBeats, id)
			}
		}
		gotDeclines, gotBeats := r.declines(), r.heartbeats()
		delete(gotDeclines, "other//")
		delete(gotBeats, "other/1/")
		same(t, "decline", gotDeclines, goodDeclines)
		same(t, "heartbeat", gotBeats, goodBeats)
		if n := c.counter("dead_letters_total", "reason", string(collector.ReasonRefused)); n != 2 {
			t.Errorf("%d refused lines counted, want 2", n)
		}
		if errs, _ := c.lastCondition("influx"); errs != 0 {
			t.Errorf("a bad line was reported as trouble of the database %d times", errs)
		}
		// The facts of the refused heartbeat were not stored, so the terminal's next one carries them.
		next := beat(key("a1", 77), 2, now.Add(time.Second), `,"app":"2.4.1"`)
		r.send(next.Message)
		r.drained()
		if p := r.heartbeats()[next.id]; p["app"] != "2.4.1" {
			t.Errorf("the heartbeat after the refused one has no facts: %v", p)
		}
		t.Logf("2 of 302 lines refused; %d writes were refused on the way", c.counter("write_errors_total", "class", "bad_lines"))
	})
}
