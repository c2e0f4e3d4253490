package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// MaxBody is the largest body that is read.
const MaxBody = 1 << 20

// tolerance is how far a signed time may be from ours.
const tolerance = 5 * time.Minute

// Sender is one kind of git server: how its hooks are signed and what they say.
type Sender interface {
	// Verify tells whether a secret made the request's signature. The key names the
	// delivery among all that the sender ever signs; "" where nothing tells it apart.
	Verify(h http.Header, body []byte, secrets [][]byte, now time.Time) (key string, err error)
	// Parse reads a verified body. A hook that is about no push gives a Push with
	// Ignored set.
	Parse(h http.Header, body []byte) (Push, error)
}

var senders = map[string]Sender{"github": github{}, "gitlab": gitlab{}, "gitea": gitea{}, "generic": generic{}}

// Senders are the names of all senders, sorted.
func Senders() []string { return []string{"generic", "gitea", "github", "gitlab"} }

// Named is the sender of a name.
func Named(name string) (Sender, bool) {
	s, ok := senders[name]
	return s, ok
}

// ErrUnsigned refuses a request without a signature that one of the secrets made.
// ErrStale one whose signed time is too far from ours.
var (
	ErrUnsigned = errors.New("the signature is missing, or no secret of this controller made it")
	ErrStale    = errors.New("the signed time is more than five minutes from this controller's")
)

// Push is what a hook tells.
type Push struct {
	// Repository is its path at the server, such as org/fleet; "" where the sender did
	// not say.
	Repository string
	// Branch is the branch that moved; "" where the sender did not say.
	Branch string
	// Ignored, where set, is why the hook is about no push.
	Ignored string
}

// Concerns tells whether the push may have moved a branch of the repository at url, and
// in words why not. Branch "" is whatever the server's HEAD names, so any may have.
func (p Push) Concerns(url, branch string) (ok bool, why string) {
	switch {
	case p.Ignored != "":
		return false, p.Ignored
	case p.Repository != "" && !samePath(url, p.Repository):
		return false, "it is about another repository"
	case p.Branch != "" && branch != "" && p.Branch != branch:
		return false, "it is about another branch"
	}
	return true, ""
}

// samePath compares the repository's path at the server with the URL it is fetched by.
// Hosts are not compared: the one in a hook is often not the one that is fetched from
// (another name for SSH, an alias of ssh_config, a proxy).
func samePath(url, repository string) bool {
	path := url
	if _, rest, ok := strings.Cut(url, "://"); ok {
		_, path, _ = strings.Cut(rest, "/")
	} else if host, rest, ok := strings.Cut(url, ":"); ok && !strings.Contains(host, "/") {
		path = rest // scp's form: git@host:org/fleet.git
	}
	path, repository = plain(path), plain(repository)
	return path == repository || strings.HasSuffix(path, "/"+repository)
}

func plain(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return strings.ToLower(strings.TrimSuffix(strings.Trim(path, "/"), ".git"))
}

// branchOf is the branch that a ref names.
func branchOf(ref string) (branch string, ok bool) { return strings.CutPrefix(ref, "refs/heads/") }

// pushOf makes a Push of the two things that every sender tells.
func pushOf(repository, ref string) (Push, error) {
	if repository == "" || ref == "" {
		return Push{}, errors.New("the push names no repository or no ref")
	}
	branch, ok := branchOf(ref)
	if !ok {
		return Push{Repository: repository, Ignored: "it is about no branch"}, nil
	}
	return Push{Repository: repository, Branch: branch}, nil
}

// decode reads JSON, and only whole JSON.
func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the body is not the JSON that was expected: %w", shortened(err))
	}
	return nil
}

// shortened keeps what a stranger sent out of the error, but for the first bytes.
func shortened(err error) error {
	if text := strings.ToValidUTF8(err.Error(), "?"); len(text) > 200 {
		return errors.New(text[:200] + "…")
	}
	return err
}

// event checks the header that names the kind of hook.
func event(h http.Header, header string, push ...string) (ignored string) {
	kind := h.Get(header)
	if slices.Contains(push, kind) {
		return ""
	}
	if kind == "" {
		return "header " + header + " is missing"
	}
	return "it is about no push"
}
