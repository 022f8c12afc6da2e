package simulate

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// TestFaultsStayInTheirScopeAndWindow plays each cause beside the same fleet without it, event by event.
func TestFaultsStayInTheirScopeAndWindow(t *testing.T) {
	const start, length, rate = 10 * time.Minute, 15 * time.Minute, 0.75
	base := Options{Terminals: 250, Seed: 21, Rate: 600, AlwaysOpen: true, Approvals: true, Retry: -1}
	healthy := slices.Collect(newFleet(t, base).Events(40 * time.Minute))
	for _, cause := range Causes() {
		t.Run(cause, func(t *testing.T) {
			o := base
			o.Scenario = &Scenario{Faults: []Fault{{Start: start, For: length, Cause: cause, Code: "03", Rate: rate, Scope: Scope{"acquirer": "a1", "region": Any}}}}
			f := newFleet(t, o)
			truth := f.Truth(f.Start(), 1)[0]
			from, to := time.UnixMilli(truth.Start), time.UnixMilli(truth.End)
			mids := map[string]bool{}
			for m := range f.Merchants() {
				mids[m.Merchant] = true
			}
			effect := effects[cause]
			seen := map[string]int{}
			hit, tx, beats, n := 0, 0, 0, 0
			for e := range f.Events(40 * time.Minute) {
				was := healthy[n]
				n++
				if e.Terminal != was.Terminal || e.At != was.At {
					t.Fatalf("event %d: terminal %d at %s, healthy: %d at %s", n, e.Terminal, e.At, was.Terminal, was.At)
				}
				if !f.Matches(truth.Scope, e.Terminal) || e.At.Before(from) || !e.At.Before(to) {
					if e.Beat != nil { // what was declined stays in the totals
						e.Beat.Approved, e.Beat.Declined = was.Beat.Approved, was.Beat.Declined
					}
					if !sameEvent(&e, &was) {
						t.Fatalf("outside its scope %v and window:\n%s", truth.Scope, cmp.Diff(was, e))
					}
					continue
				}
				if e.Txn != nil {
					tx++
					switch {
					case e.Txn.Code == "03":
						hit++
					case e.Txn.Code != was.Txn.Code:
						seen[e.Txn.Code]++
					}
					if (e.Txn.Params != was.Txn.Params) != effect.params || (e.Txn.Merchant != was.Txn.Merchant) != effect.mid || mids[e.Txn.Merchant] == effect.mid {
						t.Fatalf("parameters %s, merchant %s", e.Txn.Params, e.Txn.Merchant)
					}
					continue
				}
				beats++
				b, w := e.Beat, was.Beat
				moved := b.ICCID != w.ICCID || b.Cell != w.Cell
				broken := b.Reader == "fault" || b.PINPad == "fault" || b.Printer == "fault"
				weak := b.RSSI < -105 && b.Fields.Has(fleet.HasRSSI)
				if b.HostOK == effect.hostDown || weak != (effect.hostDown && b.Fields.Has(fleet.HasRSSI)) || broken != effect.hardware ||
					(b.Params != w.Params) != effect.params || (b.Merchant != w.Merchant) != effect.mid || moved != (effect.moved && b.ICCID != "") {
					t.Fatalf("heartbeat:\n%s", cmp.Diff(w, b))
				}
			}
			if n != len(healthy) {
				t.Errorf("%d events, healthy: %d", n, len(healthy))
			}
			share := float64(hit) / float64(tx)
			t.Logf("scope %v: %d terminals of %d merchants; %d of %d transactions declined with 03 (%.3f), beside them %v; %d heartbeats", truth.Scope, truth.Terminals, truth.Merchants, hit, tx, share, seen, beats)
			if tx < 30 || beats < 30 || math.Abs(share-rate) > 5*math.Sqrt(rate*(1-rate)/float64(tx)) {
				t.Errorf("%.3f of %d transactions, want %.2f", share, tx, rate)
			}
			if len(seen) != len(effect.beside) {
				t.Errorf("codes beside 03: %v, want those of %v", seen, effect.beside)
			}
			for _, code := range effect.beside {
				if seen[code] == 0 {
					t.Errorf("no %s beside 03", code)
				}
			}
		})
	}
}

func sameEvent(a, b *Event) bool {
	if a.Key != b.Key || a.Kind != b.Kind || (a.Txn == nil) != (b.Txn == nil) {
		return false
	}
	if a.Txn != nil {
		return *a.Txn == *b.Txn
	}
	return *a.Beat == *b.Beat
}

