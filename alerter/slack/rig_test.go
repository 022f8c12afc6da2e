package slack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/slacktest"
)

// rig is a Slack, a ledger, and processes that come and go. It is made inside a synctest bubble: the server is reached
// without a network and every wait is exact.
type rig struct {
	t      *testing.T
	slack  *slacktest.Server
	ledger memory
	log    *logged

	processes []*process // so far
}

func newRig(t *testing.T, o slacktest.Options) *rig {
	s := slacktest.New(o)
	t.Cleanup(s.Close)
	r := &rig{t: t, slack: s, log: new(logged)}
	t.Cleanup(func() {
		if text := r.log.String(); strings.Contains(text, slacktest.DefaultToken) || strings.Contains(text, "secret-of") {
			t.Errorf("a secret is in the log:\n%s", text)
		}
	})
	return r
}

// process is one process with its courier. Killed, it reaches neither Slack nor the ledger any more.
type process struct {
	*Courier
	dead atomic.Bool
	ctx  context.Context
	kill context.CancelFunc
	via  http.RoundTripper
	ledg Ledger
}

type processOptions struct {
	probe     func(p *process, point string)
	transport func(http.RoundTripper) http.RoundTripper
	courier   func(*CourierOptions)
}

func (r *rig) process(po processOptions) *process {
	p := &process{via: r.slack.Transport(), ledg: &r.ledger}
	p.ctx, p.kill = context.WithCancel(context.Background())
	r.t.Cleanup(p.kill)
	var via http.RoundTripper = p
	if po.transport != nil {
		via = po.transport(via)
	}
	client, err := NewClient(ClientOptions{
		Token: slacktest.DefaultToken, Channel: slacktest.DefaultChannel, APIURL: r.slack.URL(),
		HTTPClient: &http.Client{Transport: via}, PageSize: 3,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	o := CourierOptions{
		Client: client, Ledger: p, Owner: fmt.Sprintf("process-%d", len(r.processes)+1), Logger: slog.New(slog.NewTextHandler(r.log, nil)),
		Probe: func(point string) {
			if po.probe != nil {
				po.probe(p, point)
			}
		},
	}
	if po.courier != nil {
		po.courier(&o)
	}
	if p.Courier, err = NewCourier(o); err != nil {
		r.t.Fatal(err)
	}
	r.processes = append(r.processes, p)
	return p
}

var errDead = errors.New("the process is dead")

func (p *process) RoundTrip(req *http.Request) (*http.Response, error) {
	if p.dead.Load() {
		return nil, errDead
	}
	resp, err := p.via.RoundTrip(req)
	if p.dead.Load() {
		return nil, errDead // the answer reaches nobody
	}
	return resp, err
}

func (p *process) Load(ctx context.Context, incident string) (Entry, uint64, error) {
	if p.dead.Load() {
		return Entry{}, 0, errDead
	}
	return p.ledg.Load(ctx, incident)
}

func (p *process) Save(ctx context.Context, e Entry, revision uint64) (uint64, error) {
	if p.dead.Load() {
		return 0, errDead
	}
	return p.ledg.Save(ctx, e, revision)
}

// die is a SIGKILL.
func (p *process) die() {
	p.dead.Store(true)
	p.kill()
}

// deliver fails the test where Deliver does.
func (r *rig) deliver(p *process, tr fleet.Transition) {
	r.t.Helper()
	if err := p.Deliver(p.ctx, tr); err != nil {
		r.t.Fatalf("Deliver: %v", err)
	}
}

func (r *rig) reconcile(p *process) Report {
	r.t.Helper()
	report, err := p.Reconcile(p.ctx, time.Now().Add(-time.Hour))
	if err != nil {
		r.t.Fatalf("Reconcile: %v", err)
	}
	return report
}

// shows demands that exactly one message stands for the incident and shows transition n, recorded so.
func (r *rig) shows(incident string, n int) slacktest.Message {
	r.t.Helper()
	var found []slacktest.Message
	for _, m := range r.slack.Messages() {
		if m.Payload["incident"] == incident {
			found = append(found, m)
		}
	}
	if len(found) != 1 || shown(found[0]) != n {
		var got []string
		for _, m := range found {
			got = append(got, fmt.Sprintf("%s shows %d", m.TS, shown(m)))
		}
		r.t.Fatalf("incident %s: messages %q, want one that shows %d\n%s", incident, got, n, r.log)
	}
	e, _, _ := r.ledger.Load(context.Background(), incident)
	if e.State != Posted || e.TS != found[0].TS || e.N != n {
		r.t.Fatalf("incident %s: entry %+v beside message %s", incident, e, found[0].TS)
	}
	return found[0]
}

func shown(m slacktest.Message) int {
	n, ok := m.Payload["n"].(float64)
	if !ok || m.Event != EventType {
		return -1
	}
	return int(n)
}

// logged collects log lines.
type logged struct {
	mu sync.Mutex // guards everything below
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func transition(incident string, n int) fleet.Transition {
	step := fleet.StepUpdated
	if n == 1 {
		step = fleet.StepOpened
	}
	return fleet.Transition{
		At: 1795500306000 + int64(n)*60000, Since: 1795500306000, Incident: incident, N: n, Step: step, Kind: fleet.IncidentSpike,
		Acquirer: "a1", Code: "03", Severity: fleet.SeverityCritical, Scope: fleet.Scope{{"acquirer": "a1", "app": "2.4.1"}},
		Observed: int64(10 * n), Transactions: int64(12 * n), Terminals: 9, Merchants: 7, Explained: .9,
	}
}

// bubble runs f with fake time.
func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }
