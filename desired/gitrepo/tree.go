package gitrepo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
)

// entry is one name in a tree.
type entry struct {
	name string
	kind entryKind
	hash plumbing.Hash
}

type entryKind uint8

const (
	kindFile entryKind = iota
	kindExecutable
	kindFolder
	kindLink
	kindSubmodule
)

// mode is what io/fs calls it.
func (k entryKind) mode() fs.FileMode {
	switch k {
	case kindFolder:
		return fs.ModeDir | 0o755
	case kindExecutable:
		return 0o755
	case kindLink:
		return fs.ModeSymlink | 0o777
	case kindSubmodule:
		return fs.ModeIrregular
	}
	return 0o644
}

// maxTree bounds one folder's tree object.
const maxTree = 16 << 20

// parseTree reads a tree object. A tree that git itself would not make is refused whole:
// its names may mean different things to different readers.
func parseTree(raw []byte) ([]entry, error) {
	var all []entry
	seen := map[string]bool{}
	for previous := ""; len(raw) > 0; {
		head, rest, ok := bytes.Cut(raw, []byte{0})
		mode, name, named := strings.Cut(string(head), " ")
		if !ok || !named || len(rest) < 20 {
			return nil, errors.New("a folder that is cut off")
		}
		kind, ok := kindOf(mode)
		if !ok {
			return nil, fmt.Errorf("%s has the mode %s", quote(name), quote(mode))
		}
		if why := badName(name); why != "" {
			return nil, fmt.Errorf("the name %s %s", quote(name), why)
		}
		order := name
		if kind == kindFolder {
			order += "/"
		}
		if seen[name] || order <= previous {
			return nil, fmt.Errorf("the name %s twice or out of order", quote(name))
		}
		seen[name], previous = true, order
		e := entry{name: name, kind: kind}
		copy(e.hash[:], rest)
		all = append(all, e)
		raw = rest[20:]
	}
	return all, nil
}

func kindOf(mode string) (entryKind, bool) {
	switch mode {
	case "100644", "100664": // the second: of very old versions of git
		return kindFile, true
	case "100755":
		return kindExecutable, true
	case "40000":
		return kindFolder, true
	case "120000":
		return kindLink, true
	case "160000":
		return kindSubmodule, true
	}
	return 0, false
}

// badName tells what is wrong with a name that git never puts into a tree.
func badName(name string) string {
	switch {
	case name == "" || name == "." || name == "..":
		return "leaves its folder"
	case strings.EqualFold(name, ".git"):
		return "is git's own"
	case strings.ContainsAny(name, "/"):
		return "has a slash in it"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case len(name) > 255:
		return "is too long"
	}
	return ""
}

// quote is somebody else's word in a message.
func quote(s string) string {
	if len(s) > 120 {
		s = s[:117] + "..."
	}
	return strconv.Quote(s)
}
