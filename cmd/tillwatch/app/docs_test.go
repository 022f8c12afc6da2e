package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/simulate"
)

var (
	linkTarget = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codeSpan   = regexp.MustCompile("`[^`]*`")
)

// brokenLinks are the relative links of a page that lead nowhere under root.
func brokenLinks(root string, p page) (checked int, broken []string) {
	for _, l := range p.prose {
		for _, m := range linkTarget.FindAllStringSubmatch(codeSpan.ReplaceAllString(l.text, "``"), -1) {
			u, err := url.Parse(m[1])
			if err == nil && u.Scheme != "" {
				continue
			}
			checked++
			wrong := func(why string) {
				broken = append(broken, fmt.Sprintf("%s:%d: link %q: %s", p.path, l.n, m[1], why))
			}
			if err != nil {
				wrong(err.Error())
				continue
			}
			target := p
			if u.Path != "" {
				file := filepath.Join(root, filepath.Dir(p.path), u.Path)
				info, err := os.Stat(file)
				if err != nil {
					wrong("there is no such file")
					continue
				}
				if info.IsDir() || filepath.Ext(file) != ".md" {
					continue
				}
				raw, err := os.ReadFile(file)
				if err != nil {
					wrong(err.Error())
					continue
				}
				target = readPage(u.Path, string(raw))
			}
			if u.Fragment != "" && !anchors(target)[u.Fragment] {
				wrong("there is no such heading")
			}
		}
	}
	return checked, broken
}

// TestDocsLinks checks that every relative link of the documentation leads to a file, and to a heading where it names
// one.
func TestDocsLinks(t *testing.T) {
	checked := 0
	for _, p := range pages(t) {
		n, broken := brokenLinks(repository, p)
		checked += n
		for _, b := range broken {
			t.Error(b)
		}
	}
	t.Logf("figure: documentation: %d relative links", checked)
	if checked < 20 {
		t.Errorf("%d relative links found, want more: the pages are not read as they should be", checked)
	}
	_, broken := brokenLinks(repository, readPage("docs/x.md", "# Now then\n[a](none.md) [b](../README.md) [c](#now-then) [d](#never) [e](https://example.com/none) `[f](g.md)`\n\n    [h](i.md)\n"))
	if len(broken) != 2 || !strings.Contains(broken[0], "none.md") || !strings.Contains(broken[1], "#never") {
		t.Errorf("of a page with two broken links: %q", broken)
	}
}

// refusal is what the command line's own parser has against args, "" for nothing. With --help behind them they are
// parsed and not run.
func refusal(t *testing.T, args []string) string {
	t.Helper()
	code, out, errs := command(t, nil, append(args, "--help")...)
	if code == 0 && out != "" {
		return ""
	}
	first, _, _ := strings.Cut(errs, "\n")
	return fmt.Sprintf("exit code %d: %s", code, first)
}

// TestDocsCommands checks that every tillwatch command of the documentation is one: its subcommand, flags and values.
func TestDocsCommands(t *testing.T) {
	all := pages(t)
	t.Chdir(t.TempDir()) // some flags want a file that exists
	write(t, "faults.yaml", "faults: []\n")
	checked, seen := 0, map[string]bool{}
	for _, p := range all {
		for _, l := range commandLines(p) {
			checked++
			args, err := shellWords(l.text)
			if err != nil {
				t.Errorf("%s:%d: tillwatch %s: %v", p.path, l.n, l.text, err)
				continue
			}
			if len(args) > 0 {
				seen[args[0]] = true
			}
			if why := refusal(t, args); why != "" {
				t.Errorf("%s:%d: tillwatch %s: %s", p.path, l.n, l.text, why)
			}
		}
	}
	t.Logf("figure: documentation: %d tillwatch commands, %d subcommands", checked, len(seen))
	for _, want := range []string{"up", "alert", "simulate"} {
		if !seen[want] {
			t.Errorf("no command with %q found: the pages are not read as they should be", want)
		}
	}
	for _, bad := range [][]string{{"colect"}, {"collect", "--nats", "x"}, {"simulate", "--for", "soon"}, {"simulate", "--scenario", "none.yaml"}} {
		if refusal(t, bad) == "" {
			t.Errorf("%v is not refused, so that nothing would be", bad)
		}
	}
	found := commandLines(readPage("x.md", "Say:\n\n    A=b tillwatch up \\\n      --demo # now\n\n```sh\n$ go run ./cmd/tillwatch version\ntillwatches\n```\n"))
	if len(found) != 2 || found[0].n != 3 || found[1].text != "version" || found[1].n != 7 {
		t.Errorf("commands of a page that has two: %+v", found)
	}
}

