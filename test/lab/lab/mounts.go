package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is one line of /proc/self/mountinfo (proc(5)).
type mount struct{ point, fstype, options string }

func readMounts() ([]mount, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot read the mounts: %w", err)
	}
	return parseMounts(string(text)), nil
}

// parseMounts reads mountinfo; a line that is not one is passed over. The options are the superblock's.
func parseMounts(text string) []mount {
	var mounts []mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(rest) < 1 {
			continue
		}
		m := mount{point: unescapeMount(fields[4]), fstype: rest[0]}
		if len(rest) > 2 {
			m.options = rest[2]
		}
		mounts = append(mounts, m)
	}
	return mounts
}

var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescapeMount(s string) string { return mountEscapes.Replace(s) }

// makeDisk gives host i its root filesystem: an overlay of the base whose upper layer is the host's own disk, which is a
// tmpfs of the lab's disk size, or a directory on a real disk. What was on the disk stays on it.
func (r record) makeDisk(i int) (root string, err error) {
	dir, disk := r.hostDir(i), r.diskDir(i)
	root = filepath.Join(dir, "root")
	if err := errors.Join(os.MkdirAll(disk, 0o755), os.MkdirAll(root, 0o755)); err != nil {
		return "", fmt.Errorf("cannot make the disk of %s: %w", hostName(i), err)
	}
	if r.DiskDir == "" {
		if err := unix.Mount("lab", disk, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", r.DiskSize)); err != nil {
			return "", fmt.Errorf("cannot mount the disk of %s: %w", hostName(i), err)
		}
	} else {
		disk = filepath.Join(r.DiskDir, r.Prefix, hostName(i))
	}
	upper, work := filepath.Join(disk, "upper"), filepath.Join(disk, "work")
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		return "", fmt.Errorf("cannot make the disk of %s: %w", hostName(i), err)
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", r.base(i), upper, work)
	if err := unix.Mount("lab", root, "overlay", 0, options); err != nil {
		return "", fmt.Errorf("cannot mount the root of %s: overlay %s: %w", hostName(i), options, err)
	}
	return root, nil
}

// unmountBelow detaches every mount at or below dir, innermost first.
func unmountBelow(dir string) error {
	for range 10 { // a mount over a mount shows after the upper one is gone
		mounts, err := readMounts()
		if err != nil {
			return err
		}
		found := false
		for _, m := range slices.Backward(mounts) {
			if m.point != dir && !strings.HasPrefix(m.point, dir+"/") {
				continue
			}
			found = true
			if err := unix.Unmount(m.point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("cannot unmount %s: %w", m.point, err)
			}
		}
		if !found {
			return nil
		}
	}
	return fmt.Errorf("cannot unmount what is below %s: mounts come back", dir)
}
