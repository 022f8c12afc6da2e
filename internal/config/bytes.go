package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size in bytes. It is written as a plain integer or with a binary unit: 512MiB, 8GiB.
type Bytes int64

// Binary units.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

var byteUnits = []struct {
	name string
	size Bytes
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}

// String writes the size with the largest unit that divides it.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalYAML writes the size as String does.
func (b Bytes) MarshalYAML() (any, error) { return b.String(), nil }

// ParseBytes reads a size.
func ParseBytes(s string) (Bytes, error) {
	digits, unit := s, Bytes(1)
	for _, u := range byteUnits {
		if d, ok := strings.CutSuffix(s, u.name); ok {
			digits, unit = strings.TrimRight(d, " "), u.size
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(unit) {
		return 0, fmt.Errorf("size %q: want %s", s, wantBytes(s))
	}
	return Bytes(n) * unit, nil
}

// wantBytes says what would be right, near to what was meant: the decimal units are the likely slip.
func wantBytes(s string) string {
	const want = "a size in bytes, such as 512MiB or 8GiB"
	digits := strings.TrimRight(s, "BbIiKkMmGgTt ")
	if n, err := strconv.ParseInt(digits, 10, 32); err == nil && n >= 0 {
		switch unit := strings.ToUpper(strings.TrimSpace(s[len(digits):])); unit {
		case "K", "M", "G", "T", "KB", "MB", "GB", "TB", "KIB", "MIB", "GIB", "TIB":
			return fmt.Sprintf("%s, here %s%ciB", want, digits, unit[0])
		}
	}
	return want
}
