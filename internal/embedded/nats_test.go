package embedded_test

import (
	"bytes"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tillwatch/tillwatch/internal/embedded"
)

func startNATS(t *testing.T, dir, addr string) *embedded.NATS {
	t.Helper()
	n, err := embedded.NewNATS(embedded.NATSOptions{DataDir: dir, Addr: addr})
	if err == nil {
		err = n.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func stream(t *testing.T, url string) (jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Storage: jetstream.FileStorage})
	if err != nil {
		t.Fatal(err)
	}
	return js, s
}

// TestNATSEncryptsAtRest publishes a card number and looks for it in every file, then reads it back after a restart.
func TestNATSEncryptsAtRest(t *testing.T) {
	dir := t.TempDir()
	needle := []byte("6222021234567890128")
	n := startNATS(t, dir, "127.0.0.1:0")
	js, _ := stream(t, n.URL())
	for range 100 {
		if _, err := js.Publish(t.Context(), "s", needle); err != nil {
			t.Fatal(err)
		}
	}
	n.Stop()
	files, size := 0, int64(0)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		size += int64(len(raw))
		if bytes.Contains(raw, needle) {
			t.Errorf("%s has the card number in it", path)
		}
		return nil
	})
	if err != nil || files < 3 || size < 1900 {
		t.Fatalf("looked at %d files of %d bytes: %v", files, size, err)
	}
	key := filepath.Join(dir, "nats.key")
	if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", st.Mode(), err)
	}

	n = startNATS(t, dir, "127.0.0.1:0")
	_, s := stream(t, n.URL())
	m, err := s.GetMsg(t.Context(), 100)
	if err != nil || !bytes.Equal(m.Data, needle) {
		t.Errorf("after a restart: %q, %v", m.Data, err)
	}
	n.Stop()

	// Without its key the data must not be started over.
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	lost, err := embedded.NewNATS(embedded.NATSOptions{DataDir: dir, Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := lost.Start(); err == nil || !strings.Contains(err.Error(), "restore the key") {
		t.Errorf("start without the key = %v", err)
	}
}

func TestNATSBusyPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := startNATS(t, t.TempDir(), l.Addr().String())
	defer n.Stop()
	if n.URL() == "nats://"+l.Addr().String() {
		t.Error("listens on a port that is taken")
	}
	if nc, err := nats.Connect(n.URL()); err != nil {
		t.Error(err)
	} else {
		nc.Close()
	}
	nc, err := nats.Connect("nats://inside", nats.SetCustomDialer(n.Dialer()))
	if err != nil {
		t.Fatalf("inside the process: %v", err)
	}
	nc.Close()
}

func TestLockDirRefusesASecond(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	l, err := embedded.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.LockDir(dir); err == nil || !strings.Contains(err.Error(), "in use by process") || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("second lock = %v", err)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	l, err = embedded.LockDir(dir)
	if err != nil {
		t.Fatalf("after unlocking: %v", err)
	}
	l.Unlock()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.LockDir(file); err == nil {
		t.Error("a file was taken for a folder")
	}
}
