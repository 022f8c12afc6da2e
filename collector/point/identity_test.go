package point_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tillwatch/tillwatch/collector/point"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// anyText draws text with everything that has a meaning in line protocol, and bytes that are not UTF-8.
func anyText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringOf(rapid.SampledFrom([]rune("\"\\\\\n\r\t ,= #\x00商a1i"))),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 12), func(b []byte) string { return string(b) }),
	)
}

// anyKey draws a terminal of an acquirer; TIDs have any bytes.
func anyKey() *rapid.Generator[fleet.Key] {
	return rapid.Custom(func(t *rapid.T) fleet.Key {
		tid := rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(t, "tid")
		return fleet.Key{Acquirer: rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9-]{0,5}`).Draw(t, "acquirer"), Terminal: string(tid)}
	})
}

func anyHeartbeat(t *rapid.T, arrived time.Time) fleet.Heartbeat {
	h := fleet.Heartbeat{
		TS:   arrived.UnixMilli() - rapid.SampledFrom([]int64{0, 1, 3600_000, -300_000, -3600_000, 86400_000, 15 * 86400_000, arrived.UnixMilli() - 1}).Draw(t, "age"),
		Boot: rapid.Int64Range(0, 1<<40).Draw(t, "boot"), Seq: rapid.Int64Range(0, 1<<53).Draw(t, "seq"),
		EverySec: 60, RSSI: -70, RTTms: 9, Battery: 5, StorageMB: 3, Approved: 4, Declined: 1,
		Fields: fleet.Field(rapid.Uint32Range(0, 1<<10-1).Draw(t, "fields")),
	}
	for _, s := range []*string{&h.Merchant, &h.Model, &h.Serial, &h.App, &h.OS, &h.Params, &h.ICCID, &h.Cell, &h.NetType, &h.Printer} {
		*s = anyText().Draw(t, "text")
	}
	return h
}

func anyTxn(t *rapid.T, arrived time.Time) fleet.Txn {
	return fleet.Txn{
		TS:       arrived.UnixMilli() - rapid.SampledFrom([]int64{0, 1, 3600_000, -300_000, -3600_000, 80 * 86400_000, 91 * 86400_000, arrived.UnixMilli() - 1}).Draw(t, "age"),
		ID:       rapid.StringMatching(`[!-~]{1,20}`).Draw(t, "id"),
		Code:     rapid.StringMatching(`[0-9A-Za-z]{2,4}`).Draw(t, "code"),
		Merchant: anyText().Draw(t, "merchant"), Model: anyText().Draw(t, "model"), App: anyText().Draw(t, "app"),
		Params: anyText().Draw(t, "params"), Currency: anyText().Draw(t, "currency"),
		Amount: rapid.Int64Range(-1<<53, 1<<53).Draw(t, "amount"), LatencyMS: 3,
		Fields: fleet.Field(rapid.Uint32Range(0, 1<<10-1).Draw(t, "fields")),
	}
}

func oneLine(t *rapid.T, b []byte) parsed {
	t.Helper()
	lines, err := parseLines(string(b))
	if err != nil {
		t.Fatalf("%v in %q", err, b)
	}
	if len(lines) != 1 {
		t.Fatalf("%d lines in %q", len(lines), b)
	}
	return lines[0]
}

// inSchema checks measurement, tags, fields and types against the dictionary.
func inSchema(t *rapid.T, p parsed) {
	t.Helper()
	m, ok := schema.Lookup(p.measurement)
	if !ok {
		t.Fatalf("measurement %q is not in the schema", p.measurement)
	}
	if len(p.tags) != len(m.Tags) {
		t.Fatalf("tags %v, want %v", p.tags, m.Tags)
	}
	for _, tag := range m.Tags {
		if p.tags[tag.Name] == "" {
			t.Fatalf("tag %s is missing: %v", tag.Name, p.tags)
		}
	}
	for name, v := range p.fields {
		c, ok := m.Field(name)
		if !ok {
			t.Fatalf("field %s is not in the schema", name)
		}
		var is schema.Type
		switch v.(type) {
		case int64:
			is = schema.Int
		case float64:
			is = schema.Float
		case bool:
			is = schema.Bool
		case string:
			is = schema.String
		}
		if is != c.Type {
			t.Fatalf("field %s is a %s, want %s", name, is, c.Type)
		}
	}
}

func without(s string) string { return strings.ReplaceAll(s, "\x00", "") }

// What a heartbeat says never moves its point, and neither does what was written before; what it says comes back.
func TestHeartbeatIdentity(t *testing.T) {
	bad, good := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		key := anyKey().Draw(t, "key")
		arrived := noon.Add(time.Duration(rapid.Int64Range(0, 30*86400_000).Draw(t, "arrived")) * time.Millisecond)
		h := anyHeartbeat(t, arrived)
		f := point.NewFacts(2)
		first := oneLine(t, point.AppendHeartbeat(nil, key, &h, arrived, f))
		inSchema(t, first)
		if got, err := fleet.Unescape(first.tags["terminal"]); err != nil || got != key.Terminal {
			t.Fatalf("terminal %q is written %q", key.Terminal, first.tags["terminal"])
		}
		for name, want := range facts(&h) {
			if s, ok := want.(string); ok {
				want = without(s)
			}
			if first.fields[name] != want {
				t.Fatalf("%s is %v, want %v", name, first.fields[name], want)
			}
		}
		// Delivered again, to the same collector and to one that knows other things of the terminal.
		other := point.NewFacts(1)
		before := anyHeartbeat(t, arrived)
		point.AppendHeartbeat(nil, key, &before, arrived, other)
		for _, f := range []*point.Facts{f, other} {
			if again := oneLine(t, point.AppendHeartbeat(nil, key, &h, arrived, f)); again.identity() != first.identity() {
				t.Fatalf("the second delivery is another point:\n%s\n%s", first.identity(), again.identity())
			}
		}
		// Another body with the same ts, boot and seq, and (where the clock is unusable) another minute of the day.
		h2 := anyHeartbeat(t, arrived)
		h2.TS, h2.Boot, h2.Seq = h.TS, h.Boot, h.Seq
		later := arrived
		if first.fields["clock"] == "bad" {
			bad++
			day := arrived.UTC().Truncate(24 * time.Hour)
			later = day.Add(time.Duration(rapid.Int64Range(0, 86400_000-1).Draw(t, "later")) * time.Millisecond)
			if h.TS >= later.Add(-schema.Retention(schema.BucketRaw)).UnixMilli() && h.TS <= later.UnixMilli()+3600_000 {
				later = arrived // there its clock would be fine
			}
			if at := time.Unix(0, first.nanos); at.Before(day) || at.After(day.Add(time.Second)) {
				t.Fatalf("a bad clock's point is at %s, arrived %s", at, arrived)
			}
			if first.fields["arrived"] != arrived.UnixMilli() {
				t.Fatalf("arrived is %v", first.fields["arrived"])
			}
		} else {
			good++
			if first.nanos != h.TS*1e6 {
				t.Fatalf("time is %d, want %d ms", first.nanos, h.TS)
			}
		}
		if same := oneLine(t, point.AppendHeartbeat(nil, key, &h2, later, point.NewFacts(1))); same.identity() != first.identity() {
			t.Fatalf("the facts moved the point:\n%s\n%s", first.identity(), same.identity())
		}
	})
	t.Logf("%d usable clocks, %d unusable", good, bad)
	if bad == 0 || good == 0 {
		t.Error("one side was never drawn")
	}
}

// A decline's point depends on acquirer, terminal, id, code and second alone.
func TestDeclineIdentity(t *testing.T) {
	bad, good := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		key := anyKey().Draw(t, "key")
		arrived := noon.Add(time.Duration(rapid.Int64Range(0, 30*86400_000).Draw(t, "arrived")) * time.Millisecond)
		x := anyTxn(t, arrived)
		first := oneLine(t, point.AppendDecline(nil, key, &x, anyText().Draw(t, "looked up"), arrived))
		inSchema(t, first)
		if first.fields["id"] != x.ID || first.fields["ts"] != x.TS || first.fields["terminal"] != fleet.Escape(key.Terminal) {
			t.Fatalf("fields %v of %+v", first.fields, x)
		}
		for name, want := range map[string]string{"merchant": x.Merchant, "app": x.App, "params": x.Params, "currency": x.Currency} {
			got, there := first.fields[name]
			if there != (want != "") || there && got != without(want) {
				t.Fatalf("%s is %v, want %q", name, got, want)
			}
		}
		y := anyTxn(t, arrived)
		y.TS, y.ID, y.Code = x.TS, x.ID, x.Code
		same := oneLine(t, point.AppendDecline(nil, key, &y, anyText().Draw(t, "looked up later"), arrived))
		if same.identity() != first.identity() {
			t.Fatalf("the body or the model moved the point:\n%s\n%s", first.identity(), same.identity())
		}
		if first.fields["clock"] == "bad" {
			bad++
		} else {
			good++
			if first.nanos/1e9 != x.TS/1000 {
				t.Fatalf("time %d, ts %d ms", first.nanos, x.TS)
			}
		}
		// Another id is another point.
		y.ID += "x"
		if next := oneLine(t, point.AppendDecline(nil, key, &y, "", arrived)); next.identity() == first.identity() {
			t.Fatalf("%q and %q are one point", x.ID, y.ID)
		}
	})
	t.Logf("%d usable clocks, %d unusable", good, bad)
	if bad == 0 || good == 0 {
		t.Error("one side was never drawn")
	}
}

// Findings and incidents are ours, but their texts are other people's.
func TestDerivedLinesParse(t *testing.T) {
	made, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		tag := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9_.-]{1,20}`), rapid.StringMatching(`[A-Za-z0-9_.-]{1,20}`), rapid.StringMatching(`[A-Za-z0-9_.-]{1,20}`), anyText())
		at := noon.UnixMilli() + rapid.Int64Range(0, 86400_000).Draw(t, "at")
		f := fleet.Finding{
			N: rapid.IntRange(1, 9).Draw(t, "n"), At: at, Check: tag.Draw(t, "check"), Acquirer: tag.Draw(t, "acquirer"),
			Severity: fleet.Severity(tag.Draw(t, "severity")), Terminal: anyText().Draw(t, "terminal"), State: "open",
			Value: anyText().Draw(t, "value"), Evidence: anyText().Draw(t, "evidence"), Message: anyText().Draw(t, "message"),
		}
		if b, err := point.AppendFinding(nil, &f); err != nil {
			refused++
		} else {
			made++
			p := oneLine(t, b)
			inSchema(t, p)
			if p.fields["evidence"] != without(f.Evidence) || p.tags["check"] != f.Check || p.nanos/1e9 != at/1000 {
				t.Fatalf("%+v of %+v", p, f)
			}
			f.N++
			if b, err = point.AppendFinding(nil, &f); err != nil || oneLine(t, b).identity() == p.identity() {
				t.Fatalf("two transitions are one point: %v", err)
			}
		}
		x := fleet.Transition{
			N: 1, At: at, Incident: anyText().Draw(t, "incident"), Kind: fleet.IncidentKind(tag.Draw(t, "kind")),
			Acquirer: tag.Draw(t, "acquirer"), Severity: "critical", Step: fleet.StepOpened, Observed: 7,
		}
		message, scope := anyText().Draw(t, "message"), anyText().Draw(t, "scope")
		if b, err := point.AppendTransition(nil, &x, message, scope); err != nil {
			refused++
		} else {
			made++
			p := oneLine(t, b)
			inSchema(t, p)
			want := map[string]any{"target": without(x.Incident), "state": "opened", "value": int64(7), "evidence": without(scope), "message": without(message)}
			if !maps.Equal(p.fields, want) {
				t.Fatalf("%v, want %v", p.fields, want)
			}
		}
	})
	t.Logf("%d lines, %d refused", made, refused)
	if made == 0 || refused == 0 {
		t.Error("one side was never drawn")
	}
}

