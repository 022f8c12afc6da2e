package config

import "time"

// Config is the whole configuration. Default gives every value that a file does not state.
type Config struct {
	NATS        NATS                `yaml:"nats"`
	Influx      Influx              `yaml:"influx"`
	MetricsAddr string              `yaml:"metrics_addr"` // host:port of /healthz, /readyz and /metrics; port 0 takes a free one
	Log         Log                 `yaml:"log"`
	Language    string              `yaml:"language"`  // en or zh: the language of what people are told
	Acquirers   map[string]Acquirer `yaml:"acquirers"` // by acquirer id
	Streams     Streams             `yaml:"streams"`
	Collect     Collect             `yaml:"collect"`
	Alert       Alert               `yaml:"alert"`
	Checks      map[string]Check    `yaml:"checks"` // by check id; always holds every known check

	where map[string]place // where a key was stated; keys that nobody stated are missing
	file  string           // name of the file, "" for defaults only
}

// NATS is how to reach the bus.
type NATS struct {
	URL   string `yaml:"url"`   // nats, tls, ws or wss; several servers of one cluster are separated by commas
	Creds string `yaml:"creds"` // path of a credentials file; "" for none

	User         string `yaml:"user"`          // for a server with users; "" for none
	Password     Secret `yaml:"-"`             // of User; never in the file: it comes from the environment, or from PasswordFile
	PasswordFile string `yaml:"password_file"` // path of a file that holds the password alone
}

// Influx is how to reach the database.
type Influx struct {
	URL       string `yaml:"url"`        // http or https, of a 1.8 or 2.x server
	Token     Secret `yaml:"token"`      // 2.x: an API token; 1.8: user:password, or empty without authentication
	TokenFile string `yaml:"token_file"` // path of a file that holds the token alone
	Org       string `yaml:"org"`        // 2.x only
}

// Log is how the process writes its log.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text, json
}

// Acquirer is what has to be known of one acquirer.
type Acquirer struct {
	Name      string    `yaml:"name"`      // for people
	Timezone  string    `yaml:"timezone"`  // IANA name
	Profile   string    `yaml:"profile"`   // unionpay, iso8583-1987 or the path of a code profile
	Source    string    `yaml:"source"`    // terminal, switch: the one authoritative source of its transactions
	Volume    string    `yaml:"volume"`    // approvals (each is sent) or totals (counted from heartbeats)
	Directory Directory `yaml:"directory"` // how to ask it about a merchant number
}

// Directory is an acquirer's API that answers about merchant numbers. An empty URL means that it has none.
type Directory struct {
	URL       string        `yaml:"url"` // with {acquirer} and {merchant} in it
	Token     Secret        `yaml:"token"`
	TokenFile string        `yaml:"token_file"`
	Timeout   time.Duration `yaml:"timeout"` // of one request
	Rate      float64       `yaml:"rate"`    // requests a second at most
	Retries   int           `yaml:"retries"` // after the first attempt
}

// Streams bounds what the bus keeps.
type Streams struct {
	Replicas        int   `yaml:"replicas"`
	TxnMaxBytes     Bytes `yaml:"txn_max_bytes"`
	HBMaxBytes      Bytes `yaml:"hb_max_bytes"`
	DerivedMaxBytes Bytes `yaml:"derived_max_bytes"`
	ControlMaxBytes Bytes `yaml:"control_max_bytes"`
	DLQMaxBytes     Bytes `yaml:"dlq_max_bytes"`
	DLQPerTerminal  int   `yaml:"dlq_per_terminal"` // dead letters kept of one terminal
}

// Collect tunes the collector.
type Collect struct {
	Batch           int           `yaml:"batch"`   // messages a write
	Writers         int           `yaml:"writers"` // writes in flight
	AckWait         time.Duration `yaml:"ack_wait"`
	MaxAckPending   int           `yaml:"max_ack_pending"`  // messages delivered and not acknowledged yet
	TerminalsCached int           `yaml:"terminals_cached"` // terminals whose last written facts are remembered
	StopTimeout     time.Duration `yaml:"stop_timeout"`
}

