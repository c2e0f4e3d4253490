package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A lab's life hangs on a lock (flock(2)) on the file "lock" in its directory, which its owner holds until it ends, however
// it ends: a lab that is not persistent and whose lock is free is a leftover. A persistent lab's lock is taken for as long
// as one command works on it.

var errLocked = errors.New("held by another process")

// lockFile takes the lock at path, making the file if need be. With wait it tries until ctx ends; without, once.
func lockFile(ctx context.Context, path string, wait bool) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && sameFile(f, path) {
			return f, nil
		}
		f.Close()
		switch {
		case err == nil: // the directory was removed while we waited: the next turn sees what is there now
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		case !wait:
			return nil, errLocked
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot lock %s: %w: %w", path, errLocked, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func sameFile(f *os.File, path string) bool {
	here, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(here, there)
}

// claim removes what dead owners left, then takes the prefix and a free subnet and writes the record. It returns the lock,
// held.
func claim(ctx context.Context, r *record, log *logger) (*os.File, error) {
	if err := os.MkdirAll(stateRoot, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the labs' directory: %w", err)
	}
	global, err := lockFile(ctx, filepath.Join(stateRoot, "lock"), true)
	if err != nil {
		return nil, err
	}
	defer global.Close()
	if err := sweepDead(ctx, log); err != nil {
		return nil, err
	}
	if _, err := os.Stat(r.dir()); err == nil {
		return nil, inUse(r.Prefix)
	}
	if r.Subnet, err = freeSubnet(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(r.dir(), 0o700); err != nil {
		return nil, fmt.Errorf("cannot claim prefix %s: %w", r.Prefix, err)
	}
	lock, err := lockFile(ctx, filepath.Join(r.dir(), "lock"), false)
	if err != nil {
		return nil, err
	}
	if err := r.save(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("cannot save the record of lab %s: %w", r.Prefix, err)
	}
	return lock, nil
}

func inUse(prefix string) error {
	r, err := loadRecord(prefix)
	if err != nil {
		return fmt.Errorf("prefix %s is in use: %w", prefix, err)
	}
	if r.Persistent {
		return fmt.Errorf("lab %s is up already: choose another prefix, or `go run ./test/lab down --prefix %s` first", prefix, prefix)
	}
	return fmt.Errorf("prefix %s is in use by %s: choose another prefix", prefix, r.Owner)
}

// sweepDead takes down every lab whose owner is gone. One that is being taken down by somebody else is left to them.
func sweepDead(ctx context.Context, log *logger) error {
	names, err := prefixes()
	if err != nil {
		return err
	}
	for _, name := range names {
		r, err := loadRecord(name)
		if err == nil && r.Persistent && r.BootID == bootID() {
			continue
		}
		lock, lockErr := lockFile(ctx, filepath.Join(stateRoot, name, "lock"), false)
		if errors.Is(lockErr, errLocked) || errors.Is(lockErr, fs.ErrNotExist) {
			continue
		}
		if lockErr != nil {
			return lockErr
		}
		log.line("removing lab %s, left by %s", name, r.Owner)
		err = demolish(ctx, r)
		lock.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// freeSubnet finds an N whose 10.213.N.0/24 no lab has claimed and no interface of this machine has an address in.
func freeSubnet() (int, error) {
	taken := map[int]bool{}
	names, err := prefixes()
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if r, err := loadRecord(name); err == nil {
			taken[r.Subnet] = true
		} else if !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return 0, fmt.Errorf("cannot read this machine's addresses: %w", err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.To4()[0] == 10 && n.IP.To4()[1] == 213 {
			taken[int(n.IP.To4()[2])] = true
		}
	}
	for n := range 256 {
		if !taken[n] {
			return n, nil
		}
	}
	return 0, errors.New("every subnet of 10.213.0.0/16 is taken: `go run ./test/lab down --all` removes labs that are up")
}
