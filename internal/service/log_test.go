package service

import (
	"bytes"
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"
)

func TestNewLogger(t *testing.T) {
	order := []string{"debug", "info", "warn", "error"}
	for i, level := range order {
		for _, format := range []string{"text", "json"} {
			var b bytes.Buffer
			l, err := NewLogger(&b, level, format)
			if err != nil {
				t.Fatal(err)
			}
			l.Debug("debug", "acquirer", "a1")
			l.Info("info", "acquirer", "a1")
			l.Warn("warn", "acquirer", "a1")
			l.Error("error", "acquirer", "a1")
			lines := strings.Split(strings.TrimSpace(b.String()), "\n")
			if len(lines) != len(order)-i {
				t.Fatalf("level %s as %s writes %d records:\n%s", level, format, len(lines), b.String())
			}
			for j, line := range lines {
				if format == "text" {
					if !strings.Contains(line, "msg="+order[i+j]+" acquirer=a1") {
						t.Errorf("text record %s", line)
					}
					continue
				}
				var r struct{ Msg, Acquirer string }
				if err := json.Unmarshal([]byte(line), &r); err != nil || r.Msg != order[i+j] || r.Acquirer != "a1" {
					t.Errorf("json record %s: %v", line, err)
				}
			}
		}
	}
	for _, bad := range [][2]string{{"warning", "text"}, {"", "text"}, {"info", "xml"}, {"info", ""}} {
		if _, err := NewLogger(&bytes.Buffer{}, bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), "want ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestBuild(t *testing.T) {
	setting := func(kv ...string) (out []debug.BuildSetting) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, debug.BuildSetting{Key: kv[i], Value: kv[i+1]})
		}
		return out
	}
	main := debug.Module{Path: "github.com/tillwatch/tillwatch"}
	released := main
	released.Version = "v0.1.0"
	for _, tt := range []struct {
		info debug.BuildInfo
		want Build
		line string
	}{
		{debug.BuildInfo{GoVersion: "go1.26.0", Main: released, Settings: setting("vcs.revision", "0123456789abcdef0123", "vcs.time", "2026-01-02T03:04:05Z", "vcs.modified", "true", "CGO_ENABLED", "1")},
			Build{Module: main.Path, Version: "v0.1.0", Revision: "0123456789abcdef0123", Dirty: true, Time: "2026-01-02T03:04:05Z", Go: "go1.26.0"},
			"v0.1.0 0123456789ab changed go1.26.0"},
		{debug.BuildInfo{GoVersion: "go1.26.0", Main: main, Settings: setting("vcs.revision", "abc", "vcs.modified", "false")},
			Build{Module: main.Path, Version: "(devel)", Revision: "abc", Go: "go1.26.0"}, "(devel) abc go1.26.0"},
		{debug.BuildInfo{Main: main}, Build{Module: main.Path, Version: "(devel)"}, "(devel)"},
	} {
		if got := buildOf(&tt.info); got != tt.want || got.String() != tt.line {
			t.Errorf("got  %+v %q\nwant %+v %q", got, got, tt.want, tt.line)
		}
	}
	if v := Version(); v.Go == "" || v.Module != main.Path {
		t.Errorf("this test binary says %+v", v)
	}
}
