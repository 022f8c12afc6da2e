package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/alerter/check"
	"github.com/tillwatch/tillwatch/alerter/incident"
	"github.com/tillwatch/tillwatch/alerter/pipeline"
	"github.com/tillwatch/tillwatch/alerter/slack"
	"github.com/tillwatch/tillwatch/alerter/tally"
	"github.com/tillwatch/tillwatch/internal/acquirer"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/config"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/service"
)

type alertCommand struct {
	commonFlags
	natsFlags
	alertFlags
}

// Help is shown below the flags.
func (c *alertCommand) Help() string {
	return `One alerter is active, any number of others stand by and take over within 15 seconds.

With SLACK_BOT_TOKEN and --slack-channel each incident is one Slack message, updated in place. With SLACK_WEBHOOK_URL alone openings and endings are posted, at least once. Without either they are printed here. SLACK_APP_TOKEN is read for buttons in a later release and changes nothing yet.

Examples:
  tillwatch alert --nats-url nats://nats:4222 --merchants merchants.csv
  SLACK_BOT_TOKEN=xoxb-… tillwatch alert --slack-channel C0123456789 --config tillwatch.yaml`
}

// Run alerts until ctx ends.
func (c *alertCommand) Run(ctx context.Context, p Process) error {
	var o config.Overrides
	c.commonFlags.fill(&o)
	c.natsFlags.fill(&o)
	c.alertFlags.fill(&o)
	s, err := load(c.Config, o, p)
	if err != nil {
		return err
	}
	if err := s.alertable(); err != nil {
		return err
	}
	if c.Validate {
		return valid(s, p)
	}
	f, err := newFrame(s, p, conditionBus, conditionAlerts, conditionSlack)
	if err != nil {
		return err
	}
	g := service.NewGroup(service.GroupOptions{StopTimeout: s.Alert.StopTimeout, Logger: f.log})
	g.Add("metrics", f.server.Run)
	g.Add("alerter", func(ctx context.Context) error {
		conn, err := f.connect(ctx, s, "tillwatch alert")
		if err != nil {
			return err
		}
		defer conn.SyncedClose(context.WithoutCancel(ctx))
		go f.watch(ctx, conn)
		return runAlerter(ctx, s, f, conn, p)
	})
	return g.Run(ctx)
}

// alertable checks what only an alerter needs, all of it at once.
func (s *settings) alertable() error {
	_, err := s.jobs(nil, nil)
	if s.Alert.Slack.Token != "" && s.Alert.Slack.Channel == "" {
		err = errors.Join(err, errors.New("SLACK_BOT_TOKEN is set and no channel: name one by --slack-channel or alert.slack.channel, such as C0123456789"))
	}
	return err
}

// runAlerter wires and runs an alerter on a connection.
func runAlerter(ctx context.Context, s *settings, f *frame, conn *bus.Conn, p Process) error {
	language, err := alerter.ParseLanguage(s.Language)
	if err != nil {
		return err
	}
	zones := map[string]*time.Location{}
	for id, a := range s.Acquirers {
		if zones[id], err = time.LoadLocation(a.Timezone); err != nil {
			return fmt.Errorf("acquirers.%s.timezone: %w", id, err)
		}
	}
	fallback, err := time.LoadLocation(config.DefaultAcquirer().Timezone)
	if err != nil {
		return fmt.Errorf("load time zone: %w", err)
	}
	options := func(t *fleet.Transition) slack.RenderOptions {
		return slack.RenderOptions{
			Language: language, TimeZone: cmp.Or(zones[t.Acquirer], fallback),
			Meaning: func(acquirer, code string, l alerter.Language) string {
				meaning, _ := s.profile(acquirer).Code(code)
				if l == alerter.Chinese {
					return meaning.Chinese
				}
				return meaning.English
			},
		}
	}
	owner := owner()
	outlet, retell, err := s.outlet(ctx, f, conn, p, owner, options)
	if err != nil {
		return err
	}
	a, err := pipeline.New(pipeline.Options{
		Bus: conn, Owner: owner,
		Acquirer: func(id string) tally.Acquirer {
			a, configured := s.Acquirer(id)
			return tally.Acquirer{Profile: s.profile(id), Source: fleet.Source(a.Source), Approvals: configured && a.Volume == "approvals"}
		},
		Region: func(acquirer, merchant string) string { return s.regions[acquirer+"/"+merchant] },
		Outlet: outlet, Retell: retell,
		Window:   s.Alert.Window,
		Incident: incident.Options{Hold: max(s.Alert.Hold, time.Nanosecond), ResolveAfter: s.Alert.ResolveAfter},
		Beside: []func(context.Context, pipeline.Term) error{func(ctx context.Context, term pipeline.Term) error {
			claims, err := pipeline.NewClaims(ctx, conn, owner)
			if err != nil {
				return err
			}
			jobs, err := s.jobs(f, term.Findings)
			if err != nil {
				return err
			}
			return (&check.Scheduler{Jobs: jobs, Claims: claims, Logger: f.log}).Run(ctx)
		}},
		Condition: func(err error) { f.health.Set(conditionAlerts, err) },
		Logger:    f.log, Registry: f.registry, Probe: p.Probe,
	})
	if err != nil {
		return err
	}
	f.health.Set(conditionSlack, nil) // until something waits
	return a.Run(ctx)
}

