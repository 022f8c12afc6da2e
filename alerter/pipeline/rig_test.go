package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/alerter/incident"
	"github.com/tillwatch/tillwatch/alerter/tally"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/embedded"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/natstest"
)

// rig is a real server in this process with the processes of these tests on it.
type rig struct {
	tb   testing.TB
	nats *embedded.NATS
	conn *bus.Conn // publishes what terminals send, and looks at DERIVED
	n    int
}

func newRig(tb testing.TB) *rig {
	tb.Helper()
	n := natstest.Start(tb)
	return &rig{tb: tb, nats: n, conn: natstest.Connect(tb, n.URL())}
}

// connect opens a connection of its own, as another process has.
func (r *rig) connect() *bus.Conn {
	r.tb.Helper()
	ctx, cancel := context.WithTimeout(r.tb.Context(), 30*time.Second)
	defer cancel()
	c, err := bus.Connect(ctx, bus.Options{URL: r.nats.URL(), Name: r.tb.Name()})
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Cleanup(c.Close)
	return c
}

// options are those of a quick alerter: a window of 2 s, openings of merchants held for 1 s, resolved after 1 s.
func (r *rig) options(c *bus.Conn, owner string) Options {
	r.tb.Helper()
	profile, err := fleet.LookupProfile(fleet.ProfileUnionPay)
	if err != nil {
		r.tb.Fatal(err)
	}
	return Options{
		Bus: c, Owner: owner,
		Acquirer: func(string) tally.Acquirer {
			return tally.Acquirer{Profile: profile, Source: fleet.SourceTerminal, Approvals: true}
		},
		Region:   func(string, string) string { return "" },
		Window:   2 * time.Second,
		Incident: incident.Options{Hold: time.Second, ResolveAfter: time.Second, UpdateEvery: time.Second},
		Logger:   slog.New(slog.DiscardHandler),
	}
}

// process is one alerter that runs until stop or the test's end.
type process struct {
	told *recorder
	stop func() // returns when the alerter has
}

// start runs an alerter that tells a recorder, changed as the test asks.
func (r *rig) start(owner string, change ...func(*Options)) *process {
	r.tb.Helper()
	c := r.connect()
	told := &recorder{conn: r.conn}
	o := r.options(c, owner)
	o.Outlet = told.outlet
	for _, f := range change {
		f(&o)
	}
	p, err := New(o)
	if err != nil {
		r.tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.tb.Context()))
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.tb.Errorf("alerter %s: %v", owner, err)
			}
		})
	}
	r.tb.Cleanup(stop)
	return &process{told, stop}
}

// recorder is an outlet that remembers what it is told, and what DERIVED held at that moment.
type recorder struct {
	conn *bus.Conn

	mu       sync.Mutex // guards everything below
	terms    []Term
	told     []fleet.Transition
	at       []time.Time
	unstored []string
	fail     error // of the next Notify
}

func (r *recorder) outlet(term Term) (Outlet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.terms = append(r.terms, term)
	return r, nil
}

func (r *recorder) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (r *recorder) Notify(ctx context.Context, t fleet.Transition) error {
	now := time.Now()
	last, err := r.conn.Last(context.WithoutCancel(ctx), t.Subject())
	r.mu.Lock()
	defer r.mu.Unlock()
	var stored fleet.Transition
	if err != nil || last == nil || json.Unmarshal(last.Data, &stored) != nil || stored.N < t.N || last.ID != fmt.Sprintf("%s.%d", stored.Incident, stored.N) {
		r.unstored = append(r.unstored, fmt.Sprintf("%s.%d: stored is %+v, %v", t.Incident, t.N, last, err))
	}
	r.told, r.at = append(r.told, t), append(r.at, now)
	err, r.fail = r.fail, nil
	return err
}

func (r *recorder) all() []fleet.Transition {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told)
}

func (r *recorder) active() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.terms)
}

// has reports whether a step was told.
func (r *recorder) has(step fleet.IncidentStep) bool {
	return slices.ContainsFunc(r.all(), func(t fleet.Transition) bool { return t.Step == step })
}

// eventually polls until ok, and fails the test after a long while.
func (r *rig) eventually(what string, ok func() bool) {
	r.tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			r.tb.Fatalf("never: %s\nstored: %s", what, strings.Join(r.stored(), "\n"))
		}
	}
}

// stored are the transitions in DERIVED, in order.
func (r *rig) stored() (lines []string) {
	for _, t := range r.transitions() {
		lines = append(lines, fmt.Sprintf("%s.%d %s %s", t.Incident, t.N, t.Step, t.Scope))
	}
	return lines
}

func (r *rig) transitions() (out []fleet.Transition) {
	_, err := r.conn.Each(context.WithoutCancel(r.tb.Context()), bus.StreamDerived, fleet.DerivedPrefix+"incident.>", func(s bus.Stored) error {
		var t fleet.Transition
		if err := json.Unmarshal(s.Data, &t); err != nil {
			return err
		}
		if want := fmt.Sprintf("%s.%d", t.Incident, t.N); s.ID != want || s.Subject != t.Subject() {
			r.tb.Errorf("message %q on %s, want %q on %s", s.ID, s.Subject, want, t.Subject())
		}
		out = append(out, t)
		return nil
	})
	if err != nil {
		r.tb.Error(err)
	}
	return out
}

// txn publishes one transaction and returns when the server has it.
func (r *rig) txn(acquirer, terminal, merchant, app, code string) {
	r.tb.Helper()
	r.n++
	k := fleet.Key{Acquirer: acquirer, Terminal: terminal}
	id := fmt.Sprint("e", r.n)
	body := fmt.Sprintf(`{"ts":%d,"id":%q,"merchant":%q,"app":%q,"code":%q}`, time.Now().UnixMilli(), id, merchant, app, code)
	if err := r.conn.Publish(r.tb.Context(), bus.Message{Subject: k.Subject(fleet.KindTxn), ID: k.TxnMsgID(fleet.SourceTerminal, id), Data: []byte(body)}); err != nil {
		r.tb.Fatal(err)
	}
}

// burst publishes a decline of each of five terminals of five merchants on one version, which makes it a scope.
func (r *rig) burst(app string) {
	r.tb.Helper()
	for i := range 5 {
		r.txn("a1", fmt.Sprint("T", i), fmt.Sprint("m", i), app, "03")
	}
}

// sound demands that whatever was told was stored first, that every incident was opened once, first, and that its
// numbers have no gap.
func (r *rig) sound(told ...*recorder) {
	r.tb.Helper()
	for _, rec := range told {
		rec.mu.Lock()
		for _, u := range rec.unstored {
			r.tb.Errorf("told before it was stored: %s", u)
		}
		rec.mu.Unlock()
	}
	last := map[string]int{}
	for _, t := range r.transitions() {
		if t.N != last[t.Incident]+1 || (t.N == 1) != (t.Step == fleet.StepOpened) {
			r.tb.Errorf("incident %s: %d (%s) after %d", t.Incident, t.N, t.Step, last[t.Incident])
		}
		last[t.Incident] = t.N
	}
}
