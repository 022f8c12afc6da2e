package app

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/tillwatch/tillwatch/alerter/check"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/config"
	"github.com/tillwatch/tillwatch/internal/simulate"
)

// demoDefaults shortens the rules so that an incident opens and resolves while somebody watches, and keeps the log
// quiet; what was given stays.
func demoDefaults(o *config.Overrides) {
	def(&o.Window, 60*time.Second)
	def(&o.ResolveAfter, 20*time.Second)
	def(&o.LogLevel, "warn")
}

func def[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

// demo is a simulated fleet with its acquirers. A nil demo does nothing.
type demo struct {
	m      *machine
	fleet  *simulate.Fleet
	closer func()
}

// newDemo makes the fleet, serves its acquirers and configures Tillwatch for them. Without --demo it is nil.
func (m *machine) newDemo() (*demo, error) {
	if !m.c.Demo {
		return nil, nil
	}
	f, err := simulate.New(simulate.DemoOptions(time.Now()))
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve the acquirers: %w", err)
	}
	d := &demo{m: m, fleet: f, closer: serve(l, simulate.NewAcquirerServer(f, simulate.AcquirerOptions{}))}
	for _, a := range f.Options().Acquirers {
		c := config.DefaultAcquirer()
		c.Name, c.Timezone = a.Name, a.Timezone
		c.Directory.URL = "http://" + l.Addr().String() + "/v1/acquirers/{acquirer}/merchants/{merchant}"
		c.Directory.Rate = 200
		m.s.Acquirers[a.ID] = c
		m.s.profiles[a.ID] = m.s.profile(a.ID)
	}
	m.s.useMerchants(slices.Collect(f.Merchants()))
	status := m.s.Checks[check.MerchantStatusID]
	status.Schedule = "@every 15s"
	m.s.Checks[check.MerchantStatusID] = status
	return d, nil
}

func (d *demo) stop() {
	if d != nil {
		d.closer()
	}
}

// run says what to look at and plays the fleet.
func (d *demo) run(ctx context.Context, conn *bus.Conn) error {
	out, s := d.m.p.Stdout, d.m.s
	fmt.Fprintf(out, `
A fleet of %d terminals at two acquirers begins to sell. What will go wrong:
`, d.fleet.Terminals())
	for _, t := range d.fleet.Truth(time.Now(), 1) {
		at := time.UnixMilli(t.Start)
		fmt.Fprintf(out, "  at %s  %s, code %s, %d terminals of %d merchants: %v\n", at.Format(time.TimeOnly), t.Cause, t.Code, t.Terminals, t.Merchants, map[string]string(t.Scope))
	}
	fmt.Fprintf(out, `Incidents appear below, about half a minute after their fault: the rule wants half of a minute's sales to fail.

Ask InfluxDB yourself:
  curl -G '%[1]s/query' --data-urlencode 'db=pos_events' --data-urlencode 'q=SELECT count("id") FROM "decline" WHERE "code" = '"'03'"' AND time > now() - 10m GROUP BY time(30s), "acquirer"'
  curl -G '%[1]s/query' --data-urlencode 'db=pos_events' --data-urlencode 'q=SELECT "target", "state", "message" FROM "incident" WHERE time > now() - 1h'
  curl -G '%[1]s/query' --data-urlencode 'db=pos_raw' --data-urlencode 'q=SELECT last("approved"), last("app") FROM "heartbeat" WHERE time > now() - 10m GROUP BY "acquirer", "terminal" LIMIT 1'
Grafana: add an InfluxDB data source (InfluxQL, %[1]s, database pos_events) and import dashboards/invalid-merchant.json.
Slack: start with SLACK_BOT_TOKEN=xoxb-… and --slack-channel C0123456789; incidents then go there instead of here.
Stop with Ctrl-C.

`, s.Influx.URL)
	_, err := publishFleet(ctx, d.m.f, conn, d.fleet, simulate.RunOptions{})
	return err
}
