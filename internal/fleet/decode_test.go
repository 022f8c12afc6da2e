package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var testKey = Key{Acquirer: "a1", Terminal: "10012345"}

const (
	fullHeartbeat = `{"ts":1763900000123,"every_s":60,"boot":1763890000,"seq":17,"merchant":"898440153110001","model":"A920","serial":"SN1","app":"2.4.1","os":"10","params":"17:9f3c2a",
 "net":{"type":"4g","rssi":-71,"rtt_ms":80,"host_ok":true,"iccid":"89860012345678901236","cell":"460-00-1234-5678"},
 "health":{"printer":"paper_out","reader":"ok","scanner":"fault","pinpad":"ok","screen":"ok","battery":87,"tamper":true,"storage_mb":512},"totals":{"approved":812,"declined":9}}`
	fullTxn = `{"ts":1763900000456,"id":"20261123-000123","src":"switch","merchant":"898440153110001","code":"03","type":"sale","amount":1200,"currency":"CNY","entry":"chip","latency_ms":240,"model":"A920","app":"2.4.1","params":"17:9f3c2a"}`
)

func TestDecodeHeartbeat(t *testing.T) {
	minimal := Heartbeat{TS: 1, Boot: 2, Seq: 3}
	for name, c := range map[string]struct {
		body string
		want Heartbeat
	}{
		"all fields": {fullHeartbeat, Heartbeat{
			TS: 1763900000123, EverySec: 60, Boot: 1763890000, Seq: 17, Merchant: "898440153110001", Model: "A920", Serial: "SN1", App: "2.4.1", OS: "10", Params: "17:9f3c2a",
			NetType: "4g", RSSI: -71, RTTms: 80, HostOK: true, ICCID: "89860012345678901236", Cell: "460-00-1234-5678",
			Printer: "paper_out", Reader: "ok", Scanner: "fault", PINPad: "ok", Screen: "ok", Battery: 87, Tamper: true, StorageMB: 512, Approved: 812, Declined: 9,
			Fields: HasEvery | HasRSSI | HasRTT | HasHostOK | HasBattery | HasTamper | HasStorage | HasTotals,
		}},
		"required only":         {`{"ts":1,"boot":2,"seq":3}`, minimal},
		"spaces":                {" \t\r\n{ \"ts\" : 1 ,\n\"boot\":2,\"seq\":3 } \n", minimal},
		"unknown fields":        {`{"ts":1,"x":{"a":[1,"2",{"b":null}],"c":1e-9},"boot":2,"y":[],"z":"\ud83d\ude00","seq":3}`, minimal},
		"null is absent":        {`{"ts":1,"boot":2,"seq":3,"every_s":null,"model":null,"net":null,"health":{"battery":null,"tamper":null},"totals":null,"terminal":null}`, minimal},
		"null does not erase":   {`{"ts":1,"ts":null,"boot":2,"seq":3}`, minimal},
		"the last one counts":   {`{"ts":9,"boot":9,"seq":9,"ts":1,"boot":2,"seq":3}`, minimal},
		"empty objects":         {`{"ts":1,"boot":2,"seq":3,"net":{},"health":{},"totals":{}}`, minimal},
		"identity repeated":     {`{"ts":1,"boot":2,"seq":3,"acquirer":"a1","terminal":" 10012345 "}`, minimal},
		"escaped names":         {`{"\u0074s":1,"bo\u006ft":2,"seq":3}`, minimal},
		"half of the totals":    {`{"ts":1,"boot":2,"seq":3,"totals":{"approved":5}}`, Heartbeat{TS: 1, Boot: 2, Seq: 3, Approved: 5}},
		"false and zero":        {`{"ts":1,"boot":2,"seq":3,"net":{"rssi":0,"host_ok":false},"health":{"tamper":false,"battery":0}}`, Heartbeat{TS: 1, Boot: 2, Seq: 3, Fields: HasRSSI | HasHostOK | HasTamper | HasBattery}},
		"new enum values":       {`{"ts":1,"boot":2,"seq":3,"net":{"type":"6g"},"health":{"printer":"on_fire","reader":"paper_out","screen":""}}`, Heartbeat{TS: 1, Boot: 2, Seq: 3, NetType: "other", Printer: "other", Reader: "other"}},
		"padding":               {`{"ts":1,"boot":2,"seq":3,"merchant":"898440153110001   \u0000","serial":" S "}`, Heartbeat{TS: 1, Boot: 2, Seq: 3, Merchant: "898440153110001", Serial: " S "}},
		"escapes":               {`{"ts":1,"boot":2,"seq":3,"model":"\"\\\/\b\f\n\r\t\u4e2d\ud83d\ude00"}`, Heartbeat{TS: 1, Boot: 2, Seq: 3, Model: "\"\\/\b\f\n\r\t中😀"}},
		"lone surrogates":       {`{"ts":1,"boot":2,"seq":3,"model":"a\ud800b\udc00\ud800\u0041"}`, Heartbeat{TS: 1, Boot: 2, Seq: 3, Model: "a\uFFFDb\uFFFD\uFFFDA"}},
		"invalid UTF-8":         {"{\"ts\":1,\"boot\":2,\"seq\":3,\"model\":\"a\xff\xfeb\xe4\xb8\"}", Heartbeat{TS: 1, Boot: 2, Seq: 3, Model: "a\uFFFD\uFFFDb\uFFFD\uFFFD"}},
		"invalid UTF-8, escape": {"{\"ts\":1,\"boot\":2,\"seq\":3,\"model\":\"\\t\xff\xfe\"}", Heartbeat{TS: 1, Boot: 2, Seq: 3, Model: "\t\uFFFD\uFFFD"}},
		"at the bounds": {fmt.Sprintf(`{"ts":%d,"boot":0,"seq":%d,"every_s":604800,"net":{"rssi":-1000,"rtt_ms":%d},"health":{"battery":100},"model":%q}`, int64(maxMillis), int64(maxCount), int64(maxCount), strings.Repeat("m", maxText)),
			Heartbeat{TS: maxMillis, Seq: maxCount, EverySec: 604800, RSSI: -1000, RTTms: maxCount, Battery: 100, Model: strings.Repeat("m", maxText), Fields: HasEvery | HasRSSI | HasRTT | HasBattery}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Heartbeat{TS: 99, Model: "left over", Fields: HasAmount}
			if err := DecodeHeartbeat([]byte(c.body), testKey, &got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestDecodeTxn(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want Txn
	}{
		"all fields": {fullTxn, Txn{TS: 1763900000456, ID: "20261123-000123", Src: SourceSwitch, Merchant: "898440153110001", Code: "03", Type: "sale", Amount: 1200,
			Currency: "CNY", Entry: "chip", LatencyMS: 240, Model: "A920", App: "2.4.1", Params: "17:9f3c2a", Fields: HasAmount | HasLatency}},
		"required only":   {`{"ts":1,"id":"1","code":"03"}`, Txn{TS: 1, ID: "1", Src: SourceTerminal, Code: "03"}},
		"null source":     {`{"ts":1,"id":"1","code":"03","src":null}`, Txn{TS: 1, ID: "1", Src: SourceTerminal, Code: "03"}},
		"refund":          {`{"ts":1,"id":"1","code":"A0","amount":-5,"type":"loan","entry":"nfc"}`, Txn{TS: 1, ID: "1", Src: SourceTerminal, Code: "A0", Amount: -5, Type: "other", Entry: "other", Fields: HasAmount}},
		"longest id":      {`{"ts":1,"id":"` + strings.Repeat("é", 32) + `","code":"0000"}`, Txn{TS: 1, ID: strings.Repeat("é", 32), Src: SourceTerminal, Code: "0000"}},
		"heartbeat names": {`{"ts":1,"id":"1","code":"03","net":5,"totals":"x"}`, Txn{TS: 1, ID: "1", Src: SourceTerminal, Code: "03"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Txn{Amount: 99, Fields: HasTotals}
			if err := DecodeTxn([]byte(c.body), testKey, &got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestDecodeRefuses: each refusal has its reason and names the field by its path.
func TestDecodeRefuses(t *testing.T) {
	type refusal struct {
		body   string
		reason Reason
		field  string
	}
	beat := func(more string) string { return `{"ts":1,"boot":2,"seq":3,` + more + `}` }
	txn := func(more string) string { return `{"ts":1,"id":"1","code":"03",` + more + `}` }
	heartbeats := []refusal{
		{`{"boot":2,"seq":3}`, ReasonMissing, "ts"},
		{`{"ts":1,"seq":3}`, ReasonMissing, "boot"},
		{`{"ts":1,"boot":2}`, ReasonMissing, "seq"},
		{`{"ts":null,"boot":2,"seq":3}`, ReasonMissing, "ts"},
		{`{}`, ReasonMissing, "ts"},
		{`{"ts":0,"boot":2,"seq":3}`, ReasonField, "ts"},
		{fmt.Sprintf(`{"ts":%d,"boot":2,"seq":3}`, int64(maxMillis)+1), ReasonField, "ts"},
		{`{"ts":"1","boot":2,"seq":3}`, ReasonField, "ts"},
		{`{"ts":1.0,"boot":2,"seq":3}`, ReasonField, "ts"},
		{`{"ts":1e3,"boot":2,"seq":3}`, ReasonField, "ts"},
		{`{"ts":99999999999999999999999,"boot":2,"seq":3}`, ReasonField, "ts"},
		{`{"ts":1,"boot":-1,"seq":3}`, ReasonField, "boot"},
		{fmt.Sprintf(`{"ts":1,"boot":2,"seq":%d}`, int64(maxCount)+1), ReasonField, "seq"},
		{beat(`"every_s":0`), ReasonField, "every_s"},
		{beat(`"every_s":604801`), ReasonField, "every_s"},
		{beat(`"model":5`), ReasonField, "model"},
		{beat(`"model":{"a":[1]}`), ReasonField, "model"},
		{beat(`"model":"` + strings.Repeat("m", maxText+1) + `"`), ReasonField, "model"},
		{beat(`"merchant":"` + strings.Repeat("1", MaxID+1) + `"`), ReasonField, "merchant"},
		{beat(`"net":"4g"`), ReasonField, "net"},
		{beat(`"net":[]`), ReasonField, "net"},
		{beat(`"net":{"rssi":1001}`), ReasonField, "net.rssi"},
		{beat(`"net":{"rssi":"-71"}`), ReasonField, "net.rssi"},
		{beat(`"net":{"rtt_ms":-1}`), ReasonField, "net.rtt_ms"},
		{beat(`"net":{"host_ok":1}`), ReasonField, "net.host_ok"},
		{beat(`"net":{"type":4}`), ReasonField, "net.type"},
		{beat(`"net":{"iccid":89860012345678901236}`), ReasonField, "net.iccid"},
		{beat(`"health":{"battery":101}`), ReasonField, "health.battery"},
		{beat(`"health":{"tamper":"no"}`), ReasonField, "health.tamper"},
		{beat(`"health":{"printer":true}`), ReasonField, "health.printer"},
		{beat(`"totals":{"approved":-1}`), ReasonField, "totals.approved"},
		{beat(`"totals":7`), ReasonField, "totals"},
		{beat(`"terminal":"10012346"`), ReasonSpoofed, "terminal"},
		{beat(`"acquirer":"a2"`), ReasonSpoofed, "acquirer"},
		{beat(`"acquirer":"A1"`), ReasonSpoofed, "acquirer"},
		{beat(`"terminal":10012345`), ReasonField, "terminal"},
		{beat(`"x":"` + strings.Repeat("x", MaxBody) + `"`), ReasonTooLarge, ""},
		{beat(`"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32)), ReasonSyntax, ""},
	}
	for _, body := range []string{"", " ", "null", "5", `"x"`, "[]", "{", `{"ts"`, `{"ts":`, `{"ts":1`, `{"ts":1,`, `{"ts":1,}`, `{,}`, `{"ts":1}x`, `{"ts":1}{}`, `{ts:1}`, `{'ts':1}`,
		`{"ts":01}`, `{"ts":+1}`, `{"ts":1.}`, `{"ts":.5}`, `{"ts":1e}`, `{"ts":-}`, `{"ts":tru}`, `{"x":nul}`, `{"x":"a` + "\n" + `"}`, `{"x":"\x"}`, `{"x":"\u12"}`, `{"x":"\u12g4"}`, `{"x":"`, `{"x":"\`,
		`{"x":[1,]}`, `{"x":[1 2]}`, `{"x":[}`, "\ufeff{}", "{\"\x01\":1}"} {
		heartbeats = append(heartbeats, refusal{body, ReasonSyntax, ""})
	}
	txns := []refusal{
		{`{"id":"1","code":"03"}`, ReasonMissing, "ts"},
		{`{"ts":1,"code":"03"}`, ReasonMissing, "id"},
		{`{"ts":1,"id":"1"}`, ReasonMissing, "code"},
		{`{"ts":1,"id":"","code":"03"}`, ReasonField, "id"},
		{`{"ts":1,"id":"a b","code":"03"}`, ReasonField, "id"},
		{`{"ts":1,"id":"a\u0000","code":"03"}`, ReasonField, "id"},
		{`{"ts":1,"id":"` + strings.Repeat("1", maxTxnID+1) + `","code":"03"}`, ReasonField, "id"},
		{`{"ts":1,"id":1,"code":"03"}`, ReasonField, "id"},
		{`{"ts":1,"id":"1","code":"3"}`, ReasonField, "code"},
		{`{"ts":1,"id":"1","code":"03 "}`, ReasonField, "code"},
		{`{"ts":1,"id":"1","code":"0-"}`, ReasonField, "code"},
		{`{"ts":1,"id":"1","code":"00000"}`, ReasonField, "code"},
		{`{"ts":1,"id":"1","code":3}`, ReasonField, "code"},
		{txn(`"src":"host"`), ReasonField, "src"},
		{txn(`"src":""`), ReasonField, "src"},
		{txn(`"src":1`), ReasonField, "src"},
		{txn(fmt.Sprintf(`"amount":%d`, int64(maxCount)+1)), ReasonField, "amount"},
		{txn(`"amount":12.5`), ReasonField, "amount"},
		{txn(`"amount":"12"`), ReasonField, "amount"},
		{txn(`"latency_ms":-1`), ReasonField, "latency_ms"},
		{txn(`"currency":156`), ReasonField, "currency"},
		{txn(`"terminal":"10012346"`), ReasonSpoofed, "terminal"},
	}
	check := func(r refusal, err error) {
		t.Helper()
		bad, ok := errors.AsType[*Invalid](err)
		switch {
		case !ok:
			t.Errorf("%.120s: error %v, want %s", r.body, err, r.reason)
		case bad.Reason != r.reason || bad.Field != r.field:
			t.Errorf("%.120s: %s of %q, want %s of %q", r.body, bad.Reason, bad.Field, r.reason, r.field)
		case len(bad.Error()) > 300 || !strings.HasPrefix(bad.Error(), string(r.reason)) || !strings.Contains(bad.Error(), r.field):
			t.Errorf("%.120s: message %q", r.body, bad.Error())
		}
	}
	for _, r := range heartbeats {
		check(r, DecodeHeartbeat([]byte(r.body), testKey, new(Heartbeat)))
	}
	for _, r := range txns {
		check(r, DecodeTxn([]byte(r.body), testKey, new(Txn)))
	}
}

// TestDecodedStringsSurviveTheBuffer: the caller may reuse the message's memory.
func TestDecodedStringsSurviveTheBuffer(t *testing.T) {
	body := []byte(fullTxn)
	var got, want Txn
	if err := DecodeTxn(body, testKey, &got); err != nil {
		t.Fatal(err)
	}
	clear(body)
	if err := DecodeTxn([]byte(fullTxn), testKey, &want); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestDecodeAllocatesTheCopyOnly: one allocation a message, the copy that its strings share.
func TestDecodeAllocatesTheCopyOnly(t *testing.T) {
	if raceEnabled {
		t.Skip("a pool drops at random under the race detector")
	}
	var h Heartbeat
	var tx Txn
	heartbeat, txn := []byte(fullHeartbeat), []byte(fullTxn)
	if n := testing.AllocsPerRun(1000, func() { _ = DecodeHeartbeat(heartbeat, testKey, &h) }); n != 1 {
		t.Errorf("%v allocations a heartbeat, want 1", n)
	}
	if n := testing.AllocsPerRun(1000, func() { _ = DecodeTxn(txn, testKey, &tx) }); n != 1 {
		t.Errorf("%v allocations a txn, want 1", n)
	}
}

func TestValidCode(t *testing.T) {
	for code, want := range map[string]bool{"03": true, "A0": true, "zz": true, "000": true, "1234": true,
		"": false, "0": false, "12345": false, "0-": false, "0 ": false, "０３": false, "0_": false} {
		if got := ValidCode(code); got != want {
			t.Errorf("ValidCode(%q) = %v, want %v", code, got, want)
		}
	}
}

func BenchmarkDecodeHeartbeat(b *testing.B) {
	body := []byte(fullHeartbeat)
	var h Heartbeat
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeHeartbeat(body, testKey, &h); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeTxn(b *testing.B) {
	body := []byte(fullTxn)
	var tx Txn
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeTxn(body, testKey, &tx); err != nil {
			b.Fatal(err)
		}
	}
}
