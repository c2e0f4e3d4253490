package gitrepo

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Options are where the fleet repo is and how it is reached.
type Options struct {
	// URL is ssh://[user@]host[:port]/path, [user@]host:path, https://host/path,
	// http://host/path, file:///path or an absolute path. Passwords do not belong in it.
	URL    string
	Branch string
	Tag    string // a tag instead of a branch
	// Dir is the folder of the bare repository. It is made, and may be removed while no
	// controller runs: it is then fetched anew.
	Dir string

	SSH  SSH  // for ssh URLs
	HTTP HTTP // for https and http URLs

	Limits  Limits
	Timeout time.Duration // of one Fetch; 0: 5 min
}

// SSH starts programs on git servers. How a server is found, logged in to and known to
// be the right one is its business.
type SSH interface {
	// Start runs command on the server. ctx bounds the start, not what follows.
	Start(ctx context.Context, server Server, command string) (Program, error)
}

// Server is where an ssh URL leads.
type Server struct {
	User string // "": as ssh does
	Host string
	Port int // 0: as ssh does
}

// Program is a command that runs: Read reads its stdout, Write writes its stdin. Close
// never waits, and unblocks both.
type Program interface {
	io.ReadWriteCloser
	Stderr() []byte // what it has written there so far, or the end of it
}

// HTTP is how to log in to https servers. Files are read at each fetch, so that a token
// can be replaced at any time.
type HTTP struct {
	Username  string // "": git, which the usual servers take together with a token
	TokenFile string // a token or password; "": no login
	Bearer    bool   // send the token as a bearer token
	CAFile    string // certificates to trust beside the system's
}

// Limits are how much a repository may hold. What is 0 takes the default.
type Limits struct {
	Pack     int64 `mapstructure:"pack"`     // bytes that one fetch brings; 1 GiB
	Object   int64 `mapstructure:"object"`   // bytes of one file; 64 MiB
	Unpacked int64 `mapstructure:"unpacked"` // bytes of all objects that one fetch brings, unpacked; 4 GiB
	Objects  int64 `mapstructure:"objects"`  // objects that one fetch brings; 1,000,000
	Files    int64 `mapstructure:"files"`    // files and folders of one commit; 100,000
	Read     int64 `mapstructure:"read"`     // bytes of all files that are read of one commit; 1 GiB
	Refs     int64 `mapstructure:"refs"`     // bytes of the server's list of branches; 32 MiB
	Repo     int64 `mapstructure:"repo"`     // bytes that the bare repository takes on disk; 8 GiB
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		value *int64
		def   int64
	}{
		{&l.Pack, 1 << 30}, {&l.Object, 64 << 20}, {&l.Unpacked, 4 << 30}, {&l.Objects, 1_000_000},
		{&l.Files, 100_000}, {&l.Read, 1 << 30}, {&l.Refs, 32 << 20}, {&l.Repo, 8 << 30},
	} {
		if *d.value <= 0 {
			*d.value = d.def
		}
	}
	return l
}

const defaultTimeout = 5 * time.Minute

// place is a URL, understood.
type place struct {
	scheme string // ssh, https, http, file
	server Server // of ssh
	path   string // of ssh and file
	url    *url.URL
	shown  string // for messages
}

// parseURL understands a URL as git does, and refuses what it does not expect.
func parseURL(raw string) (place, error) {
	if strings.ContainsFunc(raw, func(r rune) bool { return r < 0x20 || r == 0x7f }) || raw == "" {
		return place{}, fmt.Errorf("git.url is empty or has control characters")
	}
	if filepath.IsAbs(raw) {
		return place{scheme: "file", path: raw, shown: raw}, nil
	}
	if !strings.Contains(raw, "://") {
		return parseSCP(raw)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return place{}, fmt.Errorf("git.url is no URL") // url.Error has the whole of it, with what may be a password
	}
	if _, ok := u.User.Password(); ok {
		return place{}, fmt.Errorf("git.url holds a password: put it into a file, see git.tokenFile")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return place{}, fmt.Errorf("git.url %s has a query or a fragment", u.Redacted())
	}
	p := place{scheme: u.Scheme, path: u.Path, url: u, shown: u.String()}
	switch u.Scheme {
	case "file":
		if (u.Host != "" && u.Host != "localhost") || !filepath.IsAbs(u.Path) {
			return place{}, fmt.Errorf("git.url %s names no folder: write file:///path", p.shown)
		}
		return p, nil
	case "https", "http":
		if u.Hostname() == "" || strings.Trim(u.Path, "/") == "" {
			return place{}, fmt.Errorf("git.url %s names no server and path", p.shown)
		}
		return p, nil
	case "ssh", "git+ssh", "ssh+git":
		p.scheme = "ssh"
		return p.ssh(u)
	}
	return place{}, fmt.Errorf("git.url %s: %q is not supported: use ssh, https or file", p.shown, u.Scheme)
}

func (p place) ssh(u *url.URL) (place, error) {
	if port := u.Port(); port != "" {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return place{}, fmt.Errorf("git.url %s: no such port", p.shown)
		}
		p.server.Port = n
	}
	p.server.User, p.server.Host = u.User.Username(), u.Hostname()
	if strings.HasPrefix(p.path, "/~") {
		p.path = p.path[1:] // of a user's home
	}
	if p.server.Host == "" || strings.Trim(p.path, "/") == "" {
		return place{}, fmt.Errorf("git.url %s names no server and path", p.shown)
	}
	return p, nil
}

// parseSCP understands [user@]host:path.
func parseSCP(raw string) (place, error) {
	host, path, ok := strings.Cut(raw, ":")
	if i := strings.Index(raw, "]:"); strings.Contains(host, "[") && i > 0 {
		host, path, ok = strings.NewReplacer("[", "", "]", "").Replace(raw[:i]), raw[i+2:], true
	}
	if !ok || strings.Contains(host, "/") || host == "" || path == "" {
		return place{}, fmt.Errorf("git.url %q is neither a URL, nor host:path, nor an absolute path", raw)
	}
	p := place{scheme: "ssh", path: path, shown: raw}
	if user, name, ok := strings.Cut(host, "@"); ok {
		p.server.User, host = user, name
	}
	if p.server.Host = host; host == "" {
		return place{}, fmt.Errorf("git.url %q names no server", raw)
	}
	return p, nil
}

// checkRef refuses what is neither a branch nor a tag.
func checkRef(o Options) error {
	switch {
	case o.Tag == "":
		return checkBranch(o.Branch)
	case o.Branch != "":
		return fmt.Errorf("both the branch %q and the tag %q are named", o.Branch, o.Tag)
	case checkBranch(o.Tag) != nil:
		return fmt.Errorf("%q is no name of a tag", o.Tag)
	}
	return nil
}

// checkBranch refuses what cannot be a branch, as git-check-ref-format does.
func checkBranch(name string) error {
	bad := name == "" || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || strings.HasSuffix(name, ".") ||
		strings.Contains(name, "..") || strings.Contains(name, "//") || strings.Contains(name, "@{") || name == "@" ||
		strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?*[\`, r) })
	for _, part := range strings.Split(name, "/") {
		bad = bad || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock")
	}
	if bad {
		return fmt.Errorf("git.branch %q is no name of a branch", name)
	}
	return nil
}
