package desired

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// bundle is what an artifact's source was found to be.
type bundle struct {
	sourceSHA256 string
	sourceSize   int64
	form         hostdriver.ReleaseForm
	size         int64  // as it travels
	sha256       string // as it travels
	open         func() (io.ReadCloser, error)
	raw          func() (io.ReadCloser, error) // the source as it is; nil where it is not at hand

	proving sync.Mutex
	proven  SignatureSpec // the last signature that was right
}

const maxTarEntries = 1_000_000

// readBundle reads a source through: its digest, and of a bundle the digest and
// size of the uncompressed tar, every entry of which is checked.
func readBundle(name string, unpack bool, open func() (io.ReadCloser, error)) (*bundle, error) {
	b, err := readThrough(unpack, open)
	var se *sourceError
	if err == nil {
		return b, nil
	}
	if errors.As(err, &se) {
		if se.rule == "artifact" {
			err = &sourceError{rule: se.rule, message: "artifact " + fault.Quote(name) + ": " + se.message, mend: se.mend}
		}
		return nil, err
	}
	return nil, &sourceError{rule: "artifact", message: "artifact " + fault.Quote(name) + ": " + err.Error()}
}

func readThrough(unpack bool, open func() (io.ReadCloser, error)) (*bundle, error) {
	src, err := open()
	if err != nil {
		return nil, err
	}
	defer src.Close()
	whole := newMeter(src)
	b := &bundle{form: hostdriver.FormFile, open: open, raw: open}
	if unpack {
		b.form = hostdriver.FormTar
		b.open = func() (io.ReadCloser, error) { return openTar(open) }
		stream, err := decompress(whole, open)
		if err != nil {
			return nil, err
		}
		defer stream.Close()
		travel := newMeter(stream)
		if err := checkTar(travel); err != nil {
			return nil, err
		}
		if err := travel.drain(); err != nil {
			return nil, err
		}
		b.size, b.sha256 = travel.n, travel.sum()
	}
	if err := whole.drain(); err != nil {
		return nil, err
	}
	b.sourceSHA256, b.sourceSize = whole.sum(), whole.n
	if !unpack {
		b.size, b.sha256 = whole.n, b.sourceSHA256
	}
	return b, nil
}

// meter counts and digests what is read through it, and refuses too much.
type meter struct {
	r io.Reader
	h hash.Hash
	n int64
}

func newMeter(r io.Reader) *meter { return &meter{r: r, h: sha256.New()} }

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.read(p)
	m.h.Write(p[:n])
	return n, err
}

// read leaves the digest to the caller.
func (m *meter) read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if m.n += int64(n); m.n > maxArtifact {
		return n, fmt.Errorf("it has more than %d bytes", int64(maxArtifact))
	}
	return n, err
}

const drainBuffer = 256 << 10

// drain reads the rest. One piece is digested while the next one is read.
func (m *meter) drain() error {
	full, free := make(chan []byte, 1), make(chan []byte, 2)
	free <- make([]byte, drainBuffer)
	free <- make([]byte, drainBuffer)
	var digesting sync.WaitGroup
	digesting.Go(func() {
		for b := range full {
			m.h.Write(b)
			free <- b[:cap(b)]
		}
	})
	defer digesting.Wait()
	defer close(full)
	for {
		b := <-free
		n, err := m.read(b)
		full <- b[:n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (m *meter) sum() string { return hex.EncodeToString(m.h.Sum(nil)) }

// openTar opens a source as an uncompressed tar stream.
func openTar(open func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	src, err := open()
	if err != nil {
		return nil, err
	}
	stream, err := decompress(src, open)
	if err != nil {
		src.Close()
		return nil, err
	}
	return &stackedCloser{Reader: stream, closers: []io.Closer{stream, src}}, nil
}

type stackedCloser struct {
	io.Reader
	closers []io.Closer
}

func (s *stackedCloser) Close() error {
	var first error
	for _, c := range s.closers {
		if err := c.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// decompress tells gzip, zstd, zip and none of them apart by their first bytes. Closing the
// result does not close r.
func decompress(r io.Reader, open func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	magic, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		return gzip.NewReader(br)
	case string(magic) == "PK\x03\x04":
		return zipAsTar(open)
	case string(magic) == "\x28\xb5\x2f\xfd":
		d, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(512<<20))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(br), nil
}

// checkTar reads a tar stream to its end mark and refuses what would not stay in
// the folder it is unpacked into, or is more than files, folders and links.
func checkTar(r io.Reader) error {
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return errors.New("the tar is empty")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("not a tar: %w", err)
		}
		if n > maxTarEntries {
			return fmt.Errorf("the tar has more than %d entries", maxTarEntries)
		}
		if why := checkEntry(h); why != "" {
			return &sourceError{rule: "artifact", message: fmt.Sprintf("entry %s %s", fault.Quote(h.Name), why),
				mend: "look who has made the archive; of files, folders and links within it, tar -C DIR -cf FILE . makes one"}
		}
	}
}

// checkEntry says why a tar entry is refused.
func checkEntry(h *tar.Header) string {
	if leaves(h.Name) || hasControl(h.Name) {
		return "would be unpacked outside its folder"
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeGNUSparse:
		return ""
	case tar.TypeSymlink:
		if strings.HasPrefix(h.Linkname, "/") || leaves(path.Join(path.Dir(h.Name), h.Linkname)) {
			return "links to " + fault.Quote(h.Linkname) + ", outside its folder"
		}
		return ""
	case tar.TypeLink:
		if leaves(h.Linkname) {
			return "links to " + fault.Quote(h.Linkname) + ", outside its folder"
		}
		return ""
	}
	return "is neither a file, a folder nor a link"
}

// leaves tells whether a path is absolute or goes above where it begins.
func leaves(p string) bool {
	if strings.HasPrefix(p, "/") {
		return true
	}
	clean := path.Clean(p)
	return clean == ".." || strings.HasPrefix(clean, "../") || strings.Contains("/"+p+"/", "/../")
}
