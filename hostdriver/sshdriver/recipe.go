package sshdriver

import (
	"bytes"
	"fmt"
)

// A recipe tells a host how to put a release's stream together: lines "n BYTES" for what
// was sent, "c FROM BYTES NAME" (tab separated) for a part of a file of the base. Each line
// is a process there. A lone file is written where it can be gone back in: "e FROM" takes
// all of the base from there on, and "p AT BYTES" writes what was sent over what is at that
// place already.

const (
	leastCopy = 32 << 10 // bytes: a shorter part is rather sent than copied
	maxCopies = 1024
)

// step is one line: size bytes that are sent, or that are copied from a file of the base.
type step struct {
	size   int64
	copied bool
	from   place // of a copy; its size is not used
}

// plan is the recipe for a outline over what the host has. It returns nil where that spares
// next to nothing.
func (b *base) plan(l *outline) []step {
	var steps []step
	for _, s := range l.segments {
		now := step{size: s.size}
		if s.file >= 0 {
			if p, ok := b.chunks[s.id]; ok && p.size == s.size {
				now.copied, now.from = true, p
			}
		}
		steps = appendStep(steps, now)
	}
	for least := int64(leastCopy); ; least *= 2 {
		if steps = withoutShort(steps, least); len(steps) <= 2*maxCopies {
			break
		}
	}
	var whole, sent int64
	for _, s := range steps {
		whole += s.size
		if !s.copied {
			sent += s.size
		}
	}
	if sent > whole-whole/20 {
		return nil
	}
	return steps
}

// appendStep adds a step, or makes the last one longer.
func appendStep(steps []step, s step) []step {
	if n := len(steps); n > 0 {
		last := &steps[n-1]
		if !last.copied && !s.copied || last.copied && s.copied && last.from.file == s.from.file && last.from.at+last.size == s.from.at {
			last.size += s.size
			return steps
		}
	}
	return append(steps, s)
}

// withoutShort sends what would be a copy of less than so many bytes.
func withoutShort(steps []step, least int64) []step {
	var out []step
	for _, s := range steps {
		if s.copied && s.size < least {
			s = step{size: s.size}
		}
		out = appendStep(out, s)
	}
	return out
}

// recipeText is what the host reads.
func recipeText(steps []step) []byte {
	var b bytes.Buffer
	for _, s := range steps {
		if s.copied {
			fmt.Fprintf(&b, "c\t%d\t%d\t%s\n", s.from.at, s.size, s.from.file)
		} else {
			fmt.Fprintf(&b, "n\t%d\n", s.size)
		}
	}
	return b.Bytes()
}

// mostOver is the longest part, in bytes, that is rather copied to be overwritten than left
// out: that takes less than another process.
const mostOver = 2 << 20

// fileRecipe is recipeText for a lone file over a base of that size. What was changed in
// place parts no copy: one goes over it, and what was sent is then written there. Where all was
// changed in place that is one copy of the whole, which is next to nothing on a filesystem that
// can share what two files have in common.
func fileRecipe(steps []step, baseSize int64) []byte {
	var b bytes.Buffer
	var at int64
	for i := 0; i < len(steps); i++ {
		s := steps[i]
		var over bytes.Buffer
		if i == 0 && len(steps) > 1 && goesOn(0, s, steps[1]) {
			fmt.Fprintf(&over, "p\t0\t%d\n", s.size)
			s = step{size: s.size + steps[1].size, copied: true}
			i++
		}
		if !s.copied {
			fmt.Fprintf(&b, "n\t%d\n", s.size)
			at += s.size
			continue
		}
		size := s.size
		for i+2 < len(steps) && goesOn(s.from.at+size, steps[i+1], steps[i+2]) {
			fmt.Fprintf(&over, "p\t%d\t%d\n", at+size, steps[i+1].size)
			size += steps[i+1].size + steps[i+2].size
			i += 2
		}
		if s.from.at+size == baseSize {
			fmt.Fprintf(&b, "e\t%d\n", s.from.at)
		} else {
			fmt.Fprintf(&b, "c\t%d\t%d\t\n", s.from.at, size)
		}
		b.Write(over.Bytes())
		at += size
	}
	return b.Bytes()
}

// goesOn tells whether a copy that ends there in the base goes on after a part that is sent.
func goesOn(end int64, sent, next step) bool {
	return !sent.copied && sent.size <= mostOver && next.copied && next.from.at == end+sent.size
}
