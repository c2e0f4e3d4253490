package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// standardPrefix marks a secret that is the base64 of a key, as in Standard Webhooks.
const standardPrefix = "whsec_"

// mac is HMAC-SHA256 of the parts, one after another.
func mac(secret []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, secret)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// madeBy tells whether one of the secrets made one of the signatures. All are tried, in
// the same time whichever it is.
func madeBy(signatures, secrets [][]byte, parts ...[]byte) bool {
	made := 0
	for _, s := range secrets {
		want := mac(s, parts...)
		for _, got := range signatures {
			made |= subtle.ConstantTimeCompare(want, got)
		}
	}
	return made == 1
}

// Same compares a secret itself, in the same time whichever it is and of whatever
// length.
func Same(got string, secrets [][]byte) bool {
	g, is := sha256.Sum256([]byte(got)), 0
	for _, s := range secrets {
		w := sha256.Sum256(s)
		is |= subtle.ConstantTimeCompare(g[:], w[:])
	}
	return is == 1 && got != ""
}

// hexSignature decodes one signature in hex; nil where it is none.
func hexSignature(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != sha256.Size {
		return nil
	}
	return b
}

// overBody verifies a signature of the body alone, in hex. The key is the body's: a
// delivery's number is not signed, so anybody could change it.
func overBody(signature string, body []byte, secrets [][]byte) (string, error) {
	got := hexSignature(signature)
	if got == nil || !madeBy([][]byte{got}, secrets, body) {
		return "", ErrUnsigned
	}
	return "body " + hex.EncodeToString(got), nil
}

// standard verifies a signature by the Standard Webhooks specification.
func standard(h http.Header, body []byte, secrets [][]byte, now time.Time) (string, error) {
	id, at := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	var keys, signatures [][]byte
	for _, s := range secrets {
		if key, err := base64.StdEncoding.DecodeString(string(bytes.TrimPrefix(s, []byte(standardPrefix)))); err == nil && len(key) >= 16 {
			keys = append(keys, key)
		}
	}
	for part := range strings.FieldsSeq(cut(h.Get("Webhook-Signature"))) {
		version, text, _ := strings.Cut(part, ",")
		if b, err := base64.StdEncoding.DecodeString(text); err == nil && version == "v1" && len(b) == sha256.Size {
			signatures = append(signatures, b)
		}
	}
	if id == "" || len(id) > 256 || !madeBy(signatures, keys, []byte(id+"."+at+"."), body) {
		return "", ErrUnsigned
	}
	if !recent(at, now) {
		return "", ErrStale
	}
	return "id " + id, nil
}

// recent tells whether a signed time (Unix seconds) is near enough.
func recent(at string, now time.Time) bool {
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return false
	}
	away := now.Unix() - seconds
	return away >= -int64(tolerance/time.Second) && away <= int64(tolerance/time.Second)
}

// cut bounds a header of signatures.
func cut(header string) string { return header[:min(len(header), 1024)] }
