package gitrepo

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// listing is what a tar has, an entry a line.
func listing(t *testing.T, b []byte) string {
	t.Helper()
	var out strings.Builder
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %o %d %s%s\n", h.Name, h.Mode, h.ModTime.Unix(), text, h.Linkname)
	}
}

// An archive of a tag's commit, over every way to a repository: the same bytes each time.
func TestArchiveOfATag(t *testing.T) {
	w := newWork(t)
	w.write("site/public/index.html", "hello")
	w.write("site/run", "#!/bin/sh")
	w.write("other", "not asked for")
	if err := os.Symlink("public/index.html", filepath.Join(w.dir, "site/home")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(w.dir, "site/run"), 0o755); err != nil { // #nosec G302
		t.Fatal(err)
	}
	first := w.push("fleet.yaml", "one")
	when := w.when
	w.git("tag", "light")
	w.git("tag", "-a", "-m", "release", "v1.0")
	w.git("checkout", "-q", "--detach")
	w.write("aside", "only the tag leads here")
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "aside")
	aside := w.git("rev-parse", "HEAD")
	w.git("tag", "-a", "-m", "aside", "aside")
	w.git("checkout", "-q", "main")
	w.git("push", "-q", "origin", "--tags")
	want := fmt.Sprintf("home 777 %[1]d public/index.html\npublic/ 755 %[1]d \npublic/index.html 644 %[1]d hello\nrun 755 %[1]d #!/bin/sh\n", when)
	var before []byte
	for name, open := range remotes(t, w) {
		for tag, commit := range map[string]string{"light": first, "v1.0": first, "aside": aside} {
			t.Run(name+"/"+tag, func(t *testing.T) {
				r := open(t)
				r.options.Branch, r.options.Tag = "", tag
				c := fetch(t, r, commit)
				var b bytes.Buffer
				if err := r.Archive(t.Context(), c.ID, "site", &b); err != nil {
					t.Fatal(err)
				}
				if commit != first {
					return
				}
				if got := listing(t, b.Bytes()); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				if before != nil && !bytes.Equal(before, b.Bytes()) {
					t.Error("the bytes are others than before")
				}
				before = b.Bytes()
				for _, folder := range []string{"nowhere", "other", "../site"} {
					if err := r.Archive(t.Context(), c.ID, folder, io.Discard); KindOf(err) != Refused {
						t.Errorf("%s: %v", folder, err)
					}
				}
			})
		}
		t.Run(name+"/no such tag", func(t *testing.T) {
			r := open(t)
			r.options.Branch, r.options.Tag = "", "v9"
			if _, err := r.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), `it has no tag "v9"`) {
				t.Errorf("%v", err)
			}
		})
	}
}
