package desired

import (
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Setting is what a managed file sets on its host beyond itself, by where it is.
type Setting string

// The settings. Those but of logrotate take effect at boot, and here when they are written.
const (
	NoSetting        Setting = ""
	SettingUsers     Setting = "sysusers"
	SettingFolders   Setting = "tmpfiles"
	SettingKernel    Setting = "sysctl"
	SettingJournal   Setting = "journald"
	SettingLogrotate Setting = "logrotate"
)

// SettingOf is what a file at that path sets.
func SettingOf(name string) Setting {
	dir := path.Dir(name)
	switch {
	case dir == "/etc/logrotate.d":
		return SettingLogrotate
	case name == "/etc/systemd/journald.conf":
		return SettingJournal
	case !strings.HasSuffix(name, ".conf"):
		return NoSetting
	}
	return map[string]Setting{"/etc/sysusers.d": SettingUsers, "/etc/tmpfiles.d": SettingFolders, "/etc/sysctl.d": SettingKernel, "/etc/systemd/journald.conf.d": SettingJournal}[dir]
}

// KernelParameter is one that a file of sysctl.d sets.
type KernelParameter struct {
	Path  string // under /proc/sys
	Value string // with one tab between its words, as the kernel shows several
	Line  int
	May   bool // a host that does not have it is well, too
}

// SHA256 is the digest of what the kernel shows of it when it is set.
func (k KernelParameter) SHA256() string {
	return hostdriver.NewContent([]byte(k.Value + "\n")).SHA256()
}

// lines are those of a file that are neither empty nor comments, by number.
func (f *File) lines(of Setting) map[int]string {
	if SettingOf(f.Path) != of || f.Sealing != nil {
		return nil
	}
	out := map[int]string{}
	n := 0
	for line := range strings.Lines(string(f.Content.Bytes())) {
		n++
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line[0] != ';' {
			out[n] = line
		}
	}
	return out
}

// KernelParameters are those that the file sets (sysctl.d(5)), each once, by the last line
// that does; globs and exclusions are the host's to read.
func (f *File) KernelParameters() []KernelParameter {
	byPath := map[string]KernelParameter{}
	for n, line := range f.lines(SettingKernel) {
		key, value, ok := strings.Cut(line, "=")
		key, may := strings.CutPrefix(strings.TrimSpace(key), "-")
		if key = KernelPath(key); !ok || key == "" {
			continue
		}
		if had, again := byPath[key]; !again || had.Line < n {
			byPath[key] = KernelParameter{Path: key, Value: strings.Join(strings.Fields(value), "\t"), Line: n, May: may}
		}
	}
	out := make([]KernelParameter, 0, len(byPath))
	for _, k := range byPath {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b KernelParameter) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// KernelPath is where a parameter is shown: whichever of "." and "/" stands first in its
// name separates; "" where it is none, or a pattern.
func KernelPath(key string) string {
	i := strings.IndexAny(key, "./")
	if i < 0 || strings.ContainsAny(key, "*?[ \t") {
		return ""
	}
	if key[i] == '.' {
		key = strings.Map(func(r rune) rune {
			switch r {
			case '.':
				return '/'
			case '/':
				return '.'
			}
			return r
		}, key)
	}
	if p := path.Clean("/proc/sys/" + key); strings.HasPrefix(p, "/proc/sys/") && hostdriver.CheckPath(p) == nil {
		return p
	}
	return ""
}

// SystemUsers are the users that the file makes (sysusers.d(5)).
func (f *File) SystemUsers() []string {
	var out []string
	for _, line := range f.lines(SettingUsers) {
		words := strings.Fields(line)
		if len(words) > 1 && (words[0] == "u" || words[0] == "u!") && hostdriver.CheckAccount(words[1]) == nil {
			out = append(out, words[1])
		}
	}
	slices.Sort(out)
	return out
}

// MadeDirectories are those that the file makes (tmpfiles.d(5), "d"), with owner and mode
// where it says all of them.
func (f *File) MadeDirectories() []Directory {
	var out []Directory
	for _, line := range f.lines(SettingFolders) {
		w := strings.Fields(line)
		if len(w) < 5 || w[0] != "d" || strings.ContainsAny(w[1], "%\"'\\") || hostdriver.CheckPath(strings.TrimRight(w[1], "/")) != nil {
			continue
		}
		mode, why := parseMode(w[2])
		if why != "" || hostdriver.CheckAccount(w[3]) != nil || hostdriver.CheckAccount(w[4]) != nil || w[3] == "-" || w[4] == "-" {
			continue
		}
		out = append(out, Directory{Path: strings.TrimRight(w[1], "/"), Mode: mode, Owner: w[3], Group: w[4]})
	}
	slices.SortFunc(out, func(a, b Directory) int { return strings.Compare(a.Path, b.Path) })
	return out
}
