package desired

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"sync"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// maxSource is the largest source file that is read into memory; artifacts are
// streamed and have their own bound.
const maxSource = 16 << 20

// tree is the files of a fleet repo, guarded: only regular files reached through
// real directories are read, whatever links the repo holds. It remembers what
// directories contain, and is safe for concurrent use.
type tree struct {
	fsys fs.FS

	mu   sync.Mutex
	dirs map[string]map[string]fs.DirEntry
}

func newTree(fsys fs.FS) *tree {
	return &tree{fsys: fsys, dirs: map[string]map[string]fs.DirEntry{}}
}

// sourceError is why a file of the repo is not read, for a person.
type sourceError struct {
	rule, message, mend string
	missing             bool
}

func (e *sourceError) Error() string {
	if e.mend == "" {
		return e.message
	}
	return e.message + ": " + e.mend
}

// dir lists a directory whose path has been checked.
func (t *tree) dir(name string) (map[string]fs.DirEntry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d, ok := t.dirs[name]; ok {
		return d, nil
	}
	list, err := fs.ReadDir(t.fsys, name)
	if err != nil {
		return nil, err
	}
	d := make(map[string]fs.DirEntry, len(list))
	for _, e := range list {
		d[e.Name()] = e
	}
	t.dirs[name] = d
	return d, nil
}

// entry finds a path, component by component.
func (t *tree) entry(name string) (fs.DirEntry, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, &sourceError{rule: "escape", message: fault.Quote(name) + " is not a path inside the repo"}
	}
	at := "."
	var found fs.DirEntry
	for _, part := range strings.Split(name, "/") {
		list, err := t.dir(at)
		if err != nil {
			return nil, &sourceError{rule: "unreadable", message: "cannot read the folder " + at + ": " + plainFS(err)}
		}
		e, ok := list[part]
		full := path.Join(at, part)
		if !ok {
			return nil, &sourceError{rule: "missing-source", missing: true, message: "no file " + name,
				mend: nearestFile(at, part, list)}
		}
		if e.Type()&fs.ModeSymlink != 0 {
			return nil, &sourceError{rule: "symlink", message: full + " is a symbolic link, which is not followed", mend: "put the file itself there"}
		}
		at, found = full, e
	}
	return found, nil
}

func nearestFile(dir, name string, list map[string]fs.DirEntry) string {
	names := make([]string, 0, len(list))
	for n := range list {
		names = append(names, n)
	}
	near, ok := fault.Nearest(name, names)
	if !ok {
		return ""
	}
	return "did you mean " + fault.Quote(path.Join(dir, near)) + "?"
}

// read reads a regular file of at most limit bytes.
func (t *tree) read(name string, limit int64) ([]byte, error) {
	f, _, err := t.open(name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, &sourceError{rule: "unreadable", message: "cannot read " + name + ": " + plainFS(err)}
	}
	if int64(len(data)) > limit {
		return nil, tooLarge(name, limit)
	}
	return data, nil
}

// open opens a regular file of at most limit bytes and tells its size.
func (t *tree) open(name string, limit int64) (fs.File, int64, error) {
	e, err := t.entry(name)
	if err != nil {
		return nil, 0, err
	}
	if !e.Type().IsRegular() {
		return nil, 0, &sourceError{rule: "not-a-file", message: name + " is not a regular file"}
	}
	f, err := t.fsys.Open(name)
	if err != nil {
		return nil, 0, &sourceError{rule: "unreadable", message: "cannot open " + name + ": " + plainFS(err)}
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, 0, &sourceError{rule: "unreadable", message: "cannot open " + name + ": " + plainFS(err)}
	}
	if info.Size() > limit {
		f.Close()
		return nil, 0, tooLarge(name, limit)
	}
	return f, info.Size(), nil
}

func tooLarge(name string, limit int64) error {
	return &sourceError{rule: "too-large", message: fmt.Sprintf("%s has more than %d bytes", name, limit), mend: "deliver it as an artifact"}
}

// list are the entries of a directory, by name. A missing one has none, and says so.
func (t *tree) list(name string) (entries []fs.DirEntry, exists bool, err error) {
	if name != "." {
		e, err := t.entry(name)
		var se *sourceError
		if errors.As(err, &se) && se.missing {
			return nil, false, err
		}
		if err != nil {
			return nil, true, err
		}
		if !e.IsDir() {
			return nil, true, &sourceError{rule: "not-a-folder", message: name + " is not a folder"}
		}
	}
	d, err := t.dir(name)
	if err != nil {
		return nil, true, &sourceError{rule: "unreadable", message: "cannot read the folder " + name + ": " + plainFS(err)}
	}
	for _, e := range d {
		entries = append(entries, e)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	return entries, true, nil
}

// plainFS is a file system's error without the path, which the message has already.
func plainFS(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return err.Error()
}

// joinSource is the path of a source named in a service's folder. It never leaves
// the folder.
func joinSource(dir, source string) (string, error) {
	switch {
	case source == "":
		return "", &sourceError{rule: "missing-source", message: "the source is empty"}
	case hasControl(source):
		return "", &sourceError{rule: "escape", message: "source " + fault.Quote(source) + " has control characters"}
	case strings.HasPrefix(source, "/"):
		return "", &sourceError{rule: "escape", message: "source " + fault.Quote(source) + " is an absolute path",
			mend: "name a file in the service's folder"}
	}
	clean := path.Clean(source)
	if clean == ".." || strings.HasPrefix(clean, "../") || !fs.ValidPath(clean) || clean == "." {
		return "", &sourceError{rule: "escape", message: "source " + fault.Quote(source) + " leaves the service's folder",
			mend: "put the file into it"}
	}
	return path.Join(dir, clean), nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0xFFFD || (r >= 0x80 && r < 0xa0) })
}
