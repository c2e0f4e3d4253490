package desired

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"strings"
	"testing"

	"aead.dev/minisign"
)

// minisigned is a key and its signature of data as minisign makes it by default.
func minisigned(t *testing.T, data []byte) (key string, signature []byte) {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := minisign.NewReader(bytes.NewReader(data))
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	return public.String(), r.Sign(private)
}

// cosigned is what `cosign generate-key-pair` and `cosign sign-blob --key` write.
func cosigned(t *testing.T, data []byte) (key, signature []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	sig, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), []byte(base64.StdEncoding.EncodeToString(sig) + "\n")
}

// signedStore is a store that has signatures, too.
type signedStore struct{ memoryStore }

func (s signedStore) FetchSignature(ctx context.Context, url string) ([]byte, error) {
	f, err := s.Fetch(ctx, url, "")
	if err != nil {
		return nil, err
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func TestSignatures(t *testing.T) {
	data := []byte("\x7fELF program")
	mini, miniSig := minisigned(t, data)
	other, otherSig := minisigned(t, []byte("another"))
	_, forAnother := minisigned(t, data)
	cosign, cosignSig := cosigned(t, data)
	strange, strangeSig := cosigned(t, []byte("another"))
	legacy := func() []byte {
		_, private, _ := minisign.GenerateKey(rand.Reader)
		return minisign.Sign(private, data)
	}()
	blobs := map[string][]byte{"gw": data, "gw.minisig": miniSig, "gw.sig": cosignSig, "cosign.pub": cosign, "strange.pub": strange, "other.minisig": otherSig,
		"forged.minisig": forAnother, "strange.sig": strangeSig, "legacy.minisig": legacy, "rubbish": []byte("rubbish")}
	url := "https://r.example/gw"
	store := signedStore{memoryStore{url: data, url + ".minisig": miniSig, url + ".sig": cosignSig}}
	for name, c := range map[string]struct{ spec, want string }{
		"minisign":                    {"source: gw, signature: {minisign: " + mini + "}", ""},
		"cosign":                      {"source: gw, signature: {cosign: cosign.pub}", ""},
		"minisign by https":           {"source: " + url + ", sha256: " + hexSHA(data) + ", signature: {minisign: " + mini + "}", ""},
		"cosign by https":             {"source: " + url + ", sha256: " + hexSHA(data) + ", signature: {cosign: cosign.pub}", ""},
		"of another file":             {"source: gw, signature: {minisign: " + other + ", source: other.minisig}", "the signature is not that of this file"},
		"by another key":              {"source: gw, signature: {minisign: " + mini + ", source: forged.minisig}", "it is signed with the key"},
		"of the legacy kind":          {"source: gw, signature: {minisign: " + mini + ", source: legacy.minisig}", "legacy kind"},
		"no signature at all":         {"source: gw, signature: {minisign: " + mini + ", source: rubbish}", "none of minisign's"},
		"a signature that is missing": {"source: gw, signature: {minisign: " + mini + ", source: none.minisig}", "cannot read the signature"},
		"by another cosign key":       {"source: gw, signature: {cosign: strange.pub}", "not that of this file by this key"},
		"another's cosign signature":  {"source: gw, signature: {cosign: cosign.pub, source: strange.sig}", "not that of this file by this key"},
		"a key that is none":          {"source: gw, signature: {cosign: rubbish}", "the key is not PEM"},
		"a minisign key that is none": {"source: gw, signature: {minisign: RWx}", "not a public key of minisign's"},
		"both":                        {"source: gw, signature: {minisign: " + mini + ", cosign: cosign.pub}", "either minisign or cosign"},
		"neither":                     {"source: gw, signature: {}", "either minisign or cosign"},
		"of a registry, from nowhere": {"source: \"oci://r.example/gw:1\", sha256: " + hexSHA(data) + ", signature: {minisign: " + mini + "}", "where the signature is"},
		"from plain http":             {"source: gw, signature: {minisign: " + mini + ", source: \"http://r.example/x\"}", "not fetched from"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := artifactsOf(t, "  artifacts: [{name: gw, path: /opt/gw, "+c.spec+"}]\n", blobs, store)
			switch {
			case c.want == "" && (err != nil || got[0].SHA256 != hexSHA(data)):
				t.Errorf("%+v, %v", got, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzSignature(f *testing.F) {
	f.Add([]byte("untrusted comment: x\nRUQ\ntrusted comment: y\nx\n"), []byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))
	public, _, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, signature, key []byte) {
		open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }
		if verifyMinisign(public, signature, open) == nil || verifyCosign(key, signature, hexSHA([]byte("never signed"))) == nil {
			t.Errorf("%q counts as a signature", signature)
		}
	})
}
