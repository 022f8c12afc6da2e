package fleet

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// MaxID is the largest number of bytes of a terminal or merchant number after trimming. ISO 8583 fields 41 and 42
// carry 8 and 15; private networks use more.
const MaxID = 32

// Key names one terminal of the fleet. A TID is unique only within its acquirer, so it never stands alone.
type Key struct {
	Acquirer string // matches ^[A-Za-z0-9][A-Za-z0-9-]{0,31}$
	Terminal string // trimmed, unescaped, 1..MaxID bytes
}

func (k Key) String() string { return k.Acquirer + "/" + k.Terminal }

// ValidAcquirer reports whether id may name an acquirer: ^[A-Za-z0-9][A-Za-z0-9-]{0,31}$.
func ValidAcquirer(id string) bool {
	if id == "" || len(id) > 32 || id[0] == '-' {
		return false
	}
	for i := range len(id) {
		if !plain(id[i]) {
			return false
		}
	}
	return true
}

func plain(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-'
}

// TrimID removes the padding of a fixed-width terminal or merchant number (ISO 8583 fields 41 and 42: ans, padded with
// spaces; some gateways pad with NUL). Leading zeros are part of the number and stay.
func TrimID(s string) string { return strings.Trim(s, " \x00\t\r\n") }

const hexDigits = "0123456789abcdef"

// Escape writes a terminal or merchant number as one subject token or key: every byte outside [A-Za-z0-9-] becomes
// _xx in lower-case hex, '_' included, so that escaping is one to one.
func Escape(id string) string {
	n := 0
	for i := range len(id) {
		if !plain(id[i]) {
			n++
		}
	}
	if n == 0 {
		return id
	}
	b := make([]byte, 0, len(id)+2*n)
	for i := range len(id) {
		if c := id[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '_', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

var errEscape = errors.New("[A-Za-z0-9-] and every other byte as _xx in lower-case hex")

// Unescape is the inverse of Escape. It refuses every spelling that Escape would not have written, so that one
// terminal has one subject.
func Unescape(token string) (string, error) {
	if token == "" {
		return "", errEscape
	}
	if strings.IndexByte(token, '_') < 0 {
		for i := range len(token) {
			if !plain(token[i]) {
				return "", errEscape
			}
		}
		return token, nil
	}
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c != '_' {
			if !plain(c) {
				return "", errEscape
			}
			b = append(b, c)
			continue
		}
		if i+2 >= len(token) {
			return "", errEscape
		}
		hi, lo := strings.IndexByte(hexDigits, token[i+1]), strings.IndexByte(hexDigits, token[i+2])
		if hi < 0 || lo < 0 || plain(byte(hi<<4|lo)) {
			return "", errEscape
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	return string(b), nil
}

// Kind is what a terminal's message is.
type Kind string

// The kinds of message a terminal sends; each is the last token of its subject.
const (
	KindHeartbeat Kind = "heartbeat"
	KindTxn       Kind = "txn"
)

// SubjectPrefix starts the subject of every terminal's message; a change of the body's shape changes the version.
const SubjectPrefix = "fleet.v1."

// Subject returns the NATS subject of k's messages of this kind.
func (k Key) Subject(kind Kind) string {
	return SubjectPrefix + k.Acquirer + "." + Escape(k.Terminal) + "." + string(kind)
}

// ParseSubject reads fleet.v1.<acquirer>.<terminal>.<kind>. Identity comes from here and not from the body, because
// here the server enforces who may publish.
func ParseSubject(subject string) (Key, Kind, error) {
	rest, ok := strings.CutPrefix(subject, SubjectPrefix)
	if !ok {
		return Key{}, "", &Invalid{Reason: ReasonSubject, Field: "subject", Got: subject, Want: "fleet.v1.<acquirer>.<terminal>.<kind>"}
	}
	acquirer, rest, ok1 := strings.Cut(rest, ".")
	token, kind, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.IndexByte(kind, '.') >= 0 {
		return Key{}, "", &Invalid{Reason: ReasonSubject, Field: "subject", Got: subject, Want: "fleet.v1.<acquirer>.<terminal>.<kind>"}
	}
	if !ValidAcquirer(acquirer) {
		return Key{}, "", &Invalid{Reason: ReasonSubject, Field: "acquirer", Got: acquirer, Want: "^[A-Za-z0-9][A-Za-z0-9-]{0,31}$"}
	}
	if kind != string(KindHeartbeat) && kind != string(KindTxn) {
		return Key{}, "", &Invalid{Reason: ReasonSubject, Field: "kind", Got: kind, Want: "heartbeat or txn"}
	}
	raw, err := Unescape(token)
	if err != nil {
		return Key{}, "", &Invalid{Reason: ReasonSubject, Field: "terminal", Got: token, Want: err.Error()}
	}
	tid := TrimID(raw)
	if tid == "" || len(tid) > MaxID {
		return Key{}, "", &Invalid{Reason: ReasonSubject, Field: "terminal", Got: token, Want: fmt.Sprintf("1 to %d bytes beside the padding", MaxID)}
	}
	return Key{acquirer, tid}, Kind(kind), nil
}

// TxnMsgID is the Nats-Msg-Id of a transaction: <acquirer>.<terminal>.txn.<src>.<id>.
func (k Key) TxnMsgID(src Source, id string) string {
	return k.Acquirer + "." + Escape(k.Terminal) + ".txn." + string(src) + "." + id
}

// HeartbeatMsgID is the Nats-Msg-Id of a heartbeat: <acquirer>.<terminal>.heartbeat.<boot>-<seq>.
func (k Key) HeartbeatMsgID(boot, seq int64) string {
	return fmt.Sprintf("%s.%s.heartbeat.%d-%d", k.Acquirer, Escape(k.Terminal), boot, seq)
}

// Hash identifies one event of one terminal (or one transition of one target) for the database: xxhash64 of acquirer,
// 0x00, subject, 0x00, id. The identity of stored points is made from it and is frozen from the first release.
func Hash(acquirer, subject, id string) uint64 {
	var stack [128]byte
	b := append(stack[:0], acquirer...)
	b = append(b, 0)
	b = append(b, subject...)
	b = append(b, 0)
	b = append(b, id...)
	return xxhash.Sum64(b)
}

// HashText is a 64-bit hash of a text, for remembering that it was the same. It is xxhash64 and may change.
func HashText(s string) uint64 { return xxhash.Sum64String(s) }

// HashTag is the tag h of an event's point: the top four bits of its hash, as one lower-case hex digit.
func HashTag(hash uint64) string { return hexDigits[hash>>60:][:1] }

// HashNanos is the sub-second part of an event's point time: the hash modulo 10⁹. It uses other bits than HashTag.
func HashNanos(hash uint64) int64 { return int64(hash % 1_000_000_000) }
