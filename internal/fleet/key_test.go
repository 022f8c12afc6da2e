package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func reason(err error) Reason {
	if bad, ok := errors.AsType[*Invalid](err); ok {
		return bad.Reason
	}
	return ""
}

func TestParseSubject(t *testing.T) {
	type result struct {
		Key    Key
		Kind   Kind
		Reason Reason
		Field  string
	}
	for subject, want := range map[string]result{
		"fleet.v1.a1.10012345.txn":                          {Key: Key{"a1", "10012345"}, Kind: KindTxn},
		"fleet.v1.UMS-2.00000001.heartbeat":                 {Key: Key{"UMS-2", "00000001"}, Kind: KindHeartbeat},
		"fleet.v1.a1.AB_20_5f_e5.txn":                       {Key: Key{"a1", "AB _\xe5"}, Kind: KindTxn},
		"fleet.v1.a1.123_20_20_20.txn":                      {Key: Key{"a1", "123"}, Kind: KindTxn}, // padding is not identity
		"fleet.v1." + strings.Repeat("a", 32) + ".1.txn":    {Key: Key{strings.Repeat("a", 32), "1"}, Kind: KindTxn},
		"fleet.v1.a1." + strings.Repeat("_2e", 32) + ".txn": {Key: Key{"a1", strings.Repeat(".", 32)}, Kind: KindTxn},
		"":                    {Reason: ReasonSubject, Field: "subject"},
		"fleet.v2.a1.1.txn":   {Reason: ReasonSubject, Field: "subject"},
		"fleet.v1.a1.1":       {Reason: ReasonSubject, Field: "subject"},
		"fleet.v1.a1.1.txn.x": {Reason: ReasonSubject, Field: "subject"},
		"xfleet.v1.a1.1.txn":  {Reason: ReasonSubject, Field: "subject"},
		"fleet.v1.a1.1.TXN":   {Reason: ReasonSubject, Field: "kind"},
		"fleet.v1.a1.1.":      {Reason: ReasonSubject, Field: "kind"},
		"fleet.v1..1.txn":     {Reason: ReasonSubject, Field: "acquirer"},
		"fleet.v1.-a.1.txn":   {Reason: ReasonSubject, Field: "acquirer"},
		"fleet.v1.a_1.1.txn":  {Reason: ReasonSubject, Field: "acquirer"},
		"fleet.v1." + strings.Repeat("a", 33) + ".1.txn": {Reason: ReasonSubject, Field: "acquirer"},
		"fleet.v1.a1..txn":     {Reason: ReasonSubject, Field: "terminal"},
		"fleet.v1.a1._20.txn":  {Reason: ReasonSubject, Field: "terminal"}, // nothing but padding
		"fleet.v1.a1.a_.txn":   {Reason: ReasonSubject, Field: "terminal"},
		"fleet.v1.a1.a_2.txn":  {Reason: ReasonSubject, Field: "terminal"},
		"fleet.v1.a1.a_41.txn": {Reason: ReasonSubject, Field: "terminal"}, // A needs no escape
		"fleet.v1.a1.a_5F.txn": {Reason: ReasonSubject, Field: "terminal"}, // upper-case hex
		"fleet.v1.a1.a b.txn":  {Reason: ReasonSubject, Field: "terminal"},
		"fleet.v1.a1." + strings.Repeat("9", MaxID+1) + ".txn":   {Reason: ReasonSubject, Field: "terminal"},
		"fleet.v1.a1." + strings.Repeat("_e5", MaxID+1) + ".txn": {Reason: ReasonSubject, Field: "terminal"},
		"fleet.v1.a1.*.txn": {Reason: ReasonSubject, Field: "terminal"},
		"fleet.v1.a1.>":     {Reason: ReasonSubject, Field: "subject"},
	} {
		var got result
		var err error
		got.Key, got.Kind, err = ParseSubject(subject)
		if bad, ok := errors.AsType[*Invalid](err); ok {
			got.Reason, got.Field = bad.Reason, bad.Field
		} else if err != nil {
			t.Errorf("%q: error %v is not an *Invalid", subject, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", subject, d)
		}
	}
}

// TestEscapeRoundTrip: every byte string has one token, the token has one byte string, and it is one subject token.
func TestEscapeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := string(rapid.SliceOfN(rapid.Byte(), 1, 48).Draw(t, "id"))
		token := Escape(id)
		if strings.ContainsAny(token, ".*> \t\r\n\x00/+#") {
			t.Fatalf("Escape(%q) = %q is no subject token", id, token)
		}
		back, err := Unescape(token)
		if err != nil || back != id {
			t.Fatalf("Unescape(%q) = %q, %v, want %q", token, back, err, id)
		}
	})
}

func TestSubjectRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tid := TrimID(string(rapid.SliceOfN(rapid.Byte(), 1, MaxID).Draw(t, "tid")))
		if tid == "" {
			t.Skip("nothing but padding")
		}
		key := Key{rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9-]{0,31}`).Draw(t, "acquirer"), tid}
		kind := rapid.SampledFrom([]Kind{KindHeartbeat, KindTxn}).Draw(t, "kind")
		got, gotKind, err := ParseSubject(key.Subject(kind))
		if err != nil || got != key || gotKind != kind {
			t.Fatalf("%q reads back as %v %v, %v, want %v %v", key.Subject(kind), got, gotKind, err, key, kind)
		}
	})
}

func TestValidAcquirer(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "A1-b": true, "0": true, strings.Repeat("z", 32): true,
		"": false, "-a": false, "a_b": false, "a.b": false, "a b": false, "é": false, "_all": false, "_bad": false, strings.Repeat("z", 33): false,
	} {
		if got := ValidAcquirer(id); got != want {
			t.Errorf("ValidAcquirer(%q) = %v, want %v", id, got, want)
		}
	}
}

// TestIdentityIsFrozen holds what stored points are found by. A failure here is never repaired by changing the values:
// with others, every event that is delivered again would be stored a second time.
func TestIdentityIsFrozen(t *testing.T) {
	for _, c := range []struct {
		acquirer, subject, id string
		hash                  uint64
		tag                   string
		nanos                 int64
	}{
		{"", "", "", 0x9aaba41ffa2da101, "9", 106660097},
		{"a1", "10012345", "20261123-000123", 0x8d5411754d1d0b3d, "8", 894128957},
		{"UMS-2", "AB _\xe5", "1", 0xb1c70b8ec368a7b8, "b", 870342584},
		{"a1", "898440153110001", "merchant-status.a1.898440153110001.1", 0x07248a75bd04b87b, "0", 714089083},
		{"acquirer-with-a-long-name-000001", "00000001", "550e8400-e29b-41d4-a716-446655440000", 0x817b1b61afecb469, "8", 405417577},
	} {
		h := Hash(c.acquirer, c.subject, c.id)
		if h != c.hash || HashTag(h) != c.tag || HashNanos(h) != c.nanos {
			t.Errorf("{%q, %q, %q, %#x, %q, %d},", c.acquirer, c.subject, c.id, h, HashTag(h), HashNanos(h))
		}
	}
	for hash, want := range map[uint64]struct {
		tag   string
		nanos int64
	}{
		0:                  {"0", 0},
		0xf000000000000000: {"f", 17293822569102704640 % 1_000_000_000},
		0x0fffffffffffffff: {"0", 1152921504606846975 % 1_000_000_000},
		999_999_999:        {"0", 999_999_999},
		1_000_000_000:      {"0", 0},
	} {
		if HashTag(hash) != want.tag || HashNanos(hash) != want.nanos {
			t.Errorf("hash %#x has tag %q and nanoseconds %d, want %v", hash, HashTag(hash), HashNanos(hash), want)
		}
	}
	key := Key{"a1", "AB 1"}
	for got, want := range map[string]string{
		key.TxnMsgID(SourceTerminal, "20261123-000123"): "a1.AB_201.txn.terminal.20261123-000123",
		key.TxnMsgID(SourceSwitch, "1"):                 "a1.AB_201.txn.switch.1",
		key.HeartbeatMsgID(1763890000, 17):              "a1.AB_201.heartbeat.1763890000-17",
		key.Subject(KindTxn):                            "fleet.v1.a1.AB_201.txn",
		key.String():                                    "a1/AB 1",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestHashSeparatesItsParts: moving a byte from one part to the next is another identity.
func TestHashSeparatesItsParts(t *testing.T) {
	seen := map[uint64]string{}
	for _, p := range [][3]string{{"a", "bc", "d"}, {"ab", "c", "d"}, {"a", "b", "cd"}, {"a", "bcd", ""}, {"", "abcd", ""}, {"abcd", "", ""}, {"", "", "abcd"}} {
		h := Hash(p[0], p[1], p[2])
		if other, twice := seen[h]; twice {
			t.Errorf("%q and %s have one hash", p, other)
		}
		seen[h] = fmt.Sprintf("%q", p)
	}
	long := strings.Repeat("x", 300)
	if Hash("a", long, "1") == Hash("a", long, "2") {
		t.Error("what lies beyond 128 bytes does not count")
	}
}

// TestHashSpreads: tag and nanoseconds use different bits, so that two events of one second and one tag still differ.
func TestHashSpreads(t *testing.T) {
	tags := map[string]int{}
	points := map[string]bool{}
	const n = 20_000
	for i := range n {
		h := Hash("a1", fmt.Sprint(i%500), fmt.Sprint("20261123-", i))
		if ns := HashNanos(h); ns < 0 || ns > 999_999_999 {
			t.Fatalf("nanoseconds %d", ns)
		}
		tags[HashTag(h)]++
		points[fmt.Sprint(HashTag(h), HashNanos(h))] = true
	}
	if len(tags) != 16 || len(points) < n-2 {
		t.Errorf("%d tags and %d distinct points of %d events", len(tags), len(points), n)
	}
	for tag, k := range tags {
		if k < n/16*8/10 || k > n/16*12/10 {
			t.Errorf("tag %s has %d of %d events", tag, k, n)
		}
	}
}

func FuzzParseSubject(f *testing.F) {
	for _, s := range []string{"fleet.v1.a1.10012345.txn", "fleet.v1.a1.AB_20_5f_e5.heartbeat", "fleet.v1.a1._20.txn", "fleet.v1..1.txn", "fleet.v1.a.b.c.d", "derived.v1.x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		key, kind, err := ParseSubject(subject)
		if err != nil {
			if reason(err) != ReasonSubject {
				t.Fatalf("%q: reason %q", subject, reason(err))
			}
			return
		}
		if !ValidAcquirer(key.Acquirer) || key.Terminal == "" || len(key.Terminal) > MaxID || key.Terminal != TrimID(key.Terminal) {
			t.Fatalf("%q gives %q", subject, key)
		}
		again, kind2, err := ParseSubject(key.Subject(kind))
		if err != nil || again != key || kind2 != kind {
			t.Fatalf("%q gives %q, whose subject %q gives %q, %v", subject, key, key.Subject(kind), again, err)
		}
	})
}

func FuzzUnescape(f *testing.F) {
	for _, s := range []string{"10012345", "AB_20", "_5f_e5_00", "_", "_4", "_41", "_5F", "a b", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, err := Unescape(token)
		if err != nil {
			if token != "" && Escape(token) == token {
				t.Fatalf("%q needs no escape and was refused", token)
			}
			return
		}
		if Escape(id) != token {
			t.Fatalf("%q is accepted as %q, whose token is %q", token, id, Escape(id))
		}
	})
}
