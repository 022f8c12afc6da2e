package slack

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes foreign text harmless in one line: control characters (line ends and the terminal's escape among them)
// become spaces, and the invisible marks that reorder or hide text go.
func clean(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r): // bidirectional marks, zero-width joiners, tags
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// fit escapes text as Slack asks (&, < and > as entities) and cuts it to at most limit UTF-16 units, never inside an
// entity.
func fit(s string, limit int) string {
	var b strings.Builder
	n, keep := 0, 0 // units written; bytes that leave room for the ellipsis
	for _, r := range s {
		piece, size := escape(r)
		if n+size > limit {
			return b.String()[:keep] + "…"
		}
		b.WriteString(piece)
		if n += size; n < limit {
			keep = b.Len()
		}
	}
	return b.String()
}

func escape(r rune) (string, int) {
	switch r {
	case '&':
		return "&amp;", 5
	case '<':
		return "&lt;", 4
	case '>':
		return "&gt;", 4
	}
	return string(r), runeUnits(r)
}

// units counts UTF-16 code units.
func units(s string) (n int) {
	for _, r := range s {
		n += runeUnits(r)
	}
	return n
}

func runeUnits(r rune) int {
	if r >= 0x10000 && r <= utf8.MaxRune {
		return 2
	}
	return 1
}
