package registry

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/tillwatch/tillwatch/internal/config"
)

// table is a CSV file with its header read.
type table struct {
	file     string
	text     []byte
	lines    []int // offset of each line's first byte
	csv      *csv.Reader
	columns  map[string]int // index of each column that the file has
	fields   int            // columns of the header
	problems config.Problems
}

// readTable reads all of r and its header. A table whose header has a problem has no rows.
func readTable(file string, r io.Reader, known, required []string) (*table, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", file, err)
	}
	t := &table{file: file, columns: map[string]int{}}
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		t.report(1, 1, "", "a file in UTF-16", "UTF-8 or GBK: export it again as CSV UTF-8")
		return t, nil
	}
	t.text = decode(data)
	t.lines = append(t.lines, 0)
	for i, b := range t.text {
		if b == '\n' {
			t.lines = append(t.lines, i+1)
		}
	}
	t.csv = csv.NewReader(bytes.NewReader(t.text))
	t.csv.FieldsPerRecord = -1 // counted here, with a message of our own
	t.csv.ReuseRecord = true
	t.header(known, required)
	return t, nil
}

// decode makes UTF-8 of the file. What is not valid UTF-8 is taken for GBK, or for its superset GB18030, in which
// spreadsheets of a Chinese system export; a byte that neither knows becomes U+FFFD and is reported where it stands.
func decode(data []byte) []byte {
	if utf8.Valid(data) {
		return bytes.TrimPrefix(data, []byte("\ufeff"))
	}
	out, err := simplifiedchinese.GB18030.NewDecoder().Bytes(data)
	if err != nil {
		return bytes.ToValidUTF8(data, []byte("\ufffd"))
	}
	return out
}

func (t *table) report(line, column int, key, got, want string) {
	t.problems = append(t.problems, config.Problem{File: t.file, Line: line, Column: column, Key: key, Got: got, Want: want})
}

func (t *table) header(known, required []string) {
	names, err := t.csv.Read()
	switch {
	case errors.Is(err, io.EOF):
		t.report(1, 0, "", "an empty file", "a header: "+strings.Join(known, ","))
	case err != nil:
		t.syntax(err)
	case len(names) == 1 && strings.ContainsAny(names[0], ";\t"):
		t.report(1, 1, "", "columns separated by something else", "commas between columns")
	default:
		for i, name := range names {
			name = strings.ToLower(strings.TrimSpace(name))
			line, column := t.at(i)
			switch _, twice := t.columns[name]; {
			case !slices.Contains(known, name):
				t.report(line, column, "header", show(name), "one of "+strings.Join(known, ", "))
			case twice:
				t.report(line, column, "header", fmt.Sprintf("%q for the second time", name), "each column once")
			default:
				t.columns[name] = i
			}
		}
		for _, name := range required {
			if _, ok := t.columns[name]; !ok {
				t.report(1, 0, "header", "no column "+name, "the columns "+strings.Join(required, " and ")+", at least")
			}
		}
		t.fields = len(names)
	}
	if len(t.problems) > 0 {
		t.csv = nil
	}
}

// rows calls each with every line that has the right shape. Lines without any value are passed over, as spreadsheets
// leave them at the end.
func (t *table) rows(each func(*row)) {
	for t.csv != nil {
		values, err := t.csv.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			if !t.syntax(err) {
				return
			}
			continue
		}
		if !slices.ContainsFunc(values, func(v string) bool { return strings.TrimSpace(v) != "" }) {
			continue
		}
		line, _ := t.at(0)
		if len(values) != t.fields {
			t.report(line, 0, "", fmt.Sprintf("%d columns", len(values)), fmt.Sprintf("%d, as in the header; a comma inside a value needs quotes around it", t.fields))
			continue
		}
		if i := slices.IndexFunc(values, func(v string) bool { return strings.ContainsRune(v, utf8.RuneError) }); i >= 0 {
			_, column := t.at(i)
			t.report(line, column, "", "a byte that is no character", "one encoding throughout, UTF-8 or GBK")
			continue
		}
		each(&row{t: t, line: line, values: values})
	}
}

// syntax reports a line that is not CSV; false if reading cannot go on.
func (t *table) syntax(err error) bool {
	bad, ok := errors.AsType[*csv.ParseError](err)
	if !ok {
		t.report(0, 0, "", "a file that cannot be read ("+err.Error()+")", "a CSV file")
		return false
	}
	want := "CSV (RFC 4180)"
	switch {
	case errors.Is(err, csv.ErrBareQuote):
		want = "a value with quotes inside to stand in quotes, with those inside doubled"
	case errors.Is(err, csv.ErrQuote):
		want = "a closing quote before the comma, and quotes inside doubled"
	}
	t.report(bad.StartLine, 0, "", bad.Err.Error(), want)
	return true
}

// at is the place of a field of the record read last. The csv package counts bytes; people count characters.
func (t *table) at(field int) (line, column int) {
	line, column = t.csv.FieldPos(field)
	if line < 1 || line > len(t.lines) {
		return line, column
	}
	start := t.lines[line-1]
	end := min(start+column-1, len(t.text))
	return line, utf8.RuneCount(t.text[start:end]) + 1
}

// row is one line of a table.
type row struct {
	t      *table
	line   int
	values []string
	bad    bool // a problem of it has been reported
}

// value is the text of a column, "" where the file does not have it.
func (r *row) value(column string) string {
	if i, ok := r.t.columns[column]; ok {
		return r.values[i]
	}
	return ""
}

func (r *row) report(column, got, want string) {
	r.bad = true
	line, at := r.line, 0
	if i, ok := r.t.columns[column]; ok {
		line, at = r.t.at(i)
	}
	r.t.report(line, at, column, got, want)
}
