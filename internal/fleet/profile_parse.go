package fleet

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// The columns of a profile file. The first row names them; their order is free and an unknown one is a mistake.
const (
	colProfile = "profile" // optional: the profile a row belongs to; rows of other profiles are passed over
	colCode    = "code"    // required: field 39, ^[0-9A-Za-z]{2,4}$, once in a profile
	colDomain  = "domain"  // required: one of Domains
	colWatch   = "watch"   // optional: yes, no or empty
	colEnglish = "english" // required
	colChinese = "chinese" // required
	colDisplay = "display" // optional: what the terminal shows
	colClass   = "class"   // optional: A to E
	colSwitch  = "switch"  // optional: the switch's own wording
)

var (
	profileColumns  = []string{colProfile, colCode, colDomain, colWatch, colEnglish, colChinese, colDisplay, colClass, colSwitch}
	requiredColumns = []string{colCode, colDomain, colEnglish, colChinese}
)

// maxProfileFile bounds what ParseProfile reads, in bytes. A hundred codes need about ten thousand.
const maxProfileFile = 1 << 20

// ParseProfile reads the rows of profile name from a table of response codes: UTF-8 with or without a byte order
// mark, a header row, fields separated by tabs or commas (the header tells which), quoted as RFC 4180 where needed.
//
//	code     required  field 39: 2 to 4 letters or digits, once in a profile
//	domain   required  where the cause lies, one of Domains
//	english  required  meaning
//	chinese  required  meaning
//	watch    optional  yes: declines with this code are a series of their own; no or empty otherwise
//	display  optional  what the terminal shows
//	class    optional  A to E
//	switch   optional  the switch's wording where it differs
//	profile  optional  a file with this column can hold several profiles
//
// The error lists every problem of the file with its line and column (both from 1, the column in bytes). A profile
// needs at least one approval and one watched code: without the first every sale would be a decline, without the
// second nothing would ever be reported.
func ParseProfile(name string, r io.Reader) (*Profile, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxProfileFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read code profile %q: %w", name, err)
	case len(raw) > maxProfileFile:
		return nil, fmt.Errorf("read code profile %q: the file is over %d bytes", name, maxProfileFile)
	case !utf8.Valid(raw):
		return nil, fmt.Errorf("read code profile %q: the file is not UTF-8 (save it as UTF-8)", name)
	}
	t := &profileTable{name: name}
	p := t.read(strings.TrimPrefix(string(raw), "\uFEFF"))
	if len(t.problems) > 0 {
		return nil, fmt.Errorf("parse code profile %q: %w", name, errors.Join(t.problems...))
	}
	return p, nil
}

// profileTable reads one table and collects what is wrong with it.
type profileTable struct {
	name     string
	in       *csv.Reader
	at       map[string]int // column name → index in a row
	problems []error
}

func (t *profileTable) problem(line, column int, format string, args ...any) {
	t.problems = append(t.problems, fmt.Errorf("line %d, column %d: %s", line, column, fmt.Sprintf(format, args...)))
}

func (t *profileTable) read(text string) *Profile {
	header, _, _ := strings.Cut(text, "\n")
	t.in = csv.NewReader(strings.NewReader(text))
	t.in.FieldsPerRecord = -1
	if strings.Contains(header, "\t") {
		t.in.Comma = '\t'
	}
	if !t.header() {
		return nil
	}
	p := &Profile{name: t.name, codes: map[string]Code{}}
	approvals := 0
	for {
		row, err := t.in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.syntax(err)
			return nil
		}
		t.row(row, p)
	}
	for code := range p.codes {
		if p.Approved(code) {
			approvals++
		}
	}
	slices.Sort(p.watched)
	switch {
	case len(t.problems) > 0: // the counts below would only repeat them
	case len(p.codes) == 0:
		t.problem(1, 1, "no row for profile %q", t.name)
	default:
		if approvals == 0 {
			t.problem(1, 1, "no code has domain %s, so every transaction would be a decline", DomainOK)
		}
		if len(p.watched) == 0 {
			t.problem(1, 1, "no code has watch yes, so nothing would be reported")
		}
	}
	return p
}

