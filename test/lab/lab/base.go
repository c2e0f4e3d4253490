package lab

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Base is what a lab's hosts are made of. The zero value is the usual one: Debian 12 with systemd, sshd and sudo, and
// without Python.
type Base struct {
	Suite    string   // of Debian: "bookworm" (the default), an earlier or later one; or "noble", which is Ubuntu 24.04
	Packages []string // further packages of the distribution, such as "podman"
	Shell    string   // what /bin/sh is: the distribution's own, or "busybox"
}

//go:embed base.sh
var baseScript string

//go:embed extend.sh
var extendScript string

// The key that Ubuntu's archive is signed with since 2018, F6ECB3762474EDA9D21B7022871920D1991BC93C. Debian 12 has no package
// with it.
//
//go:embed ubuntu.gpg
var ubuntuKey []byte

var basePackages = []string{"systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "iproute2", "ca-certificates", "procps"}

// ubuntu are the suites that are not Debian's.
var ubuntu = []string{"jammy", "noble"}

// cacheDir is where bases are kept between labs: $EVENKEEL_LAB_CACHE, or /var/cache/evenkeel-lab.
func cacheDir() string {
	if dir := os.Getenv("EVENKEEL_LAB_CACHE"); dir != "" {
		return dir
	}
	return "/var/cache/evenkeel-lab"
}

func (b Base) suite() string { return cmp.Or(b.Suite, "bookworm") }

// name is what a person calls it.
func (b Base) name() string {
	name := "Debian " + b.suite()
	if slices.Contains(ubuntu, b.suite()) {
		name = "Ubuntu " + b.suite()
	}
	if more := b.further(); len(more) > 0 {
		name += " with " + strings.Join(more, " ")
	}
	return name
}

// further are the packages that only this base has.
func (b Base) further() []string {
	more := slices.Clone(b.Packages)
	if b.Shell == "busybox" {
		more = append(more, "busybox")
	}
	slices.Sort(more)
	return slices.Compact(more)
}

// plain is the base that this one is made out of; false if it is made out of nothing.
func (b Base) plain() (Base, bool) {
	return Base{Suite: b.Suite}, len(b.Packages) > 0 || b.Shell != ""
}

// dir is where this very recipe's image is, or will be.
func (b Base) dir() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\x00%s\x00%s", b.suite(), strings.Join(basePackages, ","), baseScript)
	if _, more := b.plain(); more {
		fmt.Fprintf(sum, "\x00%s\x00%s\x00%s", strings.Join(b.further(), ","), b.Shell, extendScript)
	}
	return filepath.Join(cacheDir(), b.suite()+"-"+hex.EncodeToString(sum.Sum(nil))[:12])
}

func (b Base) check() error {
	if !suiteForm.MatchString(b.suite()) {
		return fmt.Errorf("cannot make hosts of %q: a suite is needed, such as trixie or noble", b.Suite)
	}
	if b.Shell != "" && b.Shell != "busybox" {
		return fmt.Errorf("cannot make %q the hosts' sh: busybox, or nothing for their own", b.Shell)
	}
	return nil
}

var suiteForm = regexp.MustCompile(`^[a-z]{2,20}$`)

// ErrArchive tells that a distribution's archive didn't give what an image is made of.
var ErrArchive = errors.New("its archive didn't give it")

// Build makes the image now, if this recipe has none yet, so that a test can tell what it can't have from what fails.
func (b Base) Build(ctx context.Context, log io.Writer) error {
	if err := b.check(); err != nil {
		return err
	}
	if err := Install(ctx, log); err != nil {
		return err
	}
	_, err := b.build(ctx, &logger{w: log})
	return err
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
	if plain, ok := b.plain(); ok {
		if _, err := plain.build(ctx, log); err != nil {
			return "", err
		}
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
	log.line("making the hosts' image once: %s", b.name())
	begin := time.Now()
	temp, err := os.MkdirTemp(cacheDir(), ".building-")
	if err != nil {
		return "", err
	}
	if err := b.buildBelow(ctx, temp); err != nil {
		return "", errors.Join(fmt.Errorf("cannot make the hosts' image (%s): %w", b.name(), err), unmountBelow(temp), os.RemoveAll(temp))
	}
	if err := errors.Join(os.Rename(filepath.Join(temp, "root"), dir), os.RemoveAll(temp)); err != nil {
		return "", err
	}
	log.line("made the hosts' image in %.0f s: %s", time.Since(begin).Seconds(), dir)
	return dir, nil
}

// buildBelow makes the image as temp/root. It is put together in memory, for dpkg syncs every file that it writes.
func (b Base) buildBelow(ctx context.Context, temp string) error {
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	memory := filepath.Join(temp, "memory")
	if err := os.Mkdir(memory, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("lab", memory, "tmpfs", 0, "size=3g,mode=0755"); err != nil {
		return fmt.Errorf("cannot mount a tmpfs: %w", err)
	}
	root := filepath.Join(memory, "root")
	if err := b.buildIn(ctx, root); err != nil {
		return err
	}
	if err := unmountBelow(root); err != nil {
		return err
	}
	if _, err := run(ctx, "", "cp", "-a", root, filepath.Join(temp, "root")); err != nil {
		return err
	}
	return unmountBelow(memory)
}

// buildIn makes the image at a path where nothing is.
func (b Base) buildIn(ctx context.Context, root string) error {
	if plain, more := b.plain(); more {
		if _, err := run(ctx, "", "cp", "-a", plain.dir(), root); err != nil {
			return err
		}
		if err := within(ctx, root, extendScript, append([]string{cmp.Or(b.Shell, "-")}, b.further()...)...); err != nil {
			return fmt.Errorf("%w: apt-get: %w", ErrArchive, err)
		}
		return nil
	}
	// An archive whose signature does not hold, or cannot be checked, makes no image.
	args := []string{"--force-check-gpg", "--variant=minbase", "--include=" + strings.Join(basePackages, ",")}
	mirror, script, setting := os.Getenv("EVENKEEL_LAB_MIRROR"), "", "EVENKEEL_LAB_MIRROR"
	if slices.Contains(ubuntu, b.suite()) {
		key := filepath.Join(filepath.Dir(root), "ubuntu.gpg")
		if err := os.WriteFile(key, ubuntuKey, 0o644); err != nil {
			return err
		}
		// Debian 12's debootstrap doesn't know later suites than its own; all of Ubuntu's are made alike.
		args, script = append(args, "--keyring="+key), "/usr/share/debootstrap/scripts/gutsy"
		setting = "EVENKEEL_LAB_UBUNTU_MIRROR"
		mirror = os.Getenv(setting)
	}
	args = append(args, b.suite(), root)
	if mirror != "" || script != "" {
		args = append(args, mirror)
	}
	if script != "" {
		args = append(args, script)
	}
	if out, err := run(ctx, "", "debootstrap", args...); err != nil {
		return fmt.Errorf("%w: debootstrap ($%s names another mirror than its own): %w%s", ErrArchive, setting, err, said(out))
	}
	return within(ctx, root, baseScript)
}

// within runs a script in an image, with the arguments given.
func within(ctx context.Context, root, script string, args ...string) error {
	env := []string{root, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"}
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy"} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	out, err := run(ctx, script, "chroot", append(append(env, "/bin/sh", "-s", "--"), args...)...)
	if err != nil {
		return fmt.Errorf("%w%s", err, said(out))
	}
	return nil
}
