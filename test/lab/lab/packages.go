package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// needed are the programs that a lab runs on this machine, and the Debian packages that they are in.
var needed = []struct{ program, pkg string }{
	{"systemd-nspawn", "systemd-container"},
	{"debootstrap", "debootstrap"},
	{"ssh", "openssh-client"},
	{"ip", "iproute2"},
	{"nsenter", "util-linux"},
	{"haproxy", "haproxy"},
}

// debianKeyring is what Debian's archives are checked against as an image is made; debootstrap only recommends its package.
const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Needs says what this machine lacks to hold a lab that no package can give it, in one line with the mend; nil if nothing.
func Needs() error {
	if os.Geteuid() != 0 {
		return errors.New("labs need root: run it with sudo")
	}
	if _, err := findGroupRoots(); err != nil {
		return fmt.Errorf("labs need cgroup v2: %w", err)
	}
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err == nil && !strings.Contains(string(filesystems), "\toverlay\n") {
		if _, err := exec.Command("modprobe", "overlay").CombinedOutput(); err != nil {
			return errors.New("labs need overlayfs: modprobe overlay")
		}
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		for _, n := range needed {
			if _, err := exec.LookPath(n.program); err != nil {
				return fmt.Errorf("labs need %s, and this is no Debian or Ubuntu to install package %s on: install it yourself", n.program, n.pkg)
			}
		}
	}
	return nil
}

// Install installs the Debian packages that a lab needs and are absent, and any further ones named. It tells log in one line
// what it installs.
func Install(ctx context.Context, log io.Writer, further ...string) error {
	var absent []string
	for _, n := range needed {
		if _, err := exec.LookPath(n.program); err != nil {
			absent = append(absent, n.pkg)
		}
	}
	if _, err := os.Stat(debianKeyring); err != nil {
		absent = append(absent, "debian-archive-keyring")
	}
	for _, pkg := range further {
		if !installed(ctx, pkg) {
			absent = append(absent, pkg)
		}
	}
	if len(absent) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("cannot install %s: this is no Debian or Ubuntu; install them yourself", strings.Join(absent, " "))
	}
	if err := os.MkdirAll(cacheDir(), 0o755); err != nil {
		return fmt.Errorf("cannot make the image cache: %w", err)
	}
	lock, err := lockFile(ctx, filepath.Join(cacheDir(), "lock"), true)
	if err != nil {
		return err
	}
	defer lock.Close()
	(&logger{w: log}).line("installing Debian packages: %s", strings.Join(absent, " "))
	defer noServices()()
	// A foreign list that can't be fetched is no reason to stop: the packages are Debian's own.
	_, updateErr := apt(ctx, "update")
	if _, err := apt(ctx, append([]string{"install", "--yes", "--no-install-recommends"}, absent...)...); err != nil {
		return fmt.Errorf("cannot install %s: %w", strings.Join(absent, " "), errors.Join(err, updateErr))
	}
	return nil
}

// noServices keeps packages from starting the services they bring (a balancer, a web server) on this machine, by Debian's own
// means (invoke-rc.d(8), policy-rc.d); where a policy is there already, that one holds. The returned function takes it back.
func noServices() func() {
	const policy = "/usr/sbin/policy-rc.d"
	f, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return func() {}
	}
	_, err = f.WriteString("#!/bin/sh\n# made while a lab installs packages\nexit 101\n")
	if err := errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(policy)
		return func() {}
	}
	return func() { _ = os.Remove(policy) }
}

func apt(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"}, args...)
	return run(ctx, "", "env", args...)
}

func installed(ctx context.Context, pkg string) bool {
	out, err := run(ctx, "", "dpkg-query", "-W", "-f", "${db:Status-Status}", pkg)
	return err == nil && out == "installed"
}
