package arch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Each rule against small sources that break it, and against their right counterparts. want is "line: words" for each
// violation, in order; none for a right source.
func TestRulesFindBreaches(t *testing.T) {
	imp := func(paths ...string) string {
		var b strings.Builder
		b.WriteString("package x\n")
		for _, p := range paths {
			if strings.HasPrefix(p, "~/") {
				p = module + p[1:]
			}
			fmt.Fprintf(&b, "import _ %q\n", p)
		}
		return b.String()
	}
	use := func(pkg, expr string) string {
		return fmt.Sprintf("package x\nimport %q\nvar _ = %s\n", pkg, expr)
	}
	for _, tt := range []struct {
		rule func(*source) []violation
		path string
		text string
		want []string
	}{
		// Arrows between rooms.
		{arrows, "collector/sink.go", imp("~/alerter"), []string{"2: collector and alerter never import each other"}},
		{arrows, "collector/point/p.go", imp("fmt", "~/alerter/tally"), []string{"3: collector and alerter"}},
		{arrows, "collector/sink_test.go", imp("~/alerter/slack"), []string{"2: collector and alerter"}},
		{arrows, "alerter/pipeline/p.go", imp("~/collector/point"), []string{"2: collector and alerter"}},
		{arrows, "alerter/pipeline/p.go", imp("~/alerter/slack", "~/alerter", "~/internal/bus"), nil},
		{arrows, "alerter/pipeline/p.go", imp("~/internal/influx"), []string{"2: only the collector writes the database"}},
		{arrows, "alerter/slack/s.go", imp("~/alerter", "~/internal/fleet"), nil},
		{arrows, "alerter/slack/s.go", imp("~/alerter/incident"), []string{"2: meet only in alerter/pipeline"}},
		{arrows, "alerter/slack/s_test.go", imp("~/alerter/incident"), nil},
		{arrows, "internal/simulate/s.go", imp("~/alerter", "~/collector", "~/cmd/tillwatch"), []string{"2: internal/* imports neither", "3: internal/* imports neither", "4: nothing imports cmd"}},
		{arrows, "internal/fleettest/pipe/p.go", imp("~/alerter", "~/collector"), nil},
		{arrows, "internal/fleettest/pipe/p.go", imp("~/cmd/tillwatch"), []string{"2: nothing imports cmd"}},
		{arrows, "deploy/d_test.go", imp("~/cmd/tillwatch/app"), nil},
		{arrows, "deploy/d.go", imp("~/cmd/tillwatch/app"), []string{"2: nothing imports cmd"}},
		{arrows, "internal/fleettestish/p.go", imp("~/alerter"), []string{"2: internal/* imports neither"}}, // a name that only begins alike
		{arrows, "cmd/tillwatch/main.go", imp("~/alerter/pipeline", "~/collector", "~/cmd/tillwatch/flags"), nil},
		{arrows, "cmd/tillwatch/main.go", imp("~/internal/fleettest/natstest"), []string{"2: fleettest is for tests only"}},
		{arrows, "internal/bus/b.go", imp("~/internal/fleettest"), []string{"2: fleettest is for tests only"}},
		{arrows, "internal/bus/b_test.go", imp("~/internal/fleettest/natstest"), nil},
		{arrows, "collector/c.go", imp("github.com/other/alerter"), nil}, // of another module

		// Purity.
		{pure, "alerter/tally/t.go", imp("time", "sort", "context", "math/rand/v2", "~/alerter", "~/internal/fleet", "~/internal/fleet/carddata", "~/internal/schema"), nil},
		{pure, "alerter/tally/t.go", imp("os", "net/http", "log/slog", "io/fs", "crypto/rand"), []string{"2: no I/O", "3: no I/O", "4: has no logger", "5: no I/O", "6: no I/O"}},
		{pure, "alerter/tally/t_test.go", imp("os", "~/internal/bus"), nil},
		{pure, "alerter/pipeline/p.go", imp("os", "~/internal/bus"), nil},
		{pure, "alerter/a.go", imp("os/exec"), []string{"2: alerter is pure"}},
		{pure, "alerter/detect/d.go", imp("~/internal/bus", "~/alerter/tally", "~/collector"), []string{"2: it knows internal/fleet", "3: it knows internal/fleet", "4: it knows internal/fleet"}},
		{pure, "collector/point/p.go", imp("~/collector", "~/internal/schema"), nil},
		{pure, "internal/schema/s.go", imp("~/internal/config"), []string{"2: it knows internal/fleet"}},
		{pure, "internal/fleet/f.go", imp("github.com/cespare/xxhash/v2", "embed"), nil},
		{pure, "internal/fleet/f.go", imp("golang.org/x/text/width"), []string{"2: it knows no vendor library"}},
		{pure, "alerter/detect/d.go", imp("github.com/cespare/xxhash/v2"), []string{"2: it knows no vendor library"}},
		{pure, "alerter/detect/d.go", use("time", "time.Now()"), []string{"3: `now` is an argument"}},
		{pure, "alerter/detect/d.go", use("time", "time.Since"), []string{"3: uses time.Since"}}, // handed on without a call
		{pure, "alerter/detect/d.go", use("time", "[]any{time.After(1), time.NewTicker(1)}"), []string{"3: uses time.After", "3: uses time.NewTicker"}},
		{pure, "alerter/detect/d.go", "package x\nimport clock \"time\"\nvar _ = clock.Now()\n", []string{"3: uses time.Now"}},
		{pure, "alerter/detect/d.go", use("time", "time.Unix(0, 0).Add(time.Second)"), nil},
		{pure, "alerter/detect/d.go", use("fmt", "fmt.Sprint(1)"), nil},
		{pure, "alerter/detect/d.go", use("fmt", "fmt.Println"), []string{"3: uses fmt.Println"}},
		{pure, "alerter/detect/d.go", use("math/rand/v2", "rand.New(rand.NewPCG(1, 2)).IntN(3)"), nil},
		{pure, "alerter/detect/d.go", use("math/rand/v2", "rand.IntN(3)"), []string{"3: uses math/rand/v2.IntN"}},
		{pure, "alerter/detect/d.go", imp("math/rand"), []string{"2: no I/O"}},

		// Vendor libraries.
		{vendors, "internal/bus/b.go", imp("github.com/nats-io/nats.go/jetstream"), nil},
		{vendors, "collector/c.go", imp("github.com/nats-io/nats.go"), []string{"2: known to internal/bus, internal/embedded"}},
		{vendors, "internal/bus/b.go", imp("github.com/nats-io/nats-server/v2/server"), []string{"2: known to internal/embedded"}},
		{vendors, "collector/c.go", imp("github.com/influxdata/influxdb-client-go/v2/api"), []string{"2: known to internal/influx"}},
		{vendors, "alerter/pipeline/p.go", imp("github.com/slack-go/slack"), []string{"2: known to alerter/slack"}},
		{vendors, "alerter/check/c.go", imp("github.com/robfig/cron/v3"), nil},
		{vendors, "internal/service/s.go", imp("github.com/alecthomas/kong"), []string{"2: known to cmd/tillwatch"}},
		{vendors, "internal/embedded/e.go", imp("github.com/prometheus/client_golang/prometheus"), []string{"2: known to internal/service"}},
		{vendors, "internal/embedded/e_test.go", imp("github.com/prometheus/client_golang/prometheus/testutil", "github.com/google/go-cmp/cmp", "pgregory.net/rapid"), nil},
		{vendors, "collector/c.go", imp("github.com/google/go-cmp/cmp"), []string{"2: known to tests only"}},
		{vendors, "dashboards/d.go", imp("github.com/compose-spec/compose-go/v2/loader"), []string{"2: known to tests only"}},
		{vendors, "deploy/d_test.go", imp("github.com/compose-spec/compose-go/v2/loader"), nil},
		{vendors, "collector/c.go", imp("github.com/new/thing", "net/http", "~/internal/bus"), []string{"2: every library has a row"}},
		{vendors, "collector/c.go", imp("github.com/cespare/xxhash"), []string{"2: every library has a row"}}, // v1 is another library

		// The process.
		{process, "cmd/tillwatch/main.go", "package main\nimport \"os\"\nimport _ \"os/signal\"\nfunc main() { os.Exit(1) }\n", nil},
		{process, "internal/service/s.go", imp("os/signal"), []string{"2: signals are only in cmd"}},
		{process, "collector/c.go", "package x\nimport \"os\"\nfunc f() {\n\tos.Exit(1)\n}\n", []string{"4: only cmd ends the process"}},
		{process, "collector/c.go", use("os", "os.Args"), nil},
		{process, "collector/c_test.go", use("os", "os.Exit"), nil},
		{process, "cmd/tillwatch/main.go", use("log", "log.Fatalf"), []string{"3: nothing calls Fatal"}},
		{process, "collector/c_test.go", use("log", "log.Panicln"), []string{"3: nothing calls Fatal"}},
		{process, "collector/c.go", "package x\nimport . \"fmt\"\n", []string{"2: shows its name"}},

		// Length.
		{size, "collector/c.go", "package x\n" + strings.Repeat("\n", maxLines-1), nil},
		{size, "collector/c.go", "package x\n" + strings.Repeat("\n", maxLines), []string{"601: at most 600 lines"}},
	} {
		s, err := parse(tt.path, []byte(tt.text))
		if err != nil {
			t.Fatalf("%s: %v\n%s", tt.path, err, tt.text)
		}
		compare(t, tt.path, tt.text, tt.rule(s), tt.want)
	}
}

func TestDocsFindsBreaches(t *testing.T) {
	const good = "// Package x turns a into b.\npackage x\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"one":          {map[string]string{"a/doc.go": good, "a/x.go": "package x\n"}, nil},
		"none":         {map[string]string{"a/x.go": "package x\n"}, []string{"1: no file of a has a package doc"}},
		"two":          {map[string]string{"a/doc.go": good, "a/x.go": good}, []string{"1: second package doc"}},
		"in a test":    {map[string]string{"a/x_test.go": good}, []string{"1: no file of a has a package doc"}},
		"other words":  {map[string]string{"a/x.go": "// This package is x.\npackage x\n"}, []string{"1: begins otherwise"}},
		"other name":   {map[string]string{"a/x.go": "// Package y is x.\npackage x\n"}, []string{"1: begins otherwise"}},
		"detached":     {map[string]string{"a/x.go": "// Package x is x.\n\npackage x\n"}, []string{"1: no file of a has a package doc"}},
		"command":      {map[string]string{"cmd/a/main.go": "// Command a does it.\npackage main\n"}, nil},
		"each its own": {map[string]string{"a/doc.go": good, "a/b/x.go": "package x\n"}, []string{"1: no file of a/b has"}},
	} {
		var in []*source
		for path, text := range tt.files {
			s, err := parse(path, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			in = append(in, s)
		}
		compare(t, name, fmt.Sprint(tt.files), docs(in), tt.want)
	}
}

