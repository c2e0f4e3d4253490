package gitrepo

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1" // #nosec G505 -- the pack's own checksum
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// ingest takes a pack from a server: into a file, of which no more is believed than was
// counted; then go-git makes objects of it. Small packs become single files, as with git
// itself, so that packs do not pile up over the months.
func (o *objects) ingest(ctx context.Context, pack io.Reader, l Limits) error {
	f, err := os.CreateTemp(filepath.Join(o.dir, "objects", "pack"), "tmp_pack_*")
	if err != nil {
		return local(err, "")
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	size, err := io.Copy(f, &cappedReader{ctx: ctx, r: pack, left: l.Pack, what: "the fetch", limit: l.Pack})
	if err != nil {
		return packError(err)
	}
	if size == 0 {
		return refused(errors.New("the server sent nothing"), "")
	}
	count, err := scanPack(ctx, f, size, l)
	if err != nil {
		return packError(err)
	}
	if count <= looseObjects {
		err = o.unpack(ctx, f)
	} else {
		err = o.index(ctx, f)
	}
	o.reload()
	return packError(err)
}

const looseObjects = 512

// packError gives an error of a pack its kind.
func packError(err error) error {
	var f *fault
	switch {
	case err == nil, errors.As(err, &f), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case isFile(err):
		return local(err, "see that there is room on the controller's disk")
	}
	return refused(fmt.Errorf("the pack is damaged: %w", err), "check the repository on the server: git fsck --full")
}

// cappedReader refuses to read more than there may be, or after the end of its time.
type cappedReader struct {
	ctx         context.Context
	r           io.Reader
	left, limit int64
	what        string
}

func (c *cappedReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, tooLarge(c.what, c.limit)
	}
	return n, err
}

func tooLarge(what string, limit int64) error {
	return refused(fmt.Errorf("%s has more than %d bytes", what, limit),
		"keep large files out of the fleet repo (deliver them as artifacts), or raise git.limits")
}

// timedFile stops a long reading of go-git's, which knows no context.
type timedFile struct {
	io.ReadSeeker
	ctx context.Context
}

func (t timedFile) Read(p []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	return t.ReadSeeker.Read(p)
}

// unpack makes single files of a pack's objects. It has a view of the folder of its own,
// so that nobody who reads waits for it.
func (o *objects) unpack(ctx context.Context, f io.ReadSeeker) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	storage := newStorage(o.dir)
	defer func() { _ = storage.Close() }()
	return guarded(func() error {
		p, err := packfile.NewParserWithStorage(packfile.NewScanner(timedFile{f, ctx}), storage)
		if err != nil {
			return err
		}
		_, err = p.Parse()
		return err
	})
}

// index keeps a pack as it is, with an index beside it.
func (o *objects) index(ctx context.Context, f *os.File) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var name string
	var index bytes.Buffer
	err := guarded(func() error {
		w := new(idxfile.Writer)
		p, err := packfile.NewParser(packfile.NewScanner(timedFile{f, ctx}), w)
		if err != nil {
			return err
		}
		sum, err := p.Parse()
		if err != nil {
			return err
		}
		name = filepath.Join(o.dir, "objects", "pack", "pack-"+sum.String())
		idx, err := w.Index()
		if err != nil {
			return err
		}
		_, err = idxfile.NewEncoder(&index).Encode(idx)
		return err
	})
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return local(err, "")
	}
	if err := os.Rename(f.Name(), name+".pack"); err != nil {
		return local(err, "")
	}
	if err := writeFile(name+".idx", index.String()); err != nil {
		return local(err, "")
	}
	return nil
}

const (
	packHeader  = 12
	packTrailer = sha1.Size
	typeOfs     = 6
	typeRef     = 7
)

// scanPack counts through a pack what it would become, without keeping any of it, and
// refuses too much: a few bytes can stand for gigabytes. It returns the count of objects.
func scanPack(ctx context.Context, f io.ReadSeeker, size int64, l Limits) (int64, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	sum := sha1.New() // #nosec G401 -- the pack's own checksum
	body := io.TeeReader(io.LimitReader(timedFile{f, ctx}, size-packTrailer), sum)
	s := &packScan{r: bufio.NewReaderSize(body, 64<<10), limits: l}
	if err := s.all(); err != nil {
		return 0, err
	}
	if _, err := s.r.ReadByte(); !errors.Is(err, io.EOF) {
		return 0, errors.New("something follows its last object")
	}
	trailer := make([]byte, packTrailer)
	if _, err := io.ReadFull(f, trailer); err != nil || !bytes.Equal(trailer, sum.Sum(nil)) {
		return 0, errors.New("its checksum does not match")
	}
	return s.count, nil
}

