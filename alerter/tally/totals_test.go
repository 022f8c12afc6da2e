package tally

import (
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

func TestVolumeFromTotals(t *testing.T) {
	r := newRig(t, 5*time.Minute)
	r.at(0).beat("T1", 100, 1, 40, 2)
	r.want(inA1, 0, 0) // one heartbeat is no period
	r.at(time.Minute).beat("T1", 100, 2, 49, 3)
	r.want(inA1, 0, 50) // ten a minute, five minutes
	r.at(time.Minute).txn("a1", "T1", "03")
	r.want(inA1, 1, 50)
	for range 60 { // more than the totals say: they are exact
		r.txn("a1", "T1", "51")
	}
	r.want(inA1, 1, 61)
	for _, p := range []alerter.Place{atM1, onApp, {App: "2.4.1"}, {Acquirer: "a1", Region: "r1"}, {Region: "r1"}, {Acquirer: "a1", Model: "A920", App: "2.4.1"}} {
		if v := r.volume(p); v != 50 && v != 61 {
			t.Errorf("volume of %+v is %d", p, v)
		}
	}
}

func TestApprovalsMakeVolumeExact(t *testing.T) {
	r := newRig(t, 5*time.Minute)
	k := fleet.Key{Acquirer: "ap", Terminal: "T1"}
	for i := range 3 {
		h := fleet.Heartbeat{Boot: 1, Seq: int64(i + 1), Merchant: "m1", App: "2.4.1", Approved: int64(100 * i), Fields: fleet.HasTotals}
		r.Heartbeat(start.Add(time.Duration(i)*time.Minute), k, &h)
	}
	r.at(2*time.Minute).txn("ap", "T1", "00")
	r.want(alerter.Place{Acquirer: "ap"}, 0, 1) // totals would say 500
	if v := r.volume(alerter.Place{App: "2.4.1"}); v != 500 {
		t.Errorf("volume of the version over all acquirers is %d, want 500", v)
	}
}

func TestTotalsTimelines(t *testing.T) {
	type beat struct {
		after               time.Duration
		boot, seq, approved int64
		bare                bool // without totals
	}
	m := time.Minute
	for _, c := range []struct {
		name  string
		beats []beat
		want  int64 // volume of a 1-minute window at the last of them
	}{
		{"steady", []beat{{0, 1, 1, 0, false}, {m, 1, 2, 6, false}, {2 * m, 1, 3, 12, false}}, 6},
		{"busier", []beat{{0, 1, 1, 0, false}, {m, 1, 2, 6, false}, {2 * m, 1, 3, 36, false}}, 30},
		{"restarted", []beat{{0, 1, 1, 500, false}, {m, 9, 1, 4, false}}, 4},
		{"restarted and repeated from before", []beat{{0, 1, 1, 500, false}, {m, 9, 1, 4, false}, {m, 1, 1, 500, false}}, 4},
		{"lost heartbeats", []beat{{0, 1, 1, 0, false}, {4 * m, 1, 5, 24, false}}, 6},
		{"out of order", []beat{{0, 1, 1, 0, false}, {2 * m, 1, 3, 12, false}, {2*m + time.Second, 1, 2, 6, false}}, 6},
		{"repeated", []beat{{0, 1, 1, 0, false}, {m, 1, 2, 6, false}, {m + 20*time.Second, 1, 2, 6, false}}, 6},
		{"at once after an outage", []beat{{0, 1, 1, 0, false}, {4 * m, 1, 2, 24, false}, {4 * m, 1, 3, 25, false}}, 6},
		{"totals that shrink", []beat{{0, 1, 1, 90, false}, {m, 1, 2, 6, false}}, 0},
		{"one without totals between", []beat{{0, 1, 1, 0, false}, {m, 1, 2, 0, true}, {2 * m, 1, 3, 12, false}}, 6},
		{"restarted, first without totals", []beat{{0, 1, 1, 500, false}, {m, 9, 1, 0, true}, {2 * m, 9, 2, 12, false}}, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, m)
			for _, b := range c.beats {
				r.at(b.after).beat("T1", b.boot, b.seq, b.approved, 0, func(h *fleet.Heartbeat) {
					if b.bare {
						h.Fields = 0
					}
				})
			}
			if v := r.volume(inA1); v != c.want {
				t.Errorf("volume %d, want %d", v, c.want)
			}
		})
	}
}

func TestSilentTerminalsLeaveTheVolume(t *testing.T) {
	r := newRig(t, time.Minute)
	r.at(0).beat("T1", 1, 1, 0, 0)
	r.at(time.Minute).beat("T1", 1, 2, 6, 0)
	r.at(time.Minute).beat("T2", 1, 1, 0, 0)
	r.at(90*time.Second).beat("T2", 1, 2, 3, 0)
	r.want(inA1, 0, 12)
	r.Advance(start.Add(150*time.Second - time.Nanosecond)) // T2: 30 s, twice, is less than the window
	r.want(inA1, 0, 12)
	r.Advance(start.Add(150 * time.Second))
	r.want(inA1, 0, 6)
	r.Advance(start.Add(3 * time.Minute)) // T1: twice its minute
	r.want(inA1, 0, 0)
}

func TestTerminalBackAfterAWeekKeepsNobodyAlive(t *testing.T) {
	// Its period is a week long. The parts of the others expire in their own time all the same.
	week := 7 * 24 * time.Hour
	r := newRig(t, time.Minute)
	r.at(0).beat("OLD", 1, 1, 0, 0)
	r.at(week-time.Minute).beat("T1", 1, 1, 0, 0)
	r.at(week).beat("OLD", 1, 2, 10080, 0)
	r.at(week).beat("T1", 1, 2, 6, 0)
	r.want(inA1, 0, 7)
	r.Advance(start.Add(week + 3*time.Minute))
	r.want(inA1, 0, 1)
}

func TestUpgradeMovesATerminal(t *testing.T) {
	r := newRig(t, time.Minute)
	r.at(0).beat("T1", 1, 1, 0, 0)
	r.at(time.Minute).beat("T1", 1, 2, 6, 0)
	r.want(onApp, 0, 6)
	r.want(onNewApp, 0, 0)
	r.at(2*time.Minute).beat("T1", 2, 1, 8, 0, func(h *fleet.Heartbeat) { h.App = "2.4.2" })
	r.want(onApp, 0, 0)
	r.want(onNewApp, 0, 8)
	r.want(inA1, 0, 8)
	// A heartbeat that does not repeat slow facts changes none of them.
	r.at(3*time.Minute).beat("T1", 2, 2, 15, 0, func(h *fleet.Heartbeat) { h.App, h.Model, h.Merchant = "", "", "" })
	r.want(onNewApp, 0, 7)
	r.want(atM1, 0, 7)
}