func TestSleepsFindsBreaches(t *testing.T) {
	const sleep = "package x\nimport \"time\"\nfunc f() { time.Sleep(1) }\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"a test":         {map[string]string{"a/x_test.go": sleep}, []string{"3: tests do not sleep"}},
		"no test":        {map[string]string{"a/x.go": sleep}, nil},
		"a bubble":       {map[string]string{"a/x_test.go": sleep, "a/y_test.go": "package x\nimport _ \"testing/synctest\"\n"}, nil},
		"another's":      {map[string]string{"a/x_test.go": sleep, "b/y_test.go": "package x\nimport _ \"testing/synctest\"\n"}, []string{"3: tests do not sleep"}},
		"something else": {map[string]string{"a/x_test.go": "package x\nimport \"time\"\nvar _ = time.NewTicker\n"}, nil},
	} {
		var in []*source
		for path, text := range tt.files {
			s, err := parse(path, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			in = append(in, s)
		}
		compare(t, name, fmt.Sprint(tt.files), sleeps(in), tt.want)
	}
}

func TestWordsFindsBreaches(t *testing.T) {
	for _, tt := range []struct {
		path, text string
		want       []string
	}{
		{"a.go", "x\n// TO" + "DO later\n", []string{"2: an unfinished thought"}},
		{"a.md", "FIX" + "ME: soon", []string{"1: an unfinished thought"}},
		{"a.go", "context.TO" + "DO()", []string{"1: an unfinished thought"}},
		{"a.go", "todo, METODO", nil},
		{"a.sh", "cd /wo" + "rk/main", []string{"1: a path of one machine"}},
		{"a.go", `os.ReadFile("/ro` + `ot/x")`, []string{"1: a path of one machine"}},
		{"a.yaml", "dir: /ho" + "me/jane/till", []string{"1: a path of one machine"}},
		{"a.yaml", "dir: /t" + "mp", []string{"1: a path of one machine"}},
		{"a.md", "`/Us" + "ers/jane`", []string{"1: a path of one machine"}},
		{".gitignore", "/t" + "mp/", nil},
		{"a.md", "see https://example.com/wo" + "rk/x and frame/wo" + "rk and a/t" + "mp/b, /var/lib, /home", nil},
		{"a.md", "https://pro" + "xy.golang.org", []string{"1: the host of a package registry"}},
		{"a.md", "SUM.golang" + ".org", []string{"1: the host of a package registry"}},
		{"a.txt", "registry.npm" + "js.org/x", []string{"1: the host of a package registry"}},
		{"Dockerfile", "ENV GO" + "PROXY=https://mirror.example.com", []string{"1: a registry or proxy set to an address"}},
		{"a.sh", "export https_" + "proxy=http://10.0.0.1:3128", []string{"1: a registry or proxy set to an address"}},
		{"a.go", `"GO` + `PROXY=off"`, nil},
		{"a.go", "http.ProxyFromEnvironment // HTTP_PROXY is honoured", nil},
		{"a.yaml", "url: http://db.prod.cor" + "p:8086", []string{"1: a host of a private network"}},
		{"a.yaml", "url: http://host.docker.internal:8086", nil},
		{"a.go", "x.internal.y // internal/bus", nil},
		{"a.md", "proxies, golang.org/x/text, https://go.dev", nil},
	} {
		compare(t, tt.path, tt.text, words(tt.path, tt.text), tt.want)
	}
}

