package fleet

// Source says which side reported a transaction. Each acquirer has one authoritative source.
type Source string

// The sources of transactions.
const (
	SourceTerminal Source = "terminal" // the default
	SourceSwitch   Source = "switch"   // read from the switch's log
)

// Txn is one answered transaction: an approval or a decline. Empty strings are fields that were not sent; numbers that
// were not sent are zero and have no bit in Fields.
type Txn struct {
	TS        int64  // the terminal's clock, Unix milliseconds
	ID        string // never used again by this terminal; 1..64 bytes without space or control characters
	Src       Source
	Merchant  string // ISO 8583 field 42 as the terminal sent it, trimmed
	Code      string // ISO 8583 field 39, ^[0-9A-Za-z]{2,4}$
	Type      string // sale, refund, void, preauth, query or other
	Amount    int64  // the currency's minor unit
	Currency  string // ISO 4217, as sent
	Entry     string // chip, contactless, magstripe, qr, manual or other
	LatencyMS int64  // from request to answer
	Model     string // usually known from the heartbeat only
	App       string
	Params    string

	Fields Field
}

// maxTxnID keeps Nats-Msg-Id headers and index entries small.
const maxTxnID = 64

// DecodeTxn reads the body of a transaction into t, which it overwrites. key is the identity its subject gave; a body
// that repeats it differently is refused with ReasonSpoofed.
func DecodeTxn(body []byte, key Key, t *Txn) error {
	*t = Txn{Src: SourceTerminal}
	var have required
	err := decode(body, key, func(p *scanner, name string) (err error) {
		switch name {
		case "ts":
			have |= reqTS
			t.TS, err = p.integer(name, 1, maxMillis)
		case "id":
			have |= reqID
			t.ID, err = p.text(name, maxTxnID)
			if err == nil && !validTxnID(t.ID) {
				err = &Invalid{Reason: ReasonField, Field: name, Got: t.ID, Want: "1 to 64 bytes without space or control characters"}
			}
		case "code":
			have |= reqCode
			t.Code, err = p.text(name, MaxBody)
			if err == nil && !ValidCode(t.Code) {
				err = &Invalid{Reason: ReasonField, Field: name, Got: t.Code, Want: "2 to 4 letters or digits (ISO 8583 field 39)"}
			}
		case "src":
			var src string
			src, err = p.text(name, MaxBody)
			switch t.Src = Source(src); {
			case err != nil || t.Src == SourceTerminal || t.Src == SourceSwitch:
			default:
				err = &Invalid{Reason: ReasonField, Field: name, Got: src, Want: "terminal or switch"}
			}
		case "merchant":
			t.Merchant, err = p.id(name)
		case "type":
			t.Type, err = p.enum(name, "sale", "refund", "void", "preauth", "query")
		case "entry":
			t.Entry, err = p.enum(name, "chip", "contactless", "magstripe", "qr", "manual")
		case "amount":
			t.Amount, err = p.integer(name, -maxCount, maxCount)
			t.Fields |= HasAmount
		case "currency":
			t.Currency, err = p.text(name, maxText)
		case "latency_ms":
			t.LatencyMS, err = p.integer(name, 0, maxCount)
			t.Fields |= HasLatency
		case "model":
			t.Model, err = p.text(name, maxText)
		case "app":
			t.App, err = p.text(name, maxText)
		case "params":
			t.Params, err = p.text(name, maxText)
		default:
			err = p.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	return have.check(reqTS | reqID | reqCode)
}

// ValidCode reports whether code can be a response code: ^[0-9A-Za-z]{2,4}$. It becomes a tag of the database, so
// anything else is refused.
func ValidCode(code string) bool {
	if len(code) < 2 || len(code) > 4 {
		return false
	}
	for i := range len(code) {
		if c := code[i]; !plain(c) || c == '-' {
			return false
		}
	}
	return true
}

func validTxnID(id string) bool {
	if id == "" {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] == 0x7f {
			return false
		}
	}
	return true
}
