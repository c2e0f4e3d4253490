//go:build !linux

package api

import (
	"io/fs"
	"os"
)

func keyOf(info fs.FileInfo) fileKey {
	return fileKey{size: info.Size(), modified: info.ModTime().UnixNano(), read: true}
}

func ownedLike(*os.File, string) error { return nil }
