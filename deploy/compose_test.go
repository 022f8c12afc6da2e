package deploy_test

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/tillwatch/tillwatch/cmd/tillwatch/app"
	"github.com/tillwatch/tillwatch/internal/config"
)

const (
	repository = ".."
	composeYML = "docker-compose.yml"
)

// secrets are values for every variable that has no default, such as `openssl rand` makes. One looks like a number,
// which the servers must not take it for.
func secrets(t testing.TB) types.Mapping {
	t.Helper()
	env := types.Mapping{}
	for i, name := range wanted(t) {
		env[name] = fmt.Sprintf("%d1e5%032d", i+1, 0)
	}
	return env
}

// wanted are the variables of .env.example that have to be filled in.
func wanted(t testing.TB) (names []string) {
	t.Helper()
	raw, err := os.ReadFile(".env.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z_]+)=$`).FindAllSubmatch(raw, -1) {
		names = append(names, string(m[1]))
	}
	if len(names) == 0 {
		t.Fatal("no variable is wanted")
	}
	return names
}

// compose loads the compose file as Docker does: interpolated, validated against the schema, normalised.
func compose(t testing.TB, env types.Mapping) (*types.Project, error) {
	t.Helper()
	dir, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, composeYML)
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: dir, ConfigFiles: []types.ConfigFile{{Filename: path}}, Environment: env,
	})
}

func project(t testing.TB) *types.Project {
	t.Helper()
	p, err := compose(t, secrets(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.ServiceNames(); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"alerter", "collector", "grafana", "influxdb", "nats"}) {
		t.Fatalf("services %v", got)
	}
	return p
}

// Without a secret nothing starts, and the message names the variable.
func TestComposeWantsEverySecret(t *testing.T) {
	for _, name := range wanted(t) {
		for _, value := range []string{"", "absent"} {
			env := secrets(t)
			env[name] = value
			if value == "absent" {
				delete(env, name)
			}
			if _, err := compose(t, env); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "set it in .env") {
				t.Errorf("%s %q: %v; want an error that names it and says what to do", name, value, err)
			}
		}
	}
	// And whatever the file asks of the environment is in the example, commented out where it is optional.
	raw, err := os.ReadFile(filepath.Join(repository, composeYML))
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(".env.example")
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`\$\{([A-Z_]+)(:[-?])?`).FindAllSubmatch(raw, -1)
	for _, m := range asked {
		if len(m[2]) == 0 {
			t.Errorf("%s is neither wanted (:?) nor has a default (:-)", m[1])
		}
		if !regexp.MustCompile(`(?m)^(# )?` + string(m[1]) + `=`).Match(example) {
			t.Errorf("%s is not in .env.example", m[1])
		}
	}
	t.Logf("%d variables wanted, %d uses", len(wanted(t)), len(asked))
}

// exact is an image whose tag is a version down to its patch, or carries a digest.
var exact = regexp.MustCompile(`^[\w./-]+:v?\d+\.\d+\.\d+(-[\w.]+)?$|@sha256:[0-9a-f]{64}$`)

func TestImagesArePinned(t *testing.T) {
	images := 0
	for name, s := range project(t).Services {
		images++
		if s.Build == nil && !exact.MatchString(s.Image) {
			t.Errorf("%s: image %q: want an exact version", name, s.Image)
		}
	}
	dockerfile, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	froms := regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllSubmatch(dockerfile, -1)
	for _, m := range froms {
		images++
		// Distroless images have no versions: the Debian release and the user are all that can be named.
		if from := string(m[1]); !exact.MatchString(from) && from != "gcr.io/distroless/static-debian12:nonroot" {
			t.Errorf("Dockerfile: %q: want an exact version", from)
		}
	}
	last := string(froms[len(froms)-1][1])
	if !strings.Contains(last, "distroless/static") || !bytes.Contains(dockerfile, []byte("\nUSER 65532:65532\n")) {
		t.Errorf("the image is built on %s, want distroless and a user that is not root", last)
	}
	toolchain := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(read(t, filepath.Join(repository, "go.mod")))
	if !bytes.Contains(dockerfile, []byte("FROM golang:"+string(toolchain[1])+".")) {
		t.Errorf("Dockerfile builds with another Go than go.mod's %s", toolchain[1])
	}
	t.Logf("%d images", images)
}

