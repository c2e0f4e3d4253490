package sshdriver

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// sshConfig is one or more ssh_config(5) files, parsed once and asked for each
// host. Where a keyword is set twice, the first value counts, as for ssh.
//
// It is evaluated here and not by github.com/kevinburke/ssh_config because that
// (v1.6.0) rejects a whole file for one Match block it does not know, and quietly
// overlooks Host lines that are quoted or separated by tabs: a host would then be
// reached as the wrong user, or not through its jump host.
type sshConfig struct {
	directives []directive
}

// directive is one line; Include carries the files it names.
type directive struct {
	keyword  string // in lower case
	args     []string
	file     string
	line     int
	included []directive
}

func (d directive) place() string { return fmt.Sprintf("%s:%d", d.file, d.line) }

const (
	maxConfigSize    = 1 << 20
	maxConfigInclude = 16 // ssh's READCONF_MAX_DEPTH
)

// loadConfig reads the files that o.ConfigFile stands for. A default file may be
// missing, one that was asked for may not.
func loadConfig(configFile, home string) (*sshConfig, error) {
	switch configFile {
	case "none":
		return &sshConfig{}, nil
	case "":
		user := configReader{includeDir: filepath.Join(home, ".ssh"), home: home, private: true}
		system := configReader{includeDir: "/etc/ssh", home: home}
		all, err := user.readIfThere(filepath.Join(home, ".ssh", "config"))
		if err != nil {
			return nil, err
		}
		rest, err := system.readIfThere("/etc/ssh/ssh_config")
		if err != nil {
			return nil, err
		}
		// What the user's last Host line covers does not reach into the system's file.
		all = append(all, directive{keyword: "host", args: []string{"*"}})
		return &sshConfig{directives: append(all, rest...)}, nil
	default:
		r := configReader{includeDir: filepath.Join(home, ".ssh"), home: home}
		all, err := r.read(configFile, 0)
		if err != nil {
			return nil, err
		}
		return &sshConfig{directives: all}, nil
	}
}

type configReader struct {
	includeDir string // where relative Includes are found
	home       string
	private    bool // refuse what others may write, as ssh does for ~/.ssh/config
}

func (r configReader) readIfThere(path string) ([]directive, error) {
	all, err := r.read(path, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return all, err
}

func (r configReader) read(path string, depth int) ([]directive, error) {
	if depth > maxConfigInclude {
		return nil, fmt.Errorf("ssh_config %s: more than %d levels of Include", path, maxConfigInclude)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("ssh_config: %w", err)
	}
	if info.Size() > maxConfigSize {
		return nil, fmt.Errorf("ssh_config %s: larger than %d bytes", path, maxConfigSize)
	}
	if r.private && !trustedOwner(info) {
		return nil, fmt.Errorf("ssh_config %s: others may write to it, or own it; run: chmod go-w %s", path, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ssh_config: %w", err)
	}
	all, err := parseConfig(text, path)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].keyword == "include" {
			if all[i].included, err = r.include(all[i], depth+1); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// include reads what an Include line names, in lexical order within a pattern.
func (r configReader) include(d directive, depth int) ([]directive, error) {
	var all []directive
	for _, pattern := range d.args {
		pattern = expandHome(pattern, r.home)
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(r.includeDir, pattern)
		}
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("ssh_config %s: Include %s: %w", d.place(), pattern, err)
		}
		for _, path := range paths {
			more, err := r.read(path, depth)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
			// A Host line in one file does not reach into the next.
			all = append(all, directive{keyword: endOfFile})
		}
	}
	return all, nil
}

// endOfFile separates included files; no keyword can be spelt like it.
const endOfFile = "\x00end"

// trustedOwner follows ssh: owned by us or by root, writable by no one else.
func trustedOwner(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || (st.Uid == 0 || int(st.Uid) == os.Getuid()) && info.Mode().Perm()&0o022 == 0
}

// parseConfig splits text into directives. Keywords that evenkeel has no use for
// are kept, unjudged.
func parseConfig(text []byte, path string) ([]directive, error) {
	var all []directive
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxConfigSize+1)
	for n := 1; lines.Scan(); n++ {
		words, err := splitConfigLine(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("ssh_config %s:%d: %w", path, n, err)
		}
		if len(words) == 0 {
			continue
		}
		all = append(all, directive{keyword: strings.ToLower(words[0]), args: words[1:], file: path, line: n})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("ssh_config %s: %w", path, err)
	}
	return all, nil
}

// splitConfigLine returns the keyword and its arguments. Words are separated by
// white space, the keyword also by one "="; quotes group; a # that starts a word
// starts a comment; a backslash escapes a quote, a backslash or a blank.
func splitConfigLine(line string) ([]string, error) {
	rest := strings.Trim(line, " \t\r\f")
	if rest == "" || rest[0] == '#' {
		return nil, nil
	}
	end := strings.IndexAny(rest, " \t=\"")
	if end < 0 {
		return []string{rest}, nil
	}
	if end == 0 {
		return nil, fmt.Errorf("no keyword before %q", rest[:1])
	}
	words := []string{rest[:end]}
	rest = strings.TrimLeft(rest[end:], " \t")
	rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), " \t")
	for rest != "" && rest[0] != '#' {
		word, more, err := nextConfigWord(rest)
		if err != nil {
			return nil, err
		}
		words = append(words, word)
		rest = strings.TrimLeft(more, " \t")
	}
	return words, nil
}

func nextConfigWord(s string) (word, rest string, err error) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`"'\`, s[i+1]) >= 0,
			c == '\\' && quote == 0 && i+1 < len(s) && s[i+1] == ' ':
			i++
			b.WriteByte(s[i])
		case quote == 0 && (c == ' ' || c == '\t'):
			return b.String(), s[i:], nil
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", "", fmt.Errorf("a %c is not closed", quote)
	}
	return b.String(), "", nil
}

// expandHome replaces a leading ~ or ~/.
func expandHome(path, home string) string {
	if path == "~" {
		return home
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return path
}