func TestDeclinedSalesAreTriedAgain(t *testing.T) {
	for retry, want := range map[float64][2]float64{-1: {1, 1.001}, 0.5: {1.7, 2}, 1: {3, 4}} {
		o := Options{Terminals: 300, Seed: 6, Rate: 12, AlwaysOpen: true, Approvals: true, Retry: retry,
			Scenario: &Scenario{Faults: []Fault{{For: 4 * time.Hour, Cause: "unknown"}}}}
		attempts, sales := 0, 0
		last := map[int]Event{}
		for e := range newFleet(t, o).Events(4 * time.Hour) {
			if e.Txn == nil || e.Txn.Type != "sale" {
				continue
			}
			attempts++
			was, ok := last[e.Terminal]
			if gap := e.At.Sub(was.At); ok && was.Txn.Amount == e.Txn.Amount && was.Txn.Entry == e.Txn.Entry && gap >= 4*time.Second && gap < 12*time.Second {
				if was.Txn.ID == e.Txn.ID {
					t.Fatalf("another attempt has the id of the first: %s", e.Txn.ID)
				}
			} else {
				sales++
			}
			last[e.Terminal] = e
		}
		mean := float64(attempts) / float64(sales)
		t.Logf("retry %v: %d attempts at %d sales, %.2f each", retry, attempts, sales, mean)
		if sales < 1000 || mean < want[0] || mean > want[1] {
			t.Errorf("retry %v: %.2f attempts a sale, want %v", retry, mean, want)
		}
	}
}

func TestOneTerminalIsChronicallyWrong(t *testing.T) {
	f := newFleet(t, Options{Terminals: 200, Seed: 12, Rate: 30, AlwaysOpen: true, Approvals: true, Chronic: true})
	truth := f.Truth(f.Start(), 1)
	if len(truth) != 1 || !truth[0].Chronic || truth[0].End != 0 || truth[0].Terminals != 1 {
		t.Fatalf("truth %+v", truth)
	}
	bad, all, elsewhere := 0, 0, 0
	for e := range f.Events(10 * time.Hour) {
		if e.Txn == nil {
			continue
		}
		mine := f.Matches(truth[0].Scope, e.Terminal)
		if mine {
			all++
			if _, known := f.byMID[e.Txn.Merchant]; known {
				t.Fatalf("its merchant number %s is somebody's", e.Txn.Merchant)
			}
		}
		if e.Txn.Code == "03" {
			if mine {
				bad++
			} else {
				elsewhere++
			}
		}
	}
	t.Logf("%s: %d of %d transactions are 03; %d elsewhere", truth[0].Scope["terminal"], bad, all, elsewhere)
	if all < 20 || float64(bad)/float64(all) < 0.8 || elsewhere > 10 {
		t.Errorf("%d of %d, %d elsewhere", bad, all, elsewhere)
	}
}

func TestTruthCountsWhatIsInScope(t *testing.T) {
	o := Options{Terminals: 400, Seed: 2, Scenario: everyCause()}
	f := newFleet(t, o)
	start := time.UnixMilli(1_800_000_000_000)
	truths := f.Truth(start, 10)
	if len(truths) != len(o.Scenario.Faults) {
		t.Fatalf("%d truths of %d faults", len(truths), len(o.Scenario.Faults))
	}
	for n, truth := range truths {
		raw := o.Scenario.Faults[n]
		if want := start.Add(raw.Start / 10).UnixMilli(); truth.Fault != n || truth.Start != want || truth.End != start.Add((raw.Start+raw.For)/10).UnixMilli() {
			t.Errorf("%s: from %d to %d, want from %d at tenfold speed", raw.Cause, truth.Start, truth.End, want)
		}
		terminals, merchants := 0, map[string]bool{}
		i := 0
		for _, mid := range f.Keys() {
			if f.Matches(truth.Scope, i) {
				terminals++
				merchants[mid] = true
			}
			i++
		}
		if truth.Terminals != terminals || truth.Merchants != len(merchants) || terminals == 0 {
			t.Errorf("%s: %d terminals of %d merchants, want %d of %d", raw.Cause, truth.Terminals, truth.Merchants, terminals, len(merchants))
		}
		if effects[raw.Cause].oneTrader && (truth.Merchants != 1 || truth.Terminals < 3) {
			t.Errorf("%s: %d terminals of %d merchants, want several of one", raw.Cause, truth.Terminals, truth.Merchants)
		}
	}
}
