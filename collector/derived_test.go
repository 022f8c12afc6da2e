package collector_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/collector"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/schema"
)

func (r *rig) publish(subject, id string, body any) {
	r.t.Helper()
	data, ok := body.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(body); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := r.bus.Publish(r.t.Context(), bus.Message{Subject: subject, ID: id, Data: data}); err != nil {
		r.t.Fatal(err)
	}
}

// What the alerter derived is stored with the schema's tags and fields, once, also when it comes twice; what is not as
// it should be becomes a dead letter; baselines are not for the database.
func TestDerivedIsStored(t *testing.T) {
	influxtest.Both(t, func(t *testing.T, s *influxtest.Server) {
		r := newRig(t, s)
		now := time.Now().UnixMilli()
		findings, incidents := map[string]row{}, map[string]row{}
		twice := func(subject, id string, body any) {
			r.publish(subject, id, body)
			r.publish(subject, "", body) // again, unknown to the stream
		}
		for i := range 20 {
			f := fleet.Finding{
				ID: fmt.Sprint("merchant-status.a1.M", i), N: 1 + i%3, At: now, Check: "merchant-status", Acquirer: "a1", Merchant: fmt.Sprint("M", i),
				Severity: fleet.SeverityCritical, State: fleet.FindingOpen, Value: "cancelled", Evidence: "the acquirer's answer\nof today", Message: `it said "cancelled"`,
			}
			twice(f.Subject(), fmt.Sprint(f.ID, ".", f.N), f)
			findings[f.Merchant] = row{"check": "merchant-status", "acquirer": "a1", "severity": "critical", "state": "open", "value": "cancelled",
				"evidence": f.Evidence, "message": f.Message}
			x := fleet.Transition{
				At: now, Incident: fmt.Sprint("inc.", i), N: 1, Step: fleet.StepOpened, Reason: "first", Kind: fleet.IncidentSpike, Acquirer: "a1", Code: "03",
				Severity: fleet.SeverityCritical, Scope: fleet.Scope{{"acquirer": "a1", "app": "2.4.1"}}, Observed: int64(i), Transactions: 100, Terminals: 3, Merchants: 2,
			}
			if i == 0 {
				x.Acquirer = fleet.AllAcquirers
			}
			twice(x.Subject(), fmt.Sprint("inc", i), x)
			incidents[x.Incident] = row{"kind": "spike", "acquirer": x.Acquirer, "severity": "critical", "state": "opened", "value": fmt.Sprint(i),
				"evidence": `[{"acquirer":"a1","app":"2.4.1"}]`, "message": x.Summary()}
		}
		var rows fleet.Rows
		rows.Measurement = schema.CheckRun
		for i := range 30 {
			rows.Rows = append(rows.Rows, fleet.Row{
				Time: now*1e6 + int64(i), Tags: map[string]string{"check": "merchant-status", "acquirer": "a1"},
				Fields: map[string]json.Number{"asked": "40000", "answered": json.Number(fmt.Sprint(i)), "findings": "3", "seconds": "12.5"},
			})
		}
		twice(fleet.RowsSubject("a1", schema.CheckRun), "run1", rows)
		r.publish("derived.v1.baseline.a1", "b", []byte(`{"anything":1}`))

		good, _ := json.Marshal(fleet.Finding{ID: "f", N: 1, At: now, Check: "c", Acquirer: "a1", Severity: "info"})
		garbage := []struct {
			subject, body, dlq, detail string
			reason                     fleet.Reason
		}{
			{"derived.v1.finding.a1.merchant-status", `{"id":`, "dlq.v1.a1._bad.finding", "unexpected end", fleet.ReasonSyntax},
			{"derived.v1.finding.a2.merchant-status", strings.Replace(string(good), `"check":"c"`, `"check":"a b"`, 1), "dlq.v1.a2._bad.finding", `"a b"`, fleet.ReasonField},
			{"derived.v1.incident._all.x", `{"incident":"x","n":1}`, "dlq.v1._bad._bad.incident", "tag value", fleet.ReasonField},
			{"derived.v1.incident.a3.x", `"text"`, "dlq.v1.a3._bad.incident", "cannot unmarshal", fleet.ReasonSyntax},
			{"derived.v1.rollup.a1.nowhere", `{"measurement":"nowhere","rows":[]}`, "dlq.v1.a1._bad.rollup", "no such measurement", fleet.ReasonField},
			{"derived.v1.rollup.a4.check_run", `{"measurement":"check_run","rows":[{"time":1,"tags":{"check":"c","acquirer":"a4"},"fields":{"asked":1}},{"time":2,"tags":{},"fields":{}}]}`,
				"dlq.v1.a4._bad.rollup", "row 1", fleet.ReasonField},
			{"derived.v1.gossip.a1.x", `{}`, "dlq.v1.a1._bad.gossip", "finding, incident, rollup or baseline", fleet.ReasonSubject},
			// A time that no bucket keeps is the database's to refuse.
			{"derived.v1.rollup.a5.check_run", `{"measurement":"check_run","rows":[{"time":1,"tags":{"check":"c","acquirer":"a5"},"fields":{"asked":1}}]}`,
				"dlq.v1.a5._bad.rollup", "the database refuses its line", collector.ReasonRefused},
		}
		for _, g := range garbage {
			r.publish(g.subject, "", []byte(g.body))
		}
		// Too long for a dead letter, with a number like a card's in it: the alerter's state all the same.
		long := fmt.Sprintf(`{"incident":"long","n":1,"kind":"a b","acquirer":"a6","reason":"%s%s"}`, strings.Repeat("x", 5000), visa)
		r.publish("derived.v1.incident.a6.long", "", []byte(long))
		c := r.start(nil)
		r.drained()

		check := func(what string, stored []row, want map[string]row) {
			t.Helper()
			found := map[string]int{}
			for _, p := range stored {
				found[p["target"]]++
				for name, v := range want[p["target"]] {
					if p[name] != v {
						t.Errorf("%s %s: %s is %q, want %q", what, p["target"], name, p[name], v)
					}
				}
			}
			for target := range want {
				if found[target] != 1 {
					t.Errorf("%s %s is stored %d times", what, target, found[target])
				}
			}
			if len(found) != len(want) {
				t.Errorf("%d of %s, want %d", len(found), what, len(want))
			}
		}
		check(schema.Finding, r.rows(schema.BucketEvents, schema.Finding), findings)
		check(schema.Incident, r.rows(schema.BucketEvents, schema.Incident), incidents)
		answered := map[string]int{}
		for _, p := range r.rows(schema.BucketEvents, schema.CheckRun) {
			answered[p["answered"]]++
			if p["asked"] != "40000" || p["findings"] != "3" || p["seconds"] != "12.5" || p["check"] != "merchant-status" || p["acquirer"] != "a1" {
				t.Errorf("check_run %v", p)
			}
		}
		for i := range 30 {
			if answered[fmt.Sprint(i)] != 1 {
				t.Errorf("row %d is stored %d times", i, answered[fmt.Sprint(i)])
			}
		}
		if len(answered) != 30 {
			t.Errorf("%d rows, want 30", len(answered))
		}
		letters := map[string]letter{}
		for _, l := range r.deadLetters() {
			letters[l.Subject] = l
		}
		for _, g := range garbage {
			l, ok := letters[g.subject]
			if !ok {
				t.Errorf("no dead letter of %s", g.subject)
				continue
			}
			if l.subject != g.dlq || l.Reason != g.reason || !strings.Contains(l.Detail, g.detail) || l.Stream != bus.StreamDerived || l.Payload != g.body {
				t.Errorf("dead letter of %s on %s: %+v", g.subject, l.subject, l.DeadLetter)
			}
		}
		if l := letters["derived.v1.incident.a6.long"]; l.Reason != fleet.ReasonField || l.Seq == 0 || strings.Contains(l.Payload, visa) {
			t.Errorf("dead letter of the long one: %+v", l)
		} else if kept, ok := r.stored(bus.StreamDerived)[l.Seq]; !ok || string(kept.Data) != long {
			t.Error("a derived message was taken out of its stream, where the alerter reads it")
		}
		if len(letters) != len(garbage)+1 {
			t.Errorf("%d dead letters, want %d", len(letters), len(garbage)+1)
		}
		eventually(t, "the baseline is done with", func() bool {
			return c.counter("messages_total", "stream", "DERIVED", "outcome", "not_stored") == 1
		})
		t.Logf("%d findings, %d incidents, %d rows; %d dead letters", len(findings), len(incidents), len(answered), len(letters))
	})
}
