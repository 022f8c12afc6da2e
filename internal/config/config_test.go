package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// values compares what is configured, not where it was stated.
var values = cmpopts.IgnoreUnexported(Config{})

func TestEmptyFileIsDefault(t *testing.T) {
	for _, data := range []string{"", "# nothing\n", "nats:\nalert:\n  hold:\nchecks:\n"} {
		c, err := Parse("x.yaml", []byte(data))
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if diff := cmp.Diff(Default(), c, values); diff != "" {
			t.Errorf("%q differs from the default:\n%s", data, diff)
		}
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("the default is not valid: %v", err)
	}
}

func TestExample(t *testing.T) {
	c, err := Parse("example.yaml", Example())
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	a := DefaultAcquirer()
	a.Name = "Example Acquirer"
	a.Directory.URL = "https://api.example.com/v1/acquirers/{acquirer}/merchants/{merchant}"
	want.Acquirers["a1"] = a
	if diff := cmp.Diff(want, c, values); diff != "" {
		t.Errorf("example is not the default and a1:\n%s", diff)
	}
	// It states every key: what Default gives silently is written out, so that a reader sees all there is.
	for _, key := range keysOf(reflect.TypeFor[Config](), "") {
		if _, ok := c.where[key]; !ok {
			t.Errorf("example does not state %s", key)
		}
	}
	for i, line := range strings.Split(string(Example()), "\n") {
		if len(line) > 130 {
			t.Errorf("line %d of the example has %d bytes", i+1, len(line))
		}
	}
}

// keysOf lists the paths of all keys a file may have; under acquirers and checks those of the entry in the example.
func keysOf(typ reflect.Type, path string) []string {
	switch typ {
	case reflect.TypeFor[map[string]Acquirer]():
		return keysOf(typ.Elem(), join(path, "a1"))
	case reflect.TypeFor[map[string]Check]():
		return keysOf(typ.Elem(), join(path, "merchant-status"))
	}
	if typ.Kind() != reflect.Struct {
		return []string{path}
	}
	var keys []string
	for field := range typ.Fields() {
		if name := field.Tag.Get("yaml"); name != "" && name != "-" {
			keys = append(keys, keysOf(field.Type, join(path, name))...)
		}
	}
	return keys
}

func TestEveryKeyIsRead(t *testing.T) {
	got, err := Parse("full.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		NATS:        NATS{URL: "tls://n1.example:4222,tls://n2.example:4222", Creds: "/etc/tillwatch/nats.creds"},
		Influx:      Influx{URL: "https://influx.example:8086", Token: "s3cr3t", Org: "shop"},
		MetricsAddr: ":0",
		Log:         Log{Level: "debug", Format: "json"},
		Language:    "zh",
		Acquirers: map[string]Acquirer{
			"007": {Name: "某某支付", Timezone: "UTC", Profile: "profiles/own.tsv", Source: "switch", Volume: "totals",
				Directory: Directory{URL: "http://127.0.0.1:8099/{acquirer}/{merchant}", TokenFile: "tok", Timeout: 1500 * time.Millisecond, Rate: 0.5}},
			"a2": DefaultAcquirer(),
		},
		Streams: Streams{Replicas: 3, TxnMaxBytes: 2 * TiB, HBMaxBytes: 512 * MiB, DerivedMaxBytes: 1048577, ControlMaxBytes: 2048 * KiB, DLQMaxBytes: 1 * MiB, DLQPerTerminal: 5},
		Collect: Collect{Batch: 4000, Writers: 4, AckWait: 30 * time.Second, MaxAckPending: 16_000, TerminalsCached: 10, StopTimeout: time.Second},
		Alert: Alert{Window: time.Minute, ResolveAfter: 20 * time.Second, Hold: 0, Merchants: "m.csv",
			Slack: Slack{Channel: "#pos-alarms", APIURL: "http://127.0.0.1:9999/api/"}, StopTimeout: 90 * time.Second},
		Checks: map[string]Check{"merchant-status": {Schedule: "@every 6h", Timezone: "Europe/Berlin", Enabled: false, Concurrency: 2, Timeout: time.Hour}},
	}
	if diff := cmp.Diff(want, got, values); diff != "" {
		t.Error(diff)
	}
	// The default of every key differs from what is read above, but for those named: none is passed over.
	for _, key := range keysOf(reflect.TypeFor[Config](), "") {
		key = strings.Replace(key, "acquirers.a1", "acquirers.007", 1)
		if _, ok := got.where[key]; !ok && key != "influx.token_file" && key != "acquirers.007.directory.token" && !userOfNATS[key] {
			t.Errorf("the file of this test does not state %s", key)
		}
	}
}

