package drivertest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// fakeOrigin is where a Fake's hosts find what is published.
const fakeOrigin = "https://releases.example.com"

// fakeWeb is an https server as one host sees it.
type fakeWeb struct {
	files  map[string][]byte
	away   map[string]string
	asked  map[string]int
	absent bool // the host has nothing to fetch with
}

// Fetcher implements Machine.
func (h *FakeHost) Fetcher(tool string) {
	h.do(func() { h.fetcher, h.web.absent = tool, tool == "" })
}

// Publish implements Machine.
func (h *FakeHost) Publish(path string, data []byte) string {
	h.do(func() {
		h.web.begin()
		h.web.files[path] = data
	})
	return fakeOrigin + path
}

func (w *fakeWeb) begin() {
	if w.files == nil {
		w.files, w.away, w.asked = map[string][]byte{}, map[string]string{}, map[string]int{}
	}
}

// Redirect implements Machine.
func (h *FakeHost) Redirect(path, to string) {
	h.do(func() {
		h.web.begin()
		h.web.away[path] = to
	})
}

// Asked implements Machine.
func (h *FakeHost) Asked(path string) (n int) {
	h.do(func() { n = h.web.asked[path] })
	return n
}

// cannotPull is what of the host's own is in the way. A fake has gzip alone.
func (h *FakeHost) cannotPull(r hostdriver.Release) hostdriver.PullFault {
	switch {
	case h.web.absent:
		return hostdriver.PullNoTool
	case h.fetcher == "busybox" && r.Pull.HasQuery():
		return hostdriver.PullQuery
	case h.fetcher == "busybox" && r.Pull.Bandwidth > 0:
		return hostdriver.PullBandwidth
	case r.Unpacker() == "zstd":
		return hostdriver.PullNoZstd
	case r.Unpacker() == "zip":
		return hostdriver.PullNoUnzip
	}
	return ""
}

// fetch is a release that the host has pulled.
func (h *FakeHost) fetch(r hostdriver.Release) (*node, error) {
	if err := r.Pull.Check(); err != nil {
		return nil, failure(hostdriver.Refused, "correct the fleet repo", "%w", err)
	}
	fail := func(f hostdriver.PullFault, format string, a ...any) (*node, error) {
		what, mend := r.PullError(f, fmt.Sprintf(format, a...))
		return nil, failure(hostdriver.Failed, mend, "%s; nothing was staged", what)
	}
	if f := h.cannotPull(r); f != "" {
		return fail(f, "")
	}
	source, f, detail := h.get(string(r.Pull.URL.Bytes()))
	if f != "" {
		return fail(f, "%s", detail)
	}
	if got := hostdriver.NewContent(source).SHA256(); got != r.SHA256 {
		return fail(hostdriver.PullDigest, "%s", got)
	}
	data := source
	if r.Form == hostdriver.FormTar {
		if z, err := gzip.NewReader(bytes.NewReader(source)); err == nil {
			if data, err = io.ReadAll(z); err != nil {
				return fail(hostdriver.PullUnpack, "%v", err)
			}
		}
		if err := insideOnly(data); err != nil {
			return fail(hostdriver.PullEntry, "%v", err)
		}
	}
	if need := int64(len(source) + len(data)); need > h.freeBytes {
		return fail(hostdriver.PullRoom, "%d %d", need, h.freeBytes)
	}
	n, err := h.releaseNode(r, data)
	if err == nil {
		h.freeBytes -= int64(len(data))
	}
	return n, err
}

// get asks the server, and follows it as far as https goes.
func (h *FakeHost) get(url string) ([]byte, hostdriver.PullFault, string) {
	for range 6 {
		at, _, _ := strings.Cut(strings.TrimPrefix(url, fakeOrigin), "?")
		h.web.begin()
		h.web.asked[at]++
		to, sentOn := h.web.away[at]
		switch {
		case sentOn && !strings.HasPrefix(to, "https://"):
			return nil, hostdriver.PullRedirect, to
		case sentOn:
			url = to
		case h.web.files[at] == nil || !strings.HasPrefix(url, fakeOrigin):
			return nil, hostdriver.PullFetch, "404"
		default:
			return h.web.files[at], "", ""
		}
	}
	return nil, hostdriver.PullFetch, "too many redirects"
}

// insideOnly refuses a tar that has more than files, folders and links within it.
func insideOnly(data []byte) error {
	for t := tar.NewReader(bytes.NewReader(data)); ; {
		e, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		outside := func(p string) bool { return path.IsAbs(p) || strings.HasPrefix(path.Clean(p), "..") }
		switch e.Typeflag {
		case tar.TypeReg, tar.TypeDir:
		case tar.TypeSymlink:
			if path.IsAbs(e.Linkname) || outside(path.Join(path.Dir(e.Name), e.Linkname)) {
				return fmt.Errorf("entry %s links to %s, outside its folder", e.Name, e.Linkname)
			}
		default:
			return fmt.Errorf("entry %s is neither a file, a folder nor a link", e.Name)
		}
		if outside(e.Name) {
			return fmt.Errorf("entry %s would be unpacked outside its folder", e.Name)
		}
	}
}
