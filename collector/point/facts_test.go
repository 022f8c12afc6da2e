package point_test

import (
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tillwatch/tillwatch/collector/point"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

func itoa(i int) string { return strconv.Itoa(i) }

func terminal(i int) fleet.Key {
	return fleet.Key{Acquirer: "a" + itoa(i%5), Terminal: itoa(10_000_000 + i)}
}

// full is a heartbeat with every field.
func full(seq int64) fleet.Heartbeat {
	return fleet.Heartbeat{
		TS: noon.UnixMilli() + seq*60_000, EverySec: 60, Boot: 1763890000, Seq: seq, Merchant: "898440153110001", Model: "A920",
		Serial: "SN10000001", App: "2.4.1", OS: "10", Params: "17:9f3c2a", NetType: "4g", RSSI: -71, RTTms: 80, HostOK: true,
		ICCID: "89860012345678901236", Cell: "460-00-1234-5678", Printer: "ok", Reader: "ok", Scanner: "ok", PINPad: "ok",
		Screen: "ok", Battery: 87, StorageMB: 512, Approved: 812, Declined: 9,
		Fields: fleet.HasEvery | fleet.HasRSSI | fleet.HasRTT | fleet.HasHostOK | fleet.HasBattery | fleet.HasTamper | fleet.HasStorage | fleet.HasTotals,
	}
}

func arrival(h *fleet.Heartbeat) time.Time { return time.UnixMilli(h.TS).Add(800 * time.Millisecond) }

// Facts keeps the terminals heard last and no more than its bound, whatever comes; Model shows who is there.
func TestFactsAreAnLRU(t *testing.T) {
	evicted := 0
	rapid.Check(t, func(t *rapid.T) {
		bound := rapid.IntRange(1, 6).Draw(t, "bound")
		f := point.NewFacts(bound)
		var order []int // oldest first
		seq := int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, 9).Draw(t, "terminal")
			at := slices.Index(order, i)
			if at >= 0 {
				order = slices.Delete(order, at, at+1)
			}
			if rapid.IntRange(0, 5).Draw(t, "forget") == 0 {
				f.Forget(terminal(i))
			} else {
				if len(order) == bound {
					order = order[1:]
					evicted++
				}
				order = append(order, i)
				seq++
				h := full(seq)
				h.Model = "M" + itoa(i)
				point.AppendHeartbeat(nil, terminal(i), &h, arrival(&h), f)
			}
			if f.Len() != len(order) {
				t.Fatalf("%d terminals, want %d", f.Len(), len(order))
			}
			for i := range 10 {
				want := ""
				if slices.Contains(order, i) {
					want = "M" + itoa(i)
				}
				if got := f.Model(terminal(i)); got != want {
					t.Fatalf("model of %d is %q, want %q; order %v", i, got, want, order)
				}
			}
		}
	})
	if evicted == 0 {
		t.Error("nothing was ever evicted")
	}
	t.Logf("%d evictions", evicted)
}

// The model that declines are given is what the terminal is now: an old heartbeat, or one without a model, says nothing.
func TestModelIsTheNewest(t *testing.T) {
	f := point.NewFacts(10)
	beat := func(seq int64, model string) {
		h := full(seq)
		h.Model = model
		point.AppendHeartbeat(nil, terminal(1), &h, arrival(&h), f)
	}
	for _, step := range []struct {
		seq         int64
		model, want string
	}{{5, "A920", "A920"}, {6, "", "A920"}, {2, "A80", "A920"}, {7, "A930", "A930"}, {7, "A930", "A930"}} {
		beat(step.seq, step.model)
		if got := f.Model(terminal(1)); got != step.want {
			t.Errorf("after heartbeat %d: model %q, want %q", step.seq, got, step.want)
		}
	}
	f.Forget(terminal(1))
	f.Forget(terminal(1))
	if got := f.Model(terminal(1)); got != "" || f.Len() != 0 {
		t.Errorf("forgotten, and still %q of %d", got, f.Len())
	}
}

