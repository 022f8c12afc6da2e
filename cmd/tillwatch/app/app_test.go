package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tillwatch/tillwatch/cmd/tillwatch/app"
)

// command runs one command line in this process.
func command(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = app.Run(t.Context(), args, app.Process{Getenv: func(k string) string { return env[k] }, Stdout: &out, Stderr: &errs})
	return code, out.String(), errs.String()
}

func TestHelpAndUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want []string // in either stream
	}{
		{[]string{"--help"}, 0, []string{"无效商户", "TILLWATCH_NATS_URL", "collect", "simulate"}},
		{[]string{"collect", "--help"}, 0, []string{"--influx-url", "--influx-token", "--influx-org", "--nats-url", "--metrics-addr", "--config", "--validate", "Examples:"}},
		{[]string{"alert", "--help"}, 0, []string{"--slack-api-url", "--slack-channel", "--merchants", "SLACK_BOT_TOKEN", "SLACK_WEBHOOK_URL", "SLACK_APP_TOKEN", "Examples:"}},
		{[]string{"simulate", "--help"}, 0, []string{"--terminals", "--seed", "--speed", "--for", "--scenario", "--out", "--registry-out", "--truth", "Examples:"}},
		{[]string{"up", "--help"}, 0, []string{"--demo", "--data-dir", "--influxd", "endpoints.json", "Examples:"}},
		{[]string{"version"}, 0, []string{"tillwatch", "go1."}},
		{[]string{}, 2, []string{"expected one of", "tillwatch --help"}},
		{[]string{"colect"}, 2, []string{"colect", "did you mean", "collect"}},
		{[]string{"collect", "--nats"}, 2, []string{"--nats"}},
		{[]string{"simulate", "--speed", "fast"}, 1, []string{`--speed is "fast"`, "max"}},
		{[]string{"simulate", "--terminals", "many"}, 2, []string{"--terminals", "many"}},
	} {
		code, out, errs := command(t, nil, c.args...)
		if code != c.code {
			t.Errorf("%v: exit code %d, want %d\n%s%s", c.args, code, c.code, out, errs)
		}
		for _, w := range c.want {
			if !strings.Contains(out+errs, w) {
				t.Errorf("%v: %q is not in the output:\n%s%s", c.args, w, out, errs)
			}
		}
		if c.code == 0 && errs != "" {
			t.Errorf("%v: wrote to stderr: %s", c.args, errs)
		}
	}
}

func TestVersionJSON(t *testing.T) {
	code, out, _ := command(t, nil, "version", "--json")
	var v map[string]any
	if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil || v["Go"] == "" {
		t.Errorf("code %d, %q: %v", code, out, err)
	}
}

// TestValidate checks, for each service, that a good configuration is accepted without any server, and that everything
// wrong is said at once.
func TestValidate(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	merchants := filepath.Join(dir, "merchants.csv")
	write(t, merchants, "acquirer,merchant,name,region\na1,098440153110001,小店,r1\na1,898440153110002,b,r2\n")
	write(t, good, "acquirers:\n  a1: {profile: unionpay, directory: {url: \"http://127.0.0.1:1/v1/acquirers/{acquirer}/merchants/{merchant}\"}}\nalert: {merchants: "+merchants+"}\n")
	write(t, bad, "nats: {url: 17}\nacquirers:\n  a_1: {profile: visa, timezone: Mars/Olympus}\nalert: {windw: 5m}\nchecks:\n  merchant-status: {schedule: \"61 * * * *\"}\n")
	for _, cmd := range []string{"collect", "alert", "up"} {
		code, out, errs := command(t, nil, cmd, "--config", good, "--validate")
		if code != 0 || !strings.Contains(out, "configuration is valid") || !strings.Contains(out, "1 acquirers, 2 merchants") {
			t.Errorf("%s: code %d\n%s%s", cmd, code, out, errs)
		}
		code, out, errs = command(t, nil, cmd, "--config", bad, "--validate")
		if code != 1 || out != "" {
			t.Errorf("%s: code %d, stdout %q", cmd, code, out)
		}
		for _, w := range []string{"bad.yaml:1", "bad.yaml:3", "a_1", "Mars/Olympus", "windw", "window", "61 * * * *"} {
			if !strings.Contains(errs, w) {
				t.Errorf("%s: %q is not in:\n%s", cmd, w, errs)
			}
		}
	}
	if code, _, errs := command(t, nil, "alert", "--merchants", filepath.Join(dir, "none.csv"), "--validate"); code != 1 || !strings.Contains(errs, "none.csv") {
		t.Errorf("missing merchants file: code %d, %s", code, errs)
	}
	broken := filepath.Join(dir, "broken.csv")
	write(t, broken, "acquirer,merchant\na1,898440153110001\na 1,x\na1,898440153110001\n")
	if code, _, errs := command(t, nil, "alert", "--merchants", broken, "--validate"); code != 1 || !strings.Contains(errs, "broken.csv:3") || !strings.Contains(errs, "broken.csv:4") {
		t.Errorf("broken merchants file: code %d, %s", code, errs)
	}
}

