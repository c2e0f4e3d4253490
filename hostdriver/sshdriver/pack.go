package sshdriver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// encoding is how the bytes of a pack are written.
type encoding string

const (
	plain   encoding = "none"
	gzipped encoding = "gzip"
	zstded  encoding = "zstd"
)

// Compression is when releases are compressed on their way.
type Compression string

// The compressions.
const (
	CompressAuto   Compression = "auto"   // for hosts that have zstd; with gzip where the bandwidth is bounded
	CompressAlways Compression = "always" // with zstd, or gzip where there is no zstd
	CompressNever  Compression = "never"
)

// pack is what is sent of a release to hosts that have the same of it already: made once,
// sent to each. Its bytes are always the same, so a host that was cut off can go on.
type pack struct {
	id       string // of the bytes: 16 hex digits
	encoding encoding
	size     int64 // of the bytes
	recipe   []byte
	open     func(from int64) (io.ReadCloser, error)

	key     *proofKey               // of its proof; nil for a small release
	trailer func() (trailer, error) // nil for a small release
	close   func()
}

// packKey tells packs apart.
type packKey struct {
	stream   string // the release's digest
	form     hostdriver.ReleaseForm
	base     string // a digest of the base's index, or ""
	encoding encoding
}

// keepPacks is how long a pack is kept after its last use.
const keepPacks = time.Minute

// packer makes packs, each once, and keeps them while they are in use and a little longer.
type packer struct {
	keep time.Duration

	mu sync.Mutex
	of map[packKey]*heldPack
}

type heldPack struct {
	made  chan struct{} // closed once pack or err is set
	pack  *pack
	err   error
	users int
	drop  *time.Timer
}

func newPacker() *packer { return &packer{keep: keepPacks, of: map[packKey]*heldPack{}} }

// get returns the pack of that key; done must be called once it is no longer needed. One
// that could not be made is not remembered.
func (p *packer) get(ctx context.Context, key packKey, build func() (*pack, error)) (got *pack, done func(), err error) {
	p.mu.Lock()
	h := p.of[key]
	if h == nil {
		h = &heldPack{made: make(chan struct{})}
		p.of[key] = h
		go func() {
			h.pack, h.err = build()
			close(h.made)
		}()
	}
	h.users++
	if h.drop != nil {
		h.drop.Stop()
		h.drop = nil
	}
	p.mu.Unlock()
	done = sync.OnceFunc(func() { p.put(key, h) })
	select {
	case <-h.made:
	case <-ctx.Done():
		done()
		return nil, nil, ctx.Err()
	}
	if h.err != nil {
		p.spoil(key)
		done()
		return nil, nil, h.err
	}
	return h.pack, done, nil
}

func (p *packer) put(key packKey, h *heldPack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.users--
	switch {
	case h.users > 0:
	case p.of[key] != h:
		h.closeOnceMade()
	default:
		h.drop = time.AfterFunc(p.keep, func() { p.expire(key, h) })
	}
}

func (p *packer) expire(key packKey, h *heldPack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.users == 0 && p.of[key] == h {
		delete(p.of, key)
		h.closeOnceMade()
	}
}

// spoil has the pack made anew for whoever asks next: what it was made of may be at fault.
func (p *packer) spoil(key packKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.of[key]; h != nil {
		delete(p.of, key)
		if h.users == 0 {
			h.closeOnceMade()
		}
	}
}

// closeOnceMade does not wait: it may still be in the making, for somebody who has gone.
func (h *heldPack) closeOnceMade() {
	if h.drop != nil {
		h.drop.Stop()
	}
	go func() {
		<-h.made
		if h.pack != nil {
			h.pack.close()
		}
	}()
}

// end forgets all.
func (p *packer) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.of {
		h.closeOnceMade()
	}
	p.of = map[packKey]*heldPack{}
}

// buildPack makes the pack of a release for hosts with that base (nil: none).
func buildPack(r hostdriver.Release, b *base, enc encoding) (*pack, error) {
	if r.Size < smallRelease {
		return wholePack(r), nil
	}
	mean := meanChunk(r.Size)
	if b != nil {
		mean = b.mean
	}
	key := newProofKey()
	outlines := sync.OnceValues(func() (*outline, error) { return outlineOf(r, mean, b, key) })
	var steps []step
	if b != nil {
		l, err := outlines()
		if err != nil {
			return nil, err
		}
		steps = b.plan(l)
	}
	p, err := wholePack(r), error(nil)
	if steps != nil || enc != plain || r.Form != hostdriver.FormFile {
		p, err = spoolPack(r, b, steps, enc)
	}
	if err != nil {
		return nil, err
	}
	p.key, p.trailer = key, sync.OnceValues(func() (trailer, error) {
		l, err := outlines()
		if err != nil {
			return trailer{}, err
		}
		index, err := l.index()
		if len(index) > maxIndex {
			index = nil
		}
		return trailer{index, l.proof}, err
	})
	go func() { _, _ = p.trailer() }() // while the first bytes are on their way
	return p, nil
}

