package tally

import (
	"slices"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

func TestVerdicts(t *testing.T) {
	id := func(s string) func(*fleet.Txn) { return func(x *fleet.Txn) { x.ID = s } }
	bySwitch := func(x *fleet.Txn) { x.Src = fleet.SourceSwitch }
	for _, c := range []struct {
		name     string
		acquirer string
		code     string
		change   []func(*fleet.Txn)
		want     Verdict
	}{
		{"invalid merchant", "a1", "03", nil, Watched},
		{"terminal not registered", "a1", "97", nil, Watched},
		{"not allowed on this terminal", "a1", "58", nil, Watched},
		{"approval", "a1", "00", nil, Counted},
		{"approval by another code of the profile", "a1", "11", nil, Counted},
		{"card-side decline", "a1", "51", nil, Counted},
		{"a code nobody knows", "a1", "Q7", nil, Counted},
		{"a second copy", "a1", "03", []func(*fleet.Txn){id("first")}, Duplicate},
		{"the same id of another acquirer", "a2", "03", []func(*fleet.Txn){id("first")}, Watched},
		{"the switch where terminals report", "a1", "03", []func(*fleet.Txn){bySwitch}, OtherSource},
		{"a terminal where the switch reports", "sw", "03", nil, OtherSource},
		{"the switch where the switch reports", "sw", "03", []func(*fleet.Txn){bySwitch}, Watched},
		{"fifteen minutes old", "a1", "03", []func(*fleet.Txn){clock(-15 * time.Minute)}, Watched},
		{"a millisecond older", "a1", "03", []func(*fleet.Txn){clock(-15*time.Minute - time.Millisecond)}, Late},
		{"eight hours behind", "a1", "03", []func(*fleet.Txn){clock(-8 * time.Hour)}, Late},
		{"eight hours ahead", "a1", "03", []func(*fleet.Txn){clock(8 * time.Hour)}, Watched},
		{"a clock in 2035", "a1", "03", []func(*fleet.Txn){clock(9 * 365 * 24 * time.Hour)}, Watched},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, time.Minute)
			if v := r.txn("a1", "T1", "00", id("first")); v != Counted {
				t.Fatalf("the first event was taken for %s", v)
			}
			if v := r.txn(c.acquirer, "T1", c.code, c.change...); v != c.want {
				t.Errorf("taken for %s, want %s", v, c.want)
			}
			counted := c.want == Watched || c.want == Counted
			if d := r.Counts(of(alerter.Place{Acquirer: c.acquirer}, c.code)); (d.Declines == 1) != (c.want == Watched) {
				t.Errorf("%d declines after %s", d.Declines, c.want)
			}
			want := int64(0)
			if c.acquirer == "a1" {
				want++ // the first event
			}
			if counted {
				want++
			}
			if v := r.volume(alerter.Place{Acquirer: c.acquirer}); v != want {
				t.Errorf("volume %d, want %d", v, want)
			}
		})
	}
}

func TestDuplicateOfOtherSourceStillCounts(t *testing.T) {
	// The other source may use the same ids. What it says must not make the authoritative event a duplicate.
	r := newRig(t, time.Minute)
	same := func(x *fleet.Txn) { x.ID = "20261123-000001" }
	if v := r.txn("a1", "T1", "03", same, func(x *fleet.Txn) { x.Src = fleet.SourceSwitch }); v != OtherSource {
		t.Fatalf("taken for %s", v)
	}
	if v := r.txn("a1", "T1", "03", same); v != Watched {
		t.Errorf("the authoritative event was taken for %s", v)
	}
}

func TestWindowIsExact(t *testing.T) {
	r := newRig(t, time.Minute)
	r.at(0).txn("a1", "T1", "03")
	r.at(20*time.Second).txn("a1", "T2", "00")
	r.at(30*time.Second).txn("a1", "T1", "03")
	r.want(inA1, 2, 3)
	if first := r.Counts(of(inA1, "03")).First; !first.Equal(start) {
		t.Errorf("first decline at %s, want %s", first, start)
	}
	r.Advance(start.Add(time.Minute - time.Nanosecond))
	r.want(inA1, 2, 3)
	r.Advance(start.Add(time.Minute))
	r.want(inA1, 1, 2)
	if first := r.Counts(of(inA1, "03")).First; !first.Equal(start.Add(30 * time.Second)) {
		t.Errorf("first decline at %s, want that of 30 s", first)
	}
	r.Advance(start.Add(80 * time.Second))
	r.want(inA1, 1, 1)
	r.Advance(start.Add(90 * time.Second))
	r.want(inA1, 0, 0)
	r.Advance(start) // time never goes back
	if !r.Now().Equal(start.Add(90 * time.Second)) {
		t.Errorf("the clock went back to %s", r.Now())
	}
}

