package health

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var web1 = inventory.Host{Name: "web-1"}

// direct dials from this machine in the host's place.
type direct struct{}

func (direct) DialHost(ctx context.Context, host inventory.Host, network, address string) (net.Conn, error) {
	if host.Name != web1.Name {
		return nil, errors.New("another host was asked: " + host.Name)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// failing is a host that cannot be dialled from.
type failing struct{ err error }

func (f failing) DialHost(context.Context, inventory.Host, string, string) (net.Conn, error) {
	return nil, f.err
}

// stuck does not answer before it is told to end.
type stuck struct{}

func (stuck) DialHost(ctx context.Context, _ inventory.Host, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// tunnel dials through a real SSH connection (direct-tcpip channels).
type tunnel struct{ client *ssh.Client }

func (t tunnel) DialHost(ctx context.Context, _ inventory.Host, network, address string) (net.Conn, error) {
	return t.client.DialContext(ctx, network, address)
}

// startTunnel makes both ends of an SSH connection on loopback. The server opens
// channels as sshd does, or refuses all of them with the reason given.
func startTunnel(t *testing.T, refuse ssh.RejectionReason) tunnel {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, channels, requests, err := ssh.NewServerConn(conn, config)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		for channel := range channels {
			go open(channel, refuse)
		}
	}()
	client, err := ssh.Dial("tcp", listener.Addr().String(), &ssh.ClientConfig{User: "deploy", HostKeyCallback: ssh.FixedHostKey(signer.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		listener.Close()
		<-served
	})
	return tunnel{client}
}

// open is sshd's part of a direct-tcpip channel (RFC 4254, section 7.2).
func open(channel ssh.NewChannel, refuse ssh.RejectionReason) {
	var to struct {
		Host string
		Port uint32
		From string
		By   uint32
	}
	if refuse != 0 || ssh.Unmarshal(channel.ExtraData(), &to) != nil {
		_ = channel.Reject(refuse, "open failed")
		return
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))), 5*time.Second)
	if err != nil {
		_ = channel.Reject(ssh.ConnectionFailed, err.Error()[strings.LastIndex(err.Error(), ":")+2:])
		return
	}
	stream, requests, err := channel.Accept()
	if err != nil {
		conn.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	go func() {
		_, _ = io.Copy(conn, stream)
		_ = conn.Close()
	}()
	_, _ = io.Copy(stream, conn)
	_ = stream.Close()
	_ = conn.Close()
}

// lost is the error of a host that does not answer.
var lost = &hostdriver.Error{Kind: hostdriver.Unreachable, Host: "web-1", Op: "connect to", Mend: "is it up?", Err: errors.New("no route to host")}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wantResult compares all but the time.
func wantResult(t *testing.T, c Checker, want Result) {
	t.Helper()
	got := c.Check(t.Context())
	if got.Took <= 0 {
		t.Error("it took no time")
	}
	got.Took = 0
	if got != want {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}
