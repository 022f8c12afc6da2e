package carddata

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// planter makes card data from the public standards: number ranges and lengths as the brands publish them, track
// layouts of ISO/IEC 7813, BER-TLV of EMV Book 3, PIN block formats 0, 1, 3 and 4 of ISO 9564-1. It knows nothing of
// the detector.
type planter struct {
	legit
}

// A planted thing: the JSON text that carries it and what must not be left of it anywhere.
type plant struct {
	what    string
	kind    Kind
	text    string // as a person would read it
	secrets []string
	key     string // the field it must stand in, "" for any
	number  bool   // it can stand as a JSON number
}

func (p planter) pan() (brand, pan string) {
	between := func(lo, hi int) string { return fmt.Sprint(lo + p.IntN(hi-lo+1)) }
	var prefix string
	var length int
	switch p.IntN(11) {
	case 0:
		brand, prefix, length = "visa", "4", []int{16, 16, 16, 16, 13, 19}[p.IntN(6)]
	case 1:
		brand, prefix, length = "mastercard", between(51, 55), 16
	case 2:
		brand, prefix, length = "mastercard2", between(2221, 2720), 16
	case 3:
		brand, prefix, length = "amex", p.pick("34", "37"), 15
	case 4:
		brand, prefix, length = "diners", p.pick("300", "301", "302", "303", "304", "305", "3095", "36", "38", "39"), 14
	case 5:
		brand, prefix, length = "discover", p.pick("6011", "644", "645", "646", "647", "648", "649", "65"), 16
	case 6:
		brand, prefix, length = "jcb", between(3528, 3589), 16
	case 7, 8:
		brand, prefix, length = "unionpay", p.pick("62", "62", "62", "81"), []int{16, 17, 18, 19, 19}[p.IntN(5)]
	case 9:
		brand, prefix, length = "maestro", p.pick("5018", "5020", "5038", "5893", "6304", "6759", "6761", "6762", "6763"), []int{16, 16, 18, 19}[p.IntN(4)]
	case 10:
		brand = "china"
		prefix = p.pick("9558", "95599", "103", "90030", "955880")
		length = map[string]int{"9558": 19, "95599": 19, "103": 19, "90030": 16, "955880": 16}[prefix]
	}
	return brand, p.luhn(prefix + p.digits(length-1-len(prefix)))
}

// split writes a number in printed groups.
func (p planter) split(pan string) string {
	var sizes []int
	switch {
	case len(pan) == 15:
		sizes = []int{4, 6, 5}
	case len(pan) == 14:
		sizes = []int{4, 6, 4}
	case len(pan) == 19 && p.IntN(2) == 0:
		sizes = []int{6, 13}
	case p.IntN(10) == 0:
		for range pan {
			sizes = append(sizes, 1)
		}
	default:
		for n := len(pan); n > 0; n -= 4 {
			sizes = append(sizes, min(4, n))
		}
	}
	sep := p.pick(" ", " ", "-", "-", ".", "/", "_", ",", ":", "|", "\u00a0", "\u3000", "\u2013")
	var groups []string
	for _, n := range sizes {
		groups, pan = append(groups, pan[:n]), pan[n:]
	}
	return strings.Join(groups, sep)
}

func (p planter) yymm() string { return fmt.Sprintf("%02d%02d", 24+p.IntN(15), 1+p.IntN(12)) }

func (p planter) track2(sep string) (pan, track string) {
	_, pan = p.pan()
	return pan, pan + sep + p.yymm() + p.pick("101", "201", "220", "120", "602") + p.digits(5+p.IntN(6))
}

func (p planter) track1() (pan, track string) {
	_, pan = p.pan()
	name := p.pick("ZHANG/SAN", "LI/SI", "DOE/JOHN MR", "WANG/XIAOMING")
	return pan, "%B" + pan + "^" + name + "^" + p.yymm() + "201" + p.digits(8) + "?"
}

func tlv(tag string, value []byte) []byte {
	t, _ := hex.DecodeString(tag)
	return append(append(t, byte(len(value))), value...)
}

