package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/config"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/influx"
	"github.com/tillwatch/tillwatch/internal/registry"
	"github.com/tillwatch/tillwatch/internal/schema"
	"github.com/tillwatch/tillwatch/internal/service"
)

// commonFlags are those of every command that runs as a service.
type commonFlags struct {
	Config      string  `placeholder:"FILE" type:"path" help:"Configuration file (YAML)."`
	Validate    bool    `help:"Check configuration and files, say everything that is wrong, and exit."`
	MetricsAddr *string `placeholder:"HOST:PORT" help:"Where /healthz, /readyz and /metrics are served (127.0.0.1:9464)."`
	LogLevel    *string `placeholder:"LEVEL" help:"debug, info, warn or error (info)."`
	LogFormat   *string `placeholder:"FORMAT" help:"text or json (text)."`
}

func (f *commonFlags) fill(o *config.Overrides) {
	o.MetricsAddr, o.LogLevel, o.LogFormat = f.MetricsAddr, f.LogLevel, f.LogFormat
}

type natsFlags struct {
	NatsURL   *string `name:"nats-url" placeholder:"URL" help:"NATS servers, separated by commas (nats://127.0.0.1:4222)."`
	NatsCreds *string `name:"nats-creds" placeholder:"FILE" type:"path" help:"Credentials file for NATS."`

	NatsUser     *string        `name:"nats-user" placeholder:"NAME" help:"User, for a server with users."`
	NatsPassword *config.Secret `name:"nats-password" placeholder:"PASSWORD" help:"Its password. Better given in the environment, where others on the machine do not see it."`
}

func (f *natsFlags) fill(o *config.Overrides) {
	o.NATSURL, o.NATSCreds, o.NATSUser, o.NATSPassword = f.NatsURL, f.NatsCreds, f.NatsUser, f.NatsPassword
}

type influxFlags struct {
	InfluxURL       *string        `name:"influx-url" placeholder:"URL" help:"InfluxDB, 1.8 or 2.x (http://127.0.0.1:8086)."`
	InfluxToken     *config.Secret `name:"influx-token" placeholder:"TOKEN" help:"Its token; user:password on 1.8. Better given in the environment, where others on the machine do not see it."`
	InfluxTokenFile *string        `name:"influx-token-file" placeholder:"FILE" type:"path" help:"File that holds the token alone."`
	InfluxOrg       *string        `name:"influx-org" placeholder:"NAME" help:"Organization on 2.x (tillwatch)."`
}

func (f *influxFlags) fill(o *config.Overrides) {
	o.InfluxURL, o.InfluxToken, o.InfluxTokenFile, o.InfluxOrg = f.InfluxURL, f.InfluxToken, f.InfluxTokenFile, f.InfluxOrg
}

type alertFlags struct {
	SlackChannel *string        `placeholder:"C0123456789" help:"Slack channel for incidents, by its id."`
	SlackAPIURL  *string        `name:"slack-api-url" placeholder:"URL" help:"Address of Slack's API (https://slack.com/api/)."`
	Merchants    *string        `placeholder:"FILE" type:"path" help:"CSV of merchants: their regions, and whom merchant-status asks about."`
	Language     *string        `placeholder:"en|zh" help:"Language of what people are told (en)."`
	Window       *time.Duration `placeholder:"5m" help:"Window of the rule floor (5m)."`
	ResolveAfter *time.Duration `placeholder:"5m" help:"An incident resolves when its rule has not held for so long (5m)."`
	Hold         *time.Duration `placeholder:"20s" help:"How long one merchant's incident waits for a wider one that explains it (20s)."`
}

func (f *alertFlags) fill(o *config.Overrides) {
	o.SlackChannel, o.SlackAPIURL, o.Merchants, o.Language = f.SlackChannel, f.SlackAPIURL, f.Merchants, f.Language
	o.Window, o.ResolveAfter, o.Hold = f.Window, f.ResolveAfter, f.Hold
}

