package app_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/natstest"
)

// runProgram compiles a Go program of the documentation with this module's dependencies, runs it against a NATS server,
// and returns what it prints.
func runProgram(t *testing.T, text, natsURL string) (out string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "main.go")
	write(t, file, text)
	cmd := exec.CommandContext(t.Context(), "go", "run", file)
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "NATS_URL="+natsURL)
	var printed, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &complaint
	if err := cmd.Run(); err != nil {
		return "", errors.Join(err, errors.New(complaint.String()))
	}
	return printed.String(), nil
}

// TestDocsProgram runs the Go program of messages.md twice against a real server, as one does whose acknowledgement was
// lost: the stream takes its event once, under the id that the event should have.
func TestDocsProgram(t *testing.T) {
	n := natstest.Start(t)
	conn := natstest.Connect(t, n.URL())
	programs := 0
	for _, b := range pageOf(t, "docs/messages.md").blocks {
		if b.info != "go" {
			continue
		}
		programs++
		for _, want := range []string{"TXN 1 false\n", "TXN 1 true\n"} {
			got, err := runProgram(t, b.text, n.URL())
			if err != nil {
				t.Fatalf("docs/messages.md:%d: %v", b.n, err)
			}
			if got != want {
				t.Errorf("docs/messages.md:%d: printed %q, want %q", b.n, got, want)
			}
		}
	}
	if programs != 1 {
		t.Fatalf("%d Go programs found, want 1", programs)
	}
	cons, err := conn.Consumer(t.Context(), bus.StreamTxn, "docs", bus.ConsumerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []bus.Delivery
	for deadline := time.Now().Add(10 * time.Second); len(got) == 0 && time.Now().Before(deadline); {
		if got, err = cons.Fetch(t.Context(), got, 2, 250*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 1 {
		t.Fatalf("%d events in the stream, want 1", len(got))
	}
	key, kind, err := fleet.ParseSubject(got[0].Subject())
	if err != nil || kind != fleet.KindTxn {
		t.Fatalf("subject %q: %q, %v", got[0].Subject(), kind, err)
	}
	var x fleet.Txn
	if err := fleet.DecodeTxn(got[0].Data(), key, &x); err != nil {
		t.Fatal(err)
	}
	if id := key.TxnMsgID(x.Src, x.ID); got[0].ID() != id {
		t.Errorf("the event has the id %q, want %q", got[0].ID(), id)
	}
}

// TestDocsProgramRefused checks that a program which does not compile is not taken for one that works.
func TestDocsProgramRefused(t *testing.T) {
	out, err := runProgram(t, "package main\n\nfunc main() { publish() }\n", "nats://127.0.0.1:4222")
	if err == nil || !strings.Contains(err.Error(), "undefined: publish") {
		t.Errorf("a program that does not compile printed %q, %v", out, err)
	}
}
