package tally

import (
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// terminal is the latest that a terminal said of itself.
type terminal struct {
	boot, seq            int64
	at                   time.Time
	approved, declined   int64
	hasTotals            bool
	model, app, merchant string

	leaf   *leaf
	share  float64 // this terminal's part of its places' totals
	latest uint64  // which freshness is the current one
}

// freshness is when a terminal's part of the totals stops counting, unless a newer heartbeat came.
type freshness struct {
	until time.Time
	term  *terminal
	gen   uint64
}

// Heartbeat folds a heartbeat that was stored at this instant. One with an older (boot, seq) changes nothing.
func (t *Tally) Heartbeat(at time.Time, k fleet.Key, h *fleet.Heartbeat) {
	t.Advance(at)
	term := t.terminals[k]
	first := term == nil
	if first {
		term = &terminal{}
		t.terminals[k] = term
	} else if h.Boot < term.boot || h.Boot == term.boot && h.Seq <= term.seq {
		return
	}
	term.model, term.app, term.merchant = or(h.Model, term.model), or(h.App, term.app), or(h.Merchant, term.merchant)
	if h.Fields.Has(fleet.HasTotals) {
		period := at.Sub(term.at)
		if !first && term.hasTotals && period >= time.Second {
			done := h.Approved + h.Declined
			if h.Boot == term.boot {
				done -= term.approved + term.declined
			}
			t.replaceShare(term, k, float64(max(done, 0))*t.o.Window.Seconds()/period.Seconds())
			term.latest++
			t.fresh.push(freshness{at.Add(max(2*period, t.o.Window)), term, term.latest})
		}
		term.approved, term.declined, term.hasTotals = h.Approved, h.Declined, true
	}
	term.boot, term.seq, term.at = h.Boot, h.Seq, at
}

func (t *Tally) replaceShare(term *terminal, k fleet.Key, share float64) {
	if term.leaf != nil {
		for _, p := range term.leaf.places {
			p.totals -= term.share
		}
	}
	term.leaf, term.share = t.leaf(k.Acquirer, term.merchant, term.model, term.app), share
	for _, p := range term.leaf.places {
		p.totals += share
	}
}

// expireTotals drops the parts of terminals that have fallen silent. The queue is ordered by arrival and not by expiry,
// so a part may count a little longer than its terminal's own period asks; never less.
func (t *Tally) expireTotals(now time.Time) {
	for f, ok := t.fresh.peek(); ok && !f.until.After(now); f, ok = t.fresh.peek() {
		if f.term.latest == f.gen && f.term.leaf != nil {
			for _, p := range f.term.leaf.places {
				p.totals -= f.term.share
			}
			f.term.leaf, f.term.share = nil, 0
		}
		t.fresh.pop()
	}
}
