package point

import (
	"strconv"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
	"github.com/tillwatch/tillwatch/internal/schema"
)

// maxAhead is how far a terminal's clock may run ahead of the arrival before it counts as wrong.
const maxAhead = 10 * time.Minute

// maxWait is how long an event may lie in its stream, while the database is away, and still be inside the bucket's
// retention when it is written at last: what is outside is refused, and the event would become a dead letter.
const maxWait = 24 * time.Hour

// The fields of a line are appended with a leading separator, ' ' before the first and ',' before the others.

type line struct {
	b   []byte
	sep byte
}

func (l *line) key(name string) {
	l.b = append(l.b, l.sep)
	l.sep = ','
	l.b = append(l.b, name...)
	l.b = append(l.b, '=')
}

func (l *line) int(name string, v int64) {
	l.key(name)
	l.b = strconv.AppendInt(l.b, v, 10)
	l.b = append(l.b, 'i')
}

func (l *line) bool(name string, v bool) {
	l.key(name)
	l.b = strconv.AppendBool(l.b, v)
}

// str appends a string field. Line protocol escapes only the quote and the backslash; a NUL would be refused by the
// query side of 1.8 and is left out.
func (l *line) str(name, v string) {
	l.key(name)
	l.b = append(l.b, '"')
	for i := range len(v) {
		switch c := v[i]; c {
		case '"', '\\':
			l.b = append(l.b, '\\', c)
		case 0:
		default:
			l.b = append(l.b, c)
		}
	}
	l.b = append(l.b, '"')
}

func (l *line) strIf(name, v string) {
	if v != "" {
		l.str(name, v)
	}
}

func (l *line) end(nanos int64) []byte {
	l.b = append(l.b, ' ')
	l.b = strconv.AppendInt(l.b, nanos, 10)
	return append(l.b, '\n')
}

// terminalTag spells a TID as its subject does: one to one, and nothing in it needs escaping in line protocol.
func terminalTag(b []byte, terminal string) []byte {
	const hex = "0123456789abcdef"
	for i := range len(terminal) {
		c := terminal[i]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' {
			b = append(b, c)
		} else {
			b = append(b, '_', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// trusted reports whether a terminal's clock can place an event that arrived then in a bucket: not further back than
// the bucket's retention less maxWait, not further ahead than maxAhead.
func trusted(ts int64, arrived time.Time, bucket string) bool {
	at := time.UnixMilli(ts)
	return !at.Before(arrived.Add(maxWait-schema.Retention(bucket))) && !at.After(arrived.Add(maxAhead))
}

// arrivalDay is where an event with an unusable clock is put: the UTC midnight of its arrival, which a second delivery
// does not change, plus the nanoseconds of its hash.
func arrivalDay(arrived time.Time, hash uint64) int64 {
	return arrived.UTC().Truncate(24*time.Hour).UnixNano() + fleet.HashNanos(hash)
}
