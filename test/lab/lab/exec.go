package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// ExitError is a command that ran on a host and failed there. Code is -1 if a signal ended it.
type ExitError struct {
	Host, User, Command string
	Code                int
	Stderr              string
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s: %s: exit code %d of %.200q%s", e.Host, e.User, e.Code, e.Command, said(e.Stderr))
}

// Exec runs a shell command as root over SSH and returns its stdout. A command that failed there is an *ExitError; any other
// error means that its outcome is unknown. Without a deadline in ctx it has a minute.
func (h *Host) Exec(ctx context.Context, command string) (string, error) {
	return h.Run(ctx, "root", command, nil)
}

// ExecAs is Exec as another user: deploy may sudo without a password, plain may not.
func (h *Host) ExecAs(ctx context.Context, user, command string) (string, error) {
	return h.Run(ctx, user, command, nil)
}

// Run is ExecAs with a standard input. One connection per user is kept open and shared.
func (h *Host) Run(ctx context.Context, user, command string, stdin io.Reader) (string, error) {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	c, session, err := h.session(ctx, user)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = stdin, &stdout, &stderr
	done := make(chan error, 1)
	go func() { done <- session.Run(command) }()
	select {
	case err = <-done:
		session.Close()
		h.release(c, false)
	case <-ctx.Done():
		h.release(c, true) // the connection may be half open, so nobody is to use it again
		return "", fmt.Errorf("%s: %s: %.200q: %w", h.Name(), user, command, context.Cause(ctx))
	}
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		code := exit.ExitStatus()
		if exit.Signal() != "" {
			code = -1
		}
		return stdout.String(), &ExitError{h.Name(), user, command, code, stderr.String()}
	}
	if err != nil {
		return stdout.String(), fmt.Errorf("%s: %s: %.200q: %w", h.Name(), user, command, err)
	}
	return stdout.String(), nil
}

// waiting is a process that does not begin with what it is to be before it is told to.
const waiting = `read -r go && exec "$@" </dev/null`

// Enter runs a shell command as root inside the host's namespaces and its control group, without SSH and network: also while
// the host is cut off, or its sshd is down; not while it is frozen. Errors are as of Exec.
func (h *Host) Enter(ctx context.Context, command string) (string, error) {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	leader, err := h.leader()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", waiting, "enter", "nsenter", "--target", strconv.Itoa(leader), "--all", "--", "/bin/sh", "-c", command)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	begin, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("cannot enter %s: %w", h.Name(), err)
	}
	// To who is in no group of the host's, its systemd-logind says no (systemd 257, "Protocol driver not attached").
	joined := h.lab.roots.join(leader, cmd.Process.Pid)
	if joined == nil {
		_, _ = io.WriteString(begin, "begin\n")
	}
	begin.Close()
	err = cmd.Wait()
	if joined != nil {
		return "", fmt.Errorf("cannot enter %s: %w", h.Name(), joined)
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return stdout.String(), fmt.Errorf("%s: root: %.200q: %w", h.Name(), command, context.Cause(ctx))
	case errors.As(err, &exit):
		return stdout.String(), &ExitError{h.Name(), "root", command, exit.ExitCode(), stderr.String()}
	case err != nil:
		return stdout.String(), fmt.Errorf("%s: root: %.200q: %w", h.Name(), command, err)
	}
	return stdout.String(), nil
}

func withDefaultTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Minute)
}

// client is a connection with a count of who uses it: one that must not be used again is closed by its last user.
type client struct {
	ssh   *ssh.Client
	users int
	ended bool
}

// session opens a session on the user's kept connection, or, if that turns out dead before the command is sent, on a new one.
func (h *Host) session(ctx context.Context, user string) (*client, *ssh.Session, error) {
	for {
		c, fresh, err := h.client(ctx, user)
		if err != nil {
			return nil, nil, err
		}
		type result struct {
			session *ssh.Session
			err     error
		}
		opened := make(chan result, 1)
		go func() {
			s, err := c.ssh.NewSession()
			opened <- result{s, err}
		}()
		select {
		case r := <-opened:
			if r.err == nil {
				return c, r.session, nil
			}
			h.release(c, true)
			if fresh {
				return nil, nil, fmt.Errorf("cannot open an SSH session on %s: %w", h.Name(), r.err)
			}
		case <-ctx.Done():
			h.release(c, true)
			return nil, nil, fmt.Errorf("cannot open an SSH session on %s: %w", h.Name(), context.Cause(ctx))
		}
	}
}

// client returns the user's connection, and whether it was dialled just now.
func (h *Host) client(ctx context.Context, user string) (*client, bool, error) {
	h.mu.Lock()
	if c := h.clients[user]; c != nil {
		c.users++
		h.mu.Unlock()
		return c, false, nil
	}
	h.mu.Unlock()
	conn, err := h.dial.to(ctx, h.Address(), user)
	if err != nil {
		return nil, true, fmt.Errorf("cannot reach %s: %w", h.Name(), err)
	}
	c := &client{ssh: conn, users: 1}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.clients[user] == nil {
		h.clients[user] = c
	} else {
		c.ended = true // somebody else was faster: this one is for its maker only
	}
	return c, true, nil
}

func (h *Host) release(c *client, broken bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.users--
	if broken {
		h.end(c)
	}
	if c.ended && c.users == 0 {
		c.ssh.Close()
	}
}

// end takes a connection out of use; h.mu is held.
func (h *Host) end(c *client) {
	c.ended = true
	for user, kept := range h.clients {
		if kept == c {
			delete(h.clients, user)
		}
	}
}

// hangUp takes every kept connection out of use and closes the idle ones.
func (h *Host) hangUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.clients {
		h.end(c)
		if c.users == 0 {
			c.ssh.Close()
		}
	}
}

// dialer makes SSH connections with the lab's identity, to hosts that prove to be who the lab's known_hosts says.
type dialer struct{ config ssh.ClientConfig }

func newDialer(r record) (dialer, error) {
	text, err := os.ReadFile(r.identityFile())
	if err != nil {
		return dialer{}, fmt.Errorf("cannot read the lab's identity: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return dialer{}, fmt.Errorf("cannot read the lab's identity %s: %w", r.identityFile(), err)
	}
	known, err := knownhosts.New(r.knownHostsFile())
	if err != nil {
		return dialer{}, fmt.Errorf("cannot read the lab's known hosts: %w", err)
	}
	return dialer{ssh.ClientConfig{
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback:   known,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	}}, nil
}

func (d dialer) to(ctx context.Context, address, user string) (*ssh.Client, error) {
	addr := net.JoinHostPort(address, "22")
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		conn.Close()
		return nil, err
	}
	config := d.config
	config.User = user
	c, channels, requests, err := ssh.NewClientConn(conn, addr, &config)
	if err != nil {
		conn.Close()
		return nil, errors.Join(err, context.Cause(ctx))
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		c.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}