// outlet chooses how people are told: Slack with a bot token, a webhook, or this terminal.
func (s *settings) outlet(ctx context.Context, f *frame, conn *bus.Conn, p Process, owner string, options func(*fleet.Transition) slack.RenderOptions) (make func(pipeline.Term) (pipeline.Outlet, error), retell time.Duration, err error) {
	const remembered = 24 * time.Hour
	render := func(t *fleet.Transition) slack.Message { return slack.Render(t, options(t)) }
	if s.Alert.Slack.Token == "" && s.webhook == "" {
		if s.Alert.Slack.Channel != "" {
			f.log.Warn("a slack channel is named and no token: incidents are printed here", "hint", "set SLACK_BOT_TOKEN")
		}
		t := &slack.Terminal{Out: p.Stdout, Color: p.colour(p.Stdout), Render: options}
		return func(pipeline.Term) (pipeline.Outlet, error) { return printer{t}, nil }, 0, nil
	}
	ledger, err := pipeline.NewLedger(ctx, conn)
	if err != nil {
		return nil, 0, err
	}
	if s.Alert.Slack.Token == "" {
		return func(pipeline.Term) (pipeline.Outlet, error) {
			return slack.NewWebhook(slack.WebhookOptions{URL: slack.Secret(s.webhook), Ledger: ledger, Render: render, Logger: f.log})
		}, remembered, nil
	}
	if !slack.IsChannelID(s.Alert.Slack.Channel) {
		f.log.Warn("slack channel is not named by its id: after a crash a message may be posted twice", "channel", s.Alert.Slack.Channel, "hint", "use the id, such as C0123456789, from the channel's details")
	}
	client, err := slack.NewClient(slack.ClientOptions{Token: slack.Secret(s.Alert.Slack.Token), Channel: s.Alert.Slack.Channel, APIURL: s.Alert.Slack.APIURL})
	if err != nil {
		return nil, 0, err
	}
	return func(term pipeline.Term) (pipeline.Outlet, error) {
		courier, err := slack.NewCourier(slack.CourierOptions{
			Client: client, Ledger: ledger, Owner: owner, Render: render, Logger: f.log, LeaseUntil: term.Until, Probe: p.Probe,
		})
		if err != nil {
			return nil, err
		}
		return &reconciling{Courier: courier, f: f}, nil
	}, remembered, nil
}

// printer is the terminal as an outlet.
type printer struct{ *slack.Terminal }

// Run has nothing to do: Notify prints.
func (printer) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// jobs are the checks of every acquirer that can be asked. With a nil frame they are only validated.
func (s *settings) jobs(f *frame, store check.Store) ([]check.Job, error) {
	conf := s.Checks[check.MerchantStatusID]
	if !conf.Enabled {
		return nil, nil
	}
	zone, err := time.LoadLocation(conf.Timezone)
	if err != nil {
		return nil, fmt.Errorf("checks.%s.timezone: %w", check.MerchantStatusID, err)
	}
	if _, err := check.ParseSchedule(conf.Schedule, zone); err != nil {
		return nil, fmt.Errorf("checks.%s.schedule: %w", check.MerchantStatusID, err)
	}
	var jobs []check.Job
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(s.Acquirers)) {
		d := s.Acquirers[id].Directory
		if d.URL == "" {
			continue
		}
		o := acquirer.HTTPOptions{Acquirer: id, URL: d.URL, BearerToken: acquirer.Token(d.Token), Timeout: d.Timeout, MaxRate: d.Rate, Retries: d.Retries}
		if d.Retries == 0 {
			o.Retries = -1 // the file's 0 means none
		}
		c := &check.MerchantStatus{Acquirer: id, Concurrency: conf.Concurrency, Timeout: conf.Timeout}
		if f != nil {
			o.Logger, c.Logger = f.log, f.log
		}
		if c.Directory, err = acquirer.NewHTTP(o); err != nil {
			errs = append(errs, fmt.Errorf("acquirers.%s.directory: %w", id, err))
			continue
		}
		for _, m := range s.merchants {
			if m.Acquirer == id {
				c.Merchants = append(c.Merchants, m)
			}
		}
		if len(c.Merchants) == 0 {
			if f != nil {
				f.log.Warn("nothing to ask this acquirer about", "acquirer", id, "check", check.MerchantStatusID, "hint", "name its merchants with --merchants")
			}
			continue
		}
		jobs = append(jobs, check.Job{Check: check.MerchantStatusID, Target: id, Schedule: conf.Schedule, Location: zone,
			Run: func(ctx context.Context, tick time.Time) (check.Result, error) { return c.Run(ctx, tick, store) }})
	}
	return jobs, errors.Join(errs...)
}
