package carddata

import (
	"bytes"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// What the walk notes of each byte of a string.
const (
	seeDigit uint8 = 1 << iota
	seeWord
	seeWide
	seeEscape
	seeUpper
	seeLower
	seeQuote
)

var see = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = seeDigit
		case c >= 'A' && c <= 'Z':
			t[c] = seeUpper
		case c >= 'a' && c <= 'z':
			t[c] = seeLower
		case c == '"':
			t[c] = seeQuote
		case c == '\\':
			t[c] = seeEscape
		case c == 0xEF: // leads the full-width forms
			t[c] = seeWide
		}
		if class[c]&isWord != 0 {
			t[c] |= seeWord
		}
	}
	return t
}()

// maxNamed bounds the folded text of a value that is judged by the name of its field: a track 1 has 79 characters.
const maxNamed = 128

// minMixed is the length from which a string of upper and lower case is looked at as base64.
const minMixed = 16

// frame is one open object or array.
type frame struct {
	object   bool
	wantKey  bool
	escaped  bool // the key holds a backslash
	keyGone  bool // the key holds card data, so no path names it
	from, to int  // the key of the value that is read; an array has its parent's
}

// walker goes through one JSON document front to back, without checking that it is one: what is not JSON is passed
// over. It stays on the stack; only a finding allocates.
type walker struct {
	body   []byte
	kind   fleet.Kind
	unique string

	edits []edit
	hits  []Hit
}

func (w *walker) walk() {
	var stack [16]frame
	frames := stack[:0]
	b := w.body
	for i := 0; i < len(b); {
		switch c := b[i]; c {
		case '{', '[':
			f := frame{object: c == '{', wantKey: c == '{'}
			if n := len(frames); n > 0 && c == '[' {
				f = frames[n-1]
				f.object, f.wantKey = false, false
			}
			frames = append(frames, f)
			i++
		case '}', ']':
			if n := len(frames); n > 0 {
				frames = frames[:n-1]
			}
			i++
		case ',':
			if n := len(frames); n > 0 {
				frames[n-1].wantKey = frames[n-1].object
			}
			i++
		case '"':
			i++
			from, digits := i, 0
			var flags uint8
			for i < len(b) {
				f := see[b[i]]
				if f == seeQuote {
					break
				}
				if f == seeEscape && i+1 < len(b) {
					i++
				}
				digits += int(f & seeDigit)
				flags |= f
				i++
			}
			key := false
			if n := len(frames); n > 0 && frames[n-1].wantKey {
				key = true
				frames[n-1] = frame{object: true, escaped: flags&seeEscape != 0, from: from, to: i}
			}
			mixed := flags&(seeUpper|seeLower) == seeUpper|seeLower && i-from >= minMixed
			n := i - from
			if digits >= 3 || mixed || flags&(seeWide|seeEscape) != 0 || n == 12 || n == 16 || n == 32 { // the last three: PIN blocks
				w.str(frames, from, i, key, flags, digits, mixed)
			}
			i++
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			from := i
			for i < len(b) && (see[b[i]] == seeDigit || b[i] == '.' || b[i] == '-' || b[i] == '+' || b[i]|0x20 == 'e') {
				i++
			}
			if i-from >= 2 {
				w.number(frames, from, i)
			}
		default:
			i++
		}
	}
}