func outlineOf(r hostdriver.Release, mean int64, b *base, key *proofKey) (*outline, error) {
	from, err := r.Open()
	if err != nil {
		return nil, fmt.Errorf("cannot open the release %s: %w", r.Path, err)
	}
	defer from.Close()
	w := newWitness(key)
	l, err := readOutline(io.TeeReader(io.LimitReader(from, r.Size), w), r.Form, mean, b)
	w.end()
	if err != nil {
		return nil, fmt.Errorf("cannot read the release %s: %w", r.Path, err)
	}
	l.proof = w.proof(r.Travels())
	return l, nil
}

// wholePack sends the stream as it is.
func wholePack(r hostdriver.Release) *pack {
	return &pack{id: r.Travels()[:16], encoding: plain, size: r.Size, close: func() {},
		open: func(from int64) (io.ReadCloser, error) {
			f, err := r.Open()
			if err != nil {
				return nil, err
			}
			if s, ok := f.(io.Seeker); ok {
				_, err = s.Seek(from, io.SeekStart)
			} else {
				_, err = io.CopyN(io.Discard, f, from)
			}
			if err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return f, nil
		}}
}

// spoolPack writes what is to be sent into a file without a name.
func spoolPack(r hostdriver.Release, b *base, steps []step, enc encoding) (_ *pack, err error) {
	whole := steps == nil
	if whole {
		steps = []step{{size: r.Size}}
	}
	file, err := os.CreateTemp("", "evenkeel-pack-*")
	if err != nil {
		return nil, fmt.Errorf("cannot pack the release %s: %w", r.Path, err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()
	if err := os.Remove(file.Name()); err != nil {
		return nil, fmt.Errorf("cannot pack the release %s: %w", r.Path, err)
	}
	out := &spool{file: file, sum: sha256.New()}
	if err := writeSent(out, r, steps, enc); err != nil {
		return nil, fmt.Errorf("cannot pack the release %s: %w", r.Path, err)
	}
	if !whole && enc != plain && out.size > sentBytes(steps)/10*9 {
		// Compressed it is hardly less, and every host would have to unpack it.
		enc = plain
		if err := out.empty(); err != nil {
			return nil, fmt.Errorf("cannot pack the release %s: %w", r.Path, err)
		}
		if err := writeSent(out, r, steps, enc); err != nil {
			return nil, fmt.Errorf("cannot pack the release %s: %w", r.Path, err)
		}
	}
	p := &pack{encoding: enc, size: out.size, close: func() { _ = file.Close() },
		open: func(from int64) (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(file, from, out.size-from)), nil
		}}
	if len(steps) > 1 || steps[0].copied {
		p.recipe = recipeText(steps)
		if r.Form == hostdriver.FormFile {
			p.recipe = fileRecipe(steps, b.sizes[""])
		}
	}
	out.sum.Write(p.recipe)
	p.id = hex.EncodeToString(out.sum.Sum(nil)[:8])
	return p, nil
}

type spool struct {
	file *os.File
	sum  hash.Hash
	size int64
}

func (s *spool) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	s.sum.Write(p[:n])
	s.size += int64(n)
	return n, err
}

// empty begins anew.
func (s *spool) empty() error {
	s.sum.Reset()
	s.size = 0
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return s.file.Truncate(0)
}

func sentBytes(steps []step) (n int64) {
	for _, s := range steps {
		if !s.copied {
			n += s.size
		}
	}
	return n
}

// writeSent writes the parts of the stream that are sent.
func writeSent(w io.Writer, r hostdriver.Release, steps []step, enc encoding) error {
	from, err := r.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := encode(w, enc)
	if err != nil {
		return err
	}
	seek, canSeek := from.(io.Seeker)
	for _, s := range steps {
		into := io.Writer(to)
		if s.copied {
			into = io.Discard
			if canSeek { // its digest is taken on the host, of all of it
				if _, err := seek.Seek(s.size, io.SeekCurrent); err != nil {
					_ = to.Close()
					return err
				}
				continue
			}
		}
		if _, err := io.CopyN(into, from, s.size); err != nil {
			_ = to.Close()
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("it is shorter than the %d bytes it should have", r.Size)
			}
			return err
		}
	}
	return to.Close()
}

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

// encode writes always the same bytes for the same input.
func encode(w io.Writer, enc encoding) (io.WriteCloser, error) {
	switch enc {
	case gzipped:
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case zstded:
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(4<<20))
	}
	return plainWriter{w}, nil
}
