package slack

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// RenderOptions says how an incident is put into words. The zero value is English in UTC.
type RenderOptions struct {
	Language alerter.Language // "": English
	TimeZone *time.Location   // the acquirer's; nil: UTC
	// Meaning names a response code in the acquirer's code profile, such as "invalid merchant", or returns "" where the
	// profile does not know it. nil: 03 is named, no other code, because codes mean different things elsewhere.
	Meaning func(acquirer, code string, l alerter.Language) string
	Width   int // columns of Text; 0: 100
}

// page is an incident in words, before it is laid out for Slack or a terminal. All text is clean and not yet escaped.
type page struct {
	emoji    string
	tone     tone
	title    string   // one line: what and where
	state    string   // one sentence
	where    []string // alternatives
	place    string   // the same in one line
	facts    []fact
	findings []string
	causes   []cause
	steps    []string
	footer   string
}

type fact struct{ label, value string }

type cause struct {
	text     string
	evidence []string
}

// tone is the colour of a state.
type tone int

const (
	toneAlarm tone = iota
	toneOngoing
	toneOver
	toneMuted
)

const (
	maxFindings = 5
	maxCauses   = 3
	maxEvidence = 3
)

func compose(t *fleet.Transition, o RenderOptions) page {
	w := words{o}
	p := page{
		title: w.title(t),
		state: w.state(t),
		facts: w.facts(t),
		steps: alerter.NextSteps(t, o.Language),
	}
	var left int
	if p.where, left = w.scope(t.Scope); left > 0 {
		p.where = append(p.where, w.more(left))
	}
	p.place = w.place(t.Scope, maxScopes)
	switch t.Step {
	case fleet.StepResolved:
		p.emoji, p.tone = "✅", toneOver
	case fleet.StepAbsorbed:
		p.emoji, p.tone = "⚪", toneMuted
	case fleet.StepUpdated:
		p.emoji, p.tone = "🟠", toneOngoing
	default:
		p.emoji, p.tone = "🔴", toneAlarm
		if t.Severity == fleet.SeverityCritical {
			p.emoji = "🚨"
		}
	}
	for i := range t.Findings {
		if i == maxFindings {
			p.findings = append(p.findings, w.more(len(t.Findings)-i))
			break
		}
		p.findings = append(p.findings, w.finding(&t.Findings[i]))
	}
	for _, g := range t.Causes[:min(maxCauses, len(t.Causes))] {
		p.causes = append(p.causes, w.cause(g))
	}
	p.footer = w.footer(t)
	return p
}

// words speaks the language of its options.
type words struct{ o RenderOptions }

func (w words) zh() bool { return w.o.Language == alerter.Chinese }

func (w words) say(en, zh string) string {
	if w.zh() {
		return zh
	}
	return en
}

// count writes a number with its noun; Chinese takes the measure word in zh.
func (w words) count(n int64, one, many, zh string) string {
	switch {
	case w.zh():
		return fmt.Sprintf("%d%s", n, zh)
	case n == 1:
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (w words) more(n int) string {
	return w.say(fmt.Sprintf("… and %d more", n), fmt.Sprintf("……另有%d项", n))
}

// percent writes a share 0..1, or "" where it is none.
func percent(share float64) string {
	switch {
	case math.IsNaN(share) || share < 0:
		return ""
	case share > 1:
		share = 1
	}
	return fmt.Sprintf("%d %%", int(math.Round(share*100)))
}

// zone is never nil.
func (w words) zone() *time.Location {
	if w.o.TimeZone == nil {
		return time.UTC
	}
	return w.o.TimeZone
}

// instant writes a time with its offset. Abbreviations of zones are avoided: CST is four of them.
func (w words) instant(ms int64) string {
	t := time.UnixMilli(ms).In(w.zone())
	_, offset := t.Zone()
	sign := "+"
	if offset < 0 {
		sign, offset = "-", -offset
	}
	zone := "UTC"
	if offset != 0 {
		zone += fmt.Sprintf("%s%d", sign, offset/3600)
		if m := offset % 3600 / 60; m != 0 {
			zone += fmt.Sprintf(":%02d", m)
		}
	}
	return t.Format("2006-01-02 15:04:05 ") + zone
}

func (w words) day(ms int64) string { return time.UnixMilli(ms).In(w.zone()).Format(time.DateOnly) }

// duration writes the two largest units.
func (w words) duration(d time.Duration) string {
	d = max(0, d).Round(time.Second)
	units := []struct {
		size         time.Duration
		one, many, z string
	}{
		{24 * time.Hour, "day", "days", "天"}, {time.Hour, "hour", "hours", "小时"},
		{time.Minute, "minute", "minutes", "分"}, {time.Second, "second", "seconds", "秒"},
	}
	var parts []string
	for _, u := range units {
		n := d / u.size
		d -= n * u.size
		if n > 0 {
			parts = append(parts, w.count(int64(n), u.one, u.many, u.z))
		}
		if len(parts) == 2 || len(parts) == 1 && n == 0 {
			break
		}
	}
	if len(parts) == 0 {
		return w.count(0, "second", "seconds", "秒")
	}
	return strings.Join(parts, w.say(" ", ""))
}
