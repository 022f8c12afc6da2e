package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSOptions says how to run the server in this process. DataDir is required.
type NATSOptions struct {
	DataDir string       // streams and the key file live below it
	Addr    string       // host:port ("127.0.0.1:4222"); a busy or zero port becomes a free one
	Logger  *slog.Logger // nil discards
}

// NATS is a server in this process with JetStream encrypted at rest: raw bodies rest in TXN and HB until the guard
// has seen them.
type NATS struct {
	o   NATSOptions
	srv *server.Server
}

// NewNATS validates the options.
func NewNATS(o NATSOptions) (*NATS, error) {
	if o.DataDir == "" {
		return nil, errors.New("embedded NATS: no data directory")
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:4222"
	}
	if _, _, err := net.SplitHostPort(o.Addr); err != nil {
		return nil, fmt.Errorf("embedded NATS: address %q: %w", o.Addr, err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &NATS{o: o}, nil
}

// Start runs the server and returns when it accepts connections. Streams of an earlier run are there again.
func (n *NATS) Start() error {
	host, port, err := freeAddr(n.o.Addr)
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	key, err := storeKey(filepath.Join(n.o.DataDir, "nats.key"))
	if err != nil {
		return err
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "tillwatch", Host: host, Port: port, NoSigs: true,
		JetStream: true, StoreDir: filepath.Join(n.o.DataDir, "nats"),
		JetStreamKey: key, JetStreamCipher: server.ChaCha, SyncInterval: 5 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	srv.SetLogger(natsLog{n.o.Logger}, false, false)
	srv.Start()
	if !srv.ReadyForConnections(30 * time.Second) {
		srv.Shutdown()
		return fmt.Errorf("embedded NATS at %s: not ready after 30 s", net.JoinHostPort(host, strconv.Itoa(port)))
	}
	n.srv = srv
	return nil
}

// URL is where clients connect; valid after Start.
func (n *NATS) URL() string { return n.srv.ClientURL() }

// Dialer connects inside the process, without a socket.
func (n *NATS) Dialer() InProcess { return InProcess{n.srv} }

// InProcess implements the client's custom dialer.
type InProcess struct{ srv *server.Server }

// Dial ignores the address: there is one server.
func (d InProcess) Dial(_, _ string) (net.Conn, error) { return d.srv.InProcessConn() }

// Stop ends the server and returns when its files are closed.
func (n *NATS) Stop() {
	if n.srv == nil {
		return
	}
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

// storeKey reads the key of the encryption at rest, making it on the first start. A data directory without its key
// cannot be read, so a missing key beside existing streams is an error and not a new key.
func storeKey(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err == nil {
		key := strings.TrimSpace(string(raw))
		if len(key) < 32 {
			return "", fmt.Errorf("encryption key %s: %d characters, want 64 hex digits; restore it from your backup", path, len(key))
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read encryption key: %w", err)
	}
	if entries, err := os.ReadDir(filepath.Join(filepath.Dir(path), "nats")); err == nil && len(entries) > 0 {
		return "", fmt.Errorf("encryption key %s is missing but there are streams beside it: restore the key, or remove the nats folder to start empty", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	b := make([]byte, 32)
	rand.Read(b) // never fails since Go 1.24
	key := hex.EncodeToString(b)
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write encryption key: %w", err)
	}
	return key, nil
}

// freeAddr returns the address as it is when it can be listened on, and the same host with a free port when not.
func freeAddr(addr string) (host string, port int, err error) {
	host, _, err = net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return "", 0, fmt.Errorf("listen on %s: %w", addr, err)
		}
	}
	defer l.Close()
	return host, l.Addr().(*net.TCPAddr).Port, nil
}

// FreeAddr is addr where it can be listened on, and else its host with a free port.
func FreeAddr(addr string) string {
	host, port, err := freeAddr(addr)
	if err != nil {
		return addr
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// natsLog hands the server's log lines to slog; its debug and trace lines stay off.
type natsLog struct{ log *slog.Logger }

func (l natsLog) Noticef(format string, v ...any) {
	l.log.Debug("nats server", "line", fmt.Sprintf(format, v...))
}
func (l natsLog) Warnf(format string, v ...any) {
	l.log.Warn("nats server", "line", fmt.Sprintf(format, v...))
}
func (l natsLog) Errorf(format string, v ...any) {
	l.log.Error("nats server", "line", fmt.Sprintf(format, v...))
}
func (l natsLog) Fatalf(format string, v ...any) {
	l.log.Error("nats server", "line", fmt.Sprintf(format, v...))
}
func (l natsLog) Debugf(string, ...any) {}
func (l natsLog) Tracef(string, ...any) {}
