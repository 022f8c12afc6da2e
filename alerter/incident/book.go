package incident

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Reason says why a transition was made.
type Reason string

// The reasons of transitions.
const (
	ReasonFirst     Reason = "first"         // the rule began to hold
	ReasonWorsened  Reason = "worsened"      // twice the terminals of the last message
	ReasonScope     Reason = "scope_changed" // other places explain it better
	ReasonExplained Reason = "explained"     // a finding names its cause
	ReasonRecovered Reason = "recovered"     // the rule has not held for ResolveAfter
	ReasonAbsorbed  Reason = "absorbed"      // a wider incident explains it
)

// Options says how long to wait for what. Zero values take the defaults in parentheses.
type Options struct {
	Hold         time.Duration // a merchant's opening waits for a wider incident to absorb it (20 s)
	ResolveAfter time.Duration // the rule must not have held for so long (5 min)
	UpdateEvery  time.Duration // between two updates of one incident (10 s)
}

// Holding is a series for which the rule holds now.
type Holding struct {
	Series alerter.Series
	Counts alerter.Counts
}

// Now is what Step has to know of one instant.
type Now struct {
	At      time.Time
	Holding []Holding
	// Counts returns what any series shows now.
	Counts func(alerter.Series) alerter.Counts
	// Finding returns the open finding that explains declines of a merchant, nil without one.
	Finding func(acquirer, merchant string) *fleet.Finding
}

// key names a problem: at most one incident of it is open.
type key struct {
	acquirer string // fleet.AllAcquirers where no single acquirer explains it
	code     string
	merchant string // "" for the wide incident
}

// problem is an open incident, or one whose opening is held.
type problem struct {
	last      fleet.Transition // as published; N is 0 while the opening is held
	places    []alerter.Place
	heldSince time.Time
	seenAt    time.Time // the rule last held
	published time.Time // of the last transition
	peak      alerter.Counts
	terminals map[fleet.Key]bool // all that declined during the incident
	merchants map[string]bool
}

// Book is the set of open incidents.
type Book struct {
	o       Options
	open    map[key]*problem
	record  []fleet.Transition // restored and not folded yet
	told    int64              // At of the newest restored transition, Unix milliseconds
	decided time.Time          // Resume's instant
}

// New returns an empty book.
func New(o Options) *Book {
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Hold, 20*time.Second)
	def(&o.ResolveAfter, 5*time.Minute)
	def(&o.UpdateEvery, 10*time.Second)
	return &Book{o: o, open: map[key]*problem{}}
}

// Step decides what an instant changes and returns the transitions in the order in which they are to be published.
// The same steps give the same transitions. An instant that was decided before a restart (see Restore and Resume) is
// only looked at, and gives none.
func (b *Book) Step(now Now) []fleet.Transition {
	b.catchUp(now.At)
	var out []fleet.Transition
	groups := groupByCode(now.Holding)
	for _, code := range slices.Sorted(maps.Keys(groups)) {
		g := groups[code]
		for _, acquirer := range slices.Sorted(maps.Keys(g.wide)) {
			if acquirer != fleet.AllAcquirers {
				out = append(out, b.wide(now, key{acquirer: acquirer, code: code}, g.wide[acquirer])...)
			}
		}
		out = append(out, b.acrossAcquirers(now, code, g.wide[fleet.AllAcquirers])...)
		for _, h := range g.merchants {
			out = append(out, b.merchant(now, h)...)
		}
	}
	return append(out, b.settle(now)...)
}

// wide opens or goes on with the wide incident of an acquirer and code.
func (b *Book) wide(now Now, k key, holding []Holding) (out []fleet.Transition) {
	chosen := explain(holding)
	p := b.problem(now, k)
	p.see(now, k.code, chosen)
	past := b.past(now.At)
	switch {
	case past:
	case p.last.N == 0:
		out = append(out, b.publish(now, k, p, fleet.StepOpened, ReasonFirst))
	default:
		if t, ok := b.update(now, k, p); ok {
			out = append(out, t)
		}
	}
	// Merchants that it explains are absorbed, held or posted.
	for _, mk := range b.merchantKeys(k) {
		m := b.open[mk]
		if !covers(p.terminals, m.terminals) || past && m.last.N > 0 {
			continue
		}
		if m.last.N > 0 {
			m.last.AbsorbedBy = p.last.Incident
			out = append(out, b.publish(now, mk, m, fleet.StepAbsorbed, ReasonAbsorbed))
		}
		delete(b.open, mk)
	}
	return out
}

