package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones are known too where the machine has no zone files, such as in a scratch image

	"github.com/robfig/cron/v3"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Validate checks every value, however it came here, and reports all problems at once. The error is of type Problems.
func (c *Config) Validate() error {
	ps := c.check()
	ps.sort()
	return ps.Err()
}

// check collects problems in the order of the tree.
func (c *Config) check() Problems {
	k := &checker{c: c}
	k.urls("nats.url", c.NATS.URL, "nats", "tls", "ws", "wss")
	k.url("influx.url", c.Influx.URL, "http", "https")
	k.oneSecret("influx", c.Influx.Token, c.Influx.TokenFile)
	k.hostPort("metrics_addr", c.MetricsAddr)
	k.enum("log.level", c.Log.Level, "debug", "info", "warn", "error")
	k.enum("log.format", c.Log.Format, "text", "json")
	k.enum("language", c.Language, "en", "zh")
	for _, id := range sortedKeys(c.Acquirers) {
		k.acquirer("acquirers."+id, id, c.Acquirers[id])
	}
	k.streams(c.Streams)
	k.collect(c.Collect)
	k.alert(c.Alert)
	for _, id := range sortedKeys(c.Checks) {
		k.schedule("checks."+id, c.Checks[id])
	}
	return k.problems
}

type checker struct {
	c        *Config
	problems Problems
}

func (k *checker) report(key, got, want string) {
	p := Problem{File: k.c.file, Key: key, Got: got, Want: want}
	for at := key; at != ""; { // a key that was not stated is reported at the nearest one above it
		if w, ok := k.c.where[at]; ok {
			p.File, p.Line, p.Column = w.file, w.line, w.column
			break
		}
		i := strings.LastIndexByte(at, '.')
		at = at[:max(i, 0)]
	}
	k.problems = append(k.problems, p)
}

// natsUser checks that a user has one password, and is the only way in. It is asked once everything is given: a file
// may name the user and leave the password to the environment.
func (k *checker) natsUser(n NATS) {
	given := "" // the key that the password came by; Apply sees to it that there is one
	switch {
	case n.Password != "":
		given = "nats.password"
	case n.PasswordFile != "":
		given = "nats.password_file"
	}
	switch {
	case n.User != "" && n.Creds != "":
		k.report("nats.user", "user and creds", "one of them")
	case n.User != "" && given == "":
		k.report("nats.user", "a user without a password", "the environment variable TILLWATCH_NATS_PASSWORD, or password_file")
	case n.User == "" && given != "":
		k.report(given, "a password without a user", "nats.user, or the environment variable TILLWATCH_NATS_USER")
	}
}

