package incident

import (
	"maps"
	"slices"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Restore takes a published transition, in the order of publication. It is followed by Resume, by Steps over what lies
// before, as far back as the window can be filled, and by Steps from there on.
//
// What a transition does not say (since when an opening is held, when the rule last held, which terminals an incident
// has seen) comes from the Steps over the past, which meet each transition at its instant. An incident older than they
// reach has forgotten its first terminals, and may be told of as worsened later than it would have been.
func (b *Book) Restore(t fleet.Transition) {
	b.record = append(b.record, t)
	b.told = max(b.told, t.At)
}

// Resume says that everything up to an instant, itself included, was decided before.
func (b *Book) Resume(decided time.Time) { b.decided = decided }

// past reports whether an instant was decided before a restart. One step may give several transitions, and the process
// may have ended between two of them: the instant of the newest is decided again, which changes nothing for those that
// are there.
func (b *Book) past(at time.Time) bool {
	return !at.After(b.decided) || at.UnixMilli() < b.told
}

// catchUp folds what was published before an instant, and of what was published at it everything but resolutions,
// which are the last of a step.
func (b *Book) catchUp(at time.Time) {
	if len(b.record) == 0 {
		return
	}
	ms := at.UnixMilli()
	b.fold(ms - 1)
	b.record = slices.DeleteFunc(b.record, func(t fleet.Transition) bool {
		now := t.At == ms && t.Step != fleet.StepResolved
		if now {
			b.apply(&t)
		}
		return now
	})
}

// fold applies what was published up to an instant, itself included.
func (b *Book) fold(ms int64) {
	n := 0
	for n < len(b.record) && b.record[n].At <= ms {
		b.apply(&b.record[n])
		n++
	}
	b.record = slices.Delete(b.record, 0, n)
}

// apply makes the book as it was after a transition was published.
func (b *Book) apply(t *fleet.Transition) {
	k := keyOf(t)
	p := b.open[k]
	if t.Step == fleet.StepResolved || t.Step == fleet.StepAbsorbed {
		if p != nil && p.last.Incident == t.Incident {
			delete(b.open, k)
		}
		return
	}
	at := time.UnixMilli(t.At)
	if p == nil || p.last.N > 0 && p.last.Incident != t.Incident {
		p = newProblem(at)
		b.open[k] = p
	}
	p.last, p.seenAt, p.published, p.places = *t, at, at, nil
	for _, m := range t.Scope {
		p.places = append(p.places, alerter.PlaceOf(m))
	}
	p.peak = alerter.Counts{Declines: int(t.Observed), Transactions: t.Transactions}
}

// Open is the number of incidents that people know of.
func (b *Book) Open() int {
	open := map[string]bool{}
	for _, p := range b.open {
		if p.last.N > 0 {
			open[p.last.Incident] = true
		}
	}
	for _, t := range b.record {
		if t.Step == fleet.StepResolved || t.Step == fleet.StepAbsorbed {
			delete(open, t.Incident)
		} else {
			open[t.Incident] = true
		}
	}
	return len(open)
}

func keyOf(t *fleet.Transition) key {
	k := key{acquirer: t.Acquirer, code: t.Code}
	if len(t.Scope) == 1 {
		k.merchant = t.Scope[0]["merchant"]
	}
	return k
}

func scopeOf(places []alerter.Place) (s fleet.Scope) {
	for _, p := range places {
		s = append(s, p.Scope())
	}
	return s
}

func sameScope(s fleet.Scope, places []alerter.Place) bool {
	return slices.EqualFunc(s, scopeOf(places), maps.Equal[map[string]string, map[string]string])
}
