package slack

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/fleettest/slacktest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestRender holds every case file against what it was last found right to be: the transition is the input, the
// message as Slack gets it and the text of a terminal are the output.
func TestRender(t *testing.T) {
	files, err := filepath.Glob("testdata/render/*.txtar")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d case files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in := map[string]string{}
			for _, f := range a.Files {
				in[f.Name] = string(f.Data)
			}
			var o RenderOptions
			for line := range strings.Lines(in["options"]) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				switch key {
				case "language":
					o.Language, err = alerter.ParseLanguage(value)
				case "zone":
					o.TimeZone, err = time.LoadLocation(value)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			var tr fleet.Transition
			if err := json.Unmarshal([]byte(in["transition.json"]), &tr); err != nil {
				t.Fatal(err)
			}
			m := Render(&tr, o)
			checkMessage(t, m)
			var buf bytes.Buffer
			enc := json.NewEncoder(&buf)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", " ")
			if err := enc.Encode(map[string]any{"text": m.Text, "blocks": m.Blocks, "metadata": m.Metadata}); err != nil {
				t.Fatal(err)
			}
			text := Text(&tr, o, false)
			if strip(Text(&tr, o, true)) != text {
				t.Errorf("the coloured text differs in more than colours")
			}
			want := &txtar.Archive{Comment: a.Comment, Files: []txtar.File{
				{Name: "options", Data: []byte(in["options"])},
				{Name: "transition.json", Data: []byte(in["transition.json"])},
				{Name: "message.json", Data: buf.Bytes()},
				{Name: "terminal", Data: []byte(text)},
			}}
			if *update {
				if err := os.WriteFile(file, txtar.Format(want), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, f := range want.Files {
				if got := string(f.Data); in[f.Name] != got {
					t.Errorf("%s differs (rewrite with -update after looking):\ngot\n%s\nwant\n%s", f.Name, got, in[f.Name])
				}
			}
		})
	}
}

var ansi = regexp.MustCompile("\x1b\\[[0-9;]*m")

func strip(s string) string { return ansi.ReplaceAllString(s, "") }

type testingT interface {
	Helper()
	Errorf(string, ...any)
}

// checkMessage demands what must hold of every message.
func checkMessage(t testingT, m Message) {
	t.Helper()
	raw, err := json.Marshal(m.Blocks)
	if err != nil {
		t.Errorf("blocks do not encode: %v", err)
	}
	if word := slacktest.CheckBlocks(raw); word != "" {
		t.Errorf("Slack would answer %s to\n%s", word, raw)
	}
	if m.Text == "" || units(m.Text) > maxText {
		t.Errorf("notification text of %d characters", units(m.Text))
	}
	meta, err := json.Marshal(m.Metadata)
	if err != nil || len(meta) > 2000 {
		t.Errorf("metadata of %d bytes, %v", len(meta), err)
	}
	for _, s := range texts(raw, m.Text) {
		if strings.ContainsAny(s, "<>") {
			t.Errorf("unescaped brackets in %q", s)
		}
		if bad := badEntity.FindString(entity.ReplaceAllString(s, "")); bad != "" {
			t.Errorf("an ampersand that is no entity, or a broken entity, in %q", s)
		}
		for _, r := range s {
			if r != '\n' && (r < ' ' || r == 0x7f || r >= 0x202a && r <= 0x202e) {
				t.Errorf("control character %U in %q", r, s)
			}
		}
	}
}

var (
	entity    = regexp.MustCompile(`&(amp|lt|gt);`)
	badEntity = regexp.MustCompile(`&`)
)

// texts returns every text of a message.
func texts(blocks []byte, more ...string) []string {
	var tree any
	if json.Unmarshal(blocks, &tree) != nil {
		return more
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for k, e := range v {
				if s, ok := e.(string); ok && k == "text" {
					more = append(more, s)
				}
				walk(e)
			}
		}
	}
	walk(tree)
	return more
}

