package slack

import (
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Slack's limits (docs.slack.dev, Block Kit reference), in characters; we count UTF-16 units after escaping, which is
// never less than what Slack counts.
const (
	maxHeader  = 150
	maxSection = 3000
	maxField   = 2000
	maxFields  = 10
	maxContext = 2000
	maxText    = 1000 // of the notification; Slack takes more and shows less
)

// Render puts an incident's transition into one message. It is pure, and whatever a transition holds the message is
// within Slack's limits and mentions nobody.
func Render(t *fleet.Transition, o RenderOptions) Message {
	p := compose(t, o)
	w := words{o}
	blocks := []slack.Block{
		slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, fit(p.emoji+" "+p.title, maxHeader), true, false)),
		section(bold(p.state) + "\n" + lines(p.where, bullet(p.where))),
	}
	if len(p.facts) > 0 {
		fields := make([]*slack.TextBlockObject, 0, maxFields)
		for _, f := range p.facts[:min(len(p.facts), maxFields)] {
			fields = append(fields, mrkdwn(bold(f.label)+"\n"+fit(f.value, maxField/2), maxField))
		}
		blocks = append(blocks, slack.NewSectionBlock(nil, fields, nil))
	}
	if len(p.findings) > 0 {
		blocks = append(blocks, section(bold(w.say("What explains it", "原因线索"))+"\n"+lines(p.findings, "• ")))
	}
	if len(p.causes) > 0 {
		blocks = append(blocks, section(bold(w.say("Probable cause", "可能原因"))+"\n"+causeLines(p.causes)))
	}
	if len(p.steps) > 0 {
		var b strings.Builder
		for i, s := range p.steps {
			fmt.Fprintf(&b, "%d. %s\n", i+1, fit(s, maxLine))
		}
		blocks = append(blocks, section(bold(w.say("Next steps", "下一步"))+"\n"+b.String()))
	}
	blocks = append(blocks, slack.NewContextBlock("", mrkdwn(fit(p.footer, maxContext), maxContext)))
	return Message{
		Text:     fit(p.emoji+" "+p.title+" · "+p.state, maxText),
		Blocks:   blocks,
		Metadata: metadata(t),
	}
}

// maxLine bounds a single line, so that a long one does not push the others out of its section: the longest section is
// ten lines, or three causes with eight pieces of evidence each at a quarter of a line.
const maxLine = 280

func bold(s string) string { return "*" + fit(strings.ReplaceAll(s, "*", "∗"), maxLine) + "*" }

// lines escapes texts one a line, each with a prefix.
func lines(texts []string, prefix string) string {
	var b strings.Builder
	for _, s := range texts {
		b.WriteString(prefix + fit(s, maxLine) + "\n")
	}
	return b.String()
}

// bullet marks the lines of a list; a list of one needs no mark.
func bullet(list []string) string {
	if len(list) > 1 {
		return "• "
	}
	return ""
}

func causeLines(causes []cause) string {
	var b strings.Builder
	for i, c := range causes {
		fmt.Fprintf(&b, "%d. %s\n", i+1, fit(c.text, maxLine))
		for _, e := range c.evidence {
			b.WriteString("      " + fit(e, maxLine/4) + "\n")
		}
	}
	return b.String()
}

// section takes text that is escaped already.
func section(escaped string) *slack.SectionBlock {
	return slack.NewSectionBlock(mrkdwn(escaped, maxSection), nil, nil)
}

// mrkdwn takes text that is escaped already and cuts it at a line's end where it must. Verbatim: Slack is to make no
// links or mentions of its own.
func mrkdwn(escaped string, limit int) *slack.TextBlockObject {
	escaped = strings.TrimRight(escaped, "\n ")
	for units(escaped) > limit {
		i := strings.LastIndexByte(escaped, '\n')
		if i < 0 {
			break // a single line is within its own bound
		}
		escaped = escaped[:i]
	}
	if escaped == "" {
		escaped = "–" // Slack refuses an empty text
	}
	return slack.NewTextBlockObject(slack.MarkdownType, escaped, false, true)
}
