package simulate

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// everyCause is a scenario in which every cause has a minute of its own.
func everyCause() *Scenario {
	s := &Scenario{}
	for i, cause := range Causes() {
		s.Faults = append(s.Faults, Fault{Start: time.Duration(2*i+1) * time.Minute, For: time.Minute, Cause: cause, Rate: 0.8, Scope: Scope{"acquirer": Any}})
	}
	return s
}

func TestParseScenario(t *testing.T) {
	s, err := ParseScenario("s.yaml", []byte(`
# comment
faults:
  - {start: 40s, for: 60s, cause: software_conflict, code: "03", rate: 0.8, scope: {acquirer: a1, app: 2.10}}
  - for: 2m30s
    cause: merchant_not_active
    code: 03           # digits stay as they are written
    scope:
      merchant: 000440153110001
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Fault{
		{Start: 40 * time.Second, For: time.Minute, Cause: "software_conflict", Code: "03", Rate: 0.8, Scope: Scope{"acquirer": "a1", "app": "2.10"}},
		{For: 150 * time.Second, Cause: "merchant_not_active", Code: "03", Scope: Scope{"merchant": "000440153110001"}},
	}
	if diff := cmp.Diff(want, s.Faults, cmpopts.IgnoreUnexported(Fault{})); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"faults: []", "faults:\n"} {
		s, err := ParseScenario("s.yaml", []byte(text))
		if text == "faults: []" && (err != nil || len(s.Faults) != 0) {
			t.Errorf("%q: %v, %v", text, s, err)
		}
		if text != "faults: []" && err == nil {
			t.Errorf("%q: want an error", text)
		}
	}
}

func TestParseScenarioReportsAllProblems(t *testing.T) {
	const text = `faults:
  - {start: 40, for: 60s, cause: software_conflict}
  - start: 1s
    for: -2s
    cause: gremlins
    code: "00"
    rate: 1.5
    scope: {colour: red, app: [a]}
  - for: 1s
    cause: gremlins
    code: "0003x"
    rate: 7
  - {start: 1s}
  - nonsense
  - for: 1s
    cause: unknown
    speed: 3
`
	_, err := ParseScenario("s.yaml", []byte(text))
	problems, ok := errors.AsType[Problems](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	got := strings.Split(problems.Error(), "\n")
	want := []string{
		`s.yaml:2:13: faults[0].start is "40": want a duration such as 40s or 2m30s`,
		`s.yaml:8:13: faults[1].scope.colour: want one of the keys acquirer, app, merchant, model, region, terminal`,
		`s.yaml:8:31: faults[1].scope.app: want a single value, or any`,
		`s.yaml:10:12: faults[2].cause is "gremlins": want one of `,
		`s.yaml:11:11: faults[2].code is "0003x": want a response code`,
		`s.yaml:12:11: faults[2].rate is "7": want a probability`,
		`s.yaml:13:5: faults[3].for: want this key in every fault`,
		`s.yaml:13:5: faults[3].cause: want this key in every fault`,
		`s.yaml:14:5: faults[4] is "nonsense": want an object with the keys `,
		`s.yaml:17:5: faults[5].speed: want one of the keys `,
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("missing: %s", want[i])
		case i >= len(want):
			t.Errorf("unexpected: %s", got[i])
		case !strings.HasPrefix(got[i], want[i]):
			t.Errorf("got  %s\nwant %s…", got[i], want[i])
		}
	}
}

func TestParseScenarioSyntax(t *testing.T) {
	for _, text := range []string{"", "faults", "faults: {", "- a", "faults: []\nfaults: []", "faults: 3", "other: 1", "faults: []\n---\nfaults: []", "\xff\xfe", "a: *b", "faults: *b"} {
		_, err := ParseScenario("bad.yaml", []byte(text))
		problems, ok := errors.AsType[Problems](err)
		if !ok || len(problems) == 0 || problems[0].Line < 1 || !strings.HasPrefix(err.Error(), "bad.yaml:") {
			t.Errorf("%q: got %v, want a problem with its place", text, err)
		}
	}
}

func FuzzParseScenario(f *testing.F) {
	f.Add(string(demoYAML))
	f.Add("faults: [{for: 1s, cause: unknown, scope: {app: 2.4.1}}]")
	f.Add("faults:\n- for: 1s\n  <<: *x\n")
	fleet := newFleet(f, Options{Terminals: 20})
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScenario("f.yaml", []byte(text))
		if (s == nil) == (err == nil) {
			t.Fatalf("got %v and %v", s, err)
		}
		if err != nil {
			if _, ok := errors.AsType[Problems](err); !ok {
				t.Fatalf("not Problems: %v", err)
			}
			return
		}
		for _, x := range s.Faults { // whatever was taken makes sense, or the fleet says why not
			if x.For <= 0 || x.Start < 0 || x.Rate < 0 || x.Rate > 1 {
				t.Fatalf("%+v", x)
			}
			_, _ = fleet.Pick(x.Scope)
		}
	})
}

func TestScopeThatFitsNoFleet(t *testing.T) {
	s, err := ParseScenario("s.yaml", []byte(`faults:
  - {for: 1s, cause: unknown, scope: {acquirer: a9}}
  - {for: 1s, cause: unknown, scope: {app: 9.9.9}}
  - {for: 1s, cause: unknown, scope: {merchant: "1"}}
  - {for: 1s, cause: unknown, scope: {region: guangdong, terminal: any}}
  - {for: 1s, cause: unknown, scope: {acquirer: a2, terminal: "00000001", region: moon}}
  - {for: 1s, cause: unknown, scope: {terminal: "00000001"}}
`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(Options{Terminals: 100, Scenario: s})
	problems, ok := errors.AsType[Problems](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%s:%d:%d %s %s", p.File, p.Line, p.Column, p.Key, p.Got))
	}
	want := []string{
		"s.yaml:2:49 faults[0].scope.acquirer a9",
		"s.yaml:3:44 faults[1].scope.app 9.9.9",
		"s.yaml:4:49 faults[2].scope.merchant 1",
		"s.yaml:6:83 faults[4].scope.region moon",
		"s.yaml:7:49 faults[5].scope.terminal 00000001",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(err.Error(), "a1, a2") || !strings.Contains(err.Error(), "2.4.1") {
		t.Errorf("it does not say what would be right: %v", err)
	}
	f := newFleet(t, Options{Terminals: 100})
	other := "a2"
	if f.key(0).Acquirer == "a2" {
		other = "a1"
	}
	if _, err := f.Pick(Scope{"acquirer": other, "merchant": f.merchants[0].mid}); err == nil {
		t.Error("a merchant of another acquirer was taken")
	}
}

func TestPick(t *testing.T) {
	f := newFleet(t, Options{Terminals: 500, Seed: 4})
	for _, scope := range []Scope{{"acquirer": "a2", "merchant": Any}, {"merchant": Any}, {"region": Any, "model": "P2"}, {"terminal": Any, "app": "2.2.9"}, {"acquirer": Any, "region": Any, "model": Any, "app": Any, "merchant": Any, "terminal": Any}} {
		got, err := f.Pick(scope)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := f.Pick(scope)
		if diff := cmp.Diff(got, again); diff != "" {
			t.Errorf("%v is picked in two ways:\n%s", scope, diff)
		}
		n := 0
		for i := range f.Terminals() {
			if f.Matches(got, i) {
				n++
			}
		}
		if n == 0 || len(got) < len(scope) || scope["terminal"] == Any && (n != 1 || got["acquirer"] == "") {
			t.Errorf("%v became %v, which %d terminals match", scope, got, n)
		}
		if _, ok := scope["merchant"]; ok && scope["terminal"] == "" && (n < 3 || n > 12) {
			t.Errorf("%v became %v with %d terminals, want several", scope, got, n)
		}
		for name, value := range got {
			if value == Any || scope[name] != "" && scope[name] != Any && scope[name] != value {
				t.Errorf("%v became %v", scope, got)
			}
		}
	}
	if _, err := f.Pick(Scope{"colour": Any}); err == nil {
		t.Error("an unknown attribute was taken")
	}
}
