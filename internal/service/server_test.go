package service

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// start runs a server on a free port until the test ends, and returns its address.
func start(t *testing.T, o Options) string {
	t.Helper()
	o.Addr = "127.0.0.1:0"
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Addr() != "" {
		t.Errorf("listens on %s before Run", s.Addr())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("stopped with %v", err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	return s.Addr()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestServerPages(t *testing.T) {
	h, err := NewHealth(nil,
		Condition{Name: "database", Title: "InfluxDB does not answer", Hint: "look at its log", Required: true},
		Condition{Name: "writes", Title: "batches wait", DependsOn: []string{"database"}})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "own_total", Help: "x"})
	reg.MustRegister(counter)
	counter.Add(7)
	base := "http://" + start(t, Options{Registry: reg, Health: h})
	expect := func(page string, code int, status string) Document {
		t.Helper()
		got, body := get(t, base+page)
		var d Document
		if err := json.Unmarshal([]byte(body), &d); err != nil {
			t.Fatalf("%s: %v in %s", page, err, body)
		}
		if got != code || d.Status != status || d.Version != Version().String() || len(d.Conditions) != 2 {
			t.Errorf("%s: %d %+v, want %d %s", page, got, d, code, status)
		}
		return d
	}
	metrics := func(want ...string) {
		t.Helper()
		code, body := get(t, base+"/metrics")
		for _, w := range want {
			if code != 200 || !strings.Contains(body, "\n"+w) {
				t.Errorf("/metrics: %d without %s", code, w)
			}
		}
	}

	// Alive, and not ready before the database has answered.
	expect("/healthz", 200, "not_ready")
	expect("/readyz", 503, "not_ready")
	metrics("tillwatch_ready 0", `tillwatch_condition_ok{condition="database",severity="warning"} 0`)

	h.Set("database", nil)
	h.Set("writes", nil)
	expect("/readyz", 200, "ok")
	metrics("tillwatch_ready 1", "own_total 7", "go_goroutines ", "process_open_fds ", "tillwatch_wedged_loops 0",
		`tillwatch_condition_ok{condition="database",severity="warning"} 1`, `tillwatch_build_info{changed="false",`)

	h.Set("writes", errors.New("3 batches"))
	h.Set("database", errors.New("connection refused"))
	d := expect("/readyz", 503, "not_ready")
	if c := d.Conditions[0]; c.State != StateFault || c.Error != "connection refused" || c.Hint != "look at its log" {
		t.Errorf("cause: %+v", c)
	}
	if c := d.Conditions[1]; c.State != StateHidden || c.ExplainedBy != "database" {
		t.Errorf("symptom: %+v", c)
	}

	h.Set("database", nil)
	expect("/readyz", 200, "ok")
	pulse := h.Pulse("writer", -1) // a promise that is always broken stands for a loop that hangs
	if d := expect("/healthz", 503, "wedged"); len(d.Wedged) != 1 || d.Wedged[0] != "writer" {
		t.Errorf("wedged: %v", d.Wedged)
	}
	expect("/readyz", 503, "wedged")
	metrics("tillwatch_wedged_loops 1", "tillwatch_ready 0")
	pulse.Stop()
	expect("/healthz", 200, "ok")

	if code, _ := get(t, base+"/"); code != 404 {
		t.Errorf("/ is %d", code)
	}
	resp, err := http.Post(base+"/healthz", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 405 {
		t.Errorf("POST is %d", resp.StatusCode)
	}
}

func TestServerWithoutOptions(t *testing.T) {
	base := "http://" + start(t, Options{})
	if code, body := get(t, base+"/readyz"); code != 200 || !strings.Contains(body, `"conditions": []`) {
		t.Errorf("no conditions: %d %s", code, body)
	}
}

func TestServerPortTaken(t *testing.T) {
	taken := start(t, Options{})
	s, err := NewServer(Options{Addr: taken})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), taken) || !strings.Contains(err.Error(), "--metrics-addr") {
		t.Errorf("got %v", err)
	}
}

// A request that has begun is answered before Run returns.
func TestServerFinishesRequests(t *testing.T) {
	reg := prometheus.NewRegistry()
	asked, answer := make(chan struct{}), make(chan struct{})
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "slow", Help: "x"}, func() float64 {
		close(asked)
		<-answer
		return 42
	}))
	s, err := NewServer(Options{Addr: "127.0.0.1:0", Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	stopping := make(chan struct{})
	s.http.RegisterOnShutdown(func() { close(stopping) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	page := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + s.Addr() + "/metrics")
		if err != nil {
			page <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			page <- err.Error()
			return
		}
		page <- string(body)
	}()
	<-asked
	cancel()
	select {
	case <-stopping:
	case err := <-done:
		t.Fatalf("stopped with a request in flight: %v", err)
	}
	close(answer)
	if body := <-page; !strings.Contains(body, "slow 42") {
		t.Errorf("the request was cut off: %s", body)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNewServerRefuses(t *testing.T) {
	for _, addr := range []string{"", "9464", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:-1"} {
		if _, err := NewServer(Options{Addr: addr}); err == nil || !strings.Contains(err.Error(), "metrics address") {
			t.Errorf("%q: %v", addr, err)
		}
	}
	reg := prometheus.NewRegistry()
	if _, err := NewServer(Options{Addr: ":0", Registry: reg}); err != nil {
		t.Fatal(err)
	}
	if _, err := NewServer(Options{Addr: ":0", Registry: reg}); err == nil {
		t.Error("two servers show different conditions under one name")
	}
}