// Alert tunes the alerter.
type Alert struct {
	Window       time.Duration `yaml:"window"`        // in which the rule floor counts
	ResolveAfter time.Duration `yaml:"resolve_after"` // an incident resolves when its rule has not held for so long
	Hold         time.Duration `yaml:"hold"`          // openings of merchants and terminals wait so long for a parent; 0 for not at all
	Merchants    string        `yaml:"merchants"`     // path of a merchants CSV; "" for none
	Slack        Slack         `yaml:"slack"`
	StopTimeout  time.Duration `yaml:"stop_timeout"`
}

// Slack is where incidents are posted. Without a token they are rendered to the terminal.
type Slack struct {
	Channel string `yaml:"channel"` // id (C0123456789); by #name it cannot be searched after a crash
	APIURL  string `yaml:"api_url"` // methods are appended to it, after a slash
	Token   Secret `yaml:"-"`       // never in the file: it comes from the environment
}

// Check is when and how a periodic check runs.
type Check struct {
	Schedule    string        `yaml:"schedule"` // five cron fields or a descriptor such as @daily
	Timezone    string        `yaml:"timezone"` // in which Schedule is read
	Enabled     bool          `yaml:"enabled"`
	Concurrency int           `yaml:"concurrency"` // questions in flight
	Timeout     time.Duration `yaml:"timeout"`     // of one run
}

// Default returns the configuration of an empty file.
func Default() *Config {
	return &Config{
		NATS:        NATS{URL: "nats://127.0.0.1:4222"},
		Influx:      Influx{URL: "http://127.0.0.1:8086", Org: "tillwatch"},
		MetricsAddr: "127.0.0.1:9464",
		Log:         Log{Level: "info", Format: "text"},
		Language:    "en",
		Acquirers:   map[string]Acquirer{},
		Streams: Streams{
			Replicas:        1,
			TxnMaxBytes:     8 * GiB,
			HBMaxBytes:      2 * GiB,
			DerivedMaxBytes: 1 * GiB,
			ControlMaxBytes: 1 * GiB,
			DLQMaxBytes:     256 * MiB,
			DLQPerTerminal:  1000,
		},
		Collect: Collect{
			Batch:           2000,
			Writers:         2,
			AckWait:         60 * time.Second,
			MaxAckPending:   100_000,
			TerminalsCached: 150_000,
			StopTimeout:     20 * time.Second,
		},
		Alert: Alert{
			Window:       5 * time.Minute,
			ResolveAfter: 5 * time.Minute,
			Hold:         20 * time.Second,
			Slack:        Slack{APIURL: "https://slack.com/api/"},
			StopTimeout:  20 * time.Second,
		},
		Checks: map[string]Check{
			"merchant-status": {Schedule: "17 3 * * *", Timezone: "Asia/Shanghai", Enabled: true, Concurrency: 8, Timeout: 10 * time.Minute},
		},
	}
}

// DefaultAcquirer returns the settings of an acquirer that states none.
func DefaultAcquirer() Acquirer {
	return Acquirer{
		Timezone:  "Asia/Shanghai",
		Profile:   "unionpay",
		Source:    "terminal",
		Volume:    "approvals",
		Directory: Directory{Timeout: 5 * time.Second, Rate: 20, Retries: 3},
	}
}

// Acquirer returns the settings of an acquirer, and whether it is configured; one that is not has the defaults.
func (c *Config) Acquirer(id string) (a Acquirer, configured bool) {
	if a, ok := c.Acquirers[id]; ok {
		return a, true
	}
	return DefaultAcquirer(), false
}

// File returns the name of the file that the configuration was read from, "" for none.
func (c *Config) File() string { return c.file }
