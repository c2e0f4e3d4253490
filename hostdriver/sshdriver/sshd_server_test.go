package sshdriver

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// realSSHD is OpenSSH's own server on loopback, with files of its own.
type realSSHD struct {
	dir   string
	port  int
	user  string
	key   string // that it lets in
	known string // known_hosts with its key
	log   *tail
}

func startSSHD(t testing.TB, prepare func(*realSSHD), settings ...string) *realSSHD {
	t.Helper()
	path, err := exec.LookPath("sshd")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/sshd"); err != nil {
			t.Skip("sshd is not installed: apt-get install openssh-server")
		}
	}
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // #nosec G301 -- as Debian's unit makes it
			t.Fatal(err)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &realSSHD{dir: t.TempDir(), user: me.Username, log: &tail{limit: 16 << 10}}
	s.keygen(t, "-t", "ed25519", "-N", "", "-f", s.file("host_key"))
	s.keygen(t, "-t", "ed25519", "-N", "", "-f", s.file("id"))
	s.key, s.known = s.file("id"), s.file("known_hosts")
	public := s.read(t, "id.pub")
	s.write(t, "authorized_keys", public)
	if prepare != nil {
		prepare(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	s.write(t, "known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s", s.port, s.read(t, "host_key.pub")))
	config := append([]string{ // for sshd_config(5), too, the first value counts
		"Port " + strconv.Itoa(s.port), "ListenAddress 127.0.0.1", "HostKey " + s.file("host_key"), "PidFile none",
		"AuthorizedKeysFile " + s.file("authorized_keys"), "StrictModes no", "PasswordAuthentication no",
		"KbdInteractiveAuthentication no", "PermitRootLogin yes", "LogLevel VERBOSE"}, settings...)
	s.write(t, "sshd_config", strings.ReplaceAll(strings.Join(append(config, "UsePAM no"), "\n"), "DIR", s.dir)+"\n")
	cmd := exec.Command(path, "-D", "-e", "-f", s.file("sshd_config")) // #nosec G204 -- the path of sshd
	cmd.Stderr = s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", s.log.bytes())
		}
	})
	s.await(t)
	return s
}

func (s *realSSHD) await(t testing.TB) {
	t.Helper()
	for range 100 {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
		if err == nil {
			_, _ = bufio.NewReader(c).ReadString('\n')
			_ = c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("sshd does not listen: %s", s.log.bytes())
}

func (s *realSSHD) file(name string) string { return filepath.Join(s.dir, name) }

func (s *realSSHD) read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(s.file(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *realSSHD) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *realSSHD) keygen(t testing.TB, args ...string) {
	t.Helper()
	out, err := exec.Command("ssh-keygen", append([]string{"-q"}, args...)...).CombinedOutput() // #nosec G204
	if err != nil {
		t.Fatalf("ssh-keygen %v: %v: %s", args, err, out)
	}
}

func (s *realSSHD) target(name string) Target {
	return Target{Name: name, Address: "127.0.0.1", Port: s.port, User: s.user}
}

func (s *realSSHD) pool(t testing.TB, options ...func(*Options)) *Pool {
	t.Helper()
	return newPool(t, append([]func(*Options){func(o *Options) {
		o.IdentityFiles, o.KnownHosts = []string{s.key}, []string{s.known}
	}}, options...)...)
}

func (s *realSSHD) conn(t testing.TB, options ...func(*Options)) *Conn {
	t.Helper()
	c, err := s.pool(t, options...).Conn(t.Context(), s.target("web-1"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
