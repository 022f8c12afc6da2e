package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/alerter/slack"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// findings opens the findings as a new process does.
func (r *rig) findings(epoch uint64) *Findings {
	r.tb.Helper()
	f, err := openFindings(r.tb.Context(), r.connect(), slog.New(slog.DiscardHandler), epoch)
	if err != nil {
		r.tb.Fatal(err)
	}
	return f
}

// storedFindings are the transitions of findings in DERIVED, in order.
func (r *rig) storedFindings() (out []fleet.Finding) {
	r.tb.Helper()
	_, err := r.conn.Each(r.tb.Context(), bus.StreamDerived, fleet.DerivedPrefix+"finding.>", func(s bus.Stored) error {
		var f fleet.Finding
		if err := json.Unmarshal(s.Data, &f); err != nil {
			return err
		}
		out = append(out, f)
		return nil
	})
	if err != nil {
		r.tb.Fatal(err)
	}
	return out
}

func about(merchant, value string, at int64) fleet.Finding {
	f := fleet.Finding{
		ID: "merchant-status.a1." + merchant, At: at, Check: "merchant-status", Acquirer: "a1", Merchant: merchant, LastSeen: at,
		Severity: fleet.SeverityCritical, State: fleet.FindingOpen, Value: value,
	}
	if value == "active" {
		f.State, f.Severity = fleet.FindingCleared, fleet.SeverityInfo
	}
	return f
}