func TestRepetitionsOfOneTerminalAreOneTerminal(t *testing.T) {
	r := newRig(t, time.Minute)
	for i := range 50 {
		r.at(time.Duration(i)*time.Second).txn("a1", "T1", "03")
	}
	c := r.Counts(of(inA1, "03"))
	if c.Declines != 50 || len(c.Terminals) != 1 || c.Terminals[fleet.Key{Acquirer: "a1", Terminal: "T1"}] != 50 || c.Merchants["m1"] != 50 {
		t.Errorf("fifty declines of one terminal gave %+v", c)
	}
}

func TestPlacesOfAnEvent(t *testing.T) {
	for _, c := range []struct {
		name   string
		beat   bool // a heartbeat before says merchant m1, A920, 2.4.1
		change func(*fleet.Txn)
		want   []alerter.Place
	}{
		{"all from the transaction", false, func(x *fleet.Txn) { x.Model = "A80" }, []alerter.Place{
			{Acquirer: "a1", Merchant: "m1"}, {Acquirer: "a1", Model: "A80", App: "2.4.1"}, {Model: "A80", App: "2.4.1"},
			{Acquirer: "a1", App: "2.4.1"}, {App: "2.4.1"}, {Acquirer: "a1", Region: "r1"}, {Region: "r1"}, {Acquirer: "a1"}}},
		{"all from the heartbeat", true, func(x *fleet.Txn) { x.Merchant, x.App = "", "" }, []alerter.Place{
			{Acquirer: "a1", Merchant: "m1"}, {Acquirer: "a1", Model: "A920", App: "2.4.1"}, {Model: "A920", App: "2.4.1"},
			{Acquirer: "a1", App: "2.4.1"}, {App: "2.4.1"}, {Acquirer: "a1", Region: "r1"}, {Region: "r1"}, {Acquirer: "a1"}}},
		{"the transaction wins", true, func(x *fleet.Txn) { x.Merchant, x.App = "m3", "2.4.2" }, []alerter.Place{
			{Acquirer: "a1", Merchant: "m3"}, {Acquirer: "a1", Model: "A920", App: "2.4.2"}, {Model: "A920", App: "2.4.2"},
			{Acquirer: "a1", App: "2.4.2"}, {App: "2.4.2"}, {Acquirer: "a1", Region: "r3"}, {Region: "r3"}, {Acquirer: "a1"}}},
		{"nothing known", false, func(x *fleet.Txn) { x.Merchant, x.App = "", "" }, []alerter.Place{{Acquirer: "a1"}}},
		{"a merchant outside the registry", false, func(x *fleet.Txn) { x.Merchant, x.App = "m9", "" }, []alerter.Place{
			{Acquirer: "a1", Merchant: "m9"}, {Acquirer: "a1"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, time.Minute)
			if c.beat {
				r.beat("T1", 1, 1, 0, 0)
			}
			x := fleet.Txn{TS: r.now.UnixMilli(), ID: "1", Src: fleet.SourceTerminal, Merchant: "m1", App: "2.4.1", Code: "03"}
			c.change(&x)
			v, touched := r.Txn(r.now, fleet.Key{Acquirer: "a1", Terminal: "T1"}, &x)
			var got []alerter.Place
			for s := range touched {
				if s.Code != "03" {
					t.Errorf("series of code %q", s.Code)
				}
				got = append(got, s.Place)
			}
			if v != Watched || !slices.Equal(got, c.want) {
				t.Errorf("%s in\n%+v, want\n%+v", v, got, c.want)
			}
			active := map[alerter.Place]bool{}
			for s := range r.Active() {
				active[s.Place] = true
			}
			for _, p := range c.want {
				if !active[p] || r.declines(p) != 1 {
					t.Errorf("%+v: active %v, %d declines", p, active[p], r.declines(p))
				}
			}
			if len(active) != len(c.want) {
				t.Errorf("%d active series, want %d", len(active), len(c.want))
			}
		})
	}
}

func TestUnknownPlaceIsEmpty(t *testing.T) {
	r := newRig(t, time.Minute)
	if c := r.Counts(of(alerter.Place{Acquirer: "nobody"}, "03")); c.Declines != 0 || c.Transactions != 0 || !c.First.IsZero() {
		t.Errorf("a place without events shows %+v", c)
	}
}
