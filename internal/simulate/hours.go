package simulate

import (
	"math"
	"math/rand/v2"
	"time"
)

// Instants inside a fleet are milliseconds since its start.
const never = math.MaxInt64

const (
	msMinute = int64(60_000)
	msDay    = day * msMinute
)

// hours gives a merchant its opening hours: its trade's, shifted by up to an hour in quarters.
func (f *Fleet) hours(m *merchant, rng *rand.Rand) {
	t := trades[m.trade]
	early, late, off := rng.IntN(5), rng.IntN(5), rng.Float64() < 0.6
	m.open, m.close = int16(t.open), int16(t.close)
	if f.o.AlwaysOpen {
		m.open, m.close, m.mean, m.peak = 0, day, 1, 1
		return
	}
	if t.close-t.open < day {
		m.open += int16(15 * (early - 2))
		m.close += int16(15 * (late - 2))
		m.powersOff = off
	}
	sum, top := 0.0, 0.0
	for minute := m.open; minute < m.close; minute++ {
		sum += intensity[minute/60]
		top = max(top, intensity[minute/60])
	}
	mean := sum / float64(m.close-m.open)
	m.mean, m.peak = float32(mean), float32(top/mean)
}

// zone is the clock on the wall of one acquirer's shops. It remembers the offset from UTC between two transitions.
type zone struct {
	loc         *time.Location
	start       int64 // of the fleet, Unix milliseconds
	from, until int64 // the offset holds in [from, until)
	offset      int64
}

func newZone(loc *time.Location, start time.Time) zone {
	return zone{loc: loc, start: start.UnixMilli(), from: never}
}

// local is the number of milliseconds of the local calendar at instant t: a day is msDay long, and midnight a multiple
// of it.
func (z *zone) local(t int64) int64 {
	if t < z.from || t >= z.until {
		at := time.UnixMilli(z.start + t).In(z.loc)
		_, offset := at.Zone()
		z.offset = int64(offset) * 1000
		z.from, z.until = math.MinInt64, never
		begin, end := at.ZoneBounds()
		if !begin.IsZero() {
			z.from = begin.UnixMilli() - z.start
		}
		if !end.IsZero() {
			z.until = end.UnixMilli() - z.start
		}
	}
	return z.start + t + z.offset
}

// instant is the first instant after t at which the local calendar shows the given minute of a day.
func (z *zone) instant(t int64, minute int64) int64 {
	local := z.local(t)
	want := local - local%msDay + minute*msMinute
	if want <= local {
		want += msDay
	}
	next := t + want - local
	// A change of the clocks in between moves the wall, not the shop: look again from there.
	return next + want - z.local(next)
}

// isOpen reports whether the shop is open, from open to close without close itself.
func (m *merchant) isOpen(local int64) bool {
	minute := int16(local % msDay / msMinute)
	return minute >= m.open && minute < m.close
}

// nextSale draws the next sale after t: a Poisson process whose rate follows the hour, by thinning (Lewis and Shedler
// 1979) under its daily peak. While the shop is closed nothing is drawn: the process has no memory, so it starts anew
// when the shop opens.
func (f *Fleet) nextSale(i int, t int64, rng *rand.Rand, z *zone) int64 {
	own := &f.terminals[i]
	m := &f.merchants[own.merchant]
	gap := 3_600_000 / (float64(own.rate) * float64(m.peak))
	for {
		t += 1 + int64(rng.ExpFloat64()*gap)
		if f.o.AlwaysOpen {
			return t
		}
		local := z.local(t)
		if !m.isOpen(local) {
			t = z.instant(t, int64(m.open))
			continue
		}
		now := intensity[local%msDay/(60*msMinute)] / float64(m.mean)
		if rng.Float64()*float64(m.peak) < now {
			return t
		}
	}
}

// powerOn is how long before opening a terminal is switched on, 5 to 25 minutes; it differs by day.
func (f *Fleet) powerOn(i int, dayNumber int64) int64 {
	return 5*msMinute + int64(mix(f.terminals[i].hash, saltBeat, uint64(dayNumber))%uint64(20*msMinute))
}

// powered reports whether a terminal has power at t, and if not, when it is switched on next.
func (f *Fleet) powered(i int, t int64, z *zone) (bool, int64) {
	m := &f.merchants[f.terminals[i].merchant]
	if !m.powersOff {
		return true, 0
	}
	local := z.local(t)
	if m.isOpen(local) {
		return true, 0
	}
	opens := z.instant(t, int64(m.open))
	on := opens - f.powerOn(i, z.local(opens)/msDay)
	return t >= on, on
}
