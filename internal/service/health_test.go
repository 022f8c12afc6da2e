package service

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// table is a small one of the shape that a process has: the bus, what needs it, and something of its own.
func table() []Condition {
	return []Condition{
		{Name: "bus", Title: "NATS is not reachable", Severity: fleet.SeverityCritical, Hint: "tillwatch doctor", Required: true, TimeToVisible: 5 * time.Second},
		{Name: "consumer", Title: "the consumer is gone", Required: true, DependsOn: []string{"bus"}},
		{Name: "lag", Title: "the collector falls behind", Hint: "add a collector", DependsOn: []string{"consumer"}, TimeToVisible: 2 * time.Second},
		{Name: "slack", Title: "Slack refuses", TimeToVisible: time.Minute},
	}
}

func states(h *Health) string {
	var out []string
	for _, r := range h.Report(time.Now()) {
		s := string(r.State)
		if r.ExplainedBy != "" {
			s += " by " + r.ExplainedBy
		}
		out = append(out, r.Name+"="+s)
	}
	return strings.Join(out, ", ")
}

func TestHealthTimeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := NewHealth(nil, table()...)
		if err != nil {
			t.Fatal(err)
		}
		down := errors.New("connection refused")
		check := func(after time.Duration, ready bool, want string) {
			t.Helper()
			time.Sleep(after)
			if got := states(h); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if got := Ready(h.Report(time.Now())); got != ready {
				t.Errorf("ready %v at %s", got, want)
			}
		}
		check(0, false, "bus=starting, consumer=starting, lag=starting, slack=starting")
		h.Set("bus", down) // never held: not ready, also while too young to be reported
		check(4999*time.Millisecond, false, "bus=starting, consumer=starting, lag=starting, slack=starting")
		check(time.Millisecond, false, "bus=fault, consumer=starting, lag=starting, slack=starting")
		h.Set("bus", nil)
		check(0, false, "bus=ok, consumer=starting, lag=starting, slack=starting")
		h.Set("consumer", nil)
		check(0, true, "bus=ok, consumer=ok, lag=starting, slack=starting") // what is not required does not hold it up

		h.Set("bus", down) // a short drop does not take the process out of rotation
		check(3*time.Second, true, "bus=pending, consumer=ok, lag=starting, slack=starting")
		h.Set("bus", errors.New("another text")) // the same fault
		h.Set("lag", errors.New("12 min"))
		check(2*time.Second, false, "bus=fault, consumer=ok, lag=hidden by bus, slack=starting")
		h.Set("consumer", down)
		check(0, false, "bus=fault, consumer=hidden by bus, lag=hidden by bus, slack=starting")
		h.Set("bus", nil) // its cause is gone: now the symptom is what there is to see, and explains its own
		check(0, false, "bus=ok, consumer=fault, lag=hidden by consumer, slack=starting")
		h.Set("consumer", nil)
		check(0, true, "bus=ok, consumer=ok, lag=fault, slack=starting")
		h.Set("lag", nil)
		h.Set("slack", down)
		check(time.Hour, true, "bus=ok, consumer=ok, lag=ok, slack=fault")
	})
}

func TestHealthReportDetails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := NewHealth(nil, table()...)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		h.Set("bus", nil)
		time.Sleep(time.Minute)
		h.Set("bus", nil) // holds since the first time
		if r := h.Report(time.Now())[0]; !r.Since.Equal(start) || r.Hint != "" || r.Error != "" || r.Severity != fleet.SeverityCritical || !r.Required {
			t.Errorf("holds: %+v", r)
		}
		failed := time.Now()
		h.Set("bus", errors.New("one"))
		time.Sleep(time.Minute)
		h.Set("bus", errors.New("two")) // fails since the first time, and says the latest
		if r := h.Report(time.Now())[0]; !r.Since.Equal(failed) || r.Hint != "tillwatch doctor" || r.Error != "two" || r.Title != "NATS is not reachable" {
			t.Errorf("fails: %+v", r)
		}
		if r := h.Report(time.Now())[1]; r.Severity != fleet.SeverityWarning {
			t.Errorf("default severity %q", r.Severity)
		}
	})
}

func TestHealthLogsChangesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		h, err := NewHealth(slog.New(slog.NewTextHandler(&b, nil)), table()...)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			h.Set("bus", nil)
		}
		for range 3 {
			h.Set("bus", errors.New("refused"))
		}
		time.Sleep(90 * time.Second)
		h.Set("bus", nil)
		h.Set("bsu", nil)
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		want := []string{
			`level=WARN msg="condition fails" condition=bus error=refused`,
			`level=INFO msg="condition holds again" condition=bus failed_for=1m30s`,
			`level=ERROR msg="condition is not registered" condition=bsu`,
		}
		if len(lines) != len(want) {
			t.Fatalf("%d lines:\n%s", len(lines), b.String())
		}
		for i, w := range want {
			if !strings.HasSuffix(lines[i], w) {
				t.Errorf("got  %s\nwant %s", lines[i], w)
			}
		}
	})
}

func TestRegisterRefuses(t *testing.T) {
	for name, c := range map[string]Condition{
		"the name is taken":     {Name: "bus", Title: "x"},
		"want a name":           {Title: "x"},
		"and a title":           {Name: "x"},
		"not registered before": {Name: "x", Title: "x", DependsOn: []string{"y"}},
		`its cause "x"`:         {Name: "x", Title: "x", DependsOn: []string{"x"}}, // of itself
	} {
		h, err := NewHealth(nil, table()...)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Register(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: %v, want an error that says %q", c, err, name)
		}
		if n := len(h.Report(time.Now())); n != len(table()) {
			t.Errorf("%d conditions after a refusal", n)
		}
	}
}

func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := NewHealth(nil)
		if err != nil {
			t.Fatal(err)
		}
		a, b := h.Pulse("writer", 10*time.Second), h.Pulse("reader", time.Minute)
		want := func(names ...string) {
			t.Helper()
			if got := strings.Join(h.Wedged(time.Now()), " "); got != strings.Join(names, " ") {
				t.Errorf("wedged %q, want %q", got, names)
			}
		}
		time.Sleep(10 * time.Second)
		want()
		time.Sleep(time.Nanosecond)
		want("writer")
		a.Beat()
		want()
		time.Sleep(2 * time.Minute)
		want("reader", "writer")
		a.Stop()
		a.Beat() // after its stop it is nobody's any more
		want("reader")
		b.Stop()
		want()
	})
}
