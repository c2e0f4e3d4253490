package sshdriver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/poly1305" //lint:ignore SA1019 a tag over a stream of any length is what it is for; the ciphers that are named instead take a message whole
)

// Who has put a release together on a host proves it whole. A SHA-256 of it tells, and takes
// most of a host's time; a tag under a key that was drawn for this pack alone (Poly1305, RFC
// 8439) tells as surely, in a third of that: whatever was not made by who knows the key has
// the right tag with a probability below 2^-70, in all that a release may be long. The tag
// is only made of bytes whose SHA-256 turned out, in the same reading, to be the release's.

// proofKey is the key of one tag.
type proofKey [32]byte

func newProofKey() *proofKey {
	k := new(proofKey)
	_, _ = rand.Read(k[:]) // never fails
	return k
}

// text is how a host is told the key; of none, "-".
func (k *proofKey) text() string {
	if k == nil {
		return "-"
	}
	return hex.EncodeToString(k[:])
}

// witness takes SHA-256 and tag of what is written to it, beside the writer.
type witness struct {
	free sync.Pool // of *shown
	done sync.WaitGroup
	sum  hash.Hash
	tag  *poly1305.MAC
	sums chan *shown
	tags chan *shown
}

// shown is a piece of what was written; the second who has read it gives it back.
type shown struct {
	bytes []byte
	left  atomic.Int32
}

func newWitness(k *proofKey) *witness {
	w := &witness{free: sync.Pool{New: func() any { return new(shown) }}, sum: sha256.New(), tag: poly1305.New((*[32]byte)(k)),
		sums: make(chan *shown, 16), tags: make(chan *shown, 16)}
	w.done.Go(func() { w.take(w.sums, w.sum) })
	w.done.Go(func() { w.take(w.tags, w.tag) })
	return w
}

func (w *witness) take(from <-chan *shown, to io.Writer) {
	for b := range from {
		_, _ = to.Write(b.bytes) // neither ever fails
		if b.left.Add(-1) == 0 {
			w.free.Put(b)
		}
	}
}

func (w *witness) Write(p []byte) (int, error) {
	b := w.free.Get().(*shown)
	b.bytes = append(b.bytes[:0], p...)
	b.left.Store(2)
	w.sums <- b
	w.tags <- b
	return len(p), nil
}

// end is called once, and nothing is written after it.
func (w *witness) end() {
	close(w.sums)
	close(w.tags)
	w.done.Wait()
}

// proof is the tag as openssl writes it, or "-" if what was written is not what has that
// digest: then the host finds out by itself.
func (w *witness) proof(digest string) string {
	if hex.EncodeToString(w.sum.Sum(nil)) != digest {
		return "-"
	}
	return strings.ToUpper(hex.EncodeToString(w.tag.Sum(nil)))
}

// trailer is what follows the bytes of a pack.
type trailer struct {
	index []byte // for the next release; none if it is too long
	proof string // "-": none
}

// line is what comes before the index.
func (t trailer) line() string { return fmt.Sprintf("%d %s\n", len(t.index), t.proof) }
