package point_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parsed is one line as a reader of the line protocol's description understands it, who has not seen the writer.
type parsed struct {
	measurement string
	tags        map[string]string
	fields      map[string]any // int64, float64, bool, string
	nanos       int64
}

// identity is what the database tells points apart by.
func (p parsed) identity() string { return p.series() + " " + strconv.FormatInt(p.nanos, 10) }

// series is the measurement and the tags, in the order of their names.
func (p parsed) series() string {
	var s strings.Builder
	s.WriteString(p.measurement)
	for _, name := range slices.Sorted(maps.Keys(p.tags)) {
		s.WriteString("," + name + "=" + p.tags[name])
	}
	return s.String()
}

// parseLines reads whole lines, each ended by \n.
func parseLines(text string) ([]parsed, error) {
	var out []parsed
	for text != "" {
		p, rest, err := parseLine(text)
		if err != nil {
			return out, fmt.Errorf("line %d at %.60q: %w", len(out)+1, text, err)
		}
		out, text = append(out, p), rest
	}
	return out, nil
}

func parseLine(s string) (p parsed, rest string, err error) {
	p.tags, p.fields = map[string]string{}, map[string]any{}
	if p.measurement, s, err = word(s, ", "); err != nil {
		return p, s, fmt.Errorf("measurement: %w", err)
	}
	for strings.HasPrefix(s, ",") {
		var name, value string
		if name, s, err = word(s[1:], "="); err != nil {
			return p, s, fmt.Errorf("tag: %w", err)
		}
		if value, s, err = word(s[1:], ", "); err != nil {
			return p, s, fmt.Errorf("tag %s: %w", name, err)
		}
		if _, twice := p.tags[name]; twice {
			return p, s, fmt.Errorf("tag %s is there twice", name)
		}
		p.tags[name] = value
	}
	for sep := " "; strings.HasPrefix(s, sep); sep = "," {
		var name string
		if name, s, err = word(s[1:], "="); err != nil {
			return p, s, fmt.Errorf("field: %w", err)
		}
		if _, twice := p.fields[name]; twice {
			return p, s, fmt.Errorf("field %s is there twice", name)
		}
		if p.fields[name], s, err = fieldValue(s[1:]); err != nil {
			return p, s, fmt.Errorf("field %s: %w", name, err)
		}
	}
	end := strings.IndexByte(s, '\n')
	if end < 2 || s[0] != ' ' {
		return p, s, errors.New("no time, or no end of line")
	}
	if p.nanos, err = strconv.ParseInt(s[1:end], 10, 64); err != nil {
		return p, s, err
	}
	return p, s[end+1:], nil
}

// word reads a name or a tag's value up to one of the bytes of stop, which must be there.
func word(s, stop string) (string, string, error) {
	for i := range len(s) {
		switch c := s[i]; {
		case strings.IndexByte(stop, c) >= 0:
			if i == 0 {
				return "", s, errors.New("empty")
			}
			return s[:i], s[i:], nil
		case c <= ' ' || c >= utf8.RuneSelf || strings.IndexByte(`\",=`, c) >= 0:
			return "", s, fmt.Errorf("byte %q, which would need an escape", c)
		}
	}
	return "", s, errors.New("does not end")
}

func fieldValue(s string) (any, string, error) {
	if strings.HasPrefix(s, `"`) {
		var b strings.Builder
		for i := 1; i < len(s); i++ {
			switch s[i] {
			case '"':
				return b.String(), s[i+1:], nil
			case '\\':
				if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
					return nil, s, errors.New("a backslash before what needs none")
				}
				b.WriteByte(s[i])
			case 0:
				return nil, s, errors.New("a NUL")
			default:
				b.WriteByte(s[i])
			}
		}
		return nil, s, errors.New("string does not end")
	}
	end := strings.IndexAny(s, ", ")
	if end < 0 {
		return nil, s, errors.New("value does not end")
	}
	text, rest := s[:end], s[end:]
	if text == "true" || text == "false" {
		return text == "true", rest, nil
	}
	if whole, ok := strings.CutSuffix(text, "i"); ok {
		n, err := strconv.ParseInt(whole, 10, 64)
		return n, rest, err
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, rest, err
}

// database merges points as InfluxDB does: a point of the same identity adds and overwrites fields.
type database map[string]map[int64]map[string]any // by series, by time, by field

func (d database) write(lines []byte) error {
	points, err := parseLines(string(lines))
	if err != nil {
		return err
	}
	for _, p := range points {
		at := d[p.series()]
		if at == nil {
			at = map[int64]map[string]any{}
			d[p.series()] = at
		}
		if at[p.nanos] == nil {
			at[p.nanos] = map[string]any{}
		}
		maps.Copy(at[p.nanos], p.fields)
	}
	return nil
}

// last is SELECT last(field) … WHERE time <= until.
func (d database) last(series, field string, until int64) any {
	var value any
	newest := int64(-1 << 63)
	for at, fields := range d[series] {
		if v, ok := fields[field]; ok && at <= until && at > newest {
			newest, value = at, v
		}
	}
	return value
}

func (d database) points() int {
	n := 0
	for _, at := range d {
		n += len(at)
	}
	return n
}
