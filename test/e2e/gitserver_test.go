package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// gitServer is git's own server on an address of the lab: over SSH, by OpenSSH and
// git-shell, and over HTTPS, by git-http-backend.
type gitServer struct {
	t       *testing.T
	dir     string // the bare repository fleet.git, keys
	address string
	port    int    // of sshd
	https   string // URL of the repository
	token   string // for https
	authority
}

// authority signs the lab's certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue makes a certificate for an address, and its key.
func (a authority) issue(t *testing.T, address string) (cert, key []byte) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: address}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.ParseIP(address)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, of, a.cert, &own.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

func (g *gitServer) file(name string) string { return filepath.Join(g.dir, name) }

func (g *gitServer) write(name, text string, mode os.FileMode) {
	g.t.Helper()
	if err := os.WriteFile(g.file(name), []byte(text), mode); err != nil {
		g.t.Fatal(err)
	}
}

// startGit starts both servers on that address of this machine. A developer's key is let
// in; letIn lets in others.
func startGit(t *testing.T, address string) *gitServer {
	t.Helper()
	for _, tool := range []string{"git", "/usr/sbin/sshd", "ssh-keygen", "curl", "perl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: make test-needs", tool)
		}
	}
	g := &gitServer{t: t, dir: t.TempDir(), address: address, token: "a-token-that-may-read", authority: newAuthority(t)}
	if out, err := exec.Command("git", "init", "-q", "--bare", "-b", "main", g.file("fleet.git")).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v: %s", err, out)
	}
	for _, key := range []string{"host_key", "developer"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", g.file(key)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	g.write("authorized_keys", "", 0o600)
	public, err := os.ReadFile(g.file("developer.pub"))
	if err != nil {
		t.Fatal(err)
	}
	g.letIn(string(public))
	g.startSSH()
	g.startHTTPS()
	return g
}

// letIn gives a key the right to use git there, and nothing else.
func (g *gitServer) letIn(public string) {
	g.t.Helper()
	f, err := os.OpenFile(g.file("authorized_keys"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		g.t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "restrict,command=\"git shell -c \\\"$SSH_ORIGINAL_COMMAND\\\"\" %s\n", strings.TrimSpace(public)); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gitServer) startSSH() {
	g.t.Helper()
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		g.t.Fatal(err)
	}
	l, err := net.Listen("tcp", g.address+":0")
	if err != nil {
		g.t.Fatal(err)
	}
	g.port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	g.write("sshd_config", strings.Join([]string{"Port " + strconv.Itoa(g.port), "ListenAddress " + g.address, "HostKey " + g.file("host_key"), "PidFile none",
		"AuthorizedKeysFile " + g.file("authorized_keys"), "StrictModes no", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"PermitRootLogin forced-commands-only", "UsePAM no", ""}, "\n"), 0o600)
	var log bytes.Buffer
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", g.file("sshd_config"))
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if g.t.Failed() {
			g.t.Logf("git's sshd said:\n%s", log.String())
		}
	})
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", net.JoinHostPort(g.address, strconv.Itoa(g.port)))
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("git's sshd does not listen: %v", err)
		}
	}
}

func (g *gitServer) startHTTPS() {
	g.t.Helper()
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		g.t.Fatal(err)
	}
	backend := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"), Env: []string{"GIT_PROJECT_ROOT=" + g.dir, "GIT_HTTP_EXPORT_ALL=1",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}}
	cert, key := g.issue(g.t, g.address)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		g.t.Fatal(err)
	}
	l, err := tls.Listen("tcp", g.address+":0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		g.t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != g.token {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	})}
	go func() { _ = s.Serve(l) }()
	g.t.Cleanup(func() { _ = s.Close() })
	g.https = "https://" + l.Addr().String() + "/fleet.git"
}

// url is the repository's over SSH.
func (g *gitServer) url() string {
	return fmt.Sprintf("ssh://root@%s:%d%s", g.address, g.port, g.file("fleet.git"))
}

// sshCommand is for git on a developer's machine.
func (g *gitServer) sshCommand() string {
	return fmt.Sprintf("ssh -F none -i %s -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR", g.file("developer"))
}
