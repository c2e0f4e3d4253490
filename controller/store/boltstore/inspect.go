package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"github.com/evenkeel/evenkeel/controller/store"
)

// What of bbolt's file format (its version 2) tells whether a file is one. A page that
// is missing would end the process when the mapped file is read.
const (
	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	pageHeader   = 16
	metaSize     = 64
	smallestPage = 1 << 10
	largestPage  = 1 << 24
)

// boltMeta is one of the two pages at the beginning of a file. Fields as in bbolt's
// internal/common.Meta, in the machine's byte order.
type boltMeta struct {
	pageSize uint32
	root     uint64 // page of the root bucket
	freelist uint64 // page of the list of free ones
	pages    uint64 // that are in use: the file has at least so many
	tx       uint64
}

var (
	errNoBolt     = errors.New("it is no store file")
	errBoltFormat = errors.New("it is of another file format than this evenkeel's")
	errBadMeta    = errors.New("does not match its checksum")
)

func readMeta(f io.ReaderAt, at int64) (boltMeta, error) {
	var b [pageHeader + metaSize]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return boltMeta{}, fmt.Errorf("cannot be read: %w", err)
	}
	m, e := b[pageHeader:], binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(m[:56])
	switch {
	case e.Uint32(m) != boltMagic:
		return boltMeta{}, errNoBolt
	case e.Uint64(m[56:]) != sum.Sum64():
		return boltMeta{}, errBadMeta
	case e.Uint32(m[4:]) != boltVersion:
		return boltMeta{}, errBoltFormat
	}
	meta := boltMeta{pageSize: e.Uint32(m[8:]), root: e.Uint64(m[16:]), freelist: e.Uint64(m[32:]), pages: e.Uint64(m[40:]), tx: e.Uint64(m[48:])}
	if meta.pageSize < smallestPage || meta.pageSize > largestPage || meta.pageSize&(meta.pageSize-1) != 0 {
		return boltMeta{}, fmt.Errorf("has a page size of %d", meta.pageSize)
	}
	return meta, nil
}

// inspect looks at a file before bbolt is let at it, and refuses what is no store of
// ours, or not a whole one.
func inspect(path string) error {
	f, err := os.Open(path) // #nosec G304 -- the operator's
	if err != nil {
		return unavailable(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return unavailable(path, err)
	case !info.Mode().IsRegular():
		return foreign(path, errors.New("it is no regular file"))
	case info.Size() == 0:
		return damaged(path, errors.New("it is empty, which a store never is: it was truncated"))
	}
	best, err := newestMeta(f, info.Size())
	switch {
	case errors.Is(err, errNoBolt):
		return foreign(path, err)
	case errors.Is(err, errBoltFormat):
		return newer(path, err)
	case err != nil:
		return damaged(path, err)
	}
	if want := best.pages * uint64(best.pageSize); best.pages > 1<<40 || uint64(info.Size()) < want { // #nosec G115 -- sizes are positive
		return damaged(path, fmt.Errorf("it is truncated: %d bytes of at least %d are left", info.Size(), want))
	}
	if err := checkPages(f, best); err != nil {
		return damaged(path, err)
	}
	return nil
}

// newestMeta finds the meta page that counts: the newer of the two, or the one that is
// whole. One that is not is what a crash leaves of a write that was never acknowledged.
func newestMeta(f io.ReaderAt, size int64) (boltMeta, error) {
	first, err := readMeta(f, 0)
	if err == nil {
		second, err := readMeta(f, int64(first.pageSize))
		if err == nil && second.tx > first.tx {
			return second, nil
		}
		return first, nil
	}
	for page := int64(smallestPage); page <= largestPage && page < size; page *= 2 {
		if second, err := readMeta(f, page); err == nil && int64(second.pageSize) == page {
			return second, nil
		}
	}
	if errors.Is(err, errNoBolt) || errors.Is(err, errBoltFormat) {
		return boltMeta{}, err
	}
	return boltMeta{}, fmt.Errorf("neither of its first two pages is whole: the first %w", err)
}

func unavailable(path string, err error) error {
	return &store.Error{Kind: store.Unavailable, Place: path, Err: err, Mend: "see that the folder is there, writable for this user, and on a local disk"}
}

func damaged(path string, err error) error {
	return &store.Error{Kind: store.Damaged, Place: path, Err: fmt.Errorf("the file is damaged: %w", err),
		Mend: "restore a backup (stop the controller, copy the backup to its place), or move the file aside: the hosts' own records are then read instead"}
}

func foreign(path string, err error) error {
	return &store.Error{Kind: store.Foreign, Place: path, Err: fmt.Errorf("the file is not evenkeel's: %w", err),
		Mend: "move the file away, or name another with store.path; nothing was written to it"}
}

func newer(path string, err error) error {
	return &store.Error{Kind: store.Newer, Place: path, Err: err, Mend: "run the evenkeel that wrote it, or a newer one; nothing was written to it"}
}
