package gitrepo

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/crypto/ssh"
)

// Signers are whose signatures count.
type Signers struct {
	keys []allowedKey
	pgp  openpgp.EntityList
}

const (
	pgpBegin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	pgpEnd   = "-----END PGP PUBLIC KEY BLOCK-----"
)

// ParseSigners reads a file of signers: lines as in ssh-keygen(1), ALLOWED SIGNERS, and
// armored OpenPGP public keys among them. What cannot be understood is an error that names
// its line: a line that was passed over might have been the one that limits a key.
func ParseSigners(text []byte) (*Signers, error) {
	s := &Signers{}
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		switch {
		case line == "" || line[0] == '#':
		case line == pgpBegin:
			end := i
			for end < len(lines) && strings.TrimSpace(lines[end]) != pgpEnd {
				end++
			}
			if end == len(lines) {
				return nil, fmt.Errorf("line %d: the OpenPGP key has no end", i+1)
			}
			block := strings.Join(lines[i:end+1], "\n")
			keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(block))
			if err != nil {
				return nil, fmt.Errorf("line %d: not an OpenPGP public key: %w", i+1, err)
			}
			for _, k := range keys {
				if k.PrivateKey != nil {
					return nil, fmt.Errorf("line %d: it holds a private key, which nobody but its owner should have", i+1)
				}
			}
			s.pgp = append(s.pgp, keys...)
			i = end
		default:
			k, err := parseAllowed(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			s.keys = append(s.keys, k)
		}
	}
	if len(s.keys)+len(s.pgp) == 0 {
		return nil, errors.New("it names nobody")
	}
	return s, nil
}

// parseAllowed reads PRINCIPALS [OPTIONS] KEYTYPE KEY [COMMENT].
func parseAllowed(line string) (allowedKey, error) {
	who, rest, ok := cutField(line)
	if !ok {
		return allowedKey{}, errors.New("it is not: NAME KEYTYPE KEY")
	}
	a := allowedKey{who: oneLine(who, maxName)}
	key, _, options, trailing, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil || len(options) > 0 { // something stands in between
		words, keyText, ok := cutField(rest)
		if !ok {
			return a, errors.New("it has no key")
		}
		if err := a.options(words); err != nil {
			return a, err
		}
		if key, _, options, trailing, err = ssh.ParseAuthorizedKey([]byte(keyText)); err != nil || len(options) > 0 {
			return a, errors.New("its key cannot be read")
		}
	}
	if len(bytes.TrimSpace(trailing)) > 0 {
		return a, errors.New("there is more than one key on it")
	}
	if _, isCert := key.(*ssh.Certificate); isCert {
		return a, errors.New("it is a certificate, and not a key")
	}
	a.key = key
	return a, nil
}

// cutField cuts the first field off, in which blanks may stand in double quotes.
func cutField(s string) (field, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	quoted := false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			return s[:i], strings.TrimLeft(s[i:], " \t"), true
		}
	}
	return s, "", false
}

// options reads namespaces="…",valid-after="…",valid-before="…".
func (a *allowedKey) options(text string) error {
	for len(text) > 0 {
		name, rest, hasValue := strings.Cut(text, "=")
		if comma, _, more := strings.Cut(text, ","); more && len(comma) < len(name) || !hasValue {
			name = comma
			return fmt.Errorf("the option %q is not known here", oneLine(name, 40))
		}
		if !strings.HasPrefix(rest, `"`) {
			return fmt.Errorf("the option %s has no value in quotes", oneLine(name, 40))
		}
		value, after, closed := strings.Cut(rest[1:], `"`)
		if !closed {
			return fmt.Errorf("the value of %s has no end", oneLine(name, 40))
		}
		if err := a.option(strings.ToLower(name), value); err != nil {
			return err
		}
		if text = strings.TrimPrefix(after, ","); len(after) > 0 && after == text {
			return errors.New("there is no comma between two options")
		}
	}
	return nil
}

func (a *allowedKey) option(name, value string) (err error) {
	switch name {
	case "namespaces":
		a.namespaces = strings.Split(value, ",")
	case "valid-after":
		a.after, err = parseSSHTime(value)
	case "valid-before":
		a.before, err = parseSSHTime(value)
	default:
		err = fmt.Errorf("the option %q is not known here", oneLine(name, 40))
	}
	return err
}

// parseSSHTime reads YYYYMMDD[HHMM[SS]][Z]; without Z it is local time.
func parseSSHTime(s string) (time.Time, error) {
	digits, utc := strings.CutSuffix(strings.ToUpper(s), "Z")
	zone := time.Local
	if utc {
		zone = time.UTC
	}
	layouts := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}
	t, err := time.ParseInLocation(layouts[len(digits)], digits, zone)
	if err != nil || layouts[len(digits)] == "" {
		return time.Time{}, fmt.Errorf("%q is no time such as 20260131Z", oneLine(s, 40))
	}
	return t, nil
}

// verifyPGP tells whose OpenPGP signature it is.
func (s *Signers) verifyPGP(payload, text []byte, times []time.Time) (string, error) {
	why := errors.New("it is signed by an OpenPGP key that is none of the signers'")
	var who string
	for _, t := range times {
		at := t
		config := &packet.Config{Time: func() time.Time { return at }}
		entity, err := openpgp.CheckArmoredDetachedSignature(s.pgp, bytes.NewReader(payload), bytes.NewReader(text), config)
		switch {
		case errors.Is(err, pgperrors.ErrUnknownIssuer):
			return "", refused(why, "have it signed by one of the signers, or add the key to git.signers")
		case errors.Is(err, pgperrors.ErrKeyExpired), errors.Is(err, pgperrors.ErrKeyRevoked), errors.Is(err, pgperrors.ErrSignatureExpired):
			return "", refused(fmt.Errorf("its OpenPGP signature does not count: %w", err), "sign it with a key that is valid")
		case err != nil:
			return "", refused(fmt.Errorf("its OpenPGP signature is not right: %w", err), "")
		}
		who = pgpName(entity)
	}
	return who, nil
}

func pgpName(e *openpgp.Entity) string {
	if id := e.PrimaryIdentity(); id != nil {
		return oneLine(id.Name, maxName)
	}
	return fmt.Sprintf("%X", e.PrimaryKey.Fingerprint)
}
