package dashboards_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/collector/point"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/schema"
	"github.com/tillwatch/tillwatch/internal/simulate"
)

// decline is one decline of the truth, as the simulator made it.
type decline struct {
	at                                      time.Time
	acquirer, terminal, merchant, code, app string
	model                                   string // of the terminal's heartbeats before
	latencyMS                               int64
}

// world is what the databases are filled with, and the truth about it.
type world struct {
	end      time.Time // no event is at or after it
	lines    map[string][]byte
	declines []decline
	events   int
}

const (
	played   = 20 * time.Minute
	status   = "merchant-status"
	openedAt = 12 * time.Minute // before the end
)

// newWorld plays a fleet of two acquirers up to now, with a version that fails at a1 and a merchant of a2 that was
// cancelled, and takes every message the way the collector takes it: subject, decoder, profile, line protocol.
func newWorld(t testing.TB) *world {
	t.Helper()
	end := time.Now().Truncate(time.Second)
	f, err := simulate.New(simulate.Options{
		Terminals: 150, Seed: 3, Start: end.Add(-played), Rate: 60, Spread: 0.4, Retry: 0.8, Approvals: true, AlwaysOpen: true,
		Scenario: &simulate.Scenario{Faults: []simulate.Fault{
			{Start: 6 * time.Minute, For: played, Cause: "software_conflict", Code: "03", Rate: 0.8, Scope: simulate.Scope{"acquirer": "a1", "app": simulate.Any}},
			{Start: 9 * time.Minute, For: played, Cause: "merchant_not_active", Code: "03", Scope: simulate.Scope{"acquirer": "a2"}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	profile, err := fleet.LookupProfile("unionpay")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{end: end, lines: map[string][]byte{}}
	facts := point.NewFacts(10_000)
	for e := range f.Events(played) {
		w.events++
		key, kind, err := fleet.ParseSubject(e.Subject())
		if err != nil {
			t.Fatal(err)
		}
		if kind == fleet.KindHeartbeat {
			var h fleet.Heartbeat
			if err := fleet.DecodeHeartbeat(e.Body(), key, &h); err != nil {
				t.Fatal(err)
			}
			w.lines[schema.BucketRaw] = point.AppendHeartbeat(w.lines[schema.BucketRaw], key, &h, e.At, facts)
			continue
		}
		var x fleet.Txn
		if err := fleet.DecodeTxn(e.Body(), key, &x); err != nil {
			t.Fatal(err)
		}
		if profile.Approved(x.Code) {
			continue
		}
		model := facts.Model(key)
		w.declines = append(w.declines, decline{e.At, key.Acquirer, key.Terminal, x.Merchant, x.Code, x.App, model, x.LatencyMS})
		w.lines[schema.BucketEvents] = point.AppendDecline(w.lines[schema.BucketEvents], key, &x, model, e.At)
	}
	if err := w.derive(); err != nil {
		t.Fatal(err)
	}
	return w
}

// derive adds what the alerter would have published: two incidents of which one is resolved, two findings of which one
// is cleared, and the runs of the check.
func (w *world) derive() (err error) {
	b := w.lines[schema.BucketEvents]
	for i, x := range []fleet.Transition{
		{Incident: "spike-a1", N: 1, Step: fleet.StepOpened, Acquirer: "a1", Observed: 7},
		{Incident: "spike-a1", N: 2, Step: fleet.StepUpdated, Acquirer: "a1", Observed: 23},
		{Incident: "spike-a2", N: 1, Step: fleet.StepOpened, Acquirer: "a2", Observed: 5},
		{Incident: "spike-a2", N: 2, Step: fleet.StepResolved, Acquirer: "a2", Observed: 1},
	} {
		x.At = w.end.Add(-openedAt + time.Duration(i)*time.Minute).UnixMilli()
		x.Kind, x.Code, x.Severity, x.Reason = fleet.IncidentSpike, "03", fleet.SeverityCritical, "floor"
		x.Scope = fleet.Scope{{"acquirer": x.Acquirer}}
		scope, err := json.Marshal(x.Scope)
		if err != nil {
			return err
		}
		if b, err = point.AppendTransition(b, &x, x.Summary(), string(scope)); err != nil {
			return err
		}
	}
	for i, x := range []fleet.Finding{
		{Merchant: w.busiest("a2", "03"), N: 1, State: fleet.FindingOpen, Acquirer: "a2", Value: string(fleet.MerchantCancelled)},
		{Merchant: w.busiest("a1", "03"), N: 1, State: fleet.FindingOpen, Acquirer: "a1", Value: string(fleet.MerchantSuspended)},
		{Merchant: w.busiest("a1", "03"), N: 2, State: fleet.FindingCleared, Acquirer: "a1", Value: string(fleet.MerchantActive)},
	} {
		x.ID, x.Check, x.Severity = status+"."+x.Acquirer+"."+x.Merchant, status, fleet.SeverityCritical
		x.At = w.end.Add(-openedAt + time.Duration(i)*time.Minute).UnixMilli()
		x.Message = fmt.Sprintf("the acquirer says merchant number %s is %s", x.Merchant, x.Value)
		if b, err = point.AppendFinding(b, &x); err != nil {
			return err
		}
	}
	for i := range 3 {
		for _, acquirer := range []string{"a1", "a2"} {
			row := fleet.Row{Time: w.end.Add(time.Duration(i-4) * time.Minute).UnixNano(), Tags: map[string]string{"check": status, "acquirer": acquirer},
				Fields: map[string]json.Number{"asked": "40", "answered": json.Number(strconv.Itoa(36 + i)), "findings": "1", "seconds": "2.125"}}
			if b, err = point.AppendRows(b, &fleet.Rows{Measurement: schema.CheckRun, Rows: []fleet.Row{row}}); err != nil {
				return err
			}
		}
	}
	w.lines[schema.BucketEvents] = b
	return nil
}

// busiest is the acquirer's merchant with the most declines of a code.
func (w *world) busiest(acquirer, code string) (merchant string) {
	n := map[string]int{}
	for _, d := range w.declines {
		if d.acquirer == acquirer && d.code == code {
			n[d.merchant]++
			if n[d.merchant] > n[merchant] {
				merchant = d.merchant
			}
		}
	}
	return merchant
}

// fill makes the buckets of a server and writes the world into them through the collector's client.
func (w *world) fill(t *testing.T, s *influxtest.Server) *influx.Client {
	t.Helper()
	c := s.Client(t)
	if err := c.EnsureBuckets(t.Context(), schema.Buckets); err != nil {
		t.Fatal(err)
	}
	for bucket, lines := range w.lines {
		if err := c.Write(t.Context(), bucket, lines); err != nil {
			t.Fatal(err)
		}
	}
	return c
}