func bcd(s string, pad byte) []byte {
	if len(s)%2 == 1 {
		s += string(pad)
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func (p planter) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(p.IntN(256))
	}
	return b
}

// emv is a plausible field 55 with the PAN, track 2 equivalent data, or both, in no fixed order.
func (p planter) emv() (secrets []string, data []byte) {
	pan, track := p.track2("D")
	parts := [][]byte{
		tlv("9F26", p.random(8)), tlv("9F27", []byte{0x80}), tlv("9F10", p.random(7)), tlv("9F37", p.random(4)),
		tlv("9F36", p.random(2)), tlv("95", p.random(5)), tlv("9A", []byte{0x26, 0x11, 0x23}), tlv("9C", []byte{0}),
		tlv("9F02", []byte{0, 0, 0, 0, 0x12, 0}), tlv("5F2A", []byte{0x01, 0x56}), tlv("82", p.random(2)), tlv("84", p.random(8)),
	}
	withPAN, withTrack := tlv("5A", bcd(pan, 'F')), tlv("57", bcd(track, 'F'))
	switch p.IntN(3) {
	case 0:
		parts = append(parts, withPAN)
	case 1:
		parts = append(parts, withTrack)
	case 2:
		parts = append(parts, withPAN, withTrack)
	}
	p.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return []string{pan}, slices.Concat(parts...)
}

// pinBlock is 16 hex digits (formats 0, 1 and 3), or 32 (format 4).
func (p planter) pinBlock() string {
	n := 4 + p.IntN(9)
	switch p.IntN(4) {
	case 0:
		return strings.ToUpper(fmt.Sprintf("0%X%s", n, p.hex(14)))
	case 1:
		return strings.ToUpper(fmt.Sprintf("1%X%s", n, p.hex(14)))
	case 2:
		return strings.ToUpper(fmt.Sprintf("3%X%s", n, p.hex(14)))
	}
	return p.hex(32)
}

