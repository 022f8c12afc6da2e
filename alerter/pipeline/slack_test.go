package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/alerter/slack"
	"github.com/tillwatch/tillwatch/internal/fleettest/slacktest"
)

// toSlack gives an alerter the real courier, on a Slack of the test's.
func toSlack(r *rig, server *slacktest.Server) func(*Options) {
	return func(o *Options) {
		r.tb.Helper()
		ledger, err := NewLedger(r.tb.Context(), o.Bus)
		if err != nil {
			r.tb.Fatal(err)
		}
		client, err := slack.NewClient(slack.ClientOptions{Token: slacktest.DefaultToken, Channel: slacktest.DefaultChannel, APIURL: server.URL()})
		if err != nil {
			r.tb.Fatal(err)
		}
		o.Outlet = func(term Term) (Outlet, error) {
			return slack.NewCourier(slack.CourierOptions{Client: client, Ledger: ledger, Owner: o.Owner, LeaseUntil: term.Until, Logger: o.Logger})
		}
	}
}

func TestOneSlackMessageAnIncident(t *testing.T) {
	r := newRig(t)
	server := slacktest.Start(t, slacktest.Options{})
	server.SetFault(slacktest.Script(slacktest.Fault{Kind: slacktest.RateLimit, RetryAfter: time.Second, Method: "chat.postMessage"}))
	p1 := r.start("p1", toSlack(r, server), func(o *Options) { o.Window = 4 * time.Second })
	r.burst("2.4.1")
	r.eventually("posted", func() bool { return len(server.Messages()) == 1 })
	if m := server.Messages()[0]; !strings.Contains(m.Text, "app 2.4.1") || !strings.Contains(m.Text, "03") {
		t.Errorf("posted %q", m.Text)
	}
	p1.stop() // another process goes on with the message
	r.start("p2", toSlack(r, server), func(o *Options) { o.Window = 4 * time.Second })
	r.eventually("shown as resolved", func() bool {
		all := server.Messages()
		return len(all) == 1 && strings.HasPrefix(all[0].Text, "✅") && strings.Contains(all[0].Text, "Resolved")
	})
	if n := server.Posts(); n != 1 {
		t.Errorf("%d messages were posted for one incident", n)
	}
	last := r.transitions()
	if m := server.Messages()[0]; m.Payload["incident"] != last[0].Incident || m.Payload["n"] != float64(last[len(last)-1].N) {
		t.Errorf("the message stands for %v, stored is %s", m.Payload, r.stored())
	}
	r.sound()
}

// BenchmarkDeclineToSlack measures from the moment at which the decline that makes a scope hold is published to the
// arrival of the request at Slack, over a real server in this process, the real courier and HTTP. Each iteration is a
// new wide incident of its own acquirer.
func BenchmarkDeclineToSlack(b *testing.B) {
	r := newRig(b)
	server := slacktest.Start(b, slacktest.Options{})
	arrived := make(chan slacktest.Request, 1024)
	server.SetFault(func(q slacktest.Request) slacktest.Fault {
		if q.Method == "chat.postMessage" {
			arrived <- q
		}
		return slacktest.Fault{}
	})
	p := r.start("p1", toSlack(r, server))
	defer p.stop()
	var took []time.Duration
	i := 0
	for b.Loop() {
		i++
		acquirer, app := fmt.Sprint("b", i), fmt.Sprint("9.", i)
		for j := range 4 {
			r.txn(acquirer, fmt.Sprint("T", j), fmt.Sprint("m", j), app, "03")
		}
		sent := time.Now()
		r.txn(acquirer, "T4", "m4", app, "03")
		timeout := time.After(30 * time.Second)
		for got := false; !got; {
			select {
			case q := <-arrived:
				if got = strings.Contains(q.Form.Get("text"), "acquirer "+acquirer+","); got {
					took = append(took, q.At.Sub(sent))
				}
			case <-timeout:
				b.Fatalf("iteration %d: no request; stored: %s", i, strings.Join(r.stored(), "\n"))
			}
		}
	}
	slices.SortFunc(took, cmp.Compare[time.Duration])
	quantile := func(q float64) float64 {
		return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
	}
	b.ReportMetric(quantile(0.5), "p50-ms")
	b.ReportMetric(quantile(0.99), "p99-ms")
	b.ReportMetric(0, "ns/op")
}
