package tally

import (
	"iter"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Acquirer is what the tally has to know of an acquirer.
type Acquirer struct {
	Profile *fleet.Profile
	Source  fleet.Source // the authoritative one
	// Approvals is true where it is known that approvals are sent one by one, so that the transactions in the window
	// are exact; otherwise the totals of heartbeats count too.
	Approvals bool
}

// Options says how to count. All fields are required.
type Options struct {
	Window   time.Duration // length of the sliding window
	Acquirer func(id string) Acquirer
	Region   func(acquirer, merchant string) string // "" where it is not known
}

// seenFor is how long an event's id is remembered, so that a second copy behind the stream's own window is not
// counted twice. It is longer than lateAfter: by the time an id is forgotten, a copy of its event is late, unless its
// clock runs more than the difference ahead.
const seenFor = lateAfter + 5*time.Minute

// Verdict is what a transaction was taken for.
type Verdict string

// The verdicts.
const (
	Watched     Verdict = "watched"      // counted as a watched decline
	Counted     Verdict = "counted"      // counted as volume
	Duplicate   Verdict = "duplicate"    // its id was seen before
	OtherSource Verdict = "other_source" // not from the acquirer's authoritative source
	Late        Verdict = "late"         // too old for today's alarms
)

// Tally is the state. Make one with New.
type Tally struct {
	o   Options
	now time.Time

	events    queue[event]
	seen      map[uint64]struct{}
	seenQueue queue[seenID]
	leaves    map[alerter.Place]*leaf
	places    map[alerter.Place]*place
	terminals map[fleet.Key]*terminal
	fresh     expiries
	offsets   map[string]*offset
	active    map[*series]struct{} // series with declines in the window
}

// event is one transaction in the window.
type event struct {
	at   time.Time
	leaf *leaf
	key  fleet.Key
	code string // of a watched decline, else ""
}

type seenID struct {
	at time.Time
	id uint64
}

// leaf is one full combination of attributes with the places it is part of.
type leaf struct {
	merchant string
	places   []*place
}

// place is the volume and the series of one place.
type place struct {
	at     alerter.Place
	txns   int64   // in the window
	totals float64 // transactions per window by the terminals' totals
	series map[string]*series
}

// series is the watched declines of one code in one place, in the window.
type series struct {
	of     alerter.Series
	place  *place
	times  queue[time.Time]
	counts alerter.Counts
}

// New returns an empty tally.
func New(o Options) *Tally {
	return &Tally{
		o: o, seen: map[uint64]struct{}{}, leaves: map[alerter.Place]*leaf{}, places: map[alerter.Place]*place{},
		terminals: map[fleet.Key]*terminal{}, offsets: map[string]*offset{}, active: map[*series]struct{}{},
	}
}

// Now is the tally's time: the latest instant it was told.
func (t *Tally) Now() time.Time { return t.now }

// Advance moves the window; time never goes back.
func (t *Tally) Advance(now time.Time) {
	if !now.After(t.now) {
		return
	}
	t.now = now
	for e, ok := t.events.peek(); ok && !e.at.After(now.Add(-t.o.Window)); e, ok = t.events.peek() {
		t.remove(e)
		t.events.pop()
	}
	for s, ok := t.seenQueue.peek(); ok && s.at.Before(now.Add(-seenFor)); s, ok = t.seenQueue.peek() {
		delete(t.seen, s.id)
		t.seenQueue.pop()
	}
	t.expireTotals(now)
}

// Txn folds a transaction that was stored at this instant. touched yields, for a watched decline, the series it is
// part of, narrowest first.
func (t *Tally) Txn(at time.Time, k fleet.Key, x *fleet.Txn) (Verdict, iter.Seq[alerter.Series]) {
	t.Advance(at)
	none := func(func(alerter.Series) bool) {}
	a := t.o.Acquirer(k.Acquirer)
	if x.Src != a.Source {
		return OtherSource, none
	}
	id := fleet.Hash(k.Acquirer, k.Terminal, x.ID)
	if _, again := t.seen[id]; again {
		return Duplicate, none
	}
	t.seen[id] = struct{}{}
	t.seenQueue.push(seenID{at, id})
	if t.late(k.Acquirer, at, x.TS) {
		return Late, none
	}
	l := t.leafOf(k, x)
	e := event{at: at, leaf: l, key: k}
	verdict := Counted
	if !a.Profile.Approved(x.Code) && a.Profile.Watches(x.Code) {
		e.code, verdict = x.Code, Watched
	}
	t.events.push(e)
	for _, p := range l.places {
		p.txns++
		if e.code != "" {
			t.seriesOf(p, e.code).add(t, e)
		}
	}
	if e.code == "" {
		return verdict, none
	}
	return verdict, func(yield func(alerter.Series) bool) {
		for _, p := range l.places {
			if !yield(alerter.Series{Place: p.at, Code: e.code}) {
				return
			}
		}
	}
}

func (t *Tally) remove(e event) {
	for _, p := range e.leaf.places {
		p.txns--
		if e.code != "" {
			p.series[e.code].drop(t, e)
		}
	}
}

func (t *Tally) seriesOf(p *place, code string) *series {
	s := p.series[code]
	if s == nil {
		s = &series{of: alerter.Series{Place: p.at, Code: code}, place: p}
		s.counts.Terminals, s.counts.Merchants = map[fleet.Key]int{}, map[string]int{}
		if p.series == nil {
			p.series = map[string]*series{}
		}
		p.series[code] = s
	}
	return s
}

func (s *series) add(t *Tally, e event) {
	t.active[s] = struct{}{}
	s.times.push(e.at)
	s.counts.Declines++
	s.counts.Terminals[e.key]++
	if e.leaf.merchant != "" {
		s.counts.Merchants[e.leaf.merchant]++
	}
}

func (s *series) drop(t *Tally, e event) {
	s.times.pop()
	s.counts.Declines--
	if s.counts.Terminals[e.key]--; s.counts.Terminals[e.key] == 0 {
		delete(s.counts.Terminals, e.key)
	}
	if s.counts.Merchants[e.leaf.merchant]--; s.counts.Merchants[e.leaf.merchant] <= 0 {
		delete(s.counts.Merchants, e.leaf.merchant)
	}
	if s.counts.Declines == 0 {
		delete(t.active, s)
		delete(s.place.series, s.of.Code)
	}
}

// leafOf finds the combination of attributes of a transaction. What the transaction does not say is taken from the
// terminal's heartbeat.
func (t *Tally) leafOf(k fleet.Key, x *fleet.Txn) *leaf {
	model, app, merchant := x.Model, x.App, x.Merchant
	if term := t.terminals[k]; term != nil {
		model, app, merchant = or(model, term.model), or(app, term.app), or(merchant, term.merchant)
	}
	return t.leaf(k.Acquirer, merchant, model, app)
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (t *Tally) leaf(acquirer, merchant, model, app string) *leaf {
	key := alerter.Place{Acquirer: acquirer, Merchant: merchant, Model: model, App: app}
	if l := t.leaves[key]; l != nil {
		return l
	}
	region := ""
	if merchant != "" {
		region = t.o.Region(acquirer, merchant)
	}
	l := &leaf{merchant: merchant}
	add := func(p alerter.Place) {
		pl := t.places[p]
		if pl == nil {
			pl = &place{at: p}
			t.places[p] = pl
		}
		l.places = append(l.places, pl)
	}
	if merchant != "" {
		add(alerter.Place{Acquirer: acquirer, Merchant: merchant})
	}
	if model != "" {
		add(alerter.Place{Acquirer: acquirer, Model: model, App: app})
		add(alerter.Place{Model: model, App: app})
	}
	if app != "" {
		add(alerter.Place{Acquirer: acquirer, App: app})
		add(alerter.Place{App: app})
	}
	if region != "" {
		add(alerter.Place{Acquirer: acquirer, Region: region})
		add(alerter.Place{Region: region})
	}
	add(alerter.Place{Acquirer: acquirer})
	t.leaves[key] = l
	return l
}

// Counts returns what a series shows now. The maps are the tally's own: read them before the next call, and do not
// change them.
func (t *Tally) Counts(s alerter.Series) alerter.Counts {
	p := t.places[s.Place]
	if p == nil {
		return alerter.Counts{}
	}
	var c alerter.Counts
	if se := p.series[s.Code]; se != nil {
		c = se.counts
		c.First, _ = se.times.peek()
	}
	c.Transactions = t.volume(p)
	return c
}

// Active yields every series that has a watched decline in the window, in no order.
func (t *Tally) Active() iter.Seq[alerter.Series] {
	return func(yield func(alerter.Series) bool) {
		for s := range t.active {
			if !yield(s.of) {
				return
			}
		}
	}
}

// volume is the transactions of a place in the window. Where approvals are not known to be sent it is at least what
// the totals of the last complete heartbeat periods amount to over a window.
func (t *Tally) volume(p *place) int64 {
	if p.at.Acquirer != "" && t.o.Acquirer(p.at.Acquirer).Approvals {
		return p.txns
	}
	return max(p.txns, int64(p.totals+0.5))
}
