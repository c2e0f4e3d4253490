package sshdriver

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// startAgent serves a keyring on a socket.
func startAgent(t testing.TB) (string, agent.Agent) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ek") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	keyring := agent.NewKeyring()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = agent.ServeAgent(keyring, c)
				_ = c.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return socket, keyring
}

func TestLoginWithAnAgent(t *testing.T) {
	f := newFixture(t, nil)
	socket, keyring := startAgent(t)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	f.server.authorize(signer.PublicKey())
	home := t.TempDir()
	t.Setenv("HOME", home)
	pool := newPool(t, func(o *Options) { o.Agent, o.KnownHosts = socket, []string{f.known} })
	_, err = pool.Conn(t.Context(), f.server.target("web-1"))
	if hostdriver.KindOf(err) != hostdriver.Unauthorized {
		t.Fatalf("an empty agent: kind %q: %v", hostdriver.KindOf(err), err)
	}
	wantContains(t, err.Error(), "no key to offer", "not even tried")
	wantContains(t, hostdriver.MendOf(err), "ssh-add")
	if n := f.server.accepted.Load(); n != 0 {
		t.Errorf("dialled %d times without a key", n)
	}
	if err := keyring.Add(agent.AddedKey{PrivateKey: private, Comment: "ops key"}); err != nil {
		t.Fatal(err)
	}
	// What a person gives to the agent is noticed without Reset.
	if _, err := pool.Conn(t.Context(), f.server.target("web-1")); err != nil {
		t.Fatal(err)
	}
}

