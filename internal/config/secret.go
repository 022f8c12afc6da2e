package config

import (
	"log/slog"
	"strings"
)

// Secret is a token or password. However it is printed, logged or encoded it shows only whether it is set; the value
// itself is had by an explicit string(s).
type Secret string

const masked = "[secret]"

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString masks %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue masks the secret in a log record.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON masks the secret in JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalText masks the secret wherever else text is encoded.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML masks the secret in YAML.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// maskCredentials cuts user information and the query out of something that was meant to be a URL. It would rather take
// too much: a password may hold any character.
func maskCredentials(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		scheme, rest = "", raw
	} else {
		scheme += "://"
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = masked + rest[i:]
	}
	if before, _, query := strings.Cut(rest, "?"); query {
		rest = before + "?" + masked
	}
	return scheme + rest
}
