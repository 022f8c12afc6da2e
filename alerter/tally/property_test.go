package tally

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// step is one call of a random stream.
type step struct {
	at   time.Time
	key  fleet.Key
	txn  *fleet.Txn // else a heartbeat
	beat *fleet.Heartbeat
}

func (s step) fold(t *Tally) Verdict {
	if s.txn == nil {
		t.Heartbeat(s.at, s.key, s.beat)
		return ""
	}
	x := *s.txn
	v, _ := t.Txn(s.at, s.key, &x)
	return v
}

// stream draws events of a small fleet over some minutes; skew draws how far a terminal's clock is off.
func stream(rt *rapid.T, skew *rapid.Generator[time.Duration]) (steps []step) {
	now := start
	seq := map[fleet.Key]int64{}
	n := rapid.IntRange(1, 120).Draw(rt, "events")
	for i := range n {
		now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(rt, "gap")) * time.Millisecond)
		key := fleet.Key{Acquirer: rapid.SampledFrom([]string{"a1", "a2"}).Draw(rt, "acquirer"), Terminal: rapid.SampledFrom([]string{"T1", "T2", "T3", "T4"}).Draw(rt, "terminal")}
		merchant := rapid.SampledFrom([]string{"m1", "m2", "m3", ""}).Draw(rt, "merchant")
		app := rapid.SampledFrom([]string{"2.4.1", "2.4.2", ""}).Draw(rt, "app")
		model := rapid.SampledFrom([]string{"A920", "A80", ""}).Draw(rt, "model")
		ts := now.Add(skew.Draw(rt, "skew")).UnixMilli()
		if rapid.IntRange(0, 3).Draw(rt, "kind") == 0 {
			seq[key]++
			steps = append(steps, step{at: now, key: key, beat: &fleet.Heartbeat{
				TS: ts, Boot: 1, Seq: seq[key], Merchant: merchant, App: app, Model: model,
				Approved: seq[key] * int64(rapid.IntRange(0, 9).Draw(rt, "approved")), Fields: fleet.HasTotals,
			}})
			continue
		}
		code := rapid.SampledFrom([]string{"03", "97", "00", "51"}).Draw(rt, "code")
		steps = append(steps, step{at: now, key: key, txn: &fleet.Txn{
			TS: ts, ID: fmt.Sprint(i), Src: fleet.SourceTerminal, Merchant: merchant, App: app, Model: model, Code: code,
		}})
	}
	return steps
}

// seen is all that a tally shows: what every place counts of every code.
func seen(t *Tally) map[alerter.Series]string {
	out := map[alerter.Series]string{}
	for p := range t.places {
		for _, code := range []string{"03", "97"} {
			s := alerter.Series{Place: p, Code: code}
			c := t.Counts(s)
			out[s] = fmt.Sprintf("%d of %d since %d, %v, %v", c.Declines, c.Transactions, c.First.UnixMilli(), c.Terminals, c.Merchants)
		}
	}
	return out
}

// TestRedeliveryCountsNothingTwice repeats any events at any later place of the stream: within the memory of ids, behind
// it, heartbeats too. What is counted stays what it is without.
func TestRedeliveryCountsNothingTwice(t *testing.T) {
	var repeats, checks int
	rapid.Check(t, func(rt *rapid.T) {
		steps := stream(rt, rapid.Map(rapid.IntRange(-90, 90), func(n int) time.Duration { return time.Duration(n) * time.Second }))
		window := rapid.SampledFrom([]time.Duration{time.Minute, 5 * time.Minute, time.Hour}).Draw(rt, "window")
		plain, with := newRig(t, window), newRig(t, window)
		for i, s := range steps {
			s.fold(plain.Tally)
			s.fold(with.Tally)
			for range rapid.IntRange(0, 2).Draw(rt, "repeats") {
				again := steps[rapid.IntRange(0, i).Draw(rt, "which")]
				again.at = s.at
				if v := again.fold(with.Tally); v == Watched || v == Counted {
					rt.Fatalf("a second copy was taken for %s", v)
				}
				repeats++
			}
			if a, b := seen(plain.Tally), seen(with.Tally); !maps.Equal(a, b) {
				rt.Fatalf("at event %d\nwithout %v\nwith    %v", i, a, b)
			}
			checks++
		}
	})
	t.Logf("%d repeated deliveries, compared at %d instants", repeats, checks)
}

