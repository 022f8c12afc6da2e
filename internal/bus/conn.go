package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options says how to reach the server. The zero value of each field but URL is usable.
type Options struct {
	URL   string // nats://host:port, several separated by commas
	Name  string // shown by the server's connection list
	Creds string // path of a credentials file; "" for none

	User, Password string // for a server with users; "" for none

	Dial   nats.CustomDialer // how to connect inside one process; nil dials URL
	Logger *slog.Logger      // nil discards
}

// Conn is one connection to the bus. Its methods are safe for concurrent use.
type Conn struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger
}

// Connect dials the server and demands JetStream. It does not wait for a server that is not there: the error says
// what to do. Once connected it reconnects for ever.
func Connect(ctx context.Context, o Options) (*Conn, error) {
	if o.URL == "" {
		return nil, errors.New("connect to NATS: no URL; set nats.url, --nats-url or TILLWATCH_NATS_URL")
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	opts := []nats.Option{
		nats.Name(o.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 250*time.Millisecond),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("nats disconnected", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("nats reconnected", "url", nc.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("nats error", "err", err) }),
	}
	if o.Creds != "" {
		opts = append(opts, nats.UserCredentials(o.Creds))
	}
	if o.User != "" {
		opts = append(opts, nats.UserInfo(o.User, o.Password))
	}
	if o.Dial != nil {
		opts = append(opts, nats.SetCustomDialer(o.Dial))
	}
	if deadline, ok := ctx.Deadline(); ok {
		opts = append(opts, nats.Timeout(max(time.Millisecond, min(10*time.Second, time.Until(deadline)))))
	}
	nc, err := nats.Connect(o.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w (is the server running, and is the URL right? `tillwatch up` starts one)", o.URL, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	c := &Conn{nc: nc, js: js, log: log}
	if _, err := js.AccountInfo(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("ask JetStream at %s: %w (start nats-server with JetStream on: nats-server -js)", o.URL, err)
	}
	return c, nil
}

// Connected reports whether the server is reachable now.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// ServerVersion is the version of the server connected to.
func (c *Conn) ServerVersion() string { return c.nc.ConnectedServerVersion() }

// RTT measures one round trip to the server.
func (c *Conn) RTT() (time.Duration, error) { return c.nc.RTT() }

// Close drops the connection. What a Publisher still holds is lost unless it was flushed before.
func (c *Conn) Close() { c.nc.Close() }

// SyncedClose waits for what was sent, acknowledgements above all, to reach the server, and closes. It waits until ctx
// ends at the longest.
func (c *Conn) SyncedClose(ctx context.Context) error {
	defer c.nc.Close()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
	}
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("flush NATS: %w", err)
	}
	return nil
}

// isCode reports whether the server refused with this JetStream error code.
func isCode(err error, code jetstream.ErrorCode) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == code
}
