package config

import (
	"strings"
	"time"
)

// Overrides are the values given by flags or environment variables; nil is one that was not given. Apply knows each by
// the flag's name, nats-url for NATSURL, and by the variable TILLWATCH_ and the flag's name, TILLWATCH_NATS_URL; the
// command line sees to it that a flag beats its variable.
type Overrides struct {
	NATSURL         *string
	NATSCreds       *string
	NATSUser        *string
	NATSPassword    *Secret
	InfluxURL       *string
	InfluxToken     *Secret
	InfluxTokenFile *string
	InfluxOrg       *string
	MetricsAddr     *string
	LogLevel        *string
	LogFormat       *string
	Language        *string
	Window          *time.Duration
	ResolveAfter    *time.Duration
	Hold            *time.Duration
	Merchants       *string
	SlackChannel    *string
	SlackAPIURL     *string
	SlackToken      *Secret // of the variable SLACK_BOT_TOKEN alone: a flag would show it to everybody on the machine
}

// Apply puts the given values over those of c, and checks the whole again. Problems of an overridden key name its flag
// and variable instead of the file.
func (o Overrides) Apply(c *Config) error {
	if o.InfluxToken != nil && o.InfluxTokenFile == nil {
		c.Influx.TokenFile = "" // one form given above the file replaces the other form in it
	}
	if o.InfluxTokenFile != nil && o.InfluxToken == nil {
		c.Influx.Token = ""
	}
	set(c, "nats.url", "nats-url", &c.NATS.URL, o.NATSURL)
	set(c, "nats.creds", "nats-creds", &c.NATS.Creds, o.NATSCreds)
	set(c, "nats.user", "nats-user", &c.NATS.User, o.NATSUser)
	if o.NATSPassword != nil {
		c.NATS.PasswordFile = "" // given above the file, it replaces the form in it
	}
	set(c, "nats.password", "nats-password", &c.NATS.Password, o.NATSPassword)
	set(c, "influx.url", "influx-url", &c.Influx.URL, o.InfluxURL)
	set(c, "influx.token", "influx-token", &c.Influx.Token, o.InfluxToken)
	set(c, "influx.token_file", "influx-token-file", &c.Influx.TokenFile, o.InfluxTokenFile)
	set(c, "influx.org", "influx-org", &c.Influx.Org, o.InfluxOrg)
	set(c, "metrics_addr", "metrics-addr", &c.MetricsAddr, o.MetricsAddr)
	set(c, "log.level", "log-level", &c.Log.Level, o.LogLevel)
	set(c, "log.format", "log-format", &c.Log.Format, o.LogFormat)
	set(c, "language", "language", &c.Language, o.Language)
	set(c, "alert.window", "window", &c.Alert.Window, o.Window)
	set(c, "alert.resolve_after", "resolve-after", &c.Alert.ResolveAfter, o.ResolveAfter)
	set(c, "alert.hold", "hold", &c.Alert.Hold, o.Hold)
	set(c, "alert.merchants", "merchants", &c.Alert.Merchants, o.Merchants)
	set(c, "alert.slack.channel", "slack-channel", &c.Alert.Slack.Channel, o.SlackChannel)
	set(c, "alert.slack.api_url", "slack-api-url", &c.Alert.Slack.APIURL, o.SlackAPIURL)
	if o.SlackToken != nil {
		c.Alert.Slack.Token = *o.SlackToken
	}
	return c.Validate()
}

func set[T any](c *Config, key, flag string, dst, given *T) {
	if given == nil {
		return
	}
	*dst = *given
	if c.where == nil {
		c.where = map[string]place{}
	}
	c.where[key] = place{file: "--" + flag + " or " + variable(flag)}
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "TILLWATCH_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
