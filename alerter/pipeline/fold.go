package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/alerter/incident"
	"github.com/tillwatch/tillwatch/alerter/tally"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleet/carddata"
)

// fold is the state of one term. Only the goroutine of the merge touches it, but for the cursor's channel.
type fold struct {
	p      *Pipeline
	term   Term
	outlet Outlet
	tally  *tally.Tally
	book   *incident.Book

	watch   time.Time                   // steps begin after this instant; what lies before only fills the window
	from    time.Time                   // decisions begin after this instant
	last    map[string]uint64           // last sequence in DERIVED of each open incident's subject
	newest  map[string]fleet.Transition // by incident, as restored
	holding map[alerter.Series]bool     // series that held at the last step
	cursor  chan time.Time              // capacity 1: the latest instant up to which all is decided and stored
}

// item folds one step of the merged order.
func (f *fold) item(ctx context.Context, it bus.Item) error {
	if it.Tick {
		f.tally.Advance(it.At)
		if err := f.step(ctx, it.At); err != nil {
			return err
		}
		f.offerCursor(it.At)
		return nil
	}
	if it.Stream != bus.StreamTxn && it.Stream != bus.StreamHB {
		return nil // commands are read from the release that has them
	}
	key, kind, err := fleet.ParseSubject(it.Subject)
	if err != nil {
		f.p.m.events.WithLabelValues("undecodable").Inc() // the collector makes the dead letter
		return nil
	}
	clean, _ := carddata.Redact(it.Data, kind, strconv.FormatUint(it.Seq, 10))
	if kind == fleet.KindHeartbeat {
		var h fleet.Heartbeat
		if err := fleet.DecodeHeartbeat(clean, key, &h); err != nil {
			f.p.m.events.WithLabelValues("undecodable").Inc()
			return nil
		}
		f.tally.Heartbeat(it.At, key, &h)
		f.p.m.events.WithLabelValues("heartbeat").Inc()
		return nil
	}
	var x fleet.Txn
	if err := fleet.DecodeTxn(clean, key, &x); err != nil {
		f.p.m.events.WithLabelValues("undecodable").Inc()
		return nil
	}
	verdict, touched := f.tally.Txn(it.At, key, &x)
	f.p.m.events.WithLabelValues(string(verdict)).Inc()
	for s := range touched {
		if f.holding[s] {
			continue // what held already is looked at every second
		}
		if holds, _ := f.p.o.Floor.Holds(s, f.tally.Counts(s)); holds {
			return f.step(ctx, it.At)
		}
	}
	return nil
}

// step asks the book what this instant changes, stores the answer and tells people.
func (f *fold) step(ctx context.Context, at time.Time) error {
	if !at.After(f.watch) {
		return nil
	}
	clear(f.holding)
	var holding []incident.Holding
	for s := range f.tally.Active() {
		c := f.tally.Counts(s)
		if holds, _ := f.p.o.Floor.Holds(s, c); holds {
			f.holding[s] = true
			holding = append(holding, incident.Holding{Series: s, Counts: c})
		}
	}
	for _, t := range f.book.Step(incident.Now{At: at, Holding: holding, Counts: f.tally.Counts, Finding: f.term.Findings.About}) {
		t.Epoch = f.term.Epoch
		if err := f.publish(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// publish stores a transition and then tells people. Another process that was first ends this term: it is the active
// one, and its decisions are folded on the next start.
func (f *fold) publish(ctx context.Context, t fleet.Transition) error {
	body, err := json.Marshal(&t)
	if err != nil {
		return fmt.Errorf("encode transition %d of incident %q: %w", t.N, t.Incident, err)
	}
	subject := t.Subject()
	seq, err := f.p.o.Bus.Append(ctx, bus.Message{Subject: subject, ID: t.Incident + "." + strconv.Itoa(t.N), Data: body}, f.last[subject])
	if err != nil {
		return fmt.Errorf("store transition %d of incident %q: %w", t.N, t.Incident, err)
	}
	f.last[subject] = seq
	f.p.o.Probe(ProbePublished)
	f.p.m.transitions.WithLabelValues(string(t.Kind), string(t.Step)).Inc()
	f.p.m.openIncidents.Set(float64(f.book.Open()))
	f.p.log.Info("incident "+string(t.Step), "incident", t.Incident, "n", t.N, "reason", t.Reason, "scope", t.Scope.String(),
		"declines", t.Observed, "transactions", t.Transactions, "terminals", t.Terminals)
	if t.Step == fleet.StepResolved || t.Step == fleet.StepAbsorbed {
		delete(f.last, subject)
	}
	if err := f.outlet.Notify(ctx, t); err != nil {
		return fmt.Errorf("tell of incident %q: %w", t.Incident, err)
	}
	return nil
}

// restore folds what earlier terms stored.
func (p *Pipeline) restore(ctx context.Context, term *Term) (*fold, error) {
	f := &fold{
		p: p, book: incident.New(p.o.Incident),
		tally: tally.New(tally.Options{Window: p.o.Window, Acquirer: p.o.Acquirer, Region: p.o.Region}),
		last:  map[string]uint64{}, newest: map[string]fleet.Transition{}, holding: map[alerter.Series]bool{}, cursor: make(chan time.Time, 1),
	}
	_, err := p.o.Bus.Each(ctx, bus.StreamDerived, fleet.DerivedPrefix+"incident.>", func(s bus.Stored) error {
		f.last[s.Subject] = s.Seq // also of one that cannot be read: what follows it is appended behind it
		var t fleet.Transition
		if err := json.Unmarshal(s.Data, &t); err != nil {
			p.log.Warn("stored transition not readable, left out", "subject", s.Subject, "seq", s.Seq, "err", err)
			return nil
		}
		f.book.Restore(t)
		f.newest[t.Incident] = t
		return nil
	})
	if err != nil {
		return nil, err
	}
	term.Findings, err = openFindings(ctx, p.o.Bus, p.log, term.Epoch)
	if err != nil {
		return nil, err
	}
	f.term = *term
	if f.from, err = f.loadCursor(ctx); err != nil {
		return nil, err
	}
	f.watch = f.from.Add(-lookBack)
	f.book.Resume(f.from)
	return f, nil
}

// retell notifies what people may not have been told: every open incident, and those that ended within the span.
func (f *fold) retell(ctx context.Context, span time.Duration) error {
	since := time.Now().Add(-span).UnixMilli()
	var told []fleet.Transition
	for _, t := range f.newest {
		if t.Step != fleet.StepResolved && t.Step != fleet.StepAbsorbed || t.At >= since && span > 0 {
			told = append(told, t)
		}
	}
	f.newest = nil
	slices.SortFunc(told, func(a, b fleet.Transition) int { return int(a.At - b.At) })
	for _, t := range told {
		if err := f.outlet.Notify(ctx, t); err != nil {
			return fmt.Errorf("tell of incident %q: %w", t.Incident, err)
		}
	}
	return nil
}
