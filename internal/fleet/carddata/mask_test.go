package carddata

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		`{"ts":17,"id":"4111111111111111"`:               `{"ts":17,"id":"****************"`,
		`{"card":"4111-1111 1111.1111`:                   `{"card":"****-**** ****.****`,
		`4111x1111x1111x1111 `:                           `****x****x****x**** `,
		`&#52;&#49;&#49;&#49;&#49;&#49;&#49;&#49;`:       `&#**;&#**;&#**;&#**;&#**;&#**;&#**;&#**;`,
		`\u0034\u0031\u0031\u0031\u0031111111111\u0031"`: `***************"`,
		`cvv: 123 code 03`:                               `cvv: *** code **`,
		`<pin>4929</pin>`:                                `<pin>****</pin>`,
		`%B4111111111111111^DOE/JOHN^2612201?`:           `%*****************^***/****^*******?`,
		`０３ 卡号为：６２２２０２１２３４５６７８９０１２８`: `０３ 卡号为：*******************`,
		`pinblock 0412AC89ABCDEF67`:        `pinblock ****************`,
		`not json at all, code 03`:         `not json at all, code 03`,
		"":                                 "",
		"\x62\x22\x02\x12\x34\x56\x78\x90": "[not text, 8 bytes]",
		"\xff4111111111111111":             "[not text, 17 bytes]",
	} {
		if got := string(Mask([]byte(in))); got != want {
			t.Errorf("Mask(%q)\n got %q\nwant %q", in, got, want)
		}
	}
}

func TestMaskIsBounded(t *testing.T) {
	for _, in := range []string{strings.Repeat("x ", 5000), strings.Repeat("4", 100_000), strings.Repeat(`\u0034`, 3000), strings.Repeat("卡号 ", 3000)} {
		got := Mask([]byte(in))
		if len(got) > MaxMasked || !utf8.Valid(got) {
			t.Errorf("Mask of %d bytes has %d bytes, valid UTF-8 %v", len(in), len(got), utf8.Valid(got))
		}
		if !bytes.Contains(got, []byte("bytes]")) {
			t.Errorf("Mask of %d bytes does not say that it was cut: …%s", len(in), got[max(0, len(got)-40):])
		}
	}
}

// TestMaskTakesEverythingPlanted: no planted number, track, chip data or PIN block is readable in a masked message,
// whole or cut anywhere.
func TestMaskTakesEverythingPlanted(t *testing.T) {
	n := sizes(t, 50_000)
	shards(n, func(seed uint64, i int) {
		p := newPlanter(seed)
		m := p.message()
		x := p.plant()
		p.into(m, x)
		body := m.bytes()
		masked := Mask(body[:len(body)-1-p.IntN(3)]) // no JSON any more
		if s := left([]byte(`"`+strings.ReplaceAll(string(masked), `"`, " ")+`"`), x.secrets); s != "" {
			t.Errorf("seed %d: %q is left in %s", seed, s, masked)
		}
	})
	t.Logf("%d planted messages masked", n)
}

func FuzzMask(f *testing.F) {
	f.Add([]byte(heartbeatBody))
	f.Add([]byte("\u0034111 1111 1111 1111"))
	f.Add([]byte("１２３４５６７８９０１２３４"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		got := Mask(payload)
		if len(got) > MaxMasked || !utf8.Valid(got) {
			t.Fatalf("%d bytes, valid UTF-8 %v: %q", len(got), utf8.Valid(got), got)
		}
		run := 0
		for _, c := range fold(nil, got, nil) {
			if run++; class[c]&isDigit == 0 {
				run = 0
			}
			if run >= 12 {
				t.Fatalf("%q still holds %d digits in a row: %q", payload, run, got)
			}
		}
	})
}
