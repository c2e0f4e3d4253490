package desired

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// GitArchive is an artifact's source that is a commit of a git repository.
type GitArchive struct {
	URL    string // of the repository: https://, ssh:// or file://
	Tag    string // the tag that the commit must be at; or
	Branch string // the branch that the commit must be on
	Commit string // its whole ID
	Path   string // the folder that is wanted; "." is all
}

// IsGitArchive tells whether a source, or the template of one, is a git repository's.
func IsGitArchive(source string) bool { return strings.HasPrefix(source, "git+") }

var commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)

const gitArchiveMend = "write git+https://HOST/REPO.git?tag=NAME&commit=ID, or branch=NAME, and path=FOLDER where not all is wanted"

// ParseGitArchive reads git+https://HOST/REPO.git?tag=NAME&commit=ID&path=FOLDER.
func ParseGitArchive(source string) (GitArchive, error) {
	u, err := url.Parse(strings.TrimPrefix(source, "git+"))
	if err != nil || hasControl(source) || !IsGitArchive(source) {
		return GitArchive{}, errors.New("source " + fault.Quote(source) + " is not a URL")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return GitArchive{}, errors.New("what stands behind the ? is not KEY=VALUE&…")
	}
	if _, password := u.User.Password(); password || u.User != nil && u.Scheme != "ssh" {
		return GitArchive{}, errors.New("the URL holds a password: keep credentials out of the repo")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "ssh" && u.Scheme != "file":
		return GitArchive{}, fmt.Errorf("git is not asked by %.20s://: https, ssh and file are", u.Scheme)
	case u.Fragment != "" || strings.Trim(u.Path, "/") == "" || (u.Host == "") != (u.Scheme == "file"):
		return GitArchive{}, errors.New("it names no repository")
	}
	a := GitArchive{Path: "."}
	for key, values := range query {
		into, ok := map[string]*string{"tag": &a.Tag, "branch": &a.Branch, "commit": &a.Commit, "path": &a.Path}[key]
		switch {
		case !ok:
			return GitArchive{}, fmt.Errorf("there is no %s: tag, branch, commit and path are", fault.Quote(key))
		case len(values) != 1 || values[0] == "":
			return GitArchive{}, fmt.Errorf("%s wants one value", key)
		}
		*into = values[0]
	}
	u.RawQuery = ""
	a.URL = u.String()
	switch {
	case (a.Tag == "") == (a.Branch == ""):
		return GitArchive{}, errors.New("it needs the tag that the commit is at, or the branch that it is on: one of the two")
	case !commitID.MatchString(a.Commit):
		return GitArchive{}, errors.New("it needs the commit, as 40 lower-case hexadecimal digits: a tag can be moved")
	case path.Clean(a.Path) != a.Path || leaves(a.Path):
		return GitArchive{}, fmt.Errorf("path %s is no folder of the repository", fault.Quote(a.Path))
	}
	return a, nil
}

// Ref is the tag or branch, in words.
func (a GitArchive) Ref() string {
	if a.Tag != "" {
		return "tag " + a.Tag
	}
	return "branch " + a.Branch
}
