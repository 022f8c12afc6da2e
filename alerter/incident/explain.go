package incident

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// group is what holds for one code.
type group struct {
	wide      map[string][]Holding // by acquirer or fleet.AllAcquirers
	merchants []Holding
}

func groupByCode(holding []Holding) map[string]*group {
	groups := map[string]*group{}
	for _, h := range holding {
		g := groups[h.Series.Code]
		if g == nil {
			g = &group{wide: map[string][]Holding{}}
			groups[h.Series.Code] = g
		}
		if h.Series.Place.Level() == alerter.LevelMerchant {
			g.merchants = append(g.merchants, h)
			continue
		}
		acquirer := cmp.Or(h.Series.Place.Acquirer, fleet.AllAcquirers)
		g.wide[acquirer] = append(g.wide[acquirer], h)
	}
	for _, g := range groups {
		g.leaveToMerchants()
		slices.SortFunc(g.merchants, byPlace)
		for _, w := range g.wide {
			slices.SortFunc(w, byPlace)
		}
	}
	return groups
}

// leaveToMerchants takes out the wider places that one merchant accounts for: a merchant with many terminals is enough
// for a region to hold, and the merchant says more.
func (g *group) leaveToMerchants() {
	for acquirer, wide := range g.wide {
		wide = slices.DeleteFunc(wide, func(h Holding) bool {
			return slices.ContainsFunc(g.merchants, func(m Holding) bool { return accountsFor(m.Counts, h.Counts) })
		})
		if len(wide) == 0 {
			delete(g.wide, acquirer)
		} else {
			g.wide[acquirer] = wide
		}
	}
}

// accountsFor reports whether at least four fifths of a wider place's declining terminals, and of its declines, are a
// merchant's.
func accountsFor(merchant, wide alerter.Counts) bool {
	terminals, declines := 0, 0
	for t := range wide.Terminals {
		if n := merchant.Terminals[t]; n > 0 {
			terminals++
			declines += n
		}
	}
	return 5*terminals >= 4*len(wide.Terminals) && 5*declines >= 4*wide.Declines
}

func byPlace(a, b Holding) int { return comparePlaces(a.Series.Place, b.Series.Place) }

func comparePlaces(x, y alerter.Place) int {
	return cmp.Or(cmp.Compare(x.Acquirer, y.Acquirer), cmp.Compare(x.Region, y.Region), cmp.Compare(x.Model, y.Model), cmp.Compare(x.App, y.App), cmp.Compare(x.Merchant, y.Merchant))
}

// explain chooses which of the places that hold describe the problem: all places of one level (model and version,
// version, region, acquirer). A level's score is the number of its declining terminals times the square of the share of
// its transactions that declined: a wider place has to bring in more of what fails than of what is fine. Of the levels
// within a tenth of the best the one with the fewest places is taken, and of those the narrowest.
func explain(holding []Holding) []Holding {
	byLevel := map[alerter.Level][]Holding{}
	for _, h := range holding {
		byLevel[h.Series.Place.Level()] = append(byLevel[h.Series.Place.Level()], h)
	}
	scores := map[alerter.Level]float64{}
	best := 0.0
	for level, places := range byLevel {
		union := map[fleet.Key]bool{}
		failed, txns := 0, int64(0)
		for _, h := range places {
			failed += h.Counts.Declines
			txns += max(h.Counts.Transactions, int64(h.Counts.Declines))
			for t := range h.Counts.Terminals {
				union[t] = true
			}
		}
		share := float64(failed) / float64(max(txns, 1))
		scores[level] = float64(len(union)) * share * share
		best = max(best, scores[level])
	}
	var chosen []Holding
	for _, level := range slices.Sorted(maps.Keys(byLevel)) {
		if places := byLevel[level]; scores[level] >= 0.9*best && (chosen == nil || len(places) < len(chosen)) {
			chosen = places
		}
	}
	return chosen
}

func sameLevel(places []alerter.Place, holding []Holding) bool {
	return len(places) > 0 && places[0].Level() == holding[0].Series.Place.Level()
}

func placesOf(holding []Holding) (places []alerter.Place) {
	for _, h := range holding {
		places = append(places, h.Series.Place)
	}
	return places
}

// declines adds up what places of one level show now.
func declines(now Now, code string, places []alerter.Place) (n int) {
	for _, p := range places {
		n += now.Counts(alerter.Series{Place: p, Code: code}).Declines
	}
	return n
}

// maxFindings bounds what one transition carries.
const maxFindings = 10

// findings are the open findings about merchants of the incident.
func (b *Book) findings(now Now, k key, p *problem) (out []fleet.Finding) {
	if now.Finding == nil || k.acquirer == fleet.AllAcquirers {
		return nil
	}
	if k.merchant != "" {
		if f := now.Finding(k.acquirer, k.merchant); f != nil {
			out = append(out, *f)
		}
		return out
	}
	named := 0
	for _, m := range slices.Sorted(maps.Keys(p.merchants)) {
		if f := now.Finding(k.acquirer, m); f != nil {
			if named++; len(out) < maxFindings {
				out = append(out, *f)
			}
		}
	}
	if 2*named < len(p.merchants) {
		return nil // a few merchants with a finding do not explain a wide incident
	}
	return out
}

// joinFindings adds to what was known what is known now; a newer transition replaces an older one. What explained an
// incident once stays with it, also when it is cleared before the incident ends.
func joinFindings(known, now []fleet.Finding) (all []fleet.Finding, grown bool) {
	all = slices.Clone(known)
	for _, f := range now {
		i := slices.IndexFunc(all, func(x fleet.Finding) bool { return x.ID == f.ID })
		switch {
		case i < 0 && len(all) < maxFindings:
			all, grown = append(all, f), true
		case i >= 0 && all[i].N < f.N:
			all[i], grown = f, true
		}
	}
	return all, grown
}

// causes turns what a check found into the cause it speaks for. Without a finding nothing is claimed.
func causes(findings []fleet.Finding) []fleet.CauseGuess {
	var out []fleet.CauseGuess
	for _, f := range findings {
		id := ""
		switch {
		case f.Check == "merchant-status":
			id = "merchant_not_active"
		case f.Check == "balance":
			id = "account_blocked"
		default:
			continue
		}
		i := slices.IndexFunc(out, func(c fleet.CauseGuess) bool { return c.ID == id })
		if i < 0 {
			out = append(out, fleet.CauseGuess{ID: id, Weight: 0.9})
			i = len(out) - 1
		}
		out[i].For = append(out[i].For, evidence(f))
	}
	return out
}

func evidence(f fleet.Finding) string {
	if f.Since > 0 {
		return fmt.Sprintf("the acquirer says merchant number %s is %s since %s", f.Merchant, f.Value, time.UnixMilli(f.Since).UTC().Format(time.DateOnly))
	}
	return fmt.Sprintf("the acquirer says merchant number %s is %s", f.Merchant, f.Value)
}
