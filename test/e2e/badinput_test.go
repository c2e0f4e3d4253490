package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// with runs the binary with other ways to log in than the stage's.
func (s *stage) with(want int, verb, identity, known, user string, more ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	args := append([]string{verb, "--repo", s.repo, "--identity", identity, "--known-hosts", known, "--ssh-user", user, "--become"}, more...)
	out, err := exec.CommandContext(ctx, filepath.Join(root, "bin/evenkeel"), args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	got := 0
	if exit != nil {
		got = exit.ExitCode()
	}
	if got != want {
		s.t.Errorf("evenkeel %s: exit %d, want %d\n%s", strings.Join(args, " "), got, want, out)
	}
	return string(out)
}

func contains(t *testing.T, out string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("it does not say %q:\n%s", w, out)
		}
	}
}

// newKey is an identity that no host knows.
func newKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// What a person does wrong: each is named with its mend, and nothing is lost.
func TestBadInput(t *testing.T) {
	s := newStage(t, 2)
	s.deployed()
	pids := s.pid(s.hosts[0]) + s.pid(s.hosts[1])
	identity, known := s.lab.IdentityFile(), s.lab.KnownHostsFile()
	s.env("=first", "=second")

	t.Run("wrong key", func(t *testing.T) {
		out := s.with(4, "apply", newKey(t), known, "deploy", "--yes")
		contains(t, out, "h1", "SHA256:")
	})
	t.Run("unknown host key", func(t *testing.T) {
		empty := filepath.Join(t.TempDir(), "known_hosts")
		must(s, os.WriteFile(empty, nil, 0o600))
		contains(t, s.with(4, "apply", identity, empty, "deploy", "--yes"), "h1", "ssh-keyscan", "SHA256:")
	})
	t.Run("changed host key", func(t *testing.T) {
		data, err := os.ReadFile(known)
		must(s, err)
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		// Each host is known by the other's key.
		a, b := strings.Fields(lines[0]), strings.Fields(lines[1])
		swapped := filepath.Join(t.TempDir(), "known_hosts")
		must(s, os.WriteFile(swapped, []byte(a[0]+" "+strings.Join(b[1:], " ")+"\n"+b[0]+" "+strings.Join(a[1:], " ")+"\n"), 0o600))
		contains(t, s.with(4, "apply", identity, swapped, "deploy", "--yes"), "h1", swapped)
	})
	t.Run("sudo refused", func(t *testing.T) {
		contains(t, s.with(4, "apply", identity, known, "plain", "--yes"), "h1", "sudo")
	})
	t.Run("no terminal, no --yes", func(t *testing.T) {
		contains(t, s.with(1, "apply", identity, known, "deploy"), "--yes")
	})
	t.Run("unknown host asked for", func(t *testing.T) {
		contains(t, s.with(2, "plan", identity, known, "deploy", "--host", "web-99"), "web-99")
	})
	t.Run("missing source", func(t *testing.T) {
		s.remove("services/ledger/ledger.service")
		defer s.file("services/ledger/ledger.service", ledgerUnit)
		contains(t, s.with(2, "plan", identity, known, "deploy"), "services/ledger/service.yaml:", "ledger.service")
	})
	t.Run("unknown key in service.yaml", func(t *testing.T) {
		s.service("  drian: []\n")
		defer s.service("")
		contains(t, s.with(2, "plan", identity, known, "deploy"), "services/ledger/service.yaml:", "drian", `"drain"`)
	})
	for name, x := range map[string]struct{ old, now, says string }{
		"a unit that systemd refuses":   {"ExecStart=/usr/local/bin/ledger\n", "", "ExecStart="},
		"a working directory not there": {"LimitNOFILE", "WorkingDirectory=/nonexistent\nLimitNOFILE", "200/CHDIR"},
		"a program not there":           {"/usr/local/bin/ledger", "/usr/local/bin/leger", "203/EXEC"},
		"a user not there":              {"User=nullspace", "User=nulspace", "217/USER"},
		"an env file not there":         {"EnvironmentFile=/etc/ledger/ledger.env", "EnvironmentFile=/etc/ledger/leger.env", "/etc/ledger/leger.env"},
	} {
		t.Run(name, func(t *testing.T) {
			s.file("services/ledger/ledger.service", strings.Replace(ledgerUnit, x.old, x.now, 1))
			defer s.file("services/ledger/ledger.service", ledgerUnit)
			contains(t, s.with(2, "apply", identity, known, "deploy", "--yes"), "ledger.service", x.says)
		})
	}
	if t.Failed() {
		return
	}
	after := s.pid(s.hosts[0]) + s.pid(s.hosts[1])
	if after != pids {
		t.Errorf("a process was restarted: %s, %s", pids, after)
	}
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	s.nothingLeft()
}

// An unreachable host at a first deployment: the others go on.
func TestFirstDeploymentWithoutOne(t *testing.T) {
	s := newStage(t, 3)
	must(s, s.hosts[2].Cut(context.Background()))
	out, _ := s.run(4, "apply", "--yes")
	contains(t, out, "not done", "h3")
	s.serving(2)
	must(s, s.hosts[2].Heal(context.Background()))
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	s.serving(3)
}

// Ctrl-C twice stops at once and says what is left drained; the next apply mends it.
func TestCtrlCTwice(t *testing.T) {
	s := newStage(t, 2)
	s.deployed()
	stop := s.users()
	s.env("=first", "=second")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := s.command(ctx, "apply", "--yes")
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	must(s, c.Start())
	s.eventually(20*time.Second, "a host is drained", func() bool { return s.servers()["DRAIN"] > 0 })
	must(s, c.Process.Signal(os.Interrupt))
	time.Sleep(20 * time.Millisecond)
	must(s, c.Process.Signal(os.Interrupt))
	_ = c.Wait()
	if c.ProcessState.ExitCode() == 0 {
		t.Errorf("exit 0:\n%s", out.String())
	}
	t.Log(out.String())
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	stop()
	s.nothingLeft()
}
