package simulate

import (
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

func TestTheFleetIsHeavyTailed(t *testing.T) {
	f := newFleet(t, Options{Terminals: 50_000, Seed: 11})
	small, dozens, largest := 0, 0, int32(0)
	rates := make([]float64, 0, f.Terminals())
	for i := range f.merchants {
		n := f.merchants[i].n
		if n <= 2 {
			small++
		}
		if n >= 24 {
			dozens++
		}
		largest = max(largest, n)
	}
	sum := 0.0
	for i := range f.terminals {
		rates = append(rates, float64(f.terminals[i].rate))
		sum += rates[i]
	}
	slices.Sort(rates)
	top := 0.0
	for _, r := range rates[len(rates)*9/10:] {
		top += r
	}
	m := float64(len(f.merchants))
	t.Logf("%d merchants: %.1f %% with 1 or 2 terminals, %.2f %% with two dozen or more, largest %d; mean rate %.2f, the busiest tenth makes %.0f %% of the sales",
		len(f.merchants), 100*float64(small)/m, 100*float64(dozens)/m, largest, sum/float64(len(rates)), 100*top/sum)
	if s := float64(small) / m; s < 0.7 || s > 0.85 {
		t.Errorf("share of small merchants %.3f", s)
	}
	if largest < 40 || dozens == 0 {
		t.Errorf("largest merchant has %d terminals, %d have two dozen", largest, dozens)
	}
	if mean := sum / float64(len(rates)); mean < 5.5 || mean > 6.5 {
		t.Errorf("mean rate %.2f, want about 6", mean)
	}
	if top/sum < 0.25 {
		t.Errorf("the busiest tenth makes %.3f of the sales", top/sum)
	}
	if len(f.byMID) != len(f.merchants) {
		t.Errorf("%d merchants have %d numbers", len(f.merchants), len(f.byMID))
	}
	keys := map[fleet.Key]bool{}
	tids := map[string]bool{}
	for key := range f.Keys() {
		keys[key], tids[key.Terminal] = true, true
	}
	if len(keys) != f.Terminals() || len(tids) == f.Terminals() {
		t.Errorf("%d terminals have %d keys and %d TIDs; keys are unique and TIDs are not", f.Terminals(), len(keys), len(tids))
	}
	for a, want := range map[string]float64{"a1": 0.6, "a2": 0.4} {
		n := 0
		for key := range f.Keys() {
			if key.Acquirer == a {
				n++
			}
		}
		if got := float64(n) / float64(f.Terminals()); math.Abs(got-want) > 0.03 {
			t.Errorf("%s has %.3f of the terminals, want about %.1f", a, got, want)
		}
	}
}

func TestMixOfResponseCodes(t *testing.T) {
	f := newFleet(t, Options{Terminals: 1000, Seed: 8, Rate: 3000, AlwaysOpen: true, Approvals: true, Heartbeat: time.Hour})
	sum := Summary{}
	for e := range f.Events(30 * time.Minute) {
		sum.count(&e)
	}
	n := float64(sum.Txns)
	t.Logf("%.0f transactions: %.3f %% approved; %s", n, 100*float64(sum.Approved)/n, sum)
	total := 0.0
	for _, d := range declines {
		total += d.weight
	}
	// Five standard deviations of a binomial count, whose seed is fixed.
	check := func(code string, got int, p float64) {
		if sd := math.Sqrt(n * p * (1 - p)); math.Abs(float64(got)-n*p) > 5*sd+1 {
			t.Errorf("%s: %d, want %.0f ± %.0f", code, got, n*p, 5*sd+1)
		}
	}
	check("00", sum.Approved, approvedPer/100)
	for _, d := range declines {
		check(d.name, sum.Declines[d.name], d.weight/total*(100-approvedPer)/100)
	}
	per := 100_000 * float64(sum.Declines["03"]) / n
	t.Logf("03: %.2f in 100,000", per)
	if n < 1e6 || per < 1 || per > 3 {
		t.Errorf("03 is %.2f in 100,000 of %.0f transactions, want about 2", per, n)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 terminals")
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const terminals = 100_000
	before := heap()
	f := newFleet(t, Options{Terminals: terminals, Seed: 2, Approvals: true, Rate: 20, AlwaysOpen: true})
	var early, late uint64
	n := 0
	for range f.Events(time.Hour) {
		if n++; n == 10_000 {
			early = heap() - before
		}
		if n == 400_000 {
			late = heap() - before
			break
		}
	}
	t.Logf("%d terminals: %.1f MB after 10,000 events and %.1f MB after 400,000, %.0f bytes a terminal", terminals, float64(early)/1e6, float64(late)/1e6, float64(late)/terminals)
	if late == 0 || late > 400*terminals || float64(late) > 1.1*float64(early) {
		t.Errorf("%d bytes, then %d", early, late)
	}
	runtime.KeepAlive(f)
}

func BenchmarkEvents(b *testing.B) {
	for _, c := range []struct {
		name      string
		terminals int
	}{{"1k", 1000}, {"100k", 100_000}} {
		b.Run(c.name, func(b *testing.B) {
			f := newFleet(b, Options{Terminals: c.terminals, Seed: 2, Approvals: true, Rate: 60})
			buf := make([]byte, 0, 1024)
			b.ReportAllocs()
			n := 0
			for e := range f.Events(0) {
				if !b.Loop() {
					break
				}
				buf = e.AppendBody(buf[:0])
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
