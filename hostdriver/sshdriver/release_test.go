package sshdriver

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// noise is n bytes that no compression makes shorter, always the same ones.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// changed is b with an insertion near its beginning and a part overwritten near its end.
func changed(b []byte) []byte {
	out := bytes.Clone(b[:100_000])
	out = append(out, noise(77, 5_000)...)
	out = append(out, b[100_000:]...)
	copy(out[len(out)-300_000:], noise(78, 10_000))
	return out
}

// bundleOf is a tar of these files in this order, and a link.
func bundleOf(t testing.TB, files ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, data := range files {
		name := fmt.Sprintf("./dir %d/it's %d", i%2, i)
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(data)
	}
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "link", Linkname: "dir 0/it's 0", Typeflag: tar.TypeSymlink}), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stageRelease is a generation that has this release alone.
func (h *shellHost) stageRelease(generation uint64, r hostdriver.Release) hostdriver.Stage {
	s := h.stageOf(generation, map[string]string{}, hostdriver.Entry{Kind: hostdriver.KindRelease, Service: "s", Name: r.Path, SHA256: r.SHA256})
	s.Releases = []hostdriver.Release{r}
	return s
}

// left are files beside releases that are none.
func (h *shellHost) left(dir string) []string {
	h.t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, ".evenkeel-*"))
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

func (h *shellHost) holds(path string, want []byte) {
	h.t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		h.t.Errorf("%s has %d bytes that are not the %d it should have (%v)", path, len(got), len(want), err)
	}
}

// without hides a program from the host.
func (h *shellHost) without(names ...string) {
	h.t.Helper()
	h.lacking = append(h.lacking, names...)
	dir := filepath.Join(h.dir, "few")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	for _, from := range strings.Split(realPath, ":") {
		entries, _ := os.ReadDir(from)
		for _, e := range entries {
			if slices.Contains(h.lacking, e.Name()) {
				_ = os.Remove(filepath.Join(dir, e.Name()))
				continue
			}
			_ = os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name()))
		}
	}
	h.places.path = h.dir + "/bin:" + dir
}

// Of a release that is like one that is there, the difference travels.
func TestOnlyWhatChangedOfAReleaseTravels(t *testing.T) {
	program := noise(1, 3<<20)
	files := [][]byte{noise(2, 1<<20), []byte("small"), noise(3, 2<<20), noise(4, 70_000)}
	bundle := bundleOf(t, files...)
	files[2] = changed(files[2])
	next := bundleOf(t, files[0], files[2], files[1], files[3])
	eachShell(t, func(t *testing.T, h *shellHost) {
		dir := h.path("app/.releases/app")
		one, two := releaseOf(dir, hostdriver.FormFile, program), releaseOf(dir, hostdriver.FormFile, changed(program))
		first := h.apply(h.stageRelease(1, one)).Staged
		h.apply(hostdriver.Switch{To: 1})
		second := h.apply(h.stageRelease(2, two)).Staged
		if first < one.Size || second > 300_000 {
			t.Errorf("the first release took %d bytes, the second one %d", first, second)
		}
		h.holds(two.Path, changed(program))
		h.apply(hostdriver.Switch{To: 2})

		tree := h.path("site/.releases/site")
		a, b := releaseOf(tree, hostdriver.FormTar, bundle), releaseOf(tree, hostdriver.FormTar, next)
		h.apply(h.stageRelease(3, a))
		h.apply(hostdriver.Switch{To: 3})
		if sent := h.apply(h.stageRelease(4, b)).Staged; sent < 15_000 || sent > 400_000 {
			t.Errorf("the bundle's change took %d bytes of %d", sent, b.Size)
		}
		h.holds(b.Path+"/dir 1/it's 1", files[2])
		h.holds(b.Path+"/dir 0/it's 0", files[0])
		if o := h.observe(hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: b.Path}}}); o.Paths[b.Path].SHA256 != b.SHA256 {
			t.Errorf("the bundle is not as it was staged: %+v", o.Paths[b.Path])
		}
		if left := append(h.left(dir), h.left(tree)...); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// Every way of compression, with and without the programs for it.
