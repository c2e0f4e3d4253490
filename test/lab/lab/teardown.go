package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// demolish removes everything a record stands for, in an order in which each part is unused when it goes: processes,
// mounts, network, control groups, files. Each part that is already gone is passed over, so a demolition that was cut short
// is finished by the next one. The files, the record among them, go last.
func demolish(ctx context.Context, r record) error {
	if !prefixForm.MatchString(r.Prefix) {
		return fmt.Errorf("cannot remove lab %q: not a lab's name", r.Prefix)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	roots, err := findGroupRoots()
	if err != nil {
		return err
	}
	steps := []func() error{
		func() error { return roots.kill(ctx, r.group()) },
		func() error { return unmountBelow(r.dir()) },
		func() error { return r.removeNetwork(ctx) },
		func() error { return roots.remove(ctx, r.group()) },
		func() error { return r.removeTraces() },
		func() error { return r.removeFiles() },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("cannot remove lab %s: %w", r.Prefix, err)
		}
	}
	return nil
}

// removeTraces removes what a systemd-nspawn that was killed leaves in /run/systemd/nspawn: directories named after the
// machine, of which newer versions mount one.
func (r record) removeTraces() error {
	for _, kind := range []string{"propagate", "unix-export"} {
		dirs, err := filepath.Glob(filepath.Join("/run/systemd/nspawn", kind, "ek-"+r.Prefix+"-*"))
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			if err := unmountBelow(dir); err != nil {
				return err
			}
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeFiles deletes the lab's directories, and refuses while anything is still mounted in them.
func (r record) removeFiles() error {
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.point, r.dir()+"/") {
			return fmt.Errorf("%s is still mounted", m.point)
		}
	}
	if r.DiskDir != "" {
		if err := os.RemoveAll(filepath.Join(r.DiskDir, r.Prefix)); err != nil {
			return err
		}
	}
	// The record goes after what it records, the lock after all else.
	entries, err := os.ReadDir(r.dir())
	if err != nil {
		return ignoreGone(err)
	}
	for _, e := range entries {
		if e.Name() != "state.json" && e.Name() != "lock" {
			if err := os.RemoveAll(filepath.Join(r.dir(), e.Name())); err != nil {
				return err
			}
		}
	}
	return errors.Join(ignoreGone(os.Remove(filepath.Join(r.dir(), "state.json"))), os.RemoveAll(r.dir()))
}
