package hostdriver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Hook runs a command of the fleet repo in what was staged, before anything is switched,
// unless the host remembers that it has ended well. That is remembered before the reply is
// sent. Result has Exit and the last lines of Output where it was run, and Ran.
//
// One that is to run once in a fleet is remembered from before it begins (a HookMark that is
// not Done). One that ended with an exit status of 1 to 127 has failed by its own word, and
// the mark is taken away. Of one that was cut (the host lost its power, it was killed, its
// time was over) nobody knows what it has done: the mark stays, and unless Retry says that
// it may be run again, the host does not.
//
// What it has left running is ended when it ends: all of it where the host runs it in a
// transient unit of its own, else its process group.
type Hook struct {
	ID      string // 32 hexadecimal digits, by which it is known what was run
	Service string
	Name    string
	Line    string
	User    string // "": root
	Env     map[string]string
	// Secret are names of Env whose values the host leaves out of what its journal keeps of
	// the output, where they are longer than three characters. Result has them.
	Secret  []string
	Timeout time.Duration
	// Generation is the staged one: who is to run it may be a user that its manifest brings.
	Generation uint64
	// Release, where set, is the path of the staged release in whose folder it runs; that of
	// a single program is the folder around it. What it changes there belongs to the release.
	Release string
	Once    bool
	Retry   bool
	// Elsewhere tells that another host has run it: it is only remembered.
	Elsewhere bool
}

// ReleaseKey names what a host remembers of a release.
func ReleaseKey(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:16])
}

// Mark is the name under which a host remembers it: one that runs on each host is forgotten
// with its release.
func (h Hook) Mark() string {
	switch {
	case h.Once:
		return "once." + h.ID
	case h.Release == "":
		return "host." + h.ID
	}
	return ReleaseKey(h.Release) + "." + h.ID
}

// HookMark is what a host remembers of a hook.
type HookMark struct {
	Service string
	Name    string
	Done    bool   // else it was begun, and did not end by its own word
	Holder  string // who ran it
}

// Check tells what is wrong with a hook.
func (h Hook) Check() error {
	switch {
	case !isMarkID(h.ID):
		return fmt.Errorf("%.60q is not the 32 hexadecimal digits of a hook's ID", h.ID)
	case h.Service == "" || h.Name == "" || HasControl(h.Service) || HasControl(h.Name):
		return errors.New("the hook has no service or name")
	case strings.ContainsRune(h.Line, 0) || strings.TrimSpace(h.Line) == "":
		return errors.New("the command line is empty or holds a NUL")
	}
	if h.Release != "" {
		if err := CheckPath(h.Release); err != nil {
			return err
		}
	}
	if h.User != "" {
		return CheckAccount(h.User)
	}
	return nil
}

// CheckHookMark tells whether a name can be a mark's.
func CheckHookMark(name string) error {
	scope, id, ok := strings.Cut(name, ".")
	if !ok || !isMarkID(id) || scope != "once" && scope != "host" && !isMarkID(scope) {
		return fmt.Errorf("%.80q is no mark of a hook", name)
	}
	return nil
}

func isMarkID(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}

// LastLines are the last lines of a command's output as they may be shown: at most so many
// lines and bytes, without what a terminal would take for more than text.
func LastLines(output []byte, lines, size int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ReplaceAll(string(output), "\r", "\n"))
	var all []string
	for line := range strings.SplitSeq(clean, "\n") {
		if line = strings.TrimRight(line, " "); line != "" {
			all = append(all, line)
		}
	}
	all = all[max(0, len(all)-lines):]
	text := strings.Join(all, "\n")
	if len(text) > size {
		text = strings.ToValidUTF8(text[len(text)-size:], "")
		text = "…" + text
	}
	return text
}