func TestCompression(t *testing.T) {
	text := bytes.Repeat([]byte("all work and no play\n"), 50_000)
	bundle := bundleOf(t, text, noise(5, 100_000))
	for _, c := range []struct {
		name      string
		how       Compression
		without   string
		least     int
		most      int
		zstdThere bool
	}{
		{"zstd", CompressAuto, "", 0, 500_000, true},
		{"none without zstd", CompressAuto, "zstd", len(text), len(text) + 400_000, false},
		{"gzip", CompressAlways, "zstd", 0, 500_000, false},
		{"never", CompressNever, "", len(text), len(text) + 400_000, false},
		{"without openssl", CompressAlways, "openssl", 0, 500_000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newShellHost(t, "dash")
			if _, err := exec.LookPath("zstd"); c.zstdThere && err != nil {
				t.Skip("zstd is not here: apt-get install zstd")
			}
			if c.without != "" {
				h.without(c.without)
			}
			h.compression = c.how
			for n, r := range []hostdriver.Release{releaseOf(h.path("a/.releases/a"), hostdriver.FormFile, text), releaseOf(h.path("b/.releases/b"), hostdriver.FormTar, bundle)} {
				sent := h.apply(h.stageRelease(uint64(n+1), r)).Staged
				if sent < int64(c.least) || sent > int64(c.most) {
					t.Errorf("%s: %d bytes were sent of %d", r.Form, sent, r.Size)
				}
			}
			h.holds(releaseOf(h.path("a/.releases/a"), hostdriver.FormFile, text).Path, text)
		})
	}
}

// cutAfter is a release whose source ends the connection after n bytes.
func cutAfter(r hostdriver.Release, data []byte, n int) hostdriver.Release {
	r.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data[:n])), nil }
	return r
}

// What has come of a release before it was cut off does not come again, and nothing of it
// is in use.
func TestReleaseGoesOnWhereItWasCut(t *testing.T) {
	eachShell(t, func(t *testing.T, h *shellHost) {
		h.compression = CompressNever
		data := noise(6, 2<<20)
		r := releaseOf(h.path("app/.releases/app"), hostdriver.FormFile, data)
		if _, err := h.try(h.stageRelease(1, cutAfter(r, data, 1_500_000))); err == nil {
			t.Fatal("a release that was cut off was staged")
		}
		if _, err := os.Lstat(r.Path); err == nil || len(h.observe(hostdriver.Query{}).Kept) > 0 {
			t.Error("something of it counts as staged")
		}
		if left := h.left(filepath.Dir(r.Path)); len(left) != 1 {
			t.Fatalf("beside it are %v", left)
		}
		sent := h.apply(h.stageRelease(1, r)).Staged
		if sent < 590_000 || sent > 700_000 {
			t.Errorf("%d bytes were sent to go on", sent)
		}
		h.holds(r.Path, data)
		if left := h.left(filepath.Dir(r.Path)); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// A beginning or a base that is not what it should be is thrown away, and all is sent.
func TestDamagedBeginningAndBase(t *testing.T) {
	h := newShellHost(t, "dash")
	h.compression = CompressNever
	data := noise(7, 2<<20)
	r := releaseOf(h.path("app/.releases/app"), hostdriver.FormFile, data)
	if _, err := h.try(h.stageRelease(1, cutAfter(r, data, 1_000_000))); err == nil {
		t.Fatal("a release that was cut off was staged")
	}
	part := h.left(filepath.Dir(r.Path))[0]
	damage(t, part)
	if sent := h.apply(h.stageRelease(1, r)).Staged; sent < r.Size {
		t.Errorf("over a damaged beginning %d bytes were sent", sent)
	}
	h.holds(r.Path, data)
	h.apply(hostdriver.Switch{To: 1})

	// A base whose stat is as it was, but not its content: the index tells of another.
	key := releaseKey(r.Path)
	other, err := readOutline(bytes.NewReader(append(noise(8, 100_000), data...)), hostdriver.FormFile, leastChunk, nil)
	if err != nil {
		t.Fatal(err)
	}
	index, err := other.index()
	if err != nil {
		t.Fatal(err)
	}
	h.write("state/chunks/"+key, string(index), 0o600)
	next := changed(data)
	two := releaseOf(filepath.Dir(r.Path), hostdriver.FormFile, next)
	if sent := h.apply(h.stageRelease(2, two)).Staged; sent < two.Size {
		t.Errorf("over a base that is another %d bytes were sent", sent)
	}
	h.holds(two.Path, next)

	// One that was changed by hand is no base, and neither is what no index is.
	h.write("state/chunks/"+releaseKey(two.Path), "rubbish", 0o600)
	three := releaseOf(filepath.Dir(r.Path), hostdriver.FormFile, noise(9, 1<<20))
	h.apply(h.stageRelease(3, three))
	h.holds(three.Path, noise(9, 1<<20))
}

func damage(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("not this"), 1000)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// A wrong digest keeps all as it was, however often it is tried.
func TestReleaseOfWrongDigest(t *testing.T) {
	h := newShellHost(t, "dash")
	data := noise(10, 1<<20)
	for _, form := range []hostdriver.ReleaseForm{hostdriver.FormFile, hostdriver.FormTar} {
		content := data
		if form == hostdriver.FormTar {
			content = bundleOf(t, data)
		}
		r := releaseOf(h.path("app/.releases/app"), form, content)
		wrong := bytes.Clone(content)
		wrong[len(wrong)/2] ^= 1
		r.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(wrong)), nil }
		for range 2 {
			if _, err := h.try(h.stageRelease(1, r)); hostdriver.KindOf(err) != hostdriver.Failed || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("%s: %v", form, err)
			}
		}
		if _, err := os.Lstat(r.Path); err == nil || len(h.left(filepath.Dir(r.Path))) > 0 {
			t.Errorf("%s: something of it is left: %v", form, h.left(filepath.Dir(r.Path)))
		}
	}
	if kept := h.observe(hostdriver.Query{}).Kept; len(kept) > 0 {
		t.Errorf("kept: %v", kept)
	}
}

