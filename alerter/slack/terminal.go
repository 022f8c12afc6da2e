package slack

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/text/width"

	"github.com/tillwatch/tillwatch/alerter"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Terminal prints each transition it is told. It has no memory: what is notified twice is printed twice.
type Terminal struct {
	Out    io.Writer
	Color  bool                                  // ANSI colours; the caller knows whether Out is a terminal
	Render func(*fleet.Transition) RenderOptions // nil: the zero RenderOptions

	mu sync.Mutex // guards Out
}

var _ alerter.Notifier = (*Terminal)(nil)

// Notify prints t and an empty line. It returns what Out's Write returned.
func (n *Terminal) Notify(_ context.Context, t fleet.Transition) error {
	var o RenderOptions
	if n.Render != nil {
		o = n.Render(&t)
	}
	text := Text(&t, o, n.Color)
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := io.WriteString(n.Out, text+"\n"); err != nil {
		return fmt.Errorf("print incident %q: %w", t.Incident, err)
	}
	return nil
}

// ANSI sequences (ECMA-48 SGR).
const (
	ansiReset = "\x1b[0m"
	ansiBold  = "\x1b[1m"
	ansiDim   = "\x1b[2m"
)

var ansiTone = map[tone]string{
	toneAlarm: "\x1b[1;31m", toneOngoing: "\x1b[1;33m", toneOver: "\x1b[1;32m", toneMuted: "\x1b[2m",
}

// Text puts an incident's transition into lines for a terminal, ending in a newline. Lines are at most Width columns
// wide, counting Chinese characters as two; colours only where color is true. No sequence of the transition's own text
// reaches the terminal.
func Text(t *fleet.Transition, o RenderOptions, color bool) string {
	p := compose(t, o)
	w := words{o}
	l := layout{width: o.Width, color: color}
	if l.width <= 0 {
		l.width = 100
	}
	l.width = max(l.width, 40)

	l.block("", "   ", p.emoji+" "+p.title, ansiTone[p.tone])
	l.block("   ", "   ", p.state, ansiBold)
	label := 0
	rows := []fact{{w.say("Where", "范围"), p.place}}
	rows = append(rows, p.facts...)
	for _, r := range rows {
		label = max(label, columns(r.label))
	}
	for _, r := range rows {
		head := "   " + r.label + strings.Repeat(" ", label-columns(r.label)+2)
		l.block(head, strings.Repeat(" ", columns(head)), r.value, "")
	}
	l.list(w.say("What explains it", "原因线索"), p.findings, false)
	if len(p.causes) > 0 {
		l.block("   ", "   ", w.say("Probable cause", "可能原因"), ansiBold)
		for i, c := range p.causes {
			l.block(fmt.Sprintf("   %d. ", i+1), "      ", c.text, "")
			for _, e := range c.evidence {
				l.block("      ", "        ", e, ansiDim)
			}
		}
	}
	l.list(w.say("Next steps", "下一步"), p.steps, true)
	l.block("   ", "   ", p.footer, ansiDim)
	return l.b.String()
}

type layout struct {
	b     strings.Builder
	width int
	color bool
}

func (l *layout) list(title string, items []string, numbered bool) {
	if len(items) == 0 {
		return
	}
	l.block("   ", "   ", title, ansiBold)
	for i, s := range items {
		head := "   • "
		if numbered {
			head = fmt.Sprintf("   %d. ", i+1)
		}
		l.block(head, strings.Repeat(" ", columns(head)), s, "")
	}
}

// block writes text wrapped, the first line after head and the others after indent.
func (l *layout) block(head, indent, text, ansi string) {
	for i, line := range wrap(text, l.width-columns(indent)) {
		prefix := indent
		if i == 0 {
			prefix = head
		}
		l.b.WriteString(prefix)
		if l.color && ansi != "" {
			line = ansi + line + ansiReset
		}
		l.b.WriteString(line + "\n")
	}
}

// wrap breaks text into lines of at most limit columns: at spaces, beside Chinese characters but not before closing
// punctuation, and within a word only where the word is longer than half a line.
func wrap(text string, limit int) []string {
	var lines []string
	rest := []rune(text)
	for {
		used, cut, end := 0, 0, 0
		for end < len(rest) {
			if end > 0 && breakable(rest[end-1], rest[end]) {
				cut = end
			}
			if used += runeColumns(rest[end]); used > limit && end > 0 {
				break
			}
			end++
		}
		if end == len(rest) {
			return append(lines, string(rest))
		}
		if end-cut > limit/2 {
			cut = end
		}
		lines = append(lines, strings.TrimRight(string(rest[:cut]), " "))
		rest = []rune(strings.TrimLeft(string(rest[cut:]), " "))
	}
}

// breakable reports whether a line may end between a and b.
func breakable(a, b rune) bool {
	switch {
	case b == ' ' || a == ' ':
		return true
	case strings.ContainsRune("、，。：；！？）”’…", b) || strings.ContainsRune("（“‘", a):
		return false
	}
	return runeColumns(a) == 2 || runeColumns(b) == 2
}

func columns(s string) (n int) {
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// runeColumns is 2 for what Unicode (UAX #11) calls wide or fullwidth, else 1.
func runeColumns(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
