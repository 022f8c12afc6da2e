package tally

import (
	"slices"
	"time"
)

// lateAfter is how much older than its acquirer's usual delay an event may be and still count today.
const lateAfter = 15 * time.Minute

// offset is the running median of arrival − ts of an acquirer's events, over the last offsetSamples.
type offset struct {
	ring   [offsetSamples]int64 // milliseconds
	n      int
	median int64
}

const (
	offsetSamples = 127
	offsetEvery   = 16 // the median is taken anew after so many events
	offsetFirst   = 5  // with fewer events the median says nothing and counts as 0
)

// late reports whether an event is too old for today's alarms. A clock that runs ahead makes nothing late: not its own
// events, and not those of the others either, should it be the one that the median is taken from. A median below
// zero therefore counts as zero.
func (t *Tally) late(acquirer string, arrived time.Time, ts int64) bool {
	o := t.offsets[acquirer]
	if o == nil {
		o = &offset{}
		t.offsets[acquirer] = o
	}
	d := arrived.UnixMilli() - ts
	late := d-max(o.median, 0) > lateAfter.Milliseconds()
	o.ring[o.n%offsetSamples] = d
	o.n++
	if o.n == offsetFirst || o.n > offsetFirst && o.n%offsetEvery == 0 {
		s := slices.Clone(o.ring[:min(o.n, offsetSamples)])
		slices.Sort(s)
		o.median = s[len(s)/2]
	}
	return late
}

// Offset is the acquirer's running median of arrival minus event time.
func (t *Tally) Offset(acquirer string) time.Duration {
	if o := t.offsets[acquirer]; o != nil {
		return time.Duration(o.median) * time.Millisecond
	}
	return 0
}
