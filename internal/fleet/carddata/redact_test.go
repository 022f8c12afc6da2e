package carddata

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Numbers that the brands publish for tests.
const (
	visa     = "4111111111111111"
	amex     = "378282246310005"
	unionPay = "6222021234567890128"
)

func TestRedact(t *testing.T) {
	const txn = fleet.KindTxn
	const beat = fleet.KindHeartbeat
	for _, c := range []struct {
		name       string
		kind       fleet.Kind
		body, want string
		hits       []Hit
	}{
		{"pan alone", txn, `{"note":"4111111111111111"}`, `{"note":"[redacted pan]"}`, []Hit{{"note", KindPAN}}},
		{"text around stays", txn, `{"note":"card 4111 1111 1111 1111, code 03"}`, `{"note":"card [redacted pan], code 03"}`, []Hit{{"note", KindPAN}}},
		{"two in one text", txn, `{"note":"4111111111111111 and 378282246310005"}`, `{"note":"[redacted pan] and [redacted pan]"}`, []Hit{{"note", KindPAN}, {"note", KindPAN}}},
		{"id", txn, `{"ts":1,"id":"4111111111111111","code":"03"}`, `{"ts":1,"id":"redacted-77","code":"03"}`, []Hit{{"id", KindPAN}}},
		{"id under an escaped key", txn, `{"\u0069d":"x4111-1111-1111-1111"}`, `{"\u0069d":"redacted-77"}`, []Hit{{"?", KindPAN}}},
		{"id of a heartbeat is any field", beat, `{"id":"4111111111111111"}`, `{"id":"[redacted pan]"}`, []Hit{{"id", KindPAN}}},
		{"16 digits in merchant", txn, `{"merchant":"4111111111111111"}`, `{"merchant":"[redacted pan]"}`, []Hit{{"merchant", KindPAN}}},
		{"nested", beat, `{"net":{"iccid":"4111111111111111","rssi":-71}}`, `{"net":{"iccid":"[redacted pan]","rssi":-71}}`, []Hit{{"net.iccid", KindPAN}}},
		{"array", txn, `{"a":[1,["x","4111111111111111"]]}`, `{"a":[1,["x","[redacted pan]"]]}`, []Hit{{"a[][]", KindPAN}}},
		{"key", txn, `{"4111111111111111":{"n":1}}`, `{"[redacted pan]":{"n":1}}`, []Hit{{"?", KindPAN}}},
		{"below a key that is gone", txn, `{"4111111111111111":{"n":"378282246310005"}}`, `{"[redacted pan]":{"n":"[redacted pan]"}}`, []Hit{{"?", KindPAN}, {"?.n", KindPAN}}},
		{"unknown number", txn, `{"n":4111111111111111}`, `{"n":"[redacted pan]"}`, []Hit{{"n", KindPAN}}},
		{"number with exponent", txn, `{"n":4.111111111111111e15}`, `{"n":"[redacted pan]"}`, []Hit{{"n", KindPAN}}},
		{"number with fraction", txn, `{"n":-4111111111111111.0}`, `{"n":"[redacted pan]"}`, []Hit{{"n", KindPAN}}},
		{"amount", txn, `{"amount":4111111111111111}`, `{"amount":null}`, []Hit{{"amount", KindPAN}}},
		{"amount of a heartbeat is any field", beat, `{"amount":4111111111111111}`, `{"amount":"[redacted pan]"}`, []Hit{{"amount", KindPAN}}},
		{"required numbers", beat, `{"ts":4111111111111111,"boot":4222222222222,"seq":4111111111111111}`, `{"ts":1,"boot":0,"seq":0}`, []Hit{{"ts", KindPAN}, {"boot", KindPAN}, {"seq", KindPAN}}},
		{"nested number", beat, `{"totals":{"approved":4111111111111111,"declined":9}}`, `{"totals":{"approved":null,"declined":9}}`, []Hit{{"totals.approved", KindPAN}}},
		{"identity", txn, `{"terminal":"4111111111111111"}`, `{"terminal":null}`, []Hit{{"terminal", KindPAN}}},
		{"escaped digits", txn, `{"n":"a\u00344\u0031\u0031111111111111\u00311z"}`, `{"n":"a\u00344\u0031\u0031111111111111\u00311z"}`, nil},
		{"escaped digits of a card", txn, `{"n":"a\u00341\u0031\u003111111111\u00311\u00311 z"}`, `{"n":"a[redacted pan] z"}`, []Hit{{"n", KindPAN}}},
		{"full width", txn, `{"n":"卡４１１１１１１１１１１１１１１１号"}`, `{"n":"卡[redacted pan]号"}`, []Hit{{"n", KindPAN}}},
		{"no-break spaces", txn, "{\"n\":\"4111\u00a01111\u00a01111\u00a01111\"}", `{"n":"[redacted pan]"}`, []Hit{{"n", KindPAN}}},
		{"legacy prefix", txn, `{"n":"9558820200001323775"}`, `{"n":"[redacted pan]"}`, []Hit{{"n", KindPAN}}},
		{"odd groups, nothing else", txn, `{"n":"41111-111-111111-11"}`, `{"n":"[redacted pan]"}`, []Hit{{"n", KindPAN}}},
		{"track 1", txn, `{"n":"a %B4111111111111111^DOE/JOHN^2612201?b"}`, `{"n":"a [redacted track]b"}`, []Hit{{"n", KindTrack}}},
		{"track 2", txn, `{"n":"a ;4111111111111111=26122011234?b"}`, `{"n":"a [redacted track]b"}`, []Hit{{"n", KindTrack}}},
		{"track 2 hex", txn, `{"n":"4111111111111111D26122011234F"}`, `{"n":"[redacted track]"}`, []Hit{{"n", KindTrack}}},
		{"named track", txn, `{"track2":"1234567890123=9912"}`, `{"track2":"[redacted track]"}`, []Hit{{"track2", KindTrack}}},
		{"emv", txn, `{"f55":"9F36020001 5A0841111111111111119A03261123"}`, `{"f55":"9F36020001 [redacted emv]"}`, []Hit{{"f55", KindEMV}}},
		{"emv dump", txn, `{"n":"9A 03 26 11 23 5A 08 41 11 11 11 11 11 11 11 9C 01 00"}`, `{"n":"[redacted emv]"}`, []Hit{{"n", KindEMV}}},
		{"emv in base64", txn, `{"n":"nzYCAAFaCEEREREREREREZoDJhEj"}`, `{"n":"[redacted emv]"}`, []Hit{{"n", KindEMV}}},
		{"pan in base64", txn, `{"n":"Y2FyZCA0MTExMTExMTExMTExMTEx"}`, `{"n":"[redacted pan]"}`, []Hit{{"n", KindPAN}}},
		{"pin block", txn, `{"pin_block":"0412AC89ABCDEF67"}`, `{"pin_block":"[redacted pin_block]"}`, []Hit{{"pin_block", KindPINBlock}}},
		{"pin block in text", txn, `{"n":"pinblock=0412AC89ABCDEF67 x"}`, `{"n":"pinblock=[redacted pin_block] x"}`, []Hit{{"n", KindPINBlock}}},
		{"clear pin", txn, `{"card":{"pin":"4929"}}`, `{"card":{"pin":"[redacted pin_block]"}}`, []Hit{{"card.pin", KindPINBlock}}},
		{"cvv", txn, `{"cvv":"123","cvn2":4567}`, `{"cvv":"[redacted cvv]","cvn2":"[redacted cvv]"}`, []Hit{{"cvv", KindCVV}, {"cvn2", KindCVV}}},
		{"cvv one deeper", txn, `{"cvv":{"value":"123"}}`, `{"cvv":{"value":"[redacted cvv]"}}`, []Hit{{"cvv.value", KindCVV}}},
		{"cvv in an array", txn, `{"cvv":["123"]}`, `{"cvv":["[redacted cvv]"]}`, []Hit{{"cvv[]", KindCVV}}},
		{"json in a string", txn, `{"n":"{\"cvv\":\"123\"}"}`, `{"n":"{\"cvv\":\"[redacted cvv]\"}"}`, []Hit{{"n", KindCVV}}},
		{"named pan without Luhn", txn, `{"card_no":"9999 9999 9999 9990"}`, `{"card_no":"[redacted pan]"}`, []Hit{{"card_no", KindPAN}}},
		{"Chinese name", txn, `{"卡号":"9999999999999990"}`, `{"卡号":"[redacted pan]"}`, []Hit{{"?", KindPAN}}},
		{"a limit is kept", txn, `{"merchant":"ABCDEFGHIJKLMNOPQR 4222222222222"}`, `{"merchant":"[redacted pan]"}`, []Hit{{"merchant", KindPAN}}},
		{"not an object", txn, `["4111111111111111"]`, `["[redacted pan]"]`, []Hit{{"[]", KindPAN}}},

		{"true traffic", beat, heartbeatBody, heartbeatBody, nil},
		{"true transaction", txn, txnBody, txnBody, nil},
		{"Luhn-valid merchant number", txn, `{"merchant":"622202123456789"}`, `{"merchant":"622202123456789"}`, nil},
		{"date in 2221-2720", txn, `{"ts":1795401600000,"id":"2611231015000126"}`, `{"ts":1795401600000,"id":"2611231015000126"}`, nil},
		{"another date", txn, `{"ts":1763900000000,"id":"2611231015000126"}`, `{"ts":1763900000000,"id":"redacted-77"}`, []Hit{{"id", KindPAN}}},
		{"address", txn, `{"host":"40.112.233.144:56785"}`, `{"host":"40.112.233.144:56785"}`, nil},
		{"masked already", txn, `{"card":"411111******1111"}`, `{"card":"411111******1111"}`, nil},
		{"pin pad is no PIN", beat, `{"health":{"pinpad":"ok","pin_tries":1234}}`, `{"health":{"pinpad":"ok","pin_tries":1234}}`, nil},
		{"wrong check digit", txn, `{"n":"4111111111111112"}`, `{"n":"4111111111111112"}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			clean, hits := Redact([]byte(c.body), c.kind, "77")
			if d := cmp.Diff(c.want, string(clean)); d != "" {
				t.Errorf("body (-want +got):\n%s", d)
			}
			if d := cmp.Diff(c.hits, hits); d != "" {
				t.Errorf("hits (-want +got):\n%s", d)
			}
			if again, more := Redact(clean, c.kind, "77"); more != nil || !bytes.Equal(again, clean) {
				t.Errorf("a second time: %s %v", again, more)
			}
		})
	}
}

func TestRedactLeavesArgumentAlone(t *testing.T) {
	body := []byte(`{"note":"4111111111111111"}`)
	before := bytes.Clone(body)
	Redact(body, fleet.KindTxn, "1")
	if !bytes.Equal(body, before) {
		t.Errorf("the argument became %s", body)
	}
	same := []byte(heartbeatBody)
	if clean, _ := Redact(same, fleet.KindHeartbeat, "1"); &clean[0] != &same[0] {
		t.Error("a clean body was copied")
	}
	if n := testing.AllocsPerRun(100, func() { Redact(same, fleet.KindHeartbeat, "1") }); n != 0 {
		t.Errorf("%v allocations for a clean heartbeat, want 0", n)
	}
}

// TestRedactKeepsEventsDecodable: where room is short, nothing grows.
func TestRedactKeepsEventsDecodable(t *testing.T) {
	text := func(n int, tail string) string { return strings.Repeat("x", n-len(tail)) + tail }
	for name, body := range map[string]string{
		"text at its limit":     `{"ts":1763900000123,"boot":1,"seq":1,"model":"` + text(128, " 4222222222222") + `"}`,
		"code word at limit":    `{"ts":1763900000123,"boot":1,"seq":1,"os":"` + text(128, " cvv=123") + `"}`,
		"body at its limit":     `{"ts":1763900000123,"boot":1,"seq":1,"note":"` + text(4000, strings.Repeat(" cvv=123", 100)) + `"}`,
		"short numbers":         `{"ts":1763900000123,"boot":1,"seq":1,"c":[` + strings.Repeat(`{"cvv":123},`, 320) + `0]}`,
		"keys at the limit":     `{"ts":1763900000123,"boot":1,"seq":1,"o":{` + strings.Repeat(`"4222222222222":1,`, 220) + `"z":1}}`,
		"merchant at its limit": `{"ts":1763900000123,"boot":1,"seq":1,"merchant":"` + text(32, " 4222222222222") + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := decodes([]byte(body), fleet.KindHeartbeat); err != nil {
				t.Fatalf("the case is wrong: %v", err)
			}
			clean, hits := Redact([]byte(body), fleet.KindHeartbeat, "1")
			if len(hits) == 0 {
				t.Fatal("nothing found")
			}
			if err := decodes(clean, fleet.KindHeartbeat); err != nil {
				t.Errorf("decodes no more: %v\n%s", err, clean)
			}
			if again, more := Redact(clean, fleet.KindHeartbeat, "1"); more != nil {
				t.Errorf("a second time: %s %v", again, more)
			}
		})
	}
}

