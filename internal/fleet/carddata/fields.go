package carddata

import (
	"strings"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// The fields that the decoders of internal/fleet know, by what the guard has to know of them. Nested ones belong to
// heartbeats.
const (
	maxText     = 128 // bytes of a descriptive text
	maxMerchant = fleet.MaxID
)

// known returns the path of the field whose value is read if it can be one that a decoder knows: at the top, or one
// object deeper. The keys are compared as the decoders do, escapes resolved.
func (w *walker) known(frames []frame) string {
	switch {
	case len(frames) == 1 && frames[0].object:
		return w.keyOf(frames[0])
	case len(frames) == 2 && frames[0].object && frames[1].object && w.kind == fleet.KindHeartbeat:
		switch outer := w.keyOf(frames[0]); outer {
		case "net", "health", "totals":
			return outer + "." + w.keyOf(frames[1])
		}
	}
	return ""
}

func (w *walker) keyOf(f frame) string {
	var buf [64]byte
	return string(unescape(buf[:0], w.body[f.from:f.to]))
}

// grammar returns what the field holds whose value is read. It is asked on the hot path and compares in place.
func (w *walker) grammar(frames []frame) grammar {
	if len(frames) == 0 || len(frames) > 2 || !frames[0].object || !frames[len(frames)-1].object {
		return anyText
	}
	last := frames[len(frames)-1]
	key := w.body[last.from:last.to]
	if last.escaped {
		var buf [64]byte
		key = unescape(buf[:0], key)
	}
	if len(frames) == 2 {
		if string(key) == "cell" && string(w.body[frames[0].from:frames[0].to]) == "net" {
			return ownVersion
		}
		return anyText
	}
	switch string(key) {
	case "merchant":
		return ownMerchant
	case "id":
		if w.kind == fleet.KindTxn {
			return ownNumber
		}
	case "app", "os", "model":
		return ownVersion
	case "params":
		return ownParams
	}
	return anyText
}

// whole reports whether a finding costs the whole value: where it is an identity, what is left of it would be none.
func (w *walker) whole(frames []frame) bool {
	switch w.known(frames) {
	case "acquirer", "terminal":
		return true
	case "id":
		return w.kind == fleet.KindTxn
	}
	return false
}

// integer reports whether a decoder reads the field as an integer.
func (w *walker) integer(path string) bool {
	switch path {
	case "ts":
		return true
	case "boot", "seq", "every_s", "net.rssi", "net.rtt_ms", "health.battery", "health.storage_mb", "totals.approved", "totals.declined":
		return w.kind == fleet.KindHeartbeat
	case "amount", "latency_ms":
		return w.kind == fleet.KindTxn
	}
	return false
}

// limit returns how many bytes a decoder accepts in a text field; 0 for no limit.
func (w *walker) limit(frames []frame) int {
	switch w.known(frames) {
	case "merchant":
		return maxMerchant
	case "model", "serial", "app", "os", "params", "currency", "net.iccid", "net.cell":
		return maxText
	}
	return 0
}

// path writes where the value stands, for people and for a counter's label: it must hold nothing of the message but
// the names of fields, and not grow without bound.
func (w *walker) path(frames []frame) string {
	var b strings.Builder
	for i, f := range frames {
		if i >= 4 {
			b.WriteString(".…")
			break
		}
		if !f.object {
			b.WriteString("[]")
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(w.label(f))
	}
	return b.String()
}

func (w *walker) label(f frame) string {
	if f.keyGone || f.to-f.from > 32 || f.to <= f.from {
		return "?"
	}
	digits := 0 // 3 in each of 4 names are still no card number
	for _, c := range w.body[f.from:f.to] {
		if class[c]&isAlnum == 0 && c != '_' && c != '-' {
			return "?"
		}
		if digits += int(class[c] & isDigit); digits > 3 {
			return "?"
		}
	}
	return string(w.body[f.from:f.to])
}
