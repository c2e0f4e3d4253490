package desired

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"aead.dev/minisign"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// maxSignature bounds a signature and a key, in bytes.
const maxSignature = 64 << 10

// SignatureStore is what an ArtifactStore is besides, where it can fetch signatures: small
// files whose digest nobody knows before.
type SignatureStore interface {
	FetchSignature(ctx context.Context, url string) ([]byte, error)
}

// signatureSource is where the signature of a source is.
func (s *SignatureSpec) signatureSource(source string) string {
	ending := ".minisig"
	if s.Cosign != "" {
		ending = ".sig"
	}
	return or(s.Source, source+ending)
}

// check says what is wrong with it on its own.
func (s *SignatureSpec) check(source string) (message, mend string) {
	switch {
	case (s.Minisign == "") == (s.Cosign == ""):
		return "a signature is either minisign or cosign", "keep one of the two keys"
	case IsGitArchive(source):
		return "the archive of a commit has no signature", "drop it: the commit's ID pins the files"
	case s.Source == "" && strings.HasPrefix(source, "oci://"):
		return "it is not said where the signature is", "add source: an https URL, or a file of the repo"
	}
	if from := s.signatureSource(source); strings.Contains(from, "://") && !strings.HasPrefix(from, "https://") && !strings.HasPrefix(from, "file://") {
		return "a signature is not fetched from " + fault.Quote(from), "use an https:// URL, or a file of the repo"
	}
	if s.Minisign != "" {
		if _, err := minisignKey(s.Minisign); err != nil {
			return "minisign: " + err.Error(), "copy the second line of minisign.pub, which begins with RW"
		}
	}
	return "", ""
}

func minisignKey(text string) (minisign.PublicKey, error) {
	var key minisign.PublicKey
	if err := key.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return key, errors.New("not a public key of minisign's")
	}
	return key, nil
}

// verify proves the signature of an artifact that is at hand.
func (s *artifacts) verify(ctx context.Context, spec *SignatureSpec, source string, b *bundle) error {
	from := spec.signatureSource(source)
	signature, err := s.small(ctx, from)
	if err != nil {
		return fmt.Errorf("cannot read the signature %s: %w", fault.Quote(from), err)
	}
	if spec.Minisign != "" {
		key, err := minisignKey(spec.Minisign)
		if err != nil {
			return err
		}
		return verifyMinisign(key, signature, b.raw)
	}
	key, err := s.small(ctx, spec.Cosign)
	if err != nil {
		return fmt.Errorf("cannot read the key %s: %w", fault.Quote(spec.Cosign), err)
	}
	return verifyCosign(key, signature, b.sourceSHA256)
}

// small reads a small file of the repo, or from elsewhere.
func (s *artifacts) small(ctx context.Context, source string) ([]byte, error) {
	if strings.Contains(source, "://") {
		store, ok := s.store.(SignatureStore)
		if !ok {
			return nil, errors.New("it is not fetched here")
		}
		return store.FetchSignature(ctx, source)
	}
	p, err := s.find(source)
	if err != nil {
		return nil, err
	}
	f, _, err := s.tree.open(p, maxSignature)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSignature))
}

// verifyMinisign reads the artifact through once more; a signature of its content as such
// (without -H, before minisign 0.10) needs all of it in memory and is refused.
func verifyMinisign(key minisign.PublicKey, signature []byte, open func() (io.ReadCloser, error)) error {
	var sig minisign.Signature
	if err := sig.UnmarshalText(signature); err != nil {
		return errors.New("the signature is none of minisign's")
	}
	switch {
	case sig.Algorithm != minisign.HashEdDSA:
		return errors.New("the signature is of the legacy kind: sign it with minisign 0.10 or later, or with -H")
	case sig.KeyID != key.ID():
		return fmt.Errorf("it is signed with the key %X, not %X", sig.KeyID, key.ID())
	}
	f, err := open()
	if err != nil {
		return err
	}
	defer f.Close()
	r := minisign.NewReader(f)
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	if !r.Verify(key, signature) {
		return errors.New("the signature is not that of this file")
	}
	return nil
}

// verifyCosign proves what `cosign sign-blob --key` writes: an ECDSA signature (ASN.1,
// base64) of the file's SHA-256.
func verifyCosign(key, signature []byte, digest string) error {
	block, _ := pem.Decode(key)
	if block == nil {
		return errors.New("the key is not PEM")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("the key: %w", err)
	}
	ec, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("the key is a %T; cosign's own are ECDSA", public)
	}
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(signature)))
	if err != nil {
		return errors.New("the signature is not base64: take what cosign sign-blob --output-signature writes")
	}
	sum, err := hex.DecodeString(digest)
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(ec, sum, der) {
		return errors.New("the signature is not that of this file by this key")
	}
	return nil
}
