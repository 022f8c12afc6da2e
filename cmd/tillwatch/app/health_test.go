package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/service"
)

// serve runs the real page of a service with three conditions; stop ends it.
func serve(t *testing.T) (health *service.Health, addr string, stop func()) {
	t.Helper()
	health, err := service.NewHealth(nil,
		service.Condition{Name: "influx", Title: "InfluxDB does not take writes", Hint: "check its disk", Required: true},
		service.Condition{Name: "lag", Title: "the collector is behind", Hint: "add one", DependsOn: []string{"influx"}},
		service.Condition{Name: "clock", Title: "the clock is wrong", Hint: "look at ntpd", TimeToVisible: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := service.NewServer(service.Options{Addr: "127.0.0.1:0", Health: health})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	<-srv.Ready()
	return health, srv.Addr(), func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestHealth(t *testing.T) {
	health, addr, stop := serve(t)
	ask := func(what string, code int, stdout, stderr string, args ...string) {
		t.Helper()
		got, out, errs := command(t, nil, append([]string{"health", "--metrics-addr", addr}, args...)...)
		if got != code || out != stdout || errs != stderr {
			t.Errorf("%s: code %d, want %d\n%q, want\n%q\n%q, want %q", what, got, code, out, stdout, errs, stderr)
		}
	}
	const notReady = "tillwatch: not ready\n"
	ask("just started", 1, "influx: InfluxDB does not take writes (starting)\n  check its disk\n"+
		"lag: the collector is behind (starting)\n  add one\nclock: the clock is wrong (starting)\n  look at ntpd\n", notReady)

	health.Set("influx", nil)
	health.Set("lag", nil)
	health.Set("clock", nil)
	ask("all well", 0, "ready\n", "")

	health.Set("lag", errors.New("3 minutes"))
	health.Set("clock", errors.New("2 s fast"))
	ask("what need not hold", 0, "lag: the collector is behind (fault)\n  3 minutes\n  add one\n"+
		"clock: the clock is wrong (pending)\n  2 s fast\n  look at ntpd\nready\n", "")

	health.Set("influx", errors.New("status 503"))
	ask("what has to hold", 1, "influx: InfluxDB does not take writes (fault)\n  status 503\n  check its disk\n"+
		"lag: the collector is behind (hidden)\n  explained by influx\n  3 minutes\n"+
		"clock: the clock is wrong (pending)\n  2 s fast\n  look at ntpd\n", notReady)

	for _, name := range []string{"influx", "lag", "clock"} {
		health.Set(name, nil)
	}
	wedged := health.Pulse("lane TXN", 1) // a nanosecond, long past when it is asked
	ask("a loop that hangs", 1, "lane TXN: the loop no longer turns (wedged)\n  restart the service\n", notReady)
	wedged.Stop()
	ask("all well again", 0, "ready\n", "")

	stop()
	if code, out, errs := command(t, nil, "health", "--metrics-addr", addr); code != 1 || out != "" || !strings.Contains(errs, "no service answers") || !strings.Contains(errs, "--metrics-addr") {
		t.Errorf("nobody there: code %d, %s%s", code, out, errs)
	}
}

// The JSON is the service's answer as it came.
func TestHealthJSON(t *testing.T) {
	health, addr, stop := serve(t)
	defer stop()
	for _, x := range []struct {
		state  error
		code   int
		status string
	}{{errors.New("status 503"), 1, "not_ready"}, {nil, 0, "ok"}} {
		health.Set("influx", x.state)
		code, out, _ := command(t, nil, "health", "--json", "--metrics-addr", addr)
		resp, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		var d service.Document
		if uerr := json.Unmarshal([]byte(out), &d); err != nil || uerr != nil || code != x.code || d.Status != x.status || out != string(page) {
			t.Errorf("code %d, want %d and %s: %v, %v\n%s\n%s", code, x.code, x.status, err, uerr, out, page)
		}
	}
}

// The address comes from flag, variable and file, in this order, and nothing else of the file is needed.
func TestHealthAddress(t *testing.T) {
	health, addr, stop := serve(t)
	defer stop()
	health.Set("influx", nil)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, metrics string) string {
		path := filepath.Join(dir, name)
		// The password, the token and the merchants are the service's, and not here.
		write(t, path, "metrics_addr: \""+metrics+"\"\nnats: {user: tillwatch}\ninflux: {token_file: absent}\nalert: {merchants: absent.csv}\n")
		return path
	}
	here, elsewhere := file("here.yaml", addr), file("elsewhere.yaml", free(t))
	for _, x := range []struct {
		env  map[string]string
		args []string
		code int
		want string
	}{
		{nil, []string{"--config", here}, 0, "ready"},
		{nil, []string{"--config", elsewhere}, 1, "no service answers"},
		{nil, []string{"--config", elsewhere, "--metrics-addr", addr}, 0, "ready"},
		{map[string]string{"TILLWATCH_METRICS_ADDR": addr}, []string{"--config", elsewhere}, 0, "ready"},
		{map[string]string{"TILLWATCH_CONFIG": here}, nil, 0, "ready"},
		{nil, []string{"--config", file("all.yaml", "0.0.0.0:"+port)}, 0, "ready"},
		{nil, []string{"--metrics-addr", ":" + port}, 0, "ready"},
		{nil, []string{"--config", file("free.yaml", "127.0.0.1:0")}, 1, "takes a free port"},
		{nil, []string{"--metrics-addr", port}, 1, "--metrics-addr or TILLWATCH_METRICS_ADDR: metrics_addr"},
		{nil, []string{"--config", filepath.Join(dir, "absent.yaml")}, 1, "absent.yaml"},
	} {
		code, out, errs := command(t, x.env, append([]string{"health"}, x.args...)...)
		if code != x.code || !strings.Contains(out+errs, x.want) {
			t.Errorf("%v %v: code %d, want %d and %q in %s%s", x.env, x.args, code, x.code, x.want, out, errs)
		}
	}
}

// What answers at the address and is no service, or does not answer at all, is not taken for one.
func TestHealthOfStrangers(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>welcome</html>") }))
	defer stranger.Close()
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer silent.Close()
	defer close(release)
	for _, x := range []struct {
		server  *httptest.Server
		timeout string
		want    string
	}{{stranger, "1m", "is not a service of Tillwatch (status 200)"}, {silent, "50ms", "no service answers"}} {
		code, out, errs := command(t, nil, "health", "--timeout", x.timeout, "--metrics-addr", x.server.Listener.Addr().String())
		if code != 1 || out != "" || !strings.Contains(errs, x.want) || !strings.Contains(errs, "--metrics-addr") {
			t.Errorf("code %d, want 1 and %q in %s%s", code, x.want, out, errs)
		}
	}
}

func TestHealthHelp(t *testing.T) {
	code, out, errs := command(t, nil, "health", "--help")
	for _, w := range []string{"--metrics-addr", "--config", "--json", "--timeout=3s", "Exit code 0", "Examples:", "tillwatch health --config"} {
		if code != 0 || errs != "" || !strings.Contains(out, w) {
			t.Errorf("code %d: %q is not in %s%s", code, w, out, errs)
		}
	}
}
