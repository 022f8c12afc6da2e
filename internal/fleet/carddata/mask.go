package carddata

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// MaxMasked is the largest result of Mask, in bytes.
const MaxMasked = 2048

// Mask makes a payload that cannot be decoded fit for a dead-letter queue: UTF-8 of at most MaxMasked bytes in which
// everything that could be card data is asterisks. There is no field to go by, so it takes far more than Redact does:
//
//   - all digits of a chain of 12 and more, whatever stands between them, up to three characters: ids, times and
//     merchant numbers go too;
//   - hex of 16 and base64-like text of 24 characters and more;
//   - digits and letters around the ^ of a track 1;
//   - digits behind the words cvv, cvc, cvn, csc, pin, pan and track.
//
// What is not text (control characters, not UTF-8) is only described: card data in it may be packed in bytes.
func Mask(payload []byte) []byte {
	if !text(payload) {
		return fmt.Appendf(nil, "[not text, %d bytes]", len(payload))
	}
	total := len(payload)
	const enough = 8 * MaxMasked // so many escapes may shrink to one asterisk each
	if len(payload) > enough {
		payload = bytes.ToValidUTF8(payload[:enough], nil)
	}
	var at []int
	folded := fold(make([]byte, 0, len(payload)), payload, &at)
	gone := make([]bool, len(folded))
	maskChains(folded, gone)
	maskRuns(folded, gone, isHex, 16)
	maskRuns(folded, gone, isBase64, 24)
	maskTrack1(folded, gone)
	maskBehindWords(folded, gone)

	out := make([]byte, 0, min(len(payload), MaxMasked))
	note := fmt.Sprintf("… [%d bytes]", total)
	for i := range folded {
		next := payload[at[i]:at[i+1]]
		if gone[i] {
			next = []byte{'*'}
		}
		if len(out)+len(next)+len(note) > MaxMasked {
			return append(out, note...)
		}
		out = append(out, next...)
	}
	if len(payload) < total {
		out = append(out, note...)
	}
	return out
}

func text(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			return false
		}
	}
	return utf8.Valid(b)
}

func maskChains(b []byte, gone []bool) {
	for i := 0; i < len(b); {
		if class[b[i]]&isDigit == 0 {
			i++
			continue
		}
		from, digits, end := i, 0, i
		for i < len(b) && i <= end+4 {
			if class[b[i]]&isDigit != 0 {
				digits++
				end = i
			}
			i++
		}
		if digits >= 12 {
			maskClass(b[from:end+1], gone[from:], isDigit)
		}
	}
}

func maskRuns(b []byte, gone []bool, of uint8, n int) {
	for i := 0; i < len(b); i++ {
		from := i
		for i < len(b) && class[b[i]]&of != 0 {
			i++
		}
		if i-from >= n {
			maskClass(b[from:i], gone[from:], of)
		}
	}
}

func maskTrack1(b []byte, gone []bool) {
	for i := range b {
		if b[i] == '^' {
			from, to := max(0, i-40), min(len(b), i+80)
			maskClass(b[from:to], gone[from:], isAlnum)
		}
	}
}

func maskBehindWords(b []byte, gone []bool) {
	for i := range b {
		for _, w := range [...]string{"cvv", "cvc", "cvn", "csc", "pin", "pan", "track", "securitycode"} {
			if word(b[i:], w) {
				from := i + len(w)
				maskClass(b[from:min(len(b), from+24)], gone[from:], isDigit)
			}
		}
	}
}

func maskClass(b []byte, gone []bool, of uint8) {
	for i, c := range b {
		if class[c]&of != 0 {
			gone[i] = true
		}
	}
}

// Suspicious reports whether the token of a subject that names the terminal (or any other id of a subject) looks like
// a card number or a track. A TID has 8 characters, so a true one never does; who finds one must not write it anywhere.
func Suspicious(token string) bool {
	id, err := fleet.Unescape(token)
	if err != nil {
		id = token
	}
	_, ok := find(fold(nil, []byte(id), nil), anyText, &walker{})
	return ok
}
