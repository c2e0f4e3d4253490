package sshdriver

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- the format's own hash of host names, not a signature
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// knownLine is one line of a known_hosts file: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
type knownLine struct {
	authority bool // @cert-authority
	revoked   bool // @revoked
	patterns  []string
	salt, sum []byte // of a hashed name, instead of patterns
	key       ssh.PublicKey
	file      string
	line      int
}

func (l *knownLine) place() string { return fmt.Sprintf("%s:%d", l.file, l.line) }

// matches compares with a name as ssh looks it up: "host", or "[host]:port" where
// the port is not 22, in lower case.
func (l *knownLine) matches(name string) bool {
	if l.salt != nil {
		mac := hmac.New(sha1.New, l.salt)
		mac.Write([]byte(name))
		return hmac.Equal(mac.Sum(nil), l.sum)
	}
	return matchHostLine(l.patterns, []string{name})
}

// knownFile is a parsed file. Lines whose names are plain are found through an
// index, for fleets have long files; the others are compared one by one.
type knownFile struct {
	plain   map[string][]*knownLine
	scanned []*knownLine // wildcards, negations, hashed names
	revoked []*knownLine
	bad     []string // lines that were skipped: "file:line: why"
}

func (f *knownFile) lookup(name string) []*knownLine {
	found := append([]*knownLine(nil), f.plain[name]...)
	for _, l := range f.scanned {
		if l.matches(name) {
			found = append(found, l)
		}
	}
	return found
}

func (f *knownFile) add(l *knownLine) {
	if l.revoked {
		f.revoked = append(f.revoked, l)
		return
	}
	if l.salt != nil {
		f.scanned = append(f.scanned, l)
		return
	}
	for _, p := range l.patterns {
		if strings.ContainsAny(p, "*?!") {
			f.scanned = append(f.scanned, l)
			return
		}
	}
	for _, p := range l.patterns {
		f.plain[p] = append(f.plain[p], l)
	}
}

// parseKnownHosts reads a file. As for ssh, a line that cannot be read is skipped,
// which can only make a host less trusted; it is remembered in bad. A @revoked line
// that cannot be read is an error, since skipping that would make a key trusted.
//
// golang.org/x/crypto/ssh/knownhosts is not used: it rejects the whole file for one
// line with a kind of key it does not know, takes a certificate authority's key for
// a host's own, does not say which algorithms to ask a host for, and "*" there does
// not cover ports other than 22.
func parseKnownHosts(r io.Reader, path string) (*knownFile, error) {
	f := &knownFile{plain: map[string][]*knownLine{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		l, err := parseKnownLine(text)
		if err != nil {
			err = fmt.Errorf("%s:%d: %w", path, n, err)
			if strings.HasPrefix(text, "@revoked") {
				return nil, err
			}
			f.bad = append(f.bad, err.Error())
			continue
		}
		l.file, l.line = path, n
		f.add(l)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func parseKnownLine(text string) (*knownLine, error) {
	l := &knownLine{}
	fields := strings.Fields(text)
	if strings.HasPrefix(fields[0], "@") {
		switch fields[0] {
		case "@cert-authority":
			l.authority = true
		case "@revoked":
			l.revoked = true
		default:
			return nil, fmt.Errorf("unknown marker %q", fields[0])
		}
		fields = fields[1:]
	}
	if len(fields) < 3 {
		return nil, errors.New("not host names, a type and a key")
	}
	if err := l.parseNames(fields[0]); err != nil {
		return nil, err
	}
	blob, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if l.key, err = ssh.ParsePublicKey(blob); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if l.key.Type() != fields[1] {
		return nil, fmt.Errorf("key is of type %s, not %q", l.key.Type(), fields[1])
	}
	if _, isCert := l.key.(*ssh.Certificate); isCert {
		return nil, errors.New("a certificate where a key belongs")
	}
	return l, nil
}

// parseNames reads "name,[name]:port,!pattern" or "|1|salt|hash".
func (l *knownLine) parseNames(s string) error {
	if s[0] != '|' {
		for _, p := range strings.Split(strings.ToLower(s), ",") {
			if p != "" {
				l.patterns = append(l.patterns, p)
			}
		}
		if len(l.patterns) == 0 {
			return errors.New("no host names")
		}
		return nil
	}
	parts := strings.Split(s, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return errors.New("hashed name: not |1|salt|hash")
	}
	var err error
	if l.salt, err = base64.StdEncoding.DecodeString(parts[2]); err != nil {
		return fmt.Errorf("hashed name: %w", err)
	}
	if l.sum, err = base64.StdEncoding.DecodeString(parts[3]); err != nil {
		return fmt.Errorf("hashed name: %w", err)
	}
	if len(l.salt) != sha1.Size || len(l.sum) != sha1.Size {
		return errors.New("hashed name: salt or hash is not 20 bytes long")
	}
	return nil
}

// knownHostsCache reads each file once, and again when it has changed, so that a
// key that a person adds counts without a restart. It is safe for concurrent use.
type knownHostsCache struct {
	mu    sync.Mutex
	files map[string]cachedKnownFile
}

type cachedKnownFile struct {
	modified time.Time
	size     int64
	file     *knownFile
}

const maxKnownHostsSize = 64 << 20

// load returns the parsed files. Those that are missing are left out, unless given
// says that someone asked for them.
func (c *knownHostsCache) load(paths []string, given bool) ([]*knownFile, error) {
	var all []*knownFile
	for _, path := range paths {
		f, err := c.one(path)
		if errors.Is(err, fs.ErrNotExist) && !given {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("known hosts: %w", err)
		}
		all = append(all, f)
	}
	return all, nil
}

func (c *knownHostsCache) one(path string) (*knownFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if old, ok := c.files[path]; ok && old.size == info.Size() && old.modified.Equal(info.ModTime()) {
		return old.file, nil
	}
	if info.Size() > maxKnownHostsSize {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxKnownHostsSize)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := parseKnownHosts(bytes.NewReader(text), path)
	if err != nil {
		return nil, err
	}
	if c.files == nil {
		c.files = map[string]cachedKnownFile{}
	}
	c.files[path] = cachedKnownFile{modified: info.ModTime(), size: info.Size(), file: f}
	return f, nil
}
