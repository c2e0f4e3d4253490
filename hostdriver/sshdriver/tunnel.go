package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Dial reaches a socket as if from the host: "tcp" with host:port, or "unix" with a
// path, which the login's user must be allowed to open. ctx bounds the dial alone. The
// connection supports deadlines, and its Close never waits for the host.
//
// The error carries a *hostdriver.Error: Failed if the host could not reach the
// socket, Unauthorized if its sshd forbids forwarding, Unreachable if the host itself
// did not answer.
func (c *Conn) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dial(ctx, network, address)
	if err == nil {
		return conn, nil
	}
	op := fmt.Sprintf("reach %s %s from", network, address)
	var refused *ssh.OpenChannelError
	switch {
	case !errors.As(err, &refused):
		return nil, c.fail(hostdriver.Unreachable, op, err, "")
	case refused.Reason == ssh.Prohibited || refused.Reason == ssh.UnknownChannelType:
		return nil, c.fail(hostdriver.Unauthorized, op, forwardRefusal(refused),
			"its sshd forbids forwarding: allow "+forwardSetting(network)+" in its sshd_config, and neither restrict nor no-port-forwarding for this key in authorized_keys")
	}
	mend := ""
	if network == "unix" {
		// sshd answers alike when it forbids a socket and when it cannot open it.
		mend = fmt.Sprintf("see whether the socket is there, whether %s may open it, and for %s in its sshd_config", c.login.user, forwardSetting(network))
	}
	return nil, c.fail(hostdriver.Failed, op, forwardRefusal(refused), mend)
}

func forwardSetting(network string) string {
	if network == "unix" {
		return "AllowStreamLocalForwarding local"
	}
	return "AllowTcpForwarding local"
}

func forwardRefusal(e *ssh.OpenChannelError) error {
	return fmt.Errorf("%s (%s)", e.Reason, printable(e.Message, 200))
}

// dial is Dial without the error's clothes.
func (c *Conn) dial(ctx context.Context, network, address string) (net.Conn, error) {
	kind, payload, err := forwardRequest(network, address)
	if err != nil {
		return nil, err
	}
	if err := c.join(); err != nil {
		return nil, err
	}
	ch, reqs, err := c.openChannel(ctx, kind, payload)
	if err != nil {
		c.leave()
		return nil, err
	}
	go ssh.DiscardRequests(reqs)
	return newTunnel(c, ch, tunnelAddr{network, address}), nil
}

// forwardRequest is the channel type and its data: RFC 4254, section 7.2, and
// OpenSSH's PROTOCOL, section 2.4.
func forwardRequest(network, address string) (string, []byte, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
		host, portText, err := net.SplitHostPort(address)
		if err != nil {
			return "", nil, err
		}
		port, err := strconv.ParseUint(portText, 10, 16)
		if err != nil {
			return "", nil, fmt.Errorf("port %q: %w", portText, err)
		}
		return "direct-tcpip", ssh.Marshal(struct {
			Host       string
			Port       uint32
			OriginHost string
			OriginPort uint32
		}{host, uint32(port), "127.0.0.1", 0}), nil
	case "unix":
		if address == "" {
			return "", nil, errors.New("no path")
		}
		return "direct-streamlocal@openssh.com", ssh.Marshal(struct {
			Path      string
			Reserved0 string
			Reserved1 uint32
		}{address, "", 0}), nil
	}
	return "", nil, fmt.Errorf("network %q: neither tcp nor unix", network)
}

// tunnel is a net.Conn over an SSH channel. Two goroutines copy between the channel
// and one end of a pipe, so that the other end has deadlines and a Close that does not
// depend on the host.
type tunnel struct {
	net.Conn // our end of the pipe
	remote   tunnelAddr
}

type tunnelAddr struct{ network, address string }

func (a tunnelAddr) Network() string { return a.network }
func (a tunnelAddr) String() string  { return a.address }

const tunnelBuffer = 16 << 10 // of each direction, while the tunnel lives

func newTunnel(c *Conn, ch ssh.Channel, remote tunnelAddr) *tunnel {
	near, far := net.Pipe()
	var copies sync.WaitGroup
	copies.Go(func() {
		_, _ = io.CopyBuffer(ch, far, make([]byte, tunnelBuffer))
		// Our end is closed, or the channel no longer takes anything.
		_ = ch.CloseWrite()
		_ = ch.Close()
		_ = far.Close()
	})
	copies.Go(func() {
		_, _ = io.CopyBuffer(far, ch, make([]byte, tunnelBuffer))
		_ = far.Close()
	})
	go func() {
		copies.Wait()
		c.leave()
	}()
	return &tunnel{Conn: near, remote: remote}
}

// RemoteAddr is what was dialled.
func (t *tunnel) RemoteAddr() net.Addr { return t.remote }