// compare wants exactly the given violations.
func compare(t *testing.T, name, text string, got []violation, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d violations, want %d in\n%s\ngot %v", name, len(got), len(want), text, got)
		return
	}
	for i, w := range want {
		line, says, _ := strings.Cut(w, ": ")
		v := got[i]
		if fmt.Sprint(v.line) != line || !strings.Contains(v.String(), says) {
			t.Errorf("%s: got %v\nwant line %s, and that it says %q", name, v, line, says)
		}
		if v.path == "" || v.what == "" || v.rule == "" || v.todo == "" {
			t.Errorf("%s: incomplete violation %+v", name, v)
		}
	}
}

func TestViolationIsReadable(t *testing.T) {
	const want = "collector/c.go:7: imports x\n\trule: r\n\tdo:   d"
	if got := (violation{"collector/c.go", 7, "imports x", "r", "d"}).String(); got != want {
		t.Errorf("got %q", got)
	}
}

func TestIsText(t *testing.T) {
	if !isText([]byte("无效商户\n")) || isText([]byte("PNG\x00")) || isText([]byte("\xc0\xcf")) || !isText(nil) {
		t.Error("text is told wrongly")
	}
}

// The tables name rooms as they are called: a slip would switch a rule off unseen.
func TestTablesNameRooms(t *testing.T) {
	known := []string{
		"cmd/tillwatch", "collector", "collector/point", "alerter", "alerter/pipeline", "alerter/tally", "alerter/detect",
		"alerter/localize", "alerter/diagnose", "alerter/check", "alerter/incident", "alerter/slack", "internal/fleet",
		"internal/fleet/carddata", "internal/bus", "internal/acquirer", "internal/influx", "internal/registry",
		"internal/schema", "internal/simulate", "internal/embedded", "internal/service", "internal/config",
		"internal/fleettest", "internal/arch", "dashboards", "deploy", everywhere,
	}
	for _, v := range table {
		for _, room := range slices.Concat(v.rooms, v.tests) {
			if !slices.Contains(known, room) {
				t.Errorf("%s: no room is called %q", v.library, room)
			}
		}
	}
	for _, room := range pureRooms {
		if !slices.Contains(known, room) {
			t.Errorf("no room is called %q", room)
		}
	}
}
