package point

import (
	"strconv"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// AppendHeartbeat appends the line of a heartbeat that arrived then. Slow facts are written where they differ from
// what facts says was last written for the terminal, and all of them in its first heartbeat of a UTC day and in one
// that does not directly follow the last seen; facts is brought up to date.
func AppendHeartbeat(b []byte, k fleet.Key, h *fleet.Heartbeat, arrived time.Time, facts *Facts) []byte {
	clockOK := trusted(h.TS, arrived, schema.BucketRaw)
	nanos := h.TS * int64(time.Millisecond)
	if !clockOK {
		var id [48]byte
		s := strconv.AppendInt(id[:0], h.Boot, 10)
		s = append(s, '-')
		s = strconv.AppendInt(s, h.Seq, 10)
		nanos = arrivalDay(arrived, fleet.Hash(k.Acquirer, k.Terminal, string(s)))
	}
	written := facts.entry(k)
	written.next(h.Boot, h.Seq, nanos)

	b = append(b, schema.Heartbeat+",acquirer="...)
	b = append(b, k.Acquirer...)
	b = append(b, ",terminal="...)
	b = terminalTag(b, k.Terminal)
	l := &line{b: b, sep: ' '}
	l.int("seq", h.Seq)
	if h.Fields.Has(fleet.HasRSSI) {
		l.int("rssi", h.RSSI)
	}
	if h.Fields.Has(fleet.HasRTT) {
		l.int("rtt_ms", h.RTTms)
	}
	if h.Fields.Has(fleet.HasBattery) {
		l.int("battery", h.Battery)
	}
	if h.Fields.Has(fleet.HasTotals) {
		l.int("approved", h.Approved)
		l.int("declined", h.Declined)
	}
	num := func(slot int, name string, has fleet.Field, v int64) {
		if h.Fields.Has(has) && written.changed(slot, uint64(v)^0x9e3779b97f4a7c15) {
			l.int(name, v)
		}
	}
	flag := func(slot int, name string, has fleet.Field, v bool) {
		mark := uint64(1)
		if v {
			mark = 2
		}
		if h.Fields.Has(has) && written.changed(slot, mark) {
			l.bool(name, v)
		}
	}
	text := func(slot int, name, v string) {
		if v != "" && written.changed(slot, fleet.HashText(v)) {
			l.str(name, v)
		}
	}
	num(0, "every_s", fleet.HasEvery, h.EverySec)
	num(1, "boot", 0, h.Boot)
	text(2, "merchant", h.Merchant)
	text(3, "model", h.Model)
	text(4, "serial", h.Serial)
	text(5, "app", h.App)
	text(6, "os", h.OS)
	text(7, "params", h.Params)
	text(8, "net_type", h.NetType)
	flag(9, "host_ok", fleet.HasHostOK, h.HostOK)
	text(10, "iccid", h.ICCID)
	text(11, "cell", h.Cell)
	text(12, "printer", h.Printer)
	text(13, "reader", h.Reader)
	text(14, "scanner", h.Scanner)
	text(15, "pinpad", h.PINPad)
	text(16, "screen", h.Screen)
	flag(17, "tamper", fleet.HasTamper, h.Tamper)
	num(18, "storage_mb", fleet.HasStorage, h.StorageMB)
	if h.Model != "" && nanos == written.newest { // one that comes late does not say what the terminal is now
		written.model = facts.intern(h.Model)
	}
	if !clockOK {
		l.str("clock", "bad")
		l.int("arrived", arrived.UnixMilli())
	}
	return l.end(nanos)
}
