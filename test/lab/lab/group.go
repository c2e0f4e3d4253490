package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Processes are started, found, frozen and killed by their control group alone (cgroups(7), version 2): a process can't
// leave its group, its children are born in it, cgroup.kill ends the whole tree at once, and there is no pid to recycle.

// groupRoots are the mount points that hold a lab's groups: of cgroup v2 and, on a hybrid machine, also of v1's
// name=systemd hierarchy, for systemd-nspawn takes a host's path from there.
type groupRoots struct{ v2, v1 string }

func findGroupRoots() (groupRoots, error) {
	var roots groupRoots
	mounts, err := readMounts()
	if err != nil {
		return roots, err
	}
	for _, m := range mounts {
		switch {
		case m.fstype == "cgroup2" && roots.v2 == "":
			roots.v2 = m.point
		case m.fstype == "cgroup" && slices.Contains(strings.Split(m.options, ","), "name=systemd"):
			roots.v1 = m.point
		}
	}
	if roots.v2 == "" {
		return roots, errors.New("no cgroup v2 is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")
	}
	if _, err := os.Stat(filepath.Join(roots.v2, "cgroup.procs")); err != nil {
		return roots, fmt.Errorf("cannot use cgroup v2 at %s: %w", roots.v2, err)
	}
	return roots, nil
}

func (g groupRoots) all() []string {
	if g.v1 == "" {
		return []string{g.v2}
	}
	return []string{g.v2, g.v1}
}

// make creates a group in every hierarchy and, best effort, hands it the controllers that this machine has.
func (g groupRoots) make(group string) error {
	for _, root := range g.all() {
		if err := os.MkdirAll(filepath.Join(root, group), 0o755); err != nil {
			return fmt.Errorf("cannot make control group %s: %w", group, err)
		}
	}
	at := g.v2
	for _, part := range append([]string{""}, strings.Split(filepath.Dir(group), "/")...) {
		at = filepath.Join(at, part)
		for _, c := range []string{"+cpu", "+memory", "+pids", "+io"} {
			_ = os.WriteFile(filepath.Join(at, "cgroup.subtree_control"), []byte(c), 0o644)
		}
	}
	return nil
}

// open returns the directory of a v2 group, for starting a process in it (clone3(2), CLONE_INTO_CGROUP).
func (g groupRoots) open(group string) (*os.File, error) {
	fd, err := unix.Open(filepath.Join(g.v2, group), unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open control group %s: %w", group, err)
	}
	return os.NewFile(uintptr(fd), group), nil
}

// pids lists the processes of a group and of all below it, as this machine numbers them. A missing group has none.
func (g groupRoots) pids(group string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(filepath.Join(g.v2, group), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return ignoreGone(err)
		}
		text, err := os.ReadFile(path)
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
		return ignoreGone(err)
	})
	return pids, err
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// join moves a process into the v2 group that another one is in.
func (g groupRoots) join(other, pid int) error {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(other) + "/cgroup")
	if err != nil {
		return fmt.Errorf("cannot tell the control group of process %d: %w", other, err)
	}
	for line := range strings.Lines(string(text)) {
		if group, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return os.WriteFile(filepath.Join(g.v2, group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
		}
	}
	return fmt.Errorf("process %d is in no control group of version 2", other)
}

// kill ends every process of a group and below with SIGKILL at once, and returns when none is left. Killing a group that
// isn't there is nothing to do.
func (g groupRoots) kill(ctx context.Context, group string) error {
	dir := filepath.Join(g.v2, group)
	for {
		err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0o644)
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Stat(dir); err == nil {
				return fmt.Errorf("cannot kill %s: this kernel has no cgroup.kill (Linux 5.14)", group)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot kill %s: %w", group, err)
		}
		events, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		if err != nil || strings.Contains(string(events), "populated 0") {
			return ignoreGone(err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot kill %s: %w", group, context.Cause(ctx))
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// freeze stops every process of a group where it is, or lets them go on, and returns when that is so.
func (g groupRoots) freeze(ctx context.Context, group string, frozen bool) error {
	value := "0"
	if frozen {
		value = "1"
	}
	dir := filepath.Join(g.v2, group)
	if err := os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte(value), 0o644); err != nil {
		return fmt.Errorf("cannot freeze %s: %w", group, err)
	}
	for {
		events, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		if err != nil || strings.Contains(string(events), "frozen "+value) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot freeze %s: %w", group, context.Cause(ctx))
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// remove deletes an empty group and those below it, innermost first. The kernel lets go of a group a moment after its last
// process, so a busy one is tried again.
func (g groupRoots) remove(ctx context.Context, group string) error {
	for _, root := range g.all() {
		var dirs []string
		err := filepath.WalkDir(filepath.Join(root, group), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return ignoreGone(err)
		})
		if err != nil {
			return err
		}
		for _, dir := range slices.Backward(dirs) {
			if err := removeBusy(ctx, dir); err != nil {
				return fmt.Errorf("cannot remove control group %s: %w", dir, err)
			}
		}
	}
	return nil
}

func removeBusy(ctx context.Context, dir string) error {
	for {
		err := unix.Rmdir(dir)
		if !errors.Is(err, unix.EBUSY) {
			return ignoreGone(err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}
