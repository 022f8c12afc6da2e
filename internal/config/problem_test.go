package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// Each line of the file holds one mistake; the comment on the same line says how its problem begins and what it must
// contain. All are reported in one go.
func TestProblems(t *testing.T) {
	const name = "testdata/problems.yaml"
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(name, data)
	problems, ok := errors.AsType[Problems](err)
	if !ok || c != nil {
		t.Fatalf("got %v, %v, want Problems and no configuration", c, err)
	}
	reported := map[int][]Problem{}
	for _, p := range problems {
		reported[p.Line] = append(reported[p.Line], p)
		if p.File != name || p.Column < 1 || p.Key == "" || p.Want == "" {
			t.Errorf("incomplete problem %+v", p)
		}
	}
	wanted := 0
	for i, line := range strings.Split(string(data), "\n") {
		_, comment, marked := strings.Cut(line, "#! ")
		got := reported[i+1]
		if !marked {
			if len(got) > 0 {
				t.Errorf("line %d is right, and reported: %v", i+1, got)
			}
			continue
		}
		wanted++
		if len(got) != 1 {
			t.Errorf("line %d has %d problems, want 1: %v", i+1, len(got), got)
			continue
		}
		for part := range strings.SplitSeq(comment, " | ") {
			if !strings.Contains(got[0].Error(), part) {
				t.Errorf("line %d: %q does not say %q", i+1, got[0].Error(), part)
			}
		}
	}
	if len(problems) != wanted || wanted < 50 {
		t.Errorf("%d problems, want %d, at least 50", len(problems), wanted)
	}
	for i := 1; i < len(problems); i++ {
		if problems[i].Line < problems[i-1].Line {
			t.Errorf("not in the order of the file: %v before %v", problems[i-1], problems[i])
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret is shown:\n%v", err)
	}
	t.Logf("%d mistakes in one file, %d reported", wanted, len(problems))
}

func TestProblemPlace(t *testing.T) {
	_, err := Parse("t.yaml", []byte("alert:\n  hold: fast\n"))
	const want = `t.yaml:2:9: alert.hold: got "fast", want a duration with its unit, such as 20s, 5m or 1h30m`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, err = Parse("t.yaml", []byte("alert:\n  hodl: 20s\n"))
	const unknown = `t.yaml:2:3: alert.hodl: got an unknown key, want window, resolve_after, hold, merchants, slack or stop_timeout (did you mean "hold"?)`
	if err == nil || err.Error() != unknown {
		t.Errorf("got  %v\nwant %s", err, unknown)
	}
	// Two keys contradict each other, and the one that is reported was not stated: the nearest key above it is named.
	_, err = Parse("t.yaml", []byte("collect:\n  batch: 50000\n  writers: 4\n"))
	const above = `t.yaml:1:1: collect.max_ack_pending: got 100000, want at least batch × writers, 200000`
	if err == nil || err.Error() != above {
		t.Errorf("got  %v\nwant %s", err, above)
	}
}

func TestNotYAML(t *testing.T) {
	for _, tt := range []struct{ data, want string }{
		{"a: [1\n", "t.yaml:1:4: got a file that is not YAML"},
		{"nats:\n  url: x\n    creds: y\n", "t.yaml:2:8: got a file that is not YAML"},
		{"influx:\n  token: \"hunter2\n", "t.yaml:2:10: got a file that is not YAML"},
		{"language: en\n---\nlanguage: zh\n", "t.yaml:3:9: got a second YAML document"},
		{"hello\n", `t.yaml:1:1: got "hello", want keys with values below it`},
		{"- a\n", "t.yaml:1:1: got a list, want keys with values below it"},
	} {
		_, err := Parse("t.yaml", []byte(tt.data))
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%q\ngot  %v\nwant %s …", tt.data, err, tt.want)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the file is quoted: %v", tt.data, err)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"window", "resolve_after", "hold", "merchants", "slack", "stop_timeout"}
	for got, want := range map[string]string{
		"windwo": "window", "Window": "window", "resolve-after": "resolve_after", "hodl": "hold", "merchant": "merchants",
		"": "", "threshold": "", "x": "", strings.Repeat("window", 1000): "",
	} {
		if n := nearest(got, known); n != want {
			t.Errorf("nearest(%.20q) = %q, want %q", got, n, want)
		}
	}
}

// Whatever the file holds, Parse returns, and returns either a configuration that is valid or problems that can be read.
func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add([]byte(full))
	if data, err := os.ReadFile("testdata/problems.yaml"); err == nil {
		f.Add(data)
	}
	for _, s := range []string{"a: *a", "&a a: *a", "checks: {merchant-status: {schedule: 'TZ=0'}}", "? : ", "<<: {a: 1}", "collect: {batch: 99999999999999999999}",
		"nats: {url: '://'}", "!!binary a: b", "streams: {txn_max_bytes: 9223372036854775807TiB}", "alert: [", "\xff\xfe", "acquirers: {'': }"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.yaml", data)
		if (c == nil) != (err != nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Fatalf("parsed and then not valid: %v", err)
			}
			return
		}
		problems, ok := errors.AsType[Problems](err)
		if !ok || len(problems) == 0 {
			t.Fatalf("error of type %T", err)
		}
		for _, p := range problems {
			if p.Want == "" || p.File != "f.yaml" {
				t.Errorf("incomplete: %s", fmt.Sprintf("%#v", p))
			}
		}
	})
}