func (k *checker) acquirer(key, id string, a Acquirer) {
	if !fleet.ValidAcquirer(id) {
		k.report(key, quote(id), "an acquirer id of 1 to 32 letters, digits and hyphens that starts with a letter or digit")
	}
	k.zone(key+".timezone", a.Timezone)
	if builtin := []string{"unionpay", "iso8583-1987"}; !slices.Contains(builtin, a.Profile) && !strings.ContainsAny(a.Profile, `./\`) {
		k.report(key+".profile", quote(a.Profile), oneOf(a.Profile, builtin)+", or the path of a profile file")
	}
	k.enum(key+".source", a.Source, "terminal", "switch")
	k.enum(key+".volume", a.Volume, "approvals", "totals")
	key += ".directory"
	if a.Directory.URL != "" {
		k.template(key+".url", a.Directory.URL)
	}
	k.oneSecret(key, a.Directory.Token, a.Directory.TokenFile)
	k.between(key+".timeout", a.Directory.Timeout, time.Millisecond, 5*time.Minute)
	if !(a.Directory.Rate > 0 && a.Directory.Rate <= 100_000) {
		k.report(key+".rate", fmt.Sprint(a.Directory.Rate), "requests a second, more than 0 and at most 100000")
	}
	k.count(key+".retries", a.Directory.Retries, 0, 20)
}

func (k *checker) streams(s Streams) {
	k.count("streams.replicas", s.Replicas, 1, 5)
	for _, f := range []struct {
		key  string
		size Bytes
	}{
		{"txn_max_bytes", s.TxnMaxBytes}, {"hb_max_bytes", s.HBMaxBytes}, {"derived_max_bytes", s.DerivedMaxBytes},
		{"control_max_bytes", s.ControlMaxBytes}, {"dlq_max_bytes", s.DLQMaxBytes},
	} {
		if f.size < MiB {
			k.report("streams."+f.key, f.size.String(), "at least 1MiB")
		}
	}
	k.count("streams.dlq_per_terminal", s.DLQPerTerminal, 1, 1_000_000)
}

func (k *checker) collect(o Collect) {
	k.count("collect.batch", o.Batch, 1, 50_000)
	k.count("collect.writers", o.Writers, 1, 64)
	k.between("collect.ack_wait", o.AckWait, time.Second, time.Hour)
	// A fetch larger than what may be pending crawls: the server sends it in small pieces, one ack at a time.
	if need := o.Batch * o.Writers; o.MaxAckPending < need {
		k.report("collect.max_ack_pending", strconv.Itoa(o.MaxAckPending), fmt.Sprintf("at least batch × writers, %d", need))
	}
	k.count("collect.terminals_cached", o.TerminalsCached, 1, 100_000_000)
	k.between("collect.stop_timeout", o.StopTimeout, time.Millisecond, 10*time.Minute)
}

func (k *checker) alert(a Alert) {
	k.between("alert.window", a.Window, time.Second, 24*time.Hour)
	k.between("alert.resolve_after", a.ResolveAfter, time.Second, 24*time.Hour)
	k.between("alert.hold", a.Hold, 0, time.Hour)
	if strings.ContainsAny(a.Slack.Channel, " \t\r\n,") {
		k.report("alert.slack.channel", quote(a.Slack.Channel), "one channel, by id (C0123456789) or #name")
	}
	k.url("alert.slack.api_url", a.Slack.APIURL, "http", "https")
	k.between("alert.stop_timeout", a.StopTimeout, time.Millisecond, 10*time.Minute)
}

func (k *checker) schedule(key string, c Check) {
	const fields = "five cron fields (minute hour day-of-month month day-of-week) such as \"17 3 * * *\", or @daily"
	if strings.HasPrefix(c.Schedule, "TZ=") || strings.HasPrefix(c.Schedule, "CRON_TZ=") {
		k.report(key+".schedule", quote(c.Schedule), "no zone in the schedule: it has the key timezone")
	} else if s, err := cron.ParseStandard(c.Schedule); err != nil {
		k.report(key+".schedule", quote(c.Schedule), fields+" ("+err.Error()+")")
	} else if s.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() { // cron looks five years ahead, a leap day included
		k.report(key+".schedule", quote(c.Schedule), "a day that the calendar has")
	}
	k.zone(key+".timezone", c.Timezone)
	k.count(key+".concurrency", c.Concurrency, 1, 1000)
	k.between(key+".timeout", c.Timeout, time.Second, 24*time.Hour)
}

func (k *checker) enum(key, got string, known ...string) {
	if !slices.Contains(known, got) {
		k.report(key, quote(got), oneOf(got, known))
	}
}

func (k *checker) count(key string, got, least, most int) {
	if got < least || got > most {
		k.report(key, strconv.Itoa(got), fmt.Sprintf("a number from %d to %d", least, most))
	}
}

func (k *checker) between(key string, got, least, most time.Duration) {
	if got < least || got > most {
		k.report(key, got.String(), fmt.Sprintf("a duration from %s to %s", least, most))
	}
}

// zone refuses "" and Local beside unknown names: both would mean something else on another machine.
func (k *checker) zone(key, name string) {
	if _, err := time.LoadLocation(name); err != nil || name == "" || name == "Local" {
		k.report(key, quote(name), "the IANA name of a time zone, such as Asia/Shanghai or UTC")
	}
}

func (k *checker) hostPort(key, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || strings.ContainsAny(host, "/@ ") {
		k.report(key, quote(maskCredentials(addr)), "host:port with a port from 0 to 65535, such as 127.0.0.1:9464")
	}
}

func (k *checker) oneSecret(key string, token Secret, file string) {
	if token != "" && file != "" {
		k.report(key+".token_file", "token and token_file", "one of them")
	}
}

// urls checks a comma-separated list, as NATS clients take the servers of one cluster.
func (k *checker) urls(key, list string, schemes ...string) {
	for one := range strings.SplitSeq(list, ",") {
		if !k.url(key, strings.TrimSpace(one), schemes...) {
			return
		}
	}
}

// url wants a server's address with no credentials in it: a URL ends in logs and error messages.
func (k *checker) url(key, raw string, schemes ...string) bool {
	u, err := url.Parse(raw)
	switch {
	case err != nil || !slices.Contains(schemes, u.Scheme) || u.Hostname() == "":
		k.report(key, quote(maskCredentials(raw)), strings.Join(schemes, ", ")+" followed by ://host:port")
	case u.User != nil:
		k.report(key, quote(maskCredentials(raw)), "no user and password in the URL: they have keys of their own")
	case u.RawQuery != "" || u.Fragment != "":
		k.report(key, quote(maskCredentials(raw)), "no query and no fragment in the URL")
	default:
		return true
	}
	return false
}

// template checks a directory's URL, which holds {acquirer} and {merchant}.
func (k *checker) template(key, raw string) {
	filled := strings.NewReplacer("{acquirer}", "a", "{merchant}", "m").Replace(raw)
	u, err := url.Parse(filled)
	shown := quote(maskCredentials(raw))
	switch {
	case strings.ContainsAny(filled, "{}"):
		k.report(key, shown, "no placeholders but {acquirer} and {merchant}")
	case !strings.Contains(raw, "{merchant}"):
		k.report(key, shown, "{merchant} where the merchant number goes")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		k.report(key, shown, "a URL such as https://api.example.com/v1/acquirers/{acquirer}/merchants/{merchant}")
	case u.User != nil:
		k.report(key, shown, "no user and password in the URL: the token has a key of its own")
	}
}
