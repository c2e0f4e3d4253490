package sshdriver

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// hostIdentity is what is known of one host before it is dialled, and judges the key
// that it then shows. Nothing is ever learnt by itself: an unknown key is refused,
// whatever StrictHostKeyChecking says in ssh_config.
//
// Keys are looked up under HostKeyAlias alone where ssh_config sets one; otherwise
// under the address that is dialled and, where nothing is known of that, under the
// inventory's name. So a key that changed under its address is never excused by
// another one under the name.
type hostIdentity struct {
	login   *login
	names   []lookupName
	files   []*knownFile
	revoked []*knownLine
}

// lookupName is one name of a host. A host certificate must have it as a principal.
type lookupName struct {
	principal string
	plain     []*knownLine // keys of the host itself, known under the name and port
	authority []*knownLine // authorities trusted for it
	// portless are keys known under the name without its port. As for ssh, they can
	// confirm a host that listens elsewhere than on port 22, and not refute it.
	portless []*knownLine
}

func newHostIdentity(l *login, files []*knownFile) *hostIdentity {
	id := &hostIdentity{login: l, files: files}
	for _, f := range files {
		id.revoked = append(id.revoked, f.revoked...)
	}
	if l.alias != "" {
		id.names = []lookupName{lookupKnown(files, l.alias, 22)}
		return id
	}
	id.names = []lookupName{lookupKnown(files, l.address, l.port)}
	if l.name != l.address && validHostName(l.name) {
		id.names = append(id.names, lookupKnown(files, l.name, l.port))
	}
	return id
}

func validHostName(s string) bool { return s != "" && !strings.ContainsAny(s, " \t,|*?![]") }

func lookupKnown(files []*knownFile, host string, port int) lookupName {
	n := lookupName{principal: strings.ToLower(host)}
	for _, f := range files {
		for _, l := range f.lookup(knownName(n.principal, port)) {
			if l.authority {
				n.authority = append(n.authority, l)
			} else {
				n.plain = append(n.plain, l)
			}
		}
		if port == 22 {
			continue
		}
		for _, l := range f.lookup(n.principal) {
			if l.authority {
				n.authority = append(n.authority, l)
			} else {
				n.portless = append(n.portless, l)
			}
		}
	}
	return n
}

// knownName is how known_hosts spells a host and port.
func knownName(host string, port int) string {
	if port == 22 {
		return host
	}
	return "[" + host + "]:" + strconv.Itoa(port)
}

// plainAlgorithms are those accepted for host keys, best first.
var plainAlgorithms = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
}

var certAlgorithms = []string{
	ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
	ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
}

// algorithms returns what to ask the host for: only such keys as could be accepted.
// Of a host of which nothing is known, any key will do for the error to show.
func (id *hostIdentity) algorithms() []string {
	var all []string
	for _, n := range id.names {
		if len(n.authority) > 0 {
			all = append(all, certAlgorithms...)
			break
		}
	}
	known := id.knownTypes()
	for _, a := range plainAlgorithms {
		if slices.Contains(known, keyTypeOf(a)) {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return plainAlgorithms
	}
	return all
}

func (id *hostIdentity) knownTypes() []string {
	var types []string
	for _, n := range id.names {
		for _, l := range slices.Concat(n.plain, n.portless) {
			types = append(types, l.key.Type())
		}
	}
	return types
}

// keyTypeOf returns the type of key that makes signatures of an algorithm.
func keyTypeOf(algorithm string) string {
	if algorithm == ssh.KeyAlgoRSASHA256 || algorithm == ssh.KeyAlgoRSASHA512 {
		return ssh.KeyAlgoRSA
	}
	return algorithm
}

// check is an ssh.HostKeyCallback. Its errors are of the types in hostkeyerror.go.
func (id *hostIdentity) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	cert, isCert := key.(*ssh.Certificate)
	if err := id.checkRevoked(key, cert); err != nil {
		return err
	}
	if !isCert {
		return id.checkPlain(key)
	}
	problem := id.checkCertificate(cert)
	if problem == nil {
		return nil
	}
	// As for ssh, the key in a certificate that is not accepted may be known itself.
	err := id.checkPlain(cert.Key)
	if err == nil {
		return nil
	}
	return &HostCertificateError{hostKeyProblem: id.problem(cert.Key), Authority: ssh.FingerprintSHA256(cert.SignatureKey), Err: problem}
}

// checkRevoked compares with every @revoked key, whichever hosts it is listed for.
func (id *hostIdentity) checkRevoked(key ssh.PublicKey, cert *ssh.Certificate) error {
	shown := []ssh.PublicKey{key}
	if cert != nil {
		shown = []ssh.PublicKey{cert.Key, cert.SignatureKey}
	}
	for _, k := range shown {
		for _, l := range id.revoked {
			if sameKey(l.key, k) {
				return &RevokedHostKeyError{hostKeyProblem: id.problem(k), Place: l.place()}
			}
		}
	}
	return nil
}

func (id *hostIdentity) checkPlain(key ssh.PublicKey) error {
	for _, n := range id.names {
		if slices.ContainsFunc(n.plain, func(l *knownLine) bool { return sameKey(l.key, key) }) {
			return nil
		}
		if len(n.plain) > 0 {
			return &ChangedHostKeyError{hostKeyProblem: id.problem(key), Known: knownKeys(n.plain)}
		}
		if slices.ContainsFunc(n.portless, func(l *knownLine) bool { return sameKey(l.key, key) }) {
			return nil
		}
	}
	return &UnknownHostKeyError{hostKeyProblem: id.problem(key), Files: id.login.knownHosts, Unread: id.unread()}
}

// checkCertificate accepts what an authority for one of the host's names signed for
// that very name, and that is valid now.
func (id *hostIdentity) checkCertificate(cert *ssh.Certificate) error {
	if cert.CertType != ssh.HostCert {
		return errors.New("it is not a host's certificate")
	}
	var problem error
	for _, n := range id.names {
		if !slices.ContainsFunc(n.authority, func(l *knownLine) bool { return sameKey(l.key, cert.SignatureKey) }) {
			continue
		}
		// A principal may be a pattern, as for ssh. A certificate without any would
		// do for every host, and is refused.
		i := slices.IndexFunc(cert.ValidPrincipals, func(p string) bool { return matchPattern(strings.ToLower(p), n.principal) })
		if i < 0 {
			problem = fmt.Errorf("it is for %q, not for %s", cert.ValidPrincipals, n.principal)
			continue
		}
		checker := ssh.CertChecker{Clock: time.Now}
		if problem = checker.CheckCert(cert.ValidPrincipals[i], cert); problem == nil {
			return nil
		}
	}
	if problem == nil {
		problem = errors.New("its authority is not known for this host")
	}
	return problem
}

// mismatch is the error for a host that offers no key of a type known for it.
func (id *hostIdentity) mismatch(offered []string) *ChangedHostKeyError {
	var known []*knownLine
	for _, n := range id.names {
		known = append(known, slices.Concat(n.plain, n.portless, n.authority)...)
	}
	return &ChangedHostKeyError{hostKeyProblem: id.problem(nil), Known: knownKeys(known), Offered: offered}
}

func (id *hostIdentity) unread() []string {
	var all []string
	for _, f := range id.files {
		all = append(all, f.bad...)
	}
	return all
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }
