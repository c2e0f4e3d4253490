package sshdriver

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
)

// maxOffers is sshd's default MaxAuthTries. The server hangs up at the sixth key
// that it does not take, so offering more is useless.
const maxOffers = 6

const maxBanner = 2048

// authentication offers one credential after the other during one handshake.
type authentication struct {
	login       *login
	credentials *credentials
	next        int
	tried       []TriedKey
	accepted    atomic.Bool // the server asked for a signature by the key offered last
	begun       bool
	methods     []string // that the server would go on with
	banner      string
}

// callback is an ssh.ClientAuthCallback. It ends in an *AuthError, never in a loop.
func (a *authentication) callback(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	a.begun = true
	a.methods = c.AllowedMethods
	a.settle()
	if !slices.Contains(c.AllowedMethods, "publickey") {
		return nil, a.failure("")
	}
	if a.next >= len(a.credentials.list) || a.next >= maxOffers {
		return nil, a.failure("")
	}
	offer := a.credentials.list[a.next]
	a.next++
	a.tried = append(a.tried, offer.tried())
	return ssh.PublicKeys(a.watched(offer.signer)), nil
}

// settle notes what became of the key offered last.
func (a *authentication) settle() {
	if n := len(a.tried); n > 0 && a.accepted.Swap(false) {
		a.tried[n-1].Accepted = true
	}
}

func (a *authentication) failure(reason string) *AuthError {
	a.settle()
	left := len(a.credentials.list) - a.next
	return &AuthError{User: a.login.user, Address: a.login.hostport(), Methods: a.methods, Tried: a.tried,
		NotTried: left, Problems: a.credentials.problems, Banner: a.banner, Reason: reason, skipped: a.login.skipped}
}

// keepBanner keeps what the server says before login, which may say why it refuses.
func (a *authentication) keepBanner(message string) error {
	if room := maxBanner - len(a.banner); room > 0 {
		a.banner += printable(message, room)
	}
	return nil
}

// watched tells when the server asks for a signature: then it has taken the key.
func (a *authentication) watched(s ssh.Signer) ssh.Signer {
	if as, ok := s.(ssh.MultiAlgorithmSigner); ok {
		return &watchedMultiSigner{watchedSigner{as, &a.accepted}, as.Algorithms()}
	}
	if as, ok := s.(ssh.AlgorithmSigner); ok {
		return modernSigner(&watchedSigner{as, &a.accepted})
	}
	return s
}

type watchedSigner struct {
	ssh.AlgorithmSigner
	asked *atomic.Bool
}

func (w *watchedSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	w.asked.Store(true)
	return w.AlgorithmSigner.Sign(rand, data)
}

func (w *watchedSigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	w.asked.Store(true)
	return w.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
}

type watchedMultiSigner struct {
	watchedSigner
	algorithms []string
}

func (w *watchedMultiSigner) Algorithms() []string { return w.algorithms }

// TriedKey is a key that was offered. Only public halves are ever named.
type TriedKey struct {
	Source      string // the file, or "agent: comment"
	KeyType     string
	Fingerprint string // SHA256:…
	Accepted    bool   // the server took the key, and still did not let us in
}

// AuthError: the host is the right one and did not let us in. It is not tried again
// until a person has changed something.
type AuthError struct {
	User     string
	Address  string
	Methods  []string // that the server offered in the end
	Tried    []TriedKey
	NotTried int      // keys beyond the server's usual limit of attempts
	Problems []string // keys that could not be used, and why
	Banner   string   // what the server said before login
	Reason   string   // of the refusal, where it is known
	NoKey    bool     // there is none to offer, so it was not even dialled
	skipped  []string
}

func (e *AuthError) Error() string {
	var b strings.Builder
	if e.NoKey {
		fmt.Fprintf(&b, "%s was not even tried as %s", e.Address, e.User)
	} else {
		fmt.Fprintf(&b, "%s does not let %s in", e.Address, e.User)
	}
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	if len(e.Methods) > 0 {
		fmt.Fprintf(&b, "; it takes %s", strings.Join(e.Methods, ", "))
	}
	if len(e.Tried) == 0 {
		b.WriteString("; no key to offer")
	} else {
		var tried []string
		for _, k := range e.Tried {
			s := fmt.Sprintf("%s %s (%s)", k.KeyType, k.Fingerprint, k.Source)
			if k.Accepted {
				s += ", which it took"
			}
			tried = append(tried, s)
		}
		fmt.Fprintf(&b, "; offered %s", strings.Join(tried, ", "))
	}
	if e.NotTried > 0 && len(e.Tried) > 0 {
		fmt.Fprintf(&b, "; %d more not offered", e.NotTried)
	}
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "; %s", p)
	}
	if e.Banner != "" {
		fmt.Fprintf(&b, "; it said: %s", e.Banner)
	}
	return b.String()
}

func (e *AuthError) mend() string {
	var s string
	took := slices.ContainsFunc(e.Tried, func(k TriedKey) bool { return k.Accepted })
	switch {
	case len(e.Tried) == 0 && len(e.Methods) > 0 && !slices.Contains(e.Methods, "publickey"):
		s = "allow keys in its sshd_config: PubkeyAuthentication yes"
	case len(e.Tried) == 0:
		s = "name a key with --identity FILE, or load one: ssh-add FILE"
	case took:
		s = fmt.Sprintf("the key is right; see AuthenticationMethods in its sshd_config, and whether the account %s is locked or expired", e.User)
	case e.NotTried > 0:
		s = "name the right key with --identity FILE, for servers allow six attempts"
	default:
		s = fmt.Sprintf("put the public key into ~%s/.ssh/authorized_keys there, or name the right key (--identity FILE) or user (--ssh-user NAME); sshd's reason is in its journal: journalctl -u ssh", e.User)
	}
	if len(e.skipped) > 0 {
		s += "; not evaluated in ssh_config: " + strings.Join(firstN(e.skipped, 3), ", ")
	}
	return s
}

// printable returns at most limit bytes (which must be 8 or more) of a host's words, on one line, without
// anything that a terminal would act on.
func printable(s string, limit int) string {
	var b strings.Builder
	blank := false
	const most = len(" ") + utf8.UTFMax + len("…") // that one more round can write
	for _, r := range s {
		if b.Len()+most > limit {
			b.WriteString("…")
			break
		}
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || (r >= 0x80 && r < 0xa0) || r == '\ufffd' || r == ' ' {
			blank = b.Len() > 0
			continue
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
