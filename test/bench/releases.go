package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// A large release goes to all hosts, where there is none, then with 1 % of it changed, in
// place, and then with 1 % changed and a few bytes put in, which move all that follows: by
// evenkeel, by rsync with and without compression, by Ansible's copy.

// The targets of releases.
const (
	releaseUnderRsync     = 1. // at least, the faster rsync over evenkeel
	releaseUnderPeer      = 2.
	releaseNextUnderRsync = 2.
	releaseNextUnderPeer  = 6.
)

// Where releases are put on the hosts.
const (
	releaseDir  = "/srv/bench"
	releasePath = releaseDir + "/release"
)

const releaseService = `apiVersion: evenkeel/v1
kind: Service
metadata: {name: release}
spec:
  selector: {matchLabels: {role: victim}}
  artifacts:
    - {name: release, source: "file://%s", sha256: %s, path: %s}
`

// releaseChanges is in how many places the next release differs.
const releaseChanges = 20

// change is how a release differs from the first one.
type change int

const (
	none    change = iota
	inPlace        // 1 % of it is overwritten in several places
	moved          // otherwise overwritten there, and a few bytes are put in
)

// writeRelease writes a release of size bytes, of which half can be compressed to half, as
// with programs.
func writeRelease(file string, size int64, seed byte, how change) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	random := mathrand.NewChaCha8([32]byte{seed})
	fresh := mathrand.NewChaCha8([32]byte{seed, byte(how)})
	block := make([]byte, 64<<10)
	every := size / releaseChanges
	var changed int64
	for at := int64(0); at < size; at += int64(len(block)) {
		_, _ = random.Read(block) // never fails
		if at/int64(len(block))%2 == 0 {
			for i := range block {
				block[i] &= 0x0f
			}
		}
		if how != none && at >= changed*every {
			part := block[:min(int64(len(block)), size/100/releaseChanges)]
			_, _ = fresh.Read(part)
			changed++
			if how == moved && changed == 2 {
				if _, err := io.WriteString(f, "a few bytes that were put in"); err != nil {
					return err
				}
			}
			// What a block does not hold of it goes into those that follow.
			for left := size/100/releaseChanges - int64(len(part)); left > 0 && at+int64(len(block)) < size; left -= int64(len(block)) {
				if _, err := f.Write(block); err != nil {
					return err
				}
				at += int64(len(block))
				_, _ = random.Read(block)
				_, _ = fresh.Read(block[:min(int64(len(block)), left)])
			}
		}
		if _, err := f.Write(block[:min(int64(len(block)), size-at)]); err != nil {
			return err
		}
	}
	return nil
}

// releaseTool is one way to bring a release to all hosts.
type releaseTool struct {
	first, next, moved measure
	bring              func(ctx context.Context, file string, m measure) error
}

// releases measures all tools, each from hosts that have nothing.
func (s *stage) releases(ctx context.Context, n int) error {
	files := [3]string{none: filepath.Join(s.dir, "release-1"), inPlace: filepath.Join(s.dir, "release-2"), moved: filepath.Join(s.dir, "release-3")}
	for how, file := range files {
		if err := writeRelease(file, int64(s.release)<<20, byte(n), change(how)); err != nil {
			return err
		}
		// rsync takes files of one size and time for the same.
		at := time.Now().Add(time.Duration(how-len(files)) * time.Minute)
		if err := os.Chtimes(file, at, at); err != nil {
			return err
		}
	}
	for _, t := range []releaseTool{
		{rsyncFirst, rsyncNext, rsyncMoved, func(ctx context.Context, file string, m measure) error { return s.rsync(ctx, file, m) }},
		{rsyncZFirst, rsyncZNext, rsyncZMoved, func(ctx context.Context, file string, m measure) error { return s.rsync(ctx, file, m, "-z") }},
		{copyFirst, copyNext, copyMoved, s.peerRelease},
		{releaseFirst, releaseNext, releaseMoved, s.ourRelease},
	} {
		if err := s.clearReleases(ctx); err != nil {
			return err
		}
		for how, m := range [3]measure{none: t.first, inPlace: t.next, moved: t.moved} {
			if err := s.beforeRelease(ctx); err != nil {
				return err
			}
			if err := t.bring(ctx, files[how], m); err != nil {
				return err
			}
			if err := s.hasRelease(ctx, files[how]); err != nil {
				return fmt.Errorf("%s: %w", m, err)
			}
		}
	}
	return s.releaseFloors(ctx, files[none], files[inPlace])
}

