package sshdriver

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// The vector of RFC 8439, section 2.5.2, in pieces.
func TestWitness(t *testing.T) {
	key, err := hex.DecodeString("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("Cryptographic Forum Research Group")
	w := newWitness((*proofKey)(key))
	for _, piece := range [][]byte{text[:5], nil, text[5:20], text[20:]} {
		_, _ = w.Write(piece)
	}
	w.end()
	if got := w.proof(hostdriver.NewContent(text).SHA256()); got != "A8061DC1305136C6C22B8BAF0C0127A9" {
		t.Errorf("its tag is %s", got)
	}
	if got := w.proof(hostdriver.NewContent(text[1:]).SHA256()); got != "-" {
		t.Errorf("of something else it has the tag %s", got)
	}
}

// told makes the host keep what openssl was asked, and returns how to read it.
func (h *shellHost) toldOpenssl() (asked func() string) {
	h.t.Helper()
	real, err := exec.LookPath("openssl")
	if err != nil {
		h.t.Skip("openssl is not here: apt-get install openssl")
	}
	log := h.path("openssl.log")
	h.write("bin/openssl", "#!/bin/sh\nprintf '%s\\n' \"$1\" >>'"+log+"'\nexec "+real+" \"$@\"\n", 0o755)
	return func() string {
		text, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			h.t.Fatal(err)
		}
		_ = os.Remove(log)
		return strings.Join(strings.Fields(string(text)), " ")
	}
}

// How a release is proven: by its tag, where nobody but root had a hand in it.
func TestReleaseIsProven(t *testing.T) {
	data := noise(21, 2<<20)
	bundle := bundleOf(t, data)
	eachShell(t, func(t *testing.T, h *shellHost) {
		h.compression = CompressNever
		asked := h.toldOpenssl()
		dir := h.path("app/.releases/app")
		one := releaseOf(dir, hostdriver.FormFile, data)
		h.apply(h.stageRelease(1, one))
		h.apply(hostdriver.Switch{To: 1})
		h.holds(one.Path, data)
		if got := asked(); got != "mac" {
			t.Errorf("a lone file: openssl was asked for %q", got)
		}
		next := changed(data)
		two := releaseOf(dir, hostdriver.FormFile, next)
		two.Owner, two.Group = "nobody", "root"
		h.apply(h.stageRelease(2, two))
		h.apply(hostdriver.Switch{To: 2})
		h.holds(two.Path, next)
		if got := asked(); got != "mac" {
			t.Errorf("over a base of root's: openssl was asked for %q", got)
		}
		copy(next[len(next)-100_000:], "another time")
		three := releaseOf(dir, hostdriver.FormFile, next)
		if sent := h.apply(h.stageRelease(3, three)).Staged; sent > three.Size/2 {
			t.Errorf("%d bytes were sent", sent)
		}
		h.holds(three.Path, next)
		if got := asked(); got != "dgst dgst" {
			t.Errorf("over a base of another user's: openssl was asked for %q", got)
		}
		tree := releaseOf(h.path("site/.releases/site"), hostdriver.FormTar, bundle)
		h.apply(h.stageRelease(4, tree))
		if got := asked(); got != "mac" {
			t.Errorf("a bundle: openssl was asked for %q", got)
		}
	})
}

// An openssl that knows no such tag, or gives another, leaves it to the digest.
func TestReleaseWithoutTag(t *testing.T) {
	data := noise(22, 2<<20)
	for name, says := range map[string]string{"unknown": "echo 'no such mac' >&2; exit 1", "another": "echo 00000000000000000000000000000000"} {
		t.Run(name, func(t *testing.T) {
			h := newShellHost(t, "dash")
			h.compression = CompressNever
			h.toldOpenssl()
			real, _ := exec.LookPath("openssl")
			h.write("bin/openssl", "#!/bin/sh\ncase $1 in mac) "+says+" ;; *) exec "+real+" \"$@\" ;; esac\n", 0o755)
			r := releaseOf(h.path("app/.releases/app"), hostdriver.FormFile, data)
			h.apply(h.stageRelease(1, r))
			h.holds(r.Path, data)
		})
	}
}

