package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

// signer issues tokens with the current key and verifies those of both keys: a
// new key is good everywhere before the old one stops being so.
type signer struct {
	current  service.Secret
	previous service.Secret // may be not set
	ttl      time.Duration
	instance string
	now      func() time.Time
}

// claims are what a token says.
type claims struct {
	Subject string `json:"sub"`
	Expires int64  `json:"exp"` // Unix seconds
}

func (c claims) expires() time.Time { return time.Unix(c.Expires, 0).UTC() }

var (
	errMalformed = errors.New("this is not a token of ours")
	errSignature = errors.New("the signature is not ours")
	errExpired   = errors.New("the token has expired")
)

// encoding is strict, so that a token has one spelling only.
var encoding = base64.RawURLEncoding.Strict()

// issue returns a token: the claims as JSON and their HMAC-SHA256, both in
// base64url, joined by a dot.
func (s *signer) issue(subject string) (string, claims) {
	issued := claims{Subject: subject, Expires: s.now().Add(s.ttl).Unix()}
	payload, err := json.Marshal(issued)
	if err != nil {
		panic(err) // a string and a number always encode
	}
	encoded := encoding.EncodeToString(payload)
	return encoded + "." + encoding.EncodeToString(mac(s.current, encoded)), issued
}

// verify returns the claims of a good token and which key signed it, "current"
// or "previous". Nothing of the claims is looked at before the signature is
// known to be good.
func (s *signer) verify(token string) (claims, string, error) {
	encoded, signature, err := split(token)
	if err != nil {
		return claims{}, "", err
	}
	by := ""
	switch {
	case hmac.Equal(signature, mac(s.current, encoded)):
		by = "current"
	case s.previous.Set() && hmac.Equal(signature, mac(s.previous, encoded)):
		by = "previous"
	default:
		return claims{}, "", errSignature
	}
	payload, err := encoding.DecodeString(encoded)
	if err != nil {
		return claims{}, "", errMalformed
	}
	var claimed claims
	if err := json.Unmarshal(payload, &claimed); err != nil {
		return claims{}, "", errMalformed
	}
	if !s.now().Before(claimed.expires()) {
		return claims{}, "", errExpired
	}
	return claimed, by, nil
}

// split parts a token into its encoded claims and its decoded signature.
func split(token string) (encoded string, signature []byte, err error) {
	encoded, tail, ok := strings.Cut(token, ".")
	if !ok || encoded == "" {
		return "", nil, errMalformed
	}
	signature, err = encoding.DecodeString(tail)
	if err != nil || len(signature) != sha256.Size {
		return "", nil, errMalformed
	}
	return encoded, signature, nil
}

func mac(key service.Secret, encoded string) []byte {
	hash := hmac.New(sha256.New, []byte(key.Reveal()))
	_, _ = hash.Write([]byte(encoded))
	return hash.Sum(nil)
}
