package tally

import (
	"fmt"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// start is when the streams of these tests begin.
var start = time.Date(2026, time.November, 23, 1, 0, 0, 0, time.UTC)

// rig is a tally with a clock and numbered events. a1 and a2 know their volume from totals, ap sends approvals, sw is
// reported by its switch.
type rig struct {
	*Tally
	tb  testing.TB
	now time.Time
	n   int
}

func newRig(tb testing.TB, window time.Duration) *rig {
	tb.Helper()
	profile, err := fleet.LookupProfile(fleet.ProfileUnionPay)
	if err != nil {
		tb.Fatal(err)
	}
	acquirers := map[string]Acquirer{
		"a1": {Profile: profile, Source: fleet.SourceTerminal},
		"a2": {Profile: profile, Source: fleet.SourceTerminal},
		"ap": {Profile: profile, Source: fleet.SourceTerminal, Approvals: true},
		"sw": {Profile: profile, Source: fleet.SourceSwitch},
	}
	return &rig{tb: tb, now: start, Tally: New(Options{
		Window:   window,
		Acquirer: func(id string) Acquirer { return acquirers[id] },
		Region: func(acquirer, merchant string) string {
			return map[string]string{"m1": "r1", "m2": "r1", "m3": "r3"}[merchant]
		},
	})}
}

// at moves the clock to so long after the start.
func (r *rig) at(d time.Duration) *rig { r.now = start.Add(d); return r }

// txn folds one transaction of now, of a merchant m1 and version 2.4.1 unless change says otherwise.
func (r *rig) txn(acquirer, terminal, code string, change ...func(*fleet.Txn)) Verdict {
	r.n++
	x := fleet.Txn{TS: r.now.UnixMilli(), ID: fmt.Sprint(r.n), Src: fleet.SourceTerminal, Merchant: "m1", App: "2.4.1", Code: code}
	for _, c := range change {
		c(&x)
	}
	v, _ := r.Txn(r.now, fleet.Key{Acquirer: acquirer, Terminal: terminal}, &x)
	return v
}

// clock makes a terminal's own clock differ from the time of arrival.
func clock(d time.Duration) func(*fleet.Txn) {
	return func(x *fleet.Txn) { x.TS += d.Milliseconds() }
}

func (r *rig) beat(terminal string, boot, seq, approved, declined int64, change ...func(*fleet.Heartbeat)) {
	h := fleet.Heartbeat{
		TS: r.now.UnixMilli(), Boot: boot, Seq: seq, Merchant: "m1", Model: "A920", App: "2.4.1",
		Approved: approved, Declined: declined, Fields: fleet.HasTotals,
	}
	for _, c := range change {
		c(&h)
	}
	r.Heartbeat(r.now, fleet.Key{Acquirer: "a1", Terminal: terminal}, &h)
}

func of(p alerter.Place, code string) alerter.Series { return alerter.Series{Place: p, Code: code} }

// declines and volume are what a place shows now.
func (r *rig) declines(p alerter.Place) int { return r.Counts(of(p, "03")).Declines }

func (r *rig) volume(p alerter.Place) int64 { return r.Counts(of(p, "03")).Transactions }

func (r *rig) want(p alerter.Place, declines int, volume int64) {
	r.tb.Helper()
	if d, v := r.declines(p), r.volume(p); d != declines || v != volume {
		r.tb.Errorf("%v at %s: %d declines of %d, want %d of %d", p, r.Now().Sub(start), d, v, declines, volume)
	}
}

var (
	inA1     = alerter.Place{Acquirer: "a1"}
	onApp    = alerter.Place{Acquirer: "a1", App: "2.4.1"}
	onNewApp = alerter.Place{Acquirer: "a1", App: "2.4.2"}
	atM1     = alerter.Place{Acquirer: "a1", Merchant: "m1"}
)
