package carddata

import (
	"unicode"
	"unicode/utf8"
)

// Classes of a byte.
const (
	isDigit  uint8 = 1 << iota // 0-9; its value 1 makes counting an addition
	isHex                      // 0-9 a-f A-F
	isAlnum                    // 0-9 a-z A-Z
	isWord                     // a letter without which neither CVV, CVC, CVN nor PIN can be written
	isWide                     // 0xEF leads the full-width forms; 0xE2 and 0xC2 lead spaces and dashes
	isEscape                   // backslash
	isSep                      // may stand between two groups of one number
	isBase64
)

var class = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = isDigit | isHex | isAlnum | isBase64
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			t[c] = isHex | isAlnum | isBase64
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			t[c] = isAlnum | isBase64
		}
	}
	for _, c := range "vVnNcC" {
		t[c] |= isWord
	}
	for _, c := range " \t\r\n-./_,:;|~+'#*&" {
		t[c] |= isSep
	}
	for _, c := range "+/-_" {
		t[c] |= isBase64
	}
	t['\\'] |= isEscape
	t[0xEF] |= isWide
	return t
}()

// Folded text holds one byte for each character of a JSON string, so that the rules need not know of escapes and
// character sets: ASCII as it is, full-width forms as the ASCII they look like, and these.
const (
	foldLetter = 0x02 // any other letter or digit: ends a number
	foldGone   = 0x01 // what an earlier rule has taken; ends a number too
	foldSep    = '-'  // any other mark, space or control character: may stand within a number
)

// fold appends the folded form of the inside of a JSON string to dst. Where at is not nil, the offset in raw of every
// appended byte, and of the end, is appended to it.
func fold(dst, raw []byte, at *[]int) []byte {
	for i := 0; i < len(raw); {
		r, n := runeAt(raw[i:])
		if at != nil {
			*at = append(*at, i)
		}
		i += n
		dst = append(dst, foldRune(r))
	}
	if at != nil {
		*at = append(*at, len(raw))
	}
	return dst
}

// runeAt reads one character or escape; a broken escape is its backslash, a surrogate pair is two characters.
func runeAt(raw []byte) (rune, int) {
	if raw[0] != '\\' || len(raw) == 1 {
		if raw[0] < utf8.RuneSelf {
			return rune(raw[0]), 1
		}
		return utf8.DecodeRune(raw)
	}
	switch raw[1] {
	case 'n':
		return '\n', 2
	case 't':
		return '\t', 2
	case 'r':
		return '\r', 2
	case 'b', 'f':
		return ' ', 2
	case 'u':
		if len(raw) < 6 {
			return '\\', 1
		}
		var r rune
		for _, c := range raw[2:6] {
			v := hexValue(c)
			if v < 0 {
				return '\\', 1
			}
			r = r<<4 | rune(v)
		}
		return r, 6
	}
	return rune(raw[1]), 2
}

func foldRune(r rune) byte {
	switch {
	case r >= 0x20 && r < 0x7f, r == '\t', r == '\n', r == '\r':
		return byte(r)
	case r >= 0xFF01 && r <= 0xFF5E: // full-width ASCII
		return byte(r - 0xFEE0)
	case r >= 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)):
		return foldLetter
	}
	return foldSep
}

// unescape appends the text of a JSON string's inside, as a key is compared.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		r, n := runeAt(raw[i:])
		if raw[i] != '\\' {
			dst = append(dst, raw[i:i+n]...)
		} else {
			dst = utf8.AppendRune(dst, r)
		}
		i += n
	}
	return dst
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
