package simhost

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/evenkeel/evenkeel/desired"
)

// Options are what all hosts have in common.
type Options struct {
	Authorized ssh.PublicKey // who may log in, under any name
	Port       int           // that they are dialled at
	Claim      string        // the controller that claims them; "": none does
}

// Hosts are the simulated hosts.
type Hosts struct {
	options Options
	all     map[netip.Addr]*host
	byName  map[string]*host
	order   []*host
	wg      sync.WaitGroup
}

// Address is where the nth host (from 0) is found.
func Address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + n/62500), byte(1 + n/250%250), byte(1 + n%250)}) // #nosec G115
}

// New makes every host of the revision's inventory, each as the revision wants it. Their
// addresses must be those of Address.
func New(ctx context.Context, rev *desired.Revision, o Options) (*Hosts, error) {
	h := &Hosts{options: o, all: map[netip.Addr]*host{}, byName: map[string]*host{}}
	for _, inv := range rev.Inventory.Hosts {
		st, err := rev.Resolve(ctx, inv)
		if err != nil {
			return nil, fmt.Errorf("cannot simulate %s: %w", inv.Name, err)
		}
		at, err := netip.ParseAddr(inv.Address)
		if err != nil || !at.IsLoopback() || h.all[at] != nil {
			return nil, fmt.Errorf("cannot simulate %s: its address %q is not one of loopback's, or taken", inv.Name, inv.Address)
		}
		one, err := h.newHost(st)
		if err != nil {
			return nil, err
		}
		one.addr = at
		h.all[at], h.byName[inv.Name] = one, one
		h.order = append(h.order, one)
	}
	return h, nil
}

func (h *Hosts) newHost(st desired.HostState) (*host, error) {
	one := newHost(st, h.options.Claim)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	if one.key, err = ssh.NewSignerFromKey(key); err != nil {
		return nil, err
	}
	return one, nil
}

// WriteKnownHosts writes a line of known_hosts for each host.
func (h *Hosts) WriteKnownHosts(w io.Writer) error {
	for _, one := range h.order {
		at := net.JoinHostPort(one.addr.String(), fmt.Sprint(h.options.Port))
		if _, err := io.WriteString(w, knownhosts.Line([]string{at}, one.key.PublicKey())+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// Disturb has somebody edit a managed file of the host by hand.
func (h *Hosts) Disturb(name string) error {
	one := h.byName[name]
	if one == nil {
		return fmt.Errorf("there is no host %s", name)
	}
	return one.disturb()
}

// Listen opens a socket that takes what is dialled at any address of loopback's, and
// nothing from elsewhere.
func Listen(ctx context.Context) (*net.TCPListener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = syscall.BindToDevice(int(fd), "lo") }), err) // #nosec G115
	}}
	l, err := lc.Listen(ctx, "tcp4", "0.0.0.0:0")
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// Serve serves until the listener is closed, then ends all connections.
func (h *Hosts) Serve(l *net.TCPListener) error {
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	defer func() {
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		h.wg.Wait()
	}()
	for {
		c, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		mu.Lock()
		open[c] = true
		mu.Unlock()
		h.wg.Go(func() {
			h.serve(c)
			_ = c.Close()
			mu.Lock()
			delete(open, c)
			mu.Unlock()
		})
	}
}

// serve is one connection.
func (h *Hosts) serve(c *net.TCPConn) {
	local, okL := c.LocalAddr().(*net.TCPAddr)
	remote, okR := c.RemoteAddr().(*net.TCPAddr)
	if !okL || !okR || !remote.IP.IsLoopback() {
		return
	}
	one := h.all[local.AddrPort().Addr().Unmap()]
	if one == nil {
		return
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), h.options.Authorized.Marshal()) {
			return nil, errors.New("another key")
		}
		return nil, nil
	}}
	config.AddHostKey(one.key)
	_, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	var wg sync.WaitGroup
	for nc := range channels {
		if nc.ChannelType() != "session" {
			_ = nc.Reject(ssh.UnknownChannelType, "a simulated host has sessions only")
			continue
		}
		wg.Go(func() { one.session(nc) })
	}
	wg.Wait()
}

// Port is the one that a listener of Listen's has.
func Port(l *net.TCPListener) int { return l.Addr().(*net.TCPAddr).Port }
