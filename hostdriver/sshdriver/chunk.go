package sshdriver

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/gzip"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// What a host has already of a release need not travel. A release is cut into chunks where
// its content says so (a gear hash, as in FastCDC: Xia et al., USENIX ATC 2016), so that an
// insertion moves no later cut; of a bundle each file by itself, for files are what is on
// the host's disk. The chunks' digests are kept on the host beside the release's record:
// whoever brings the next release, reads them there, and needs nothing of the former one.

// smallRelease is the size, in bytes, below which a release is sent as it is.
const smallRelease = 64 << 10

const (
	leastChunk   = 16 << 10 // mean chunk of all but large releases, in bytes; a power of two
	manyChunks   = 1 << 14  // from so many on, chunks are larger
	largestChunk = 16 << 20 // that an index may speak of
	maxIndex     = 4 << 20  // bytes of an index, as the host keeps it
	maxIndexText = 32 << 20
)

// chunkID tells chunks apart (XXH64). A mistake costs a transfer, for what is put together is
// proven as a whole.
type chunkID uint64

// segment is a piece of a release's stream: a chunk of a file, or what is between files.
type segment struct {
	size int64
	id   chunkID
	file int // in outline.files, or -1
	at   int64
}

// outline is a release's stream as segments, in order and without a gap.
type outline struct {
	mean     int64
	files    []string // relative to the release, "" the release itself
	segments []segment
	proof    string // see trailer
}

// meanChunk is the mean size of chunks, in bytes, for a release of that size.
func meanChunk(size int64) int64 {
	mean := int64(leastChunk)
	for size/mean > manyChunks {
		mean *= 2
	}
	return mean
}

// readOutline cuts a release's stream into segments, the sooner the more it has in common with
// b, which may be nil.
func readOutline(r io.Reader, form hostdriver.ReleaseForm, mean int64, b *base) (*outline, error) {
	s := &scanner{in: &counted{r: bufio.NewReaderSize(r, 256<<10)}, out: &outline{mean: mean}, cut: newCutter(mean, b)}
	var err error
	if form == hostdriver.FormFile {
		s.out.files = []string{""}
		err = s.file(0, s.in)
	} else {
		err = s.tar()
	}
	if err != nil {
		return nil, err
	}
	return s.out, nil
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

type scanner struct {
	in   *counted
	out  *outline
	done int64 // of the stream, in segments
	cut  *cutter
}

// between makes a segment of what was read since the last one.
func (s *scanner) between() {
	if n := s.in.n - s.done; n > 0 {
		s.out.segments = append(s.out.segments, segment{size: n, file: -1})
		s.done = s.in.n
	}
}

// tar: a file that is in it twice, or is stored with holes, has no chunks.
func (s *scanner) tar() error {
	tr := tar.NewReader(s.in)
	number := map[string]int{}
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || h.Size == 0 || strings.ContainsAny(h.Name, "\n\t") {
			continue
		}
		s.between()
		name := path.Clean(h.Name)
		if _, twice := number[name]; twice {
			s.forget(number[name])
		}
		from := len(s.out.segments)
		number[name] = len(s.out.files)
		s.out.files = append(s.out.files, name)
		if err := s.file(number[name], tr); err != nil {
			return err
		}
		if s.in.n != s.done {
			s.out.segments = s.out.segments[:from]
			s.done = 0
			for _, g := range s.out.segments {
				s.done += g.size
			}
			s.between()
		}
	}
	if _, err := io.Copy(io.Discard, s.in); err != nil {
		return err
	}
	s.between()
	return nil
}

func (s *scanner) forget(file int) {
	for i := range s.out.segments {
		if s.out.segments[i].file == file {
			s.out.segments[i].file = -1
		}
	}
}

// file cuts one file into chunks.
func (s *scanner) file(number int, r io.Reader) error {
	return s.cut.each(r, func(at, size int64, id chunkID) {
		s.out.segments = append(s.out.segments, segment{size: size, id: id, file: number, at: at})
		s.done += size
	})
}

// cutter finds where to cut.
type cutter struct {
	least, most     int
	strict, lenient uint64 // before and after the mean size
	mean            int
	buf             []byte

	base *base // may be nil
	next int   // in base.order, the chunk that follows the last one there
}

func newCutter(mean int64, b *base) *cutter {
	bits := 0
	for m := mean; m > 1; m /= 2 {
		bits++
	}
	high := func(n int) uint64 { return ^uint64(0) << (64 - n) }
	return &cutter{least: int(mean / 4), most: int(mean * 4), mean: int(mean), strict: high(bits + 1), lenient: high(bits - 1), base: b, buf: make([]byte, max(int(mean*16), 1<<20))}
}

// each calls do with each chunk.
func (c *cutter) each(r io.Reader, do func(at, size int64, id chunkID)) error {
	var at int64
	have, end := 0, false
	c.next = 0
	for {
		for !end && have < len(c.buf) {
			n, err := r.Read(c.buf[have:])
			have += n
			if errors.Is(err, io.EOF) {
				end = true
			} else if err != nil {
				return err
			}
		}
		from := 0
		for have-from >= c.most || end && have > from {
			n, id := c.chunk(c.buf[from:have])
			do(at, int64(n), id)
			from, at = from+n, at+int64(n)
		}
		if end {
			return nil
		}
		have = copy(c.buf, c.buf[from:have])
	}
}