// clearReleases leaves nothing of any release on the hosts.
func (s *stage) clearReleases(ctx context.Context) error {
	return s.everywhere(ctx, func(ctx context.Context, h *lab.Host) error {
		_, err := h.Exec(ctx, "rm -rf "+releaseDir+" /var/lib/evenkeel /root/.ansible /home/deploy/.ansible; mkdir -p "+releaseDir+"; sync")
		return err
	})
}

// beforeRelease makes the machine the same for all. Twice as much memory is touched as all
// hosts need for one release, for those that write it twice.
func (s *stage) beforeRelease(ctx context.Context) error {
	if err := settle(ctx); err != nil {
		return err
	}
	return touchFree(2 * int64(len(s.lab.Hosts())) * int64(s.release) << 20)
}

// hasRelease makes sure that every host has it.
func (s *stage) hasRelease(ctx context.Context, file string) error {
	want, err := digestOf(file)
	if err != nil {
		return err
	}
	return s.everywhere(ctx, func(ctx context.Context, h *lab.Host) error {
		sum, err := h.Exec(ctx, "sha256sum <"+releasePath+" && sync")
		if err == nil && !strings.HasPrefix(sum, want) {
			err = fmt.Errorf("%s has another release: %.64s, not %s", h.Name(), sum, want)
		}
		return err
	})
}

// rsync brings it to all hosts at once, each by a process of its own.
func (s *stage) rsync(ctx context.Context, file string, m measure, flags ...string) error {
	ssh := fmt.Sprintf("ssh -F /dev/null -i %s -o IdentitiesOnly=yes -o UserKnownHostsFile=%s", s.lab.IdentityFile(), s.lab.KnownHostsFile())
	argv := append([]string{"xargs", "-P", "50", "-I", "{}", "rsync", "-t", "--chmod=755", "--rsync-path=sudo rsync", "-e", ssh}, flags...)
	argv = append(argv, file, loginUser+"@{}:"+releasePath)
	took, _, err := s.watched(ctx, program{argv: argv, dir: s.dir, stdin: strings.Join(s.addresses(), "\n") + "\n"})
	if err == nil {
		s.note(m, took)
	}
	return err
}

func (s *stage) peerRelease(ctx context.Context, file string, m measure) error {
	to := filepath.Join(s.peer, "files", "release")
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Link(file, to); err != nil {
		return err
	}
	return s.playbook(ctx, m, true, "release.yml")
}

func (s *stage) ourRelease(ctx context.Context, file string, m measure) error {
	digest, err := digestOf(file)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "release-fleet")
	if err := errors.Join(write(filepath.Join(dir, "fleet.yaml"), fleetText),
		write(filepath.Join(dir, "inventory", "lab.yaml"), s.lab.Inventory(map[string]string{"role": "victim"})),
		write(filepath.Join(dir, "services", "release", "service.yaml"), fmt.Sprintf(releaseService, file, digest, releasePath)),
		commitAll(dir, string(m))); err != nil {
		return err
	}
	argv := []string{s.evenkeel, "apply", "--yes", "--repo", dir, "--identity", s.lab.IdentityFile(), "--known-hosts", s.lab.KnownHostsFile(),
		"--ssh-user", loginUser, "--become"}
	took, _, err := s.watched(ctx, program{argv: argv, dir: s.dir})
	if err == nil {
		s.note(m, took)
	}
	return err
}

