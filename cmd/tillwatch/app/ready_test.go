package app_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/cmd/tillwatch/app"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/fleettest/natstest"
)

// TestReadinessFollowsTheBus runs the services as a user does, takes NATS away and gives it back.
func TestReadinessFollowsTheBus(t *testing.T) {
	nats := natstest.Child(t)
	natstest.Connect(t, nats.URL()).Close()
	db := influxtest.Start18(t)
	services := map[string][]string{
		"alert":   {"alert", "--nats-url", nats.URL(), "--log-level", "error"},
		"collect": {"collect", "--nats-url", nats.URL(), "--influx-url", db.URL, "--log-level", "error"},
	}
	for name, args := range services {
		addr := free(t)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan int, 1)
		var out, errs bytes.Buffer
		go func() {
			done <- app.Run(ctx, append(args, "--metrics-addr", addr), app.Process{Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &errs})
		}()
		await(t, name+" ready", addr, http.StatusOK)
		nats.Kill()
		await(t, name+" without NATS", addr, http.StatusServiceUnavailable)
		nats.Start()
		await(t, name+" ready again", addr, http.StatusOK)
		stop()
		if code := <-done; code != 0 {
			t.Errorf("%s ended with %d: %s", name, code, errs.String())
		}
	}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// await polls /readyz for a status.
func await(t *testing.T, what, addr string, status int) {
	t.Helper()
	last := 0
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); pauseTest(50 * time.Millisecond) {
		resp, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if last = resp.StatusCode; last == status {
			return
		}
	}
	t.Fatalf("%s: /readyz is %d, want %d", what, last, status)
}
