package app_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tillwatch/tillwatch/alerter/pipeline"
	"github.com/tillwatch/tillwatch/alerter/tally"
	"github.com/tillwatch/tillwatch/cmd/tillwatch/app"
	"github.com/tillwatch/tillwatch/collector"
	"github.com/tillwatch/tillwatch/internal/acquirer"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/config"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/registry"
	"github.com/tillwatch/tillwatch/internal/service"
)

// pageOf returns one page of the documentation.
func pageOf(t *testing.T, path string) page {
	t.Helper()
	all := pages(t)
	i := slices.IndexFunc(all, func(p page) bool { return p.path == path })
	if i < 0 {
		t.Fatalf("there is no %s", path)
	}
	return all[i]
}

// text is everything that a page says, its code included.
func (p page) text() string {
	var b strings.Builder
	for _, l := range p.prose {
		b.WriteString(l.text + "\n")
	}
	for _, c := range p.blocks {
		b.WriteString(c.text + "\n")
	}
	return b.String()
}

// tableRow is a row of a Markdown table by the names of its columns, without backquotes around a whole cell.
type tableRow struct {
	n     int
	cells map[string]string
}

// rowsOf returns the rows of every table of a page whose header begins with the given columns.
func rowsOf(p page, columns ...string) (out []tableRow) {
	var header []string
	for _, l := range p.prose {
		inner, ok := strings.CutPrefix(l.text, "| ")
		if !ok {
			if !strings.HasPrefix(l.text, "|--") {
				header = nil
			}
			continue
		}
		cells := strings.Split(strings.TrimSuffix(inner, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case header == nil:
			header = cells
		case len(header) >= len(columns) && slices.Equal(header[:len(columns)], columns):
			r := tableRow{l.n, map[string]string{}}
			for i, c := range cells[:min(len(cells), len(header))] {
				if inside, ok := strings.CutPrefix(c, "`"); ok && strings.Count(c, "`") == 2 && strings.HasSuffix(inside, "`") {
					c = strings.TrimSuffix(inside, "`")
				}
				r.cells[header[i]] = c
			}
			out = append(out, r)
		}
	}
	return out
}

var yamlKey = regexp.MustCompile(`^( *)([\w-]+):(?: +([^#\s].*))?`)

// exampleKeys are the keys of the example configuration that have a value, with <id> for its acquirer.
func exampleKeys() (keys []string) {
	type level struct {
		indent int
		name   string
	}
	var open []level
	in := bufio.NewScanner(bytes.NewReader(config.Example()))
	for in.Scan() {
		m := yamlKey.FindStringSubmatch(in.Text())
		if m == nil {
			continue
		}
		for len(open) > 0 && open[len(open)-1].indent >= len(m[1]) {
			open = open[:len(open)-1]
		}
		open = append(open, level{len(m[1]), m[2]})
		if m[3] == "" {
			continue
		}
		var names []string
		for _, l := range open {
			names = append(names, l.name)
		}
		keys = append(keys, strings.Replace(strings.Join(names, "."), "acquirers.a1.", "acquirers.<id>.", 1))
	}
	return keys
}

// notDefault says what is wrong with a documented default: a file that states only this key must change nothing.
func notDefault(key, value string) error {
	want := config.Default()
	if strings.HasPrefix(key, "acquirers.<id>.") {
		want.Acquirers["a1"] = config.DefaultAcquirer()
	}
	var b strings.Builder
	names := strings.Split(strings.Replace(key, "<id>", "a1", 1), ".")
	for i, name := range names {
		fmt.Fprintf(&b, "%s%s:", strings.Repeat("  ", i), name)
		if i < len(names)-1 {
			b.WriteByte('\n')
		}
	}
	got, err := config.Parse(key, []byte(b.String()+" "+value+"\n"))
	if err != nil {
		return err
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(config.Config{})); diff != "" {
		return fmt.Errorf("is not the default (-default +documented):\n%s", diff)
	}
	return nil
}

// TestDocsConfigurationKeys checks that configuration.md has every key of the example once, with its default, and no other.
func TestDocsConfigurationKeys(t *testing.T) {
	p := pageOf(t, "docs/configuration.md")
	keys := exampleKeys()
	seen := map[string]bool{}
	for _, r := range rowsOf(p, "key", "default") {
		key := r.cells["key"]
		if seen[key] {
			t.Errorf("%s:%d: %s is there twice", p.path, r.n, key)
		}
		seen[key] = true
		if !slices.Contains(keys, key) {
			t.Errorf("%s:%d: %s is not in the example configuration", p.path, r.n, key)
		}
		if err := notDefault(key, r.cells["default"]); err != nil {
			t.Errorf("%s:%d: %s: %v", p.path, r.n, key, err)
		}
		if r.cells["meaning"] == "" && key != "checks.merchant-status.enabled" {
			t.Errorf("%s:%d: %s means nothing", p.path, r.n, key)
		}
	}
	for _, key := range keys {
		if !seen[key] {
			t.Errorf("%s has no row for the key %s", p.path, key)
		}
	}
	t.Logf("figure: documentation: %d configuration keys with their defaults", len(seen))
	if len(keys) < 40 || !slices.Contains(keys, "acquirers.<id>.directory.retries") {
		t.Errorf("%d keys in the example: it is not read as it should be: %v", len(keys), keys)
	}
	for _, bad := range [][2]string{{"collect.batch", "2001"}, {"collect.batches", "2000"}, {"acquirers.<id>.source", "switch"}, {"alert.hold", "20"}} {
		if notDefault(bad[0], bad[1]) == nil {
			t.Errorf("%v passes for a default, so that anything would", bad)
		}
	}
}

var flagName = regexp.MustCompile(`--[a-z][a-z-]*[a-z]`)

// TestDocsConfigurationFlags checks that configuration.md has every flag of the services and every variable that they
// ask for, and no flag that is none.
func TestDocsConfigurationFlags(t *testing.T) {
	p := pageOf(t, "docs/configuration.md")
	known := map[string]bool{}
	for _, c := range []string{"collect", "alert", "up"} {
		_, help, _ := command(t, nil, c, "--help")
		for _, f := range flagName.FindAllString(help, -1) {
			known[f] = true
		}
	}
	said := map[string]bool{}
	for _, f := range flagName.FindAllString(p.text(), -1) {
		said[f] = true
	}
	for f := range known {
		if f != "--help" && !said[f] {
			t.Errorf("%s does not name the flag %s", p.path, f)
		}
	}
	for f := range said {
		if !known[f] {
			t.Errorf("%s names %s, which is no flag of a service", p.path, f)
		}
	}
	for _, r := range rowsOf(p, "key", "default", "flag") {
		if f := r.cells["flag"]; f != "" && !known[f] {
			t.Errorf("%s:%d: %q is no flag", p.path, r.n, f)
		}
	}

	file := filepath.Join(t.TempDir(), "c.yaml")
	write(t, file, "acquirers: {a-1: {}}\n")
	asked := map[string]bool{}
	var out, errs bytes.Buffer
	getenv := func(name string) string { asked[name] = true; return "" }
	for _, c := range []string{"alert", "collect", "up"} {
		if code := app.Run(t.Context(), []string{c, "--config", file, "--validate"}, app.Process{Getenv: getenv, Stdout: &out, Stderr: &errs}); code != 0 {
			t.Fatalf("%s: %s", c, &errs)
		}
	}
	named := 0
	for name := range asked {
		flag := "--" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "TILLWATCH_"), "_", "-"))
		if known[flag] {
			continue
		}
		if named++; !strings.Contains(p.text(), "`"+name+"`") {
			t.Errorf("%s does not name the variable %s, which is read", p.path, name)
		}
	}
	t.Logf("figure: documentation: %d flags, %d variables without one", len(known), named)
	if !asked["SLACK_WEBHOOK_URL"] || !asked["TILLWATCH_DIRECTORY_TOKEN_A_1"] || !asked["TILLWATCH_INFLUX_TOKEN"] || len(known) < 20 {
		t.Errorf("%d flags, variables %v: they are not found as they should be", len(known), slices.Sorted(maps.Keys(asked)))
	}
}

// TestDocsConfigurationFiles checks every file and answer that configuration.md shows by what reads it.
func TestDocsConfigurationFiles(t *testing.T) {
	p := pageOf(t, "docs/configuration.md")
	shown := map[string]int{}
	for _, b := range p.blocks {
		shown[b.info]++
		switch b.info {
		case "csv profile":
			if _, err := fleet.ParseProfile("own", strings.NewReader(b.text)); err != nil {
				t.Errorf("%s:%d: %v", p.path, b.n, err)
			}
		case "csv merchants":
			if ms, err := registry.ReadMerchants("merchants.csv", strings.NewReader(b.text)); err != nil || len(ms) == 0 {
				t.Errorf("%s:%d: %d merchants, %v", p.path, b.n, len(ms), err)
			}
		case "json answer":
			if a, err := asks(t, b.text); err != nil || a.Status == fleet.MerchantActive || a.Since == 0 {
				t.Errorf("%s:%d: taken for %+v, %v", p.path, b.n, a, err)
			}
		}
	}
	if shown["csv profile"] == 0 || shown["csv merchants"] == 0 || shown["json answer"] == 0 {
		t.Errorf("blocks found: %v, want a profile, merchants and an answer", shown)
	}
	if _, err := asks(t, `{"merchant":"898440153110001","status":"open"}`); err == nil {
		t.Error("any answer is taken")
	}
	for _, d := range fleet.Domains() {
		if !strings.Contains(p.text(), "`"+string(d)+"`") {
			t.Errorf("%s does not name the domain %s", p.path, d)
		}
	}
	for _, c := range registry.MerchantColumns {
		if !strings.Contains(p.text(), "`"+c+"`") {
			t.Errorf("%s does not name the column %s of the merchants file", p.path, c)
		}
	}
}

