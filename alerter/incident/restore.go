package incident

import (
	"maps"
	"slices"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Restore folds a published transition, in the order of publication. It is followed by Resume, by Steps over what lies
// before, as far back as the window can be filled, and by Steps from there on.
//
// What a transition does not say (since when an opening is held, when the rule last held, which terminals an incident
// has seen) comes from the Steps over the past. An incident older than they reach has forgotten its first terminals,
// and may be told of as worsened later than it would have been.
func (b *Book) Restore(t fleet.Transition) {
	b.told = max(b.told, t.At)
	k := keyOf(&t)
	old := b.open[k]
	if t.Step == fleet.StepResolved || t.Step == fleet.StepAbsorbed {
		if old != nil && old.last.Incident == t.Incident {
			delete(b.open, k)
		}
		return
	}
	at := time.UnixMilli(t.At)
	p := newProblem(at)
	p.last, p.opened, p.seenAt, p.published = t, t.At, at, at
	if old != nil && old.last.Incident == t.Incident {
		p.opened = old.opened
	}
	for _, m := range t.Scope {
		p.places = append(p.places, alerter.PlaceOf(m))
	}
	p.peak = alerter.Counts{Declines: int(t.Observed), Transactions: t.Transactions}
	b.open[k] = p
}

// Resume says that everything up to an instant, itself included, was decided before.
func (b *Book) Resume(decided time.Time) { b.decided = decided }

// past reports whether an instant was decided before a restart. One step may give several transitions, and the process
// may have ended between two of them: the instant of the newest is decided again, which changes nothing for those that
// are there.
func (b *Book) past(at time.Time) bool {
	return !at.After(b.decided) || at.UnixMilli() < b.told
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