// problem returns the problem of a key that holds now, a new one where there is none.
func (b *Book) problem(now Now, k key) *problem {
	p := b.open[k]
	if p == nil {
		p = newProblem(now.At)
		b.open[k] = p
	}
	return p
}

func newProblem(since time.Time) *problem {
	return &problem{heldSince: since, terminals: map[fleet.Key]bool{}, merchants: map[string]bool{}}
}

// merchantKeys lists the open or held merchants of a wide key, sorted.
func (b *Book) merchantKeys(wide key) (out []key) {
	for k := range b.open {
		if k.merchant != "" && k.code == wide.code && (wide.acquirer == k.acquirer || wide.acquirer == fleet.AllAcquirers) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(x, y key) int {
		return strings.Compare(x.acquirer+"\x00"+x.merchant, y.acquirer+"\x00"+y.merchant)
	})
	return out
}

// merchant holds, opens or goes on with the incident of one merchant.
func (b *Book) merchant(now Now, h Holding) (out []fleet.Transition) {
	place := h.Series.Place
	k := key{acquirer: place.Acquirer, code: h.Series.Code, merchant: place.Merchant}
	if b.open[k] == nil && b.explains(k, h.Counts.Terminals) {
		return nil
	}
	p := b.problem(now, k)
	p.see(now, k.code, []Holding{h})
	switch {
	case b.past(now.At):
	case p.last.N > 0:
		if t, ok := b.update(now, k, p); ok {
			out = append(out, t)
		}
	case now.At.Sub(p.heldSince) >= b.o.Hold:
		out = append(out, b.publish(now, k, p, fleet.StepOpened, ReasonFirst))
	}
	return out
}

// explains reports whether an open wide incident accounts for these terminals.
func (b *Book) explains(k key, terminals map[fleet.Key]int) bool {
	for _, acquirer := range []string{k.acquirer, fleet.AllAcquirers} {
		if w := b.open[key{acquirer: acquirer, code: k.code}]; w != nil && w.last.N > 0 {
			n := 0
			for t := range terminals {
				if w.terminals[t] {
					n++
				}
			}
			if 2*n >= len(terminals) {
				return true
			}
		}
	}
	return false
}

// covers reports whether at least half of the smaller set lies in the wider one.
func covers(wide, small map[fleet.Key]bool) bool {
	n := 0
	for t := range small {
		if wide[t] {
			n++
		}
	}
	return len(small) > 0 && 2*n >= len(small)
}

// settle resolves what has not held for long enough and forgets openings that no longer hold.
func (b *Book) settle(now Now) (out []fleet.Transition) {
	b.fold(now.At.UnixMilli())
	keys := slices.SortedFunc(maps.Keys(b.open), func(x, y key) int {
		return strings.Compare(x.code+"\x00"+x.acquirer+"\x00"+x.merchant, y.code+"\x00"+y.acquirer+"\x00"+y.merchant)
	})
	for _, k := range keys {
		p := b.open[k]
		switch quiet := now.At.Sub(p.seenAt); {
		case p.last.N == 0 && quiet > 2*time.Second: // held, and over before it was told
			delete(b.open, k)
		case p.last.N > 0 && quiet >= b.o.ResolveAfter && !b.past(now.At):
			out = append(out, b.publish(now, k, p, fleet.StepResolved, ReasonRecovered))
			delete(b.open, k)
		}
	}
	return out
}

