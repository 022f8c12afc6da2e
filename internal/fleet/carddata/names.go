package carddata

import "bytes"

// sensitive says what a field's name promises.
type sensitive uint8

const (
	namedNothing sensitive = iota
	namedPAN
	namedTrack
	namedPIN
	namedCVV
	namedValue // value, data and the like: what the enclosing field is named counts
)

func (s sensitive) kind() Kind {
	return [...]Kind{namedPAN: KindPAN, namedTrack: KindTrack, namedPIN: KindPINBlock, namedCVV: KindCVV}[s]
}

// The endings are compared with the name in lower case and without anything but letters and digits, so that
// card_cvv2, cardCvv2 and CVV2 are one. DE and F with a number are ISO 8583 data elements.
var nameEndings = []struct {
	ending string
	whole  bool // the ending is the whole name
	is     sensitive
}{
	{"cvv", false, namedCVV}, {"cvv2", false, namedCVV}, {"cvc", false, namedCVV}, {"cvc2", false, namedCVV},
	{"cvn", false, namedCVV}, {"cvn2", false, namedCVV}, {"csc", true, namedCVV}, {"securitycode", false, namedCVV},
	{"cvvcode", false, namedCVV}, {"verificationvalue", false, namedCVV}, {"安全码", false, namedCVV},
	{"pin", true, namedPIN}, {"encpin", false, namedPIN}, {"encryptedpin", false, namedPIN}, {"cardpin", false, namedPIN},
	{"pinblock", false, namedPIN}, {"pinblk", false, namedPIN}, {"pindata", false, namedPIN}, {"pinvalue", false, namedPIN},
	{"de52", true, namedPIN}, {"f52", true, namedPIN}, {"field52", true, namedPIN}, {"密码", false, namedPIN},
	{"pan", true, namedPAN}, {"cardpan", false, namedPAN}, {"cardno", false, namedPAN}, {"cardnum", false, namedPAN},
	{"cardnumber", false, namedPAN}, {"primaryaccountnumber", false, namedPAN}, {"de2", true, namedPAN}, {"f2", true, namedPAN},
	{"field2", true, namedPAN}, {"卡号", false, namedPAN},
	{"track", true, namedTrack}, {"track1", false, namedTrack}, {"track2", false, namedTrack}, {"track3", false, namedTrack},
	{"trackdata", false, namedTrack}, {"track1data", false, namedTrack}, {"track2data", false, namedTrack},
	{"track3data", false, namedTrack}, {"de35", true, namedTrack}, {"f35", true, namedTrack}, {"field35", true, namedTrack},
	{"de36", true, namedTrack}, {"f36", true, namedTrack}, {"de45", true, namedTrack}, {"f45", true, namedTrack},
	{"value", true, namedValue}, {"data", true, namedValue}, {"raw", true, namedValue}, {"hex", true, namedValue},
	{"text", true, namedValue}, {"v", true, namedValue},
}

// byLast holds the endings by their last byte: most names are refused by it alone.
var byLast = func() (t [256][]int) {
	for i, n := range nameEndings {
		c := n.ending[len(n.ending)-1]
		t[c] = append(t[c], i)
	}
	return t
}()

// nameOf reads a key as it stands in the document; escaped says that it holds a backslash.
func nameOf(raw []byte, escaped bool) sensitive {
	if escaped {
		var buf [256]byte
		raw = unescape(buf[:0], raw)
	}
	_, last := lastOfName(raw)
	for _, i := range byLast[last] {
		e := &nameEndings[i]
		if rest, ok := cutEnding(raw, e.ending); ok && (!e.whole || rest == 0) {
			if bytes.Contains(raw, []byte("[redacted ")) || bytes.Contains(raw, []byte("***")) {
				return namedNothing // the name holds a marker, and says nothing
			}
			return e.is
		}
	}
	return namedNothing
}

// lastOfName returns the last byte of a name that is compared, in lower case, and its place; −1 and 0 without any.
func lastOfName(name []byte) (int, byte) {
	for i := len(name) - 1; i >= 0; i-- {
		switch c := name[i]; {
		case c >= 0x80 || class[c]&isDigit != 0 || c >= 'a' && c <= 'z':
			return i, c
		case c >= 'A' && c <= 'Z':
			return i, c + 'a' - 'A'
		}
	}
	return -1, 0
}

// cutEnding reports whether the name ends so, and how many bytes that are compared stand before the ending.
func cutEnding(name []byte, ending string) (rest int, ok bool) {
	for i := len(ending) - 1; i >= 0; i-- {
		at, c := lastOfName(name)
		if at < 0 || c != ending[i] {
			return 0, false
		}
		name = name[:at]
	}
	for {
		at, _ := lastOfName(name)
		if at < 0 {
			return rest, true
		}
		rest++
		name = name[:at]
	}
}

// fits reports whether a value (folded text, or a number) is what the name of its field promises, so that all of it
// has to go.
func (s sensitive) fits(v []byte, number bool) bool {
	digits, hexes, others := 0, 0, 0
	for _, c := range v {
		switch class[c] & (isDigit | isHex) {
		case isDigit | isHex:
			digits++
			hexes++
		case isHex:
			hexes++
		default:
			if c != ' ' && c != '-' && c != '\t' && c != ':' {
				others++
			}
		}
	}
	switch s {
	case namedCVV: // a number has lost its leading zero
		return others == 0 && digits == hexes && digits <= 4 && (digits >= 3 || number && digits == 2)
	case namedPIN:
		base64 := len(v) == 12 && v[11] == '=' && v[10] != '='
		return others == 0 && (hexes == 16 || hexes == 32 || digits == hexes && digits >= 4 && digits <= 12) || base64
	case namedPAN:
		return others == 0 && digits == hexes && digits >= 12 && digits <= 19
	case namedTrack:
		return digits >= 12
	}
	return false
}
