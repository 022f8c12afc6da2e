package collector_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/collector"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
)

// What cannot be used becomes a dead letter that says why, in the place where its sender is looked for; everything
// else goes on.
func TestUnusableBecomesDeadLetter(t *testing.T) {
	now := time.Now().UnixMilli()
	good := func(format string, a ...any) string { return fmt.Sprintf(format, a...) }
	ts := good(`"ts":%d`, now)
	cases := []struct {
		name, subject, body string
		reason              fleet.Reason
		dlq                 string
		detail              []string
		payload             string // "" for the body as it is
	}{
		{"another terminal", "fleet.v1.a1.10000001.txn", `{` + ts + `,"id":"1","code":"03","terminal":"10000002"}`,
			fleet.ReasonSpoofed, "dlq.v1.a1.10000001.txn", []string{"terminal", `"10000002"`, "10000001"}, ""},
		{"another acquirer", "fleet.v1.a1.10000002.heartbeat", `{` + ts + `,"boot":1,"seq":1,"acquirer":"a2"}`,
			fleet.ReasonSpoofed, "dlq.v1.a1.10000002.heartbeat", []string{"acquirer", `"a2"`, "a1"}, ""},
		{"half a body", "fleet.v1.a1.10000003.txn", `{` + ts + `,"id":`, fleet.ReasonSyntax, "dlq.v1.a1.10000003.txn", []string{"bad_json"}, "{\"ts\":*************,\"id\":"},
		{"not an object", "fleet.v1.a1.10000004.txn", `[1,2]`, fleet.ReasonSyntax, "dlq.v1.a1.10000004.txn", []string{"bad_json"}, ""},
		{"no body", "fleet.v1.a1.10000005.txn", ``, fleet.ReasonSyntax, "dlq.v1.a1.10000005.txn", []string{"bad_json"}, ""},
		{"bytes", "fleet.v1.a1.10000006.heartbeat", "\x00\x01\xff", fleet.ReasonSyntax, "dlq.v1.a1.10000006.heartbeat", []string{"bad_json"}, "[not text, 3 bytes]"},
		{"code of one character", "fleet.v1.a1.10000007.txn", `{` + ts + `,"id":"1","code":"3"}`,
			fleet.ReasonField, "dlq.v1.a1.10000007.txn", []string{`code is "3"`, "ISO 8583 field 39"}, ""},
		{"code with a tag in it", "fleet.v1.a1.10000008.txn", `{` + ts + `,"id":"1","code":"03,h=0"}`,
			fleet.ReasonField, "dlq.v1.a1.10000008.txn", []string{`code is "03,h=0"`}, ""},
		{"no id", "fleet.v1.a1.10000009.txn", `{` + ts + `,"code":"03"}`, fleet.ReasonMissing, "dlq.v1.a1.10000009.txn", []string{"id is required"}, ""},
		{"no boot", "fleet.v1.a1.10000010.heartbeat", `{` + ts + `,"seq":1}`, fleet.ReasonMissing, "dlq.v1.a1.10000010.heartbeat", []string{"boot is required"}, ""},
		{"ts as text", "fleet.v1.a1.10000011.txn", `{"ts":"soon","id":"1","code":"03"}`, fleet.ReasonField, "dlq.v1.a1.10000011.txn", []string{"ts is", "soon", "integer"}, ""},
		{"ts in the year 5000", "fleet.v1.a1.10000012.txn", `{"ts":95617584000000,"id":"1","code":"03"}`, fleet.ReasonField, "dlq.v1.a1.10000012.txn", []string{"ts is", "integer"}, ""},
		{"source nobody knows", "fleet.v1.a1.10000013.txn", `{` + ts + `,"id":"1","code":"03","src":"till"}`, fleet.ReasonField, "dlq.v1.a1.10000013.txn", []string{"src", "terminal or switch"}, ""},
		{"too large", "fleet.v1.a1.10000014.txn", `{` + ts + `,"id":"1","code":"03","note":"` + strings.Repeat("x", 5000) + `"}`,
			fleet.ReasonTooLarge, "dlq.v1.a1.10000014.txn", []string{"at most 4096 bytes"}, "…"},
		{"acquirer that cannot be one", "fleet.v1.-a.10000015.txn", `{` + ts + `,"id":"1","code":"03"}`,
			fleet.ReasonSubject, "dlq.v1._bad._bad.txn", []string{"acquirer", `"-a"`}, ""},
		{"terminal spelled twice", "fleet.v1.a1._41.heartbeat", `{` + ts + `,"boot":1,"seq":1}`,
			fleet.ReasonSubject, "dlq.v1._bad._bad.heartbeat", []string{"terminal", "_41"}, ""},
		{"terminal of padding only", "fleet.v1.a1._20_20.txn", `{` + ts + `,"id":"1","code":"03"}`,
			fleet.ReasonSubject, "dlq.v1._bad._bad.txn", []string{"1 to 32 bytes"}, ""},
		{"odd bytes in the terminal", "fleet.v1.a1.T_5f1_2c.txn", `{` + ts + `,"id":"","code":"03"}`,
			fleet.ReasonField, "dlq.v1.a1.T_5f1_2c.txn", []string{"id"}, ""},
	}
	r := newRig(t, influxtest.Start18(t))
	var fine []event
	var all []bus.Message
	for i, tc := range cases {
		e := txn(key("a1", i), fmt.Sprint("fine-", i), "03", time.Now(), "")
		h := beat(key("a1", i), i, time.Now(), "")
		fine = append(fine, e, h)
		all = append(all, e.Message, bus.Message{Subject: tc.subject, Data: []byte(tc.body)}, h.Message)
	}
	r.send(all...)
	c := r.start(nil)
	r.drained()
	letters := map[string]letter{}
	for _, l := range r.deadLetters() {
		id := l.Subject
		if _, twice := letters[id]; twice {
			t.Errorf("two dead letters of %s", l.Subject)
		}
		letters[id] = l
	}
	reasons := map[fleet.Reason]int{}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reasons[tc.reason]++
			var found *letter
			for _, l := range letters {
				if l.Subject == tc.subject {
					found = &l
				}
			}
			if found == nil {
				t.Fatal("no dead letter")
			}
			stream := bus.StreamTxn
			if strings.HasSuffix(tc.subject, "heartbeat") {
				stream = bus.StreamHB
			}
			if found.Reason != tc.reason || found.subject != tc.dlq || found.Stream != stream || found.Seq == 0 || found.At < now {
				t.Errorf("dead letter on %s: %+v\nwant %s on %s", found.subject, found.DeadLetter, tc.reason, tc.dlq)
			}
			for _, want := range tc.detail {
				if !strings.Contains(found.Detail, want) {
					t.Errorf("detail %q does not say %q", found.Detail, want)
				}
			}
			want := tc.payload
			if want == "" {
				want = tc.body
			}
			if found.Payload != want && (want != "…" || !strings.Contains(found.Payload, want) || len(found.Payload) > 2048) {
				t.Errorf("payload %q, want %q", found.Payload, want)
			}
		})
	}
	if len(letters) != len(cases) {
		t.Errorf("%d dead letters, want %d", len(letters), len(cases))
	}
	stored := r.declines()
	maps.Copy(stored, r.heartbeats())
	same(t, "event", stored, ids(fine))
	for reason, n := range reasons {
		if got := c.counter("dead_letters_total", "reason", string(reason)); got != n {
			t.Errorf("%d dead letters counted as %s, want %d", got, reason, n)
		}
	}
	// They are done with: another collector finds nothing to do.
	c.stop()
	again := r.start(nil)
	r.drained()
	again.stop()
	if n := again.counter("messages_total"); n != 0 {
		t.Errorf("a second collector was given %d messages", n)
	}
	if n := len(r.deadLetters()); n != len(cases) {
		t.Errorf("%d dead letters after the second collector, want %d", n, len(cases))
	}
	t.Logf("%d unusable messages, by reason %v; %d others stored", len(cases), reasons, len(fine))
}

// Poison in numbers stops nobody: a terminal that sends nothing but rubbish has its dead letters capped, is counted in
// full, and the events of the others are stored.
func TestPoisonDoesNotStopTheRest(t *testing.T) {
	r := newRig(t, influxtest.Start18(t))
	const poison = 1500
	var all []bus.Message
	fine := someDeclines("fine", 300)
	for i := range poison {
		all = append(all, bus.Message{Subject: "fleet.v1.a1.99999999.txn", Data: fmt.Appendf(nil, "rubbish %d", i)})
		if i%5 == 0 {
			all = append(all, fine[i/5].Message)
		}
	}
	r.send(all...)
	c := r.start(func(o *collector.Options) { o.Batch = 200 })
	r.drained()
	same(t, "decline", r.declines(), ids(fine))
	kept := r.deadLetters()
	if len(kept) != 1000 {
		t.Errorf("%d dead letters kept, want the 1000 of one terminal and kind", len(kept))
	}
	eventually(t, "all counted", func() bool { return c.counter("dead_letters_total", "reason", "bad_json") == poison })
	t.Logf("%d poisoned messages, %d dead letters kept, %d declines stored", poison, len(kept), len(fine))
}
