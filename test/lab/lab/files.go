package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// Files of a host are reached through its root, as the host itself sees them: absolute symlinks lead to places in the host,
// never in this machine (openat2(2), RESOLVE_IN_ROOT), and of a running host its own mounts, such as /run, are seen too.

// at opens a path of the host.
func (h *Host) at(name string, flags int, mode uint32) (*os.File, error) {
	root := h.root
	if leader, err := h.leader(); err == nil {
		root = "/proc/" + strconv.Itoa(leader) + "/root"
	}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Mode: uint64(mode), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(dir, path.Clean("/"+name), &how)
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
	}
}

// directory opens a directory of the host, making it and those above it if need be: root's, 0755.
func (h *Host) directory(name string) (*os.File, error) {
	dir, err := h.at(name, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	if !errors.Is(err, fs.ErrNotExist) || name == "/" {
		return dir, err
	}
	parent, err := h.directory(path.Dir(name))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := unix.Mkdirat(int(parent.Fd()), path.Base(name), 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, err
	}
	return h.at(name, unix.O_DIRECTORY|unix.O_RDONLY, 0)
}

// WriteFile writes a file of the host in place, as an editor without care would: not atomic, not synced, through symlinks.
// A new file is root's; missing directories are made. It works on a running host and on one that is off.
func (h *Host) WriteFile(name string, data []byte, mode fs.FileMode) error {
	name = path.Clean("/" + name)
	dir, err := h.directory(path.Dir(name))
	if err == nil {
		dir.Close()
		err = h.writeAt(name, data, mode)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s of %s: %w", name, h.Name(), err)
	}
	return nil
}

func (h *Host) writeAt(name string, data []byte, mode fs.FileMode) error {
	f, err := h.at(name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, uint32(mode.Perm()))
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// ReadFile reads a file of the host, running or off.
func (h *Host) ReadFile(name string) ([]byte, error) {
	f, err := h.at(name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s of %s: %w", name, h.Name(), err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s of %s: %w", name, h.Name(), err)
	}
	return data, nil
}

// CopyIn puts a file of this machine on the host, in one rename, so that it may replace a program that runs. The file is
// root's; missing directories are made.
func (h *Host) CopyIn(local, name string, mode fs.FileMode) error {
	if err := h.copyIn(local, path.Clean("/"+name), mode); err != nil {
		return fmt.Errorf("cannot copy %s to %s of %s: %w", local, name, h.Name(), err)
	}
	return nil
}

func (h *Host) copyIn(local, name string, mode fs.FileMode) error {
	in, err := os.Open(local)
	if err != nil {
		return err
	}
	defer in.Close()
	dir, err := h.directory(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	temp := "." + path.Base(name) + ".lab"
	fd, err := unix.Openat(int(dir.Fd()), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	out := os.NewFile(uintptr(fd), temp)
	_, err = io.Copy(out, in)
	err = errors.Join(err, out.Chmod(mode), out.Close())
	if err == nil {
		err = unix.Renameat(int(dir.Fd()), temp, int(dir.Fd()), path.Base(name))
	}
	if err != nil {
		return errors.Join(err, unix.Unlinkat(int(dir.Fd()), temp, 0))
	}
	return nil
}
