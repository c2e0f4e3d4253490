package hostdriver

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
)

// Content is the bytes of a file on their way to a host, or read from one. It
// may hold secrets: it prints as [redacted] under every verb and in every
// encoding, also as an unexported field of something that is printed, and only
// Bytes gives it away.
type Content struct {
	// Two pointers: where fmt meets an unexported field it may call no method, and
	// prints an address instead; or, with a verb that is wrong for a pointer, what it
	// points at, which is another.
	held *held
}

type held struct{ b *[]byte }

// NewContent wraps b, which must not be written to afterwards.
func NewContent(b []byte) Content { return Content{held: &held{b: &b}} }

// Bytes returns the content itself. The slice is shared: do not write to it.
func (c Content) Bytes() []byte {
	if c.held == nil {
		return nil
	}
	return *c.held.b
}

// Len is the number of bytes.
func (c Content) Len() int { return len(c.Bytes()) }

// SHA256 is the lower-case hex digest of the content.
func (c Content) SHA256() string {
	sum := sha256.Sum256(c.Bytes())
	return hex.EncodeToString(sum[:])
}

const redacted = "[redacted]"

func (c Content) String() string               { return redacted }
func (c Content) GoString() string             { return redacted }
func (c Content) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (c Content) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (c Content) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (c Content) LogValue() slog.Value         { return slog.StringValue(redacted) }