// userOfNATS are the overrides that creds excludes; TestNATSUser reads them.
var userOfNATS = map[string]bool{"nats.user": true, "nats.password": true, "nats.password_file": true}

// A user, its password and creds, given in every way: what is wrong names where it was given, and no password is shown.
func TestNATSUser(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p"), []byte("hunter-of-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	user, password := new("v"), new(Secret("hunter-given"))
	for _, x := range []struct {
		file      string
		overrides Overrides
		user      string
		password  Secret
		problem   string
	}{
		{"nats: {user: u, password_file: p}", Overrides{}, "u", "hunter-of-file", ""},
		{"nats: {user: u}", Overrides{NATSPassword: password}, "u", "hunter-given", ""},
		{"nats: {user: u, password_file: p}", Overrides{NATSPassword: password}, "u", "hunter-given", ""},
		{"nats: {user: u, password_file: p}", Overrides{NATSUser: user}, "v", "hunter-of-file", ""},
		{"", Overrides{NATSUser: user, NATSPassword: password}, "v", "hunter-given", ""},
		{"nats: {user: u}", Overrides{}, "", "", "c.yaml:1:14: nats.user: got a user without a password, want the environment variable TILLWATCH_NATS_PASSWORD"},
		{"", Overrides{NATSUser: user}, "", "", "--nats-user or TILLWATCH_NATS_USER: nats.user: got a user without a password"},
		{"nats: {user: u, password_file: p}", Overrides{NATSPassword: new(Secret(""))}, "", "", "nats.user: got a user without a password"},
		{"nats: {password_file: p}", Overrides{}, "", "", "c.yaml:1:23: nats.password_file: got a password without a user, want nats.user"},
		{"", Overrides{NATSPassword: password}, "", "", "--nats-password or TILLWATCH_NATS_PASSWORD: nats.password: got a password without a user"},
		{"nats: {user: u, password_file: p, creds: p}", Overrides{}, "", "", "c.yaml:1:14: nats.user: got user and creds, want one of them"},
		{"nats: {creds: p}", Overrides{NATSUser: user, NATSPassword: password}, "", "", "--nats-user or TILLWATCH_NATS_USER: nats.user: got user and creds"},
		{"nats: {creds: p}", Overrides{NATSPassword: password}, "", "", "nats.password: got a password without a user"},
		{"nats: {user: u, password_file: absent}", Overrides{}, "", "", "c.yaml:1:32: nats.password_file: got no file"},
	} {
		path := filepath.Join(dir, "c.yaml")
		if err := os.WriteFile(path, []byte(x.file), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil {
			t.Errorf("%s: %v", x.file, err)
			continue
		}
		if err := x.overrides.Apply(c); err != nil { // only Resolve has everything: a file may name the user alone
			t.Errorf("%s, %+v: %v", x.file, x.overrides, err)
		}
		switch err := c.Resolve(func(string) string { return "" }); {
		case x.problem == "" && (err != nil || c.NATS.User != x.user || c.NATS.Password != x.password):
			t.Errorf("%s, %+v: user %q, password %q, %v; want %q, %q", x.file, x.overrides, c.NATS.User, string(c.NATS.Password), err, x.user, string(x.password))
		case x.problem != "":
			problems, _ := errors.AsType[Problems](err)
			if len(problems) != 1 || !strings.Contains(err.Error(), x.problem) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("%s, %+v: %v; want the one problem %q", x.file, x.overrides, err, x.problem)
			}
		}
	}
	// The password itself has no place in the file, and is not repeated.
	if _, err := Parse("x.yaml", []byte("nats: {user: u, password: hunter2}")); err == nil || strings.Contains(err.Error(), "hunter") ||
		!strings.Contains(err.Error(), "x.yaml:1:17: nats.password: got an unknown key, want the password in the environment variable TILLWATCH_NATS_PASSWORD, or password_file") {
		t.Errorf("a password in the file: %v", err)
	}
}

