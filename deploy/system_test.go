package deploy_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/tillwatch/tillwatch/cmd/tillwatch/app"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/config"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/influxtest"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// The whole of the compose file without Docker: a terminal with its own password publishes to NATS as nats.conf has
// it, the collector and alerter of our binary run with tillwatch.yaml, and Grafana's credential sees the declines and
// the incident in InfluxDB 2.9.
func TestWholeSystem(t *testing.T) {
	db := influxtest.Start29(t)
	makeReader(t, db)
	store := t.TempDir()
	nats := startNATSOn(t, store)
	inside := ensure(t, nats)
	stop := started(t, nats, db)

	// Six tills of one acquirer see 03: one publishes by itself, five through who may publish for all.
	_, js := terminal(t, nats, make(chan string, 16))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const tills = 6
	body := func(n int) []byte {
		return fmt.Appendf(nil, `{"ts":%d,"id":"20261124-%06d","merchant":"89844015311%04d","code":"03","type":"sale","amount":1200,"currency":"CNY","latency_ms":240,"app":"2.4.1"}`,
			time.Now().UnixMilli(), n, n)
	}
	if _, err := js.Publish(ctx, terminalSubject, body(1)); err != nil {
		t.Fatal(err)
	}
	for n := 2; n <= tills; n++ {
		key := fleet.Key{Acquirer: "a1", Terminal: fmt.Sprintf("T%07d", n)}
		id := key.TxnMsgID(fleet.SourceTerminal, fmt.Sprintf("20261124-%06d", n))
		if err := inside.Publish(ctx, bus.Message{Subject: key.Subject(fleet.KindTxn), ID: id, Data: body(n)}); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]string{
		`SELECT count("id") FROM "decline" WHERE "code" = '03'`:            fmt.Sprintf(",%d]]", tills),
		`SELECT "target", "state" FROM "incident" WHERE "acquirer" = 'a1'`: `"opened"`,
		`SHOW TAG VALUES FROM "decline" WITH KEY = "acquirer"`:             `["acquirer","a1"]`,
		`SELECT "terminal" FROM "decline" WHERE "terminal" = 'T0000001'`:   `"T0000001"`,
	} {
		eventually(t, ctx, db, query, want)
	}

	// A second start, of everything, on the same store: the streams are taken as they are, each counted once against
	// max_file_store, with what they hold, and the next decline arrives.
	stop()
	first := reserved(t, nats)
	inside.Close()
	shutDown(nats)
	nats = startNATSOn(t, store)
	stop = started(t, nats, db)
	cfg, err := config.Load("tillwatch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all, _ := sum(cfg.Streams)
	if again := reserved(t, nats); first != all || again != all {
		t.Errorf("the streams reserve %d B, after a second start %d B, want %d B", first, again, all)
	}
	_, js = terminal(t, nats, make(chan string, 16))
	ack, err := js.Publish(ctx, terminalSubject, body(tills+1))
	if err != nil || ack.Sequence != tills+1 {
		t.Fatalf("the decline after the second start: %+v, %v; want number %d", ack, err, tills+1)
	}
	eventually(t, ctx, db, `SELECT count("id") FROM "decline" WHERE "code" = '03'`, fmt.Sprintf(",%d]]", tills+1))
	stop()
	t.Logf("figure: deploy: %d declines over 2 starts on one store, which reserve %d MiB of %d MiB", tills+1, first>>20, natsOptions(t).JetStreamMaxStore>>20)
}

// started runs collector and alerter with the commands of the compose file, sent to servers of the test, and returns
// once the file's health checks are content. Both have to end well when stop asks them to, at the test's end at last.
func started(t *testing.T, nats *server.Server, db *influxtest.Server) (stopAll func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	addrs := map[string]string{}
	for name, extra := range map[string][]string{
		"collector": {"--influx-url", db.URL, "--influx-org", db.Org},
		"alerter":   nil,
	} {
		s := project(t).Services[name]
		addr := free(t)
		addrs[name] = addr
		args := append(inHost(t, s), "--nats-url", nats.ClientURL(), "--metrics-addr", addr)
		args = append(args, extra...)
		getenv := environment(s)
		wg.Go(func() {
			var out, errs bytes.Buffer
			code := app.Run(ctx, args, app.Process{Stdout: &out, Stderr: &errs, Getenv: func(v string) string {
				if v == "TILLWATCH_INFLUX_TOKEN" {
					return db.Token.Reveal() // the server of the test was set up with its own
				}
				return getenv(v)
			}})
			if code != 0 || t.Failed() {
				t.Errorf("%s ended with %d\n%s%s", name, code, &out, &errs)
			}
		})
	}
	stopAll = sync.OnceFunc(func() { stop(); wg.Wait() })
	t.Cleanup(stopAll)
	for name, addr := range addrs {
		healthy(t, project(t).Services[name], addr)
	}
	return stopAll
}

// healthy asks a service with its health check of the compose file until that ends with 0.
func healthy(t *testing.T, s types.ServiceConfig, addr string) {
	t.Helper()
	args := slices.Clone(s.HealthCheck.Test[2:]) // after CMD and the program
	args[len(args)-1] = addr                     // a port of the test's; TestCommandsAreValid looks at the file's own
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for {
		var out, errs bytes.Buffer
		code := app.Run(t.Context(), args, app.Process{Getenv: environment(s), Stdout: &out, Stderr: &errs})
		if code == 0 && out.String() == "ready\n" {
			return
		}
		select {
		case <-timeout:
			t.Fatalf("%s: tillwatch %s: %d\n%s%s", s.Name, strings.Join(args, " "), code, &out, &errs)
		case <-tick.C:
		}
	}
}

// free is an address of this machine that nobody listens on now.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// eventually polls as Grafana until the answer holds what is wanted.
func eventually(t *testing.T, ctx context.Context, db *influxtest.Server, influxql, want string) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		status, body := asGrafana(t, db, schema.BucketEvents, influxql)
		if status == http.StatusOK && strings.Contains(string(body), want) {
			t.Logf("%s: %s", influxql, bytes.TrimSpace(body))
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %d %s; want %s in it", influxql, status, body, want)
		case <-tick.C:
		}
	}
}
