package gitrepo

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// noise is text that does not pack.
func noise(t testing.TB, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// TestLimits: what is too much is refused by a name, brings nothing, and leaves in force
// what was fetched before; with more room it is taken.
func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limits Limits
		push   func(*work)
		says   string
	}{
		"a pack":       {Limits{Pack: 20 << 10}, func(w *work) { w.push("big", noise(t, 40<<10)) }, "more than 20480 bytes"},
		"a file":       {Limits{Object: 10 << 10}, func(w *work) { w.push("big", strings.Repeat("x", 11<<10)) }, "more than 10240"},
		"a bomb":       {Limits{Unpacked: 1 << 20}, func(w *work) { w.push("bomb", strings.Repeat("\x00", 8<<20)) }, "more than 1048576"},
		"many objects": {Limits{Objects: 10}, func(w *work) { w.many(12) }, "objects, more than 10"},
		"many files":   {Limits{Files: 10}, func(w *work) { w.many(12) }, "files and folders, more than 10"},
		"many branches": {Limits{Refs: 2 << 10}, func(w *work) {
			for i := range 40 {
				w.git("push", "-q", "origin", fmt.Sprintf("HEAD:refs/heads/branch-%d", i))
			}
			w.push("x", "x")
		}, "the server's list of branches has more than 2048 bytes"},
		"a disk": {Limits{Repo: 100 << 10}, func(w *work) { w.push("big", noise(t, 100<<10)); w.push("big", noise(t, 100<<10)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWork(t)
			web := startHTTP(t, w)
			first := w.push("fleet.yaml", "name: first\n")
			r := openRepo(t, web.URL+"/"+filepath.Base(w.bare), func(o *Options) { o.Limits = c.limits })
			fetch(t, r, first)
			c.push(w)
			if c.says == "" { // what was taken before counts with the next
				if _, err := r.Fetch(t.Context()); err != nil {
					t.Fatal(err)
				}
				_, err := r.Fetch(t.Context())
				wantErr(t, err, Local, "has grown to", "git.limits")
				return
			}
			for range 2 {
				_, err := r.Fetch(t.Context())
				wantErr(t, err, Refused, c.says)
			}
			if last, _, ok := r.Last(); !ok || last.ID != first {
				t.Errorf("the last is %s", last.ID)
			}
			fsys, err := r.FS(first)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := fs.ReadFile(fsys, "fleet.yaml"); err != nil || string(b) != "name: first\n" {
				t.Errorf("%q, %v", b, err)
			}
			if left, _ := filepath.Glob(filepath.Join(r.options.Dir, "objects/pack/tmp_*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			fetch(t, openRepo(t, web.URL+"/"+filepath.Base(w.bare)), w.git("rev-parse", "HEAD"))
		})
	}
}

func (w *work) many(n int) {
	w.t.Helper()
	for i := range n {
		w.write(fmt.Sprintf("dir%d/file", i), fmt.Sprint(i))
	}
	w.commit("many")
	w.git("push", "-q", "origin", "HEAD:main")
}

// TestReadLimit: the files of one commit that are read are capped together, each once.
func TestReadLimit(t *testing.T) {
	w := newWork(t)
	w.write("a", strings.Repeat("a", 6000))
	w.write("b", strings.Repeat("b", 6000))
	id := w.push("c", strings.Repeat("a", 6000)) // the content of a
	r := openRepo(t, "file://"+w.bare, func(o *Options) { o.Limits.Read = 10_000 })
	fetch(t, r, id)
	fsys, err := r.FS(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "a", "c"} {
		if _, err := fs.ReadFile(fsys, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := fs.ReadFile(fsys, "b"); err == nil || !strings.Contains(err.Error(), "more than 10000 bytes together") {
		t.Errorf("%v", err)
	}
}

// TestTimes: a server that hangs, before its answer or in its middle, is given up.
func TestTimes(t *testing.T) {
	for name, begin := range map[string]string{"before its answer": "", "in the middle of it": "001e# service=git-upload-pack\n0000"} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if begin != "" {
					w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
					_, _ = w.Write([]byte(begin))
					_ = http.NewResponseController(w).Flush()
				}
				select {
				case <-r.Context().Done():
				case <-done:
				}
			}))
			defer s.Close()
			defer close(done)
			r := openRepo(t, s.URL+"/fleet.git", func(o *Options) { o.Timeout = 300 * time.Millisecond })
			began := time.Now()
			_, err := r.Fetch(t.Context())
			wantErr(t, err, Unreachable, "was not done within 300ms")
			if d := time.Since(began); d > 3*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	}
}