// chunk is the chunk that b begins with. Where it is the one that comes next in the base, that
// tells how long it is, without a look for the cut: what is alike is cut alike.
func (c *cutter) chunk(b []byte) (int, chunkID) {
	if c.base != nil && c.next < len(c.base.order) {
		// A file's last one was cut by the end of the file.
		if k := c.base.order[c.next]; !k.last && k.size >= int64(c.least) && k.size <= int64(min(c.most, len(b))) && chunkID(xxhash.Sum64(b[:k.size])) == k.id {
			c.next++
			return int(k.size), k.id
		}
	}
	n := c.length(b)
	id := chunkID(xxhash.Sum64(b[:n]))
	if c.base != nil {
		if p, ok := c.base.chunks[id]; ok {
			c.next = p.number + 1
		}
	}
	return n, id
}

// length is how long the chunk is that b begins with.
func (c *cutter) length(b []byte) int {
	if len(b) > c.most {
		b = b[:c.most]
	}
	if len(b) <= c.least {
		return len(b)
	}
	var h uint64
	i := c.least
	for normal := min(c.mean, len(b)); i < normal; i++ {
		if h = h<<1 + gear[b[i]]; h&c.strict == 0 {
			return i + 1
		}
	}
	for ; i < len(b); i++ {
		if h = h<<1 + gear[b[i]]; h&c.lenient == 0 {
			return i + 1
		}
	}
	return len(b)
}

// gear has a random number for each byte. Indexes on hosts depend on them: another table
// means another version of the index.
var gear = func() (table [256]uint64) {
	for i := range table {
		sum := sha256.Sum256([]byte("evenkeel gear " + strconv.Itoa(i)))
		table[i] = binary.BigEndian.Uint64(sum[:8])
	}
	return table
}()

const indexTitle = "evenkeel chunks 2"

// index is the outline as the host keeps it: gzip of a title with the mean, then for each
// file a line "f NAME", and for each chunk of it "ID SIZE".
func (l *outline) index() ([]byte, error) {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // that level is one
	w := bufio.NewWriter(z)
	fmt.Fprintf(w, "%s %d\n", indexTitle, l.mean)
	last := -1
	for _, s := range l.segments {
		if s.file < 0 {
			continue
		}
		if s.file != last {
			fmt.Fprintf(w, "f %s\n", l.files[s.file])
			last = s.file
		}
		fmt.Fprintf(w, "%016x %d\n", uint64(s.id), s.size)
	}
	if err := errors.Join(w.Flush(), z.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// place is where on a host a chunk is.
type place struct {
	file   string
	at     int64
	size   int64
	number int // in base.order
}

// baseChunk is a chunk of a base; last is that of its file.
type baseChunk struct {
	id   chunkID
	size int64
	last bool
}

// base is a release that a host has, as its index tells.
type base struct {
	mean   int64
	order  []baseChunk
	chunks map[chunkID]place
	sizes  map[string]int64 // of its files
}

// parseIndex reads what a host has kept. Whatever is in there, no more comes of it than a
// release whose digest is wrong; names are checked all the same.
func parseIndex(packed []byte) (*base, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(io.LimitReader(z, maxIndexText))
	lines.Buffer(nil, 64<<10)
	b := &base{chunks: map[chunkID]place{}, sizes: map[string]int64{}}
	if !lines.Scan() {
		return nil, errors.Join(errors.New("it is empty"), lines.Err())
	}
	if b.mean, err = parseMean(lines.Text()); err != nil {
		return nil, err
	}
	var now place
	begun := false
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "f "); ok {
			if name != "" && (hostdriver.CheckPath("/"+name) != nil || path.Clean("/"+name) != "/"+name) {
				return nil, fmt.Errorf("%.100q is no file of a release", name)
			}
			now, begun = place{file: name, number: len(b.order)}, true
			b.endFile()
			continue
		}
		id, size, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseUint(id, 16, 64)
		length, err2 := strconv.ParseInt(size, 10, 64)
		if err != nil || err2 != nil || len(id) != 16 || length < 1 || length > largestChunk*4 || !begun {
			return nil, fmt.Errorf("%.100q is no chunk", lines.Text())
		}
		now.size = length
		b.chunks[chunkID(n)] = now
		b.order = append(b.order, baseChunk{id: chunkID(n), size: length})
		now.at += length
		now.number++
		b.sizes[now.file] = now.at
	}
	b.endFile()
	return b, lines.Err()
}

func (b *base) endFile() {
	if n := len(b.order); n > 0 {
		b.order[n-1].last = true
	}
}

func parseMean(title string) (int64, error) {
	text, ok := strings.CutPrefix(title, indexTitle+" ")
	mean, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || mean < leastChunk || mean > largestChunk || mean&(mean-1) != 0 {
		return 0, fmt.Errorf("%.100q begins no index of this version", title)
	}
	return mean, nil
}
