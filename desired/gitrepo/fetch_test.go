package gitrepo

import (
	"io/fs"
	"path/filepath"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// remotes are the ways to the same repository.
func remotes(t *testing.T, w *work) map[string]func(*testing.T) *Repo {
	ssh, web := startSSH(t), startHTTP(t, w)
	return map[string]func(*testing.T) *Repo{
		"ssh": func(t *testing.T) *Repo {
			return openRepo(t, ssh.url(w.bare), func(o *Options) { o.SSH = ssh.client(t) })
		},
		"http": func(t *testing.T) *Repo { return openRepo(t, web.URL+"/"+filepath.Base(w.bare)) },
		"file": func(t *testing.T) *Repo { return openRepo(t, "file://"+w.bare) },
	}
}

func TestFetch(t *testing.T) {
	w := newWork(t)
	w.write("services/web/service.yaml", "kind: Service\n")
	w.write("services/web/run.sh", "#!/bin/sh\n")
	w.git("add", "-A")
	w.git("update-index", "--chmod=+x", "services/web/run.sh")
	for name, open := range remotes(t, w) {
		t.Run(name, func(t *testing.T) {
			w.t = t
			first := w.push("fleet.yaml", "name: "+name+"\n")
			r := open(t)
			if _, _, ok := r.Last(); ok {
				t.Error("a tip before the first fetch")
			}
			c := fetch(t, r, first)
			if c.Author.String() != "Ann Author <ann@example.com>" || c.Committer.Name != "Carl Committer" || c.Subject != "change fleet.yaml" || c.Author.When.Unix() != w.when {
				t.Errorf("%+v", c)
			}
			fetch(t, r, first) // nothing new
			for i := range 5 {
				w.push("services/web/web.env", string(rune('a'+i)))
			}
			last := w.push("services/web/web.env", "LAST=1\n")
			fetch(t, r, last)
			fsys, err := r.FS(last)
			if err != nil {
				t.Fatal(err)
			}
			if err := fstest.TestFS(fsys, "fleet.yaml", "services/web/service.yaml", "services/web/run.sh", "services/web/web.env"); err != nil {
				t.Error(err)
			}
			if b, err := fs.ReadFile(fsys, "services/web/web.env"); err != nil || string(b) != "LAST=1\n" {
				t.Errorf("%q, %v", b, err)
			}
			old, err := r.FS(first)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := fs.ReadFile(old, "fleet.yaml"); err != nil || string(b) != "name: "+name+"\n" {
				t.Errorf("%q, %v", b, err)
			}
			w.run(r.options.Dir, "fsck", "--full", "--strict")
		})
	}
}

func TestServerDown(t *testing.T) {
	w := newWork(t)
	first := w.push("fleet.yaml", "a")
	web := startHTTP(t, w)
	r := openRepo(t, web.URL+"/"+filepath.Base(w.bare))
	fetch(t, r, first)
	_, at, _ := r.Last()
	w.push("fleet.yaml", "b")
	web.Close()
	for range 2 {
		_, err := r.Fetch(t.Context())
		wantErr(t, err, Unreachable, "cannot fetch main of "+web.URL)
	}
	c, still, ok := r.Last()
	if !ok || c.ID != first || !still.Equal(at) {
		t.Errorf("last is %s of %s, %v", c.ID, still, ok)
	}
	if fsys, err := r.FS(first); err != nil {
		t.Error(err)
	} else if b, err := fs.ReadFile(fsys, "fleet.yaml"); err != nil || string(b) != "a" {
		t.Errorf("%q, %v", b, err)
	}
}
