package point_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tillwatch/tillwatch/collector/point"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func seriesOf(k fleet.Key) string {
	return "heartbeat,acquirer=" + k.Acquirer + ",terminal=" + fleet.Escape(k.Terminal)
}

// facts lists the slow facts that a heartbeat carries, by field, as a reader of the database would see them.
func facts(h *fleet.Heartbeat) map[string]any {
	out := map[string]any{"boot": h.Boot}
	text := func(name, v string) {
		if v != "" {
			out[name] = v
		}
	}
	text("merchant", h.Merchant)
	text("model", h.Model)
	text("serial", h.Serial)
	text("app", h.App)
	text("os", h.OS)
	text("params", h.Params)
	text("net_type", h.NetType)
	text("iccid", h.ICCID)
	text("cell", h.Cell)
	text("printer", h.Printer)
	text("reader", h.Reader)
	text("scanner", h.Scanner)
	text("pinpad", h.PINPad)
	text("screen", h.Screen)
	if h.Fields.Has(fleet.HasEvery) {
		out["every_s"] = h.EverySec
	}
	if h.Fields.Has(fleet.HasHostOK) {
		out["host_ok"] = h.HostOK
	}
	if h.Fields.Has(fleet.HasTamper) {
		out["tamper"] = h.Tamper
	}
	if h.Fields.Has(fleet.HasStorage) {
		out["storage_mb"] = h.StorageMB
	}
	return out
}

// drawFacts changes some facts of h and leaves out some.
func drawFacts(t *rapid.T, h fleet.Heartbeat) fleet.Heartbeat {
	few := rapid.SampledFrom([]string{"", "1", "2", "2\"\\", "三\n"})
	for _, s := range []*string{
		&h.Merchant, &h.Model, &h.Serial, &h.App, &h.OS, &h.Params, &h.NetType, &h.ICCID, &h.Cell,
		&h.Printer, &h.Reader, &h.Scanner, &h.PINPad, &h.Screen,
	} {
		if rapid.IntRange(0, 5).Draw(t, "change") == 0 {
			*s = few.Draw(t, "text")
		}
	}
	flip := func(f fleet.Field, change func()) {
		switch rapid.IntRange(0, 5).Draw(t, "flip") {
		case 0:
			h.Fields |= f
			change()
		case 1:
			h.Fields &^= f
		}
	}
	flip(fleet.HasEvery, func() { h.EverySec = rapid.Int64Range(1, 3).Draw(t, "every") })
	flip(fleet.HasHostOK, func() { h.HostOK = !h.HostOK })
	flip(fleet.HasTamper, func() { h.Tamper = !h.Tamper })
	flip(fleet.HasStorage, func() { h.StorageMB = rapid.Int64Range(0, 2).Draw(t, "storage") })
	return h
}

// drawLife draws the heartbeats of one terminal in the order of their making: seq counts within boot, and its clock
// runs forward, sometimes over midnight.
func drawLife(t *rapid.T) []fleet.Heartbeat {
	h := fleet.Heartbeat{TS: noon.UnixMilli() + rapid.Int64Range(0, 11*3600_000).Draw(t, "start"), Boot: 1000}
	var life []fleet.Heartbeat
	for range rapid.IntRange(1, 12).Draw(t, "beats") {
		h = drawFacts(t, h)
		life = append(life, h)
		h.TS += rapid.SampledFrom([]int64{1, 60_000, 61_234, 3 * 3600_000}).Draw(t, "step")
		h.Seq++
		if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
			h.Boot, h.Seq = h.TS/1000, 0
		}
	}
	return life
}

