package sshdriver

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// identity is one IdentityFile: a private key that can be used, or only its public
// half, for which an agent must sign.
type identity struct {
	path   string
	signer ssh.Signer    // nil where only the public half is known
	public ssh.PublicKey // nil where not even that is known
	why    string        // why there is no signer, and what would help
}

const maxKeySize = 1 << 20

// loadIdentity reads a private key, or the public half of one. It never asks for a
// passphrase: an encrypted key is used through an agent.
func loadIdentity(path string) (identity, error) {
	id := identity{path: path}
	text, info, err := readSmall(path)
	if err != nil {
		if public, ok := loadPublic(path + ".pub"); ok && errors.Is(err, fs.ErrNotExist) {
			id.public, id.why = public, "has no private half here; an agent must hold it"
			return id, nil
		}
		return id, err
	}
	if public, _, _, _, err := ssh.ParseAuthorizedKey(text); err == nil {
		id.public, id.why = public, "is a public key; an agent must hold the private one"
		return id, nil
	}
	if err := checkPrivate(info); err != nil {
		return id, fmt.Errorf("%s: %w", path, err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	var encrypted *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &encrypted):
		id.public = encrypted.PublicKey
		if id.public == nil {
			id.public, _ = loadPublic(path + ".pub")
		}
		id.why = "is protected by a passphrase; give it to an agent: ssh-add " + path
		return id, nil
	case err != nil:
		// Such as a FIDO key, whose secret is in a token.
		if public, ok := loadPublic(path + ".pub"); ok && bytes.Contains(text, []byte("OPENSSH PRIVATE KEY")) {
			id.public, id.why = public, "can only be used through an agent: ssh-add "+path
			return id, nil
		}
		return id, fmt.Errorf("%s: %w", path, err)
	}
	id.signer, id.public = signer, signer.PublicKey()
	return id, nil
}

func readSmall(path string) ([]byte, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeySize {
		return nil, nil, fmt.Errorf("%s: not a key file", path)
	}
	text, err := os.ReadFile(path)
	return text, info, err
}

// checkPrivate refuses a key of ours that others can reach, as ssh(1) does.
func checkPrivate(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(st.Uid) == os.Getuid() && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("its mode is %04o, so others can use it; run: chmod 600 %s", info.Mode().Perm(), info.Name())
	}
	return nil
}

func loadPublic(path string) (ssh.PublicKey, bool) {
	text, _, err := readSmall(path)
	if err != nil {
		return nil, false
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	return key, err == nil
}

// loadCertificate reads a user certificate. One that cannot be of use now is an
// error, since offering it would only cost an attempt.
func loadCertificate(path string, now time.Time) (*ssh.Certificate, error) {
	key, ok := loadPublic(path)
	if !ok {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s: not a certificate", path)
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok || cert.CertType != ssh.UserCert {
		return nil, fmt.Errorf("%s: not a user's certificate", path)
	}
	if err := certificateTime(cert, now); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cert, nil
}

func certificateTime(cert *ssh.Certificate, now time.Time) error {
	unix := uint64(max(now.Unix(), 0)) // #nosec G115 -- not negative
	if unix < cert.ValidAfter {
		return fmt.Errorf("certificate is not valid before %s", unixTime(cert.ValidAfter))
	}
	if cert.ValidBefore != ssh.CertTimeInfinity && unix >= cert.ValidBefore {
		return fmt.Errorf("certificate expired at %s; sign the key anew", unixTime(cert.ValidBefore))
	}
	return nil
}

func unixTime(s uint64) string {
	const far = 1 << 40 // beyond what time.Unix prints sensibly
	return time.Unix(int64(min(s, far)), 0).UTC().Format(time.RFC3339)
}

// plainKey returns the key that a certificate certifies, or the key itself.
func plainKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

// modernSigner keeps RSA keys from signing with SHA-1.
func modernSigner(s ssh.Signer) ssh.Signer {
	as, ok := s.(ssh.AlgorithmSigner)
	if !ok || !strings.HasPrefix(s.PublicKey().Type(), ssh.KeyAlgoRSA) {
		return s
	}
	modern, err := ssh.NewSignerWithAlgorithms(as, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
	if err != nil {
		return s
	}
	return modern
}
