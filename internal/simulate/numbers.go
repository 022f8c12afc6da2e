package simulate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// institutions are the first three digits of an acquirer's merchant numbers, by the acquirer's place in Options.
var institutions = []string{"898", "822", "826", "833", "855", "861", "872", "847", "838", "815", "889", "804"}

// A merchant number has 15 digits: institution (3), place (4), merchant category code (4), number within these (4).
const perCell = 9999

// A TID has 8 digits. Every acquirer counts from 1, as acquirers do, so that one TID exists once at each of them.
func appendTID(b []byte, n int) []byte { return fmt.Appendf(b, "%08d", n) }

// serial is the maker's number: three letters and nine digits.
func serial(m model, terminal int) string {
	return fmt.Sprintf("%s%09d", m.serial, 100_000_000+terminal)
}

// iccid makes a SIM's serial number (ITU-T E.118): 89 telecom, 86 China, carrier, year and lot, number, and the Luhn
// check digit; 20 digits.
func iccid(c carrier, h uint64, n int) string {
	digits := fmt.Sprintf("8986%s%02d%02d%09d", c.iin, 18+h%8, h>>8%32, n)
	return digits + string(luhnDigit(digits))
}

// luhnDigit is the check digit of ISO/IEC 7812-1 annex B.
func luhnDigit(digits string) byte {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return byte('0' + (10-sum%10)%10)
}

// cell is where a SIM is heard: MCC-MNC-LAC-CID.
func cell(c carrier, h uint64) string {
	return fmt.Sprintf("460-%s-%04d-%04d", c.mnc, 1000+h%9000, 1000+(h>>20)%9000)
}

// runTag tells the transactions of one run from those of another that has the same date and trace numbers. It has six
// letters and none of a to f, so that it can be read neither as digits nor as hexadecimal.
func runTag(h uint64) string {
	const letters = "ghjkmnpqrstvwxyz"
	var b [6]byte
	for i := range b {
		b[i] = letters[h>>(4*i)&15]
	}
	return string(b[:])
}

// setting is one system parameter of a terminal.
type setting struct{ key, value string }

// parameterSet is a set of settings with its name as terminals report it, version:fingerprint.
type parameterSet struct {
	name     string
	settings []setting
}

// newParameterSet names a set: the fingerprint is the first six hex digits of the SHA-256 of its key=value lines.
func newParameterSet(version int, settings ...setting) parameterSet {
	var b strings.Builder
	for _, s := range settings {
		b.WriteString(s.key + "=" + s.value + "\n")
	}
	sum := sha256.Sum256([]byte(b.String()))
	return parameterSet{fmt.Sprintf("%d:%s", version, hex.EncodeToString(sum[:3])), settings}
}

// The parameter sets in use: the present one, the one before, and the one that a parameters_wrong fault brings, which
// is in no registry.
var (
	paramsNow    = newParameterSet(17, setting{"host", "pos.acquirer.example:5300"}, setting{"tpdu", "6000030000"}, setting{"timeout_s", "60"}, setting{"reversal_tries", "3"}, setting{"currency", "156"}, setting{"fallback", "off"})
	paramsBefore = newParameterSet(16, setting{"host", "pos.acquirer.example:5300"}, setting{"tpdu", "6000030000"}, setting{"timeout_s", "45"}, setting{"reversal_tries", "3"}, setting{"currency", "156"}, setting{"fallback", "on"})
	paramsWrong  = newParameterSet(18, setting{"host", "pos.acquirer.example:5310"}, setting{"tpdu", "6000050000"}, setting{"timeout_s", "60"}, setting{"reversal_tries", "3"}, setting{"currency", "156"}, setting{"fallback", "off"})
)

// mistype returns a merchant number as a hurried hand would have typed it: two neighbouring digits swapped, or one
// digit another, such that it is nobody's number.
func mistype(mid string, taken func(string) bool) string {
	b := []byte(mid)
	for i := len(b) - 1; i > 0; i-- {
		if b[i] == b[i-1] {
			continue
		}
		b[i], b[i-1] = b[i-1], b[i]
		if s := string(b); !taken(s) {
			return s
		}
		b[i], b[i-1] = b[i-1], b[i]
	}
	for i := len(b) - 1; ; i-- {
		for d := byte('0'); d <= '9'; d++ {
			was := b[i]
			b[i] = d
			if s := string(b); s != mid && !taken(s) {
				return s
			}
			b[i] = was
		}
	}
}
