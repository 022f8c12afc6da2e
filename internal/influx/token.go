package influx

import (
	"fmt"
	"log/slog"
)

// Token is a credential: an API token on 2.x, user:password on 1.8. It masks itself wherever it is printed, logged or
// encoded; Reveal is the only way to its text.
type Token string

const masked = "***"

// Reveal returns the credential itself, for the one place that hands it to a person or a server.
func (t Token) Reveal() string { return string(t) }

// String returns "***", or "" for an empty token.
func (t Token) String() string {
	if t == "" {
		return ""
	}
	return masked
}

// Format masks the token under every verb, also those that do not suit a string.
func (t Token) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(t.String())) }

// LogValue implements slog.LogValuer.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText masks the token in JSON and in every other encoding.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
