package fleet

import (
	"strings"
	"sync"
)

// Bounds of decoded values. Times are Unix milliseconds up to the year 2255, so that a nanosecond time still fits in
// 64 bits; counts fit in what the database stores exactly.
const (
	maxMillis = 9_000_000_000_000
	maxCount  = 1 << 53
	maxText   = 128 // bytes of a descriptive string: model, version, serial number
)

// Field is a bit set of the optional fields that a decoded message carried.
type Field uint32

// The optional fields whose zero value would be ambiguous.
const (
	HasEvery Field = 1 << iota
	HasRSSI
	HasRTT
	HasHostOK
	HasBattery
	HasTamper
	HasStorage
	HasTotals
	HasAmount
	HasLatency
)

// Has reports whether all the fields of mask were there.
func (f Field) Has(mask Field) bool { return f&mask == mask }

// Heartbeat is a terminal's periodic report of itself. Empty strings are fields that were not sent; numbers and
// booleans that were not sent are zero and have no bit in Fields.
type Heartbeat struct {
	TS       int64 // the terminal's clock, Unix milliseconds
	EverySec int64 // its own period in seconds
	Boot     int64 // Unix second of its last start
	Seq      int64 // counts within Boot

	Merchant string // field 42 as configured on the terminal, trimmed
	Model    string
	Serial   string
	App      string // application version
	OS       string
	Params   string // parameter set, version:fingerprint

	NetType string // 4g, wifi, eth, 2g, 5g or other
	RSSI    int64  // dBm
	RTTms   int64  // to the acquirer's host
	HostOK  bool   // the acquirer's host answered
	ICCID   string // the SIM's serial number
	Cell    string // MCC-MNC-LAC-CID

	Printer, Reader, Scanner, PINPad, Screen string // ok, fault (printer: paper_out too) or other
	Battery                                  int64  // percent
	Tamper                                   bool
	StorageMB                                int64

	Approved, Declined int64 // cumulative since Boot

	Fields Field
}