// What is kept of a terminal must not keep its message alive, and is as small as promised.
func TestFactsMemory(t *testing.T) {
	const n = 20_000
	f := point.NewFacts(n)
	b := make([]byte, 0, 1024)
	before := heap()
	for i := range n {
		body := string(make([]byte, 4096)) // what a decoder's strings share
		k := terminal(i)
		body = k.Acquirer + k.Terminal + "A920" + body[:4000]
		k = fleet.Key{Acquirer: body[:2], Terminal: body[2:10]}
		h := full(1)
		h.Model = body[10:14]
		b = point.AppendHeartbeat(b[:0], k, &h, arrival(&h), f)
	}
	each := (heap() - before) / n
	runtime.KeepAlive(f)
	t.Logf("%d terminals, %d bytes each", f.Len(), each)
	if f.Len() != n || each > 600 {
		t.Errorf("%d terminals of %d bytes: want %d of at most 600", f.Len(), each, n)
	}
	// A flood of distinct models is bounded too.
	one := point.NewFacts(1)
	before = heap()
	for i := range 100_000 {
		h := full(int64(i))
		h.Model = "model-" + itoa(i) + string(make([]byte, 100))
		b = point.AppendHeartbeat(b[:0], terminal(0), &h, arrival(&h), one)
	}
	grown := heap() - before
	runtime.KeepAlive(one)
	t.Logf("100,000 models of 110 bytes leave %d KiB", grown>>10)
	if grown > 4<<20 {
		t.Errorf("100,000 distinct models leave %d bytes", grown)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// In the steady state nothing is allocated, for heartbeats with and without facts, bad clocks and declines alike.
func TestAllocations(t *testing.T) {
	f := point.NewFacts(1000)
	b := make([]byte, 0, 64<<10)
	h := full(0)
	x := fleet.Txn{TS: noon.UnixMilli(), ID: "20261123-000001", Code: "03", Merchant: "898440153110001", Amount: 1200, Currency: "CNY", LatencyMS: 240, App: "2.4.1", Fields: fleet.HasAmount | fleet.HasLatency}
	k := terminal(1)
	for i := range 1000 {
		point.AppendHeartbeat(b[:0], terminal(i), &h, arrival(&h), f)
	}
	arrived := arrival(&h)
	for name, run := range map[string]func(){
		"facts unchanged": func() {
			h.Seq++
			h.TS += 60
			b = point.AppendHeartbeat(b[:0], k, &h, arrived, f)
		},
		"all facts": func() {
			h.Seq += 2
			b = point.AppendHeartbeat(b[:0], k, &h, arrived, f)
		},
		"bad clock": func() {
			bad := h
			bad.TS = 1
			b = point.AppendHeartbeat(b[:0], k, &bad, arrived, f)
		},
		"decline": func() { b = point.AppendDecline(b[:0], k, &x, f.Model(k), arrived) },
	} {
		if n := testing.AllocsPerRun(500, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkAppendHeartbeat is the line of one heartbeat out of 100,000 terminals that report in turn.
func BenchmarkAppendHeartbeat(b *testing.B) {
	const terminals = 100_000
	for _, mode := range []struct {
		name string
		step int64 // of seq: 1 follows, anything else does not
	}{{"facts unchanged", 1}, {"all facts", 2}} {
		b.Run(mode.name, func(b *testing.B) {
			f := point.NewFacts(terminals)
			keys := make([]fleet.Key, terminals)
			for i := range keys {
				keys[i] = terminal(i)
			}
			buf := make([]byte, 0, 1024)
			h := full(0)
			arrived := arrival(&h)
			for _, k := range keys {
				buf = point.AppendHeartbeat(buf[:0], k, &h, arrived, f)
			}
			i, size := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				if i%terminals == 0 {
					h.Seq += mode.step
					h.TS += 10
				}
				buf = point.AppendHeartbeat(buf[:0], keys[i%terminals], &h, arrived, f)
				size += len(buf)
				i++
			}
			b.ReportMetric(float64(size)/float64(i), "B/line")
		})
	}
}

func BenchmarkAppendDecline(b *testing.B) {
	x := fleet.Txn{TS: noon.UnixMilli(), ID: "20261123-000001", Code: "03", Merchant: "898440153110001", Amount: 1200, Currency: "CNY", LatencyMS: 240, App: "2.4.1", Params: "17:9f3c2a", Fields: fleet.HasAmount | fleet.HasLatency}
	k := terminal(1)
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = point.AppendDecline(buf[:0], k, &x, "A920", noon)
	}
	b.ReportMetric(float64(len(buf)), "B/line")
}
