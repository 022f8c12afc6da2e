package simulate

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

func newFleet(t testing.TB, o Options) *Fleet {
	t.Helper()
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func eventFile(t *testing.T, o Options, length time.Duration) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := WriteEvents(&b, newFleet(t, o), length); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSameSeedSameBytes(t *testing.T) {
	o := Options{Terminals: 200, Seed: 42, Approvals: true, Rate: 60, Scenario: &Scenario{Faults: []Fault{
		{Start: time.Minute, For: 5 * time.Minute, Cause: "keys_lost", Rate: 0.5, Scope: Scope{"merchant": Any}},
	}}}
	first, second := eventFile(t, o, 10*time.Minute), eventFile(t, o, 10*time.Minute)
	if first != second || len(first) < 100_000 {
		t.Errorf("two fleets of one seed differ, or have too little to tell (%d and %d bytes)", len(first), len(second))
	}
	f := newFleet(t, o)
	var a, b []Event
	for e := range f.Events(time.Minute) { // two walks at once do not disturb each other
		a = append(a, e)
		if len(a) == 10 {
			b = slices.Collect(f.Events(time.Minute))
		}
	}
	if diff := cmp.Diff(a, b); diff != "" || len(a) < 100 {
		t.Errorf("two walks of one fleet differ (%d events):\n%s", len(a), diff)
	}
	o.Seed++
	if other := eventFile(t, o, 10*time.Minute); other == first {
		t.Error("another seed gives the same events")
	}
}

func TestNothingReshufflesTheOthers(t *testing.T) {
	small := Options{Terminals: 120, Seed: 9, Approvals: true, Rate: 120, AlwaysOpen: true}
	byTerminal := func(o Options) map[int][]string {
		m := map[int][]string{}
		for e := range newFleet(t, o).Events(20 * time.Minute) {
			m[e.Terminal] = append(m[e.Terminal], string(e.Body()))
		}
		return m
	}
	want := byTerminal(small)
	larger := small
	larger.Terminals = 151
	got := byTerminal(larger)
	for i := range small.Terminals {
		if diff := cmp.Diff(want[i], got[i]); diff != "" {
			t.Fatalf("31 more terminals changed terminal %d:\n%s", i, diff)
		}
	}
	faulty := small
	faulty.Scenario = &Scenario{Faults: []Fault{{For: 10 * time.Minute, Cause: "software_conflict", Scope: Scope{"acquirer": "a1", "app": "2.4.1"}}}}
	f, got := newFleet(t, faulty), byTerminal(faulty)
	touched := 0
	for i := range small.Terminals {
		same := slices.Equal(want[i], got[i])
		if f.Matches(faulty.Scenario.Faults[0].Scope, i) {
			if !same {
				touched++
			}
		} else if !same {
			t.Errorf("a fault elsewhere changed terminal %d", i)
		}
	}
	if touched < 10 {
		t.Errorf("the fault changed %d terminals", touched)
	}
}

func TestMoreHeartbeatsLeaveSalesAlone(t *testing.T) {
	sales := func(o Options) []string {
		var ids []string
		for e := range newFleet(t, o).Events(time.Hour) {
			if e.Txn != nil {
				ids = append(ids, string(e.Body()))
			}
		}
		return ids
	}
	a := sales(Options{Terminals: 60, Approvals: true})
	b := sales(Options{Terminals: 60, Approvals: true, Heartbeat: 10 * time.Second})
	if diff := cmp.Diff(a, b); diff != "" || len(a) == 0 {
		t.Errorf("%d sales; they differ:\n%s", len(a), diff)
	}
}

// TestBodiesAreThoseOfTheBus reads every body with the decoders that the collector uses.
func TestBodiesAreThoseOfTheBus(t *testing.T) {
	o := Options{Terminals: 400, Seed: 3, Approvals: true, Rate: 30, Chronic: true, Scenario: everyCause()}
	o.Acquirers = []Acquirer{{ID: "a1"}, {ID: "bank-2", Source: fleet.SourceSwitch, Timezone: "Asia/Urumqi"}}
	ids, filled := map[string]bool{}, map[string]int{}
	largest, n := 0, 0
	var last time.Time
	for e := range newFleet(t, o).Events(45 * time.Minute) {
		n++
		if e.At.Before(last) {
			t.Fatalf("%s comes after %s", e.At, last)
		}
		last = e.At
		body := e.Body()
		largest = max(largest, len(body))
		key, kind, err := fleet.ParseSubject(e.Subject())
		if err != nil || key != e.Key || kind != e.Kind {
			t.Fatalf("subject %s: %v %s, %v", e.Subject(), key, kind, err)
		}
		if ids[e.MsgID()] {
			t.Fatalf("message id %s is there twice", e.MsgID())
		}
		ids[e.MsgID()] = true
		if e.Txn != nil {
			var got fleet.Txn
			if err := fleet.DecodeTxn(body, key, &got); err != nil || got != *e.Txn {
				t.Fatalf("%s\n%v\n%s", body, err, cmp.Diff(*e.Txn, got))
			}
			if got.TS != e.At.UnixMilli() || len(got.Merchant) != 15 || got.Entry == fleet.EnumOther || got.Type == fleet.EnumOther {
				t.Fatalf("%s", body)
			}
			continue
		}
		var got fleet.Heartbeat
		if err := fleet.DecodeHeartbeat(body, key, &got); err != nil || got != *e.Beat {
			t.Fatalf("%s\n%v\n%s", body, err, cmp.Diff(*e.Beat, got))
		}
		if got.TS != e.At.UnixMilli() || got.Boot*1000 > got.TS || len(key.Terminal) != 8 || len(got.Merchant) != 15 {
			t.Fatalf("%s", body)
		}
		if got.ICCID != "" {
			filled["iccid"]++
			if len(got.ICCID) != 20 || got.ICCID[:4] != "8986" || luhnDigit(got.ICCID[:19]) != got.ICCID[19] {
				t.Fatalf("ICCID %s", got.ICCID)
			}
		}
		if got.Fields.Has(fleet.HasRSSI) {
			filled["rssi"]++
		}
		filled["net "+got.NetType]++
		filled["app "+got.App]++
		filled["model "+got.Model]++
	}
	t.Logf("%d events, largest body %d bytes, %d kinds of fact", n, largest, len(filled))
	if len(filled) != 2+5+len(apps)+len(models) || largest > 700 {
		t.Errorf("largest body %d bytes; facts seen: %v", largest, filled)
	}
}

func TestLuhn(t *testing.T) {
	// ISO/IEC 7812-1 and the customary example.
	for digits, want := range map[string]byte{"7992739871": '3', "400000000000000": '2', "0": '0'} {
		if got := luhnDigit(digits); got != want {
			t.Errorf("luhnDigit(%s) = %c, want %c", digits, got, want)
		}
	}
}

func TestMistypedNumbersAreNobodys(t *testing.T) {
	taken := map[string]bool{"121": true, "110": true}
	for mid, want := range map[string]string{
		"12":   "21",
		"1123": "1132",
		"112":  "111", // its one swap, 121, is somebody's; 110 too
		"111":  "112", // there is nothing to swap
	} {
		if got := mistype(mid, func(s string) bool { return taken[s] }); got != want {
			t.Errorf("mistype(%s) = %s, want %s", mid, got, want)
		}
	}
}

func TestTotalsAreTheTransactionsSent(t *testing.T) {
	for _, approvals := range []bool{true, false} {
		f := newFleet(t, Options{Terminals: 150, Seed: 5, Rate: 40, Heartbeat: 4 * time.Minute, Approvals: approvals, Scenario: &Scenario{Faults: []Fault{
			{Start: time.Hour, For: time.Hour, Cause: "software_conflict", Rate: 0.7},
		}}})
		type count struct{ boot, seq, approved, declined, sent int64 }
		counts := make([]count, f.Terminals())
		beats, starts, restarts := 0, 0, 0
		for e := range f.Events(40 * time.Hour) {
			c := &counts[e.Terminal]
			if e.Txn != nil {
				if e.Txn.Code == "00" {
					c.approved++
				} else {
					c.declined++
				}
				continue
			}
			h := e.Beat
			beats++
			if h.Boot != c.boot {
				if h.Seq != 0 || h.Boot < c.boot {
					t.Fatalf("boot %d after %d begins with %d", h.Boot, c.boot, h.Seq)
				}
				starts++
				if c.boot != 0 {
					restarts++
					c.approved, c.declined = 0, 0
				}
				c.boot, c.seq = h.Boot, -1
			}
			if h.Seq != c.seq+1 {
				t.Fatalf("heartbeat %d after %d", h.Seq, c.seq)
			}
			c.seq = h.Seq
			if h.Declined != c.declined || approvals && h.Approved != c.approved {
				t.Fatalf("terminal %d says %d approved and %d declined; it sent %d and %d", e.Terminal, h.Approved, h.Declined, c.approved, c.declined)
			}
			if !approvals && c.approved != 0 {
				t.Fatal("an approval was sent")
			}
			c.sent = h.Approved
		}
		total := int64(0)
		for _, c := range counts {
			total += c.sent
		}
		t.Logf("approvals sent %v: %d heartbeats, %d starts of which %d in the morning, %d approvals in the last totals", approvals, beats, starts, restarts, total)
		if restarts == 0 || total == 0 {
			t.Error("there is nothing to compare")
		}
	}
}

func TestTransactionIDsAreNeverUsedAgain(t *testing.T) {
	f := newFleet(t, Options{Terminals: 2, Seed: 1, Rate: MaxRate, Spread: -1, AlwaysOpen: true, Approvals: true, Heartbeat: time.Hour})
	w := f.newWalk("x")
	w.live[0].stan = 999_900 // the trace number is about to come round, as it does on some day
	ids := map[string]bool{}
	rounds := 0
	for range 400 {
		txn := w.sale(0, 1000)
		if strings.Contains(txn.ID, "-000001-") {
			rounds++
		}
		if ids[txn.ID] {
			t.Fatalf("id %s is there twice", txn.ID)
		}
		ids[txn.ID] = true
	}
	if rounds != 1 {
		t.Errorf("the trace number came round %d times", rounds)
	}
	perDay := 0
	for e := range f.Events(time.Hour) {
		if e.Terminal == 0 && e.Txn != nil {
			perDay += 24
		}
	}
	t.Logf("the busiest terminal that is allowed has about %d transactions a day", perDay)
	if perDay >= 999_999 {
		t.Error("a trace number would come back within one date")
	}
	tags := map[string]bool{}
	for i := range 10_000 {
		tags[runTag(mix(1, saltRun, uint64(i)))] = true
	}
	if len(tags) < 9_990 { // 16⁶ tags: about 3 pairs among 10,000 coincide
		t.Errorf("10,000 runs have %d tags", len(tags))
	}
}

func TestNewReportsAllProblems(t *testing.T) {
	_, err := New(Options{
		Terminals: -1, Start: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), Heartbeat: time.Millisecond, Rate: -3, Spread: 5, Retry: 2,
		Acquirers: []Acquirer{{ID: "a_1"}, {ID: "b", Timezone: "Mars/Olympus", Share: -1, Source: "phone"}, {ID: "b"}},
	})
	if err == nil {
		t.Fatal("want an error")
	}
	for _, want := range []string{"terminals is -1", "1970", "heartbeat", "rate is -3", "spread is 5", "retry is 2", `"a_1"`, "Mars/Olympus", "share is -1", `"phone"`, `"b" is there twice`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error:\n%v", want, err)
		}
	}
	if _, err := New(Options{}); err != nil {
		t.Errorf("the zero value: %v", err)
	}
	if _, err := New(Options{Rate: math.NaN()}); err == nil {
		t.Error("a rate that is no number was taken")
	}
	_, err = New(Options{Scenario: &Scenario{Faults: []Fault{{Cause: "gremlins", Code: "0", Rate: 2, Start: -1, Scope: Scope{"colour": "red"}}, {For: 1, Cause: "unknown", Scope: Scope{"app": "9.9"}}}}})
	problems, ok := errors.AsType[Problems](err)
	if !ok || len(problems) != 7 {
		t.Fatalf("want 7 problems, got %v", err)
	}
}