func TestFreshIDsStayDistinctAndHarmless(t *testing.T) {
	seen := map[string]string{}
	for _, unique := range []string{"1", "2", "12", visa, visa + "0", "18446744073709551615", "a.b", "a_b", "4 1", `"`, ""} {
		body := `{"ts":1763900000123,"id":"4111111111111111","code":"03"}`
		clean, _ := Redact([]byte(body), fleet.KindTxn, unique)
		var tx fleet.Txn
		if err := fleet.DecodeTxn(clean, anyKey, &tx); err != nil {
			t.Fatalf("unique %q: %v in %s", unique, err, clean)
		}
		if other, twice := seen[tx.ID]; twice {
			t.Errorf("%q and %q both give %q", unique, other, tx.ID)
		}
		seen[tx.ID] = unique
		if _, more := Redact(clean, fleet.KindTxn, unique); more != nil {
			t.Errorf("unique %q: %s is itself found: %v", unique, clean, more)
		}
	}
}

// TestHitNeverCarriesData: whatever a message uses as its keys, a hit's path shows no number of it.
func TestHitNeverCarriesData(t *testing.T) {
	for _, body := range []string{
		`{"4111":{"1111":{"1111":{"1111":"4111111111111111"}}}}`,
		`{"41111111":{"11111111":"4111111111111111"}}`,
		`{"x4111111111111111":["4111111111111111"]}`,
		`{"` + strings.Repeat("long", 20) + `":"4111111111111111"}`,
		`{"a":{"b":{"c":{"d":{"e":{"f":"4111111111111111"}}}}}}`,
	} {
		_, hits := Redact([]byte(body), fleet.KindTxn, "1")
		if len(hits) == 0 {
			t.Errorf("nothing found in %s", body)
		}
		for _, h := range hits {
			if len(onlyDigits(h.Field)) >= 13 || len(h.Field) > 140 {
				t.Errorf("hit names %q for %s", h.Field, body)
			}
		}
	}
}

