package lab

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Base is what a lab's hosts are made of. The zero value is the usual one: Debian 12 with systemd, sshd and sudo, and
// without Python.
type Base struct {
	Suite    string   // of Debian: "bookworm" (the default) or a later one, such as "trixie"
	Packages []string // further Debian packages, such as "podman"
}

//go:embed base.sh
var baseScript string

var basePackages = []string{"systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "iproute2", "ca-certificates", "procps"}

// cacheDir is where bases are kept between labs: $EVENKEEL_LAB_CACHE, or /var/cache/evenkeel-lab.
func cacheDir() string {
	if dir := os.Getenv("EVENKEEL_LAB_CACHE"); dir != "" {
		return dir
	}
	return "/var/cache/evenkeel-lab"
}

// mirror is where debootstrap is told to fetch from: nowhere, which is its own default, unless $EVENKEEL_LAB_MIRROR is set.
func mirror() []string {
	if url := os.Getenv("EVENKEEL_LAB_MIRROR"); url != "" {
		return []string{url}
	}
	return nil
}

func (b Base) suite() string {
	if b.Suite == "" {
		return "bookworm"
	}
	return b.Suite
}

func (b Base) packages() []string {
	extra := slices.Clone(b.Packages)
	slices.Sort(extra)
	return slices.Concat(basePackages, slices.Compact(extra))
}

// dir is where this very recipe's image is, or will be.
func (b Base) dir() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\x00%s\x00%s", b.suite(), strings.Join(b.packages(), ","), baseScript)
	return filepath.Join(cacheDir(), b.suite()+"-"+hex.EncodeToString(sum.Sum(nil))[:12])
}

// build returns the image's directory, making the image if this recipe has none yet. An image appears in one rename and is
// never changed after, for hosts may be mounted over it. Of several builders, one builds and the others wait for it.
func (b Base) build(ctx context.Context, log *logger) (string, error) {
	dir := b.dir()
	if strings.ContainsAny(dir, ":,\\") {
		return "", fmt.Errorf("cannot keep images in %s: an overlay's directory may not hold a colon, comma or backslash", cacheDir())
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cacheDir(), 0o755); err != nil {
		return "", fmt.Errorf("cannot make the image cache: %w", err)
	}
	lock, err := lockFile(ctx, filepath.Join(cacheDir(), "lock"), true)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	stale, _ := filepath.Glob(filepath.Join(cacheDir(), ".building-*"))
	for _, d := range stale { // the lock is ours, so nobody builds in them
		if err := errors.Join(unmountBelow(d), os.RemoveAll(d)); err != nil {
			return "", fmt.Errorf("cannot remove an unfinished image: %w", err)
		}
	}
	log.line("making the hosts' image once: Debian %s, about 40 s", b.suite())
	begin := time.Now()
	temp, err := os.MkdirTemp(cacheDir(), ".building-")
	if err != nil {
		return "", err
	}
	if err := b.buildIn(ctx, temp); err != nil {
		return "", errors.Join(fmt.Errorf("cannot make the hosts' image: %w", err), unmountBelow(temp), os.RemoveAll(temp))
	}
	if err := os.Rename(temp, dir); err != nil {
		return "", err
	}
	log.line("made the hosts' image in %.0f s: %s", time.Since(begin).Seconds(), dir)
	return dir, nil
}

func (b Base) buildIn(ctx context.Context, temp string) error {
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	args := append([]string{"--variant=minbase", "--include=" + strings.Join(b.packages(), ","), b.suite(), temp}, mirror()...)
	out, err := run(ctx, "", "debootstrap", args...)
	if err != nil {
		return fmt.Errorf("debootstrap ($EVENKEEL_LAB_MIRROR names another mirror than its own): %w%s", err, said(out))
	}
	_, err = run(ctx, baseScript, "chroot", temp, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "/bin/sh", "-s")
	return err
}
