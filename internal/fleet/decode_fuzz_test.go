package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// The reference reads a body with encoding/json, in order and by path. It follows the contract that the decoders
// state: a null is absent, the last one of a field counts, a nested field is net.rssi.
type reference struct {
	values map[string]any
	totals int // objects under totals
}

func readReference(body []byte) *reference {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	ref := &reference{values: map[string]any{}}
	if _, err := dec.Token(); err != nil {
		return ref
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return ref
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return ref
		}
		name := key.(string)
		switch name {
		case "net", "health", "totals":
			if raw[0] == '{' {
				if name == "totals" {
					ref.totals++
				}
				for k, v := range readReference(raw).values {
					ref.values[name+"."+k] = v
				}
				continue
			}
		}
		if v := one(raw); v != nil {
			ref.values[name] = v
		}
	}
	return ref
}

func one(raw json.RawMessage) (v any) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return nil
	}
	return v
}

// depth returns how deep objects and arrays nest.
func depth(body []byte) (deepest int) {
	dec := json.NewDecoder(bytes.NewReader(body))
	for d := 0; ; {
		tok, err := dec.Token()
		if err != nil {
			return deepest
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			d++
			deepest = max(deepest, d)
		case json.Delim('}'), json.Delim(']'):
			d--
		}
	}
}

func (r *reference) text(t *testing.T, path, got string, trim bool) {
	t.Helper()
	want, _ := r.values[path].(string)
	if trim {
		want = TrimID(want)
	}
	if got != want {
		t.Errorf("%s is %q, encoding/json reads %q", path, got, want)
	}
}

func (r *reference) enum(t *testing.T, path, got string) {
	t.Helper()
	if want, _ := r.values[path].(string); got != want && (got != EnumOther || want == "") {
		t.Errorf("%s is %q, encoding/json reads %q", path, got, want)
	}
}

func (r *reference) integer(t *testing.T, path string, got int64, has bool) {
	t.Helper()
	n, there := r.values[path].(json.Number)
	want, err := n.Int64()
	if there != has || there && (err != nil || got != want) || !there && got != 0 {
		t.Errorf("%s is %d (there: %v), encoding/json reads %q", path, got, has, n)
	}
}

func (r *reference) boolean(t *testing.T, path string, got, has bool) {
	t.Helper()
	want, there := r.values[path].(bool)
	if there != has || got != want {
		t.Errorf("%s is %v (there: %v), encoding/json reads %v", path, got, has, r.values[path])
	}
}

// refusedRightly: what is refused as no JSON must not be an object within the bounds, and nothing is refused without
// a reason.
func refusedRightly(t *testing.T, body []byte, err error) {
	t.Helper()
	switch object := json.Valid(body) && bytes.TrimLeft(body, " \t\r\n")[0] == '{'; {
	case reason(err) == "":
		t.Errorf("%q: error %v has no reason", body, err)
	case (reason(err) == ReasonTooLarge) != (len(body) > MaxBody):
		t.Errorf("%d bytes: %v", len(body), err)
	case reason(err) == ReasonSyntax && object && depth(body) <= maxDepth:
		t.Errorf("%q is a JSON object, refused with %v", body, err)
	case strings.Contains(err.Error(), "\n") || len(err.Error()) > 400:
		t.Errorf("%q: message %q", body, err)
	}
}

func FuzzDecodeHeartbeat(f *testing.F) {
	for _, s := range fuzzBodies(fullHeartbeat) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) { agreeHeartbeat(t, body) })
}

