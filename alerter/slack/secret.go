package slack

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a token or an address that must not be printed. Its text is reached by conversion to string only.
type Secret string

const masked = "***"

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// Format masks the secret under every verb, the wrong ones included: fmt shows a %d of a string in full.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue masks the secret in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText masks the secret as a value in JSON and every other encoding. As a map's key encoding/json would show it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