// TestCountsEqualRecount compares the tally with a recount of everything in the window.
func TestCountsEqualRecount(t *testing.T) {
	compared := 0
	rapid.Check(t, func(rt *rapid.T) {
		steps := stream(rt, rapid.SampledFrom([]time.Duration{0, 0, 0, -time.Second, -20 * time.Minute, -8 * time.Hour, 8 * time.Hour}))
		window := time.Duration(rapid.IntRange(1, 300).Draw(rt, "window")) * time.Second
		r := newRig(t, window)
		type event struct {
			step
			model, app, merchant string
		}
		facts := map[fleet.Key]event{}
		var counted []event
		for _, s := range steps {
			v := s.fold(r.Tally)
			f := facts[s.key]
			switch {
			case s.beat != nil:
				f.model, f.app, f.merchant = or(s.beat.Model, f.model), or(s.beat.App, f.app), or(s.beat.Merchant, f.merchant)
				facts[s.key] = f
			case v == Watched || v == Counted:
				f.step, f.model, f.app, f.merchant = s, or(s.txn.Model, f.model), or(s.txn.App, f.app), or(s.txn.Merchant, f.merchant)
				counted = append(counted, f)
			}
			for p, place := range r.places {
				txns := int64(0)
				declines := map[string]int{}
				terminals := map[string]map[fleet.Key]int{"03": {}, "97": {}}
				var first time.Time
				for _, e := range counted {
					region := map[string]string{"m1": "r1", "m2": "r1", "m3": "r3"}[e.merchant]
					if !e.at.After(s.at.Add(-window)) ||
						p.Acquirer != "" && p.Acquirer != e.key.Acquirer || p.Merchant != "" && p.Merchant != e.merchant ||
						p.App != "" && p.App != e.app || p.Model != "" && (p.Model != e.model || p.App != e.app) ||
						p.Region != "" && p.Region != region {
						continue
					}
					txns++
					if terminals[e.txn.Code] != nil {
						declines[e.txn.Code]++
						terminals[e.txn.Code][e.key]++
						if e.txn.Code == "03" && first.IsZero() {
							first = e.at
						}
					}
				}
				for code, want := range terminals {
					c := r.Counts(alerter.Series{Place: p, Code: code})
					if c.Declines != declines[code] || !maps.Equal(c.Terminals, want) || place.txns != txns || c.Transactions < txns || code == "03" && !c.First.Equal(first) {
						rt.Fatalf("%+v code %s: %+v and %d transactions, want %d declines by %v since %s, of %d", p, code, c, place.txns, declines[code], want, first, txns)
					}
					compared++
				}
			}
		}
	})
	t.Logf("%d comparisons with a recount", compared)
}

// TestNothingIsLeftBehind lets everything leave the window.
func TestNothingIsLeftBehind(t *testing.T) {
	places := 0
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, time.Duration(rapid.IntRange(1, 600).Draw(rt, "window"))*time.Second)
		for _, s := range stream(rt, rapid.SampledFrom([]time.Duration{0, -20 * time.Minute})) {
			s.fold(r.Tally)
		}
		r.Advance(r.Now().Add(3 * time.Hour)) // twice the longest period of a heartbeat, and every memory
		for p, place := range r.places {
			for _, code := range []string{"03", "97"} {
				if c := r.Counts(alerter.Series{Place: p, Code: code}); c.Declines != 0 || c.Transactions != 0 || len(c.Terminals) != 0 || len(c.Merchants) != 0 || !c.First.IsZero() {
					rt.Fatalf("%+v still shows %+v", p, c)
				}
			}
			if place.txns != 0 || len(place.series) != 0 || place.totals > 1e-6 || place.totals < -1e-6 {
				rt.Fatalf("%+v keeps %+v", p, place)
			}
			places++
		}
		if n := len(slices.Collect(r.Active())); n != 0 || len(r.seen) != 0 || len(r.fresh) != 0 {
			rt.Fatalf("%d active series, %d ids, %d expiries left", n, len(r.seen), len(r.fresh))
		}
		if _, ok := r.events.peek(); ok {
			rt.Fatal("an event is left")
		}
	})
	t.Logf("%d places emptied", places)
}

// TestExpiriesPopInOrder holds the heap against a sort.
func TestExpiriesPopInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var e expiries
		var want []int64
		for _, n := range rapid.SliceOf(rapid.Int64Range(0, 50)).Draw(rt, "instants") {
			e.push(freshness{until: time.Unix(n, 0)})
			want = append(want, n)
			if len(want)%5 == 4 {
				slices.Sort(want)
				if got := e.pop().until.Unix(); got != want[0] {
					rt.Fatalf("popped %d, want %d", got, want[0])
				}
				want = want[1:]
			}
		}
		slices.Sort(want)
		for _, n := range want {
			if got := e.pop().until.Unix(); got != n {
				rt.Fatalf("popped %d, want %d", got, n)
			}
		}
		if len(e) != 0 {
			rt.Fatalf("%d left", len(e))
		}
	})
}