// anyTransition draws whatever the types allow, with the values that are known to hurt.
func anyTransition(t *rapid.T) *fleet.Transition {
	text := rapid.OneOf(
		rapid.SampledFrom([]string{"", "a1", "<!channel>", "&&&&&", "<>&", "\x1b]0;x\x07", "\xff\xfe", strings.Repeat("长", 3100),
			strings.Repeat("<", 700), strings.Repeat("😀", 400), "a\nb\r\nc", "\u202e\u200b", "*_~`", "2.4.1"}),
		rapid.String(),
		rapid.StringMatching(`[ -~]{0,300}`),
	)
	words := rapid.SliceOfN(text, 0, 12)
	count := rapid.OneOf(rapid.Int64Range(0, 1000), rapid.Int64())
	share := rapid.OneOf(rapid.Float64Range(0, 1), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 2, 1e300}))
	id := rapid.OneOf(rapid.SampledFrom([]string{"unknown", "software_conflict", "merchant_not_active", "not_filed"}), text)
	attrs := rapid.MapOfN(rapid.OneOf(rapid.SampledFrom([]string{"acquirer", "region", "model", "app", "merchant", "terminal"}), text), text, 0, 7)
	check := rapid.OneOf(rapid.Just("merchant-status"), text)
	value := rapid.OneOf(rapid.SampledFrom([]string{"cancelled", "suspended", "active"}), text)
	tr := &fleet.Transition{
		At: count.Draw(t, "at"), Incident: text.Draw(t, "incident"), N: rapid.Int().Draw(t, "n"),
		Step:   rapid.SampledFrom([]fleet.IncidentStep{"opened", "updated", "resolved", "absorbed", "", "<?>"}).Draw(t, "step"),
		Reason: text.Draw(t, "reason"),
		Kind:   rapid.SampledFrom([]fleet.IncidentKind{"spike", "dead_till", "silence", "pipeline", "finding", ""}).Draw(t, "kind"),
		Code:   rapid.OneOf(rapid.Just("03"), text).Draw(t, "code"), Acquirer: text.Draw(t, "acquirer"),
		Severity: fleet.Severity(rapid.OneOf(rapid.Just("critical"), text).Draw(t, "severity")),
		Scope:    rapid.SliceOfN(attrs, 0, 40).Draw(t, "scope"), Explained: share.Draw(t, "explained"),
		Observed: count.Draw(t, "observed"), Expected: share.Draw(t, "expected"), Transactions: count.Draw(t, "transactions"),
		Terminals: int(count.Draw(t, "terminals")), Merchants: int(count.Draw(t, "merchants")), Since: count.Draw(t, "since"),
		AbsorbedBy: text.Draw(t, "absorbed_by"),
	}
	for range rapid.IntRange(0, 8).Draw(t, "causes") {
		tr.Causes = append(tr.Causes, fleet.CauseGuess{ID: id.Draw(t, "id"), Weight: share.Draw(t, "weight"), For: words.Draw(t, "for"), Against: words.Draw(t, "against")})
	}
	for range rapid.IntRange(0, 8).Draw(t, "findings") {
		tr.Findings = append(tr.Findings, fleet.Finding{
			Check: check.Draw(t, "check"), Value: value.Draw(t, "value"), Acquirer: text.Draw(t, "acquirer"),
			Merchant: text.Draw(t, "merchant"), Message: text.Draw(t, "message"), Since: count.Draw(t, "since"),
		})
	}
	return tr
}

func TestAnyTransitionRendersWithinLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := anyTransition(t)
		o := RenderOptions{
			Language: rapid.SampledFrom([]alerter.Language{"", alerter.English, alerter.Chinese}).Draw(t, "language"),
			Width:    rapid.IntRange(40, 200).Draw(t, "width"),
		}
		checkMessage(t, Render(tr, o))
		text := Text(tr, o, false)
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if n := columns(line); n > o.Width {
				t.Errorf("line of %d columns, want at most %d: %q", n, o.Width, line)
			}
			for _, r := range line {
				if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
					t.Errorf("control character %U in %q", r, line)
				}
			}
		}
		if strip(Text(tr, o, true)) != text {
			t.Errorf("the coloured text differs in more than colours")
		}
	})
}

// TestFitKeepsWhole holds fit to its promise: cut text is a prefix of the whole, and everything that fits is whole.
func TestFitKeepsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[<>&a]{0,60}`)).Draw(t, "s")
		limit := rapid.IntRange(1, 80).Draw(t, "limit")
		got := fit(s, limit)
		if units(got) > limit {
			t.Fatalf("fit(%q, %d) = %q of %d units", s, limit, got, units(got))
		}
		unescape := strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">")
		whole := fit(s, 1<<20)
		if units(whole) <= limit {
			if got != whole {
				t.Fatalf("fit(%q, %d) = %q, want all of it", s, limit, got)
			}
			return
		}
		cut, ok := strings.CutSuffix(got, "…")
		if !ok || !strings.HasPrefix(whole, cut) || !strings.HasPrefix(strings.ToValidUTF8(s, "\uFFFD"), unescape.Replace(cut)) {
			t.Fatalf("fit(%q, %d) = %q, want a prefix and an ellipsis", s, limit, got)
		}
	})
}

func TestMeaningComesFromTheProfile(t *testing.T) {
	tr := &fleet.Transition{Kind: fleet.IncidentSpike, Acquirer: "a1", Code: "97", Scope: fleet.Scope{{"acquirer": "a1"}}}
	o := RenderOptions{Meaning: func(acquirer, code string, l alerter.Language) string {
		if acquirer == "a1" && code == "97" && l == alerter.Chinese {
			return "终端未登记"
		}
		return ""
	}, Language: alerter.Chinese}
	if got, want := Text(tr, o, false), "🔴 终端未登记 (97)：收单机构 a1\n"; !strings.HasPrefix(got, want) {
		t.Errorf("text begins %q, want %q", got[:min(len(got), 60)], want)
	}
	o.Language = alerter.English
	if got, want := Text(tr, o, false), "🔴 Response code 97: acquirer a1\n"; !strings.HasPrefix(got, want) {
		t.Errorf("text begins %q, want %q", got[:min(len(got), 60)], want)
	}
}

func TestMetadataIncident(t *testing.T) {
	long := strings.Repeat("i", 300)
	short := MetadataIncident(long)
	switch {
	case MetadataIncident("spike.a1.1") != "spike.a1.1":
		t.Errorf("a short id is changed to %q", MetadataIncident("spike.a1.1"))
	case len(short) > maxMetadataID || MetadataIncident(short) != short:
		t.Errorf("a long id becomes %q of %d bytes, then %q", short, len(short), MetadataIncident(short))
	case short == MetadataIncident(long+"x"):
		t.Errorf("two long ids become one: %q", short)
	}
}
