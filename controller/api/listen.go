package api

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"time"

	"golang.org/x/net/netutil"
)

func (a *API) listenTCP() (net.Listener, error) {
	if a.Options.Listen == "" {
		return nil, nil
	}
	config, err := a.tls()
	if err != nil {
		return nil, err
	}
	if config == nil && !a.Plaintext && !loopback(a.Options.Listen) {
		return nil, fmt.Errorf("cannot listen on %s without TLS: tokens would be readable on the way: set api.tls.cert and api.tls.key, listen on 127.0.0.1, or set api.plaintext where a proxy protects the way", a.Options.Listen)
	}
	l, err := net.Listen("tcp", a.Options.Listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the API: %w", err)
	}
	l = netutil.LimitListener(l, maxConnections)
	if config == nil {
		return l, nil
	}
	return tls.NewListener(l, config), nil
}

// loopback tells whether only this machine can reach the address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// tls is nil where it is not configured. The certificate is read again when its file
// changes; where the new one cannot be used, the old one stays.
func (a *API) tls() (*tls.Config, error) {
	switch {
	case a.Certificate == "" && a.Key == "":
		return nil, nil
	case a.Certificate == "" || a.Key == "":
		return nil, errors.New("cannot use TLS: api.tls needs both cert and key")
	}
	c := &certificate{api: a}
	if _, err := c.get(nil); err != nil {
		return nil, fmt.Errorf("cannot use TLS: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// listenUnix makes the local socket. One that nobody listens on any more is replaced.
func (a *API) listenUnix() (net.Listener, error) {
	path := a.Socket
	if path == "" {
		return nil, nil
	}
	if err := clearSocket(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot make the local socket: %w", err)
	}
	if err = os.Chmod(path, 0o600); err == nil && a.SocketGroup != "" {
		err = openTo(path, a.SocketGroup)
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("cannot make the local socket: %w", err)
	}
	return l, nil
}

func clearSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot make the local socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("cannot make the local socket: %s is there and is no socket", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return fmt.Errorf("cannot make the local socket: somebody listens on %s: is another controller running?", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("cannot make the local socket: %w", err)
	}
	return nil
}

// openTo lets a group connect.
func openTo(path, group string) error {
	g, err := user.LookupGroup(group)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return err
	}
	if err := os.Chown(path, -1, gid); err != nil {
		return err
	}
	return os.Chmod(path, 0o660)
}