func TestServices(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		if s.HealthCheck == nil || s.HealthCheck.Disable || len(s.HealthCheck.Test) < 2 || s.HealthCheck.Test[0] != "CMD" {
			t.Errorf("%s: no health check of its own", name)
		}
		for on, d := range s.DependsOn {
			if _, ok := p.Services[on]; !ok || d.Condition != types.ServiceConditionHealthy {
				t.Errorf("%s: depends on %s, %s", name, on, d.Condition)
			}
		}
		if s.Restart != types.RestartPolicyUnlessStopped || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s: restart %q, security %v", name, s.Restart, s.SecurityOpt)
		}
		if name != "influxdb" && (!s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"})) { // its set-up needs both
			t.Errorf("%s: its root is writable or it keeps capabilities", name)
		}
		for _, port := range s.Ports {
			if ip := net.ParseIP(port.HostIP); ip == nil || !ip.IsLoopback() {
				t.Errorf("%s: port %s is open to %q", name, port.Published, port.HostIP)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeVolume {
				if _, ok := p.Volumes[v.Source]; !ok {
					t.Errorf("%s: volume %q is not declared", name, v.Source)
				}
				continue
			}
			if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
				t.Errorf("%s: mount of %s: %v, read only %v", name, v.Source, err, v.ReadOnly)
			}
		}
	}
	for _, name := range []string{"nats", "influxdb", "grafana"} {
		if !slices.ContainsFunc(p.Services[name].Volumes, func(v types.ServiceVolumeConfig) bool { return v.Type == types.VolumeTypeVolume }) {
			t.Errorf("%s keeps nothing: no named volume", name)
		}
	}
}

// Raw events pass over the network of nats: collector and alerter alone share it.
func TestNobodyElseReachesTheBus(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		for network := range s.Networks {
			if _, shared := p.Services["nats"].Networks[network]; !shared || name == "nats" {
				continue
			}
			if network != "bus" || name != "collector" && name != "alerter" {
				t.Errorf("%s shares %s with nats", name, network)
			}
		}
	}
	if !p.Networks["bus"].Internal || !p.Networks["database"].Internal {
		t.Error("bus or database has a way to the outside")
	}
	ports := p.Services["nats"].Ports
	if len(ports) != 1 || ports[0].Target != 4222 {
		t.Errorf("nats publishes %v, want 4222 alone", ports)
	}
}

// The commands are real: our program takes them, with the configuration that is mounted, and finds it valid.
func TestCommandsAreValid(t *testing.T) {
	p := project(t)
	cfg, err := config.Load("tillwatch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"collector", "alerter"} {
		s := p.Services[name]
		var out, errs bytes.Buffer
		args := append(inHost(t, s), "--validate")
		code := app.Run(t.Context(), args, app.Process{Getenv: environment(s), Stdout: &out, Stderr: &errs})
		if code != 0 || !strings.Contains(out.String(), "configuration is valid") {
			t.Errorf("%s: tillwatch %s: %d\n%s%s", name, strings.Join(args, " "), code, &out, &errs)
		}
		if code := app.Run(t.Context(), append(args, "--no-such-flag"), app.Process{Getenv: environment(s), Stdout: &out, Stderr: &errs}); code == 0 {
			t.Errorf("%s: a flag that is none is taken", name)
		}
		// The deadline of the process is its stop timeout and 10 s, then what is sent is flushed for 5 s.
		need := max(cfg.Collect.StopTimeout, cfg.Alert.StopTimeout) + 15*time.Second
		if grace := time.Duration(*s.StopGracePeriod); grace <= need {
			t.Errorf("%s is killed after %s, but may take %s to stop", name, grace, need)
		}
		check := s.HealthCheck.Test[len(s.HealthCheck.Test)-1]
		host, asked, err := net.SplitHostPort(check)
		_, port, _ := net.SplitHostPort(cfg.MetricsAddr)
		if err != nil || host != "127.0.0.1" || asked != port || s.HealthCheck.Test[1] != "/usr/local/bin/tillwatch" {
			t.Errorf("%s: health is asked of %s with %s, but is at port %s", name, check, s.HealthCheck.Test[1], port)
		}
	}
	hosts := map[string]string{"nats": cfg.NATS.URL, "influxdb": cfg.Influx.URL}
	for service, address := range hosts {
		if u, err := url.Parse(address); err != nil || u.Hostname() != service {
			t.Errorf("%s is looked for at %s", service, address)
		}
	}
}

// inHost is a service's command with the paths of the container turned into those they are mounted from.
func inHost(t testing.TB, s types.ServiceConfig) []string {
	t.Helper()
	args := slices.Clone([]string(s.Command))
	for i, arg := range args {
		if !filepath.IsAbs(arg) {
			continue
		}
		at := slices.IndexFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == arg })
		if at < 0 {
			t.Fatalf("%s: %s is not mounted", s.Name, arg)
		}
		args[i] = s.Volumes[at].Source
	}
	return args
}

// environment is what a service's process sees.
func environment(s types.ServiceConfig) func(string) string {
	return func(name string) string {
		if v := s.Environment[name]; v != nil {
			return *v
		}
		return ""
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