const full = `
nats: {url: "tls://n1.example:4222,tls://n2.example:4222", creds: /etc/tillwatch/nats.creds}
influx: {url: "https://influx.example:8086", token: s3cr3t, org: shop}
metrics_addr: ":0"
log: {level: debug, format: json}
language: zh
acquirers:
  007:
    name: 某某支付
    timezone: UTC
    profile: profiles/own.tsv
    source: switch
    volume: totals
    directory: {url: "http://127.0.0.1:8099/{acquirer}/{merchant}", token_file: tok, timeout: 1.5s, rate: 0.5, retries: 0}
  a2:
streams: {replicas: 3, txn_max_bytes: 2TiB, hb_max_bytes: 512 MiB, derived_max_bytes: 1048577, control_max_bytes: 2048KiB, dlq_max_bytes: "1048576", dlq_per_terminal: 5}
collect: {batch: 4000, writers: 4, ack_wait: 30s, max_ack_pending: 16_000, terminals_cached: 10, stop_timeout: 1s}
alert: {window: 1m, resolve_after: 20s, hold: 0s, merchants: m.csv, slack: {channel: "#pos-alarms", api_url: "http://127.0.0.1:9999/api/"}, stop_timeout: 1m30s}
checks: {merchant-status: {schedule: "@every 6h", timezone: Europe/Berlin, enabled: false, concurrency: 2, timeout: 1h}}
`

func TestAcquirer(t *testing.T) {
	c, err := Parse("x.yaml", []byte("acquirers: {a1: {volume: totals}}"))
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := c.Acquirer("a1"); !ok || a.Volume != "totals" || a.Profile != "unionpay" {
		t.Errorf("a1 = %+v, %v", a, ok)
	}
	if a, ok := c.Acquirer("a2"); ok || a != DefaultAcquirer() {
		t.Errorf("a2 = %+v, %v, want the defaults and false", a, ok)
	}
}

func TestAnchors(t *testing.T) {
	c, err := Parse("x.yaml", []byte("acquirers:\n  a1: &same {volume: totals, timezone: !!str UTC}\n  a2: *same\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Acquirers["a1"] != c.Acquirers["a2"] || c.Acquirers["a2"].Timezone != "UTC" {
		t.Errorf("a1 = %+v\na2 = %+v", c.Acquirers["a1"], c.Acquirers["a2"])
	}
}

func TestLoadResolvesPaths(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tillwatch.yaml")
	data := "nats: {creds: nats.creds}\ninflux: {token_file: sub/token}\nalert: {merchants: /abs/m.csv}\nacquirers: {a1: {profile: ./own.tsv}, a2: {}}\n"
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.File() != path || c.NATS.Creds != filepath.Join(dir, "nats.creds") || c.Influx.TokenFile != filepath.Join(dir, "sub/token") ||
		c.Alert.Merchants != "/abs/m.csv" || c.Acquirers["a1"].Profile != filepath.Join(dir, "own.tsv") || c.Acquirers["a2"].Profile != "unionpay" {
		t.Errorf("%+v", c)
	}
	if _, err := Load(filepath.Join(dir, "other.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
}

// What a configuration is printed as can be read again, but for its secrets.
func TestMarshalRoundTrip(t *testing.T) {
	c, err := Parse("full.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("again.yaml", out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.Influx.Token = Secret(c.Influx.Token.String())
	if diff := cmp.Diff(c, again, values); diff != "" {
		t.Errorf("%s\n%s", diff, out)
	}
	if bytes.Contains(out, []byte("s3cr3t")) {
		t.Errorf("the token is shown:\n%s", out)
	}
}