// str looks at one string, a key or a value, whose inside is body[from:to].
func (w *walker) str(frames []frame, from, to int, key bool, flags uint8, digits int, mixed bool) {
	raw := w.body[from:to]
	if !key && to-from <= 6*maxNamed {
		if s := named(w.body, frames); s != namedNothing && s != namedValue {
			var buf [maxNamed]byte
			if v := bytes.TrimSpace(fold(buf[:0], raw, nil)); s.fits(v, false) {
				w.replaceValue(frames, from-1, to+1, s.kind())
				return
			}
		}
	}
	plain := flags&(seeWide|seeEscape) == 0
	if plain && digits < 13 && flags&seeWord == 0 && !mixed {
		return
	}
	g := anyText
	if !key {
		g = w.grammar(frames)
	}
	if ascii(raw) && plain {
		if _, ok := find(raw, g, w); !ok {
			return
		}
	} else {
		var buf [fleet.MaxBody]byte
		if _, ok := find(fold(buf[:0], raw, nil), g, w); !ok {
			return
		}
	}
	w.redactText(frames, from, to, key, g)
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// number looks at one JSON number, body[from:to].
func (w *walker) number(frames []frame, from, to int) {
	raw := w.body[from:to]
	if len(raw) <= 19 {
		if s := named(w.body, frames); s != namedNothing && s != namedValue && s.fits(raw, true) {
			w.replaceValue(frames, from, to, s.kind())
			return
		}
	}
	if len(raw) < 13 {
		return
	}
	var buf [19]byte
	d := integerDigits(buf[:0], raw)
	if len(d) >= 13 && issued(d) != notIssued && luhn(d) && !w.startsWithDay(d) {
		w.replaceValue(frames, from, to, KindPAN)
	}
}

// integerDigits writes out the integer part of a JSON number, exponent applied; nil if it has more than 19 digits.
func integerDigits(dst, raw []byte) []byte {
	point, exponent, seenPoint, negative := 0, 0, false, false
	i := 0
	if i < len(raw) && raw[i] == '-' {
		i++
	}
	all := raw[i:]
	for ; i < len(raw) && raw[i]|0x20 != 'e'; i++ {
		if raw[i] == '.' {
			seenPoint = true
		} else if !seenPoint {
			point++
		}
	}
	if i < len(raw) {
		for _, c := range raw[i+1:] {
			if c == '-' {
				negative = true
			} else if c >= '0' && c <= '9' && exponent < 100 {
				exponent = exponent*10 + int(c-'0')
			}
		}
	}
	if negative {
		exponent = -exponent
	}
	want := point + exponent
	if want < 1 || want > cap(dst) {
		return nil
	}
	for _, c := range all {
		if len(dst) == want || c|0x20 == 'e' {
			break
		}
		if c >= '0' && c <= '9' {
			dst = append(dst, c)
		}
	}
	for len(dst) < want {
		dst = append(dst, '0')
	}
	return dst
}

// named says what the name of the value promises that is now read.
func named(body []byte, frames []frame) sensitive {
	n := len(frames)
	if n == 0 {
		return namedNothing
	}
	f := frames[n-1]
	if f.keyGone {
		return namedNothing
	}
	s := nameOf(body[f.from:f.to], f.escaped)
	if s != namedValue {
		return s
	}
	for n -= 2; n >= 0; n-- {
		if outer := frames[n]; outer.object {
			if outer.keyGone {
				return namedNothing
			}
			return nameOf(body[outer.from:outer.to], outer.escaped)
		}
	}
	return namedNothing
}

// startsWithDay reports whether a number starts with year, month and day of the event itself (the body's ts), a day
// more or less for the time zone. Such a number is an id that its sender made: 261123 1015 000123 is in Mastercard's
// 2221–2720 range. It costs the cards whose first six digits are that very date.
func (w *walker) startsWithDay(d []byte) bool {
	i := bytes.LastIndex(w.body, []byte(`"ts"`))
	if i < 0 {
		return false
	}
	i += len(`"ts"`)
	for i < len(w.body) && (w.body[i] == ':' || w.body[i] == ' ') {
		i++
	}
	to := digitRun(w.body, i)
	if to-i != 13 || w.body[i] < '1' || w.body[i] > '2' {
		return false // not a time of these decades in milliseconds
	}
	ms := int64(0)
	for _, c := range w.body[i:to] {
		ms = ms*10 + int64(c-'0')
	}
	for day := int64(-1); day <= 1; day++ {
		y, m, dd := time.UnixMilli(ms + day*86_400_000).UTC().Date()
		date := [6]byte{byte('0' + y/10%10), byte('0' + y%10), byte('0' + m/10), byte('0' + m%10), byte('0' + dd/10), byte('0' + dd%10)}
		if bytes.HasPrefix(d, date[:]) {
			return true
		}
	}
	return false
}
