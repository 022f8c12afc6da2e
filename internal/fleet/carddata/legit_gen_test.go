package carddata

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// legit makes traffic as terminals and gateways really send it, from the published shapes of each number: merchant
// numbers (institution, region, MCC, sequence), ICCID (ITU-T E.118), IMEI and IMSI (3GPP TS 23.003), retrieval
// reference and trace numbers (ISO 8583 fields 37 and 11), UUID, ULID, times in all usual units. It knows nothing of
// the detector.
type legit struct{ *rand.Rand }

func (g legit) pick(of ...string) string { return of[g.IntN(len(of))] }

func (g legit) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + g.IntN(10))
	}
	return string(b)
}

func (g legit) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[g.IntN(16)]
	}
	return string(b)
}

// luhn appends the check digit, as an ICCID and an IMEI carry one.
func (g legit) luhn(payload string) string {
	sum := 0
	for i := range len(payload) {
		d := int(payload[len(payload)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return payload + string(byte('0'+(10-sum%10)%10))
}

func (g legit) merchant() string {
	switch g.IntN(10) {
	case 0: // private numbers of ten to fourteen digits without a bank behind them
		return "1" + g.digits(9+g.IntN(4))
	case 1:
		return "M" + g.digits(9)
	}
	institution := g.pick("898", "822", "848", "829", "102", "103", "104", "105", "301", "302", "303", "304", "305", "306",
		"307", "308", "309", "310", "313", "314", "317", "400", "403", "501", "595", "621", "651", "666", "842", "850", "872")
	region := g.pick("1000", "1100", "2900", "3010", "3310", "4401", "5510", "5810", "5840", "6510", "7010", "8810")
	mcc := g.pick("5311", "5411", "5812", "5912", "4511", "7011", "8062", "5541", "4814")
	return institution + region + mcc + g.digits(4)
}

func (g legit) iccid() string {
	body := g.pick("898600", "898601", "898603", "898604", "898606", "898611", "894921", "890141", "898602")
	return g.luhn(body + g.digits(12+g.IntN(2)))
}

func (g legit) serial() string {
	switch g.IntN(7) {
	case 0:
		return "08" + g.digits(8)
	case 1:
		return "PB04" + g.digits(2) + "CM" + g.digits(5)
	case 2:
		return "NP70" + g.digits(8)
	case 3: // the number a certified terminal is registered under: class and vendor, then its serial number
		return "0000" + g.pick("0302", "0501", "0402", "0701") + g.digits(8+g.IntN(5))
	case 4:
		return fmt.Sprintf("%s-%s-%s", g.digits(3), g.digits(3), g.digits(3))
	case 5:
		return g.digits(5) + "WL" + g.digits(8)
	}
	return "SN" + g.digits(1+g.IntN(9))
}

func (g legit) version() string {
	switch g.IntN(5) {
	case 0:
		return fmt.Sprintf("%d.%d.%d-%s", 1+g.IntN(7), g.IntN(20), g.IntN(310), g.day().Format("20060102"))
	case 1:
		return fmt.Sprintf("V%d.%d.%d_%s", g.IntN(9), g.IntN(9), g.IntN(99), g.day().Format("060102150405"))
	case 2:
		return fmt.Sprintf("%d.%d.%d.%d", 1+g.IntN(6), g.IntN(20), g.IntN(300), g.IntN(30000))
	}
	return fmt.Sprintf("%d.%d.%d", g.IntN(10), g.IntN(20), g.IntN(100))
}

func (g legit) day() time.Time {
	return time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(g.Int64N(4*365*86400*1000)) * time.Millisecond)
}

func (g legit) params() string {
	return fmt.Sprintf("%d:%s", 1+g.IntN(400), g.hex([]int{6, 8, 16, 32}[g.IntN(4)]))
}

func (g legit) cell() string {
	mnc := g.pick("00", "01", "03", "07", "11", "15")
	return fmt.Sprintf("460-%s-%d-%d", mnc, 1+g.IntN(65535), 1+g.IntN(268435455))
}

func (g legit) uuid() string {
	h := []byte(g.hex(32))
	h[12], h[16] = "47"[g.IntN(2)], "89ab"[g.IntN(4)]
	return string(h[:8]) + "-" + string(h[8:12]) + "-" + string(h[12:16]) + "-" + string(h[16:20]) + "-" + string(h[20:])
}

// rrn is field 37 as most hosts make it: last digit of the year, day of the year, hour, trace number.
func (g legit) rrn(t time.Time) string {
	return fmt.Sprintf("%d%03d%02d%s", t.Year()%10, t.YearDay(), t.Hour(), g.digits(6))
}

func (g legit) txnID(t time.Time) string {
	local := t.Add(8 * time.Hour)
	switch g.IntN(10) {
	case 0:
		return g.uuid()
	case 1:
		return strings.ReplaceAll(g.uuid(), "-", "")
	case 2:
		return fmt.Sprintf("%d-%d", t.UnixMilli(), g.IntN(1000))
	case 3:
		return fmt.Sprintf("%d%04d", t.UnixMilli(), g.IntN(10000))
	case 4:
		return g.rrn(t)
	case 5:
		return local.Format("20060102") + g.digits(6)
	case 6:
		return local.Format("0601021504") + g.digits(6)
	case 7:
		return local.Format("060102150405") + g.digits(6)
	case 8:
		return g.pick("1", "4", "6", "9") + g.digits(7) + "-" + local.Format("20060102") + "-" + g.digits(6)
	}
	return local.Format("20060102") + "-" + g.digits(6)
}

// extras are fields that DESIGN does not name and that gateways add.
func (g legit) extras(t time.Time, add func(key, raw string)) {
	str := func(key, v string) { add(key, `"`+v+`"`) }
	for range 1 + g.IntN(3) {
		switch g.IntN(20) {
		case 0:
			str("imei", g.luhn(g.pick("86", "35", "99")+g.digits(12)))
		case 1:
			str("imsi", "460"+g.pick("00", "01", "03", "11")+g.digits(10))
		case 2:
			str("trace_id", g.hex(32))
		case 3:
			str("digest", g.hex(64))
		case 4:
			str("host", fmt.Sprintf("%d.%d.%d.%d:%d", 1+g.IntN(223), g.IntN(256), g.IntN(256), g.IntN(256), 1024+g.IntN(64000)))
		case 5:
			add("gps", fmt.Sprintf(`{"lat":%.7f,"lng":%.7f}`, 18+g.Float64()*30, 75+g.Float64()*60))
		case 6:
			str("place", fmt.Sprintf("%.6f,%.6f", 18+g.Float64()*30, 75+g.Float64()*60))
		case 7:
			str("sent", t.Format("2006-01-02 15:04:05.000000"))
		case 8:
			add("sent_us", fmt.Sprint(t.UnixMicro()+g.Int64N(1000)))
		case 9:
			add("sent_ns", fmt.Sprint(t.UnixNano()+g.Int64N(1000_000)))
		case 10:
			str("note", g.pick("商户未登记，请联系收单行", "call 400-810-9999 ext 17", "batch 000123 settled 2026-11-23 10:15:30", "tel +86 138 0013 8000"))
		case 11:
			str("card", "622202******"+g.digits(4))
		case 12:
			str("bin", g.pick("622202", "621700", "453242", "356833"))
		case 13:
			add("hourly", fmt.Sprintf("[%d,%d,%d,%d,%d,%d]", g.IntN(9999), g.IntN(9999), g.IntN(9999), g.IntN(9999), g.IntN(9999), g.IntN(9999)))
		case 14:
			str("mac", fmt.Sprintf("%s:%s:%s:%s:%s:%s", g.hex(2), g.hex(2), g.hex(2), g.hex(2), g.hex(2), g.hex(2)))
		case 15:
			str("auth_code", g.digits(6))
		case 16:
			str("batch", g.digits(6))
		case 17:
			add("cvv_result", `"M"`)
			add("pin_tries", "3")
		case 18:
			str("request", g.uuid())
		case 19:
			str("session", fmt.Sprint(t.UnixMilli()<<22|g.Int64N(1<<22)))
		}
	}
}

func (g legit) iso3() string { return g.pick("CNY", "CNY", "CNY", "USD", "HKD") }

// message is one event as a list of fields, so that another generator can plant something into it.
type message struct {
	kind   fleet.Kind
	fields []field
}

type field struct {
	key, raw string
	fields   []field // an object, when not nil
}

func (m *message) bytes() []byte { return appendFields(nil, m.fields) }

func appendFields(b []byte, fields []field) []byte {
	b = append(b, '{')
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), f.key...), `":`...)
		if f.fields != nil {
			b = appendFields(b, f.fields)
		} else {
			b = append(b, f.raw...)
		}
	}
	return append(b, '}')
}

