package sshdriver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

func TestRealSSHD(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, nil, "MaxSessions 2")
	c := s.conn(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 256<<10)

	t.Run("commands", func(t *testing.T) {
		cases := []struct {
			line  string
			stdin []byte
			want  Result
		}{
			{"echo out; echo err >&2; exit 3", nil, Result{Stdout: []byte("out\n"), Stderr: []byte("err\n"), Exit: 3}},
			{"cat", big, Result{Stdout: big}},
			{"head -c 3", big, Result{Stdout: big[:3]}},
			{"kill -9 $$", nil, Result{Exit: -1, Signal: "KILL"}},
			{"true", nil, Result{}},
		}
		for _, tc := range cases {
			res, err := c.Exec(t.Context(), Command{Line: tc.line, Stdin: bytes.NewReader(tc.stdin)})
			if err != nil || !bytes.Equal(res.Stdout, tc.want.Stdout) || !bytes.Equal(res.Stderr, tc.want.Stderr) || res.Exit != tc.want.Exit || res.Signal != tc.want.Signal {
				t.Errorf("%s: exit %d signal %q, %d bytes, stderr %q, %v", tc.line, res.Exit, res.Signal, len(res.Stdout), res.Stderr, err)
			}
		}
	})
	t.Run("more commands than MaxSessions", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				res, err := c.Exec(t.Context(), Command{Line: fmt.Sprintf("sleep 0.1; echo %d", i)})
				if err != nil || string(res.Stdout) != fmt.Sprintf("%d\n", i) {
					t.Errorf("%d: %q, %v", i, res.Stdout, err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("what a command leaves running", func(t *testing.T) {
		start := time.Now()
		res, err := c.Exec(t.Context(), Command{Line: "sleep 8 & echo $!"})
		if err != nil || res.Exit != 0 || time.Since(start) > 7*time.Second {
			t.Fatalf("exit %d after %s: %v", res.Exit, time.Since(start), err)
		}
		if _, err := c.Exec(t.Context(), Command{Line: "kill " + strings.TrimSpace(string(res.Stdout))}); err != nil {
			t.Error(err)
		}
	})
	t.Run("endless output", func(t *testing.T) {
		res, err := c.Exec(t.Context(), Command{Line: "yes", MaxStdout: 100_000})
		if hostdriver.KindOf(err) != hostdriver.Unknown || !res.Truncated || len(res.Stdout) != 100_000 {
			t.Errorf("truncated %v, %d bytes, %v", res.Truncated, len(res.Stdout), err)
		}
		if _, err := c.Exec(t.Context(), Command{Line: "true"}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
	t.Run("a shell that is kept", func(t *testing.T) {
		shell, err := c.Start(t.Context(), "sh -s")
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(shell)
		for i := range 3 {
			if _, err := fmt.Fprintf(shell, "echo $(( %d * %d ))\n", i, i); err != nil {
				t.Fatal(err)
			}
			if got, err := lines.ReadString('\n'); err != nil || got != fmt.Sprintf("%d\n", i*i) {
				t.Fatalf("%q, %v", got, err)
			}
		}
		_, _ = io.WriteString(shell, "exit 4\n")
		if res, err := shell.Wait(t.Context()); err != nil || res.Exit != 4 {
			t.Errorf("exit %d, %v", res.Exit, err)
		}
		_ = shell.Close()
	})
	t.Run("sockets", func(t *testing.T) {
		conn, err := c.Dial(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
		if err != nil {
			t.Fatal(err)
		}
		greeting, err := bufio.NewReader(conn).ReadString('\n')
		_ = conn.Close()
		if err != nil || !strings.HasPrefix(greeting, "SSH-2.0-") {
			t.Errorf("%q, %v", greeting, err)
		}
		if _, err := c.Dial(t.Context(), "tcp", "127.0.0.1:1"); hostdriver.KindOf(err) != hostdriver.Failed {
			t.Errorf("closed: kind %q: %v", hostdriver.KindOf(err), err)
		}
		if _, err := c.Dial(t.Context(), "unix", s.file("none.sock")); hostdriver.KindOf(err) != hostdriver.Failed {
			t.Errorf("no such socket: kind %q: %v", hostdriver.KindOf(err), err)
		}
	})
}

// A command that outlives its caller keeps its place at sshd, which confirms the end of
// a session only when the command has ended.
func TestRealSSHDHungCommands(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, nil)
	p := s.pool(t)
	c, err := p.Conn(t.Context(), s.target("web-1"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		marker := s.file(fmt.Sprintf("hung%d", i))
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for _, err := os.Stat(marker); err != nil; _, err = os.Stat(marker) {
				time.Sleep(20 * time.Millisecond)
			}
			cancel()
		}()
		_, err := c.Exec(ctx, Command{Line: "touch " + marker + "; exec sleep 20"})
		cancel()
		if hostdriver.KindOf(err) != hostdriver.Unknown || !errors.Is(err, context.Canceled) {
			t.Fatalf("kind %q: %v", hostdriver.KindOf(err), err)
		}
	}
	if _, err := c.Exec(t.Context(), Command{Line: "true"}); err != nil {
		t.Errorf("beside them: %v", err)
	}
	select {
	case <-c.Done():
	case <-time.After(abandonGrace + 3*time.Second):
		t.Fatal("the connection whose places are lost was kept")
	}
	c, err = p.Conn(t.Context(), s.target("web-1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), Command{Line: "true"}); err != nil {
		t.Error(err)
	}
}

func TestRealSSHDKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, nil)
	p := s.pool(t)
	c, err := p.Conn(t.Context(), s.target("web-1"))
	if err != nil {
		t.Fatal(err)
	}
	// The command's parent is the sshd that serves this connection.
	_, err = c.Exec(t.Context(), Command{Line: "kill -9 $PPID; sleep 5"})
	if hostdriver.KindOf(err) != hostdriver.Unknown {
		t.Errorf("kind %q: %v", hostdriver.KindOf(err), err)
	}
	<-c.Done()
	time.Sleep(2 * p.pauses.first)
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		if c, err = p.Conn(t.Context(), s.target("web-1")); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), Command{Line: "true"}); err != nil {
		t.Error(err)
	}
}

// The files are OpenSSH's own: hashed names, host and user certificates, revocations;
// and the mend that an unknown host's error names does mend it.
func TestRealSSHDKeysAndCertificates(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, func(s *realSSHD) {
		for _, ca := range []string{"host_ca", "user_ca"} {
			s.keygen(t, "-t", "ed25519", "-N", "", "-f", s.file(ca))
		}
		s.keygen(t, "-s", s.file("host_ca"), "-I", "web-1", "-h", "-n", "web-1", "-V", "+1h", s.file("host_key.pub"))
	}, "TrustedUserCAKeys DIR/user_ca.pub", "HostCertificate DIR/host_key-cert.pub")
	try := func(options ...func(*Options)) error {
		_, err := s.pool(t, options...).Conn(t.Context(), s.target("web-1"))
		return err
	}
	plain := s.read(t, "known_hosts")
	s.keygen(t, "-H", "-f", s.known)
	if text := s.read(t, "known_hosts"); !strings.HasPrefix(text, "|1|") {
		t.Fatalf("not hashed: %s", text)
	}
	if err := try(); err != nil {
		t.Errorf("hashed: %v", err)
	}

	s.write(t, "known_hosts", "")
	err := try()
	var unknown *UnknownHostKeyError
	if !errors.As(err, &unknown) {
		t.Fatalf("unknown: %v", err)
	}
	out, runErr := exec.Command("ssh-keygen", "-lf", s.file("host_key.pub")).Output() // #nosec G204
	if runErr != nil || !strings.Contains(string(out), unknown.Fingerprint) {
		t.Errorf("fingerprint %s is not ssh-keygen's %s", unknown.Fingerprint, out)
	}
	_, command, _ := strings.Cut(hostdriver.MendOf(err), "only then: ")
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil { // #nosec G204 -- what the error told to run
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	if err := try(); err != nil {
		t.Errorf("after %s: %v", command, err)
	}

	s.write(t, "known_hosts", "@cert-authority web-* "+s.read(t, "host_ca.pub"))
	if err := try(); err != nil {
		t.Errorf("host certificate: %v", err)
	}
	s.write(t, "known_hosts", "@cert-authority web-* "+s.read(t, "host_ca.pub")+"@revoked * "+s.read(t, "host_key.pub"))
	var revoked *RevokedHostKeyError
	if err := try(); !errors.As(err, &revoked) {
		t.Errorf("revoked: %v", err)
	}

	s.write(t, "known_hosts", plain)
	s.keygen(t, "-t", "rsa", "-b", "3072", "-N", "", "-f", s.file("other"))
	err = try(func(o *Options) { o.IdentityFiles = []string{s.file("other")} })
	if hostdriver.KindOf(err) != hostdriver.Unauthorized {
		t.Errorf("a key that it does not know: %v", err)
	}
	s.keygen(t, "-s", s.file("user_ca"), "-I", "ops", "-n", s.user, "-V", "+1h", s.file("other.pub"))
	if err := try(func(o *Options) { o.IdentityFiles = []string{s.file("other")} }); err != nil {
		t.Errorf("user certificate, RSA: %v", err)
	}
}

func TestRealSSHDRefusals(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, nil, "AllowTcpForwarding no", "AllowStreamLocalForwarding no", "MaxAuthTries 2", "MaxSessions 0", "Banner DIR/banner")
	s.write(t, "banner", "Authorised users only\n")
	c := s.conn(t)
	for network, kind := range map[string]hostdriver.ErrorKind{"tcp": hostdriver.Unauthorized, "unix": hostdriver.Failed} {
		_, err := c.Dial(t.Context(), network, "127.0.0.1:1")
		if hostdriver.KindOf(err) != kind {
			t.Errorf("%s: kind %q: %v", network, hostdriver.KindOf(err), err)
		}
		wantContains(t, hostdriver.MendOf(err), forwardSetting(network))
	}
	_, err := c.Exec(t.Context(), Command{Line: "true"})
	if hostdriver.KindOf(err) != hostdriver.Unauthorized {
		t.Errorf("MaxSessions 0: kind %q: %v", hostdriver.KindOf(err), err)
	}
	var others []string
	for i := range 3 {
		name := fmt.Sprintf("other%d", i)
		s.keygen(t, "-t", "ed25519", "-N", "", "-f", s.file(name))
		others = append(others, s.file(name))
	}
	_, err = s.pool(t, func(o *Options) { o.IdentityFiles = others }).Conn(t.Context(), s.target("web-1"))
	if hostdriver.KindOf(err) != hostdriver.Unauthorized {
		t.Errorf("MaxAuthTries: kind %q: %v", hostdriver.KindOf(err), err)
	}
	wantContains(t, err.Error(), "Too many authentication failures", "it said: Authorised users only", others[0])
}

func TestRealSSHAgent(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, nil)
	dir, err := os.MkdirTemp("", "ek") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	socket := filepath.Join(dir, "agent")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket) // #nosec G204
	if err := cmd.Start(); err != nil {
		t.Skip("ssh-agent is not installed: apt-get install openssh-client")
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for range 100 {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	add := exec.Command("ssh-add", s.key) // #nosec G204
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	// The file that is named has a passphrase; the agent holds the same key without one.
	s.keygen(t, "-p", "-P", "", "-N", "secret passphrase", "-f", s.key)
	if _, err := s.pool(t).Conn(t.Context(), s.target("web-1")); hostdriver.KindOf(err) != hostdriver.Unauthorized {
		t.Errorf("without the agent: %v", err)
	}
	if _, err := s.pool(t, func(o *Options) { o.Agent = socket }).Conn(t.Context(), s.target("web-1")); err != nil {
		t.Error(err)
	}
}

// Through the same server twice: as its own jump host.
func TestRealSSHDJump(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, nil)
	target := s.target("web-1")
	target.Jump = fmt.Sprintf("%s@127.0.0.1:%d,%s@127.0.0.1:%d", s.user, s.port, s.user, s.port)
	_, err := s.pool(t).Conn(t.Context(), target)
	wantContains(t, fmt.Sprint(err), "in a circle")
	target.Jump = fmt.Sprintf("%s@127.0.0.1:%d", s.user, s.port)
	c, err := s.pool(t).Conn(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("x"), 3<<20)
	res, err := c.Exec(t.Context(), Command{Line: "cat", Stdin: bytes.NewReader(big)})
	if err != nil || !bytes.Equal(res.Stdout, big) {
		t.Errorf("%d bytes, %v", len(res.Stdout), err)
	}
}

func BenchmarkRealDial(b *testing.B) {
	s := startSSHD(b, nil, "MaxStartups 1000")
	p := s.pool(b)
	for b.Loop() {
		if _, err := p.Conn(b.Context(), s.target("web-1")); err != nil {
			b.Fatal(err)
		}
		p.Reset("web-1")
	}
}

func BenchmarkRealExec(b *testing.B) {
	c := startSSHD(b, nil).conn(b)
	for b.Loop() {
		if _, err := c.Exec(b.Context(), Command{Line: "true"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRealShell is a round trip to a shell that is kept.
func BenchmarkRealShell(b *testing.B) {
	shell, err := startSSHD(b, nil).conn(b).Start(b.Context(), "sh -s")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = shell.Close() }()
	lines := bufio.NewReader(shell)
	for b.Loop() {
		if _, err := io.WriteString(shell, "echo x\n"); err != nil {
			b.Fatal(err)
		}
		if _, err := lines.ReadString('\n'); err != nil {
			b.Fatal(err)
		}
	}
}
