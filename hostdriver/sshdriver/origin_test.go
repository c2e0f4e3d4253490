package sshdriver

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// origin is an https server of files, which can be told to misbehave.
type origin struct {
	*httptest.Server
	ca string

	mu       sync.Mutex
	files    map[string][]byte
	cutAfter int64 // bytes of each answer, after which the connection is cut; 0: never
	deaf     bool  // to Range
	headless bool  // refuses HEAD
	redirect string
	away     map[string]string // by path
	asked    []string          // method, URL and Range of each request
	sent     int64
}

func newOrigin(t testing.TB) *origin { return newOriginAt(t, "127.0.0.1") }

// newOriginAt listens on an address of this machine.
func newOriginAt(t testing.TB, address string) *origin {
	t.Helper()
	o := &origin{files: map[string][]byte{}, away: map[string]string{}}
	o.Server = httptest.NewUnstartedServer(http.HandlerFunc(o.serve))
	o.Config.ErrorLog = log.New(io.Discard, "", 0)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		Subject: pkix.Name{CommonName: "origin " + address}, IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, &cert, &cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	o.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	_ = o.Listener.Close()
	if o.Listener, err = net.Listen("tcp", address+":0"); err != nil {
		t.Fatal(err)
	}
	o.StartTLS()
	t.Cleanup(o.Close)
	o.ca = writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return o
}

func (o *origin) serve(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	data, there := o.files[r.URL.Path]
	cut, deaf, headless, redirect := o.cutAfter, o.deaf, o.headless, o.redirect
	o.asked = append(o.asked, r.Method+" "+r.URL.String()+" "+r.Header.Get("Range"))
	o.mu.Unlock()
	switch {
	case o.away[r.URL.Path] != "":
		http.Redirect(w, r, o.away[r.URL.Path], http.StatusFound)
		return
	case redirect != "" && !strings.HasPrefix(r.URL.Path, "/there"):
		http.Redirect(w, r, redirect, http.StatusFound)
		return
	case !there:
		http.NotFound(w, r)
		return
	case headless && r.Method == http.MethodHead:
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if deaf {
		r.Header.Del("Range")
	}
	out := &cutting{ResponseWriter: w, o: o, left: cut}
	http.ServeContent(out, r, "", time.Unix(1700000000, 0), bytes.NewReader(data))
}

// cutting counts what is sent, and cuts the connection.
type cutting struct {
	http.ResponseWriter
	o    *origin
	left int64
}

func (c *cutting) Write(p []byte) (int, error) {
	if c.left > 0 && int64(len(p)) >= c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	n, err := c.ResponseWriter.Write(p)
	if c.left > 0 {
		c.left -= int64(n)
	}
	c.o.mu.Lock()
	c.o.sent += int64(n)
	c.o.mu.Unlock()
	return n, err
}

func (o *origin) set(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

func (o *origin) bytesSent() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent
}

func (o *origin) requests() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.asked...)
}

// pulled is a release that is fetched from the origin.
func (o *origin) pulled(dir, url string, form hostdriver.ReleaseForm, source []byte) hostdriver.Release {
	o.set(func() {
		path, _, _ := strings.Cut(url, "?")
		o.files[path] = source
	})
	sum := hostdriver.NewContent(source).SHA256()
	return hostdriver.Release{Path: dir + "/" + sum, SHA256: sum, Size: -1, Form: form,
		Pull: &hostdriver.Pull{URL: hostdriver.NewContent([]byte(o.URL + url))}}
}
