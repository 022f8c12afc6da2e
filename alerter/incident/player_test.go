package incident_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/alerter/detect"
	"github.com/tillwatch/tillwatch/alerter/incident"
	"github.com/tillwatch/tillwatch/alerter/tally"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// start is when the timelines begin.
var start = time.Date(2026, time.November, 23, 1, 0, 0, 0, time.UTC)

// input is one message of the merged order: a transaction, a heartbeat, or what a check has found.
type input struct {
	at      time.Time
	key     fleet.Key
	txn     *fleet.Txn
	beat    *fleet.Heartbeat
	finding *fleet.Finding
}

// order is how streams of one instant are read: TXN, HB, then the rest.
func (in input) order() int {
	switch {
	case in.txn != nil:
		return 0
	case in.beat != nil:
		return 1
	}
	return 2
}

func sortInputs(ins []input) {
	slices.SortStableFunc(ins, func(a, b input) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order(), b.order())) })
}

// rules are what a timeline is played under.
type rules struct {
	window   time.Duration // 60 s
	incident incident.Options
	region   func(acquirer, merchant string) string
}

// player does without a server what the pipeline does: tally, floor and book in the merged order, with a tick for each
// second.
type player struct {
	tb       testing.TB
	tally    *tally.Tally
	book     *incident.Book
	findings map[string]*fleet.Finding
	holding  map[alerter.Series]bool
	tick     time.Time
	verdicts map[tally.Verdict]int
	steps    int

	out []fleet.Transition
}

func newPlayer(tb testing.TB, r rules) *player {
	tb.Helper()
	profile, err := fleet.LookupProfile(fleet.ProfileUnionPay)
	if err != nil {
		tb.Fatal(err)
	}
	if r.region == nil {
		r.region = func(string, string) string { return "" }
	}
	return &player{
		tb: tb, book: incident.New(r.incident), findings: map[string]*fleet.Finding{}, holding: map[alerter.Series]bool{}, tick: start,
		verdicts: map[tally.Verdict]int{},
		tally: tally.New(tally.Options{
			Window:   cmp.Or(r.window, time.Minute),
			Acquirer: func(string) tally.Acquirer { return tally.Acquirer{Profile: profile, Source: fleet.SourceTerminal} },
			Region:   r.region,
		}),
	}
}

// play takes inputs in order and goes on ticking until the end.
func (p *player) play(ins []input, end time.Time) []fleet.Transition {
	for _, in := range ins {
		p.ticks(in.at)
		p.take(in)
	}
	p.ticks(end)
	return p.out
}

// ticks crosses the whole seconds up to an instant; a tick precedes the messages of its second.
func (p *player) ticks(until time.Time) {
	for t := p.tick.Add(time.Second); !t.After(until); t = t.Add(time.Second) {
		p.tick = t
		p.tally.Advance(t)
		p.step(t)
	}
}

func (p *player) take(in input) {
	switch {
	case in.finding != nil:
		key := in.finding.Acquirer + "/" + in.finding.Merchant
		p.findings[key] = in.finding
		if in.finding.State == fleet.FindingCleared {
			delete(p.findings, key)
		}
		return
	case in.beat != nil:
		p.tally.Heartbeat(in.at, in.key, in.beat)
		return
	}
	x := *in.txn
	verdict, touched := p.tally.Txn(in.at, in.key, &x)
	p.verdicts[verdict]++
	for s := range touched {
		if p.holding[s] {
			continue
		}
		if holds, _ := detect.DefaultFloor.Holds(s, p.tally.Counts(s)); holds {
			p.step(in.at)
			return
		}
	}
}

func (p *player) step(at time.Time) {
	p.steps++
	clear(p.holding)
	var holding []incident.Holding
	for s := range p.tally.Active() {
		c := p.tally.Counts(s)
		if holds, _ := detect.DefaultFloor.Holds(s, c); holds {
			p.holding[s] = true
			holding = append(holding, incident.Holding{Series: s, Counts: c})
		}
	}
	p.out = append(p.out, p.book.Step(incident.Now{
		At: at, Holding: holding, Counts: p.tally.Counts,
		Finding: func(acquirer, merchant string) *fleet.Finding { return p.findings[acquirer+"/"+merchant] },
	})...)
}

