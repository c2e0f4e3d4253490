package secrets

import (
	"crypto/subtle"
	"fmt"
	"log/slog"

	"github.com/rs/zerolog"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// Secret is text that must not be shown: it prints as [redacted] under every verb
// and in every encoding, also as an unexported field of something that is
// printed. Only Reveal gives it away. The zero value is empty.
type Secret struct {
	// Two pointers, for where fmt meets an unexported field it may call no method and
	// prints what is there: the first address, or with a verb that is wrong for a
	// pointer what it points at, which is the second.
	held *held
}

type held struct{ b *[]byte }

const redacted = "[redacted]"

// New makes a Secret of a copy of b.
func New(b []byte) Secret {
	own := append([]byte(nil), b...)
	return Secret{held: &held{b: &own}}
}

// Reveal is the text itself. The slice is shared: do not write to it, and do not
// keep it longer than its use.
func (s Secret) Reveal() []byte {
	if s.held == nil {
		return nil
	}
	return *s.held.b
}

// IsZero tells whether there is no text.
func (s Secret) IsZero() bool { return len(s.Reveal()) == 0 }

// Equal compares in constant time.
func (s Secret) Equal(o Secret) bool { return subtle.ConstantTimeCompare(s.Reveal(), o.Reveal()) == 1 }

// Fingerprint is desired.Fingerprint.
func (s Secret) Fingerprint(key []byte) string {
	return desired.Fingerprint(hostdriver.NewContent(key), s.Reveal())
}

// UnmarshalText fills the secret, so that configuration decodes into it.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = New(b)
	return nil
}

func (s Secret) String() string                        { return redacted }
func (s Secret) GoString() string                      { return redacted }
func (s Secret) Format(f fmt.State, _ rune)            { _, _ = f.Write([]byte(redacted)) }
func (s Secret) MarshalText() ([]byte, error)          { return []byte(redacted), nil }
func (s Secret) MarshalJSON() ([]byte, error)          { return []byte(`"` + redacted + `"`), nil }
func (s Secret) MarshalYAML() (any, error)             { return redacted, nil }
func (s Secret) MarshalBinary() ([]byte, error)        { return []byte(redacted), nil }
func (s Secret) LogValue() slog.Value                  { return slog.StringValue(redacted) }
func (s Secret) MarshalZerologObject(e *zerolog.Event) { e.Str("secret", redacted) }