// A disk that is too small for the release: nothing of it stays, and nothing was switched.
func TestReleaseOnAFullDisk(t *testing.T) {
	h := newShellHost(t, "dash")
	small := h.path("small")
	if err := os.MkdirAll(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "none", small).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a tmpfs here: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", small).Run() })
	one := releaseOf(small+"/.releases/app", hostdriver.FormFile, []byte("fits"))
	h.apply(h.stageRelease(1, one))
	h.apply(hostdriver.Switch{To: 1})
	for _, how := range []Compression{CompressNever, CompressAlways} {
		h.compression = how
		for _, form := range []hostdriver.ReleaseForm{hostdriver.FormFile, hostdriver.FormTar} {
			content := noise(11, 3<<20)
			if form == hostdriver.FormTar {
				content = bundleOf(t, content)
			}
			_, err := h.try(h.stageRelease(2, releaseOf(small+"/.releases/app", form, content)))
			if hostdriver.KindOf(err) != hostdriver.Failed || !strings.Contains(err.Error(), "No space left") {
				t.Errorf("%s %s: %v", form, how, err)
			}
			if left := h.left(small + "/.releases/app"); len(left) > 0 {
				t.Errorf("%s %s: left: %v", form, how, left)
			}
		}
	}
	if o := h.observe(hostdriver.Query{}); o.Manifest.Generation != 1 || len(o.Kept) != 1 {
		t.Errorf("on disk is generation %d of %v", o.Manifest.Generation, o.Kept)
	}
	h.holds(one.Path, []byte("fits"))
}

func TestBandwidthIsBounded(t *testing.T) {
	h := newShellHost(t, "dash")
	h.compression = CompressNever
	h.bandwidth = rate.NewLimiter(1<<20, bandwidthBurst)
	begun := time.Now()
	h.apply(h.stageRelease(1, releaseOf(h.path("app/.releases/app"), hostdriver.FormFile, noise(12, 512<<10))))
	if took := time.Since(begun); took < 400*time.Millisecond {
		t.Errorf("512 KiB at 1 MiB a second took %s", took)
	}
}

// One pack is made for all hosts.
func TestReleaseIsReadOnceForAllHosts(t *testing.T) {
	data := bundleOf(t, noise(13, 1<<20))
	opened := 0
	r := releaseOf("/x/.releases/x", hostdriver.FormTar, data)
	r.Open = func() (io.ReadCloser, error) { opened++; return io.NopCloser(bytes.NewReader(data)), nil }
	p := newPacker()
	p.keep = 10 * time.Millisecond
	key := packKey{stream: r.SHA256, form: r.Form, encoding: gzipped}
	var all []func()
	for range 3 {
		got, done, err := p.get(t.Context(), key, func() (*pack, error) { return buildPack(r, nil, gzipped) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := got.trailer(); err != nil {
			t.Fatal(err)
		}
		all = append(all, done)
	}
	if opened != 2 { // for its bytes, and for its chunks
		t.Errorf("it was opened %d times", opened)
	}
	for _, done := range all {
		done()
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		n := len(p.of)
		p.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the pack is kept for ever")
		}
	}
}

// What changed is compressed where that makes it less, and comes out whole either way.
func TestWhatChangedIsCompressedWhereItHelps(t *testing.T) {
	data := noise(14, 2<<20)
	for _, tt := range []struct {
		name string
		put  []byte
		want encoding
	}{
		{"text", bytes.Repeat([]byte("a line that is there again and again\n"), 5_000), gzipped},
		{"noise", noise(15, 200_000), plain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newShellHost(t, "dash")
			one := releaseOf(h.path("app/.releases/app"), hostdriver.FormFile, data)
			h.apply(h.stageRelease(1, one))
			h.apply(hostdriver.Switch{To: 1})
			next := bytes.Clone(data)
			copy(next[700_000:], tt.put)
			two := releaseOf(filepath.Dir(one.Path), hostdriver.FormFile, next)
			sent := h.apply(h.stageRelease(2, two)).Staged
			h.holds(two.Path, next)
			if most := int64(len(tt.put)) + 100_000; sent > most || tt.want == gzipped && sent > most/2 {
				t.Errorf("%d bytes were sent", sent)
			}
			p, err := buildPack(two, baseOf(t, data), gzipped)
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			if p.encoding != tt.want {
				t.Errorf("it is sent as %s, want %s", p.encoding, tt.want)
			}
			if _, err := p.trailer(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
