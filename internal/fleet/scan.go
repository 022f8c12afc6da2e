package fleet

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxBody is the largest message body accepted, in bytes.
const MaxBody = 4096

// maxDepth bounds the nesting of a body; no message of ours needs more than two levels.
const maxDepth = 32

// scanner reads one JSON document (RFC 8259) from a string, front to back, without building a tree. Its methods leave
// i behind what they read. The zero value with s set is ready.
type scanner struct {
	s     string
	i     int
	depth int
}

func (p *scanner) fail(want string) error {
	return &Invalid{Reason: ReasonSyntax, Want: fmt.Sprintf("not one JSON object: at byte %d: want %s", p.i, want)}
}

func (p *scanner) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *scanner) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

// object reads an object and calls field with each key; field must consume exactly the value, for example by skip.
func (p *scanner) object(field func(key string) error) error {
	p.space()
	if p.peek() != '{' {
		return p.fail("'{'")
	}
	if p.depth++; p.depth > maxDepth {
		return p.fail("less nesting")
	}
	p.i++
	p.space()
	if p.peek() == '}' {
		p.i++
		p.depth--
		return nil
	}
	for {
		p.space()
		key, err := p.str()
		if err != nil {
			return err
		}
		p.space()
		if p.peek() != ':' {
			return p.fail("':'")
		}
		p.i++
		p.space()
		if err := field(key); err != nil {
			return err
		}
		p.space()
		switch p.peek() {
		case ',':
			p.i++
		case '}':
			p.i++
			p.depth--
			return nil
		default:
			return p.fail("',' or '}'")
		}
	}
}

// end demands that nothing but space follows.
func (p *scanner) end() error {
	p.space()
	if p.i != len(p.s) {
		return p.fail("the end")
	}
	return nil
}

// str reads a string and decodes its escapes. Without escapes the result shares memory with the document; each byte
// of invalid UTF-8 is replaced by U+FFFD, as encoding/json does.
func (p *scanner) str() (string, error) {
	if p.peek() != '"' {
		return "", p.fail("a string")
	}
	p.i++
	start := p.i
	ascii := true
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '"':
			out := p.s[start:p.i]
			p.i++
			if !ascii && !utf8.ValidString(out) {
				out = string([]rune(out)) // each wrong byte becomes U+FFFD
			}
			return out, nil
		case c == '\\':
			return p.strEscaped(start)
		case c < 0x20:
			return "", p.fail("no control character in a string")
		case c >= 0x80:
			ascii = false
			p.i++
		default:
			p.i++
		}
	}
	return "", p.fail("'\"'")
}

func (p *scanner) strEscaped(start int) (string, error) {
	b := append(make([]byte, 0, 64), p.s[start:p.i]...)
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '"':
			p.i++
			if !utf8.Valid(b) {
				return string([]rune(string(b))), nil
			}
			return string(b), nil
		case c < 0x20:
			return "", p.fail("no control character in a string")
		case c != '\\':
			b = append(b, c)
			p.i++
			continue
		}
		p.i++
		switch p.peek() {
		case '"', '\\', '/':
			b = append(b, p.s[p.i])
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, ok := p.hex4(p.i + 1)
			if !ok {
				return "", p.fail(`\u and four hex digits`)
			}
			p.i += 4
			if r >= 0xD800 && r < 0xDC00 && strings.HasPrefix(p.s[p.i+1:], `\u`) {
				if low, ok := p.hex4(p.i + 3); ok && low >= 0xDC00 && low < 0xE000 {
					r = (r-0xD800)<<10 | (low - 0xDC00) + 0x10000
					p.i += 6
				}
			}
			b = utf8.AppendRune(b, r) // a lone surrogate becomes U+FFFD
		default:
			return "", p.fail("a valid escape")
		}
		p.i++
	}
	return "", p.fail("'\"'")
}

func (p *scanner) hex4(at int) (rune, bool) {
	if at+4 > len(p.s) {
		return 0, false
	}
	n, err := strconv.ParseUint(p.s[at:at+4], 16, 32)
	return rune(n), err == nil
}

// number reads a number and returns its text.
func (p *scanner) number() (string, error) {
	start := p.i
	if p.peek() == '-' {
		p.i++
	}
	digits := func() bool {
		from := p.i
		for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
			p.i++
		}
		return p.i > from
	}
	lead := p.i
	if !digits() || p.s[lead] == '0' && p.i > lead+1 {
		return "", p.fail("a number")
	}
	if p.peek() == '.' {
		p.i++
		if !digits() {
			return "", p.fail("digits after '.'")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.i++
		if c := p.peek(); c == '+' || c == '-' {
			p.i++
		}
		if !digits() {
			return "", p.fail("digits in the exponent")
		}
	}
	return p.s[start:p.i], nil
}

func (p *scanner) word(w string) error {
	if !strings.HasPrefix(p.s[p.i:], w) {
		return p.fail("a value")
	}
	p.i += len(w)
	return nil
}

// skip reads one value of any kind and forgets it.
func (p *scanner) skip() error {
	switch c := p.peek(); {
	case c == '{':
		return p.object(func(string) error { return p.skip() })
	case c == '[':
		return p.array()
	case c == '"':
		_, err := p.str()
		return err
	case c == 't':
		return p.word("true")
	case c == 'f':
		return p.word("false")
	case c == 'n':
		return p.word("null")
	}
	_, err := p.number()
	return err
}

func (p *scanner) array() error {
	if p.depth++; p.depth > maxDepth {
		return p.fail("less nesting")
	}
	p.i++
	p.space()
	if p.peek() == ']' {
		p.i++
		p.depth--
		return nil
	}
	for {
		p.space()
		if err := p.skip(); err != nil {
			return err
		}
		p.space()
		switch p.peek() {
		case ',':
			p.i++
		case ']':
			p.i++
			p.depth--
			return nil
		default:
			return p.fail("',' or ']'")
		}
	}
}

// null consumes a null and reports whether there was one: a null field counts as absent.
func (p *scanner) null() bool {
	if strings.HasPrefix(p.s[p.i:], "null") {
		p.i += 4
		return true
	}
	return false
}

// text, integer and boolean read the value of one typed field. On a value of another type they say so by name.

func (p *scanner) wrongType(field, want string) error {
	start := p.i
	if err := p.skip(); err != nil {
		return err
	}
	return &Invalid{Reason: ReasonField, Field: field, Got: p.s[start:p.i], Want: want}
}

func (p *scanner) text(field string, max int) (string, error) {
	if p.peek() != '"' {
		return "", p.wrongType(field, "a string")
	}
	v, err := p.str()
	if err != nil {
		return "", err
	}
	if len(v) > max {
		return "", &Invalid{Reason: ReasonField, Field: field, Got: v, Want: fmt.Sprintf("at most %d bytes", max)}
	}
	return v, nil
}

func (p *scanner) integer(field string, min, max int64) (int64, error) {
	want := func() string { return fmt.Sprintf("an integer from %d to %d", min, max) }
	if c := p.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, p.wrongType(field, want())
	}
	raw, err := p.number()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < min || n > max {
		return 0, &Invalid{Reason: ReasonField, Field: field, Got: raw, Want: want()}
	}
	return n, nil
}

func (p *scanner) boolean(field string) (bool, error) {
	switch p.peek() {
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	}
	return false, p.wrongType(field, "true or false")
}
