package sshdriver

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// hostLine writes a known_hosts line.
func hostLine(marker, names string, key ssh.PublicKey) string {
	return strings.TrimSpace(marker + " " + names + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))))
}

// identityOf makes the host identity of a login from known_hosts texts.
func identityOf(t testing.TB, l *login, texts ...string) *hostIdentity {
	t.Helper()
	var files []*knownFile
	for i, text := range texts {
		f, err := parseKnownHosts(strings.NewReader(text), fmt.Sprintf("known%d", i+1))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
		l.knownHosts = append(l.knownHosts, fmt.Sprintf("known%d", i+1))
	}
	return newHostIdentity(l, files)
}

func TestWhichHostKeysAreAccepted(t *testing.T) {
	key, other := newSigner(t).PublicKey(), newSigner(t).PublicKey()
	hashed := knownhosts.HashHostname("192.0.2.11")
	hashedPort := knownhosts.HashHostname("[192.0.2.11]:2222")
	at := func(port int) *login { return &login{name: "web-1", address: "192.0.2.11", port: port} }
	cases := []struct {
		name  string
		login *login
		known []string
		want  error // nil: accepted
	}{
		{"by address", at(22), []string{hostLine("", "192.0.2.11", key)}, nil},
		{"one of several names", at(22), []string{hostLine("", "a,192.0.2.11,b", key)}, nil},
		{"by address and port", at(2222), []string{hostLine("", "[192.0.2.11]:2222", key)}, nil},
		{"hashed", at(22), []string{hostLine("", hashed, key)}, nil},
		{"hashed, with a port", at(2222), []string{hostLine("", hashedPort, key)}, nil},
		{"by a pattern", at(22), []string{hostLine("", "192.0.2.*", key)}, nil},
		{"a pattern covers other ports", at(2222), []string{hostLine("", "*", key)}, nil},
		{"a negated pattern does not", at(22), []string{hostLine("", "192.0.2.*,!192.0.2.11", key)}, &UnknownHostKeyError{}},
		{"by the inventory's name", at(22), []string{hostLine("", "web-1", key)}, nil},
		{"by the inventory's name, in capitals", &login{name: "Web-1", address: "192.0.2.11", port: 22}, []string{hostLine("", "WEB-1", key)}, nil},
		{"by the inventory's name and port", at(2222), []string{hostLine("", "[web-1]:2222", key)}, nil},
		{"known without its port", at(2222), []string{hostLine("", "192.0.2.11", key)}, nil},
		{"known without its port, another key", at(2222), []string{hostLine("", "192.0.2.11", other)}, &UnknownHostKeyError{}},
		{"port 22 is not another port", at(22), []string{hostLine("", "[192.0.2.11]:2222", key)}, &UnknownHostKeyError{}},
		{"nothing at all", at(22), []string{""}, &UnknownHostKeyError{}},
		{"another key", at(22), []string{hostLine("", "192.0.2.11", other)}, &ChangedHostKeyError{}},
		{"another key under the address is not excused by the name", at(22),
			[]string{hostLine("", "192.0.2.11", other) + "\n" + hostLine("", "web-1", key)}, &ChangedHostKeyError{}},
		{"one of two keys", at(22), []string{hostLine("", "192.0.2.11", other) + "\n" + hostLine("", "192.0.2.11", key)}, nil},
		{"in the second file", at(22), []string{hostLine("", "192.0.2.12", other), hostLine("", "192.0.2.11", key)}, nil},
		{"stale in one file, right in the other", at(22), []string{hostLine("", "192.0.2.11", other), hostLine("", "192.0.2.11", key)}, nil},
		{"revoked", at(22), []string{hostLine("", "192.0.2.11", key) + "\n" + hostLine("@revoked", "*", key)}, &RevokedHostKeyError{}},
		{"revoked in another file", at(22), []string{hostLine("", "192.0.2.11", key), hostLine("@revoked", "elsewhere", key)}, &RevokedHostKeyError{}},
		{"an authority's key is not a host's", at(22), []string{hostLine("@cert-authority", "192.0.2.11", key)}, &UnknownHostKeyError{}},
		{"by its alias", &login{name: "web-1", address: "192.0.2.11", port: 2222, alias: "the-web"}, []string{hostLine("", "the-web", key)}, nil},
		{"an alias leaves the address out", &login{name: "web-1", address: "192.0.2.11", port: 22, alias: "the-web"},
			[]string{hostLine("", "192.0.2.11", key)}, &UnknownHostKeyError{}},
		{"IPv6", &login{name: "web-1", address: "2001:db8::1", port: 22}, []string{hostLine("", "2001:db8::1", key)}, nil},
		{"IPv6 with a port", &login{name: "web-1", address: "2001:db8::1", port: 2222}, []string{hostLine("", "[2001:db8::1]:2222", key)}, nil},
		{"beside a line that cannot be read", at(22), []string{"192.0.2.11 ssh-future AAAA\n" + hostLine("", "192.0.2.11", key)}, nil},
	}
	for _, c := range cases {
		err := identityOf(t, c.login, c.known...).check("", nil, key)
		if fmt.Sprintf("%T", err) != fmt.Sprintf("%T", c.want) {
			t.Errorf("%s: got %T (%v), want %T", c.name, err, err, c.want)
		}
	}
}