// decodeExample decodes an example of messages.md by the word behind its fence. Bodies that only Tillwatch writes must
// have no field that it does not.
func decodeExample(kind string, body []byte) error {
	strict := func(into any) error {
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		return d.Decode(into)
	}
	key := fleet.Key{Acquirer: "a1", Terminal: "00000001"}
	switch kind {
	case "txn":
		return fleet.DecodeTxn(body, key, new(fleet.Txn))
	case "heartbeat":
		return fleet.DecodeHeartbeat(body, key, new(fleet.Heartbeat))
	case "deadletter":
		return strict(new(bus.DeadLetter))
	case "finding":
		return strict(new(fleet.Finding))
	case "incident":
		return strict(new(fleet.Transition))
	case "rows":
		return strict(new(fleet.Rows))
	case "answer":
		return strict(new(fleet.Answer))
	case "truth":
		return strict(new(simulate.Truth))
	}
	return fmt.Errorf("the fence says %q: want the kind of body behind json, such as ```json txn", kind)
}

// TestDocsMessages checks every body that the documentation shows against its decoder, and every event that it publishes
// with the nats command line: subject, body, id.
func TestDocsMessages(t *testing.T) {
	kinds, published := map[string]int{}, 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if kind, ok := strings.CutPrefix(b.info, "json"); ok && (p.path == "docs/messages.md" || p.path == "docs/simulator.md") {
				kind = strings.TrimSpace(kind)
				kinds[kind]++
				if err := decodeExample(kind, []byte(b.text)); err != nil {
					t.Errorf("%s:%d: %v", p.path, b.n, err)
				}
			}
			for l := range strings.SplitSeq(b.text, "\n") {
				if !strings.HasPrefix(l, "nats pub ") && !strings.HasPrefix(l, "nats req ") {
					continue
				}
				published++
				if err := publishes(l); err != nil {
					t.Errorf("%s:%d: %s: %v", p.path, b.n, l, err)
				}
			}
		}
	}
	t.Logf("figure: documentation: examples of bodies %v, %d events published by hand", kinds, published)
	for _, kind := range []string{"txn", "heartbeat", "deadletter", "finding", "incident", "rows", "answer", "truth"} {
		if kinds[kind] == 0 {
			t.Errorf("no example of a %s", kind)
		}
	}
	if published < 2 {
		t.Errorf("%d events published by hand, want those of README.md and messages.md", published)
	}
	for _, bad := range []string{
		`nats pub fleet.v1.a1.1.txn '{"ts":1,"id":"x"}'`,
		`nats pub fleet.v1.a1.1.sale '{"ts":1,"id":"x","code":"03"}'`,
		`nats pub fleet.v1.a1.1.txn '{"ts":1,"id":"x","code":"03"}' -H 'Nats-Msg-Id:a1.1.txn.terminal.y'`,
	} {
		if publishes(bad) == nil {
			t.Errorf("%s: not refused, so that nothing would be", bad)
		}
	}
}

// publishes checks one event that is published with the nats command line.
func publishes(l string) error {
	// What the shell would put in: the present, in seconds.
	words, err := shellWords(strings.NewReplacer("$(date +%s000)", "1795521324000", "$(date +%s)", "1795521324").Replace(l))
	if err != nil {
		return err
	}
	if len(words) < 4 {
		return fmt.Errorf("%d words, want a subject and a body", len(words))
	}
	key, kind, err := fleet.ParseSubject(words[2])
	if err != nil {
		return err
	}
	var id string
	if kind == fleet.KindHeartbeat {
		var h fleet.Heartbeat
		err = fleet.DecodeHeartbeat([]byte(words[3]), key, &h)
		id = key.HeartbeatMsgID(h.Boot, h.Seq)
	} else {
		var x fleet.Txn
		err = fleet.DecodeTxn([]byte(words[3]), key, &x)
		id = key.TxnMsgID(x.Src, x.ID)
	}
	if err != nil {
		return err
	}
	for _, w := range words[4:] {
		if got, ok := strings.CutPrefix(w, "Nats-Msg-Id:"); ok && got != id {
			return fmt.Errorf("the header's id is %q, want %q", got, id)
		}
	}
	return nil
}

// TestDocsScenarios checks that every scenario of the documentation fits the fleet that it is shown with, and that the
// configuration beside it is valid.
func TestDocsScenarios(t *testing.T) {
	checked, configured := 0, 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.info == "yaml" && p.path == "docs/simulator.md" && !strings.Contains(b.text, "faults:") {
				configured++
				file := filepath.Join(t.TempDir(), "sim.yaml")
				write(t, file, b.text)
				if code, _, errs := command(t, nil, "up", "--config", file, "--validate"); code != 0 {
					t.Errorf("%s:%d: %s", p.path, b.n, errs)
				}
			}
			if b.info != "yaml" || !strings.Contains(b.text, "faults:") {
				continue
			}
			checked++
			s, err := simulate.ParseScenario(fmt.Sprintf("%s:%d", p.path, b.n), []byte(b.text))
			if err == nil {
				_, err = simulate.New(simulate.Options{Terminals: 300, Seed: 1, Scenario: s})
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	if checked == 0 || configured == 0 {
		t.Errorf("%d scenarios and %d configurations found, want some of both", checked, configured)
	}
	// The page has a row for every cause.
	raw, err := os.ReadFile(filepath.Join(repository, "docs", "simulator.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, cause := range simulate.Causes() {
		if !bytes.Contains(raw, []byte("\n| `"+cause+"` |")) {
			t.Errorf("docs/simulator.md has no row for the cause %q", cause)
		}
	}
}