// agreeHeartbeat decodes a body and compares with encoding/json.
func agreeHeartbeat(t *testing.T, body []byte) (accepted bool) {
	t.Helper()
	var h Heartbeat
	if err := DecodeHeartbeat(body, testKey, &h); err != nil {
		refusedRightly(t, body, err)
		return false
	}
	if !json.Valid(body) {
		t.Fatalf("%q is accepted and no JSON", body)
	}
	r := readReference(body)
	r.integer(t, "ts", h.TS, true)
	r.integer(t, "boot", h.Boot, true)
	r.integer(t, "seq", h.Seq, true)
	r.integer(t, "every_s", h.EverySec, h.Fields.Has(HasEvery))
	r.text(t, "merchant", h.Merchant, true)
	r.text(t, "model", h.Model, false)
	r.text(t, "serial", h.Serial, false)
	r.text(t, "app", h.App, false)
	r.text(t, "os", h.OS, false)
	r.text(t, "params", h.Params, false)
	r.enum(t, "net.type", h.NetType)
	r.integer(t, "net.rssi", h.RSSI, h.Fields.Has(HasRSSI))
	r.integer(t, "net.rtt_ms", h.RTTms, h.Fields.Has(HasRTT))
	r.boolean(t, "net.host_ok", h.HostOK, h.Fields.Has(HasHostOK))
	r.text(t, "net.iccid", h.ICCID, false)
	r.text(t, "net.cell", h.Cell, false)
	r.enum(t, "health.printer", h.Printer)
	r.enum(t, "health.reader", h.Reader)
	r.enum(t, "health.scanner", h.Scanner)
	r.enum(t, "health.pinpad", h.PINPad)
	r.enum(t, "health.screen", h.Screen)
	r.integer(t, "health.battery", h.Battery, h.Fields.Has(HasBattery))
	r.boolean(t, "health.tamper", h.Tamper, h.Fields.Has(HasTamper))
	r.integer(t, "health.storage_mb", h.StorageMB, h.Fields.Has(HasStorage))
	_, approved := r.values["totals.approved"]
	_, declined := r.values["totals.declined"]
	r.integer(t, "totals.approved", h.Approved, approved)
	r.integer(t, "totals.declined", h.Declined, declined)
	if r.totals <= 1 && h.Fields.Has(HasTotals) != (approved && declined) {
		t.Errorf("HasTotals is %v of %q", h.Fields.Has(HasTotals), body)
	}
	sameIdentity(t, r)
	if h.TS < 1 || h.TS > maxMillis || h.Boot < 0 || h.Seq < 0 || h.Battery < 0 || h.Battery > 100 || len(h.Merchant) > MaxID || len(h.Model) > maxText {
		t.Errorf("out of bounds: %+v", h)
	}
	if t.Failed() {
		t.Logf("body %q", body)
	}
	return true
}

func FuzzDecodeTxn(f *testing.F) {
	for _, s := range fuzzBodies(fullTxn) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) { agreeTxn(t, body) })
}

// agreeTxn decodes a body and compares with encoding/json.
func agreeTxn(t *testing.T, body []byte) (accepted bool) {
	t.Helper()
	var tx Txn
	if err := DecodeTxn(body, testKey, &tx); err != nil {
		refusedRightly(t, body, err)
		return false
	}
	if !json.Valid(body) {
		t.Fatalf("%q is accepted and no JSON", body)
	}
	r := readReference(body)
	r.integer(t, "ts", tx.TS, true)
	r.text(t, "id", tx.ID, false)
	r.text(t, "code", tx.Code, false)
	r.text(t, "merchant", tx.Merchant, true)
	r.enum(t, "type", tx.Type)
	r.enum(t, "entry", tx.Entry)
	r.integer(t, "amount", tx.Amount, tx.Fields.Has(HasAmount))
	r.integer(t, "latency_ms", tx.LatencyMS, tx.Fields.Has(HasLatency))
	r.text(t, "currency", tx.Currency, false)
	r.text(t, "model", tx.Model, false)
	r.text(t, "app", tx.App, false)
	r.text(t, "params", tx.Params, false)
	if src, there := r.values["src"]; there && string(tx.Src) != src || !there && tx.Src != SourceTerminal {
		t.Errorf("src is %q, encoding/json reads %v", tx.Src, src)
	}
	sameIdentity(t, r)
	if !ValidCode(tx.Code) || !validTxnID(tx.ID) || len(tx.ID) > maxTxnID || tx.TS < 1 || tx.TS > maxMillis {
		t.Errorf("out of bounds: %+v", tx)
	}
	if t.Failed() {
		t.Logf("body %q", body)
	}
	return true
}