func TestWhichHostCertificatesAreAccepted(t *testing.T) {
	ca, otherCA, host := newSigner(t), newSigner(t), newSigner(t)
	now := uint64(time.Now().Unix())
	make := func(change func(*ssh.Certificate)) *ssh.Certificate {
		cert := &ssh.Certificate{Key: host.PublicKey(), CertType: ssh.HostCert, KeyId: "web-1",
			ValidPrincipals: []string{"192.0.2.11", "web-1"}, ValidAfter: now - 60, ValidBefore: now + 60}
		change(cert)
		if cert.SignatureKey == nil {
			if err := cert.SignCert(rand.Reader, ca); err != nil {
				t.Fatal(err)
			}
		}
		return cert
	}
	trust := hostLine("@cert-authority", "192.0.2.*,web-*", ca.PublicKey())
	l := func() *login { return &login{name: "web-1", address: "192.0.2.11", port: 2222} }
	cases := []struct {
		name   string
		known  string
		change func(*ssh.Certificate)
		want   error
	}{
		{"right", trust, func(*ssh.Certificate) {}, nil},
		{"for its name alone", trust, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"web-1"} }, nil},
		{"for a pattern", trust, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"web-*"} }, nil},
		{"for another host", trust, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"web-2"} }, &HostCertificateError{}},
		{"for no host", trust, func(c *ssh.Certificate) { c.ValidPrincipals = nil }, &HostCertificateError{}},
		{"expired", trust, func(c *ssh.Certificate) { c.ValidBefore = now - 1 }, &HostCertificateError{}},
		{"not yet valid", trust, func(c *ssh.Certificate) { c.ValidAfter = now + 30 }, &HostCertificateError{}},
		{"a user's", trust, func(c *ssh.Certificate) { c.CertType = ssh.UserCert }, &HostCertificateError{}},
		{"with an option nobody knows", trust, func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"x": "y"} }, &HostCertificateError{}},
		{"of another authority", trust, func(c *ssh.Certificate) { _ = c.SignCert(rand.Reader, otherCA) }, &HostCertificateError{}},
		{"of an authority for other hosts", hostLine("@cert-authority", "db-*", ca.PublicKey()), func(*ssh.Certificate) {}, &HostCertificateError{}},
		{"signed and then changed", trust, func(c *ssh.Certificate) { _ = c.SignCert(rand.Reader, ca); c.Serial = 7 }, &HostCertificateError{}},
		{"its key is known by itself", hostLine("", "[192.0.2.11]:2222", host.PublicKey()), func(c *ssh.Certificate) { c.ValidBefore = now - 1 }, nil},
		{"its key is revoked", trust + "\n" + hostLine("@revoked", "*", host.PublicKey()), func(*ssh.Certificate) {}, &RevokedHostKeyError{}},
		{"its authority is revoked", trust + "\n" + hostLine("@revoked", "*", ca.PublicKey()), func(*ssh.Certificate) {}, &RevokedHostKeyError{}},
	}
	for _, c := range cases {
		err := identityOf(t, l(), c.known).check("", nil, make(c.change))
		if fmt.Sprintf("%T", err) != fmt.Sprintf("%T", c.want) {
			t.Errorf("%s: got %T (%v), want %T", c.name, err, err, c.want)
		}
	}
}

