package drain

import (
	"context"
	"fmt"
	"net"
	"path"
	"strings"

	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// haproxyAddresses are the forms of an address, for messages.
const haproxyAddresses = "tcp://HOST:PORT or unix:///PATH from the controller, ssh+unix://NAME/PATH or ssh+tcp://NAME/HOST:PORT from the host NAME of the inventory"

// haproxyDial reads an address of the runtime API and returns how to reach it.
func haproxyDial(address string, deps Deps) (func(context.Context) (net.Conn, error), error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return nil, fmt.Errorf("address %q has no scheme: write %s", peer.Line(address), haproxyAddresses)
	}
	switch scheme {
	case "tcp", "unix":
		if err := checkSocket(scheme, rest); err != nil {
			return nil, fmt.Errorf("address %q: %w; write %s", peer.Line(address), err, haproxyAddresses)
		}
		return func(ctx context.Context) (net.Conn, error) { return deps.Dial(ctx, scheme, rest) }, nil
	case "ssh+tcp", "ssh+unix":
		network := strings.TrimPrefix(scheme, "ssh+")
		name, socket, _ := strings.Cut(rest, "/")
		if network == "unix" {
			socket = "/" + socket
		}
		if err := checkSocket(network, socket); err != nil {
			return nil, fmt.Errorf("address %q: %w; write %s", peer.Line(address), err, haproxyAddresses)
		}
		return dialFrom(name, network, socket, deps)
	}
	return nil, fmt.Errorf("address %q has the unknown scheme %q: write %s", peer.Line(address), peer.Line(scheme), haproxyAddresses)
}

func checkSocket(network, address string) error {
	if network == "unix" {
		// sockaddr_un(7) holds 107 bytes and the ending zero.
		if !path.IsAbs(address) || address == "/" || path.Clean(address) != address || len(address) > 107 || strings.ContainsRune(address, 0) {
			return fmt.Errorf("the socket's path must be absolute, plain and at most 107 bytes")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || !isPort(port) {
		return fmt.Errorf("host or port is missing")
	}
	return nil
}

func isPort(s string) bool {
	n := 0
	for _, r := range s {
		if r < '0' || r > '9' || n > 65535 {
			return false
		}
		n = n*10 + int(r-'0')
	}
	return n >= 1 && n <= 65535
}

// dialFrom reaches a socket of another host of the inventory, through SSH. The SSH
// user, not root, opens a unix socket there.
func dialFrom(name, network, socket string, deps Deps) (func(context.Context) (net.Conn, error), error) {
	if deps.Dialer == nil || deps.Host == nil {
		return nil, fmt.Errorf("host %q cannot be reached: there is no SSH connection to hosts here", peer.Line(name))
	}
	host, ok := deps.Host(name)
	if !ok {
		return nil, fmt.Errorf("host %q is not in the inventory: add the balancer to it, without labels that select services", peer.Line(name))
	}
	return func(ctx context.Context) (net.Conn, error) { return deps.Dialer.DialHost(ctx, host, network, socket) }, nil
}