// DecodeHeartbeat reads the body of a heartbeat into h, which it overwrites. key is the identity its subject gave; a
// body that repeats it differently is refused with ReasonSpoofed.
func DecodeHeartbeat(body []byte, key Key, h *Heartbeat) error {
	*h = Heartbeat{}
	var have required
	err := decode(body, key, func(p *scanner, name string) (err error) {
		switch name {
		case "ts":
			have |= reqTS
			h.TS, err = p.integer(name, 1, maxMillis)
		case "boot":
			have |= reqBoot
			h.Boot, err = p.integer(name, 0, maxMillis)
		case "seq":
			have |= reqSeq
			h.Seq, err = p.integer(name, 0, maxCount)
		case "every_s":
			h.EverySec, err = p.integer(name, 1, 7*86400)
			h.Fields |= HasEvery
		case "merchant":
			h.Merchant, err = p.id(name)
		case "model":
			h.Model, err = p.text(name, maxText)
		case "serial":
			h.Serial, err = p.text(name, maxText)
		case "app":
			h.App, err = p.text(name, maxText)
		case "os":
			h.OS, err = p.text(name, maxText)
		case "params":
			h.Params, err = p.text(name, maxText)
		case "net":
			err = p.nested(name, h.net)
		case "health":
			err = p.nested(name, h.health)
		case "totals":
			var got totalsSeen
			err = p.nested(name, func(p *scanner, name, path string) error { return h.totals(p, name, path, &got) })
			if got == bothTotals {
				h.Fields |= HasTotals
			}
		default:
			err = p.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	return have.check(reqTS | reqBoot | reqSeq)
}

func (h *Heartbeat) net(p *scanner, name, path string) (err error) {
	switch name {
	case "type":
		h.NetType, err = p.enum(path, "4g", "wifi", "eth", "2g", "5g")
	case "rssi":
		h.RSSI, err = p.integer(path, -1000, 1000)
		h.Fields |= HasRSSI
	case "rtt_ms":
		h.RTTms, err = p.integer(path, 0, maxCount)
		h.Fields |= HasRTT
	case "host_ok":
		h.HostOK, err = p.boolean(path)
		h.Fields |= HasHostOK
	case "iccid":
		h.ICCID, err = p.text(path, maxText)
	case "cell":
		h.Cell, err = p.text(path, maxText)
	default:
		err = p.skip()
	}
	return err
}

func (h *Heartbeat) health(p *scanner, name, path string) (err error) {
	switch name {
	case "printer":
		h.Printer, err = p.enum(path, "ok", "paper_out", "fault")
	case "reader":
		h.Reader, err = p.enum(path, "ok", "fault")
	case "scanner":
		h.Scanner, err = p.enum(path, "ok", "fault")
	case "pinpad":
		h.PINPad, err = p.enum(path, "ok", "fault")
	case "screen":
		h.Screen, err = p.enum(path, "ok", "fault")
	case "battery":
		h.Battery, err = p.integer(path, 0, 100)
		h.Fields |= HasBattery
	case "tamper":
		h.Tamper, err = p.boolean(path)
		h.Fields |= HasTamper
	case "storage_mb":
		h.StorageMB, err = p.integer(path, 0, maxCount)
		h.Fields |= HasStorage
	default:
		err = p.skip()
	}
	return err
}

type totalsSeen uint8

const bothTotals totalsSeen = 3

func (h *Heartbeat) totals(p *scanner, name, path string, got *totalsSeen) (err error) {
	switch name {
	case "approved":
		h.Approved, err = p.integer(path, 0, maxCount)
		*got |= 1
	case "declined":
		h.Declined, err = p.integer(path, 0, maxCount)
		*got |= 2
	default:
		err = p.skip()
	}
	return err
}

// scanners are kept, because a scanner escapes through the function that reads its fields.
var scanners = sync.Pool{New: func() any { return new(scanner) }}

// decode runs one message through the scanner: it checks the size, refuses a body whose identity is not its subject's,
// treats null as absent and hands every other field to field.
func decode(body []byte, key Key, field func(p *scanner, name string) error) error {
	if len(body) > MaxBody {
		return &Invalid{Reason: ReasonTooLarge, Want: "at most 4096 bytes"}
	}
	p := scanners.Get().(*scanner)
	*p = scanner{s: string(body)} // the one copy that all decoded strings share
	defer func() {
		*p = scanner{} // or the pool would hold on to the message
		scanners.Put(p)
	}()
	err := p.object(func(name string) error {
		if p.null() {
			return nil
		}
		switch name {
		case "acquirer":
			return p.same(name, key.Acquirer)
		case "terminal":
			return p.same(name, key.Terminal)
		}
		return field(p, name)
	})
	if err != nil {
		return err
	}
	return p.end()
}

// same reads an identity that the body repeats and refuses one that contradicts the subject.
func (p *scanner) same(field, want string) error {
	got, err := p.text(field, MaxBody)
	if err != nil {
		return err
	}
	if got = TrimID(got); got != want {
		return &Invalid{Reason: ReasonSpoofed, Field: field, Got: got, Want: "what the subject says, " + want}
	}
	return nil
}

// nested reads the object of a field; the fields inside are named by their path.
func (p *scanner) nested(outer string, field func(p *scanner, name, path string) error) error {
	if p.peek() != '{' {
		return p.wrongType(outer, "an object")
	}
	return p.object(func(name string) error {
		if p.null() {
			return nil
		}
		return field(p, name, fieldPath(outer, name))
	})
}

// fieldPath joins without allocating for the fields we know.
func fieldPath(outer, name string) string {
	if path, ok := knownPaths[outer][name]; ok {
		return path
	}
	return outer
}

var knownPaths = func() map[string]map[string]string {
	m := map[string]map[string]string{}
	for outer, names := range map[string]string{
		"net":    "type rssi rtt_ms host_ok iccid cell",
		"health": "printer reader scanner pinpad screen battery tamper storage_mb",
		"totals": "approved declined",
	} {
		m[outer] = map[string]string{}
		for n := range strings.FieldsSeq(names) {
			m[outer][n] = outer + "." + n
		}
	}
	return m
}()

// id reads a merchant number.
func (p *scanner) id(field string) (string, error) {
	v, err := p.text(field, MaxBody)
	if err != nil {
		return "", err
	}
	if v = TrimID(v); len(v) > MaxID {
		return "", &Invalid{Reason: ReasonField, Field: field, Got: v, Want: "at most 32 bytes beside the padding"}
	}
	return v, nil
}

// EnumOther is what an enum value we do not know is kept as.
const EnumOther = "other"

// enum reads one of the known values; an unknown one becomes EnumOther, so that a new value is never a lost event.
func (p *scanner) enum(field string, known ...string) (string, error) {
	v, err := p.text(field, MaxBody)
	if err != nil || v == "" {
		return "", err
	}
	for _, k := range known {
		if v == k {
			return k, nil
		}
	}
	return EnumOther, nil
}

type required uint8

const (
	reqTS required = 1 << iota
	reqBoot
	reqSeq
	reqID
	reqCode
)

func (have required) check(want required) error {
	missing := want &^ have
	for _, f := range []struct {
		bit        required
		name, want string
	}{
		{reqTS, "ts", "the event's time in Unix milliseconds"},
		{reqBoot, "boot", "the Unix second of the terminal's last start"},
		{reqSeq, "seq", "the heartbeat's number since boot"},
		{reqID, "id", "an identifier this terminal never uses again"},
		{reqCode, "code", "the response code, ISO 8583 field 39"},
	} {
		if missing&f.bit != 0 {
			return &Invalid{Reason: ReasonMissing, Field: f.name, Want: f.want}
		}
	}
	return nil
}
