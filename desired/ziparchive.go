package desired

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// maxZipInMemory bounds a zip that cannot be read at any place, in bytes.
const maxZipInMemory = 512 << 20

// Where a zip was made, as it says itself: only these have modes (APPNOTE.TXT, 4.4.2).
const (
	madeOnUnix  = 3
	madeOnMacOS = 19
)

// zipAsTar reads a zip as the tar stream that travels instead of it: the same entries in
// the same order, always with the same bytes. A zip has its directory at its end, so one
// that cannot be read at any place is held in memory.
func zipAsTar(open func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	src, err := open()
	if err != nil {
		return nil, err
	}
	z, err := readZip(src)
	if err != nil {
		return nil, errors.Join(err, src.Close())
	}
	from, to := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = to.CloseWithError(writeTar(to, z))
	}()
	return &zipStream{PipeReader: from, ended: ended, src: src}, nil
}

type zipStream struct {
	*io.PipeReader
	ended chan struct{}
	src   io.Closer
}

func (z *zipStream) Close() error {
	err := z.PipeReader.Close()
	<-z.ended
	return errors.Join(err, z.src.Close())
}

// readZip reads the directory of a zip.
func readZip(src io.Reader) (*zip.Reader, error) {
	at, size, err := readerAt(src)
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(at, size)
	if err != nil {
		return nil, fmt.Errorf("not a zip: %w", err)
	}
	if len(z.File) > maxTarEntries {
		return nil, fmt.Errorf("the zip has more than %d entries", maxTarEntries)
	}
	return z, nil
}

// readerAt is what r holds, to be read at any place.
func readerAt(r io.Reader) (io.ReaderAt, int64, error) {
	if f, ok := r.(interface {
		io.ReaderAt
		io.Seeker
	}); ok {
		size, err := f.Seek(0, io.SeekEnd)
		return f, size, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxZipInMemory+1))
	if err == nil && len(b) > maxZipInMemory {
		err = fmt.Errorf("a zip of more than %d bytes is not taken from the repo: give a URL, or a tar", maxZipInMemory)
	}
	return bytes.NewReader(b), int64(len(b)), err
}

func writeTar(w io.Writer, z *zip.Reader) error {
	t := tar.NewWriter(w)
	for _, f := range z.File {
		if err := writeTarEntry(t, f); err != nil {
			return fmt.Errorf("entry %.200q of the zip: %w", f.Name, err)
		}
	}
	return t.Close()
}

func writeTarEntry(t *tar.Writer, f *zip.File) error {
	h := &tar.Header{Name: f.Name, Mode: int64(f.Mode().Perm()), ModTime: f.Modified.UTC(), Format: tar.FormatPAX}
	if h.ModTime.Year() < 1970 || h.ModTime.Year() > 2200 {
		return fmt.Errorf("it is dated %s", h.ModTime)
	}
	switch {
	case f.Mode().IsDir():
		h.Typeflag = tar.TypeDir
	case f.Mode()&fs.ModeSymlink != 0:
		h.Typeflag = tar.TypeSymlink
	case f.Mode().IsRegular():
		h.Typeflag, h.Size = tar.TypeReg, int64(f.UncompressedSize64)
	default:
		return errors.New("it is neither a file, a folder nor a link")
	}
	if on := f.CreatorVersion >> 8; on != madeOnUnix && on != madeOnMacOS || h.Mode == 0 {
		h.Mode = 0o644
		if h.Typeflag == tar.TypeDir {
			h.Mode = 0o755
		}
	}
	if f.UncompressedSize64 > maxArtifact {
		return fmt.Errorf("it has %d bytes", f.UncompressedSize64)
	}
	if h.Typeflag == tar.TypeDir {
		return t.WriteHeader(h)
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if h.Typeflag == tar.TypeSymlink {
		target, err := io.ReadAll(io.LimitReader(r, 4096))
		if err != nil {
			return err
		}
		h.Linkname = string(target)
		return t.WriteHeader(h)
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, r) // one byte too many is an error of t's, one too few of its next header's
	return err
}
