package carddata

// minBase64 is the length from which a text is looked at as base64: EMV tag 5A of a 13-digit number has 9 bytes.
const minBase64 = 12

// findEMVHex finds chip data written in hex ("…5A084761739001010010…", also "5A 08 47 61 …") that carries the PAN
// (tag 5A) or track 2 equivalent data (57, or 9F6B of contactless magstripe), EMV Book 3 annex A. All of the hex
// string goes: what stands beside the PAN is sensitive too.
//
// Tags are looked for at every place and not by walking the TLV structure from its start, because what precedes it
// (a length, a template, a bitmap) differs by sender; the number must pass Luhn. In random hex of 64 digits this errs
// about twice in ten million.
func findEMVHex(b []byte) (span, bool) {
	var buf [1024]byte
	for i := 0; i < len(b); i++ {
		if class[b[i]]&isHex == 0 || i > 0 && class[b[i-1]]&isHex != 0 {
			continue
		}
		to := hexRun(b, i)
		if to-i == 2 { // a dump in bytes
			packed := buf[:0]
			end := to
			for j := i; len(packed)+2 <= len(buf) && j+2 <= len(b) && hexRun(b[:j+2], j) == j+2 && (j+2 == len(b) || class[b[j+2]]&isHex == 0); j += 3 {
				packed, end = append(packed, b[j:j+2]...), j+2
				if j+2 == len(b) || class[b[j+2]]&isSep == 0 {
					break
				}
			}
			if len(packed) >= 18 && emvHex(packed) {
				return span{i, end, KindEMV}, true
			}
			continue
		}
		if to-i >= 18 && emvHex(b[i:to]) {
			return span{i, to, KindEMV}, true
		}
		i = to
	}
	return span{}, false
}

func emvHex(h []byte) bool {
	for i := 0; i+4 <= len(h); i++ {
		switch {
		case h[i] == '5' && (h[i+1] == 'A' || h[i+1] == 'a' || h[i+1] == '7'):
		case h[i] == '6' && (h[i+1] == 'B' || h[i+1] == 'b') && i >= 2 && h[i-2] == '9' && h[i-1]|0x20 == 'f':
		default:
			continue
		}
		n := 2 * (hexValue(h[i+2])<<4 | hexValue(h[i+3]))
		if value := h[i+4:]; n <= len(value) && emvNumber(value[:n], h[i+1]|0x20 == 'a') {
			return true
		}
	}
	return false
}

// emvNumber reads the value of tag 5A (digits, padded with F) or 57 (digits, D, YYMM, …) as hex digits.
func emvNumber(v []byte, pan bool) bool {
	n := digitRun(v, 0)
	if n < 12 || n > 19 || !luhn(v[:n]) {
		return false
	}
	if pan {
		for _, c := range v[n:] {
			if c|0x20 != 'f' {
				return false
			}
		}
		return len(v) <= 20
	}
	return len(v) <= 38 && n+5 <= len(v) && v[n]|0x20 == 'd' && digitRun(v[:n+5], n+1) == n+5 && month(v[n+3:n+5])
}

// findBase64 decodes what can be base64 (either alphabet) and looks for the same tags in the bytes, and for a card
// number or a track in plain digits. Random bytes practically never look so.
func findBase64(b []byte) (span, bool) {
	var buf [1024]byte
	for i := 0; i < len(b); i++ {
		if class[b[i]]&isBase64 == 0 {
			continue
		}
		from, letters := i, false
		for i < len(b) && (class[b[i]]&isBase64 != 0 || b[i] == '\n' || b[i] == '\r') {
			letters = letters || class[b[i]]&(isAlnum|isDigit) == isAlnum
			i++
		}
		to := i
		for i < len(b) && b[i] == '=' {
			i++
		}
		if to-from < minBase64 || !letters {
			continue
		}
		data := decode64(buf[:0], b[from:to])
		if emvBytes(data) {
			return span{from, i, KindEMV}, true
		}
		if plainNumber(data) {
			return span{from, i, KindPAN}, true
		}
	}
	return span{}, false
}

// decode64 decodes as much as fits dst; there is no wrong input, only bytes that mean nothing.
func decode64(dst, b []byte) []byte {
	acc, bits := uint32(0), 0
	for _, c := range b {
		var v byte
		switch {
		case c >= 'A' && c <= 'Z':
			v = c - 'A'
		case c >= 'a' && c <= 'z':
			v = c - 'a' + 26
		case c >= '0' && c <= '9':
			v = c - '0' + 52
		case c == '+' || c == '-':
			v = 62
		case c == '/' || c == '_':
			v = 63
		default:
			continue
		}
		acc = acc<<6 | uint32(v)
		if bits += 6; bits >= 8 {
			if len(dst) == cap(dst) {
				return dst
			}
			bits -= 8
			dst = append(dst, byte(acc>>bits))
		}
	}
	return dst
}

func emvBytes(data []byte) bool {
	const hexDigits = "0123456789abcdef"
	for i := 0; i+2 <= len(data); i++ {
		tag, n := data[i], int(data[i+1])
		if tag != 0x5A && tag != 0x57 && !(tag == 0x6B && i > 0 && data[i-1] == 0x9F) || n < 6 || n > 19 || i+2+n > len(data) {
			continue
		}
		var v [38]byte
		for j, c := range data[i+2 : i+2+n] {
			v[2*j], v[2*j+1] = hexDigits[c>>4], hexDigits[c&15]
		}
		if emvNumber(v[:2*n], tag == 0x5A) {
			return true
		}
	}
	return false
}

func plainNumber(data []byte) bool {
	for i := 0; i < len(data); i++ {
		if class[data[i]]&isDigit == 0 {
			continue
		}
		to := digitRun(data, i)
		if d := data[i:to]; len(d) >= 13 && len(d) <= 19 && issued(d) == commonly && luhn(d) {
			return true
		}
		i = to
	}
	return false
}