// see notes what holds now. Places of one level add up while the incident is open, so that one at the edge of the rule
// does not come and go; places of another level take over when they account for nine tenths of the declines.
func (p *problem) see(now Now, code string, holding []Holding) {
	p.seenAt = now.At
	for _, h := range holding {
		for t := range h.Counts.Terminals {
			p.terminals[t] = true
		}
		for m := range h.Counts.Merchants {
			p.merchants[m] = true
		}
	}
	places := slices.Clone(p.places)
	if !sameLevel(places, holding) {
		if 10*declines(now, code, placesOf(holding)) >= 9*declines(now, code, places) {
			places = nil
		} else {
			holding = nil // what is still above the rule while the whole recovers is not the whole
		}
	}
	for _, h := range holding {
		if !slices.Contains(places, h.Series.Place) {
			places = append(places, h.Series.Place)
		}
	}
	slices.SortFunc(places, comparePlaces)
	changed := !slices.Equal(places, p.places)
	p.places = places

	var total alerter.Counts
	for _, place := range places {
		c := now.Counts(alerter.Series{Place: place, Code: code})
		total.Declines += c.Declines
		total.Transactions += max(c.Transactions, int64(c.Declines))
		if total.First.IsZero() || !c.First.IsZero() && c.First.Before(total.First) {
			total.First = c.First
		}
	}
	if total.Declines >= p.peak.Declines || changed {
		if !p.peak.First.IsZero() {
			total.First = p.peak.First
		}
		p.peak = total
	}
}

// update decides whether people are told again.
func (b *Book) update(now Now, k key, p *problem) (fleet.Transition, bool) {
	if now.At.Sub(p.published) < b.o.UpdateEvery {
		return fleet.Transition{}, false
	}
	var reason Reason
	_, explained := joinFindings(p.last.Findings, b.findings(now, k, p))
	switch {
	case !sameScope(p.last.Scope, p.places):
		reason = ReasonScope
	case len(p.terminals) >= 2*p.last.Terminals:
		reason = ReasonWorsened
	case explained:
		reason = ReasonExplained
	default:
		return fleet.Transition{}, false
	}
	return b.publish(now, k, p, fleet.StepUpdated, reason), true
}

// publish makes the next transition of a problem.
func (b *Book) publish(now Now, k key, p *problem, step fleet.IncidentStep, reason Reason) fleet.Transition {
	t := p.last
	if t.N == 0 {
		t.Incident = incidentID(k, now.At)
		t.Kind, t.Acquirer, t.Code = fleet.IncidentSpike, k.acquirer, k.code
		t.Severity = fleet.SeverityCritical
		if k.merchant != "" {
			t.Severity = fleet.SeverityWarning
		}
		t.Since = p.peak.First.UnixMilli()
	}
	t.N++
	t.At, t.Step, t.Reason = now.At.UnixMilli(), step, string(reason)
	t.Scope = scopeOf(p.places)
	t.Observed, t.Transactions = int64(p.peak.Declines), max(p.peak.Transactions, int64(p.peak.Declines))
	// After a restart the sets hold only what was seen since.
	t.Terminals, t.Merchants = max(t.Terminals, len(p.terminals)), max(t.Merchants, len(p.merchants))
	if step == fleet.StepOpened || step == fleet.StepUpdated {
		t.Explained = explained(now, k, p)
		t.Findings, _ = joinFindings(t.Findings, b.findings(now, k, p))
		t.Causes = causes(t.Findings)
	}
	p.last, p.published = t, time.UnixMilli(t.At)
	return t
}

// incidentID is the same for the same decision, whichever process makes it.
func incidentID(k key, at time.Time) string {
	id := fmt.Sprintf("%s-%s-%s", k.acquirer, k.code, at.UTC().Format("20060102T150405"))
	if k.merchant != "" {
		id += "-" + fleet.Escape(k.merchant)
	}
	return id
}

// explained is the share of the acquirer's declines with this code that lie in the incident's places.
func explained(now Now, k key, p *problem) float64 {
	if k.acquirer == fleet.AllAcquirers {
		return 1
	}
	all := now.Counts(alerter.Series{Place: alerter.Place{Acquirer: k.acquirer}, Code: k.code}).Declines
	in := 0
	for _, place := range p.places {
		in += now.Counts(alerter.Series{Place: place, Code: k.code}).Declines
	}
	if all == 0 {
		return 1
	}
	return min(1, float64(in)/float64(all))
}
