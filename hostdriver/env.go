package hostdriver

import (
	"crypto/sha256"
	"encoding/hex"
	"sort"
	"strings"
)

// EnvDigest is the digest by which environments are compared without sending a
// value: SHA-256, in lower-case hex, over salt, a newline, and the KEY=VALUE lines
// sorted bytewise (LC_ALL=C sort), each ended by a newline. A newline inside a
// value counts as the byte 0x01, as environments read from /proc/PID/environ with
// tr '\n\0' '\001\n' have it.
func EnvDigest(salt string, vars map[string]string) string {
	lines := make([]string, 0, len(vars))
	for k, v := range vars {
		lines = append(lines, k+"="+strings.ReplaceAll(v, "\n", "\x01"))
	}
	sort.Strings(lines)
	h := sha256.New()
	h.Write([]byte(salt + "\n"))
	for _, l := range lines {
		h.Write([]byte(l + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil))
}
