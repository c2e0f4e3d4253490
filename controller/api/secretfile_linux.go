package api

import (
	"io/fs"
	"os"
	"syscall"
)

func keyOf(info fs.FileInfo) fileKey {
	k := fileKey{size: info.Size(), modified: info.ModTime().UnixNano(), read: true}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		k.dev, k.inode, k.status = s.Dev, s.Ino, s.Ctim.Nano()
	}
	return k
}

// ownedLike gives f the owner and group of a file, or the group alone of a folder.
func ownedLike(f *os.File, like string) error {
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	uid := int(s.Uid)
	if info.IsDir() {
		uid = -1
	}
	if err := f.Chown(uid, int(s.Gid)); err != nil && os.Geteuid() == 0 {
		return err
	}
	return nil
}
