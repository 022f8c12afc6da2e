package simulate

import (
	"strconv"
	"time"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Event is one message of one terminal. Who publishes it later than it was made may first set its clock: Txn.TS, or
// Beat.TS and Beat.Boot.
type Event struct {
	At       time.Time // instant in the fleet's own time
	Terminal int       // the terminal's place in the fleet, from 0
	Key      fleet.Key
	Kind     fleet.Kind
	Txn      *fleet.Txn       // of a transaction; nil otherwise
	Beat     *fleet.Heartbeat // of a heartbeat; nil otherwise
}

// Subject is where the event is published.
func (e *Event) Subject() string { return e.Key.Subject(e.Kind) }

// MsgID is the event's Nats-Msg-Id.
func (e *Event) MsgID() string {
	if e.Txn != nil {
		return e.Key.TxnMsgID(e.Txn.Src, e.Txn.ID)
	}
	return e.Key.HeartbeatMsgID(e.Beat.Boot, e.Beat.Seq)
}

// Body is the event's message.
func (e *Event) Body() []byte { return e.AppendBody(make([]byte, 0, 640)) }

// AppendBody appends the event's message to b. No text of the fleet needs escaping in JSON: its tables have none that
// does, and ids, codes and acquirers are checked.
func (e *Event) AppendBody(b []byte) []byte {
	if e.Txn != nil {
		return appendTxn(b, e.Txn)
	}
	return appendBeat(b, e.Beat)
}

func text(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, key...)
	b = append(b, value...)
	return append(b, '"')
}

func number(b []byte, key string, value int64) []byte {
	return strconv.AppendInt(append(b, key...), value, 10)
}

func flag(b []byte, key string, value bool) []byte {
	return strconv.AppendBool(append(b, key...), value)
}

func appendTxn(b []byte, t *fleet.Txn) []byte {
	b = number(b, `{"ts":`, t.TS)
	b = text(b, `,"id":"`, t.ID)
	b = text(b, `,"src":"`, string(t.Src))
	b = text(b, `,"merchant":"`, t.Merchant)
	b = text(b, `,"code":"`, t.Code)
	b = text(b, `,"type":"`, t.Type)
	b = number(b, `,"amount":`, t.Amount)
	b = text(b, `,"currency":"`, t.Currency)
	b = text(b, `,"entry":"`, t.Entry)
	b = number(b, `,"latency_ms":`, t.LatencyMS)
	b = text(b, `,"app":"`, t.App)
	b = text(b, `,"params":"`, t.Params)
	return append(b, '}')
}

func appendBeat(b []byte, h *fleet.Heartbeat) []byte {
	b = number(b, `{"ts":`, h.TS)
	b = number(b, `,"every_s":`, h.EverySec)
	b = number(b, `,"boot":`, h.Boot)
	b = number(b, `,"seq":`, h.Seq)
	b = text(b, `,"merchant":"`, h.Merchant)
	b = text(b, `,"model":"`, h.Model)
	b = text(b, `,"serial":"`, h.Serial)
	b = text(b, `,"app":"`, h.App)
	b = text(b, `,"os":"`, h.OS)
	b = text(b, `,"params":"`, h.Params)
	b = text(b, `,"net":{"type":"`, h.NetType)
	if h.Fields.Has(fleet.HasRSSI) {
		b = number(b, `,"rssi":`, h.RSSI)
	}
	b = number(b, `,"rtt_ms":`, h.RTTms)
	b = flag(b, `,"host_ok":`, h.HostOK)
	b = text(b, `,"iccid":"`, h.ICCID)
	b = text(b, `,"cell":"`, h.Cell)
	b = text(b, `},"health":{"printer":"`, h.Printer)
	b = text(b, `,"reader":"`, h.Reader)
	b = text(b, `,"scanner":"`, h.Scanner)
	b = text(b, `,"pinpad":"`, h.PINPad)
	b = text(b, `,"screen":"`, h.Screen)
	b = number(b, `,"battery":`, h.Battery)
	b = flag(b, `,"tamper":`, h.Tamper)
	b = number(b, `,"storage_mb":`, h.StorageMB)
	b = number(b, `},"totals":{"approved":`, h.Approved)
	b = number(b, `,"declined":`, h.Declined)
	return append(b, '}', '}')
}
