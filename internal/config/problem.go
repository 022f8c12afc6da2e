package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one mistake in something that a person wrote, in words that this person can act on.
type Problem struct {
	File   string // or the flag and the variable, for what did not come from a file
	Line   int    // from 1; 0 where no line can be named
	Column int    // from 1, in characters; 0 where none can be named
	Key    string // the key's path, such as acquirers.a1.timezone; the column's name in a CSV file
	Got    string // what was found, ready to print; never the value of a secret
	Want   string // what would be right
}

func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	if p.Got != "" {
		b.WriteString("got " + p.Got + ", ")
	}
	b.WriteString("want " + p.Want)
	return b.String()
}

// Problems are all the mistakes found, in the order of the file.
type Problems []Problem

// Error puts each problem on a line of its own.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems as an error, nil when there are none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// sort orders by place; problems without one come last.
func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		switch {
		case a.File != b.File:
			return strings.Compare(a.File, b.File)
		case (a.Line == 0) != (b.Line == 0):
			return b.Line - a.Line
		case a.Line != b.Line:
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// place is where a key was stated.
type place struct {
	file         string
	line, column int
}

// quote shows a value that was found, shortened to what fits in a line.
func quote(s string) string {
	const most = 64
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// oneOf words a choice, and puts first what was probably meant.
func oneOf(got string, known []string) string {
	list := strings.Join(known, ", ")
	if i := len(known) - 1; i > 0 {
		list = strings.Join(known[:i], ", ") + " or " + known[i]
	}
	if best := nearest(got, known); best != "" {
		return fmt.Sprintf("%s (did you mean %q?)", list, best)
	}
	return list
}

// nearest returns the known word that got begins with, or that differs from it by at most a third of its letters; ""
// if there is none.
func nearest(got string, known []string) string {
	best, least := "", -1
	if len(got) > 64 {
		return ""
	}
	for _, k := range known {
		d := distance(strings.ToLower(got), k)
		if strings.HasPrefix(strings.ToLower(got), k) {
			d = min(d, 1)
		}
		if d <= max(1, len(k)/3) && (least < 0 || d < least) {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour to make b from a
// (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