func (p planter) plant() plant {
	switch p.IntN(14) {
	case 0, 1, 2:
		brand, pan := p.pan()
		return plant{what: "pan " + brand, kind: KindPAN, text: pan, secrets: []string{pan}, number: true}
	case 3, 4:
		brand, pan := p.pan()
		return plant{what: "split pan " + brand, kind: KindPAN, text: p.split(pan), secrets: []string{pan}}
	case 5, 6:
		_, pan := p.pan()
		if p.IntN(3) == 0 {
			pan = p.split(pan)
		}
		text := fmt.Sprintf(p.pick("card %s declined", "卡号%s有误", "PAN:%s", "x %s y", "pan=%s;", "[%s]", "card no. %s, code 03", "刷卡失败（%s）", "PAN%sEND"), pan)
		return plant{what: "pan in text", kind: KindPAN, text: text, secrets: []string{onlyDigits(pan)}}
	case 7:
		pan, track := p.track1()
		return plant{what: "track 1", kind: KindTrack, text: track, secrets: []string{pan, track}}
	case 8:
		pan, track := p.track2("=")
		if p.IntN(2) == 0 {
			track = ";" + track + "?"
		}
		return plant{what: "track 2", kind: KindTrack, text: track, secrets: []string{pan, track}}
	case 9:
		pan, track := p.track2(p.pick("D", "d"))
		return plant{what: "track 2 hex", kind: KindTrack, text: track + p.pick("", "F"), secrets: []string{pan, track}}
	case 10:
		secrets, data := p.emv()
		text := hex.EncodeToString(data)
		if p.IntN(2) == 0 {
			text = strings.ToUpper(text)
		}
		return plant{what: "emv hex", kind: KindEMV, text: text, secrets: append(secrets, text)}
	case 11:
		secrets, data := p.emv()
		text := base64.StdEncoding.EncodeToString(data)
		return plant{what: "emv base64", kind: KindEMV, text: text, secrets: append(secrets, text)}
	case 12:
		block := p.pinBlock()
		return plant{what: "pin block", kind: KindPINBlock, text: block, secrets: []string{block},
			key: p.pick("pin", "pinblock", "pin_block", "PinBlock", "PIN", "encPin", "pin-block")}
	}
	code := p.digits(3 + p.IntN(2))
	if p.IntN(2) == 0 {
		text := fmt.Sprintf(p.pick("cvv=%s", "cvv2: %s", "CVC %s", "cvn2=%s ok", "card with CVV2:%s declined", "CVC2=%s"), code)
		return plant{what: "cvv in text", kind: KindCVV, text: text, secrets: []string{text}}
	}
	return plant{what: "cvv", kind: KindCVV, text: code, key: p.pick("cvv", "cvc", "cvv2", "cvn2", "CVV", "cvc2", "card_cvv"), number: code[0] != '0'}
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// encode writes text as a JSON string, now and then with needless escapes or full-width digits.
func (p planter) encode(text string) string {
	style := p.IntN(12)
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case style == 0 && p.IntN(2) == 0 && r < 0x80:
			fmt.Fprintf(&b, `\u%04x`, r)
		case style == 1 && r == '/':
			b.WriteString(`\/`)
		case style == 2 && r >= '0' && r <= '9':
			b.WriteRune(r - '0' + '０')
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// The string fields that DESIGN names, by kind of message. A merchant number of 15 digits cannot be told from a
// 15-digit card number, so these are not planted there; src and code refuse any such text by themselves.
var stringFields = map[fleet.Kind][]string{
	fleet.KindHeartbeat: {"merchant", "model", "serial", "app", "os", "params", "net.type", "net.iccid", "net.cell",
		"health.printer", "health.reader", "health.scanner", "health.pinpad", "health.screen"},
	fleet.KindTxn: {"id", "merchant", "type", "currency", "entry", "app", "params", "rrn", "stan"},
}

var numberFields = map[fleet.Kind][]string{
	fleet.KindHeartbeat: {"ts", "every_s", "boot", "seq", "net.rssi", "net.rtt_ms", "health.battery", "health.storage_mb", "totals.approved", "totals.declined"},
	fleet.KindTxn:       {"ts", "amount", "latency_ms"},
}

func setField(fields []field, path, raw string) {
	outer, inner, nested := strings.Cut(path, ".")
	for i := range fields {
		if fields[i].key == outer {
			if nested {
				setField(fields[i].fields, inner, raw)
			} else {
				fields[i].raw = raw
			}
			return
		}
	}
	panic("no field " + path)
}

// into puts the planted thing somewhere into the message and says where.
func (p planter) into(m *message, x plant) (where string) {
	raw := p.encode(x.text)
	if x.number && p.IntN(3) == 0 {
		raw = x.text
		if x.key == "" && p.IntN(3) == 0 {
			where = numberFields[m.kind][p.IntN(len(numberFields[m.kind]))]
			setField(m.fields, where, raw)
			return where
		}
	}
	fifteen := len(x.text) == 15 && onlyDigits(x.text) == x.text
	if x.key == "" && raw[0] == '"' && p.IntN(2) == 0 {
		known := stringFields[m.kind]
		where = known[p.IntN(len(known))]
		if where != "merchant" || !fifteen {
			setField(m.fields, where, raw)
			return where
		}
	}
	key := x.key
	if key == "" {
		key = p.pick("note", "msg", "x", "error", "ref", "data", "field_2", "备注", "raw")
	}
	inner := field{key: key, raw: raw}
	switch p.IntN(6) {
	case 0:
		where, inner = "nested", field{key: "card", fields: []field{{key: "v", raw: "1"}, inner}}
	case 1:
		where, inner.raw = "array", "["+p.pick("", `"a",`, "1,")+raw+p.pick("", `,"b"`, ",2")+"]"
	case 2:
		where, inner.raw = "object in array", `[{"n":1},{"`+key+`":`+raw+`}]`
		inner.key = "items"
	case 3:
		if x.key == "" && raw[0] == '"' {
			where, inner = "key", field{key: raw[1 : len(raw)-1], raw: "1"}
			break
		}
		fallthrough
	default:
		where = "unknown field"
	}
	at := p.IntN(len(m.fields) + 1)
	m.fields = slices.Insert(m.fields, at, inner)
	return where
}

func newPlanter(seed uint64) planter { return planter{legit{rand.New(rand.NewPCG(seed, 2))}} }
