package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/natstest"
	"github.com/tillwatch/tillwatch/internal/simulate"
)

func TestMain(m *testing.M) {
	natstest.Main()
	os.Exit(m.Run())
}

func TestNewNamesAllThatIsMissing(t *testing.T) {
	_, err := New(Options{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"no bus", "no acquirers", "no regions", "no outlet"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

// TestStoredBeforeTold follows one incident: each transition is in DERIVED when people are told, and with nothing more
// arriving the ticks alone resolve it.
func TestStoredBeforeTold(t *testing.T) {
	r := newRig(t)
	reg := prometheus.NewRegistry()
	p := r.start("p1", func(o *Options) { o.Registry = reg })
	r.eventually("active", func() bool { return p.told.active() == 1 })
	r.burst("2.4.1")
	r.eventually("opened", func() bool { return p.told.has(fleet.StepOpened) })
	// From here on nothing arrives at all.
	r.eventually("resolved", func() bool { return p.told.has(fleet.StepResolved) })
	p.stop()
	r.sound(p.told)
	told := p.told.all()
	first := told[0]
	if first.Step != fleet.StepOpened || first.Acquirer != "a1" || first.Code != "03" || first.Terminals != 5 || first.Merchants != 5 || first.Kind != fleet.IncidentSpike {
		t.Errorf("opened as %+v", first)
	}
	if first.Epoch == 0 || first.Epoch != p.told.terms[0].Epoch {
		t.Errorf("epoch %d, the lease's is %d", first.Epoch, p.told.terms[0].Epoch)
	}
	if len(told) != len(r.transitions()) {
		t.Errorf("%d told, %d stored", len(told), len(r.transitions()))
	}
	counts := gather(t, reg)
	if counts["tillwatch_alerter_events_total watched"] != 5 || counts["tillwatch_alerter_transitions_total spike opened"] != 1 ||
		counts["tillwatch_alerter_open_incidents"] != 0 || counts["tillwatch_alerter_active"] != 0 {
		t.Errorf("metrics %v", counts)
	}
}

// gather reads the counters and gauges by name and label values.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var name strings.Builder
			name.WriteString(f.GetName())
			for _, l := range m.GetLabel() {
				name.WriteString(" " + l.GetValue())
			}
			out[name.String()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return out
}

// TestFaultOfAFleet plays a simulated fleet in real time, one of whose versions fails for a while.
func TestFaultOfAFleet(t *testing.T) {
	f, err := simulate.New(simulate.Options{
		Terminals: 120, Seed: 11, Heartbeat: 2 * time.Second, Rate: 1800, Spread: 0.3, Approvals: true, AlwaysOpen: true,
		Scenario: &simulate.Scenario{Faults: []simulate.Fault{{
			Start: 3 * time.Second, For: 4 * time.Second, Cause: "software_conflict", Rate: 0.9, Scope: simulate.Scope{"acquirer": "a1", "app": simulate.Any},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	regions := map[string]string{}
	for m := range f.Merchants() {
		regions[m.Acquirer+"/"+m.Merchant] = m.Region
	}
	p := r.start("p1", func(o *Options) {
		o.Region = func(acquirer, merchant string) string { return regions[acquirer+"/"+merchant] }
	})
	r.eventually("active", func() bool { return p.told.active() == 1 })
	sum, err := f.Run(t.Context(), simulate.RunOptions{For: 10 * time.Second, Publish: func(ctx context.Context, subject, id string, body []byte) error {
		return r.conn.Publish(ctx, bus.Message{Subject: subject, ID: id, Data: slices.Clone(body)})
	}})
	if err != nil {
		t.Fatal(err)
	}
	app := f.Truth(sum.Began, 1)[0].Scope["app"]
	is := func(x fleet.Transition) bool {
		return x.Acquirer == "a1" && x.Code == "03" && slices.ContainsFunc(x.Scope, func(m map[string]string) bool { return m["app"] == app })
	}
	r.eventually("resolved", func() bool {
		return slices.ContainsFunc(p.told.all(), func(x fleet.Transition) bool { return is(x) && x.Step == fleet.StepResolved })
	})
	p.stop()
	r.sound(p.told)
	opened := 0
	for _, x := range r.transitions() {
		if x.Step == fleet.StepOpened && x.Severity == fleet.SeverityCritical {
			opened++
		}
	}
	if opened != 1 {
		t.Errorf("%d wide incidents of one fault:\n%s", opened, strings.Join(r.stored(), "\n"))
	}
	t.Logf("%s: app %s\n%s", sum, app, strings.Join(r.stored(), "\n"))
}

func TestRestartInTheMiddle(t *testing.T) {
	r := newRig(t)
	slow := func(o *Options) { o.Window = 4 * time.Second }
	p1 := r.start("p1", slow)
	r.eventually("active", func() bool { return p1.told.active() == 1 })
	r.burst("2.4.1")
	r.eventually("opened", func() bool { return p1.told.has(fleet.StepOpened) })
	p1.stop()
	if p1.told.has(fleet.StepResolved) {
		t.Fatal("resolved before the restart: the window is too short for this machine")
	}
	p2 := r.start("p2", slow)
	r.eventually("resolved", func() bool { return p2.told.has(fleet.StepResolved) })
	p2.stop()
	r.sound(p1.told, p2.told)
	told := p2.told.all()
	if told[0].Step == fleet.StepOpened && told[0].Epoch != p1.told.terms[0].Epoch {
		t.Errorf("opened again: %+v", told[0])
	}
	if told[0].Incident != p1.told.all()[0].Incident {
		t.Errorf("the open incident was not told again but %+v", told[0])
	}
	last := told[len(told)-1]
	if last.Step != fleet.StepResolved || last.Epoch != p2.told.terms[0].Epoch || last.Epoch == p1.told.terms[0].Epoch {
		t.Errorf("resolved as %+v", last)
	}
	// A third process finds nothing to say.
	p3 := r.start("p3", slow)
	r.eventually("active", func() bool { return p3.told.active() == 1 })
	r.burst("2.4.2")
	r.eventually("another incident", func() bool { return p3.told.has(fleet.StepOpened) })
	if got := p3.told.all(); got[0].Scope[0]["app"] == "2.4.1" {
		t.Errorf("the third process told of an incident that is over: %+v", got[0])
	}
}

func TestHeldMerchantSurvivesARestart(t *testing.T) {
	r := newRig(t)
	held := func(o *Options) { o.Window, o.Incident.Hold = time.Minute, 4*time.Second }
	p1 := r.start("p1", held)
	r.eventually("active", func() bool { return p1.told.active() == 1 })
	r.txn("a1", "T1", "m1", "2.4.1", "03")
	r.txn("a1", "T2", "m1", "2.4.1", "03")
	began, err := r.conn.Last(t.Context(), fleet.Key{Acquirer: "a1", Terminal: "T2"}.Subject(fleet.KindTxn))
	if err != nil {
		t.Fatal(err)
	}
	// The cursor passes the instant at which the rule began to hold: the next process must know it from the past.
	claims, err := r.conn.Bucket(t.Context(), bus.KVClaims)
	if err != nil {
		t.Fatal(err)
	}
	r.eventually("the cursor is past the declines", func() bool {
		v, _, err := claims.Load(t.Context(), cursorKey)
		return err == nil && string(v) > fmt.Sprint(began.Stored.Add(time.Second).UnixNano())
	})
	p1.stop()
	if len(r.transitions()) != 0 {
		t.Fatalf("opened too soon: %s", r.stored())
	}
	p2 := r.start("p2", held)
	r.eventually("opened", func() bool { return p2.told.has(fleet.StepOpened) })
	// The stream's clock says when, whatever the machine took: at the first second at which it was held long enough.
	want := began.Stored.Add(4 * time.Second).Truncate(time.Second).Add(time.Second)
	if at := time.UnixMilli(p2.told.all()[0].At); !at.Equal(want) {
		t.Errorf("opened at %s, want %s, counted from before the restart", at, want)
	}
	r.sound(p1.told, p2.told)
}

func TestStandbyTakesOverAtOnceAfterAStop(t *testing.T) {
	r := newRig(t)
	p1 := r.start("p1")
	r.eventually("p1 active", func() bool { return p1.told.active() == 1 })
	p2 := r.start("p2")
	r.burst("2.4.1")
	r.eventually("opened", func() bool { return p1.told.has(fleet.StepOpened) })
	if p2.told.active() != 0 || len(p2.told.all()) != 0 {
		t.Fatal("two alerters are active at once")
	}
	stopped := time.Now()
	p1.stop()
	r.eventually("p2 active", func() bool { return p2.told.active() == 1 })
	t.Logf("taken over %s after the stop", time.Since(stopped).Round(time.Millisecond))
	r.eventually("resolved", func() bool { return p2.told.has(fleet.StepResolved) })
	p2.stop()
	r.sound(p1.told, p2.told)
}

func TestStandbyTakesOverFromALostConnection(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the lease to end")
	}
	r := newRig(t)
	var lost *bus.Conn
	p1 := r.start("p1", func(o *Options) { lost = o.Bus })
	r.eventually("p1 active", func() bool { return p1.told.active() == 1 })
	p2 := r.start("p2")
	cut := time.Now()
	lost.Close()
	r.eventually("p2 active", func() bool { return p2.told.active() == 1 })
	if until := p1.told.terms[0].Until(); until.After(time.Now()) {
		t.Errorf("the first still believes to be active until %s", until)
	}
	t.Logf("taken over %s after the connection was lost", time.Since(cut).Round(10*time.Millisecond))
	r.burst("2.4.1")
	r.eventually("opened", func() bool { return p2.told.has(fleet.StepOpened) })
	if len(p1.told.all()) != 0 {
		t.Errorf("the first told %+v", p1.told.all())
	}
	r.sound(p1.told, p2.told)
}

func TestWhatWasStoredAndNotToldIsToldNext(t *testing.T) {
	r := newRig(t)
	p := r.start("p1", func(o *Options) { o.Window, o.Retell = 10*time.Second, time.Hour })
	r.eventually("active", func() bool { return p.told.active() == 1 })
	p.told.mu.Lock()
	p.told.fail = errors.New("the outlet is broken")
	p.told.mu.Unlock()
	r.burst("2.4.1")
	r.eventually("a second term", func() bool { return p.told.active() == 2 })
	r.eventually("told again", func() bool { return len(p.told.all()) >= 2 })
	told := p.told.all()
	if told[1].Incident != told[0].Incident || told[1].N < told[0].N {
		t.Errorf("told %+v after %+v", told[1], told[0])
	}
	p.stop()
	r.sound(p.told)
}

func TestEventsThatSayNothing(t *testing.T) {
	r := newRig(t)
	reg := prometheus.NewRegistry()
	p := r.start("p1", func(o *Options) { o.Registry = reg })
	r.eventually("active", func() bool { return p.told.active() == 1 })
	k := fleet.Key{Acquirer: "a1", Terminal: "T1"}
	for i, m := range []bus.Message{
		{Subject: k.Subject(fleet.KindTxn), Data: []byte(`{"ts":`)},
		{Subject: k.Subject(fleet.KindTxn), Data: []byte(`{"ts":1,"id":"x","code":"03","terminal":"T2"}`)},
		{Subject: k.Subject(fleet.KindHeartbeat), Data: []byte(`[]`)},
		{Subject: "fleet.v1.a1.%%.txn", Data: []byte(`{"ts":1,"id":"x","code":"03"}`)},
	} {
		m.ID = fmt.Sprint("bad", i)
		if err := r.conn.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	r.burst("2.4.1")
	r.eventually("opened", func() bool { return p.told.has(fleet.StepOpened) })
	if n := gather(t, reg)["tillwatch_alerter_events_total undecodable"]; n != 4 {
		t.Errorf("%v undecodable events, want 4", n)
	}
}

// TestLatency prints how long it takes from a decline's storage to Notify.
func TestLatency(t *testing.T) {
	r := newRig(t)
	p := r.start("p1")
	r.eventually("active", func() bool { return p.told.active() == 1 })
	var took []time.Duration
	for i := range 20 {
		app := fmt.Sprintf("9.%d", i)
		for j := range 4 {
			r.txn(fmt.Sprint("a", i), fmt.Sprint("T", j), fmt.Sprint("m", j), app, "03")
		}
		sent := time.Now()
		r.txn(fmt.Sprint("a", i), "T4", "m4", app, "03")
		var at time.Time
		r.eventually("opened "+app, func() bool {
			p.told.mu.Lock()
			defer p.told.mu.Unlock()
			for j, x := range p.told.told {
				if x.Step == fleet.StepOpened && x.Acquirer == fmt.Sprint("a", i) {
					at = p.told.at[j]
					return true
				}
			}
			return false
		})
		took = append(took, at.Sub(sent))
	}
	slices.Sort(took)
	t.Logf("decline published to Notify, %d incidents: median %s, longest %s", len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	p.stop()
	r.sound(p.told)
}