func TestOnlyKeysThatCouldBeAcceptedAreAskedFor(t *testing.T) {
	ed := newSigner(t).PublicKey()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := ssh.NewPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	l := func() *login { return &login{name: "web-1", address: "192.0.2.11", port: 22} }
	cases := []struct {
		name, known string
		want        []string
	}{
		{"ed25519", hostLine("", "192.0.2.11", ed), []string{ssh.KeyAlgoED25519}},
		{"rsa, never with SHA-1", hostLine("", "192.0.2.11", rsaKey), []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}},
		{"both, the better one first", hostLine("", "192.0.2.11", rsaKey) + "\n" + hostLine("", "192.0.2.11", ed),
			[]string{ssh.KeyAlgoED25519, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}},
		{"an authority: certificates", hostLine("@cert-authority", "*", ed), certAlgorithms},
		{"nothing: whatever it has, to show it", "", plainAlgorithms},
	}
	for _, c := range cases {
		if got := identityOf(t, l(), c.known).algorithms(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

func TestARevocationThatCannotBeReadIsNotSkipped(t *testing.T) {
	if _, err := parseKnownHosts(strings.NewReader("\n@revoked * ssh-ed25519 AAAA"), "known"); err == nil {
		t.Fatal("it was skipped")
	} else {
		wantContains(t, err.Error(), "known:2")
	}
}

// Over the wire: each refusal is typed, names file, line and fingerprint, tells how
// to mend it, and comes before any key of ours is shown.
func TestHostKeysOverTheWire(t *testing.T) {
	ca := newSigner(t)
	cases := []struct {
		name  string
		known func(*testServer) string
		check func(t *testing.T, err error)
	}{
		{"unknown", func(*testServer) string { return "# nothing\n" }, func(t *testing.T, err error) {
			var unknown *UnknownHostKeyError
			if !errors.As(err, &unknown) || !strings.HasPrefix(unknown.Fingerprint, "SHA256:") {
				t.Fatalf("got %v", err)
			}
			wantContains(t, err.Error(), "cannot connect to web-1", unknown.Fingerprint, "known_hosts")
			wantContains(t, hostdriver.MendOf(err), "ssh-keyscan -t ed25519 -p ", "127.0.0.1", "compare the fingerprint first")
		}},
		{"changed", func(s *testServer) string {
			return "# a comment\n" + knownhosts.Line([]string{s.listener.Addr().String()}, ca.PublicKey()) + "\n"
		}, func(t *testing.T, err error) {
			var changed *ChangedHostKeyError
			if !errors.As(err, &changed) {
				t.Fatalf("got %v", err)
			}
			wantContains(t, err.Error(), "HAS CHANGED", "known_hosts:2", ssh.FingerprintSHA256(ca.PublicKey()))
			wantContains(t, hostdriver.MendOf(err), "known_hosts:2")
		}},
		{"of another type", func(s *testServer) string {
			private, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			key, err := ssh.NewPublicKey(&private.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			return knownhosts.Line([]string{s.listener.Addr().String()}, key)
		}, func(t *testing.T, err error) {
			var changed *ChangedHostKeyError
			if !errors.As(err, &changed) || !slices.Contains(changed.Offered, ssh.KeyAlgoED25519) {
				t.Fatalf("got %v", err)
			}
		}},
		{"revoked", func(s *testServer) string {
			return s.knownLine() + "\n" + hostLine("@revoked", "*", s.hostKey.PublicKey())
		}, func(t *testing.T, err error) {
			var revoked *RevokedHostKeyError
			if !errors.As(err, &revoked) {
				t.Fatalf("got %v", err)
			}
			wantContains(t, err.Error(), "known_hosts:2")
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, nil)
			if err := os.WriteFile(f.known, []byte(c.known(f.server)), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := f.pool.Conn(t.Context(), f.server.target("web-1"))
			if hostdriver.KindOf(err) != hostdriver.HostKey {
				t.Fatalf("kind %q: %v", hostdriver.KindOf(err), err)
			}
			c.check(t, err)
			if n := f.server.offers.Load(); n != 0 {
				t.Errorf("%d keys were shown to a host that is not proven", n)
			}
			// A person corrects the file: the next attempt sees it.
			if err := os.WriteFile(f.known, []byte(f.server.knownLine()+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := f.pool.Conn(t.Context(), f.server.target("web-1")); err != nil {
				t.Errorf("after the correction: %v", err)
			}
		})
	}
}

func TestAHostCertificateOverTheWire(t *testing.T) {
	ca := newSigner(t)
	f := newFixture(t, []func(*testServer){func(s *testServer) {
		cert := &ssh.Certificate{Key: s.hostKey.PublicKey(), CertType: ssh.HostCert, KeyId: "web-1", ValidPrincipals: []string{"web-1"},
			ValidBefore: ssh.CertTimeInfinity}
		if err := cert.SignCert(rand.Reader, ca); err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.NewCertSigner(cert, s.hostKey)
		if err != nil {
			t.Fatal(err)
		}
		s.config.AddHostKey(signer)
	}})
	if err := os.WriteFile(f.known, []byte(hostLine("@cert-authority", "web-*", ca.PublicKey())), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.pool.Conn(t.Context(), f.server.target("web-1")); err != nil {
		t.Errorf("its own name: %v", err)
	}
	_, err := f.pool.Conn(t.Context(), f.server.target("web-2"))
	var refused *HostCertificateError
	if !errors.As(err, &refused) || hostdriver.KindOf(err) != hostdriver.HostKey {
		t.Errorf("another name: %v", err)
	}
}

func TestAKnownHostsFileThatWasAskedForMustBeThere(t *testing.T) {
	f := newFixture(t, nil, func(o *Options) { o.KnownHosts = []string{"/nonexistent/known_hosts"} })
	_, err := f.pool.Conn(t.Context(), f.server.target("web-1"))
	if hostdriver.KindOf(err) != hostdriver.HostKey || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("kind %q: %v", hostdriver.KindOf(err), err)
	}
}

func FuzzParseKnownHosts(f *testing.F) {
	key := newSigner(f).PublicKey()
	f.Add(hostLine("", "web-1,[192.0.2.1]:2222,!x*", key), "web-1")
	f.Add(hostLine("@cert-authority", "*.example.com", key), "a.example.com")
	f.Add(hostLine("@revoked", "*", key), "x")
	f.Add(hostLine("", knownhosts.HashHostname("web-1"), key), "web-1")
	f.Add("\v\n\v@revoked x", "0")
	f.Add("@unknown a b c\n|1|a|b ssh-ed25519 AAAA\n#\n\n, ssh-rsa x", "")
	f.Fuzz(func(t *testing.T, text, name string) {
		file, err := parseKnownHosts(strings.NewReader(text), "fuzz")
		if err != nil {
			return
		}
		for _, l := range file.lookup(name) {
			if l.key == nil || l.line == 0 || l.revoked {
				t.Errorf("a line without a key or place, or a revoked one, is trusted: %+v", l)
			}
		}
	})
}

func TestHostKeyChecksAreCheapInLongFiles(t *testing.T) {
	key := newSigner(t).PublicKey()
	var text strings.Builder
	const hosts = 5000
	for i := range hosts {
		text.WriteString(hostLine("", fmt.Sprintf("web-%d", i), key) + "\n")
	}
	file, err := parseKnownHosts(strings.NewReader(text.String()), "known")
	if err != nil {
		t.Fatal(err)
	}
	if len(file.scanned) != 0 || len(file.plain) != hosts {
		t.Errorf("%d lines are compared one by one, %d indexed", len(file.scanned), len(file.plain))
	}
}
