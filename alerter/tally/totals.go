package tally

import (
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// terminal is the latest that a terminal said of itself.
type terminal struct {
	boot, seq            int64
	model, app, merchant string

	// The last totals, which the next ones are compared with; totalsAt is zero before the first.
	totalsAt   time.Time
	totalsBoot int64
	totals     int64

	leaf   *leaf
	share  float64 // this terminal's part of its places' totals
	latest uint64  // which freshness is the current one
}

// Heartbeat folds a heartbeat that was stored at this instant. One with an older (boot, seq) changes nothing.
func (t *Tally) Heartbeat(at time.Time, k fleet.Key, h *fleet.Heartbeat) {
	t.Advance(at)
	term := t.terminals[k]
	if term == nil {
		term = &terminal{}
		t.terminals[k] = term
	} else if h.Boot < term.boot || h.Boot == term.boot && h.Seq <= term.seq {
		return
	}
	term.model, term.app, term.merchant = or(h.Model, term.model), or(h.App, term.app), or(h.Merchant, term.merchant)
	term.boot, term.seq = h.Boot, h.Seq
	if !h.Fields.Has(fleet.HasTotals) {
		return
	}
	total := h.Approved + h.Declined
	if period := at.Sub(term.totalsAt); !term.totalsAt.IsZero() && period >= time.Second {
		done := total
		if h.Boot == term.totalsBoot {
			done -= term.totals
		}
		t.replaceShare(term, k, float64(max(done, 0))*t.o.Window.Seconds()/period.Seconds())
		term.latest++
		t.fresh.push(freshness{at.Add(max(2*period, t.o.Window)), term, term.latest})
	} else if uptime := time.Duration(h.TS/1000-h.Boot) * time.Second; term.totalsAt.IsZero() && uptime >= t.o.Window {
		// The first that is known of a terminal, after a restart of ours above all: its mean since its own start, by its
		// own clock, stands in until a period is complete.
		t.replaceShare(term, k, float64(total)*t.o.Window.Seconds()/uptime.Seconds())
		term.latest++
		t.fresh.push(freshness{at.Add(max(2*time.Duration(h.EverySec)*time.Second, t.o.Window)), term, term.latest})
	}
	term.totalsAt, term.totalsBoot, term.totals = at, h.Boot, total
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

// expireTotals drops the parts of terminals that have fallen silent.
func (t *Tally) expireTotals(now time.Time) {
	for len(t.fresh) > 0 && !t.fresh[0].until.After(now) {
		f := t.fresh.pop()
		if f.term.latest == f.gen && f.term.leaf != nil {
			for _, p := range f.term.leaf.places {
				p.totals -= f.term.share
			}
			f.term.leaf, f.term.share = nil, 0
		}
	}
}
