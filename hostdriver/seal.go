package hostdriver

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// SealDigest is the digest by which what a credential holds is compared without sending
// it: SHA-256, in lower-case hex, over salt, a newline and the content.
func SealDigest(salt string, content Content) string {
	h := sha256.New()
	h.Write([]byte(salt + "\n"))
	h.Write(content.Bytes())
	return hex.EncodeToString(h.Sum(nil))
}

// CheckCredential tells what is wrong with the name of a credential.
func CheckCredential(name string) error {
	if name == "" || len(name) > 255 || name[0] == '.' || strings.Trim(name, credentialChars) != "" {
		return fmt.Errorf("%.80q is no name of a credential", name)
	}
	return nil
}

const credentialChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
