package sshdriver

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// hostKeyProblem is what the errors about host keys have in common.
type hostKeyProblem struct {
	Host        string // the inventory's name
	Address     string // as dialled
	Port        int
	KeyType     string // of the key that was shown; "" if none was
	Fingerprint string // SHA256:…
	Line        string // the known_hosts line that would accept the key
	jumped      bool
	aliased     bool
}

func (id *hostIdentity) problem(key ssh.PublicKey) hostKeyProblem {
	l := id.login
	p := hostKeyProblem{Host: l.name, Address: l.address, Port: l.port, jumped: l.via != nil, aliased: l.alias != ""}
	if key != nil {
		name := knownName(strings.ToLower(l.address), l.port)
		if l.alias != "" {
			name = l.alias
		}
		p.KeyType, p.Fingerprint = key.Type(), ssh.FingerprintSHA256(key)
		p.Line = name + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	}
	return p
}

func (p hostKeyProblem) place() string {
	return knownName(p.Address, p.Port)
}

// compare tells how to see the host's true fingerprint without trusting the network.
func (p hostKeyProblem) compare() string {
	return fmt.Sprintf("on the host's console run: ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub", shortKeyType(p.KeyType))
}

// accept is the command that adds the key to a file. Where ssh-keyscan would not
// reach the host, or would write it under another name, the line itself is added.
func (p hostKeyProblem) accept(file string) string {
	if p.jumped || p.aliased {
		return fmt.Sprintf("echo '%s' >> %s", p.Line, file)
	}
	return fmt.Sprintf("ssh-keyscan -t %s -p %d %s >> %s", shortKeyType(p.KeyType), p.Port, p.Address, file)
}

func shortKeyType(t string) string {
	switch {
	case strings.HasPrefix(t, "ecdsa"):
		return "ecdsa"
	case t == ssh.KeyAlgoRSA:
		return "rsa"
	default:
		return "ed25519"
	}
}

// KnownKey is a host key that a known_hosts file lists.
type KnownKey struct {
	Place       string // file:line
	KeyType     string
	Fingerprint string
	Authority   bool // @cert-authority
}

func knownKeys(lines []*knownLine) []KnownKey {
	var all []KnownKey
	for _, l := range lines {
		all = append(all, KnownKey{Place: l.place(), KeyType: l.key.Type(), Fingerprint: ssh.FingerprintSHA256(l.key), Authority: l.authority})
	}
	return all
}

// UnknownHostKeyError: no file lists a key for the host. Nothing speaks against the
// key either; a person must compare fingerprints once.
type UnknownHostKeyError struct {
	hostKeyProblem
	Files  []string // that were asked
	Unread []string // lines that could not be read: "file:line: why"
}

func (e *UnknownHostKeyError) Error() string {
	s := fmt.Sprintf("host key of %s is not known: it shows %s %s, and there is no line for it in %s",
		e.place(), e.KeyType, e.Fingerprint, strings.Join(e.Files, ", "))
	if len(e.Unread) > 0 {
		s += " (lines that could not be read: " + strings.Join(firstN(e.Unread, 3), "; ") + ")"
	}
	return s
}

func (e *UnknownHostKeyError) mend() string {
	file := "~/.ssh/known_hosts"
	if len(e.Files) > 0 {
		file = filepath.Clean(e.Files[0])
	}
	return fmt.Sprintf("compare the fingerprint first (%s), only then: %s", e.compare(), e.accept(file))
}

// ChangedHostKeyError: the host shows another key than the one known for it. It was
// installed anew, or it is another host, or someone sits in between.
type ChangedHostKeyError struct {
	hostKeyProblem
	Known   []KnownKey
	Offered []string // where the host has no key of a known type: the types it has
}

func (e *ChangedHostKeyError) Error() string {
	var known []string
	for _, k := range e.Known {
		known = append(known, fmt.Sprintf("%s %s (%s)", k.KeyType, k.Fingerprint, k.Place))
	}
	shown := "it shows " + e.KeyType + " " + e.Fingerprint
	if e.Fingerprint == "" {
		shown = "it has only keys of other types: " + strings.Join(e.Offered, ", ")
	}
	return fmt.Sprintf("HOST KEY of %s HAS CHANGED: %s, but known is %s", e.place(), shown, strings.Join(known, ", "))
}

func (e *ChangedHostKeyError) mend() string {
	var places []string
	for _, k := range e.Known {
		places = append(places, k.Place)
	}
	return fmt.Sprintf("nothing was sent to it. If the host was installed anew, compare fingerprints (%s), then replace %s; if not, find out who answers at %s",
		e.compare(), strings.Join(places, ", "), e.Address)
}

// RevokedHostKeyError: the key, or the authority that signed it, is @revoked.
type RevokedHostKeyError struct {
	hostKeyProblem
	Place string // file:line of the revocation
}

func (e *RevokedHostKeyError) Error() string {
	return fmt.Sprintf("host key of %s is revoked: %s %s, by %s", e.place(), e.KeyType, e.Fingerprint, e.Place)
}

func (e *RevokedHostKeyError) mend() string {
	return "nothing was sent to it. Give the host a new host key (rm /etc/ssh/ssh_host_*_key*; ssh-keygen -A; systemctl restart ssh) and make that one known"
}

// HostCertificateError: the host shows a certificate that is not acceptable, and the
// key in it is not known by itself.
type HostCertificateError struct {
	hostKeyProblem
	Authority string // fingerprint of the key that signed it
	Err       error
}

func (e *HostCertificateError) Error() string {
	return fmt.Sprintf("host certificate of %s (%s, signed by %s) is not accepted: %v", e.place(), e.Fingerprint, e.Authority, e.Err)
}

func (e *HostCertificateError) Unwrap() error { return e.Err }

func (e *HostCertificateError) mend() string {
	return "sign the host's key anew for its name: ssh-keygen -s CA -I NAME -h -n NAME -V +52w ssh_host_ed25519_key.pub; an authority is made known with a line: @cert-authority NAME KEY"
}

func firstN(list []string, n int) []string {
	if len(list) <= n {
		return list
	}
	return append(list[:n:n], fmt.Sprintf("and %d more", len(list)-n))
}
