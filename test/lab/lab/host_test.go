package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestHost goes through what a test may do to a host, on one lab.
func TestHost(t *testing.T) {
	l := up(t, Options{Hosts: 3, DiskSize: 512 << 20})
	for name, test := range map[string]func(*testing.T, *Lab){
		"users": logins, "files": files, "partition": partition, "power": power, "own units": ownUnits, "hang": hang, "disk": disk,
	} {
		t.Run(name, func(t *testing.T) { test(t, l) })
	}
}

// must is a command's output, as root over SSH.
func must(t *testing.T, h *Host, command string) string {
	t.Helper()
	out, err := h.Exec(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func logins(t *testing.T, l *Lab) {
	for _, h := range l.Hosts() {
		for user, command := range map[string]string{"root": "id -un", "deploy": "sudo -n id -un"} {
			if out, err := h.ExecAs(t.Context(), user, command); err != nil || out != "root\n" {
				t.Errorf("%s as %s: %q %v", command, user, out, err)
			}
		}
		var exit *ExitError
		if out, err := h.ExecAs(t.Context(), "plain", "sudo -n id -un"); !errors.As(err, &exit) || !strings.Contains(exit.Stderr, "password") {
			t.Errorf("plain may sudo: %q %v", out, err)
		}
		if got := must(t, h, "hostname; systemctl is-system-running; command -v python3 perl6 || echo none"); got != h.Name()+"\nrunning\nnone" {
			t.Errorf("%q", got)
		}
		if out, err := h.Run(t.Context(), "root", "cat; exit 7", strings.NewReader("from stdin")); out != "from stdin" || !errors.As(err, &exit) || exit.Code != 7 {
			t.Errorf("%q %v", out, err)
		}
		for _, peer := range l.Hosts() {
			must(t, h, fmt.Sprintf("bash -c ': </dev/tcp/%s/22'", peer.Name()))
		}
	}
	if a, b := must(t, l.Hosts()[0], "cat /etc/machine-id"), must(t, l.Hosts()[1], "cat /etc/machine-id"); a == b || len(a) != 32 {
		t.Errorf("machine ids %s and %s", a, b)
	}
}

func files(t *testing.T, l *Lab) {
	h := l.Hosts()[0]
	marker := filepath.Join(t.TempDir(), "escape")
	must(t, h, "ln -sfn /var/lib /srv/link; ln -sfn "+marker+" /srv/out; mkdir -p "+filepath.Dir(marker))
	for name, seen := range map[string]string{
		"/srv/new/dir/a": "/srv/new/dir/a", "/srv/link/b": "/var/lib/b", "/srv/out": marker, "/run/c": "/run/c", "/../../d": "/d",
	} {
		if err := h.WriteFile(name, []byte("text of "+name), 0o640); err != nil {
			t.Error(err)
			continue
		}
		if got := must(t, h, "cat "+seen+"; stat -c ' %a %U' "+seen); got != "text of "+name+" 640 root" {
			t.Errorf("%s: %q", name, got)
		}
		if got, err := h.ReadFile(name); err != nil || string(got) != "text of "+name {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if _, err := os.Lstat(marker); err == nil {
		t.Error("a write through a symlink left the host")
	}
	if _, err := h.ReadFile("/nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	// A program is replaced while it runs.
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, h, "mkdir -p /opt/x; cp /bin/sleep /opt/x/program; setsid /opt/x/program 100 >/dev/null 2>&1 </dev/null & sleep 0.1")
	if err := h.CopyIn(program, "/opt/x/program", 0o755); err != nil {
		t.Fatal(err)
	}
	if got := must(t, h, "/opt/x/program; ls -A /opt/x"); got != "new\nprogram" {
		t.Errorf("%q", got)
	}
}

func partition(t *testing.T, l *Lab) {
	a, b := l.Hosts()[0], l.Hosts()[1]
	if err := a.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := a.Exec(ctx, "true"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a host that is cut off: %v", err)
	}
	var exit *ExitError
	if _, err := b.Exec(t.Context(), "timeout 0.3 bash -c ': </dev/tcp/h1/22'"); !errors.As(err, &exit) {
		t.Errorf("its peer reaches it: %v", err)
	}
	if out, err := a.Enter(t.Context(), "systemctl is-system-running"); err != nil || out != "running\n" {
		t.Errorf("it doesn't run on: %q %v", out, err)
	}
	if err := a.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, a, "true")
}

func power(t *testing.T, l *Lab) {
	ctx, h := t.Context(), l.Hosts()[1]
	before := must(t, h, "echo kept >/var/kept; cat /proc/sys/kernel/random/boot_id")
	if err := h.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	if h.Running() {
		t.Error("it runs without power")
	}
	if _, err := h.Enter(ctx, "true"); !errors.Is(err, errOff) {
		t.Errorf("a command in a host that is off: %v", err)
	}
	if err := h.WriteFile("/var/offline", []byte("too\n"), 0o644); err != nil {
		t.Error(err)
	}
	if err := errors.Join(h.Kill(ctx), h.Boot(ctx), h.Boot(ctx)); err != nil {
		t.Fatal(err)
	}
	if got := must(t, h, "cat /var/kept /var/offline"); got != "kept\ntoo" {
		t.Errorf("%q", got)
	}
	again := must(t, h, "cat /proc/sys/kernel/random/boot_id")
	if again == before {
		t.Error("the same boot id after a power cut")
	}
	begin := time.Now()
	if err := h.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("rebooted in %.2f s", time.Since(begin).Seconds())
	if id, err := h.BootID(ctx); err != nil || id == again {
		t.Errorf("boot id %s after a reboot: %v", id, err)
	}
	if got := must(t, h, "cat /var/kept; journalctl --list-boots | grep -c '^ *-*[0-9]'"); got != "kept\n3" {
		t.Errorf("%q", got)
	}
	if _, err := h.Enter(ctx, "systemctl --no-block poweroff"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); h.Running() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if h.Running() {
		t.Error("it doesn't power off")
	}
	if err := h.Boot(ctx); err != nil {
		t.Error(err)
	}
}

// Units of the same name on several hosts know nothing of each other: each host's control groups are its own.
func ownUnits(t *testing.T, l *Lab) {
	hosts := l.Hosts()
	for _, h := range hosts {
		must(t, h, "systemd-run --quiet --unit=same sleep 1000")
	}
	// A command from the console is in its host's groups, too.
	if got, err := hosts[0].Enter(t.Context(), "grep ^0:: /proc/self/cgroup"); err != nil || got != "0::/init.scope\n" {
		t.Errorf("the console is in %q: %v", got, err)
	}
	begin := time.Now()
	must(t, hosts[0], "systemctl stop same")
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("stopping a unit took %s", d)
	}
	for _, h := range hosts[1:] {
		if got := must(t, h, "systemctl is-active same; systemctl show -P ControlGroup same; cat $(dirname /sys/fs/cgroup/system.slice/same.service/x)/cgroup.procs | wc -l"); got != "active\n/system.slice/same.service\n1" {
			t.Errorf("%s: %q", h.Name(), got)
		}
	}
}

func hang(t *testing.T, l *Lab) {
	h := l.Hosts()[2]
	if err := h.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := h.ExecAs(ctx, "plain", "true"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen host answers: %v", err)
	}
	if _, err := h.Enter(ctx, "true"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen host's console answers: %v", err)
	}
	if err := h.Thaw(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, h, "true")
	if err := errors.Join(h.Freeze(t.Context()), h.Kill(t.Context()), h.Boot(t.Context())); err != nil {
		t.Errorf("a power cut while frozen: %v", err)
	}
}

// A disk fills up alone.
func disk(t *testing.T, l *Lab) {
	full, other := l.Hosts()[2], l.Hosts()[0]
	var exit *ExitError
	if _, err := full.Exec(t.Context(), "dd if=/dev/zero of=/var/fill bs=1M 2>&1"); !errors.As(err, &exit) {
		t.Errorf("%v", err)
	}
	must(t, other, "dd if=/dev/zero of=/var/fill bs=1M count=100 2>&1; rm /var/fill")
	if got := must(t, full, "echo x 2>&1 >/var/more || true"); !strings.Contains(got, "No space left") {
		t.Errorf("%q", got)
	}
	must(t, full, "rm /var/fill; echo x >/var/more")
}
