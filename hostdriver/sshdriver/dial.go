package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/hostdriver"
)

const opConnect = "connect to"

// dialer makes one connection at a time; it keeps no connection itself.
type dialer struct {
	options    Options
	knownHosts knownHostsCache
}

// dial connects, proves the host's identity and logs in, all within the login's
// timeout. via is the connection to the hop before, nil if there is none. ended is called
// when a connection that it returned has ended. Its errors are *hostdriver.Error.
func (d *dialer) dial(ctx context.Context, l *login, via *Conn, ended func(*Conn)) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	files, err := d.knownHosts.load(l.knownHosts, l.knownHostsGiven)
	if err != nil {
		return nil, notTried(connectError(l, hostdriver.HostKey, err, "name an existing file with --known-hosts, or correct this one"))
	}
	identity := newHostIdentity(l, files)
	creds := gatherCredentials(ctx, l)
	defer creds.close()
	if len(creds.list) == 0 {
		e := &AuthError{User: l.user, Address: l.hostport(), NoKey: true, Problems: creds.problems, skipped: l.skipped}
		return nil, notTried(connectError(l, hostdriver.Unauthorized, e, e.mend()))
	}
	raw, err := dialRaw(ctx, l, via)
	if err != nil {
		return nil, reachError(l, err)
	}
	auth := &authentication{login: l, credentials: creds}
	metered := newMeteredConn(raw)
	conn, chans, reqs, err := handshake(ctx, metered, l, identity, auth)
	if err != nil {
		_ = raw.Close()
		return nil, d.handshakeError(ctx, l, identity, auth, metered, err)
	}
	c := newConn(l, via, conn, metered, d.options)
	go c.attend(chans, reqs, func() { ended(c) })
	return c, nil
}

func dialRaw(ctx context.Context, l *login, via *Conn) (net.Conn, error) {
	if via != nil {
		return via.dial(ctx, "tcp", l.hostport())
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", l.hostport())
}

// handshake bounds key exchange and login in time by closing the connection: a
// ClientConfig's Timeout would cover TCP alone.
func handshake(ctx context.Context, raw net.Conn, l *login, identity *hostIdentity, auth *authentication) (ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	config := &ssh.ClientConfig{
		User:              l.user,
		AuthCallback:      auth.callback,
		HostKeyCallback:   identity.check,
		HostKeyAlgorithms: identity.algorithms(),
		BannerCallback:    auth.keepBanner,
		ClientVersion:     "SSH-2.0-evenkeel",
	}
	conn, chans, reqs, err := ssh.NewClientConn(raw, l.hostport(), config)
	if !stop() && err == nil {
		_ = conn.Close()
		return nil, nil, nil, ctx.Err()
	}
	return conn, chans, reqs, err
}

// handshakeError tells what a failed handshake means.
func (d *dialer) handshakeError(ctx context.Context, l *login, id *hostIdentity, auth *authentication, raw *meteredConn, err error) error {
	var auths *AuthError
	var mender interface {
		error
		mend() string
	}
	var algorithms *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &auths):
		return authRefused(l, auths)
	case errors.As(err, &mender):
		return connectError(l, hostdriver.HostKey, mender, mender.mend())
	case errors.As(err, &algorithms):
		return algorithmError(l, id, algorithms)
	case ctx.Err() != nil:
		return connectError(l, hostdriver.Unreachable, fmt.Errorf("%s: no login within %s: %w", l, l.timeout, ctx.Err()), handshakeMend(auth, raw))
	case auth.begun:
		return authCut(l, auth, err)
	}
	return connectError(l, hostdriver.Unreachable, fmt.Errorf("%s: %w", l, err), handshakeMend(auth, raw))
}

// authRefused is the end of a login that ran its course. A host that is starting or
// going down lets nobody but root in, and says so: that passes by itself.
func authRefused(l *login, e *AuthError) error {
	if goingDown(e.Banner) {
		return connectError(l, hostdriver.Unreachable, e, "")
	}
	return connectError(l, hostdriver.Unauthorized, e, e.mend())
}

// goingDown recognises pam_nologin(8), as systemd-user-sessions(8) sets it while the
// system starts and stops.
func goingDown(banner string) bool {
	return strings.Contains(banner, "pam_nologin") || strings.Contains(banner, "System is booting up") ||
		strings.Contains(banner, "System is going down")
}

// authCut is a login that the server cut off. sshd does so after too many keys, and
// when PAM refuses the account although the key was right; then it says why in a
// banner. Without a word it is taken for a broken connection.
func authCut(l *login, auth *authentication, err error) error {
	banner := auth.banner
	failure := auth.failure(cutReason(err))
	switch {
	case goingDown(banner):
		return connectError(l, hostdriver.Unreachable, failure, "")
	case strings.Contains(err.Error(), "oo many authentication failures"),
		banner != "" && len(failure.Tried) > 0 && failure.Tried[len(failure.Tried)-1].Accepted:
		return connectError(l, hostdriver.Unauthorized, failure, failure.mend())
	}
	return connectError(l, hostdriver.Unreachable, fmt.Errorf("%s: connection lost during login: %w", l, err), "")
}

func cutReason(err error) string {
	return printable(strings.TrimPrefix(err.Error(), "ssh: handshake failed: "), 200)
}

func algorithmError(l *login, id *hostIdentity, e *ssh.AlgorithmNegotiationError) error {
	known := id.knownTypes()
	for _, n := range id.names {
		for _, a := range n.authority {
			known = append(known, a.key.Type())
		}
	}
	if strings.Contains(e.What, "host key") && len(known) > 0 {
		changed := id.mismatch(e.RequestedAlgorithms)
		return connectError(l, hostdriver.HostKey, changed, changed.mend())
	}
	return connectError(l, hostdriver.Unauthorized, fmt.Errorf("%s: %w", l, e),
		"its sshd offers only algorithms that are no longer safe: upgrade it, or allow modern ones in its sshd_config")
}

// handshakeMend guesses from how far a handshake came.
func handshakeMend(auth *authentication, raw *meteredConn) string {
	switch {
	case raw.heard.Load() == 0:
		return "something listens there but says nothing: see whether sshd runs, and its MaxStartups and PerSourcePenalties"
	case auth.begun:
		return "the login itself is slow: see UseDNS in its sshd_config, and the agent"
	}
	return ""
}

// reachError is a connection that was never made.
func reachError(l *login, err error) error {
	// A hop's own failure keeps its kind: a person may have to act there.
	if kind := hostdriver.KindOf(err); kind != "" {
		return connectError(l, kind, err, "")
	}
	mend := ""
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		mend = "set the address in the inventory, or HostName in ssh_config"
	case strings.Contains(err.Error(), "connection refused"):
		mend = fmt.Sprintf("nothing listens on port %d there: see whether sshd runs, and the port in the inventory", l.port)
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("connection closed")
	}
	return connectError(l, hostdriver.Unreachable, fmt.Errorf("%s: %w", l, err), mend)
}

func connectError(l *login, kind hostdriver.ErrorKind, err error, mend string) *hostdriver.Error {
	return &hostdriver.Error{Kind: kind, Host: l.name, Op: opConnect, Mend: mend, Err: err}
}

// notTried marks an error from before the host was dialled.
func notTried(e *hostdriver.Error) *hostdriver.Error {
	e.Here = true
	return e
}

// jitter returns d, give or take a quarter.
func jitter(d time.Duration, random float64) time.Duration {
	return time.Duration(float64(d) * (0.75 + random/2))
}
