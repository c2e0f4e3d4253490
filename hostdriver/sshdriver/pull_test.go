package sshdriver

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// eachFetcher runs fn on hosts that have one tool alone to fetch with.
func eachFetcher(t *testing.T, fn func(t *testing.T, h *shellHost, o *origin, fetcher string)) {
	shells := map[string]string{"curl": "dash", "wget": "bash", "busybox": "busybox"}
	for fetcher, shell := range shells {
		t.Run(fetcher, func(t *testing.T) {
			if _, err := exec.LookPath(fetcher); err != nil {
				t.Skipf("%s is not here: apt-get install %s", fetcher, fetcher)
			}
			o := newOrigin(t)
			h := newShellHost(t, shell)
			h.onlyFetcher(fetcher, o)
			fn(t, h, o, fetcher)
		})
	}
}

// onlyFetcher leaves a host one tool to fetch with, or none, which trusts the origin.
func (h *shellHost) onlyFetcher(fetcher string, o *origin) {
	h.t.Helper()
	h.pullTimes.pause = 0
	h.env = append(h.env, "CURL_CA_BUNDLE="+o.ca, "SSL_CERT_FILE="+o.ca)
	h.without("curl", "wget")
	switch fetcher {
	case "curl":
		h.write("bin/curl", "#!/bin/sh\nprintf '%s\\n' \"$*\" >>\"$EK_DIR/argv\"\nexec /usr/bin/curl \"$@\"\n", 0o755)
	case "wget":
		h.write("bin/wget", "#!/bin/sh\nprintf '%s\\n' \"$*\" >>\"$EK_DIR/argv\"\nexec /usr/bin/wget --ca-certificate="+o.ca+" \"$@\"\n", 0o755)
	case "busybox":
		h.write("bin/wget", "#!/bin/sh\nprintf '%s\\n' \"$*\" >>\"$EK_DIR/argv\"\nexec /bin/busybox wget \"$@\"\n", 0o755)
	}
}