// A thousand declines of one acquirer, code and second are a thousand points, and so are as many terminals that share
// one id: what coincides would be lost.
func TestDeclinesOfOneSecondStayApart(t *testing.T) {
	for name, at := range map[string]func(i int) (string, string){
		"one terminal, ids":  func(i int) (string, string) { return "10000001", "20261123-" + strings.Repeat("0", i%3) + itoa(i) },
		"terminals, one id":  func(i int) (string, string) { return itoa(10000000 + i), "1" },
		"terminals and ids":  func(i int) (string, string) { return itoa(10000000 + i%100), itoa(i) },
		"ids one bit apart":  func(i int) (string, string) { return "1", string(rune('A' + i)) },
		"terminal within id": func(i int) (string, string) { return itoa(i), itoa(i) + itoa(i) },
	} {
		t.Run(name, func(t *testing.T) {
			db := database{}
			for again := range 2 {
				for i := range 1000 {
					terminal, id := at(i)
					x := fleet.Txn{TS: noon.UnixMilli() + int64(i), ID: id, Code: "03"}
					if err := db.write(point.AppendDecline(nil, fleet.Key{Acquirer: "a1", Terminal: terminal}, &x, "", noon)); err != nil {
						t.Fatal(err)
					}
				}
				if n := db.points(); n != 1000 {
					t.Errorf("time %d: %d points, want 1000", again+1, n)
				}
			}
		})
	}
}