func TestAnEncryptedKeyIsUsedThroughTheAgent(t *testing.T) {
	f := newFixture(t, nil)
	path, public := newIdentity(t, "secret passphrase")
	f.server.authorize(public)
	pool := newPool(t, func(o *Options) { o.IdentityFiles, o.KnownHosts = []string{path}, []string{f.known} })
	_, err := pool.Conn(t.Context(), f.server.target("web-1"))
	if hostdriver.KindOf(err) != hostdriver.Unauthorized {
		t.Fatalf("kind %q: %v", hostdriver.KindOf(err), err)
	}
	wantContains(t, err.Error(), "passphrase", "ssh-add "+path)

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKeyWithPassphrase(text, []byte("secret passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	socket, keyring := startAgent(t)
	for range 7 { // keys that would use up all attempts, were they offered
		if err := keyring.Add(agent.AddedKey{PrivateKey: newRawKey(t)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	pool = newPool(t, func(o *Options) { o.IdentityFiles, o.KnownHosts, o.Agent = []string{path}, []string{f.known}, socket })
	before := f.server.offers.Load()
	if _, err := pool.Conn(t.Context(), f.server.target("web-1")); err != nil {
		t.Fatal(err)
	}
	// The question whether the key would do, and the signature.
	if n := f.server.offers.Load() - before; n > 2 {
		t.Errorf("%d keys were offered, not only the one that was named", n)
	}
	// Its public half names it as well.
	public2 := writeFile(t, "id.pub", string(ssh.MarshalAuthorizedKey(public)))
	pool = newPool(t, func(o *Options) {
		o.IdentityFiles, o.KnownHosts, o.Agent = []string{public2}, []string{f.known}, socket
	})
	if _, err := pool.Conn(t.Context(), f.server.target("web-1")); err != nil {
		t.Error(err)
	}
}

func newRawKey(t testing.TB) any {
	t.Helper()
	path, _ := newIdentity(t, "")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestNoMoreKeysAreOfferedThanServersAllow(t *testing.T) {
	f := newFixture(t, nil)
	socket, keyring := startAgent(t)
	for range 9 {
		if err := keyring.Add(agent.AddedKey{PrivateKey: newRawKey(t)}); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", t.TempDir())
	pool := newPool(t, func(o *Options) { o.Agent, o.KnownHosts = socket, []string{f.known} })
	_, err := pool.Conn(t.Context(), f.server.target("web-1"))
	var refused *AuthError
	if !errors.As(err, &refused) || hostdriver.KindOf(err) != hostdriver.Unauthorized {
		t.Fatalf("kind %q: %v", hostdriver.KindOf(err), err)
	}
	if len(refused.Tried) != maxOffers || refused.NotTried != 3 {
		t.Errorf("%d tried, %d not", len(refused.Tried), refused.NotTried)
	}
	wantContains(t, hostdriver.MendOf(err), "--identity")
}

func TestLoginWithAUserCertificate(t *testing.T) {
	ca := newSigner(t)
	f := newFixture(t, []func(*testServer){func(s *testServer) { s.userCA = ca.PublicKey() }})
	path, public := newIdentity(t, "")
	sign := func(before uint64, file string) {
		cert := &ssh.Certificate{Key: public, CertType: ssh.UserCert, KeyId: "ops", ValidPrincipals: []string{"deploy"}, ValidBefore: before}
		if err := cert.SignCert(rand.Reader, ca); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, ssh.MarshalAuthorizedKey(cert), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sign(uint64(time.Now().Add(-time.Hour).Unix()), path+"-cert.pub")
	pool := newPool(t, func(o *Options) { o.IdentityFiles, o.KnownHosts = []string{path}, []string{f.known} })
	_, err := pool.Conn(t.Context(), f.server.target("web-1"))
	if hostdriver.KindOf(err) != hostdriver.Unauthorized {
		t.Fatalf("expired: kind %q: %v", hostdriver.KindOf(err), err)
	}
	wantContains(t, err.Error(), "certificate expired at")
	sign(ssh.CertTimeInfinity, path+"-cert.pub")
	if _, err := pool.Conn(t.Context(), f.server.target("web-1")); err != nil {
		t.Fatalf("beside the key: %v", err)
	}
	// As a CertificateFile of its own.
	elsewhere := filepath.Join(t.TempDir(), "ops-cert.pub")
	if err := os.Rename(path+"-cert.pub", elsewhere); err != nil {
		t.Fatal(err)
	}
	config := writeFile(t, "config", fmt.Sprintf("Host web-1\n IdentityFile %s\n CertificateFile %s\n", path, elsewhere))
	pool = newPool(t, func(o *Options) { o.ConfigFile, o.KnownHosts = config, []string{f.known} })
	if _, err := pool.Conn(t.Context(), f.server.target("web-1")); err != nil {
		t.Fatalf("as CertificateFile: %v", err)
	}
}

func TestAKeyThatOthersCanReadIsRefused(t *testing.T) {
	f := newFixture(t, nil)
	if err := os.Chmod(f.identity, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := f.pool.Conn(t.Context(), f.server.target("web-1"))
	if hostdriver.KindOf(err) != hostdriver.Unauthorized {
		t.Fatalf("kind %q: %v", hostdriver.KindOf(err), err)
	}
	wantContains(t, err.Error(), "0640", "chmod 600")
}

func TestARefusedLoginSaysWhoWhereAndWithWhat(t *testing.T) {
	f := newFixture(t, []func(*testServer){func(s *testServer) {
		s.config.BannerCallback = func(ssh.ConnMetadata) string { return "Authorised users\nonly\x1b[2J\x07" }
	}})
	path, public := newIdentity(t, "")
	pool := newPool(t, func(o *Options) {
		o.IdentityFiles, o.KnownHosts = []string{path, "/nonexistent/key"}, []string{f.known}
	})
	_, err := pool.Conn(t.Context(), f.server.target("web-1"))
	wantContains(t, err.Error(), "cannot connect to web-1", "deploy", fmt.Sprintf("127.0.0.1:%d", f.server.port()),
		ssh.FingerprintSHA256(public), path, "publickey", "/nonexistent/key", "Authorised users only [2J")
	if strings.ContainsAny(err.Error(), "\x1b\n\x07") {
		t.Errorf("%q would act on a terminal", err)
	}
	wantContains(t, hostdriver.MendOf(err), "~deploy/.ssh/authorized_keys")
	text, readErr := os.ReadFile(path)
	if readErr != nil {
		t.Fatal(readErr)
	}
	block, _ := pem.Decode(text)
	if strings.Contains(err.Error(), string(text)) || strings.Contains(fmt.Sprintf("%+v", err), string(block.Bytes)) {
		t.Error("the error holds the private key")
	}
}

func TestAServerThatTakesNoKeysSaysSo(t *testing.T) {
	f := newFixture(t, []func(*testServer){func(s *testServer) {
		s.config.PublicKeyCallback = nil
		s.config.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, errors.New("no") }
		s.config.AddHostKey(s.hostKey)
	}})
	_, err := f.pool.Conn(t.Context(), f.server.target("web-1"))
	if hostdriver.KindOf(err) != hostdriver.Unauthorized {
		t.Fatalf("kind %q: %v", hostdriver.KindOf(err), err)
	}
	wantContains(t, err.Error(), "it takes password")
	wantContains(t, hostdriver.MendOf(err), "PubkeyAuthentication yes")
}

func TestASecondFactorIsNamed(t *testing.T) {
	f := newFixture(t, []func(*testServer){func(s *testServer) {
		inner := s.config.PublicKeyCallback
		s.config.PublicKeyCallback = func(c ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			if _, err := inner(c, k); err != nil {
				return nil, err
			}
			return nil, &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{
				KeyboardInteractiveCallback: func(ssh.ConnMetadata, ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
					return nil, errors.New("no")
				}}}
		}
	}})
	_, err := f.pool.Conn(t.Context(), f.server.target("web-1"))
	if hostdriver.KindOf(err) != hostdriver.Unauthorized {
		t.Fatalf("kind %q: %v", hostdriver.KindOf(err), err)
	}
	wantContains(t, err.Error(), "which it took", "keyboard-interactive")
	wantContains(t, hostdriver.MendOf(err), "AuthenticationMethods")
}

// A host that starts or goes down refuses users for a while; that needs no person.
func TestAHostThatIsStartingIsOnlyUnreachable(t *testing.T) {
	f := newFixture(t, []func(*testServer){func(s *testServer) {
		s.config.BannerCallback = func(ssh.ConnMetadata) string {
			return "System is booting up. Unprivileged users are not permitted to log in yet. Please come back later. For technical details, see pam_nologin(8)."
		}
		s.config.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, errors.New("no") }
	}})
	_, err := f.pool.Conn(t.Context(), f.server.target("web-1"))
	if hostdriver.KindOf(err) != hostdriver.Unreachable {
		t.Errorf("kind %q: %v", hostdriver.KindOf(err), err)
	}
}
