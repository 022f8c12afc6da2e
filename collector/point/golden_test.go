package point_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/tillwatch/tillwatch/collector/point"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

var update = flag.Bool("update", false, "rewrite the golden files from what the code writes now")

// appendEvent takes one event the way the collector does: body and subject in, lines out.
func appendEvent(b []byte, arrived time.Time, subject, body string, facts *point.Facts) ([]byte, error) {
	if rest, ok := strings.CutPrefix(subject, fleet.DerivedPrefix); ok {
		kind, _, _ := strings.Cut(rest, ".")
		switch kind {
		case "finding":
			var f fleet.Finding
			if err := json.Unmarshal([]byte(body), &f); err != nil {
				return b, err
			}
			return point.AppendFinding(b, &f)
		case "incident":
			var t fleet.Transition
			if err := json.Unmarshal([]byte(body), &t); err != nil {
				return b, err
			}
			scope, err := json.Marshal(t.Scope)
			if err != nil {
				return b, err
			}
			return point.AppendTransition(b, &t, t.Summary(), string(scope))
		case "rollup":
			var r fleet.Rows
			if err := json.Unmarshal([]byte(body), &r); err != nil {
				return b, err
			}
			return point.AppendRows(b, &r)
		}
		return b, fmt.Errorf("kind %q", kind)
	}
	key, kind, err := fleet.ParseSubject(subject)
	if err != nil {
		return b, err
	}
	if kind == fleet.KindHeartbeat {
		var h fleet.Heartbeat
		if err := fleet.DecodeHeartbeat([]byte(body), key, &h); err != nil {
			return b, err
		}
		return point.AppendHeartbeat(b, key, &h, arrived, facts), nil
	}
	var t fleet.Txn
	if err := fleet.DecodeTxn([]byte(body), key, &t); err != nil {
		return b, err
	}
	return point.AppendDecline(b, key, &t, facts.Model(key), arrived), nil
}

// run appends the events of a case: a line each, arrival (RFC 3339), subject, body. A line that starts with # is a
// comment. An error takes the place of its lines.
func run(events string) ([]byte, error) {
	facts := point.NewFacts(100)
	var out []byte
	for n, line := range strings.Split(strings.TrimSuffix(events, "\n"), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		parts := strings.SplitN(line, " ", 3)
		if len(parts) != 3 {
			return out, fmt.Errorf("event line %d: want arrival, subject, body", n+1)
		}
		arrived, err := time.Parse(time.RFC3339Nano, parts[0])
		if err != nil {
			return out, fmt.Errorf("event line %d: %w", n+1, err)
		}
		b, err := appendEvent(nil, arrived, parts[1], parts[2], facts)
		if err != nil {
			out = fmt.Appendf(out, "error: %v\n", err)
			continue
		}
		out = append(out, b...)
	}
	return out, nil
}

// Each file of testdata/golden is a story: events in, lines out, byte for byte. The lines are the identity of stored
// points, which is frozen: a changed line here is a migration of every installed database.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	events, lines := 0, 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(archive.Files) == 1 && *update {
				archive.Files = append(archive.Files, txtar.File{Name: "lines"})
			}
			if len(archive.Files) != 2 || archive.Files[0].Name != "events" || archive.Files[1].Name != "lines" {
				t.Fatal("want the files events and lines")
			}
			got, err := run(string(archive.Files[0].Data))
			if err != nil {
				t.Fatal(err)
			}
			// Run again: what is written depends on the events alone.
			if again, _ := run(string(archive.Files[0].Data)); !bytes.Equal(got, again) {
				t.Errorf("a second run gives other lines:\n%s", again)
			}
			if *update {
				archive.Files[1].Data = got
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := archive.Files[1].Data; !bytes.Equal(got, want) {
				t.Errorf("lines:\n%s\nwant:\n%s", got, want)
			}
			var good []byte
			for line := range strings.Lines(string(got)) {
				if !strings.HasPrefix(line, "error: ") {
					good = append(good, line...)
				}
			}
			points, err := parseLines(string(good))
			if err != nil {
				t.Error(err)
			}
			events += strings.Count(string(archive.Files[0].Data), "\n")
			lines += len(points)
		})
	}
	t.Logf("%d files, %d lines of events, %d points", len(files), events, lines)
}

// goldenLines returns every good line of every golden file, for the test with real servers.
func goldenLines(t *testing.T) (lines []byte) {
	t.Helper()
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(errors.Join(err, errors.New("no golden files")))
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(archive.Files[1].Data)) {
			if !strings.HasPrefix(line, "error: ") {
				lines = append(lines, line...)
			}
		}
	}
	return lines
}
