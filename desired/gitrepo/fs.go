package gitrepo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// FS is the files of a commit, read only. Only regular files and folders can be opened:
// a link or a submodule is listed as what it is, and refused by name. It can be used as
// long as the Repo is open, also while that fetches.
func (r *Repo) FS(id string) (fs.FS, error) {
	c, err := r.commit(id)
	if err != nil {
		return nil, fail("read the commit", Refused, err)
	}
	return &commitFS{objects: r.objects, commit: c, limits: r.limits, read: map[plumbing.Hash]bool{}}, nil
}

// commitFS is the tree of one commit.
type commitFS struct {
	objects *objects
	commit  Commit
	limits  Limits

	mu    sync.Mutex
	read  map[plumbing.Hash]bool // files that count already
	total int64                  // bytes of them
}

var (
	_ fs.ReadDirFS  = (*commitFS)(nil)
	_ fs.ReadFileFS = (*commitFS)(nil)
	_ fs.StatFS     = (*commitFS)(nil)
)

var (
	errSymlink   = errors.New("it is a symbolic link, which is not followed: put the file itself there")
	errSubmodule = errors.New("it is a submodule, which is not fetched: put the files themselves there")
	errControl   = errors.New("its name has control characters: rename it")
	errLFS       = errors.New("it is kept in Git LFS, which is not fetched: put the file itself there, or deliver it as an artifact")
)

func (f *commitFS) fail(op, name string, err error) error {
	f.objects.lost(err)
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// find walks to a path. Everything on the way must be a real folder.
func (f *commitFS) find(op, name string) (entry, error) {
	if !fs.ValidPath(name) {
		return entry{}, f.fail(op, name, fs.ErrInvalid)
	}
	at := entry{name: ".", kind: kindFolder, hash: plumbing.NewHash(f.commit.Tree)}
	if name == "." {
		return at, nil
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		switch at.kind {
		case kindFolder:
		case kindLink:
			return entry{}, f.fail(op, path.Join(parts[:i]...), errSymlink)
		case kindSubmodule:
			return entry{}, f.fail(op, path.Join(parts[:i]...), errSubmodule)
		default:
			return entry{}, f.fail(op, name, fs.ErrNotExist)
		}
		entries, err := f.objects.tree(at.hash)
		if err != nil {
			return entry{}, f.fail(op, path.Join(parts[:i]...), err)
		}
		next, ok := find(entries, part)
		if !ok {
			return entry{}, f.fail(op, name, fs.ErrNotExist)
		}
		at = next
	}
	return at, nil
}

// Open opens a file or a folder.
func (f *commitFS) Open(name string) (fs.File, error) {
	e, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	if e.kind == kindFolder {
		list, err := f.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return &openFolder{info: f.info(e, 0), list: list}, nil
	}
	data, err := f.content(name, e)
	if err != nil {
		return nil, err
	}
	return &openFile{info: f.info(e, int64(len(data))), Reader: bytes.NewReader(data)}, nil
}

// ReadFile reads a file.
func (f *commitFS) ReadFile(name string) ([]byte, error) {
	e, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	return f.content(name, e)
}

// content reads what a file holds.
func (f *commitFS) content(name string, e entry) ([]byte, error) {
	switch {
	case e.kind == kindLink:
		return nil, f.fail("open", name, errSymlink)
	case e.kind == kindSubmodule:
		return nil, f.fail("open", name, errSubmodule)
	case e.kind == kindFolder:
		return nil, f.fail("read", name, errors.New("it is a folder"))
	case hasControl(name):
		return nil, f.fail("open", name, errControl)
	}
	if err := f.admit(e.hash); err != nil {
		return nil, f.fail("open", name, err)
	}
	data, err := f.objects.read(plumbing.BlobObject, e.hash, f.limits.Object)
	if err != nil {
		return nil, f.fail("open", name, err)
	}
	if isLFS(data) {
		return nil, f.fail("open", name, errLFS)
	}
	return data, nil
}

// admit counts a file's size in, once, before it is read.
func (f *commitFS) admit(h plumbing.Hash) error {
	size, err := f.objects.size(h)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.read[h] {
		return nil
	}
	if size > f.limits.Read-f.total {
		return fmt.Errorf("the files that are read of the commit have more than %d bytes together", f.limits.Read)
	}
	f.read[h] = true
	f.total += size
	return nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || (r >= 0x7f && r < 0xa0) })
}

// isLFS tells the file that stands for one in Git LFS.
func isLFS(data []byte) bool {
	return len(data) < 1024 && bytes.HasPrefix(data, []byte("version https://git-lfs.github.com/spec/"))
}

// ReadDir lists a folder, by name.
func (f *commitFS) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := f.find("readdir", name)
	if err != nil {
		return nil, err
	}
	switch e.kind {
	case kindFolder:
	case kindLink:
		return nil, f.fail("readdir", name, errSymlink)
	case kindSubmodule:
		return nil, f.fail("readdir", name, errSubmodule)
	default:
		return nil, f.fail("readdir", name, errors.New("it is no folder"))
	}
	entries, err := f.objects.tree(e.hash)
	if err != nil {
		return nil, f.fail("readdir", name, err)
	}
	list := make([]fs.DirEntry, 0, len(entries))
	for _, e := range entries {
		list = append(list, &dirEntry{entry: e, fs: f})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name() < list[j].Name() })
	return list, nil
}

// Stat describes what is there, links and submodules too.
func (f *commitFS) Stat(name string) (fs.FileInfo, error) {
	e, err := f.find("stat", name)
	if err != nil {
		return nil, err
	}
	info, err := f.stat(e)
	if err != nil {
		return nil, f.fail("stat", name, err)
	}
	return info, nil
}

func (f *commitFS) stat(e entry) (fs.FileInfo, error) {
	if e.kind == kindFolder || e.kind == kindSubmodule {
		return f.info(e, 0), nil
	}
	size, err := f.objects.size(e.hash)
	return f.info(e, size), err
}

func (f *commitFS) info(e entry, size int64) fileInfo {
	return fileInfo{name: e.name, mode: e.kind.mode(), size: size, at: f.commit.Committer.When}
}

type fileInfo struct {
	name string
	mode fs.FileMode
	size int64
	at   time.Time // the commit's
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return i.at }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }

type dirEntry struct {
	entry entry
	fs    *commitFS
}

func (d *dirEntry) Name() string               { return d.entry.name }
func (d *dirEntry) IsDir() bool                { return d.entry.kind == kindFolder }
func (d *dirEntry) Type() fs.FileMode          { return d.entry.kind.mode().Type() }
func (d *dirEntry) Info() (fs.FileInfo, error) { return d.fs.stat(d.entry) }

type openFile struct {
	*bytes.Reader
	info fileInfo
}

func (o *openFile) Stat() (fs.FileInfo, error) { return o.info, nil }
func (o *openFile) Close() error               { return nil }

type openFolder struct {
	info fileInfo
	list []fs.DirEntry
	at   int
}

func (o *openFolder) Stat() (fs.FileInfo, error) { return o.info, nil }
func (o *openFolder) Close() error               { return nil }
func (o *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: o.info.name, Err: errors.New("it is a folder")}
}

// ReadDir implements fs.ReadDirFile.
func (o *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := o.list[o.at:]
	if n <= 0 {
		o.at = len(o.list)
		return rest, nil
	}
	if len(rest) == 0 {
		return nil, io.EOF
	}
	rest = rest[:min(n, len(rest))]
	o.at += len(rest)
	return rest, nil
}
