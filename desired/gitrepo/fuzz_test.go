package gitrepo

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing"
)

// What a server sends is a stranger's. Whatever it is, nothing panics, and what is taken
// holds what is promised of it.

func FuzzCommit(f *testing.F) {
	id := strings.Repeat("ab", 20)
	f.Add([]byte("tree " + id + "\nparent " + id + "\nauthor A <a@b> 1700000000 +0200\ncommitter C <c@d> 1700000000 -0130\n\nsubject\n\nbody\n"))
	f.Add([]byte("tree " + id + "\nauthor > <\ncommitter x\ngpgsig a\n b\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseCommit(plumbing.ZeroHash, raw)
		if err != nil {
			return
		}
		for _, h := range append(c.Parents, c.Tree) {
			if !isHash(h) {
				t.Errorf("%q is no hash", h)
			}
		}
		for _, shown := range []string{c.Subject, c.Author.String(), c.Committer.Name, c.Committer.Email} {
			if strings.ContainsFunc(shown, unicode.IsControl) {
				t.Errorf("control characters: %q", shown)
			}
		}
		_ = c.Author.When.String()
	})
}

func FuzzTree(f *testing.F) {
	h := strings.Repeat("h", 20)
	f.Add([]byte("100644 a\x00" + h + "40000 b\x00" + h + "120000 c\x00" + h))
	f.Add([]byte("100644 a.b\x00" + h + "40000 a\x00" + h))
	f.Fuzz(func(t *testing.T, raw []byte) {
		entries, err := parseTree(raw)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, e := range entries {
			if badName(e.name) != "" || seen[e.name] || strings.ContainsRune(e.name, '/') || e.name == ".." || strings.EqualFold(e.name, ".git") {
				t.Errorf("%q passed", e.name)
			}
			seen[e.name] = true
		}
	})
}

// pack is a pack of blobs, right but for what the fuzzer makes of it.
func pack(contents ...string) []byte {
	var b bytes.Buffer
	b.WriteString("PACK\x00\x00\x00\x02")
	_ = binary.Write(&b, binary.BigEndian, uint32(len(contents)))
	for _, c := range contents {
		b.WriteByte(byte(3<<4 | len(c)&15))
		z := zlib.NewWriter(&b)
		_, _ = z.Write([]byte(c))
		_ = z.Close()
	}
	return b.Bytes()
}

// small are limits that a fuzzed pack must keep.
var small = Limits{Pack: 1 << 16, Object: 1 << 12, Unpacked: 1 << 14, Objects: 64, Files: 64, Read: 1 << 14, Refs: 1 << 12}.withDefaults()

// FuzzPack: what is taken keeps the limits, and can be read back or is an error.
func FuzzPack(f *testing.F) {
	f.Add(pack("hello\n", "world"))
	f.Add(pack())
	f.Add(append(pack("base"), 0x60|5, 1, 2, 3))
	dir := filepath.Join(f.TempDir(), "bare")
	if err := makeBare(dir, "main"); err != nil {
		f.Fatal(err)
	}
	o := openObjects(dir, small.Object)
	f.Cleanup(o.close)
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha1.Sum(body) // #nosec G401 -- as a server would
		data := append(bytes.Clone(body), sum[:]...)
		n, err := scanPack(t.Context(), bytes.NewReader(data), int64(len(data)), small)
		if err == nil && n > small.Objects {
			t.Errorf("%d objects", n)
		}
		if err := o.ingest(t.Context(), bytes.NewReader(data), small); err != nil && KindOf(fail("fetch", Unreachable, err)) == "" {
			t.Errorf("of no kind: %v", err)
		}
	})
}

func FuzzAdvertised(f *testing.F) {
	id := strings.Repeat("ab", 20)
	f.Add([]byte("003f" + id + " refs/heads/main\n0000"))
	f.Add([]byte("0054" + id + " HEAD\x00ofs-delta side-band-64k agent=git/2\n003d" + id + " refs/heads/main\n0035shallow " + id + "0000"))
	f.Add([]byte("0012ERR no access\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := readAdvertised(t.Context(), bytes.NewReader(data), small.Refs)
		if err != nil {
			return
		}
		tip, err := a.tip(branchPrefix + "main")
		if err != nil {
			return
		}
		if _, _, err := a.request(tip, nil); err != nil {
			t.Errorf("nothing to ask for: %v", err)
		}
	})
}

// FuzzAnswer: a server's answer to a request, with or without bands.
func FuzzAnswer(f *testing.F) {
	body := pack("hello\n")
	sum := sha1.Sum(body) // #nosec G401 -- as a server would
	f.Add("0008NAK\n"+string(body)+string(sum[:]), false)
	f.Add("0008NAK\n0006\x01P0009\x02hi!\n0006\x03x0000", true)
	dir := filepath.Join(f.TempDir(), "bare")
	if err := makeBare(dir, "main"); err != nil {
		f.Fatal(err)
	}
	o := openObjects(dir, small.Object)
	f.Cleanup(o.close)
	requests := map[bool]advertised{}
	for bands, caps := range map[bool]string{false: "ofs-delta", true: "ofs-delta side-band-64k"} {
		line := strings.Repeat("ab", 20) + " refs/heads/main\x00" + caps + "\n"
		a, err := readAdvertised(context.Background(), strings.NewReader(pktLine(line)+"0000"), small.Refs)
		if err != nil {
			f.Fatal(err)
		}
		requests[bands] = a
	}
	f.Fuzz(func(t *testing.T, data string, bands bool) {
		tip, err := requests[bands].tip(branchPrefix + "main")
		if err != nil {
			t.Fatal(err)
		}
		req, _, err := requests[bands].request(tip, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer(t.Context(), req, strings.NewReader(data), o, small)
	})
}

func pktLine(s string) string {
	const digits = "0123456789abcdef"
	n := len(s) + 4
	return string([]byte{digits[n>>12&15], digits[n>>8&15], digits[n>>4&15], digits[n&15]}) + s
}