// The reader's side of writing by exception: at the time of every stored heartbeat, last() of each fact that it
// carried is what it said. This holds after every single write, whatever the order of delivery, with redeliveries,
// several collectors that share the stream, writes that fail, and caches that hold fewer terminals than there are.
func TestLastOfEachFactIsTheTruth(t *testing.T) {
	deliveries, fields, left := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		type beat struct {
			key fleet.Key
			h   fleet.Heartbeat
		}
		var todo []beat
		for i := range rapid.IntRange(1, 3).Draw(t, "terminals") {
			key := fleet.Key{Acquirer: "a1", Terminal: fmt.Sprintf("T_%d", i)}
			for _, h := range drawLife(t) {
				todo = append(todo, beat{key, h})
			}
		}
		// In the order of their making over all terminals, then disturbed.
		for i := range todo {
			for j := i; j > 0 && todo[j].h.TS < todo[j-1].h.TS; j-- {
				todo[j], todo[j-1] = todo[j-1], todo[j]
			}
		}
		for range rapid.IntRange(0, 6).Draw(t, "disturbances") {
			from, to := rapid.IntRange(0, len(todo)-1).Draw(t, "from"), rapid.IntRange(0, len(todo)-1).Draw(t, "to")
			if rapid.Bool().Draw(t, "again") {
				todo = append(todo, todo[from])
				from = len(todo) - 1
			}
			todo[from], todo[to] = todo[to], todo[from]
		}
		collectors := make([]*point.Facts, rapid.IntRange(1, 3).Draw(t, "collectors"))
		for i := range collectors {
			collectors[i] = point.NewFacts(rapid.IntRange(1, 4).Draw(t, "cached"))
		}
		db := database{}
		var stored []beat
		for i, b := range todo {
			f := collectors[rapid.IntRange(0, len(collectors)-1).Draw(t, "collector")]
			arrived := time.UnixMilli(b.h.TS).Add(rapid.SampledFrom([]time.Duration{0, time.Second, 26 * time.Hour}).Draw(t, "delay"))
			line := point.AppendHeartbeat(nil, b.key, &b.h, arrived, f)
			if rapid.IntRange(0, 7).Draw(t, "fails") == 0 {
				f.Forget(b.key)
				continue
			}
			if err := db.write(line); err != nil {
				t.Fatal(err)
			}
			stored = append(stored, b)
			deliveries++
			written, _ := parseLines(string(line))
			for _, s := range stored {
				for name, want := range facts(&s.h) {
					fields++
					if got := db.last(seriesOf(s.key), name, s.h.TS*1e6); got != want {
						t.Fatalf("after delivery %d: at %d last(%s) of %s is %v, want %v\nits line: %v", i, s.h.TS, name, s.key, got, want, written)
					}
				}
			}
			for name := range facts(&b.h) {
				if _, ok := written[0].fields[name]; !ok {
					left++
				}
			}
		}
	})
	t.Logf("%d deliveries, %d facts read, %d facts not written because they were known", deliveries, fields, left)
	if left == 0 {
		t.Error("no fact was ever left out: this is not writing by exception")
	}
}

// A terminal whose clock jumps, also backwards: the facts of the newest point by time are those that last() reads,
// once a heartbeat with that time was the last to come.
func TestLastSurvivesJumpingClocks(t *testing.T) {
	newest, jumps := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		key := fleet.Key{Acquirer: "a1", Terminal: "1"}
		f := point.NewFacts(1)
		db := database{}
		h := fleet.Heartbeat{TS: noon.UnixMilli(), Boot: 1}
		most := int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "beats") {
			h = drawFacts(t, h)
			if err := db.write(point.AppendHeartbeat(nil, key, &h, time.UnixMilli(h.TS), f)); err != nil {
				t.Fatal(err)
			}
			if h.TS > most {
				most = h.TS
				newest++
				for name, want := range facts(&h) {
					if got := db.last(seriesOf(key), name, 1<<62); got != want {
						t.Fatalf("last(%s) is %v, want %v", name, got, want)
					}
				}
			} else {
				jumps++
			}
			h.Seq++
			h.TS += rapid.SampledFrom([]int64{60_000, 60_000, 60_000, -90_000, -3600_000, 7200_000}).Draw(t, "step")
		}
	})
	t.Logf("%d newest points, %d behind", newest, jumps)
}