func (g legit) message() *message {
	if g.IntN(2) == 0 {
		return g.heartbeat()
	}
	return g.txn()
}

func quoted(s string) string { return `"` + s + `"` }

func (g legit) heartbeat() *message {
	t := g.day()
	m := &message{kind: fleet.KindHeartbeat}
	m.fields = []field{
		{key: "ts", raw: fmt.Sprint(t.UnixMilli())},
		{key: "every_s", raw: "60"},
		{key: "boot", raw: fmt.Sprint(t.Unix() - g.Int64N(1e6))},
		{key: "seq", raw: fmt.Sprint(g.IntN(20000))},
		{key: "merchant", raw: quoted(g.merchant())},
		{key: "model", raw: quoted(g.pick("A920", "P2", "N910", "VX520", "MoveFree 5000"))},
		{key: "serial", raw: quoted(g.serial())},
		{key: "app", raw: quoted(g.version())},
		{key: "os", raw: quoted(g.pick("10", "7.1", g.version()))},
		{key: "params", raw: quoted(g.params())},
		{key: "net", fields: []field{
			{key: "type", raw: quoted(g.pick("4g", "wifi", "eth", "2g", "5g"))},
			{key: "rssi", raw: fmt.Sprint(-g.IntN(110))},
			{key: "rtt_ms", raw: fmt.Sprint(g.IntN(900))},
			{key: "host_ok", raw: "true"},
			{key: "iccid", raw: quoted(g.iccid())},
			{key: "cell", raw: quoted(g.cell())},
		}},
		{key: "health", fields: []field{
			{key: "printer", raw: quoted(g.pick("ok", "paper_out", "fault"))},
			{key: "reader", raw: `"ok"`}, {key: "scanner", raw: `"ok"`}, {key: "pinpad", raw: `"ok"`}, {key: "screen", raw: `"ok"`},
			{key: "battery", raw: fmt.Sprint(g.IntN(101))},
			{key: "tamper", raw: "false"},
			{key: "storage_mb", raw: fmt.Sprint(g.IntN(32000))},
		}},
		{key: "totals", fields: []field{
			{key: "approved", raw: fmt.Sprint(g.IntN(100000))},
			{key: "declined", raw: fmt.Sprint(g.IntN(1000))},
		}},
	}
	if g.IntN(4) == 0 {
		g.extras(t, func(key, raw string) { m.fields = append(m.fields, field{key: key, raw: raw}) })
	}
	return m
}

