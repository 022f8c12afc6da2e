package carddata

// grammar is what the field a text stands in is expected to hold.
type grammar uint8

const (
	anyText     grammar = iota
	ownNumber           // a transaction's id: a number of the sender's making, often date, TID and trace number joined
	ownVersion          // app, os, model and the cell: short groups of digits between marks
	ownParams           // version:fingerprint
	ownMerchant         // 15 digits
)

// span is a piece of a folded text, and what was found there.
type span struct {
	from, to int
	kind     Kind
}

// find returns the first piece of card data in a folded text, by kind and not by place: where one rule would see only
// a part of what another sees whole, the whole goes first.
func find(b []byte, g grammar, body *walker) (span, bool) {
	digits, letters, marks := 0, false, false
	var flags uint8
	for _, c := range b {
		f := class[c]
		digits += int(f & isDigit)
		letters = letters || f&(isDigit|isAlnum) == isAlnum
		marks = marks || c == '^' || c == '='
		flags |= f
	}
	if digits >= 12 && (letters || marks) {
		if s, ok := findTrack1(b); ok {
			return s, true
		}
		if s, ok := findEMVHex(b); ok {
			return s, true
		}
		if s, ok := findTrack2(b); ok {
			return s, true
		}
	}
	if letters && len(b) >= minBase64 {
		if s, ok := findBase64(b); ok {
			return s, true
		}
	}
	if flags&isWord != 0 && digits >= 3 {
		if s, ok := findNamed(b); ok {
			return s, true
		}
	}
	if digits >= 13 {
		return findPAN(b, g, body)
	}
	return span{}, false
}

func digitRun(b []byte, i int) int {
	for i < len(b) && class[b[i]]&isDigit != 0 {
		i++
	}
	return i
}

func hexRun(b []byte, i int) int {
	for i < len(b) && class[b[i]]&isHex != 0 {
		i++
	}
	return i
}

// findTrack1 finds %B<PAN>^<name>^<expiry…>?, also without its sentinels (ISO/IEC 7813).
func findTrack1(b []byte) (span, bool) {
	for i := range b {
		if b[i] != '^' {
			continue
		}
		from, digits := i, 0
		for from > 0 && (class[b[from-1]]&isDigit != 0 || b[from-1] == ' ') {
			from--
			digits += int(class[b[from]] & isDigit)
		}
		if digits < 12 || digits > 19 {
			continue
		}
		if from > 0 && (b[from-1] == 'B' || b[from-1] == 'b') {
			if from--; from > 0 && b[from-1] == '%' {
				from--
			}
		}
		to := i + 1
		for to < len(b) && to < from+100 && b[to] != '?' && b[to] != foldGone && b[to] != '"' {
			to++
		}
		if to < len(b) && b[to] == '?' {
			to++
		}
		return span{from, to, KindTrack}, true
	}
	return span{}, false
}

// findTrack2 finds ;<PAN>=<YYMM><service code…>? and the same with D for = as hosts write it (ISO/IEC 7813; EMV tag
// 57). The number must pass Luhn and a month must follow.
func findTrack2(b []byte) (span, bool) {
	for i := 0; i < len(b); {
		if class[b[i]]&isDigit == 0 {
			i++
			continue
		}
		from := i
		i = digitRun(b, i)
		if n := i - from; n < 12 || n > 19 || i == len(b) {
			continue
		}
		switch b[i] {
		case '=':
		case 'D', 'd':
			if from > 0 && class[b[from-1]]&isAlnum != 0 {
				continue // inside a longer hex string: the TLV rule has seen it
			}
		default:
			continue
		}
		to := digitRun(b, i+1)
		if to < i+5 || !month(b[i+3:i+5]) || !luhn(b[from:i]) {
			continue
		}
		if to < len(b) && (b[to] == 'F' || b[to] == 'f') {
			to++
		}
		if to < len(b) && b[to] == '?' {
			to++
		}
		if from > 0 && b[from-1] == ';' {
			from--
		}
		return span{from, to, KindTrack}, true
	}
	return span{}, false
}

func month(mm []byte) bool {
	m := (mm[0]-'0')*10 + mm[1] - '0'
	return m >= 1 && m <= 12
}

// findNamed finds a verification code or a PIN by the word before it: "cvv=123", "CVC2: 1234", "pin: 0000",
// "pinblock=0412AC89ABCDEF67".
func findNamed(b []byte) (span, bool) {
	for i := 0; i+3 < len(b); i++ {
		switch {
		case word(b[i:], "cv") && (b[i+2]|0x20 == 'v' || b[i+2]|0x20 == 'c' || b[i+2]|0x20 == 'n'):
			at := i + 3
			if at < len(b) && b[at] == '2' {
				at++
			}
			if from := gap(b, at); from > at {
				to := digitRun(b, from)
				if n := to - from; (n == 3 || n == 4) && ends(b, to) {
					return span{from, to, KindCVV}, true
				}
			}
		case word(b[i:], "pin") && (i == 0 || class[b[i-1]]&isAlnum == 0):
			at := i + 3
			if at < len(b) && (b[at] == '_' || b[at] == '-' || b[at] == ' ') {
				at++
			}
			if word(b[at:], "block") {
				at += 5
			} else {
				at = i + 3
			}
			from := gap(b, at)
			if from == at {
				continue
			}
			if to := hexRun(b, from); (to-from == 16 || to-from == 32) && ends(b, to) {
				return span{from, to, KindPINBlock}, true
			}
			if to := digitRun(b, from); to-from >= 4 && to-from <= 12 && ends(b, to) && assigned(b[at:from]) {
				return span{from, to, KindPINBlock}, true
			}
		}
	}
	return span{}, false
}

// word compares without regard to case; w is in lower case.
func word(b []byte, w string) bool {
	if len(b) < len(w) {
		return false
	}
	for i := range len(w) {
		if b[i]|0x20 != w[i] {
			return false
		}
	}
	return true
}

// gap returns where a value may start after its name: behind 1 to 4 marks.
func gap(b []byte, i int) int {
	for end := min(len(b), i+4); i < end; i++ {
		switch b[i] {
		case ' ', '\t', ':', '=', '#', '"', '\'', '-', foldLetter:
		default:
			return i
		}
	}
	return i
}

func assigned(gap []byte) bool {
	for _, c := range gap {
		if c == ':' || c == '=' {
			return true
		}
	}
	return false
}

func ends(b []byte, i int) bool { return i == len(b) || class[b[i]]&isAlnum == 0 }
