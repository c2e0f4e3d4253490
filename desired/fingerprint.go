package desired

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Fingerprinter is what a Decrypter may be: it has the key of Fingerprint.
type Fingerprinter interface {
	// FingerprintKey is the same for all who open the secrets with the same key.
	FingerprintKey() []byte
}

// Fingerprint tells two secrets apart without telling what they are: the first 12 hex
// digits of HMAC-SHA256 under key, without which it cannot be guessed from. Without a
// key there is none.
func Fingerprint(key hostdriver.Content, value []byte) string {
	if key.Len() == 0 {
		return ""
	}
	m := hmac.New(sha256.New, key.Bytes())
	m.Write(value)
	return hex.EncodeToString(m.Sum(nil))[:12]
}
