package gitrepo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// objects are what a bare repository holds. It is safe for concurrent use.
//
// go-git reads packs and deltas; commits and trees are understood here. Each object is
// compared with its name after it was read, so neither a damaged disk nor a mistake in a
// delta gives anything else than an error.
type objects struct {
	dir string
	max int64

	damaged atomic.Bool // see lost

	mu      sync.Mutex
	storage *filesystem.Storage
	trees   map[plumbing.Hash][]entry // some that were read lately
}

const (
	objectCache = 16 << 20
	treeCache   = 4096
)

var (
	errMissing   = errors.New("it is missing")
	errCorrupt   = errors.New("it is damaged")
	errOversized = errors.New("it is too large")
)

// objectError tells which object cannot be read.
type objectError struct {
	kind plumbing.ObjectType
	hash plumbing.Hash
	err  error
}

func (e *objectError) Error() string {
	return fmt.Sprintf("cannot read %s %s: %v", e.kind, e.hash, e.err)
}
func (e *objectError) Unwrap() error { return e.err }

func openObjects(dir string, max int64) *objects {
	o := &objects{dir: dir, max: max, trees: map[plumbing.Hash][]entry{}}
	o.open()
	return o
}

// open reads the folder's packs anew. o.mu is held, or nobody has o yet.
func (o *objects) open() {
	if o.storage != nil {
		_ = o.storage.Close()
	}
	o.storage = newStorage(o.dir)
}

func newStorage(dir string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(dir, osfs.WithBoundOS()), cache.NewObjectLRU(objectCache),
		filesystem.Options{KeepDescriptors: true, AlternatesFS: osfs.New("/")})
}

func (o *objects) reload() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open()
}

// replace takes the objects of another folder in place of these.
func (o *objects) replace(with string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.storage.Close()
	own, old := filepath.Join(o.dir, "objects"), filepath.Join(o.dir, "objects.old")
	err := os.RemoveAll(old)
	if err == nil {
		err = os.Rename(own, old)
	}
	if err == nil {
		if err = os.Rename(with, own); err != nil {
			_ = os.Rename(old, own)
		}
	}
	o.storage = nil
	clear(o.trees)
	o.open()
	_ = os.RemoveAll(old)
	return err
}

func (o *objects) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.storage.Close()
}

// guarded makes an error of a panic: go-git's readers are given what strangers wrote.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errCorrupt, r)
		}
	}()
	return f()
}

// read returns an object's content, of at most limit bytes.
func (o *objects) read(kind plumbing.ObjectType, h plumbing.Hash, limit int64) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.readLocked(kind, h, limit)
}

func (o *objects) readLocked(kind plumbing.ObjectType, h plumbing.Hash, limit int64) ([]byte, error) {
	var data []byte
	err := guarded(func() error {
		size, err := o.sizeLocked(h)
		if err != nil {
			return err
		}
		if size > min(limit, o.max) {
			return fmt.Errorf("%w: %d bytes of at most %d", errOversized, size, min(limit, o.max))
		}
		obj, err := o.storage.EncodedObject(kind, h)
		if err != nil {
			return err
		}
		r, err := obj.Reader()
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }()
		data, err = io.ReadAll(io.LimitReader(r, size+1))
		return err
	})
	if err = judged(err); err == nil && plumbing.ComputeHash(kind, data) != h {
		err = fmt.Errorf("%w: its content has another name", errCorrupt)
	}
	if err != nil {
		return nil, &objectError{kind, h, err}
	}
	return data, nil
}

// judged tells what an error of go-git's says about an object: it is missing, damaged or
// too large, or the disk has a fault of its own.
func judged(err error) error {
	switch {
	case errors.Is(err, plumbing.ErrObjectNotFound):
		return errMissing
	case err == nil, errors.Is(err, errOversized), errors.Is(err, errCorrupt), isFile(err):
		return err
	}
	return fmt.Errorf("%w: %v", errCorrupt, err)
}

// lost notes that something that was here whole cannot be read any more: it is fetched
// anew, see Repo.heal.
func (o *objects) lost(err error) {
	if errors.Is(err, errMissing) || errors.Is(err, errCorrupt) {
		o.damaged.Store(true)
	}
}

// isFile tells of errors of the disk, which say nothing about the object.
func isFile(err error) bool {
	var pe *fs.PathError
	return errors.As(err, &pe)
}

func (o *objects) sizeLocked(h plumbing.Hash) (int64, error) {
	size, err := o.storage.EncodedObjectSize(h)
	if err == nil && size < 0 {
		return 0, errCorrupt
	}
	return size, err
}

// size is an object's length, unpacked.
func (o *objects) size(h plumbing.Hash) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var size int64
	err := guarded(func() error {
		var err error
		size, err = o.sizeLocked(h)
		return err
	})
	if err = judged(err); err != nil {
		return 0, &objectError{plumbing.AnyObject, h, err}
	}
	return size, nil
}

func (o *objects) has(h plumbing.Hash) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return guarded(func() error { return o.storage.HasEncodedObject(h) }) == nil
}

func (o *objects) commit(h plumbing.Hash) (Commit, error) {
	raw, err := o.read(plumbing.CommitObject, h, maxCommit)
	if err != nil {
		return Commit{}, err
	}
	c, err := parseCommit(h, raw)
	if err != nil {
		return Commit{}, &objectError{plumbing.CommitObject, h, err}
	}
	return c, nil
}

// tree returns a folder's entries, in git's order. They are shared: do not write to them.
func (o *objects) tree(h plumbing.Hash) ([]entry, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if t, ok := o.trees[h]; ok {
		return t, nil
	}
	raw, err := o.readLocked(plumbing.TreeObject, h, maxTree)
	if err != nil {
		return nil, err
	}
	t, err := parseTree(raw)
	if err != nil {
		return nil, &objectError{plumbing.TreeObject, h, err}
	}
	if len(o.trees) >= treeCache {
		clear(o.trees)
	}
	o.trees[h] = t
	return t, nil
}

// write adds one object that was read elsewhere.
func (o *objects) write(kind plumbing.ObjectType, h plumbing.Hash, data []byte) error {
	obj := &plumbing.MemoryObject{}
	obj.SetType(kind)
	if _, err := obj.Write(data); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	got, err := o.storage.SetEncodedObject(obj)
	if err == nil && got != h {
		err = errCorrupt
	}
	return err
}

// makeBare makes an empty bare repository of a folder, so that git itself can look at it.
func makeBare(dir, branch string) error {
	for _, d := range []string{"objects/pack", "objects/info", "refs/heads", "refs/tags"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"HEAD":   "ref: refs/heads/" + branch + "\n",
		"config": "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
	} {
		if err := writeFile(filepath.Join(dir, name), text); err != nil {
			return err
		}
	}
	return nil
}

// writeFile replaces a file as a whole, durably.
func writeFile(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is gone where all went well
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

// sweep removes what a fetch left that was killed.
func sweep(dir string) {
	for _, pattern := range []string{"objects/pack/tmp_*", ".tmp-*"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, f := range found {
			_ = os.Remove(f)
		}
	}
}

// diskUse is how many bytes the files below dir take.
func diskUse(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

func hashOf(id string) (plumbing.Hash, error) {
	if !isHash(strings.TrimSpace(id)) {
		return plumbing.ZeroHash, fmt.Errorf("%s is no commit: it has 40 hex digits", quote(id))
	}
	return plumbing.NewHash(strings.TrimSpace(id)), nil
}
