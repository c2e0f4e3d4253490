package service

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret holds a token or key that must not be shown: printed, logged or
// encoded in any way it reads [redacted]. The zero Secret is not set.
//
// The value is behind a pointer because fmt calls no method on an unexported
// field: a struct that holds a Secret then shows an address at worst.
type Secret struct{ value *string }

// NewSecret holds value; an empty one gives a Secret that is not set.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: &value}
}

// Set tells whether there is a value at all.
func (s Secret) Set() bool { return s.value != nil }

// Reveal returns the value, to sign or to send with; of one not set, "".
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Matches tells whether candidate is the secret, in a time that depends neither
// on where they differ nor on the secret's length. A Secret that is not set
// matches nothing, not even an empty candidate.
func (s Secret) Matches(candidate string) bool {
	want, got := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(candidate))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && s.Set()
}

// String implements fmt.Stringer.
func (s Secret) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb shows the value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, which JSON and slog honour.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
