package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serving serves what the options say until the test's end.
func (f *fixture) serving() *Listeners {
	f.t.Helper()
	l, err := f.Listen()
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				f.t.Error(err)
			}
		case <-time.After(10 * time.Second):
			f.t.Error("it does not end")
		}
	})
	return l
}

func unixClient(path string) (*http.Client, func()) {
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	return &http.Client{Transport: t}, t.CloseIdleConnections
}

func TestTheLocalSocketNeedsNoToken(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Socket = o.Tokens + ".sock" })
	f.serving()
	info, err := os.Stat(f.Socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	c, end := unixClient(f.Socket)
	defer end()
	res, err := c.Post("http://local"+Base+"/reconcile", "application/json", strings.NewReader(`{"reason": "x"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if a := f.fake.Actions(); res.StatusCode != http.StatusOK || len(a) != 1 || !strings.HasSuffix(a[0].By, " (local socket)") {
		t.Errorf("%d, %+v", res.StatusCode, a)
	}
	res, err = c.Get("http://local/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("an unlisted route: %d", res.StatusCode)
	}
}

// TestAStrangerAtTheSocketNeedsAToken connects as another user.
func TestAStrangerAtTheSocketNeedsAToken(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if os.Getuid() != 0 || err != nil {
		t.Skip("needs root and curl")
	}
	f := newFixture(t, func(o *Options) { o.Socket = o.Tokens + ".sock" })
	f.serving()
	for dir := f.dir; len(dir) > len(os.TempDir()); dir = dir[:strings.LastIndex(dir, "/")] {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(args ...string) string {
		cmd := exec.Command(curl, append([]string{"-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", f.Socket, "http://local" + Base + "/status"}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, _ := cmd.Output()
		return string(out)
	}
	if got := ask(); got != "000" {
		t.Errorf("mode 0600: %s", got)
	}
	if err := os.Chmod(f.Socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != "401" {
		t.Errorf("without a token: %s", got)
	}
	if got := ask("-H", "Authorization: Bearer "+f.reads); got != "200" {
		t.Errorf("with a token: %s", got)
	}
}

func TestTheSocketOfADeadControllerIsReplaced(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Socket = o.Tokens + ".sock" })
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Listen(); err == nil || !strings.Contains(err.Error(), "another controller") {
		t.Fatalf("one that lives: %v", err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	f.serving()
	f.write("file", "x")
	f.Socket = f.path("file")
	if _, err := f.Listen(); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file: %v", err)
	}
	if text, _ := os.ReadFile(f.path("file")); string(text) != "x" {
		t.Error("the file is gone")
	}
}

func TestOnlyLoopbackWithoutTLS(t *testing.T) {
	for address, ok := range map[string]bool{"127.0.0.1:0": true, "[::1]:0": true, "localhost:0": true, "0.0.0.0:0": false, ":0": false, "[::]:0": false} {
		f := newFixture(t, func(o *Options) { o.Listen = address })
		l, err := f.Listen()
		if err == nil {
			l.Close()
		}
		if refused := err != nil && strings.Contains(err.Error(), "without TLS"); refused == ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// certify writes a certificate for 127.0.0.1 that is good for itself.
func (f *fixture) certify(serial int64) *x509.CertPool {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		f.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.t.Fatal(err)
	}
	f.write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	f.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}

func TestTLS(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Listen = "127.0.0.1:0" })
	f.Certificate, f.Key = f.path("cert.pem"), f.path("key.pem")
	pool := f.certify(1)
	l := f.serving()
	url := "https://" + l.Addrs()[0].String() + "/healthz"
	ask := func(config *tls.Config) (*http.Response, error) {
		tr := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
		defer tr.CloseIdleConnections()
		res, err := (&http.Client{Transport: tr}).Get(url)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		return res, err
	}
	res, err := ask(&tls.Config{RootCAs: pool})
	if err != nil || res.StatusCode != http.StatusOK || res.ProtoMajor != 2 || res.Header.Get("Strict-Transport-Security") == "" {
		t.Fatalf("%v %v", res, err)
	}
	if _, err := ask(&tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	old := pool
	pool = f.certify(2)
	if _, err := ask(&tls.Config{RootCAs: pool}); err != nil {
		t.Errorf("a new certificate: %v", err)
	}
	if _, err := ask(&tls.Config{RootCAs: old}); err == nil {
		t.Error("the old certificate is still shown")
	}
	f.write("cert.pem", "nonsense")
	if _, err := ask(&tls.Config{RootCAs: pool}); err != nil {
		t.Errorf("after a broken one: %v", err)
	}
}

func TestTLSThatCannotBeUsed(t *testing.T) {
	for name, change := range map[string]func(*fixture){
		"no key":  func(f *fixture) { f.Key = "" },
		"no file": func(f *fixture) { f.Key = f.path("nothing") },
		"an open key": func(f *fixture) {
			if err := os.Chmod(f.Key, 0o644); err != nil {
				f.t.Fatal(err)
			}
		},
	} {
		f := newFixture(t, func(o *Options) { o.Listen = "127.0.0.1:0" })
		f.Certificate, f.Key = f.path("cert.pem"), f.path("key.pem")
		f.certify(1)
		change(f)
		if _, err := f.Listen(); err == nil {
			t.Errorf("%s: it listens", name)
		}
	}
}

// TestShutdown: streams end at once, and a request in hand is answered.
func TestShutdown(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Socket = o.Tokens + ".sock" })
	l, err := f.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx) }()
	c, end := unixClient(f.Socket)
	defer end()
	res, err := c.Get("http://local" + Base + "/events?follow=1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	cancel()
	if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), "the controller ends") {
		t.Errorf("%q %v", text, err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(3 * time.Second):
		t.Fatal("it does not end")
	}
	if _, err := os.Stat(f.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestHeadersAreCapped(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Listen = "127.0.0.1:0" })
	l := f.serving()
	r, err := http.NewRequest("GET", "http://"+l.Addrs()[0].String()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Much", strings.Repeat("x", 64<<10))
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestAGroupMayConnect(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	f := newFixture(t, func(o *Options) { o.Socket, o.SocketGroup = o.Tokens+".sock", "daemon" })
	f.serving()
	info, err := os.Stat(f.Socket)
	if err != nil || info.Mode().Perm() != 0o660 || info.Sys().(*syscall.Stat_t).Gid == 0 {
		t.Errorf("%v %v", info, err)
	}
	f.SocketGroup = "no-such-group"
	f.Socket += "2"
	if l, err := f.Listen(); err == nil {
		l.Close()
		t.Error("a group of none is taken")
	}
}