// settings are a configuration with everything read that it names.
type settings struct {
	*config.Config
	profiles  map[string]*fleet.Profile // by acquirer
	merchants []fleet.Merchant
	regions   map[string]string // by acquirer/merchant
	webhook   config.Secret
}

// load reads the configuration: defaults, then the file, then environment and flags. It reports everything that is
// wrong at once, also in the files that the configuration names.
func load(path string, o config.Overrides, p Process) (*settings, error) {
	cfg := config.Default()
	if path != "" {
		var err error
		if cfg, err = config.Load(path); err != nil {
			return nil, err
		}
	}
	if v := p.Getenv("SLACK_BOT_TOKEN"); v != "" {
		o.SlackToken = new(config.Secret(v))
	}
	errs := []error{o.Apply(cfg)}
	if errs[0] == nil {
		errs[0] = cfg.Resolve(p.Getenv)
	}
	s := &settings{Config: cfg, profiles: map[string]*fleet.Profile{}, regions: map[string]string{}, webhook: config.Secret(p.Getenv("SLACK_WEBHOOK_URL"))}
	for id, a := range cfg.Acquirers {
		profile, err := openProfile(a.Profile)
		if err != nil {
			errs = append(errs, fmt.Errorf("acquirers.%s.profile: %w", id, err))
		}
		s.profiles[id] = profile
	}
	if cfg.Alert.Merchants != "" {
		m, err := readMerchants(cfg.Alert.Merchants)
		s.useMerchants(m)
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

func (s *settings) useMerchants(ms []fleet.Merchant) {
	s.merchants = ms
	for _, m := range ms {
		if m.Region != "" {
			s.regions[m.Acquirer+"/"+m.Merchant] = m.Region
		}
	}
}

// openProfile returns a built-in code profile, or reads an acquirer's own from its file.
func openProfile(name string) (*fleet.Profile, error) {
	p, err := fleet.LookupProfile(name)
	if err == nil {
		return p, nil
	}
	f, ferr := os.Open(name)
	if ferr != nil {
		return nil, fmt.Errorf("%w; nor is it a file: %w", err, ferr)
	}
	defer f.Close()
	return fleet.ParseProfile(name, f)
}

func readMerchants(path string) ([]fleet.Merchant, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("alert.merchants: %w", err)
	}
	defer f.Close()
	return registry.ReadMerchants(path, f)
}

// profile returns an acquirer's code profile; one that is not configured has the default's.
func (s *settings) profile(acquirer string) *fleet.Profile {
	if p := s.profiles[acquirer]; p != nil {
		return p
	}
	p, err := fleet.LookupProfile(config.DefaultAcquirer().Profile)
	if err != nil {
		panic(err) // the default is built in, and a test looks it up
	}
	return p
}

func (s *settings) layout() bus.Layout {
	x := s.Streams
	return bus.Layout{
		Replicas: x.Replicas, TxnMaxBytes: int64(x.TxnMaxBytes), HBMaxBytes: int64(x.HBMaxBytes), DerivedMaxBytes: int64(x.DerivedMaxBytes),
		ControlMaxBytes: int64(x.ControlMaxBytes), DLQMaxBytes: int64(x.DLQMaxBytes), DLQPerTerminal: int64(x.DLQPerTerminal),
	}
}

// frame is what every service has: log, metrics, health, and the page that shows them.
type frame struct {
	log      *slog.Logger
	registry *prometheus.Registry
	health   *service.Health
	server   *service.Server
}

// The conditions of health.
const (
	conditionBus    = "bus"
	conditionInflux = "influx"
	conditionAlerts = "alerter"
	conditionSlack  = "slack"
)

func newFrame(s *settings, p Process, conditions ...string) (*frame, error) {
	log, err := service.NewLogger(p.Stderr, s.Log.Level, s.Log.Format)
	if err != nil {
		return nil, err
	}
	table := map[string]service.Condition{
		conditionBus: {Name: conditionBus, Title: "NATS cannot be used", Severity: fleet.SeverityCritical, Required: true,
			Hint: "check that the server runs and that nats.url is its address"},
		conditionInflux: {Name: conditionInflux, Title: "InfluxDB does not take writes", Severity: fleet.SeverityCritical, Required: true,
			Hint: "check that the server runs, its disk has room, and that token and buckets are right; nothing is lost meanwhile"},
	}
	table[conditionAlerts] = service.Condition{Name: conditionAlerts, Title: "nobody is watching from this process", Severity: fleet.SeverityCritical, Required: true,
		DependsOn: []string{conditionBus}, Hint: "the log says why the alerter starts again and again"}
	table[conditionSlack] = service.Condition{Name: conditionSlack, Title: "incidents do not reach Slack", Severity: fleet.SeverityCritical,
		Hint: "check the token, the channel and whether Slack is reachable; what waits is sent when it is"}
	health, err := service.NewHealth(log)
	if err != nil {
		return nil, err
	}
	for _, name := range conditions {
		if err := health.Register(table[name]); err != nil {
			return nil, err
		}
	}
	f := &frame{log: log, registry: prometheus.NewRegistry(), health: health}
	f.server, err = service.NewServer(service.Options{Addr: s.MetricsAddr, Registry: f.registry, Health: health, Logger: log})
	return f, err
}

// connect waits for the server and makes streams and buckets. A server whose configuration breaks a guarantee is an
// error at once; one that is not there is waited for.
func (f *frame) connect(ctx context.Context, s *settings, name string) (*bus.Conn, error) {
	for {
		c, err := f.tryConnect(ctx, s, name)
		if err == nil {
			f.health.Set(conditionBus, nil)
			return c, nil
		}
		if _, wrong := errors.AsType[bus.LayoutError](err); wrong || errors.Is(err, bus.ErrNoRoom) {
			return nil, err
		}
		f.health.Set(conditionBus, err)
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(time.Second):
		}
	}
}

