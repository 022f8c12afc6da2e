package tally

import "time"

// freshness is when a terminal's part of the totals stops counting, unless a newer heartbeat came.
type freshness struct {
	until time.Time
	term  *terminal
	gen   uint64
}

// expiries is a binary heap, the earliest first. Arrival does not order them: a terminal that comes back after a week
// has a period of a week, and must not keep the parts of all others alive behind it.
type expiries []freshness

func (e *expiries) push(f freshness) {
	h := append(*e, f)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !h[i].until.Before(h[parent].until) {
			break
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
	*e = h
}

func (e *expiries) pop() freshness {
	h := *e
	first, last := h[0], len(h)-1
	h[0], h[last] = h[last], freshness{}
	h = h[:last]
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].until.Before(h[child].until) {
			child++
		}
		if !h[child].until.Before(h[i].until) {
			break
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
	*e = h
	return first
}
