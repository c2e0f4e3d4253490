package sshdriver

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// testServer is an SSH server on loopback that misbehaves when told to.
type testServer struct {
	t        testing.TB
	config   *ssh.ServerConfig
	hostKey  ssh.Signer // plain, even if a certificate is shown
	listener net.Listener
	wg       sync.WaitGroup

	mu          sync.Mutex
	authorized  map[string]bool // marshalled keys
	userCA      ssh.PublicKey
	handler     func(*testCommand) int
	maxSessions int // 0: no limit
	forbid      bool
	conns       map[net.Conn]*ssh.ServerConn
	sessions    int
	peak        int

	accepted atomic.Int64 // TCP connections
	offers   atomic.Int64 // keys offered
	refusals atomic.Int64 // sessions refused
}

// testCommand is one exec request.
type testCommand struct {
	line           string
	stdin          io.Reader
	stdout, stderr io.Writer
	conn           *ssh.ServerConn
	channel        ssh.Channel
	noStatus       bool // end without an exit status
	signal         string
}

func startServer(t testing.TB, opts ...func(*testServer)) *testServer {
	t.Helper()
	s := &testServer{t: t, authorized: map[string]bool{}, conns: map[net.Conn]*ssh.ServerConn{}, hostKey: newSigner(t)}
	s.config = &ssh.ServerConfig{PublicKeyCallback: s.checkKey}
	s.handler = echoHandler
	for _, o := range opts {
		o(s)
	}
	if s.config.PublicKeyCallback != nil && s.hostKey != nil {
		s.config.AddHostKey(s.hostKey)
	}
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.wg.Add(1)
	go s.serve()
	t.Cleanup(s.stop)
	return s
}

func (s *testServer) stop() {
	_ = s.listener.Close()
	s.dropAll()
	s.wg.Wait()
}

func (s *testServer) dropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

func (s *testServer) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

func (s *testServer) target(name string) Target {
	return Target{Name: name, Address: "127.0.0.1", Port: s.port(), User: "deploy"}
}

// knownLine is the known_hosts line that is right for it.
func (s *testServer) knownLine() string {
	return knownhosts.Line([]string{s.listener.Addr().String()}, s.hostKey.PublicKey())
}

func (s *testServer) authorize(key ssh.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authorized[string(key.Marshal())] = true
}

func (s *testServer) handle(h func(*testCommand) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

func (s *testServer) checkKey(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	s.offers.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if cert, ok := key.(*ssh.Certificate); ok && s.userCA != nil {
		checker := ssh.CertChecker{IsUserAuthority: func(k ssh.PublicKey) bool { return sameKey(k, s.userCA) }}
		return checker.Authenticate(c, cert)
	}
	if s.authorized[string(key.Marshal())] {
		return nil, nil
	}
	return nil, errors.New("not authorized")
}

func (s *testServer) serve() {
	defer s.wg.Done()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.accepted.Add(1)
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			s.serveConn(conn)
		}()
	}
}

func (s *testServer) serveConn(raw net.Conn) {
	s.mu.Lock()
	s.conns[raw] = nil
	s.mu.Unlock()
	defer func() {
		_ = raw.Close()
		s.mu.Lock()
		delete(s.conns, raw)
		s.mu.Unlock()
	}()
	conn, chans, reqs, err := ssh.NewServerConn(raw, s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	var wg sync.WaitGroup
	for nc := range chans {
		wg.Go(func() { s.serveChannel(conn, nc) })
	}
	wg.Wait()
}

func (s *testServer) serveChannel(conn *ssh.ServerConn, nc ssh.NewChannel) {
	switch nc.ChannelType() {
	case "session":
		s.serveSession(conn, nc)
	case "direct-tcpip":
		var m struct {
			Host       string
			Port       uint32
			OriginHost string
			OriginPort uint32
		}
		_ = ssh.Unmarshal(nc.ExtraData(), &m)
		s.forward(nc, "tcp", net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))))
	case "direct-streamlocal@openssh.com":
		var m struct {
			Path      string
			Reserved0 string
			Reserved1 uint32
		}
		_ = ssh.Unmarshal(nc.ExtraData(), &m)
		s.forward(nc, "unix", m.Path)
	default:
		_ = nc.Reject(ssh.UnknownChannelType, "no")
	}
}

func (s *testServer) forward(nc ssh.NewChannel, network, address string) {
	if s.forbid {
		_ = nc.Reject(ssh.Prohibited, "open failed")
		return
	}
	far, err := net.Dial(network, address)
	if err != nil {
		_ = nc.Reject(ssh.ConnectionFailed, "Connection refused\x1b[31m")
		return
	}
	ch, reqs, err := nc.Accept()
	if err != nil {
		_ = far.Close()
		return
	}
	go ssh.DiscardRequests(reqs)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(far, ch); _ = far.Close() })
	wg.Go(func() { _, _ = io.Copy(ch, far); _ = ch.Close() })
	wg.Wait()
}

func (s *testServer) serveSession(conn *ssh.ServerConn, nc ssh.NewChannel) {
	s.mu.Lock()
	if s.maxSessions > 0 && s.sessions >= s.maxSessions {
		s.mu.Unlock()
		s.refusals.Add(1)
		_ = nc.Reject(ssh.ConnectionFailed, "open failed")
		return
	}
	s.sessions++
	s.peak = max(s.peak, s.sessions)
	s.mu.Unlock()
	leave := sync.OnceFunc(func() {
		s.mu.Lock()
		s.sessions--
		s.mu.Unlock()
	})
	defer leave()
	ch, reqs, err := nc.Accept()
	if err != nil {
		return
	}
	for req := range reqs {
		if req.Type != "exec" {
			_ = req.Reply(false, nil)
			continue
		}
		var m struct{ Command string }
		_ = ssh.Unmarshal(req.Payload, &m)
		if m.Command == "refuse" {
			_ = req.Reply(false, nil)
			continue
		}
		_ = req.Reply(true, nil)
		go ssh.DiscardRequests(reqs)
		s.run(&testCommand{line: m.Command, stdin: ch, stdout: ch, stderr: ch.Stderr(), conn: conn, channel: ch})
		leave() // before the client can know of the end
		_ = ch.Close()
		return
	}
}

func (s *testServer) run(c *testCommand) {
	s.mu.Lock()
	h := s.handler
	s.mu.Unlock()
	code := h(c)
	switch {
	case c.signal != "":
		_, _ = c.channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal     string
			CoreDumped bool
			Error      string
			Lang       string
		}{c.signal, false, "", ""}))
	case !c.noStatus:
		_, _ = c.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(code)}))
	}
}

// echoHandler prints the line, then its input.
func echoHandler(c *testCommand) int {
	_, _ = fmt.Fprintf(c.stdout, "%s\n", c.line)
	_, _ = io.Copy(c.stdout, c.stdin)
	return 0
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// newIdentity writes a private key file, encrypted if there is a passphrase.
func newIdentity(t testing.TB, passphrase string) (string, ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, "id_ed25519", string(pem.EncodeToMemory(block)))
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return path, signer.PublicKey()
}

// writeFile writes a file that only its owner can read into a folder of its own.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