func (f *frame) tryConnect(ctx context.Context, s *settings, name string) (*bus.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	c, err := bus.Connect(ctx, bus.Options{URL: s.NATS.URL, Creds: s.NATS.Creds, User: s.NATS.User, Password: string(s.NATS.Password), Name: name, Logger: f.log})
	if err != nil {
		return nil, err
	}
	if err := c.Ensure(ctx, s.layout()); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// watch keeps the condition of the bus true to the connection until ctx ends. The collector's lanes set it too, when
// nothing can be fetched over a connection that stands.
func (f *frame) watch(ctx context.Context, c *bus.Conn) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		switch connected := c.Connected(); {
		case !connected && !away:
			away = true
			f.health.Set(conditionBus, errors.New("connection lost, reconnecting"))
		case connected && away:
			away = false
			f.health.Set(conditionBus, nil)
		}
	}
}

// wedgedAfter is how long a loop may be silent; each beats every few seconds, and a request to the bus or the database
// that hangs ends long before.
const wedgedAfter = 5 * time.Minute

// pulse watches one loop of the process.
func (f *frame) pulse(name string) (beat, stop func()) {
	p := f.health.Pulse(name, wedgedAfter)
	return p.Beat, p.Stop
}

// database opens the client and makes the buckets. A server that is not there yet is waited for; a token that may not
// make buckets is no error, since they may be there: the first write tells.
func (f *frame) database(ctx context.Context, s *settings) (*influx.Client, error) {
	c, err := influx.New(influx.Options{URL: s.Influx.URL, Token: influx.Token(s.Influx.Token), Org: s.Influx.Org})
	if err != nil {
		return nil, err
	}
	for {
		err := c.EnsureBuckets(ctx, schema.Buckets)
		switch influx.ClassOf(err) {
		case "":
			f.health.Set(conditionInflux, nil)
			return c, nil
		case influx.Unauthorised, influx.BucketMissing: // the organization, for a token that may not look it up
			f.log.Warn("buckets not made, going on as if they were there; the first write tells", "err", err)
			f.health.Set(conditionInflux, nil)
			return c, nil
		case influx.Conflict:
			c.Close()
			return nil, err
		}
		f.health.Set(conditionInflux, err)
		select {
		case <-ctx.Done():
			c.Close()
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(time.Second):
		}
	}
}
