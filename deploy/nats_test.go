package deploy_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/config"
)

// natsOptions reads nats.conf as the server reads it, with the environment that docker-compose.yml gives it.
func natsOptions(t testing.TB) *server.Options {
	t.Helper()
	for name, v := range project(t).Services["nats"].Environment {
		setenv(t, name, *v)
	}
	o, err := server.ProcessConfigFile("nats/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// setenv is t.Setenv, which testing.TB has.
func setenv(t testing.TB, name, value string) { t.Helper(); t.Setenv(name, value) }

// startNATS runs a server with nats.conf on free ports of this machine and in a folder of the test's.
func startNATS(t testing.TB) *server.Server { t.Helper(); return startNATSOn(t, t.TempDir()) }

// startNATSOn is startNATS on a store that may be there already.
func startNATSOn(t testing.TB, store string) *server.Server {
	t.Helper()
	o := natsOptions(t)
	o.Host, o.Port = "127.0.0.1", server.RANDOM_PORT
	o.HTTPHost, o.HTTPPort = "", 0
	o.StoreDir, o.NoSigs, o.NoLog = store, true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { shutDown(s) })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server is not ready after 30 s")
	}
	return s
}

func shutDown(s *server.Server) { s.Shutdown(); s.WaitForShutdown() }

// reserved is what the streams of a server reserve, in bytes, as it counts itself.
func reserved(t testing.TB, s *server.Server) int64 {
	t.Helper()
	info, err := s.Jsz(nil)
	if err != nil {
		t.Fatal(err)
	}
	return int64(info.ReservedStore)
}

// sum is what tillwatch.yaml has the streams reserve, and the largest of them, in bytes.
func sum(x config.Streams) (all, largest int64) {
	for _, b := range []config.Bytes{x.TxnMaxBytes, x.HBMaxBytes, x.DerivedMaxBytes, x.ControlMaxBytes, x.DLQMaxBytes} {
		all, largest = all+int64(b), max(largest, int64(b))
	}
	return all, largest
}