func report(t *testing.T, f *Findings, x fleet.Finding) bool {
	t.Helper()
	changed, err := f.Report(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func TestFindingsAreStoredWhenTheyAreNews(t *testing.T) {
	r := newRig(t)
	f := r.findings(7)
	for i, step := range []struct {
		value   string
		restart bool // by a new process
		changed bool
		n       int // of the newest transition
		first   int64
	}{
		{"active", false, false, 0, 0}, // never open: nothing to clear
		{"suspended", false, true, 1, 1002},
		{"suspended", false, false, 1, 1002},
		{"suspended", true, false, 1, 1002},
		{"cancelled", false, true, 2, 1002}, // worse, and still the same finding
		{"active", true, true, 3, 1002},
		{"active", false, false, 3, 1002},
		{"cancelled", true, true, 4, 1008}, // again
		{"cancelled", true, false, 4, 1008},
	} {
		if step.restart {
			f = r.findings(7)
		}
		if changed := report(t, f, about("m1", step.value, int64(1001+i))); changed != step.changed {
			t.Errorf("step %d, %s: changed %v", i, step.value, changed)
		}
		stored := r.storedFindings()
		if len(stored) != step.n {
			t.Fatalf("step %d, %s: %d stored, want %d", i, step.value, len(stored), step.n)
		}
		if step.n == 0 {
			continue
		}
		last := stored[len(stored)-1]
		if last.N != step.n || last.FirstSeen != step.first || last.Value != step.value || last.Epoch != 7 || last.Severity != fleet.SeverityCritical {
			t.Errorf("step %d, %s: %+v", i, step.value, last)
		}
		open := f.About("a1", "m1")
		if (open != nil) != (step.value != "active") || open != nil && open.Value != step.value || len(f.Open("merchant-status", "a1")) != map[bool]int{true: 1}[open != nil] {
			t.Errorf("step %d, %s: open is %+v", i, step.value, open)
		}
	}
	if f.About("a2", "m1") != nil || f.About("a1", "m2") != nil {
		t.Error("a finding about nobody")
	}
}

func TestTwoWritersOfOneFinding(t *testing.T) {
	// Both have read the same state, and each sees something else. The first writing wins; the second one is told and
	// adds what it sees as the next transition.
	r := newRig(t)
	a, b := r.findings(1), r.findings(2)
	if !report(t, a, about("m1", "suspended", 1)) {
		t.Fatal("the first was no news")
	}
	if !report(t, b, about("m1", "cancelled", 2)) {
		t.Error("the second said something else and it was no news")
	}
	if report(t, b, about("m1", "cancelled", 3)) {
		t.Error("said twice")
	}
	stored := r.storedFindings()
	if len(stored) != 2 || stored[0].Value != "suspended" || stored[1].Value != "cancelled" || stored[1].N != 2 || stored[1].FirstSeen != 1 {
		t.Errorf("stored %+v", stored)
	}
	if report(t, a, about("m1", "cancelled", 4)) {
		t.Error("the first writer stored what the second had stored")
	}
	if f := a.About("a1", "m1"); f == nil || f.Value != "cancelled" || f.Epoch != 2 {
		t.Errorf("the first writer sees %+v", f)
	}
}

func TestRacingWritersAgree(t *testing.T) {
	r := newRig(t)
	const merchants = 40
	writers := []*Findings{r.findings(1), r.findings(2), r.findings(3)}
	changed := make([]int, len(writers))
	var wg sync.WaitGroup
	for w, f := range writers {
		wg.Go(func() {
			for i := range merchants {
				m := fmt.Sprint("m", (i*7+w*13)%merchants)
				news, err := f.Report(t.Context(), about(m, "cancelled", int64(w)))
				if err != nil {
					t.Error(err)
				}
				if news {
					changed[w]++
				}
			}
		})
	}
	wg.Wait()
	stored := r.storedFindings()
	seen := map[string]bool{}
	for _, f := range stored {
		if f.N != 1 || seen[f.ID] {
			t.Errorf("stored %+v a second time", f)
		}
		seen[f.ID] = true
	}
	if len(seen) != merchants || changed[0]+changed[1]+changed[2] != merchants {
		t.Errorf("%d findings stored, %v writings taken for news, want %d", len(seen), changed, merchants)
	}
	for _, f := range writers {
		if n := len(f.Open("merchant-status", "a1")); n > merchants {
			t.Errorf("a writer sees %d open findings", n)
		}
	}
	t.Logf("news by writer: %v", changed)
}

func TestAboutDoesNotWaitForTheServer(t *testing.T) {
	// Decisions ask for findings while a check stores one; they must not wait until the server has answered.
	r := newRig(t)
	f := r.findings(1)
	report(t, f, about("m1", "cancelled", 1))
	r.nats.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := f.Report(ctx, about("m2", "cancelled", 2))
		done <- err
	}()
	r.eventually("a report is under way", func() bool {
		if f.writing.TryLock() {
			f.writing.Unlock()
			return false
		}
		return true
	})
	if f.About("a1", "m1") == nil || f.About("a1", "m2") != nil {
		t.Error("findings while the server is away are not those that are stored")
	}
	select {
	case err := <-done:
		t.Errorf("the report came back without a server: %v", err)
	default:
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the report ended with %v", err)
	}
}

func TestRowsAndAnswersAreStoredOnce(t *testing.T) {
	r := newRig(t)
	f := r.findings(1)
	rows := fleet.Rows{Measurement: schema.CheckRun, Rows: []fleet.Row{{Time: 1, Tags: map[string]string{"acquirer": "a1"}, Fields: map[string]json.Number{"asked": "5"}}}}
	answer := fleet.Answer{At: 1, Acquirer: "a1", Merchant: "m1", Kind: "status", Status: fleet.MerchantCancelled}
	for range 3 {
		if err := f.Rows(t.Context(), "a1", "merchant-status.5", rows); err != nil {
			t.Fatal(err)
		}
		if err := f.Answer(t.Context(), "merchant-status.a1.m1.5", answer); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ stream, subject, want string }{
		{bus.StreamDerived, "derived.v1.rollup.a1.check_run", `{"measurement":"check_run","rows":[{"time":1,"tags":{"acquirer":"a1"},"fields":{"asked":5}}]}`},
		{bus.StreamControl, "control.v1.answer.a1.status", `{"at":1,"acquirer":"a1","merchant":"m1","kind":"status","status":"cancelled"}`},
	} {
		n := 0
		if _, err := r.conn.Each(t.Context(), c.stream, c.subject, func(s bus.Stored) error {
			n++
			if string(s.Data) != c.want {
				t.Errorf("%s: %s", c.subject, s.Data)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n != 1 {
			t.Errorf("%s: %d messages, want 1", c.subject, n)
		}
	}
}

func TestClaims(t *testing.T) {
	r := newRig(t)
	claims := func(owner string) *Claims {
		c, err := NewClaims(t.Context(), r.connect(), owner)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := claims("a"), claims("b")
	tick := time.Date(2026, time.November, 23, 19, 0, 0, 0, time.UTC)
	try := func(c *Claims, target string, at time.Time, want bool) {
		t.Helper()
		if ours, err := c.Claim(t.Context(), "merchant-status", target, at); err != nil || ours != want {
			t.Errorf("claim of %s at %s: %v, %v; want %v", target, at, ours, err, want)
		}
	}
	try(a, "a1", tick, true)
	try(b, "a1", tick, false)
	try(a, "a1", tick, false) // a claim is taken once, by its owner too
	try(b, "a2", tick, true)
	try(b, "a1", tick.Add(time.Minute), true)
	if err := a.Done(t.Context(), "merchant-status", "a1", tick); err != nil {
		t.Fatal(err)
	}
	try(b, "a1", tick, false)
	bucket, err := r.conn.Bucket(t.Context(), bus.KVRuns)
	if err != nil {
		t.Fatal(err)
	}
	raw, _, err := bucket.Load(t.Context(), "merchant-status.a1.1795460400")
	var stored claim
	if err != nil || json.Unmarshal(raw, &stored) != nil || stored.Owner != "a" || !stored.Done {
		t.Errorf("the claim reads %s, %v", raw, err)
	}
}

func TestLedger(t *testing.T) {
	r := newRig(t)
	l, err := NewLedger(t.Context(), r.conn)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewLedger(t.Context(), r.connect())
	if err != nil {
		t.Fatal(err)
	}
	const id = "a1-03-20261123T010100-8984.40_1 号"
	if e, rev, err := l.Load(t.Context(), id); err != nil || rev != 0 || e != (slack.Entry{}) {
		t.Fatalf("an entry that is not there: %+v, %d, %v", e, rev, err)
	}
	e := slack.Entry{Incident: id, Channel: "C1", N: 1, State: slack.Claimed, Owner: "p1", Deadline: 5}
	rev, err := l.Save(t.Context(), e, 0)
	if err != nil || rev == 0 {
		t.Fatalf("Save: %d, %v", rev, err)
	}
	if _, err := other.Save(t.Context(), e, 0); !errors.Is(err, slack.ErrConflict) {
		t.Errorf("a second creation: %v, want a conflict", err)
	}
	e.State, e.TS = slack.Posted, "1.000001"
	next, err := other.Save(t.Context(), e, rev)
	if err != nil || next <= rev {
		t.Fatalf("Save: %d, %v", next, err)
	}
	if _, err := l.Save(t.Context(), e, rev); !errors.Is(err, slack.ErrConflict) {
		t.Errorf("a save after an old revision: %v, want a conflict", err)
	}
	if got, at, err := l.Load(t.Context(), id); err != nil || at != next || got != e {
		t.Errorf("loaded %+v at %d, %v", got, at, err)
	}
	if _, rev, err := l.Load(t.Context(), "another"); err != nil || rev != 0 {
		t.Errorf("another incident is at %d, %v", rev, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Save(ctx, e, next); err == nil || errors.Is(err, slack.ErrConflict) {
		t.Errorf("a save that was called off: %v", err)
	}
}
