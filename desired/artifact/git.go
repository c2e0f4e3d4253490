package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/gitrepo"
)

// What a commit's archive is, is known by its digest alone: beside the archive a file
// git-KEY says the digest of the one that was made for a source. Of a repository, a bare
// copy is kept in git/KEY, so that of the next commit only what is new is fetched.

// gitError has its own mend.
type gitError struct {
	err  error
	mend string
}

func (e *gitError) Error() string { return e.err.Error() }
func (e *gitError) Unwrap() error { return e.err }
func (e *gitError) Mend() string  { return e.mend }

func keyOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// commit makes sure that the archive of a commit is in the cache.
func (s *Store) commit(ctx context.Context, source, digest string) (desired.ArtifactFile, error) {
	a, err := desired.ParseGitArchive(source)
	if err != nil {
		return desired.ArtifactFile{}, err
	}
	// By what is in it: the same commit by another ref is asked for anew, for it may not be there.
	name := "git-" + keyOf(a.URL, a.Tag, a.Branch, a.Commit, a.Path)
	defer s.lock(name)()
	sum, err := os.ReadFile(filepath.Join(s.dir, name))
	had := strings.TrimSpace(string(sum))
	var size int64
	if err == nil && len(had) == 2*sha256.Size && filepath.Base(had) == had {
		size, err = verify(filepath.Join(s.dir, had), had)
	} else {
		err = os.ErrNotExist
	}
	if err != nil {
		if had, size, err = s.archive(ctx, a, name); err != nil {
			return desired.ArtifactFile{}, err
		}
	}
	if digest != "" && digest != had {
		return desired.ArtifactFile{}, &gitError{fmt.Errorf("its archive has the sha256 %s, not %s", had, digest), "drop sha256: the commit pins it"}
	}
	path := filepath.Join(s.dir, had)
	return desired.ArtifactFile{Size: size, Open: func() (io.ReadCloser, error) { return os.Open(path) }}, nil
}

// archive fetches the repository and writes the archive into the cache.
func (s *Store) archive(ctx context.Context, a desired.GitArchive, name string) (digest string, size int64, err error) {
	repo, done, err := s.repo(a)
	if err != nil {
		return "", 0, gitFault(err)
	}
	defer done()
	if err := isThere(ctx, repo, a); err != nil {
		return "", 0, err
	}
	tmp, err := os.CreateTemp(s.dir, ".fetching-*")
	if err != nil {
		return "", 0, fmt.Errorf("cannot write the artifact cache: %w", err)
	}
	defer func() {
		_ = tmp.Close()
		_ = os.Remove(tmp.Name()) // it has another name once it is whole
	}()
	h := sha256.New()
	if err := repo.Archive(ctx, a.Commit, a.Path, io.MultiWriter(tmp, h)); err != nil {
		return "", 0, gitFault(err)
	}
	info, err := tmp.Stat()
	if err != nil {
		return "", 0, err
	}
	digest = hex.EncodeToString(h.Sum(nil))
	if err := settle(tmp, filepath.Join(s.dir, digest)); err != nil {
		return "", 0, fmt.Errorf("cannot write the artifact cache: %w", err)
	}
	note, err := os.CreateTemp(s.dir, ".fetching-*")
	if err != nil {
		return "", 0, fmt.Errorf("cannot write the artifact cache: %w", err)
	}
	defer func() {
		_ = note.Close()
		_ = os.Remove(note.Name())
	}()
	if _, err = note.WriteString(digest + "\n"); err == nil {
		err = settle(note, filepath.Join(s.dir, name))
	}
	if err != nil {
		return "", 0, fmt.Errorf("cannot write the artifact cache: %w", err)
	}
	return digest, info.Size(), nil
}

// isThere fetches, and makes sure that the commit is where the source says.
func isThere(ctx context.Context, repo *gitrepo.Repo, a desired.GitArchive) error {
	tip, err := repo.Fetch(ctx)
	if err != nil {
		return gitFault(err)
	}
	if a.Tag != "" {
		if tip.ID != a.Commit {
			return &gitError{fmt.Errorf("the tag %s is at the commit %s, not at %s", a.Tag, tip.ID, a.Commit),
				"if the tag was moved on purpose, pin commit=" + tip.ID + "; else see who has moved it"}
		}
		return nil
	}
	on, err := repo.Descends(ctx, a.Commit, tip.ID)
	if err == nil && !on {
		err = &gitError{fmt.Errorf("the commit %s is not on the branch %s, which is at %s", a.Commit, a.Branch, tip.ID),
			"push the commit to that branch, or name the branch or tag that has it"}
	}
	return gitFault(err)
}

// repo opens the copy of the repository that is kept; where another process uses that, one
// for this once.
func (s *Store) repo(a desired.GitArchive) (repo *gitrepo.Repo, done func(), err error) {
	var o gitrepo.Options
	if s.Git != nil {
		o = s.Git(a.URL)
	}
	o.URL, o.Tag, o.Branch = a.URL, a.Tag, a.Branch
	o.Dir = filepath.Join(s.dir, "git", keyOf(a.URL, a.Tag, a.Branch))
	if repo, err = gitrepo.Open(o); err == nil {
		return repo, func() { _ = repo.Close() }, nil
	}
	if gitrepo.KindOf(err) != gitrepo.Local {
		return nil, nil, err
	}
	if o.Dir, err = os.MkdirTemp(s.dir, ".fetching-*"); err != nil {
		return nil, nil, err
	}
	if repo, err = gitrepo.Open(o); err != nil {
		_ = os.RemoveAll(o.Dir)
		return nil, nil, err
	}
	return repo, func() { _ = repo.Close(); _ = os.RemoveAll(o.Dir) }, nil
}

// gitFault has the mend of package gitrepo's, which speaks of the fleet repo's settings.
func gitFault(err error) error {
	var own *gitError
	if err == nil || errors.As(err, &own) {
		return err
	}
	mend := gitrepo.MendOf(err)
	if mend == "" || strings.Contains(mend, "git.url") || strings.Contains(mend, "git.branch") {
		mend = "see that the repository is there, and that whoever runs evenkeel may read it"
	}
	return &gitError{err, mend}
}