// TestOddFiles: links, submodules, names with control characters and LFS pointers may
// stand in a repository; who reads one is told which it is, and nothing else is.
func TestOddFiles(t *testing.T) {
	w := newWork(t)
	w.write("services/web/service.yaml", "kind: Service\n")
	w.write("services/web/odd\nname", "x")
	w.write("services/web/big", "version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("ab", 32)+"\nsize 12345\n")
	for link, to := range map[string]string{"services/web/passwd": "/etc/passwd", "services/up": "../.."} {
		if err := os.Symlink(to, filepath.Join(w.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	w.git("add", "-A")
	w.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("ab", 20)+",services/sub")
	w.git("commit", "-q", "-m", "odd")
	w.git("push", "-q", "origin", "HEAD:main")
	id := w.git("rev-parse", "HEAD")
	r := openRepo(t, "file://"+w.bare)
	fetch(t, r, id)
	fsys, err := r.FS(id)
	if err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{"services/web/passwd": "symbolic link", "services/up": "symbolic link", "services/up/etc/passwd": "symbolic link", "services/sub": "submodule",
		"services/sub/x": "submodule", "services/web/odd\nname": "control characters", "services/web/big": "Git LFS", "../x": "invalid", "/etc/passwd": "invalid", "services": "folder"} {
		if b, err := fs.ReadFile(fsys, name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %.20q, %v", name, b, err)
		}
	}
	if b, err := fs.ReadFile(fsys, "services/web/service.yaml"); err != nil || len(b) == 0 {
		t.Errorf("%v", err)
	}
	if info, err := fs.Stat(fsys, "services/up"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("%v, %v", info, err)
	}
}

// TestHostileTrees: trees that git itself would not make are refused whole.
func TestHostileTrees(t *testing.T) {
	for name, entry := range map[string]string{"a way out": "..", "git's own": ".git", "git's own, shouted": ".GIT", "a path": "a/b", "nothing": "", "twice": "x"} {
		t.Run(name, func(t *testing.T) {
			w := newWork(t)
			first := w.push("fleet.yaml", "name: first\n")
			r := openRepo(t, "file://"+w.bare)
			fetch(t, r, first)
			blob := w.git("rev-parse", "HEAD:fleet.yaml")
			var tree bytes.Buffer
			for range map[bool]int{true: 2, false: 1}[name == "twice"] {
				fmt.Fprintf(&tree, "100644 %s\x00", entry)
				for i := 0; i < 40; i += 2 {
					var b byte
					_, _ = fmt.Sscanf(blob[i:i+2], "%02x", &b)
					tree.WriteByte(b)
				}
			}
			file := filepath.Join(t.TempDir(), "tree")
			if err := os.WriteFile(file, tree.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			id := w.run(w.bare, "hash-object", "-t", "tree", "--literally", "-w", file)
			commit := w.run(w.bare, "commit-tree", "-p", first, "-m", "hostile", id)
			w.run(w.bare, "update-ref", "refs/heads/main", commit)
			_, err := r.Fetch(t.Context())
			wantErr(t, err, Refused, "what the server sent is not whole", "the name")
			if last, _, ok := r.Last(); !ok || last.ID != first {
				t.Errorf("the last is %s", last.ID)
			}
		})
	}
}

// TestDamagedHere: what the controller's own disk has lost is told, never read as
// something else, and the next fetch brings it anew.
func TestDamagedHere(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"overwritten": func(path string) error {
			_ = os.Chmod(path, 0o600)
			return os.WriteFile(path, []byte("garbage"), 0o600)
		},
		"truncated": func(path string) error { _ = os.Chmod(path, 0o600); return os.Truncate(path, 5) },
		"gone":      os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWork(t)
			web := startHTTP(t, w)
			id := w.push("fleet.yaml", "name: first\n")
			r := openRepo(t, web.URL+"/"+filepath.Base(w.bare))
			fetch(t, r, id)
			blob := w.git("rev-parse", "HEAD:fleet.yaml")
			if err := damage(filepath.Join(r.options.Dir, "objects", blob[:2], blob[2:])); err != nil {
				t.Fatal(err)
			}
			fsys, err := r.FS(id)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := fs.ReadFile(fsys, "fleet.yaml"); err == nil {
				t.Fatalf("it reads %q", b)
			}
			fetch(t, r, id)
			if fsys, err = r.FS(id); err != nil {
				t.Fatal(err)
			}
			if b, err := fs.ReadFile(fsys, "fleet.yaml"); err != nil || string(b) != "name: first\n" {
				t.Errorf("%q, %v", b, err)
			}
			w.run(r.options.Dir, "fsck", "--full", "--strict")
		})
	}
}

// TestDamagedThere: a repository that has lost an object on the server brings nothing
// half; the last revision stays.
func TestDamagedThere(t *testing.T) {
	for name, url := range map[string]func(*testing.T, *work) string{
		"over http":     func(t *testing.T, w *work) string { return startHTTP(t, w).URL + "/" + filepath.Base(w.bare) },
		"from a folder": func(_ *testing.T, w *work) string { return "file://" + w.bare },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWork(t)
			first := w.push("fleet.yaml", "name: first\n")
			r := openRepo(t, url(t, w))
			fetch(t, r, first)
			w.push("fleet.yaml", "name: second\n")
			blob := w.git("rev-parse", "HEAD:fleet.yaml")
			if err := os.Remove(filepath.Join(w.bare, "objects", blob[:2], blob[2:])); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Fetch(t.Context()); KindOf(err) == "" || KindOf(err) == Local {
				t.Errorf("kind %q: %v", KindOf(err), err)
			}
			if last, _, ok := r.Last(); !ok || last.ID != first {
				t.Errorf("the last is %s", last.ID)
			}
		})
	}
}