func TestSuspicious(t *testing.T) {
	for token, want := range map[string]bool{
		visa: true, amex: true, unionPay: true, "4111-1111-1111-1111": true, "4111_201111_201111_201111": true,
		"_3b4111111111111111_3d26122011234_3f": true, "T" + visa: true,
		"10012345": false, "00000001": false, "898440153110001": false, "A920-0012345": false, "": false, "_zz": false,
	} {
		if got := Suspicious(token); got != want {
			t.Errorf("Suspicious(%q) = %v, want %v", token, got, want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add([]byte(heartbeatBody), "17")
	f.Add([]byte(txnBody), "17")
	for seed := range uint64(40) {
		p := newPlanter(seed)
		m := p.message()
		p.into(m, p.plant())
		f.Add(m.bytes(), "123456")
	}
	f.Add([]byte(`{"ts":1763900000456,"id":"6911231015000123","code":"03","n":"4 1 1 1 4111 1111 1111 1111 378282246310005"}`), "9")
	f.Add([]byte(`{"a":"cvv=1234111111111111111","b":"pin: 4111 1111 1111 1111","c":"5A084111111111111111D2612"}`), "9")
	f.Fuzz(func(t *testing.T, body []byte, unique string) {
		if len(unique) > 20 {
			unique = unique[:20]
		}
		for _, kind := range []fleet.Kind{fleet.KindHeartbeat, fleet.KindTxn} {
			before := bytes.Clone(body)
			clean, hits := Redact(body, kind, unique)
			if !bytes.Equal(body, before) {
				t.Fatalf("the argument was changed: %q", body)
			}
			if (hits == nil) != bytes.Equal(clean, body) {
				t.Fatalf("hits %v, but %q became %q", hits, body, clean)
			}
			if json.Valid(body) && !json.Valid(clean) {
				t.Fatalf("valid %q became invalid %q", body, clean)
			}
			if decodes(body, kind) == nil {
				if err := decodes(clean, kind); err != nil {
					t.Fatalf("%s %q became %q: %v", kind, body, clean, err)
				}
			}
			if again, more := Redact(clean, kind, unique); json.Valid(body) && more != nil {
				t.Fatalf("%q became %q and then %q: %v", body, clean, again, more)
			}
		}
	})
}