// asks has an acquirer give this answer about merchant 898440153110001, and returns what it is taken for.
func asks(t *testing.T, body string) (fleet.Answer, error) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
	defer s.Close()
	h, err := acquirer.NewHTTP(acquirer.HTTPOptions{Acquirer: "a1", URL: s.URL + "/{merchant}", Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	return h.MerchantStatus(t.Context(), "898440153110001")
}

// descriptions is a registry that only describes: a counter with labels shows nothing in a true one before it counts.
type descriptions struct {
	prometheus.Registerer
	descs []*prometheus.Desc
}

func (d *descriptions) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		ch := make(chan *prometheus.Desc)
		go func() { defer close(ch); c.Describe(ch) }()
		for desc := range ch {
			d.descs = append(d.descs, desc)
		}
	}
}

var (
	descText   = regexp.MustCompile(`fqName: "([^"]+)".* variableLabels: \{([^}]*)\}`)
	metricName = regexp.MustCompile(`tillwatch_[a-z0-9_]+`)
)

type noSink struct{}

func (noSink) Write(context.Context, string, []byte) error { return nil }

// metricsOf returns the metrics of the services with their labels, sorted and joined, as they are registered.
func metricsOf(t *testing.T) map[string]string {
	t.Helper()
	var d descriptions
	if _, err := collector.New(collector.Options{
		Bus: new(bus.Conn), Sink: noSink{}, Registry: &d, Acquirer: func(string) collector.Acquirer { return collector.Acquirer{} },
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := pipeline.New(pipeline.Options{
		Bus: new(bus.Conn), Registry: &d, Acquirer: func(string) tally.Acquirer { return tally.Acquirer{} },
		Region: func(_, _ string) string { return "" }, Outlet: func(pipeline.Term) (pipeline.Outlet, error) { return nil, nil },
	}); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, desc := range d.descs {
		m := descText.FindStringSubmatch(desc.String())
		if m == nil {
			t.Fatalf("a description that cannot be read: %s", desc)
		}
		labels := strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' })
		slices.Sort(labels)
		out[m[1]] = strings.Join(labels, ",")
	}
	health, err := service.NewHealth(nil, service.Condition{Name: "bus", Title: "x"})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	if _, err := service.NewServer(service.Options{Addr: "127.0.0.1:0", Registry: reg, Health: health}); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "tillwatch_") {
			continue // of the Go runtime
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		out[f.GetName()] = strings.Join(labels, ",")
	}
	return out
}

// TestDocsMetrics checks that operations.md has a row for every metric, with its labels, and that no page names another.
func TestDocsMetrics(t *testing.T) {
	known := metricsOf(t)
	p := pageOf(t, "docs/operations.md")
	seen := map[string]bool{}
	for _, r := range rowsOf(p, "metric", "meaning") {
		name, labels, _ := strings.Cut(strings.TrimSuffix(r.cells["metric"], "}"), "{")
		seen[name] = true
		if want, ok := known[name]; ok && labels != want {
			t.Errorf("%s:%d: %s has the labels %q, want %q", p.path, r.n, name, labels, want)
		}
	}
	for name := range known {
		if !seen[name] {
			t.Errorf("%s has no row for %s", p.path, name)
		}
	}
	t.Logf("figure: documentation: %d metrics with their labels", len(known))
	if len(known) < 15 || known["tillwatch_collector_messages_total"] != "outcome,stream" || known["tillwatch_condition_ok"] != "condition,severity" {
		t.Errorf("%d metrics found, and not as they are: %v", len(known), known)
	}
	named := 0
	for _, p := range pages(t) {
		for _, name := range metricName.FindAllString(p.text(), -1) {
			named++
			if _, ok := known[name]; !ok {
				t.Errorf("%s names %s, which is no metric", p.path, name)
			}
		}
	}
	if named <= len(known) {
		t.Errorf("%d metrics named on all pages: they are not read as they should be", named)
	}
}