// syntax reports what encoding/csv found; its own message would repeat the position.
func (t *profileTable) syntax(err error) {
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		t.problem(bad.Line, max(bad.Column, 1), "%s", bad.Err)
		return
	}
	t.problems = append(t.problems, err)
}

func (t *profileTable) header() bool {
	names, err := t.in.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			t.problem(1, 1, "the file is empty, want a header row with %s", strings.Join(requiredColumns, ", "))
		} else {
			t.syntax(err)
		}
		return false
	}
	t.at = map[string]int{}
	for i, n := range names {
		n = strings.TrimSpace(n)
		line, column := t.in.FieldPos(i)
		if !slices.Contains(profileColumns, n) {
			t.problem(line, column, "unknown column %q, want %s", n, strings.Join(profileColumns, ", "))
		}
		if _, twice := t.at[n]; twice {
			t.problem(line, column, "column %q is there twice", n)
		}
		t.at[n] = i
	}
	for _, n := range requiredColumns {
		if _, ok := t.at[n]; !ok {
			t.problem(1, 1, "column %q is missing", n)
		}
	}
	return len(t.problems) == 0
}

// cell returns the trimmed value of a column and where it stands; a short row's missing cells stand at its first.
func (t *profileTable) cell(row []string, column string) (value string, line, col int) {
	i, ok := t.at[column]
	if !ok || i >= len(row) {
		line, col = t.in.FieldPos(0)
		return "", line, col
	}
	line, col = t.in.FieldPos(i)
	return strings.TrimSpace(row[i]), line, col
}

func (t *profileTable) row(row []string, p *Profile) {
	if _, several := t.at[colProfile]; several {
		if owner, line, col := t.cell(row, colProfile); owner == "" {
			t.problem(line, col, "%s is empty", colProfile)
			return
		} else if owner != t.name {
			return
		}
	}
	if len(row) > len(t.at) {
		line, col := t.in.FieldPos(len(t.at))
		t.problem(line, col, "more cells than the header has columns")
	}
	var c Code
	code, line, col := t.cell(row, colCode)
	if c.Code = code; !ValidCode(code) {
		t.problem(line, col, "code %q, want 2 to 4 letters or digits", code)
	} else if _, twice := p.codes[code]; twice {
		t.problem(line, col, "code %q is there twice", code)
	}
	domain, line, col := t.cell(row, colDomain)
	if c.Domain = Domain(domain); !slices.Contains(Domains(), c.Domain) {
		t.problem(line, col, "domain %q, want one of %s", domain, joinDomains())
	}
	for _, text := range []struct {
		column string
		to     *string
	}{{colEnglish, &c.English}, {colChinese, &c.Chinese}} {
		if *text.to, line, col = t.cell(row, text.column); *text.to == "" {
			t.problem(line, col, "%s of code %q is empty", text.column, code)
		}
	}
	c.Display, _, _ = t.cell(row, colDisplay)
	c.Switch, _, _ = t.cell(row, colSwitch)
	if c.Class, line, col = t.cell(row, colClass); c.Class != "" && (len(c.Class) != 1 || c.Class < "A" || c.Class > "E") {
		t.problem(line, col, "class %q, want A to E or nothing", c.Class)
	}
	switch watch, line, col := t.cell(row, colWatch); watch {
	case "yes":
		if c.Domain == DomainOK {
			t.problem(line, col, "code %q is an approval and cannot be watched", code)
		}
		if !slices.Contains(p.watched, code) {
			p.watched = append(p.watched, code)
		}
	case "", "no":
	default:
		t.problem(line, col, "watch %q, want yes, no or nothing", watch)
	}
	p.codes[code] = c
}

func joinDomains() string {
	var names []string
	for _, d := range Domains() {
		names = append(names, string(d))
	}
	return strings.Join(names, ", ")
}
