package carddata

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tillwatch/tillwatch/internal/fleet"
)

// TestFragments throws pieces of everything the rules look at together, at random, where random bytes would never
// meet. What comes out must be JSON, decode if what went in did, and be clean.
func TestFragments(t *testing.T) {
	pieces := []string{"4111", "1111", "4111111111111111", "378282246310005", "4222222222222", "622202", "1234567890128", "3",
		" ", "  ", "-", ".", ":", "/", "=", "^", "?", ";", "%B", "D", "F", "2612", "201", "5A08", "57", "9F6B", "0841",
		"cvv", "CVC2", "pin", "pinblock", "=", ": ", "123", "4929", "0412AC89ABCDEF67", "[redacted pan]", "redacted-", "***",
		`\u0034`, `\u0031`, `\"`, `\\`, "４", "卡号", "é", "WghBEREREREREQ", "zoD", "e29b-41d4-", "x", "ABCDEF"}
	text := func(r *rand.Rand) string {
		var b strings.Builder
		for range 1 + r.IntN(12) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		return b.String()
	}
	keys := []string{"id", "merchant", "model", "app", "params", "note", "cvv", "pin", "pan", "track2", "value", "terminal"}
	n := sizes(t, 150_000)
	shards(n, func(seed uint64, i int) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := []byte(`{"ts":1763900000456,"boot":1,"seq":2,"id":"1","code":"03"`)
		for range 1 + r.IntN(4) {
			key := keys[r.IntN(len(keys))]
			if r.IntN(6) == 0 {
				key = text(r)
			}
			value := `"` + text(r) + `"`
			switch r.IntN(8) {
			case 0:
				value = `{"v":` + value + `}`
			case 1:
				value = `[` + value + `,4111111111111111,123]`
			case 2:
				value = []string{"4111111111111111", "123", "4.1e15", "4.111111111111111e15", "-1e-9"}[r.IntN(5)]
			}
			b = append(b, `,"`+key+`":`+value...)
		}
		b = append(b, '}')
		if !json.Valid(b) {
			t.Errorf("seed %d: no JSON: %s", seed, b)
			return
		}
		for _, kind := range []fleet.Kind{fleet.KindHeartbeat, fleet.KindTxn} {
			clean, hits := Redact(b, kind, "12345")
			again, more := Redact(clean, kind, "12345")
			switch {
			case !json.Valid(clean):
				t.Errorf("seed %d: made invalid: %s\n%s", seed, b, clean)
			case more != nil || !bytes.Equal(again, clean):
				t.Errorf("seed %d: not idempotent, %v:\n%s\n%s\n%s", seed, more, b, clean, again)
			case decodes(b, kind) == nil && decodes(clean, kind) != nil:
				t.Errorf("seed %d: %v\n%s\n%s", seed, decodes(clean, kind), b, clean)
			case hits == nil && !bytes.Equal(b, clean):
				t.Errorf("seed %d: changed without a hit: %s", seed, clean)
			}
		}
	})
	t.Logf("%d messages", n)
}
