package incident_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/tillwatch/tillwatch/alerter/slack"
	"github.com/tillwatch/tillwatch/alerter/tally"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

var update = flag.Bool("update", false, "rewrite what the cases expect")

// TestCases plays each real fault of testdata/cases: its events, in the format that replay reads, give its transitions
// and what people read of them.
func TestCases(t *testing.T) {
	names, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { playCase(t, name) })
	}
}

func playCase(t *testing.T, name string) {
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	r, end := readRules(t, section(t, a, "rules"), section(t, a, "regions"))
	ins := readEvents(t, section(t, a, "events"))
	p := newPlayer(t, r)
	all := p.play(ins, end)
	wellFormed(t, all)

	var transitions, texts bytes.Buffer
	for _, x := range all {
		raw, err := json.Marshal(&x)
		if err != nil {
			t.Fatal(err)
		}
		transitions.Write(append(raw, '\n'))
		texts.WriteString(slack.Text(&x, slack.RenderOptions{}, false) + "\n")
	}
	compare(t, a, "transitions", transitions.Bytes())
	compare(t, a, "slack", texts.Bytes())
	if *update && !t.Failed() {
		if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d events (%v), %d steps, %d transitions", len(ins), p.verdicts, p.steps, len(all))
}

func section(t *testing.T, a *txtar.Archive, name string) []byte {
	t.Helper()
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	if name != "regions" {
		t.Fatalf("no section %s", name)
	}
	return nil
}

func compare(t *testing.T, a *txtar.Archive, name string, got []byte) {
	t.Helper()
	for i := range a.Files {
		f := &a.Files[i]
		if f.Name != name {
			continue
		}
		if *update {
			f.Data = got
		} else if !bytes.Equal(f.Data, got) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, f.Data)
		}
		return
	}
	t.Errorf("no section %s", name)
}

func readRules(t *testing.T, text, regions []byte) (rules, time.Time) {
	t.Helper()
	r := quick
	end := start
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		d, err := time.ParseDuration(value)
		if err != nil {
			t.Fatal(err)
		}
		switch key {
		case "window":
			r.window = d
		case "resolve_after":
			r.incident.ResolveAfter = d
		case "end":
			end = start.Add(d)
		default:
			t.Fatalf("no rule is called %q", key)
		}
	}
	region := map[string]string{}
	for line := range strings.Lines(string(regions)) {
		var acquirer, merchant, name string
		if _, err := fmt.Sscan(line, &acquirer, &merchant, &name); err != nil {
			t.Fatal(err)
		}
		region[acquirer+"/"+merchant] = name
	}
	r.region = func(acquirer, merchant string) string { return region[acquirer+"/"+merchant] }
	return r, end
}

// readEvents reads the events format; a case may hold transactions, heartbeats and findings.
func readEvents(t *testing.T, text []byte) (ins []input) {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		var e struct {
			Subject string
			Arrived int64
			Data    json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		in := input{at: time.UnixMilli(e.Arrived).UTC()}
		if strings.HasPrefix(e.Subject, fleet.DerivedPrefix+"finding.") {
			in.finding = new(fleet.Finding)
			if err := json.Unmarshal(e.Data, in.finding); err != nil || in.finding.Subject() != e.Subject {
				t.Fatalf("%s: %v", line, err)
			}
			ins = append(ins, in)
			continue
		}
		key, kind, err := fleet.ParseSubject(e.Subject)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		in.key = key
		if kind == fleet.KindTxn {
			in.txn = new(fleet.Txn)
			err = fleet.DecodeTxn(e.Data, key, in.txn)
		} else {
			in.beat = new(fleet.Heartbeat)
			err = fleet.DecodeHeartbeat(e.Data, key, in.beat)
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		ins = append(ins, in)
	}
	sortInputs(ins)
	return ins
}

// TestWrongClocksAreWhatTheCaseSays counts what the case about clocks rests on.
func TestWrongClocksAreWhatTheCaseSays(t *testing.T) {
	a, err := txtar.ParseFile("testdata/cases/wrong_clocks.txtar")
	if err != nil {
		t.Fatal(err)
	}
	r, end := readRules(t, section(t, a, "rules"), nil)
	p := newPlayer(t, r)
	p.play(readEvents(t, section(t, a, "events")), end)
	if p.verdicts[tally.Late] != 15 || p.verdicts[tally.Watched] != 21 {
		t.Errorf("verdicts %v, want 15 late (12 stored ones, 3 of a clock eight hours behind) and 21 watched", p.verdicts)
	}
}
