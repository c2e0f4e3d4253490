package sshdriver

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// TestLabTransport is what happens to connections to real hosts: PAM, sudo, login
// shells, partitions, hangs and power cuts.
func TestLabTransport(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	l, err := lab.New(ctx, lab.Options{Hosts: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &labTransport{lab: l, host: l.Hosts()[0], other: l.Hosts()[1]}
	t.Run("latency", w.latency)
	t.Run("sockets and jumps", w.socketsAndJumps)
	t.Run("sudo refuses", w.sudoRefuses)
	t.Run("accounts that may not", w.accounts)
	t.Run("starting and going down", w.goingDown)
	t.Run("sshd restarts", w.sshdRestarts)
	t.Run("partition", w.partition)
	t.Run("hang", w.hang)
	t.Run("power cut", w.powerCut)
}

type labTransport struct {
	lab         *lab.Lab
	host, other *lab.Host
}

func (w *labTransport) target() Target {
	return Target{Name: w.host.Name(), Address: w.host.Address(), User: "deploy"}
}

func (w *labTransport) pool(t *testing.T, options ...func(*Options)) *Pool {
	return newPool(t, append([]func(*Options){func(o *Options) {
		o.IdentityFiles, o.KnownHosts = []string{w.lab.IdentityFile()}, []string{w.lab.KnownHostsFile()}
		o.KeepaliveInterval = 300 * time.Millisecond
	}}, options...)...)
}

func (w *labTransport) conn(t *testing.T, p *Pool) *Conn {
	t.Helper()
	c, err := p.Conn(t.Context(), w.target())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// again asks for the connection until it is made.
func (w *labTransport) again(t *testing.T, p *Pool) *Conn {
	t.Helper()
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var c *Conn
		if c, err = p.Conn(t.Context(), w.target()); err != nil {
			continue
		}
		if _, err = c.Exec(t.Context(), Command{Line: "true"}); err == nil {
			return c
		}
	}
	said, _ := w.host.Enter(t.Context(), "ls /run/nologin; journalctl -q -u ssh -n 30 --no-pager")
	t.Fatalf("%v\nits sshd: %s", err, said)
	return nil
}

func (w *labTransport) enter(t *testing.T, command string) {
	t.Helper()
	if out, err := w.host.Enter(t.Context(), command); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

func (w *labTransport) latency(t *testing.T) {
	p := w.pool(t)
	measure := func(n int, what string, do func() error) {
		var all []time.Duration
		for range n {
			start := time.Now()
			if err := do(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			all = append(all, time.Since(start))
		}
		slices.Sort(all)
		t.Logf("%s: median %s, slowest of %d %s", what, all[n/2].Round(10*time.Microsecond), n, all[n-1].Round(10*time.Microsecond))
	}
	measure(20, "dial", func() error {
		p.Reset(w.host.Name())
		_, err := p.Conn(t.Context(), w.target())
		return err
	})
	c := w.conn(t, p)
	measure(50, "exec true", func() error {
		_, err := c.Exec(t.Context(), Command{Line: "true"})
		return err
	})
	measure(50, "exec sudo", func() error {
		res, err := c.Exec(t.Context(), Command{Line: "sudo -n true"})
		if err == nil && res.Exit != 0 {
			err = errors.New(string(res.Stderr))
		}
		return err
	})
	shell, err := c.Start(t.Context(), "sudo -n sh -s")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = shell.Close() }()
	lines := bufio.NewReader(shell)
	measure(200, "round trip of a kept shell", func() error {
		if _, err := io.WriteString(shell, "echo x\n"); err != nil {
			return err
		}
		_, err := lines.ReadString('\n')
		return err
	})
}

func (w *labTransport) socketsAndJumps(t *testing.T) {
	p := w.pool(t)
	bus, err := w.conn(t, p).Dial(t.Context(), "unix", "/run/dbus/system_bus_socket")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	_ = bus.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(bus, "\x00AUTH\r\n")
	if answer, err := bufio.NewReader(bus).ReadString('\n'); err != nil || !strings.HasPrefix(answer, "REJECTED EXTERNAL") {
		t.Errorf("D-Bus said %q, %v", answer, err)
	}
	_, err = w.conn(t, p).Dial(t.Context(), "unix", "/run/systemd/private") // root's alone
	if hostdriver.KindOf(err) != hostdriver.Failed {
		t.Errorf("a socket that deploy may not open: kind %q: %v", hostdriver.KindOf(err), err)
	}
	c, err := p.Conn(t.Context(), Target{Name: w.other.Name(), Address: w.other.Address(), User: "deploy", Jump: "deploy@" + w.host.Address()})
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Exec(t.Context(), Command{Line: "hostname; echo $SSH_CONNECTION"})
	if err != nil {
		t.Fatal(err)
	}
	wantContains(t, string(res.Stdout), w.other.Name(), w.host.Address()+" ")
}

func (w *labTransport) sudoRefuses(t *testing.T) {
	target := w.target()
	target.User = "plain"
	c, err := w.pool(t, func(o *Options) { o.Become = true }).Conn(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	try := func(mend string) {
		t.Helper()
		line, err := c.BecomeLine("sh", "-s")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		res, err := c.Exec(t.Context(), Command{Line: line, Stdin: strings.NewReader("echo done\n")})
		if err != nil {
			t.Fatal(err)
		}
		refusal := c.BecomeRefusal(res)
		if hostdriver.KindOf(refusal) != hostdriver.Become || time.Since(start) > 5*time.Second {
			t.Errorf("exit %d, %q, %q: %v", res.Exit, res.Stdout, res.Stderr, refusal)
			return
		}
		t.Logf("%v; %s", refusal, hostdriver.MendOf(refusal))
		wantContains(t, hostdriver.MendOf(refusal), mend)
	}
	try("plain ALL=(root) NOPASSWD: /bin/sh")
	w.enter(t, "echo 'plain ALL=(ALL) ALL' >/etc/sudoers.d/zz")
	try("NOPASSWD")
	w.enter(t, "echo 'plain ALL=(ALL) NOPASSWD: /bin/true' >/etc/sudoers.d/zz")
	try("NOPASSWD")
	w.enter(t, "echo '"+sudoRule("plain", "root")+"' >/etc/sudoers.d/zz")
	for name, words := range map[string][]string{"alone": shellWords(len("id -u\n")), "with more to come": payloadWords(len("id -u\n")), "the bridge": {"/bin/sh", "-c", "exec id -u"}} {
		line, err := c.BecomeLine(words...)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Exec(t.Context(), Command{Line: line, Stdin: strings.NewReader("id -u\n")})
		if err != nil || res.Exit != 0 || string(res.Stdout) != "0\n" {
			t.Errorf("by the rule that is told, %s: %v, exit %d, %q, %q", name, err, res.Exit, res.Stdout, res.Stderr)
		}
	}
	w.enter(t, "rm /etc/sudoers.d/zz; chmod 0755 /usr/bin/sudo")
	try("chmod 4755")
	w.enter(t, "chmod 4755 /usr/bin/sudo; mv /usr/bin/sudo /usr/bin/sudo.gone")
	try("install sudo")
	w.enter(t, "mv /usr/bin/sudo.gone /usr/bin/sudo")
}

func (w *labTransport) accounts(t *testing.T) {
	for _, c := range []struct{ user, setup, kind, says, mend string }{
		{"none1", "usermod -s /usr/sbin/nologin none1", "unauthorized", "not available", "usermod -s /bin/sh none1"},
		{"none2", "chage -E 1 none2", "unauthorized", "expired", "locked or expired"},
		{"none3", "chage -d 0 none3", "unauthorized", "password", "chage"},
		{"none4", "rm ~none4/.ssh/authorized_keys", "unauthorized", "offered ssh-ed25519 SHA256:", "authorized_keys"},
	} {
		w.enter(t, "useradd -m -s /bin/sh "+c.user+" && cp -r ~deploy/.ssh ~"+c.user+"/ && chown -R "+c.user+": ~"+c.user+"/.ssh && "+c.setup)
		target := w.target()
		target.User = c.user
		conn, err := w.pool(t).Conn(t.Context(), target)
		if err == nil {
			_, err = conn.Exec(t.Context(), Command{Line: "true"})
		}
		if string(hostdriver.KindOf(err)) != c.kind {
			t.Errorf("%s: kind %q: %v", c.setup, hostdriver.KindOf(err), err)
			continue
		}
		t.Logf("%v; %s", err, hostdriver.MendOf(err))
		wantContains(t, err.Error(), c.says)
		wantContains(t, hostdriver.MendOf(err), c.mend)
	}
}

// goingDown: what systemd-user-sessions(8) does while a host starts and stops.
func (w *labTransport) goingDown(t *testing.T) {
	w.enter(t, "/lib/systemd/systemd-user-sessions stop && test -e /run/nologin")
	p := w.pool(t)
	_, err := p.Conn(t.Context(), w.target())
	t.Log(err)
	if hostdriver.KindOf(err) != hostdriver.Unreachable {
		t.Errorf("kind %q: %v", hostdriver.KindOf(err), err)
	}
	w.enter(t, "/lib/systemd/systemd-user-sessions start")
	w.again(t, p)
}

func (w *labTransport) sshdRestarts(t *testing.T) {
	p := w.pool(t)
	c := w.conn(t, p)
	res, err := c.Exec(t.Context(), Command{Line: "sudo -n systemctl restart ssh"})
	if err != nil || res.Exit != 0 {
		t.Fatalf("exit %d, %v", res.Exit, err)
	}
	// Debian's unit kills only the listener: the connection lives on.
	if _, err := c.Exec(t.Context(), Command{Line: "true"}); err != nil {
		t.Error(err)
	}
	if fresh, err := p.Renew(t.Context(), w.target()); err != nil || fresh == c {
		t.Errorf("a new connection: %v", err)
	}
}

func (w *labTransport) partition(t *testing.T) {
	p := w.pool(t)
	c := w.conn(t, p)
	started := make(chan struct{})
	inFlight := make(chan error, 1)
	s, err := c.Start(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		close(started)
		_, err := c.Exec(context.Background(), Command{Line: "sleep 60"})
		inFlight <- err
	}()
	<-started
	time.Sleep(300 * time.Millisecond)
	if err := w.host.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	_, err = c.Exec(ctx, Command{Line: "true"})
	cancel()
	if err == nil || time.Since(start) > time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
	select {
	case err := <-inFlight:
		t.Logf("in flight, after %s: %v", time.Since(start).Round(time.Millisecond), err)
		if hostdriver.KindOf(err) != hostdriver.Unknown {
			t.Errorf("kind %q: %v", hostdriver.KindOf(err), err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the keepalive did not find out")
	}
	if _, err := s.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("the session read %v", err)
	}
	_ = s.Close()
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	if _, err := p.Conn(ctx, w.target()); hostdriver.KindOf(err) != hostdriver.Unreachable {
		t.Errorf("kind %q: %v", hostdriver.KindOf(err), err)
	}
	cancel()
	if err := w.host.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.again(t, p)
}

// hang: the kernel accepts connections, and nobody is there.
func (w *labTransport) hang(t *testing.T) {
	p := w.pool(t, func(o *Options) { o.ConnectTimeout = 2 * time.Second })
	c := w.conn(t, p)
	if err := w.host.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Done():
		if !errors.Is(c.Err(), errSilent) {
			t.Errorf("ended by %v", c.Err())
		}
	case <-time.After(10 * time.Second):
		t.Error("the keepalive did not find out")
	}
	start := time.Now()
	_, err := p.Conn(t.Context(), w.target())
	t.Log(err)
	if hostdriver.KindOf(err) != hostdriver.Unreachable || time.Since(start) > 5*time.Second {
		t.Errorf("after %s: kind %q: %v", time.Since(start), hostdriver.KindOf(err), err)
	}
	if err := w.host.Thaw(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.again(t, p)
}

func (w *labTransport) powerCut(t *testing.T) {
	p := w.pool(t)
	c := w.conn(t, p)
	inFlight := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), Command{Line: "sleep 60"})
		inFlight <- err
	}()
	time.Sleep(300 * time.Millisecond)
	if err := w.host.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.host.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-inFlight:
		if hostdriver.KindOf(err) != hostdriver.Unknown {
			t.Errorf("kind %q: %v", hostdriver.KindOf(err), err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the command of a host that lost its power still waits")
	}
	w.again(t, p)
}