func (g legit) txn() *message {
	t := g.day()
	m := &message{kind: fleet.KindTxn}
	m.fields = []field{
		{key: "ts", raw: fmt.Sprint(t.UnixMilli())},
		{key: "id", raw: quoted(g.txnID(t))},
		{key: "src", raw: quoted(g.pick("terminal", "switch"))},
		{key: "merchant", raw: quoted(g.merchant())},
		{key: "code", raw: quoted(g.pick("00", "03", "51", "97", "A0"))},
		{key: "type", raw: quoted(g.pick("sale", "refund", "void", "preauth", "query"))},
		{key: "amount", raw: fmt.Sprint(g.Int64N(1e12))},
		{key: "currency", raw: quoted(g.iso3())},
		{key: "entry", raw: quoted(g.pick("chip", "contactless", "magstripe", "qr", "manual"))},
		{key: "latency_ms", raw: fmt.Sprint(g.IntN(30000))},
		{key: "app", raw: quoted(g.version())},
		{key: "params", raw: quoted(g.params())},
		{key: "rrn", raw: quoted(g.rrn(t))},
		{key: "stan", raw: quoted(g.digits(6))},
	}
	if g.IntN(4) == 0 {
		g.extras(t, func(key, raw string) { m.fields = append(m.fields, field{key: key, raw: raw}) })
	}
	return m
}
