package artifact

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// aRepository has a site in two commits: v1.0 is the first, and main the second.
func aRepository(t *testing.T) (dir, first, second string, git func(...string) string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed: apt-get install git")
	}
	dir = t.TempDir()
	git = func(args ...string) string {
		t.Helper()
		c := exec.Command("git", args...) // #nosec G204
		c.Dir = dir
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com",
			"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	commit := func(text string) string {
		if err := os.MkdirAll(filepath.Join(dir, "public"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "public/index.html"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		git("add", "-A")
		git("commit", "-q", "-m", text)
		return git("rev-parse", "HEAD")
	}
	git("init", "-q", "-b", "main")
	first = commit("one")
	git("tag", "-a", "-m", "v1.0", "v1.0")
	second = commit("two")
	return dir, first, second, git
}

func TestArchiveOfACommit(t *testing.T) {
	repo, first, second, git := aRepository(t)
	cache := t.TempDir()
	open := func() *Store {
		s, err := New(cache, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	read := func(s *Store, source string) []byte {
		t.Helper()
		f, err := s.Fetch(t.Context(), source, "")
		if err != nil {
			t.Fatal(err)
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil || int64(len(b)) != f.Size {
			t.Fatalf("%d bytes, not %d, %v", len(b), f.Size, err)
		}
		return b
	}
	url := "git+file://" + repo
	tagged := url + "?tag=v1.0&path=public&commit=" + first
	one := read(s, tagged)
	if !bytes.Contains(one, []byte("one")) || bytes.Contains(one, []byte("public/")) {
		t.Errorf("got %q", one)
	}
	if b := read(s, url+"?branch=main&path=public&commit="+first); !bytes.Equal(b, one) {
		t.Error("the same commit by its branch is another archive")
	}
	if b := read(s, url+"?branch=main&commit="+second); !bytes.Contains(b, []byte("two")) || !bytes.Contains(b, []byte("public/index.html")) {
		t.Errorf("got %q", b)
	}
	if _, err := s.Fetch(t.Context(), tagged, digestOf("other")); err == nil || !strings.Contains(err.Error(), "not "+digestOf("other")) {
		t.Errorf("another sha256: %v", err)
	}

	for _, c := range []struct{ what, query, want, mend string }{
		{"no such tag", "?tag=v9&commit=" + first, `it has no tag "v9"`, "push the tag"},
		{"no such branch", "?branch=v9&commit=" + first, `it has no branch "v9"`, "see that the repository is there"},
		{"a tag that is elsewhere", "?tag=v1.0&commit=" + second, "the tag v1.0 is at the commit " + first + ", not at " + second, "pin commit=" + first},
		{"a commit that is nowhere", "?branch=main&commit=" + strings.Repeat("12", 20), "is not on the branch main, which is at " + second, "push the commit to that branch"},
		{"no such folder", "?branch=main&path=private&commit=" + second, "private", "name a folder of that commit"},
	} {
		_, err := s.Fetch(t.Context(), url+c.query, "")
		var m interface{ Mend() string }
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		} else if !errors.As(err, &m) || !strings.Contains(m.Mend(), c.mend) {
			t.Errorf("%s: %v has no mend %q", c.what, err, c.mend)
		}
	}
	if _, err := s.Fetch(t.Context(), "git+file:///nowhere?tag=v1&commit="+first, ""); err == nil || !strings.Contains(err.Error(), "is no git repository") {
		t.Errorf("no repository: %v", err)
	}
	if _, err := s.Fetch(t.Context(), "git+ssh://git@127.0.0.1:1/x?tag=v1&commit="+first, ""); err == nil || !strings.Contains(err.Error(), "no way to reach SSH servers") {
		t.Errorf("ssh: %v", err)
	}

	// A tag that is moved is refused; who has the archive already goes on with it.
	git("tag", "-f", "v1.0", second)
	if b := read(open(), tagged); !bytes.Equal(b, one) {
		t.Error("the cache has another archive")
	}
	if _, err := s.Fetch(t.Context(), url+"?tag=v1.0&commit="+first, ""); err == nil || !strings.Contains(err.Error(), "is at the commit "+second) {
		t.Errorf("a moved tag: %v", err)
	}
	// What was damaged in the cache is made anew, of the branch, for the tag is gone from there.
	for _, e := range entries(t, cache) {
		if len(e) == 64 {
			if err := os.WriteFile(filepath.Join(cache, e), []byte("damaged"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if b := read(open(), url+"?branch=main&path=public&commit="+first); !bytes.Equal(b, one) {
		t.Error("what was damaged was not made anew")
	}
	for _, e := range entries(t, cache) {
		if strings.HasPrefix(e, ".") {
			t.Errorf("left: %s", e)
		}
	}
}
