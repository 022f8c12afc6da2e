package simulate

import (
	"testing"
	"time"
)

// floor is the rule that is always on: enough distinct terminals with 03 within the window, and 03 a large enough share
// of the scope's transactions in it.
type floor struct {
	window    time.Duration
	terminals int
	fromFirst bool // count transactions from the first 03 in the window on, not from its beginning
}

type answered struct {
	at       time.Time
	terminal int
	bad      bool
}

func (r floor) holds(log []answered, now time.Time) bool {
	bad, tx := 0, 0
	distinct := map[int]bool{}
	for _, a := range log {
		if a.at.Before(now.Add(-r.window)) || r.fromFirst && bad == 0 && !a.bad {
			continue
		}
		tx++
		if a.bad {
			bad++
			distinct[a.terminal] = true
		}
	}
	return len(distinct) >= r.terminals && 2*bad >= tx
}

// first is the first instant at which the rule holds after the fault's start.
func (r floor) first(log []answered, start time.Time) (time.Duration, bool) {
	for i, a := range log {
		if !a.at.Before(start) && r.holds(log[:i+1], a.at) {
			return a.at.Sub(start), true
		}
	}
	return 0, false
}

func TestDemoIsSeenInTime(t *testing.T) {
	for seed := range uint64(12) {
		o := DemoOptions(DefaultStart)
		o.Seed += seed
		f := newFleet(t, o)
		truths := f.Truth(f.Start(), 1)
		logs := make([][]answered, len(truths))
		var all []answered
		for e := range f.Events(3 * time.Minute) {
			if e.Txn == nil {
				continue
			}
			a := answered{e.At, e.Terminal, e.Txn.Code == "03"}
			all = append(all, a)
			for n, truth := range truths {
				if f.Matches(truth.Scope, e.Terminal) {
					logs[n] = append(logs[n], a)
				}
			}
		}
		for n, truth := range truths {
			terminals := 5
			if truth.Scope["merchant"] != "" {
				terminals = 2
			}
			start := time.UnixMilli(truth.Start)
			whole, ok1 := floor{time.Minute, terminals, false}.first(logs[n], start)
			fresh, ok2 := floor{time.Minute, terminals, true}.first(logs[n], start)
			lasts := time.Duration(truth.End-truth.Start) * time.Millisecond
			t.Logf("seed %d: %s %v (%d terminals of %d merchants): the floor holds after %s by the whole window, %s from the first 03 on", o.Seed, truth.Cause, truth.Scope, truth.Terminals, truth.Merchants, whole, fresh)
			soon := 15 * time.Second
			if o.Seed == DemoOptions(DefaultStart).Seed { // the one that people see
				soon = 5 * time.Second
			}
			if !ok1 || !ok2 || whole > lasts || fresh > soon {
				t.Errorf("seed %d: %s: the floor holds %v, %v after %s and %s", o.Seed, truth.Cause, ok1, ok2, whole, fresh)
			}
		}
		early := all
		for i, a := range all {
			if !a.at.Before(time.UnixMilli(truths[0].Start)) {
				early = all[:i]
				break
			}
		}
		if (floor{time.Minute, 2, true}).holds(early, f.Start().Add(35*time.Second)) {
			t.Errorf("seed %d: alarms before anything is wrong", o.Seed)
		}
		if truths[1].Scope["acquirer"] != "a2" || truths[1].Merchants != 1 || truths[1].Terminals < 3 || truths[0].Terminals < 20 {
			t.Errorf("seed %d: %+v", o.Seed, truths)
		}
	}
}
