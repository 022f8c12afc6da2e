package carddata

import (
	"bytes"
	"slices"
	"strings"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Redact takes card data out of the JSON body of a heartbeat or txn. Without any it returns body itself and nil, and
// allocates nothing. Otherwise it returns a new body in which only the offending bytes are replaced:
//
//   - within a string, key or value, each finding becomes [redacted pan], [redacted track], and so on;
//   - the id of a txn becomes redacted-<unique>, so that events stay distinct; unique is the stream sequence of the
//     message, at most 20 characters;
//   - a number becomes such a string, but in a field that the decoders read as a number it becomes null (absent), or
//     for ts 1 and for boot and seq 0, which are required; a repeated acquirer or terminal becomes null.
//
// The result is valid JSON if body was, decodes if body did, is never larger than fleet.MaxBody if body was not (when
// room is short, findings become asterisks), and has nothing left that Redact would find. A body that is not JSON
// comes back as good as it can be; what is then kept of it goes through Mask.
//
// What is found, and what the choices cost, field by field:
//
//   - PAN: 13 to 19 digits in a known issuer range that pass Luhn, anywhere. By chance one number in thirty of 16
//     random digits looks so; so a sender's own random 16-digit numbers in a field of no known grammar lose that share.
//   - merchant: a number of 15 digits is never taken for a card, though a 15-digit American Express number fits it.
//   - id: dates and trace numbers of the sender's making are told apart by the event's own date; a TID of 8 digits
//     that starts with 30, 36, 38 or 39, joined with a trace number of 6, can look like a Diners Club number.
//   - params: 16 hex digits behind a version are a fingerprint, though they may be 16 decimal digits.
//   - times, ICCID, IMEI, IMSI, RRN and STAN are in no issuer range of their length and need no rule.
//   - digits inside a hex string of 16, 24, 32 and so on digits (digests, UUIDs without dashes, trace ids) are not
//     looked at as card numbers, except as chip data and track 2.
//   - PIN, PIN block and CVV are found by the name of their field, or by the word before them in a text.
func Redact(body []byte, kind fleet.Kind, unique string) (clean []byte, hits []Hit) {
	w := walker{body: body, kind: kind, unique: unique}
	w.walk()
	if len(w.edits) == 0 {
		return body, nil
	}
	slices.SortStableFunc(w.edits, func(a, b edit) int { return a.from - b.from })
	clean = w.apply(false)
	if len(clean) > fleet.MaxBody && len(body) <= fleet.MaxBody {
		clean = w.apply(true)
	}
	return clean, w.hits
}

// edit replaces body[from:to]: by text, or where room is short by short. An empty short stands for asterisks.
type edit struct {
	from, to    int
	text, short string
}

func (w *walker) apply(tight bool) []byte {
	out := make([]byte, 0, len(w.body)+64)
	at := 0
	for _, e := range w.edits {
		out = append(out, w.body[at:e.from]...)
		switch {
		case !tight:
			out = append(out, e.text...)
		case e.short == "":
			out = append(out, bytes.Repeat([]byte{'*'}, e.to-e.from)...)
		default:
			out = append(out, e.short...)
		}
		at = e.to
	}
	return append(out, w.body[at:]...)
}

func marker(k Kind) string { return "[redacted " + string(k) + "]" }

func (w *walker) hit(frames []frame, k Kind) {
	w.hits = append(w.hits, Hit{Field: w.path(frames), Kind: k})
}

// replaceValue replaces a whole value, quotes included.
func (w *walker) replaceValue(frames []frame, from, to int, k Kind) {
	w.hit(frames, k)
	e := edit{from: from, to: to, text: `"` + marker(k) + `"`, short: "0"}
	if w.body[from] == '"' {
		e.short = `"` + strings.Repeat("*", max(0, to-from-2)) + `"`
	}
	switch path := w.known(frames); path {
	case "id":
		if w.kind == fleet.KindTxn {
			id := freshID(w.unique)
			e.text, e.short = `"redacted-`+id+`"`, `"r-`+id+`"`
		}
	case "acquirer", "terminal":
		e.text, e.short = "null", "null"
	case "ts":
		if w.body[from] != '"' {
			e.text, e.short = "1", "1"
		}
	default:
		if w.body[from] == '"' || !w.integer(path) {
			break
		}
		if e.text, e.short = "null", "null"; path == "boot" || path == "seq" {
			e.text, e.short = "0", "0"
		}
	}
	w.edits = append(w.edits, e)
}

// redactText replaces every finding in the string body[from:to].
func (w *walker) redactText(frames []frame, from, to int, key bool, g grammar) {
	raw := w.body[from:to]
	var at []int
	folded := fold(nil, raw, &at)
	first := len(w.edits)
	growth := 0
	for {
		s, ok := find(folded, g, w)
		if !ok {
			break
		}
		if len(w.edits) == first && !key && w.whole(frames) {
			w.replaceValue(frames, from-1, to+1, s.kind)
			return
		}
		for i := s.from; i < s.to; i++ {
			folded[i] = foldGone
		}
		w.edits = append(w.edits, edit{from: from + at[s.from], to: from + at[s.to], text: marker(s.kind)})
		growth += max(0, len(marker(s.kind))-(s.to-s.from))
		if key {
			frames[len(frames)-1].keyGone = true
		}
		w.hit(frames, s.kind)
	}
	if limit := w.limit(frames); !key && growth > 0 && len(raw)+growth > limit && limit > 0 {
		kind := w.hits[len(w.hits)-1].Kind
		w.edits = append(w.edits[:first], edit{from: from, to: to, text: marker(kind)})
	}
}

// freshID makes a txn's id of the sequence of its message: letters, digits, - and _ only, and never 13 digits in a row.
func freshID(unique string) string {
	unique = fleet.Escape(unique)
	unique = unique[max(0, len(unique)-40):]
	var b strings.Builder
	digits := 0
	for i := range len(unique) {
		if class[unique[i]]&isDigit == 0 {
			digits = 0
		} else if digits++; digits > 12 {
			b.WriteByte('x')
			digits = 1
		}
		b.WriteByte(unique[i])
	}
	return b.String()
}