func gzipOf(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// likeTree tells what a folder holds: names, types, modes, owners, times, links and contents.
func likeTree(t testing.TB, dir string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `if [ -f "$1" ]; then stat -c '%a %u %g' "$1"; sha256sum <"$1"; exit; fi; cd "$1" || exit; find . -printf '%P %y %m %u %g %l %n ' \( -type d -printf '\n' -o -printf '%T@\n' \) | sort; find . -type f -exec sha256sum {} + | sort`, "-", dir).CombinedOutput() // #nosec G204
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// What a host pulls is what it would have been sent, and neither way undoes the other.
func TestPulledReleaseIsTheOneThatIsSent(t *testing.T) {
	eachFetcher(t, func(t *testing.T, h *shellHost, o *origin, _ string) {
		stream := bundleOf(t, noise(20, 300_000), []byte("small"))
		zst, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		generation := uint64(0)
		for name, c := range map[string]struct {
			form   hostdriver.ReleaseForm
			source []byte
			stream []byte
		}{
			"/app":         {hostdriver.FormFile, noise(21, 200_000), nil},
			"/app.tar":     {hostdriver.FormTar, stream, stream},
			"/app.tar.gz":  {hostdriver.FormTar, gzipOf(t, stream), stream},
			"/app.tar.zst": {hostdriver.FormTar, zst.EncodeAll(stream, nil), stream},
		} {
			t.Run(name, func(t *testing.T) {
				r := o.pulled(h.path("pulled/.releases"+name), name, c.form, c.source)
				generation++
				h.apply(hostdriver.Precheck{Pulls: []hostdriver.Release{r}})
				h.apply(h.stageRelease(generation, r))
				s := r
				s.Pull, s.Path = nil, h.path("sent/.releases"+name)+"/"+r.SHA256
				data := c.source
				if c.form == hostdriver.FormTar {
					data = c.stream
				}
				s.Size, s.Open = int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
				if c.form == hostdriver.FormTar {
					s.Stream = hostdriver.NewContent(data).SHA256()
				}
				generation++
				h.apply(h.stageRelease(generation, s))
				if got, want := likeTree(t, r.Path), likeTree(t, s.Path); got != want {
					t.Errorf("pulled:\n%s\nsent:\n%s", got, want)
				}
				before := len(o.requests())
				generation++
				h.apply(h.stageRelease(generation, r))
				if n := len(o.requests()); n != before {
					t.Errorf("pulled again: %v", o.requests()[before:])
				}
				s.Path = r.Path // the same release, now sent
				generation++
				if sent := h.apply(h.stageRelease(generation, s)).Staged; sent != 0 {
					t.Errorf("%d bytes were sent of what was pulled", sent)
				}
				if left := h.left(filepath.Dir(r.Path)); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			})
		}
	})
}

// zipOf is a zip as Unix makes it, with a program and a link.
func zipOf(t testing.TB, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		hd := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Unix(1700000000, 0).UTC()}
		hd.SetMode(0o755)
		f, err := w.CreateHeader(hd)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(f, "of "+name)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPullOfAZip(t *testing.T) {
	for _, tool := range []string{"unzip", "busybox"} {
		t.Run(tool, func(t *testing.T) {
			o := newOrigin(t)
			h := newShellHost(t, "dash")
			h.onlyFetcher("curl", o)
			if tool == "busybox" {
				h.without("unzip")
			}
			r := o.pulled(h.path("a/.releases/a"), "/a.zip", hostdriver.FormTar, zipOf(t, "bin/run", "doc/a b"))
			h.apply(hostdriver.Precheck{Pulls: []hostdriver.Release{r}})
			h.apply(h.stageRelease(1, r))
			h.holds(r.Path+"/bin/run", []byte("of bin/run"))
			h.holds(r.Path+"/doc/a b", []byte("of doc/a b"))
			if st, err := os.Stat(r.Path + "/bin/run"); err != nil || st.Mode() != 0o755 {
				t.Errorf("%v %v", st.Mode(), err)
			}
			bad := o.pulled(h.path("a/.releases/a"), "/bad.zip", hostdriver.FormTar, zipOf(t, "fine", "../../evil"))
			h.refusesPull(2, bad, "outside its folder", "../../")
		})
	}
}

// refusesPull expects that nothing comes of pulling r, and what is said of it.
func (h *shellHost) refusesPull(generation uint64, r hostdriver.Release, words ...string) {
	h.t.Helper()
	_, err := h.try(h.stageRelease(generation, r))
	if hostdriver.KindOf(err) != hostdriver.Failed || hostdriver.MendOf(err) == "" {
		h.t.Fatalf("%v (%s)", err, hostdriver.MendOf(err))
	}
	wantContains(h.t, err.Error()+" "+hostdriver.MendOf(err), append(words, "shell", r.Pull.Place(), "nothing was staged")...)
	if strings.Contains(err.Error(), "hunter2") {
		h.t.Errorf("it tells the password: %v", err)
	}
	if _, err := os.Lstat(r.Path); err == nil {
		h.t.Error("it is there")
	}
	if kept := h.observe(hostdriver.Query{}).Kept; len(kept) > 0 && kept[len(kept)-1] >= generation {
		h.t.Errorf("kept: %v", kept)
	}
	left, _ := filepath.Glob(r.Dir() + "/.evenkeel-new.*")
	run, _ := filepath.Glob(h.path("run/pull*"))
	if len(left)+len(run) > 0 {
		h.t.Errorf("left: %v %v", left, run)
	}
}

// A transfer that is cut goes on where it was, over connections and over stages.
func TestPullGoesOnWhereItWasCut(t *testing.T) {
	eachFetcher(t, func(t *testing.T, h *shellHost, o *origin, _ string) {
		data := noise(22, 3<<20)
		r := o.pulled(h.path("a/.releases/a"), "/a", hostdriver.FormFile, data)
		o.set(func() { o.cutAfter = 1 << 20 })
		h.apply(h.stageRelease(1, r))
		h.holds(r.Path, data)
		ranges := 0
		for _, q := range o.requests() {
			if strings.Contains(q, "bytes=") {
				ranges++
			}
		}
		if ranges < 2 || o.bytesSent() > int64(len(data))+2<<20 {
			t.Errorf("%d bytes were sent: %v", o.bytesSent(), o.requests())
		}

		// One that a former stage has left.
		next := noise(23, 1<<20)
		r = o.pulled(h.path("a/.releases/a"), "/b", hostdriver.FormFile, next)
		h.write("a/.releases/a/.evenkeel-part."+releaseKey(r.Path)+".pull", string(next[:900_000]), 0o600)
		o.set(func() { o.cutAfter, o.asked = 0, nil })
		h.apply(h.stageRelease(2, r))
		h.holds(r.Path, next)
		if asked := strings.Join(o.requests(), "\n"); !strings.Contains(asked, "bytes=900000-") {
			t.Error(asked)
		}

		// One that is the beginning of something else, from a server that does not know of parts.
		r = o.pulled(h.path("a/.releases/a"), "/c", hostdriver.FormFile, noise(24, 500_000))
		for n, deaf := range []bool{false, true} {
			_ = os.RemoveAll(r.Path)
			h.write("a/.releases/a/.evenkeel-part."+releaseKey(r.Path)+".pull", string(noise(25, 200_000)), 0o600)
			o.set(func() { o.deaf = deaf })
			h.apply(h.stageRelease(uint64(3+n), r))
			h.holds(r.Path, noise(24, 500_000))
		}
		if left := h.left(filepath.Dir(r.Path)); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestPullFaults(t *testing.T) {
	eachFetcher(t, func(t *testing.T, h *shellHost, o *origin, fetcher string) {
		dir := h.path("a/.releases/a")
		query := "?token=hunter2"
		if fetcher == "busybox" {
			query = ""
		}
		gone := o.pulled(dir, "/gone"+query, hostdriver.FormFile, []byte("gone"))
		o.set(func() { delete(o.files, "/gone") })
		h.refusesPull(1, gone, "cannot fetch", "404", "log in and fetch it")

		wrong := o.pulled(dir, "/wrong"+query, hostdriver.FormFile, []byte("what was meant"))
		o.set(func() { o.files["/wrong"] = []byte("what was not") })
		h.refusesPull(1, wrong, "has the sha256 "+hostdriver.NewContent([]byte("what was not")).SHA256(), "not "+wrong.SHA256, "put the right file there")

		cut := o.pulled(dir, "/cut"+query, hostdriver.FormFile, noise(30, 300_000))
		o.set(func() { o.cutAfter = 200_000; o.deaf = true; o.asked = nil })
		h.refusesPull(1, cut, "cannot fetch")
		if n := len(o.requests()); n > 12 {
			t.Errorf("it was asked %d times", n)
		}
		o.set(func() { o.cutAfter = 0; o.deaf = false })

		plain := httptest.NewServer(http.HandlerFunc(o.serve))
		defer plain.Close()
		away := o.pulled(dir, "/away"+query, hostdriver.FormFile, []byte("away"))
		o.set(func() { o.redirect = plain.URL + "/there?token=hunter2"; o.files["/there"] = []byte("away") })
		h.refusesPull(1, away, "redirected to "+plain.URL+"/there?[redacted], which is not https")
		o.set(func() { o.redirect = o.URL + "/there" })
		h.apply(h.stageRelease(1, away))
		o.set(func() { o.redirect = "" })

		silent := o.pulled(dir, "/silent"+query, hostdriver.FormFile, []byte("silent"))
		o.Close()
		h.refusesPull(2, silent, "cannot fetch", "log in and fetch it")

		if argv, _ := h.read("argv"); argv == "" || strings.Contains(argv, "hunter2") {
			t.Errorf("what processes showed: %s", argv)
		}
	})
}

func TestPullOnAFullDisk(t *testing.T) {
	eachFetcher(t, func(t *testing.T, h *shellHost, o *origin, fetcher string) {
		small := h.path("small")
		if err := os.MkdirAll(small, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "none", small).CombinedOutput(); err != nil {
			t.Skipf("cannot mount a tmpfs here: %s", out)
		}
		t.Cleanup(func() { _ = exec.Command("umount", small).Run() })
		big := o.pulled(small+"/.releases/a", "/big", hostdriver.FormFile, noise(31, 32<<20))
		h.refusesPull(1, big, "33554432 bytes are needed", "make room there")
		if o.bytesSent() > 16<<20 { // what a server may send before anybody has read its first line
			t.Errorf("%d bytes were fetched for a disk that is too small: %v", o.bytesSent(), o.requests())
		}
		bomb := o.pulled(small+"/.releases/a", "/bomb.tar.gz", hostdriver.FormTar, gzipOf(t, bundleOf(t, make([]byte, 5<<20))))
		h.refusesPull(1, bomb, "5242880 bytes are needed", "make room there")
		o.set(func() { o.headless = true })
		h.refusesPull(1, big, "are needed", "make room there")
	})
}

func TestPullNeedsATool(t *testing.T) {
	o := newOrigin(t)
	find := func(h *shellHost, r hostdriver.Release, words ...string) {
		t.Helper()
		_, err := h.try(hostdriver.Precheck{Pulls: []hostdriver.Release{r}})
		if hostdriver.KindOf(err) != hostdriver.Failed {
			t.Fatal(err)
		}
		wantContains(t, err.Error()+" "+hostdriver.MendOf(err), append(words, "shell", "[cannot-pull]", "pull: controller", r.Pull.Place())...)
		_, err = h.try(h.stageRelease(1, r))
		wantContains(t, fmt.Sprint(err)+" "+hostdriver.MendOf(err), append(words, "pull: controller", "nothing was staged")...)
	}
	h := newShellHost(t, "dash")
	h.onlyFetcher("", o)
	h.without("busybox")
	find(h, o.pulled(h.path("a/.releases/a"), "/a", hostdriver.FormFile, []byte("a")), "neither curl nor wget", "install curl")

	h = newShellHost(t, "busybox")
	h.onlyFetcher("busybox", o)
	find(h, o.pulled(h.path("a/.releases/a"), "/a?token=hunter2", hostdriver.FormFile, []byte("a")), "has a query", "?[redacted]")
	slow := o.pulled(h.path("a/.releases/a"), "/a", hostdriver.FormFile, []byte("a"))
	slow.Pull.Bandwidth = 1 << 20
	find(h, slow, "cannot bound its bandwidth")

	h = newShellHost(t, "dash")
	h.onlyFetcher("curl", o)
	h.without("zstd", "unzip", "busybox")
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	find(h, o.pulled(h.path("a/.releases/a"), "/a.tar.zst", hostdriver.FormTar, z.EncodeAll(bundleOf(t, []byte("x")), nil)), "there is no zstd", "install zstd")
	find(h, o.pulled(h.path("a/.releases/a"), "/a.zip", hostdriver.FormTar, zipOf(t, "x")), "there is no unzip", "install unzip")
}

// The host's own tools bound it, each connection anew.
func TestPullIsBounded(t *testing.T) {
	for _, fetcher := range []string{"curl", "wget"} {
		t.Run(fetcher, func(t *testing.T) {
			o := newOrigin(t)
			h := newShellHost(t, "dash")
			h.onlyFetcher(fetcher, o)
			r := o.pulled(h.path("a/.releases/a"), "/a", hostdriver.FormFile, noise(32, 64<<10))
			r.Pull.Bandwidth = 123_456
			h.apply(h.stageRelease(1, r))
			if argv, _ := h.read("argv"); !strings.Contains(strings.ReplaceAll(argv, "=", " "), "--limit-rate 123456") {
				t.Errorf("it was not told to: %s", argv)
			}
		})
	}
}

// hostile archives are refused, nothing of them is outside their folder, whichever tar
// unpacks them.
func TestPullUnpacksStrictly(t *testing.T) {
	for _, tarTool := range []string{"tar", "busybox"} {
		t.Run(tarTool, func(t *testing.T) {
			o := newOrigin(t)
			h := newShellHost(t, "dash")
			h.onlyFetcher("curl", o)
			if tarTool == "busybox" {
				h.write("bin/tar", "#!/bin/sh\nexec /bin/busybox tar \"$@\"\n", 0o755)
			}
			h.write("outside/shadow", "secret", 0o600)
			n := 0
			refuse := func(word string, hs ...tar.Header) {
				t.Helper()
				var b bytes.Buffer
				w := tar.NewWriter(&b)
				for _, e := range append([]tar.Header{{Name: "bin/run", Mode: 0o755, Typeflag: tar.TypeReg}}, hs...) {
					if e.Typeflag == tar.TypeReg {
						e.Size = 3
					}
					if err := w.WriteHeader(&e); err != nil {
						t.Fatal(err)
					}
					if e.Typeflag == tar.TypeReg {
						_, _ = w.Write([]byte("abc"))
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				n++
				before := likeTree(t, h.path("outside"))
				h.refusesPull(1, o.pulled(h.path("a/.releases/a"), "/"+strconv.Itoa(n)+".tar.gz", hostdriver.FormTar, gzipOf(t, b.Bytes())), "cannot unpack", word)
				if now := likeTree(t, h.path("outside")); now != before {
					t.Errorf("outside its folder now is\n%s\nbefore\n%s", now, before)
				}
			}
			outside := h.path("outside")
			refuse("outside its folder", tar.Header{Name: "../../../outside/evil", Mode: 0o644, Typeflag: tar.TypeReg})
			refuse("outside its folder", tar.Header{Name: "bin/../../../../outside/evil", Mode: 0o644, Typeflag: tar.TypeReg})
			refuse("outside its folder", tar.Header{Name: outside + "/evil", Mode: 0o644, Typeflag: tar.TypeReg})
			refuse("outside its folder", tar.Header{Name: "out", Linkname: "../../../outside", Typeflag: tar.TypeSymlink})
			refuse("outside its folder", tar.Header{Name: "bin/a/out", Linkname: "../x/../../../y", Typeflag: tar.TypeSymlink})
			refuse("outside its folder", tar.Header{Name: "out", Linkname: outside, Typeflag: tar.TypeSymlink})
			refuse("", tar.Header{Name: "out", Linkname: outside, Typeflag: tar.TypeSymlink}, tar.Header{Name: "out/evil", Mode: 0o644, Typeflag: tar.TypeReg})
			refuse("", tar.Header{Name: "out", Linkname: outside + "/shadow", Typeflag: tar.TypeLink})
			refuse("", tar.Header{Name: "out", Linkname: "../../../outside/shadow", Typeflag: tar.TypeLink})
			refuse("", tar.Header{Name: "out", Linkname: outside, Typeflag: tar.TypeSymlink}, tar.Header{Name: "in", Linkname: "out/shadow", Typeflag: tar.TypeLink})
			refuse("neither a file, a folder nor a link", tar.Header{Name: "null", Mode: 0o666, Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3})
			refuse("neither a file, a folder nor a link", tar.Header{Name: "sda", Mode: 0o666, Typeflag: tar.TypeBlock, Devmajor: 8})
			refuse("neither a file, a folder nor a link", tar.Header{Name: "fifo", Mode: 0o666, Typeflag: tar.TypeFifo})
			refuse("", tar.Header{Name: "two\nlines", Mode: 0o644, Typeflag: tar.TypeReg})

			// What the controller takes is taken.
			fine := bundleOf(t, []byte("a"), []byte("b"))
			r := o.pulled(h.path("a/.releases/a"), "/fine.tar.gz", hostdriver.FormTar, gzipOf(t, fine))
			h.apply(h.stageRelease(2, r))
			for _, rubbish := range []string{"rubbish", ""} {
				h.refusesPull(3, o.pulled(h.path("a/.releases/a"), "/rubbish.tar.gz", hostdriver.FormTar, gzipOf(t, []byte(rubbish))), "cannot unpack")
			}
		})
	}
}