// Whatever name is where a release is to be made, nothing is written through it.
func TestReleaseIsMadeThroughNoLink(t *testing.T) {
	h := newShellHost(t, "dash")
	h.compression = CompressNever
	data := noise(23, 1<<20)
	r := releaseOf(h.path("app/.releases/app"), hostdriver.FormFile, data)
	elsewhere := h.path("elsewhere")
	if err := os.MkdirAll(filepath.Dir(r.Path), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".evenkeel-new." + releaseKey(r.Path), ".evenkeel-part." + releaseKey(r.Path) + "." + r.SHA256[:16]} {
		if err := os.Symlink(elsewhere, filepath.Join(filepath.Dir(r.Path), name)); err != nil {
			t.Fatal(err)
		}
	}
	h.apply(h.stageRelease(1, r))
	h.holds(r.Path, data)
	if _, err := os.Lstat(elsewhere); err == nil {
		t.Error("it was written elsewhere")
	}
}

// followed does what a host does with the recipe of a lone file.
func followed(t *rapid.T, recipe, sent, base []byte) []byte {
	var out []byte
	for line := range strings.Lines(string(recipe)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		number := func(i int) int {
			n := 0
			for _, c := range f[i] {
				n = n*10 + int(c-'0')
			}
			return n
		}
		switch f[0] {
		case "n":
			out, sent = append(out, sent[:number(1)]...), sent[number(1):]
		case "c":
			out = append(out, base[number(1):number(1)+number(2)]...)
		case "e":
			out = append(out, base[number(1):]...)
		case "p":
			copy(out[number(1):number(1)+number(2)], sent)
			sent = sent[number(2):]
		default:
			t.Fatalf("a line %q", line)
		}
	}
	if len(sent) > 0 {
		t.Fatalf("%d bytes are left of what was sent", len(sent))
	}
	return out
}

// A lone file's recipe gives the file, in no more lines than there were steps.
func TestFileRecipeGivesTheRelease(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := noise(1, rapid.IntRange(1, 5_000_000).Draw(t, "base"))
		var steps []step
		var want, sent []byte
		at := 0
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "sent") {
				part := noise(byte(len(want)), rapid.IntRange(1, 3_000_000).Draw(t, "new"))
				steps = appendStep(steps, step{size: int64(len(part))})
				want, sent = append(want, part...), append(sent, part...)
				if rapid.Bool().Draw(t, "in place") {
					at = min(at+len(part), len(base)-1)
				}
				continue
			}
			if at >= len(base) || rapid.IntRange(0, 3).Draw(t, "elsewhere") == 0 {
				at = rapid.IntRange(0, len(base)-1).Draw(t, "from")
			}
			n := rapid.OneOf(rapid.Just(len(base)-at), rapid.IntRange(1, len(base)-at)).Draw(t, "copied")
			steps = appendStep(steps, step{size: int64(n), copied: true, from: place{at: int64(at)}})
			want = append(want, base[at:at+n]...)
			at += n
		}
		recipe := fileRecipe(steps, int64(len(base)))
		if !bytes.Equal(followed(t, recipe, sent, base), want) {
			t.Fatalf("the recipe gives something else:\n%s", recipe)
		}
		if n := bytes.Count(recipe, []byte("\n")); n > len(steps) {
			t.Errorf("%d lines for %d steps", n, len(steps))
		}
	})
}

// The programs that follow a recipe may be busybox's as well, and there may be no openssl.
func TestRecipeByBusybox(t *testing.T) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not here: apt-get install busybox-static")
	}
	h := newShellHost(t, "busybox")
	h.without("openssl")
	for _, applet := range []string{"dd", "cat", "gzip", "sha256sum"} {
		if err := os.Symlink(busybox, h.path("bin/"+applet)); err != nil {
			t.Fatal(err)
		}
	}
	data := noise(24, 3<<20)
	dir := h.path("app/.releases/app")
	one, two := releaseOf(dir, hostdriver.FormFile, data), releaseOf(dir, hostdriver.FormFile, changed(data))
	h.apply(h.stageRelease(1, one))
	h.apply(hostdriver.Switch{To: 1})
	if sent := h.apply(h.stageRelease(2, two)).Staged; sent > 300_000 {
		t.Errorf("%d bytes were sent", sent)
	}
	h.holds(two.Path, changed(data))
}

// What was changed in place, be it at the very beginning, takes one copy of all.
func TestRecipeOfWhatWasChangedInPlace(t *testing.T) {
	steps := []step{{size: 100}, {size: 900, copied: true, from: place{at: 100}}, {size: 50}, {size: 950, copied: true, from: place{at: 1050}}}
	if got, want := string(fileRecipe(steps, 2000)), "e\t0\np\t0\t100\np\t1000\t50\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	steps[1].from.at, steps[3].from.at = 90, 1040 // a few bytes were put in
	if got, want := string(fileRecipe(steps, 1990)), "n\t100\ne\t90\np\t1000\t50\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
