package gitrepo

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshsig is an SSH signature, of OpenSSH's PROTOCOL.sshsig.
type sshsig struct {
	Magic     [6]byte
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

// sshSigned is what an SSH signature signs.
type sshSigned struct {
	Magic     [6]byte
	Namespace string
	Reserved  string
	Hash      string
	Digest    []byte
}

var sshMagic = [6]byte{'S', 'S', 'H', 'S', 'I', 'G'}

// gitNamespace is what git signs for. A signature made for anything else does not count.
const gitNamespace = "git"

// parseSSHSignature reads an armored signature.
func parseSSHSignature(text []byte) (sig sshsig, key ssh.PublicKey, err error) {
	body, err := armored(text, sshArmor, "-----END SSH SIGNATURE-----")
	if err != nil {
		return sig, nil, err
	}
	blob, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(body), ""))
	if err != nil {
		return sig, nil, errors.New("its signature is not base64")
	}
	if err := ssh.Unmarshal(blob, &sig); err != nil || sig.Magic != sshMagic || sig.Version != 1 {
		return sig, nil, errors.New("its signature is no SSH signature of version 1")
	}
	if key, err = ssh.ParsePublicKey(sig.PublicKey); err != nil {
		return sig, nil, errors.New("its signature's key cannot be read")
	}
	return sig, key, nil
}

// verifySSH tells whose signature it is.
func (s *Signers) verifySSH(payload, text []byte, times []time.Time) (string, error) {
	sig, key, err := parseSSHSignature(text)
	if err != nil {
		return "", refused(err, "")
	}
	print := ssh.FingerprintSHA256(key)
	if sig.Namespace != gitNamespace {
		return "", refused(fmt.Errorf("its signature was made for %q, not for git", oneLine(sig.Namespace, 40)), "")
	}
	var digest []byte
	switch sig.Hash {
	case "sha256":
		d := sha256.Sum256(payload)
		digest = d[:]
	case "sha512":
		d := sha512.Sum512(payload)
		digest = d[:]
	default:
		return "", refused(fmt.Errorf("its signature has the hash %q", oneLine(sig.Hash, 40)), "")
	}
	var inner ssh.Signature
	if err := ssh.Unmarshal(sig.Signature, &inner); err != nil {
		return "", refused(errors.New("its signature cannot be read"), "")
	}
	if key.Type() == ssh.KeyAlgoRSA && inner.Format != ssh.KeyAlgoRSASHA256 && inner.Format != ssh.KeyAlgoRSASHA512 {
		return "", refused(errors.New("its RSA signature uses SHA-1"), "sign with a newer OpenSSH")
	}
	signed := ssh.Marshal(sshSigned{Magic: sshMagic, Namespace: sig.Namespace, Reserved: sig.Reserved, Hash: sig.Hash, Digest: digest})
	if err := key.Verify(signed, &inner); err != nil {
		return "", refused(fmt.Errorf("its signature by the key %s is not right: it was changed after it was signed", print), "")
	}
	why := fmt.Errorf("it is signed by the key %s, which is none of the signers'", print)
	for _, a := range s.keys {
		if string(a.key.Marshal()) != string(key.Marshal()) {
			continue
		}
		if why = a.covers(times); why == nil {
			return a.who, nil
		}
	}
	return "", refused(why, "have it signed by one of the signers, or add the key to git.signers")
}

// allowedKey is one line of allowed signers.
type allowedKey struct {
	who           string
	key           ssh.PublicKey
	after, before time.Time // zero: no bound
	namespaces    []string  // none: all
}

// covers tells why the line does not allow a signature that counts at these times.
func (a allowedKey) covers(times []time.Time) error {
	if len(a.namespaces) > 0 && !slices.Contains(a.namespaces, gitNamespace) {
		return fmt.Errorf("it is signed by %s, whose key is not for git", a.who)
	}
	for _, t := range times {
		switch {
		case !a.after.IsZero() && t.Before(a.after):
			return fmt.Errorf("it is signed by %s with a key that is valid only after %s", a.who, a.after.Format(time.DateTime))
		case !a.before.IsZero() && !t.Before(a.before):
			return fmt.Errorf("it is signed by %s with a key that was valid only before %s", a.who, a.before.Format(time.DateTime))
		}
	}
	return nil
}