func TestNATSConfiguration(t *testing.T) {
	o := natsOptions(t)
	key := secrets(t)["NATS_STORE_KEY"]
	if !o.JetStream || !o.SyncAlways || o.JetStreamKey != key || o.JetStreamCipher != server.ChaCha || o.StoreDir != "/data" {
		t.Errorf("JetStream %v, sync always %v, key as given %v, cipher %v, in %s", o.JetStream, o.SyncAlways, o.JetStreamKey == key, o.JetStreamCipher, o.StoreDir)
	}
	cfg, err := config.Load("tillwatch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// Room for every stream once. The largest does not fit twice, so that the test of a second start would see it asked
	// for twice.
	all, largest := sum(cfg.Streams)
	if o.JetStreamMaxStore <= all || o.JetStreamMaxStore >= all+largest {
		t.Errorf("max_file_store is %d, the streams reserve %d, the largest %d", o.JetStreamMaxStore, all, largest)
	}
	if o.MQTT.Port != 0 {
		t.Error("the MQTT port opens before its stream feeds TXN and HB")
	}
	if o.Websocket.Port != 0 || o.NoAuthUser != "" {
		t.Errorf("a way in without a password: websocket port %d, user %q", o.Websocket.Port, o.NoAuthUser)
	}
	t.Logf("streams reserve %d MiB of %d MiB", all>>20, o.JetStreamMaxStore>>20)

	for _, name := range []string{"NATS_STORE_KEY", "NATS_TILLWATCH_PASSWORD", "NATS_TERMINAL_PASSWORD"} {
		text := string(read(t, "nats/nats.conf")) + string(read(t, "nats/users.conf"))
		if !strings.Contains(text, "$"+name) {
			t.Errorf("%s is not asked for", name)
		}
	}
}

const terminalSubject = "fleet.v1.a1.T0000001.txn"

// terminal connects as the example terminal; refused receives the subjects of what the server refuses.
func terminal(t testing.TB, s *server.Server, refused chan<- string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("a1.T0000001", secrets(t)["NATS_TERMINAL_PASSWORD"]), nats.CustomInboxPrefix("_INBOX_a1_T0000001"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				refused <- err.Error()
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// ensure makes the streams as collector and alerter do, as the user that they are.
func ensure(t testing.TB, s *server.Server) *bus.Conn {
	t.Helper()
	cfg, err := config.Load("tillwatch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := bus.Connect(ctx, bus.Options{URL: s.ClientURL(), User: cfg.NATS.User, Password: secrets(t)["NATS_TILLWATCH_PASSWORD"], Name: t.Name(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	x := cfg.Streams
	if err := c.Ensure(ctx, bus.Layout{
		Replicas: x.Replicas, TxnMaxBytes: int64(x.TxnMaxBytes), HBMaxBytes: int64(x.HBMaxBytes), DerivedMaxBytes: int64(x.DerivedMaxBytes),
		ControlMaxBytes: int64(x.ControlMaxBytes), DLQMaxBytes: int64(x.DLQMaxBytes), DLQPerTerminal: int64(x.DLQPerTerminal),
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

// A terminal publishes its own events, and is refused everything else.
func TestTerminalsPublishOnlyTheirOwn(t *testing.T) {
	s := startNATS(t)
	ensure(t, s)
	refused := make(chan string, 16)
	nc, js := terminal(t, s, refused)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, subject := range []string{terminalSubject, "fleet.v1.a1.T0000001.heartbeat"} {
		ack, err := js.Publish(ctx, subject, []byte(`{}`))
		if err != nil || ack.Sequence != 1 {
			t.Errorf("%s: %v, %v; want stored as the first", subject, ack, err)
		}
	}
	expect := func(what string) {
		select {
		case got := <-refused:
			if !strings.Contains(got, what) {
				t.Errorf("refused %q, want %q", got, what)
			}
		case <-ctx.Done():
			t.Fatalf("%s is not refused", what)
		}
	}
	for _, subject := range []string{
		"fleet.v1.a1.T0000002.txn", "fleet.v1.a2.T0000001.txn", "fleet.v1.a1.T0000001.other", "derived.v1.finding.a1.merchant-status",
		"control.v1.resolve.a1", "$JS.API.STREAM.PURGE.TXN", "$KV.merchants.a1.898",
	} {
		if err := nc.Publish(subject, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		expect(`Publish to "` + subject + `"`)
	}
	for _, subject := range []string{"_INBOX.>", "fleet.v1.>", ">"} {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		expect(`Subscription to "` + subject + `"`)
	}
}

// Nobody is anybody without a password.
func TestWhoGetsIn(t *testing.T) {
	s := startNATS(t)
	for name, option := range map[string]nats.Option{
		"nobody":                nats.Name("nobody"),
		"tillwatch by guessing": nats.UserInfo("tillwatch", "guess"),
		"another's password":    nats.UserInfo("tillwatch", secrets(t)["NATS_TERMINAL_PASSWORD"]),
	} {
		if nc, err := nats.Connect(s.ClientURL(), option); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v, %v; want an authorization error", name, nc, err)
		}
	}
	for name, o := range map[string]bus.Options{
		"our client without a user":  {},
		"our client by guessing":     {User: "tillwatch", Password: "guess"},
		"our client as another user": {User: "a1.T0000002", Password: secrets(t)["NATS_TILLWATCH_PASSWORD"]},
	} {
		o.URL = s.ClientURL()
		c, err := bus.Connect(t.Context(), o)
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v, %v; want an authorization error", name, c, err)
		} else if o.Password != "" && strings.Contains(err.Error(), o.Password) {
			t.Errorf("%s: the password is shown: %v", name, err)
		}
	}
	// The second to come finds the streams there, and takes them as they are, although there is no room for them twice.
	for range 2 {
		if c := ensure(t, s); !c.Connected() {
			t.Error("not connected")
		}
	}
}