func releaseTable(r *results, o options) *table {
	t := &table{title: fmt.Sprintf("A release of %d MiB to %d hosts", o.release, o.hosts), header: timesHeader("evenkeel"),
		remarks: []string{"One file, of which a quarter can be compressed away; then with 1 % of it overwritten in 20 places; then overwritten otherwise, and a few bytes put in, which move all that follows. rsync: one process a host, all at once. " +
			"evenkeel is the whole `evenkeel apply`: it also keeps the former release and syncs the new one to the disk before it counts, which the others do not. " +
			"Before each run as much free memory is touched as it may need, so that nobody pays for the first use of a virtual machine's memory. " + o.where()}}
	for _, x := range []struct {
		words string
		m     measure
		base  measure
	}{
		{"`evenkeel apply --yes`", releaseFirst, releaseFirst}, {"`rsync`", rsyncFirst, releaseFirst}, {"`rsync -z`", rsyncZFirst, releaseFirst}, {"`ansible-playbook`, copy", copyFirst, releaseFirst},
		{"`evenkeel apply --yes`, 1 % changed", releaseNext, releaseNext}, {"`rsync`, 1 % changed", rsyncNext, releaseNext},
		{"`rsync -z`, 1 % changed", rsyncZNext, releaseNext}, {"`ansible-playbook`, copy, 1 % changed", copyNext, releaseNext},
		{"`evenkeel apply --yes`, 1 % changed, the rest moved", releaseMoved, releaseMoved}, {"`rsync`, the rest moved", rsyncMoved, releaseMoved},
		{"`rsync -z`, the rest moved", rsyncZMoved, releaseMoved}, {"`ansible-playbook`, copy, the rest moved", copyMoved, releaseMoved},
		{"floor: sent plain, and read once", floorFirst, releaseFirst}, {"floor, 1 % changed: copied, written over, and read once", floorNext, releaseNext},
		{"floor, 1 % changed: logged in, and the changed bytes sent", floorBytes, releaseNext},
	} {
		t.line(r, x.words, x.m, x.base)
	}
	t.target(r, "the faster rsync over evenkeel", r.faster(rsyncFirst, rsyncZFirst), releaseFirst, releaseUnderRsync)
	t.target(r, "`ansible-playbook` over evenkeel", copyFirst, releaseFirst, releaseUnderPeer)
	t.target(r, "the faster rsync over evenkeel, 1 % changed", r.faster(rsyncNext, rsyncZNext), releaseNext, releaseNextUnderRsync)
	t.target(r, "`ansible-playbook` over evenkeel, 1 % changed", copyNext, releaseNext, releaseNextUnderPeer)
	t.target(r, "the faster rsync over evenkeel, 1 % changed and the rest moved", r.faster(rsyncMoved, rsyncZMoved), releaseMoved, releaseNextUnderRsync)
	t.target(r, "`ansible-playbook` over evenkeel, 1 % changed and the rest moved", copyMoved, releaseMoved, releaseNextUnderPeer)
	if x, ok := r.ratio(r.faster(rsyncNext, rsyncZNext), floorNext); ok {
		t.conclude("the faster rsync over the floor, 1 %% changed: %.2f ×: what no way can exceed that keeps the former release and proves the new one", x)
	}
	return t
}

// where tells where the hosts' disks are.
func (o options) where() string {
	if o.disks == "" {
		return "The hosts' disks are in memory."
	}
	var fs unix.Statfs_t
	if unix.Statfs(o.disks, &fs) != nil {
		return "The hosts' disks are in " + o.disks + "."
	}
	for magic, name := range map[int64]string{unix.XFS_SUPER_MAGIC: "XFS", unix.BTRFS_SUPER_MAGIC: "Btrfs", unix.EXT4_SUPER_MAGIC: "ext4", unix.TMPFS_MAGIC: "tmpfs"} {
		if fs.Type == magic {
			return "The hosts' disks are on " + name + "."
		}
	}
	return fmt.Sprintf("The hosts' disks are on a filesystem of type %#x.", fs.Type)
}

// faster is the one of two measures with the shorter median.
func (r *results) faster(a, b measure) measure {
	if x, ok := r.ratio(a, b); ok && x > 1 {
		return b
	}
	return a
}