// TestDecodersAgreeWithEncodingJSON makes bodies out of pieces that meet in every way, true and broken, where random
// bytes would hardly ever make a message.
func TestDecodersAgreeWithEncodingJSON(t *testing.T) {
	n := 30_000
	if testing.Short() {
		n = 5_000
	}
	names := strings.Fields(`ts boot seq every_s id code src merchant model app params net health totals type amount entry acquirer terminal
		latency_ms \u0074s x`)
	nested := strings.Fields(`type rssi rtt_ms host_ok iccid cell printer battery tamper storage_mb approved declined x`)
	values := []string{"1", "0", "-1", "17", "-0", "1.5", "1e2", "9007199254740992", "9007199254740993", "9000000000000", "01", "true", "false", "null", "nul",
		`"03"`, `"a1"`, `"10012345"`, `" 10012345 "`, `""`, `"ok"`, `"4g"`, `"a b"`, `"switch"`, `"\ud800"`, `"\ud83d\ude00"`, `"\u00e9\n"`, "\"\xff\xfe\"", `"中"`,
		`[]`, `[1,{"a":null}]`, `{}`, `"` + strings.Repeat("x", maxText) + `"`, `"` + strings.Repeat("x", maxText+1) + `"`}
	r := rand.New(rand.NewPCG(1, 4))
	pick := func(of []string) string { return of[r.IntN(len(of))] }
	accepted, messages := 0, 0
	for range n {
		var b strings.Builder
		b.WriteString(`{"ts":1,"boot":2,"seq":3,"id":"1","code":"03"`)
		for range r.IntN(5) {
			name, value := pick(names), pick(values)
			if r.IntN(4) == 0 {
				name, value = pick([]string{"net", "health", "totals"}), "{"
				for i := range r.IntN(4) {
					if i > 0 {
						value += ","
					}
					value += `"` + pick(nested) + `":` + pick(values)
				}
				value += "}"
			}
			b.WriteString(pick([]string{",", ",", ",", " , "}) + `"` + name + `":` + value)
		}
		b.WriteString("}")
		body := []byte(b.String())
		if r.IntN(10) == 0 {
			body[r.IntN(len(body))] = byte(r.IntN(256))
		}
		for _, ok := range []bool{agreeHeartbeat(t, body), agreeTxn(t, body)} {
			if messages++; ok {
				accepted++
			}
		}
		if t.Failed() {
			t.Fatalf("body %q", body)
		}
	}
	t.Logf("%d bodies, %d accepted, %d refused, none unlike encoding/json", messages, accepted, messages-accepted)
	if accepted < messages/5 || accepted > messages*4/5 {
		t.Error("the bodies hardly test one of the two outcomes")
	}
}

// sameIdentity: whoever is accepted says nothing else of himself than his subject does.
func sameIdentity(t *testing.T, r *reference) {
	t.Helper()
	for name, want := range map[string]string{"acquirer": testKey.Acquirer, "terminal": testKey.Terminal} {
		if v, there := r.values[name]; there && TrimID(fmt.Sprint(v)) != want {
			t.Errorf("%s is %v and was accepted from %v", name, v, testKey)
		}
	}
}

// fuzzBodies starts the search from the full message and from its damaged and unusual kin.
func fuzzBodies(full string) []string {
	return []string{
		full,
		`{"ts":1,"boot":2,"seq":3,"id":"1","code":"03"}`,
		`{"ts":1,"ts":null,"ts":2,"boot":2,"seq":3,"id":"a","id":"b","code":"03","net":{"rssi":1},"net":{"rssi":null,"rtt_ms":2}}`,
		`{"ts":1,"boot":2,"seq":3,"id":"1","code":"03","acquirer":"a1","terminal":"10012345 ","x":[[],{},"",0,-0,1e9,true,null]}`,
		`{"\u0074s":1,"boot":2,"seq":3,"id":"\ud83d\ude00\ud800","code":"\u0030\u0033","model":"\ud800\u0041"}`,
		"{\"ts\":1,\"boot\":2,\"seq\":3,\"id\":\"\xff\xfe\",\"code\":\"03\",\"model\":\"\\n\xe4\xb8\"}",
		`{"ts":1,"boot":2,"seq":3,"id":"1","code":"03","totals":{"approved":1},"totals":{"declined":2},"src":"switch","amount":-0}`,
		`{"ts":1,"boot":2,"seq":3,"id":"1","code":"03","x":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`,
		`{"ts":1,"boot":2,"seq":3,"id":"1","code":"03","x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`,
		full[:len(full)-1],
		"null", "[]", `{"ts":01}`, "\ufeff" + full,
	}
}
