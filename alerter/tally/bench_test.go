package tally

import (
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/simulate"
)

// BenchmarkTxn folds the transactions of ten minutes of 5,000 terminals, a version of a1 failing from the second minute
// on, over and over with ids and times of their own.
func BenchmarkTxn(b *testing.B) {
	f, err := simulate.New(simulate.Options{
		Terminals: 5000, Seed: 3, Rate: 60, Approvals: true, AlwaysOpen: true, Heartbeat: time.Hour,
		Scenario: &simulate.Scenario{Faults: []simulate.Fault{{
			Start: time.Minute, For: 9 * time.Minute, Cause: "software_conflict", Rate: 0.8, Scope: simulate.Scope{"acquirer": "a1", "app": simulate.Any},
		}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	var events []simulate.Event
	for e := range f.Events(10 * time.Minute) {
		if e.Kind == fleet.KindTxn {
			events = append(events, e)
		}
	}
	r := newRig(b, 5*time.Minute)
	b.ReportAllocs()
	i, round, watched := 0, int64(0), 0
	for b.Loop() {
		if i == len(events) {
			i = 0
			round++
		}
		e := &events[i]
		i++
		x := *e.Txn
		shift := time.Duration(round) * 10 * time.Minute
		x.TS += shift.Milliseconds()
		x.ID = string(rune('a'+round%26)) + x.ID // known for twenty minutes, which is two rounds
		if v, _ := r.Txn(e.At.Add(shift), e.Key, &x); v == Watched {
			watched++
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(watched)/float64(b.N), "watched/event")
}
