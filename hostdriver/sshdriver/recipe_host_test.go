package sshdriver

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// scattered is b with a few bytes overwritten in many places, from the first on; moved puts
// some more in, too.
func scattered(b []byte, places int, moved bool) []byte {
	out := bytes.Clone(b)
	every := len(b) / places
	for i := range places {
		copy(out[i*every:], noise(byte(i), 40))
	}
	if !moved {
		return out
	}
	var grown []byte
	for i := range places {
		grown = append(append(grown, out[i*every:(i+1)*every]...), "put in"...)
	}
	return append(grown, out[places*every:]...)
}

// What was changed in many places is put together by one process where there is perl, and by
// dd where there is none, and is the same.
func TestRecipeOfManyPlaces(t *testing.T) {
	program := noise(31, 6<<20)
	files := [][]byte{noise(32, 2<<20), []byte("small"), noise(33, 3<<20)}
	bundle := bundleOf(t, files...)
	files[2] = scattered(files[2], 10, true)
	nextBundle := bundleOf(t, files...)
	for _, perl := range []bool{true, false} {
		t.Run(map[bool]string{true: "perl", false: "no perl"}[perl], func(t *testing.T) {
			h := newShellHost(t, "dash")
			if perl {
				ranOf := filepath.Join(h.dir, "dd.ran")
				dd, err := exec.LookPath("dd")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(h.path("bin/dd"), []byte("#!/bin/sh\necho \"$@\" >>'"+ranOf+"'\nexec "+dd+" \"$@\"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					ran, _ := os.ReadFile(ranOf)
					if s := string(ran); s == "" || strings.Contains(s, "seek=") || strings.Contains(s, "skip=") {
						t.Errorf("lines were followed by dd:\n%s", s)
					}
				})
			} else {
				h.without("perl")
			}
			dir := h.path("app/.releases/app")
			last := releaseOf(dir, hostdriver.FormFile, program)
			h.apply(h.stageRelease(1, last))
			h.apply(hostdriver.Switch{To: 1})
			for i, moved := range []bool{false, true} {
				next := scattered(program, 20, moved)
				r := releaseOf(dir, hostdriver.FormFile, next)
				gen := uint64(2 + i)
				if sent := h.apply(h.stageRelease(gen, r)).Staged; sent < 100 || sent > r.Size/2 {
					t.Errorf("%d bytes of %d were sent", sent, r.Size)
				}
				h.holds(r.Path, next)
				h.apply(hostdriver.Switch{To: gen})
			}
			tree := h.path("site/.releases/site")
			h.apply(h.stageRelease(4, releaseOf(tree, hostdriver.FormTar, bundle)))
			h.apply(hostdriver.Switch{To: 4})
			b := releaseOf(tree, hostdriver.FormTar, nextBundle)
			if sent := h.apply(h.stageRelease(5, b)).Staged; sent > b.Size/2 {
				t.Errorf("%d bytes of the bundle's %d were sent", sent, b.Size)
			}
			h.holds(b.Path+"/dir 0/it's 2", files[2])
			if left := append(h.left(dir), h.left(tree)...); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// A disk that fills while a release is put together: it is told, nothing of it stays, and what
// it was to be made of is used again once there is room.
func TestRecipeOnAFullDisk(t *testing.T) {
	for _, perl := range []bool{true, false} {
		t.Run(map[bool]string{true: "perl", false: "no perl"}[perl], func(t *testing.T) {
			h := newShellHost(t, "dash")
			h.compression = CompressNever
			if !perl {
				h.without("perl")
			}
			small := h.path("small")
			if err := os.MkdirAll(small, 0o755); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=5m", "none", small).CombinedOutput(); err != nil {
				t.Skipf("cannot mount a tmpfs here: %s", out)
			}
			t.Cleanup(func() { _ = exec.Command("umount", small).Run() })
			dir := small + "/.releases/app"
			program := noise(34, 3<<20)
			one := releaseOf(dir, hostdriver.FormFile, program)
			h.apply(h.stageRelease(1, one))
			h.apply(hostdriver.Switch{To: 1})
			two := releaseOf(dir, hostdriver.FormFile, scattered(program, 12, true))
			_, err := h.try(h.stageRelease(2, two))
			if hostdriver.KindOf(err) != hostdriver.Failed || !strings.Contains(err.Error(), "No space left") {
				t.Errorf("%v", err)
			}
			if left := h.left(dir); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if out, err := exec.Command("mount", "-o", "remount,size=9m", small).CombinedOutput(); err != nil {
				t.Fatalf("%s", out)
			}
			if sent := h.apply(h.stageRelease(2, two)).Staged; sent > two.Size/2 {
				t.Errorf("%d bytes of %d were sent", sent, two.Size)
			}
			h.holds(two.Path, scattered(program, 12, true))
		})
	}
}
