package sshdriver

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// sizes are the segments' sizes, which have to give the whole.
func (l *outline) size() (n int64) {
	for _, s := range l.segments {
		n += s.size
	}
	return n
}

// rebuild does what a host does with a recipe.
func rebuild(steps []step, stream []byte, files map[string][]byte) []byte {
	var out []byte
	var at int64
	for _, s := range steps {
		if s.copied {
			out = append(out, files[s.from.file][s.from.at:s.from.at+s.size]...)
		} else {
			out = append(out, stream[at:at+s.size]...)
		}
		at += s.size
	}
	return out
}

// baseOf is what a host that has such a release tells of it.
func baseOf(t rapid.TB, release []byte) *base {
	t.Helper()
	l, err := readOutline(bytes.NewReader(release), hostdriver.FormFile, leastChunk, nil)
	if err != nil || l.size() != int64(len(release)) {
		t.Fatalf("%d of %d bytes: %v", l.size(), len(release), err)
	}
	index, err := l.index()
	if err != nil {
		t.Fatal(err)
	}
	b, err := parseIndex(index)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever is cut out of, put into or overwritten in a release: the recipe gives it back.
func TestRecipeGivesTheRelease(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := noise(byte(rapid.IntRange(0, 3).Draw(t, "seed")), rapid.IntRange(1, 600_000).Draw(t, "size"))
		after := bytes.Clone(before)
		for range rapid.IntRange(0, 4).Draw(t, "edits") {
			at := rapid.IntRange(0, len(after)).Draw(t, "at")
			gone := rapid.IntRange(0, min(len(after)-at, 50_000)).Draw(t, "gone")
			after = slices.Replace(after, at, at+gone, noise(9, rapid.IntRange(0, 50_000).Draw(t, "new"))...)
		}
		b := baseOf(t, before)
		now, err := readOutline(bytes.NewReader(after), hostdriver.FormFile, b.mean, b)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := readOutline(bytes.NewReader(after), hostdriver.FormFile, b.mean, nil)
		if err != nil || !slices.Equal(alone.segments, now.segments) {
			t.Fatalf("with a base to go by it is cut otherwise (%v)", err)
		}
		if steps := b.plan(now); steps != nil && !bytes.Equal(rebuild(steps, after, map[string][]byte{"": before}), after) {
			t.Fatal("the recipe gives something else")
		}
	})
}

func TestMeanChunkBoundsTheIndex(t *testing.T) {
	for _, size := range []int64{0, 1 << 20, 200 << 20, 8 << 30} {
		if mean := meanChunk(size); size/mean > manyChunks || mean < leastChunk || mean > largestChunk {
			t.Errorf("%d bytes: chunks of %d", size, mean)
		}
	}
}

// A recipe of a release with holes everywhere stays short: each line is a process.
func TestRecipeIsBounded(t *testing.T) {
	b := &base{mean: leastChunk, chunks: map[chunkID]place{}}
	l := &outline{mean: leastChunk, files: []string{""}}
	for i := range 10_000 {
		id := chunkID(i)
		if i%2 == 0 {
			b.chunks[id] = place{at: int64(i) * 70_000, size: 40_000}
		}
		l.segments = append(l.segments, segment{size: 40_000, id: id})
	}
	steps := b.plan(l)
	if len(steps) > 2*maxCopies {
		t.Errorf("%d steps", len(steps))
	}
}

func FuzzParseIndex(f *testing.F) {
	l, err := readOutline(bytes.NewReader(noise(1, 200_000)), hostdriver.FormFile, leastChunk, nil)
	if err != nil {
		f.Fatal(err)
	}
	good, err := l.index()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("evenkeel chunks 2 16384\n"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		b, err := parseIndex(packed)
		if err != nil {
			return
		}
		for _, p := range b.chunks {
			if p.size < 1 || p.at < 0 || p.file != "" && hostdriver.CheckPath("/"+p.file) != nil {
				t.Fatalf("a chunk at %+v", p)
			}
		}
	})
}

func FuzzParseOffers(f *testing.F) {
	f.Add([]byte("\nn begin 1\n\nn tools zstd\n\nn part k 0123 77\n\nn base k b\nindex"))
	f.Fuzz(func(t *testing.T, soFar []byte) {
		o, err := parseOffers(soFar, "n")
		if err != nil {
			return
		}
		for _, x := range o.of {
			if x.has < 0 {
				t.Fatalf("%+v", x)
			}
		}
	})
}