// told writes transitions one a line; incidents are numbered as they come.
func told(ts []fleet.Transition) string {
	var b strings.Builder
	number := map[string]int{}
	for _, t := range ts {
		if number[t.Incident] == 0 {
			number[t.Incident] = len(number) + 1
		}
		fmt.Fprintf(&b, "%gs #%d.%d %s (%s) %s: %s, %d of %d, %d terminals, %d merchants", float64(t.At-start.UnixMilli())/1000,
			number[t.Incident], t.N, t.Step, t.Reason, t.Code, t.Scope, t.Observed, t.Transactions, t.Terminals, t.Merchants)
		for _, f := range t.Findings {
			fmt.Fprintf(&b, ", %s %s", f.Merchant, f.Value)
		}
		if t.AbsorbedBy != "" {
			fmt.Fprintf(&b, " by #%d", number[t.AbsorbedBy])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// traffic is transactions of one sort: one every so often, from terminals that take turns. Merchants take turns too.
type traffic struct {
	from, to, every time.Duration
	acquirer        string // a1
	terminals       int
	first           int // number of the first terminal
	merchants       []string
	app             string // 2.4.1
	code            string // 03
}

func (f traffic) inputs() (ins []input) {
	for n, at := 0, f.from; at < f.to; n, at = n+1, at+f.every {
		turn := n % f.terminals
		k := fleet.Key{Acquirer: cmp.Or(f.acquirer, "a1"), Terminal: fmt.Sprint("T", f.first+turn)}
		when := start.Add(at)
		ins = append(ins, input{at: when, key: k, txn: &fleet.Txn{
			TS: when.UnixMilli(), ID: fmt.Sprint(at.Milliseconds()), Src: fleet.SourceTerminal, Merchant: f.merchants[turn%len(f.merchants)],
			App: cmp.Or(f.app, "2.4.1"), Code: cmp.Or(f.code, "03"),
		}})
	}
	return ins
}

// finding is what a check says of a merchant from an instant on.
func finding(at time.Duration, merchant string, n int, state fleet.FindingState) input {
	f := fleet.Finding{
		ID: "merchant-status.a1." + merchant, N: n, At: start.Add(at).UnixMilli(), Check: "merchant-status", Acquirer: "a1", Merchant: merchant,
		Severity: fleet.SeverityCritical, State: state, Value: string(fleet.MerchantCancelled), Since: start.Add(-24 * time.Hour).UnixMilli(),
	}
	return input{at: start.Add(at), finding: &f}
}

func numbers(prefix string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint(prefix, i+1))
	}
	return out
}

// timeline is a story: its inputs and until when it is watched.
type timeline struct {
	rules
	traffic []traffic
	more    []input
	end     time.Duration
}

func (tl timeline) inputs() []input {
	ins := slices.Clone(tl.more)
	for _, f := range tl.traffic {
		ins = append(ins, f.inputs()...)
	}
	sortInputs(ins)
	return ins
}

// play gives the story's transitions and checks what holds of any story.
func (tl timeline) play(t *testing.T) []fleet.Transition {
	t.Helper()
	out := newPlayer(t, tl.rules).play(tl.inputs(), start.Add(tl.end))
	wellFormed(t, out)
	return out
}

// wellFormed demands that each incident is opened first, counts its transitions from one, and ends with its end.
func wellFormed(tb testing.TB, ts []fleet.Transition) {
	tb.Helper()
	last := map[string]fleet.Transition{}
	for i, t := range ts {
		old, known := last[t.Incident]
		switch {
		case i > 0 && t.At < ts[i-1].At:
			tb.Errorf("transition %d goes back in time", i)
		case !known && (t.N != 1 || t.Step != fleet.StepOpened), known && t.N != old.N+1:
			tb.Errorf("incident %s: transition %d is %s after %d", t.Incident, t.N, t.Step, old.N)
		case known && (t.Step == fleet.StepOpened || old.Step == fleet.StepResolved || old.Step == fleet.StepAbsorbed):
			tb.Errorf("incident %s: %s after %s", t.Incident, t.Step, old.Step)
		case t.Observed > t.Transactions || t.Explained < 0 || t.Explained > 1 || len(t.Scope) == 0 || t.Since > t.At || t.Since == 0:
			tb.Errorf("incident %s: %+v", t.Incident, t)
		case known && (t.Since != old.Since || t.Acquirer != old.Acquirer || t.Code != old.Code || t.Severity != old.Severity):
			tb.Errorf("incident %s: its identity changed from %+v to %+v", t.Incident, old, t)
		}
		last[t.Incident] = t
	}
	open := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(last)) {
		t := last[id]
		if t.Step == fleet.StepResolved || t.Step == fleet.StepAbsorbed {
			continue
		}
		key := t.Acquirer + " " + t.Code
		if len(t.Scope) == 1 {
			key += t.Scope[0]["merchant"]
		}
		if open[key] != "" {
			tb.Errorf("two incidents of one problem are open: %s and %s", open[key], id)
		}
		open[key] = id
	}
}
