package simulate

import (
	"math"
	"testing"
	"time"
)

// TestShopsKeepTheirHours checks every event against the wall clock of its shop, as the time package tells it, through
// both changes of the clocks.
func TestShopsKeepTheirHours(t *testing.T) {
	for _, c := range []struct {
		zone  string
		start time.Time
	}{
		{"Asia/Shanghai", DefaultStart},
		{"America/New_York", time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)},   // clocks go forward on the 8th
		{"America/New_York", time.Date(2026, 10, 31, 12, 0, 0, 0, time.UTC)}, // and back on 1 November
		{"Asia/Kolkata", time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)},
	} {
		loc, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		f := newFleet(t, Options{Terminals: 200, Seed: 14, Start: c.start, Acquirers: []Acquirer{{ID: "x", Timezone: c.zone}}, Approvals: true, Heartbeat: 10 * time.Minute})
		const days = 2
		sales, byHour, shut, asleep := 0, [24]int{}, 0, 0
		expected := 0.0
		for i := range f.terminals {
			m := &f.merchants[f.terminals[i].merchant]
			expected += days * float64(f.terminals[i].rate) * float64(m.close-m.open) / 60
			if m.close-m.open < day {
				shut++
			}
			if m.powersOff {
				asleep++
			}
		}
		for e := range f.Events(days * 24 * time.Hour) {
			local := e.At.In(loc)
			minute := local.Hour()*60 + local.Minute()
			m := &f.merchants[f.terminals[e.Terminal].merchant]
			open := minute >= int(m.open) && minute < int(m.close)
			if e.Txn != nil {
				sales++
				byHour[local.Hour()]++
				if !open {
					t.Fatalf("a sale at %s in a shop that is open from %d to %d", local, m.open, m.close)
				}
				if want := local.Format("20060102"); e.Txn.ID[:8] != want {
					t.Fatalf("id %s at %s", e.Txn.ID, local)
				}
			} else if m.powersOff && !open && (minute < int(m.open)-26 || minute >= int(m.close)) {
				t.Fatalf("a heartbeat at %s of a terminal that is switched off from %d to %d", local, m.close, m.open)
			}
		}
		t.Logf("%s: %d sales, %.0f expected; %d of 200 terminals close, %d are switched off; by hour %v", c.zone, sales, expected, shut, asleep, byHour)
		if math.Abs(float64(sales)/expected-1) > 0.05 {
			t.Errorf("%s: %d sales, want about %.0f", c.zone, sales, expected)
		}
		if asleep < 40 || byHour[18] < 4*byHour[3] || byHour[3] == 0 {
			t.Errorf("%s: %d terminals sleep; by hour %v", c.zone, asleep, byHour)
		}
	}
}

func TestAlwaysOpenHasNoNight(t *testing.T) {
	f := newFleet(t, Options{Terminals: 100, Seed: 14, AlwaysOpen: true, Approvals: true, Heartbeat: time.Hour})
	var byHour [24]float64
	total := 0.0
	for e := range f.Events(24 * time.Hour) {
		if e.Txn != nil {
			byHour[e.At.Hour()]++
			total++
		}
	}
	for hour, n := range byHour {
		if math.Abs(n-total/24) > 5*math.Sqrt(total/24) {
			t.Errorf("hour %d has %.0f of %.0f sales", hour, n, total)
		}
	}
}
