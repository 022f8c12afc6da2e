package incident

import (
	"maps"
	"slices"
	"strings"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// acrossAcquirers opens or goes on with the incident that belongs to no single acquirer. It is opened only while no
// acquirer has a wide incident of its own with this code, and absorbed when theirs account for at least half of its
// terminals: the one that accounts for most takes it.
func (b *Book) acrossAcquirers(now Now, code string, holding []Holding) []fleet.Transition {
	k := key{acquirer: fleet.AllAcquirers, code: code}
	single := b.singleAcquirers(code)
	p := b.open[k]
	if p == nil || p.last.N == 0 {
		if len(single) > 0 {
			delete(b.open, k)
			return nil
		}
	} else if by := b.absorber(p, single); by != nil && !b.past(now.At) {
		p.last.AbsorbedBy = by.last.Incident
		delete(b.open, k)
		return []fleet.Transition{b.publish(now, k, p, fleet.StepAbsorbed, ReasonAbsorbed)}
	}
	if len(holding) == 0 {
		return nil
	}
	return b.wide(now, k, holding)
}

// singleAcquirers lists the wide problems of acquirers with this code, sorted by acquirer.
func (b *Book) singleAcquirers(code string) (out []*problem) {
	keys := slices.DeleteFunc(slices.Collect(maps.Keys(b.open)), func(k key) bool {
		return k.code != code || k.merchant != "" || k.acquirer == fleet.AllAcquirers
	})
	slices.SortFunc(keys, func(x, y key) int { return strings.Compare(x.acquirer, y.acquirer) })
	for _, k := range keys {
		out = append(out, b.open[k])
	}
	return out
}

// absorber returns the one of several problems that accounts for most of p's terminals, nil where all of them together
// account for less than half.
func (b *Book) absorber(p *problem, by []*problem) *problem {
	all := map[fleet.Key]bool{}
	var best *problem
	most := 0
	for _, q := range by {
		n := 0
		for t := range p.terminals {
			if q.terminals[t] {
				n++
				all[t] = true
			}
		}
		if n > most && q.last.N > 0 {
			best, most = q, n
		}
	}
	if 2*len(all) < len(p.terminals) {
		return nil
	}
	return best
}