type packScan struct {
	r        *bufio.Reader
	limits   Limits
	count    int64
	unpacked int64
	zlib     io.ReadCloser
}

func (s *packScan) all() error {
	var head [packHeader]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return fmt.Errorf("it is cut off: %w", err)
	}
	if string(head[:4]) != "PACK" || binary.BigEndian.Uint32(head[4:]) != 2 {
		return errors.New("it is no pack of version 2")
	}
	s.count = int64(binary.BigEndian.Uint32(head[8:]))
	if s.count > s.limits.Objects {
		return refused(fmt.Errorf("the fetch has %d objects, more than %d", s.count, s.limits.Objects),
			"use a fleet repo with less history, or raise git.limits")
	}
	for i := range s.count {
		if err := s.object(); err != nil {
			var f *fault
			if errors.As(err, &f) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return fmt.Errorf("object %d of %d: %w", i+1, s.count, err)
		}
	}
	return nil
}

// object counts one.
func (s *packScan) object() error {
	b, err := s.r.ReadByte()
	if err != nil {
		return noEOF(err)
	}
	kind, size, shift := b>>4&7, uint64(b&15), 4
	for b&0x80 != 0 {
		if b, err = s.r.ReadByte(); err != nil {
			return noEOF(err)
		}
		if shift > 56 {
			return errors.New("its size makes no sense")
		}
		size |= uint64(b&0x7f) << shift
		shift += 7
	}
	switch kind {
	case 1, 2, 3, 4: // commit, tree, blob, tag
		return s.whole(size)
	case typeOfs:
		for more := true; more; more = b&0x80 != 0 {
			if b, err = s.r.ReadByte(); err != nil {
				return noEOF(err)
			}
		}
		return s.delta(size)
	case typeRef:
		if _, err := s.r.Discard(sha1.Size); err != nil {
			return noEOF(err)
		}
		return s.delta(size)
	}
	return fmt.Errorf("its kind is %d", kind)
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// admit counts an object of that size in.
func (s *packScan) admit(size uint64) error {
	if size > uint64(s.limits.Object) { // #nosec G115 -- limits are positive
		return tooLarge("a file of the repository", s.limits.Object)
	}
	if s.unpacked += int64(size); s.unpacked > s.limits.Unpacked { // #nosec G115 -- checked above
		return tooLarge("the repository, unpacked,", s.limits.Unpacked)
	}
	return nil
}

func (s *packScan) whole(size uint64) error {
	if err := s.admit(size); err != nil {
		return err
	}
	_, err := s.inflate(size, 0)
	return err
}

// delta is admitted as what it would become, too.
func (s *packScan) delta(size uint64) error {
	if err := s.admit(size); err != nil {
		return err
	}
	head, err := s.inflate(size, 2*binary.MaxVarintLen64)
	if err != nil {
		return err
	}
	_, n := binary.Uvarint(head) // of the base
	if n <= 0 {
		return errors.New("its delta makes no sense")
	}
	result, n := binary.Uvarint(head[n:])
	if n <= 0 {
		return errors.New("its delta makes no sense")
	}
	return s.admit(result)
}

// inflate reads compressed data that must have exactly that size, and returns its first
// bytes.
func (s *packScan) inflate(size uint64, keep int) ([]byte, error) {
	if s.zlib == nil {
		z, err := zlib.NewReader(s.r)
		if err != nil {
			return nil, noEOF(err)
		}
		s.zlib = z
	} else if err := s.zlib.(zlib.Resetter).Reset(s.r, nil); err != nil {
		return nil, noEOF(err)
	}
	head := make([]byte, min(size, uint64(keep))) // #nosec G115 -- small
	if _, err := io.ReadFull(s.zlib, head); err != nil {
		return nil, noEOF(err)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(s.zlib, int64(size)-int64(len(head))+1)) // #nosec G115 -- admitted
	if err != nil {
		return nil, noEOF(err)
	}
	if uint64(n)+uint64(len(head)) != size { // #nosec G115 -- positive
		return nil, errors.New("it has another size than it says")
	}
	return head, nil
}
