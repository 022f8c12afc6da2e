package app_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tillwatch/tillwatch/internal/service"
)

func TestHealth(t *testing.T) {
	health, err := service.NewHealth(nil, service.Condition{Name: "influx", Title: "InfluxDB does not take writes", Hint: "check its disk", Required: true})
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
	addr := srv.Addr()

	for _, c := range []struct {
		state error
		args  []string
		code  int
		want  []string
	}{
		{errors.New("status 503"), nil, 1, []string{"influx: InfluxDB does not take writes", "status 503", "check its disk", "not ready"}},
		{errors.New("status 503"), []string{"--json"}, 1, []string{`"name":"influx"`, "not ready"}},
		{nil, nil, 0, []string{"ready"}},
		{nil, []string{"--json"}, 0, []string{`"status":"ok"`}},
	} {
		health.Set("influx", c.state)
		code, out, errs := command(t, nil, append([]string{"health", "--metrics-addr", addr}, c.args...)...)
		for _, w := range c.want {
			if code != c.code || !strings.Contains(out+errs, w) {
				t.Errorf("%v with %v: code %d, want %d and %q in %s%s", c.args, c.state, code, c.code, w, out, errs)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	code, _, errs := command(t, nil, "health", "--metrics-addr", addr)
	if code != 1 || !strings.Contains(errs, "is it running") {
		t.Errorf("nobody there: code %d, %s", code, errs)
	}
}