// TestPrecedence checks flag over environment over file: the value that wins is the one that validation names.
func TestPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t.yaml")
	write(t, file, "influx: {url: \"http://file.test:8086\"}\n")
	env := map[string]string{"TILLWATCH_INFLUX_URL": "ftp://env.test"}
	for _, c := range []struct {
		env  map[string]string
		args []string
		code int
		want string
	}{
		{nil, nil, 0, "valid"},
		{env, nil, 1, "ftp://env.test"},
		{env, []string{"--influx-url", "ftp://flag.test"}, 1, "ftp://flag.test"},
		{env, []string{"--influx-url", "http://flag.test"}, 0, "valid"},
	} {
		code, out, errs := command(t, c.env, append([]string{"collect", "--config", file, "--validate"}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%v %v: code %d, want %d and %q in:\n%s%s", c.env, c.args, code, c.code, c.want, out, errs)
		}
	}
}

// TestSecretsStayHidden runs a command that fails with secrets set and looks for them in everything it says.
func TestSecretsStayHidden(t *testing.T) {
	env := map[string]string{"SLACK_BOT_TOKEN": "xoxb-very-secret", "SLACK_WEBHOOK_URL": "http://hooks.test/very-secret", "TILLWATCH_INFLUX_TOKEN": "very-secret"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	p := app.Process{Getenv: func(k string) string { return env[k] }, Stdout: &out, Stderr: &out}
	for _, args := range [][]string{
		{"alert", "--slack-channel", "C1", "--nats-url", "nats://127.0.0.1:1", "--metrics-addr", "127.0.0.1:0", "--log-level", "debug"},
		{"collect", "--nats-url", "nats://127.0.0.1:1", "--metrics-addr", "127.0.0.1:0", "--log-level", "debug"},
		{"alert", "--validate"}, {"collect", "--validate", "--influx-org", ""},
	} {
		app.Run(ctx, args, p)
	}
	if strings.Contains(out.String(), "very-secret") {
		t.Errorf("a secret was shown:\n%s", out.String())
	}
}

// TestSimulateFiles writes the same fleet twice and another once.
func TestSimulateFiles(t *testing.T) {
	dir := t.TempDir()
	scenario := filepath.Join(dir, "s.yaml")
	write(t, scenario, "faults:\n  - {start: 1m, for: 5m, cause: software_conflict, code: \"03\", rate: 0.8, scope: {acquirer: a1, app: 2.4.1}}\n")
	files := map[string][]byte{}
	for _, x := range []struct{ name, seed string }{{"a", "7"}, {"b", "7"}, {"c", "8"}} {
		out := filepath.Join(dir, x.name+".jsonl")
		code, _, errs := command(t, nil, "simulate", "--terminals", "50", "--seed", x.seed, "--for", "20m", "--scenario", scenario,
			"--always-open", "--rate", "60", "--out", out, "--registry-out", filepath.Join(dir, x.name), "--truth", filepath.Join(dir, x.name+".truth"))
		if code != 0 || !strings.Contains(errs, "events") {
			t.Fatalf("code %d: %s", code, errs)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		files[x.name] = data
		for _, f := range []string{x.name + ".truth", x.name + "/merchants.csv", x.name + "/terminals.csv", x.name + "/catalog.csv", x.name + "/params.csv", x.name + "/licences.csv"} {
			if st, err := os.Stat(filepath.Join(dir, f)); err != nil || st.Size() == 0 {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
	if !bytes.Equal(files["a"], files["b"]) {
		t.Error("the same seed gave other events")
	}
	if bytes.Equal(files["a"], files["c"]) {
		t.Error("another seed gave the same events")
	}
	write(t, scenario, "faults:\n  - {start: soon, for: 5m, cause: gremlins, code: \"03\", rate: 8, scope: {planet: mars}}\n")
	code, _, errs := command(t, nil, "simulate", "--scenario", scenario, "--out", filepath.Join(dir, "d.jsonl"))
	for _, w := range []string{"s.yaml:2", "soon", "planet"} {
		if code != 1 || !strings.Contains(errs, w) {
			t.Errorf("code %d: %q is not in %s", code, w, errs)
		}
	}
}
