package drivertest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

func (h *FakeHost) stage(op hostdriver.Stage) (hostdriver.Result, error) {
	m := op.Manifest
	if err := errors.Join(m.Check(), op.Trial.Check()); err != nil {
		return hostdriver.Result{}, failure(hostdriver.Refused, "correct the fleet repo", "%w", err)
	}
	m.Entries = slices.Clone(m.Entries)
	slices.SortStableFunc(m.Entries, func(a, b hostdriver.Entry) int {
		return strings.Compare(string(a.Kind)+"\x00"+a.Name, string(b.Kind)+"\x00"+b.Name)
	})
	again := false
	for n, g := range h.generations {
		if n == m.Generation && g.manifest.Revision == m.Revision && slices.Equal(g.manifest.Entries, m.Entries) {
			again = true
			continue
		}
		if n >= m.Generation {
			return hostdriver.Result{}, failure(hostdriver.Conflict, "observe again", "generation %d is kept there already, and %d is to be staged", n, m.Generation)
		}
	}
	if err := h.pull(op.Images); err != nil {
		return hostdriver.Result{}, err
	}
	sent, err := h.receive(op)
	if err != nil {
		return hostdriver.Result{}, err
	}
	for _, e := range m.Entries {
		if _, ok := h.blobs[e.SHA256]; e.Kind == hostdriver.KindFile && !ok {
			return hostdriver.Result{}, failure(hostdriver.Failed, "", "the content of %s was not sent; nothing of it was kept", e.Name)
		}
		if e.Kind == hostdriver.KindRelease && h.nodes[e.Name] == nil {
			return hostdriver.Result{}, failure(hostdriver.Failed, "", "the release %s was not sent; nothing of it was kept", e.Name)
		}
	}
	if err := hostdriver.FindingsError(h.try(op.Trial, m.Entries)); err != nil {
		return hostdriver.Result{Staged: sent}, err
	}
	if !again && !h.interrupted {
		h.generations[m.Generation] = &generation{manifest: m, found: map[string]found{}}
	}
	return hostdriver.Result{Staged: sent}, nil
}

func (h *FakeHost) pull(images []hostdriver.Image) error {
	for _, img := range images {
		if err := img.Check(); err != nil {
			return failure(hostdriver.Refused, "correct the fleet repo", "%w", err)
		}
		has, there := h.images[img.Tool]
		switch {
		case !there:
			return failure(hostdriver.Failed, "install "+img.Tool+" there", "there is no %s to have the image %s; nothing was staged", img.Tool, img.Name)
		case slices.Contains(has, img.Name):
		case slices.Contains(h.registry[img.Tool], img.Name):
			h.images[img.Tool] = append(has, img.Name)
		default:
			return failure(hostdriver.Failed, "see whether it is called that", "%s cannot pull the image %s: %s: not found; nothing was staged", img.Tool, img.Name, img.Name)
		}
	}
	return nil
}

// receive takes in what is missing, all or nothing.
func (h *FakeHost) receive(op hostdriver.Stage) (int64, error) {
	var sent int64
	blobs := map[string]hostdriver.Content{}
	for digest, c := range op.Blobs {
		if c.SHA256() != digest {
			return 0, failure(hostdriver.Refused, "", "the blob %s does not have that digest", digest)
		}
		if _, ok := h.blobs[digest]; !ok {
			blobs[digest] = c
			sent += int64(c.Len())
		}
	}
	releases := map[string]*node{}
	for _, r := range op.Releases {
		if n := h.nodes[r.Path]; n != nil && n.release == r.SHA256 && h.asStaged(n) {
			continue
		}
		if r.Pull != nil {
			n, err := h.fetch(r)
			if err != nil {
				return 0, err
			}
			releases[r.Path] = n
			continue
		}
		n, err := h.unpack(r)
		if err != nil {
			return 0, err
		}
		releases[r.Path] = n
		sent += r.Size
	}
	if sent > h.freeBytes || int64(len(blobs)+len(releases)) > h.freeInodes {
		return 0, failure(hostdriver.Failed, "see whether the filesystem is full: df", "cannot write to /var/lib/evenkeel: no space left on device; nothing of it was kept")
	}
	if h.interrupted {
		return sent, nil
	}
	h.freeBytes -= sent
	for digest, c := range blobs {
		h.blobs[digest], h.stamps[digest] = c, h.fleet.now()
	}
	for name, n := range releases {
		maps.DeleteFunc(h.hooks, func(mark string, _ hostdriver.HookMark) bool {
			return strings.HasPrefix(mark, hostdriver.ReleaseKey(name)+".")
		})
		h.remove(name)
		h.put(name, n)
		for p, shipped := range n.shipped {
			h.put(p, shipped)
		}
	}
	return sent, nil
}

func (h *FakeHost) unpack(r hostdriver.Release) (*node, error) {
	from, err := r.Open()
	if err != nil {
		return nil, failure(hostdriver.Failed, "", "cannot open the release %s: %w", r.Path, err)
	}
	defer from.Close()
	data, err := io.ReadAll(io.LimitReader(from, r.Size))
	if err != nil || int64(len(data)) != r.Size {
		return nil, failure(hostdriver.Failed, "", "the release %s is shorter than the %d bytes it should have", r.Path, r.Size)
	}
	c := hostdriver.NewContent(data)
	if c.SHA256() != r.Travels() {
		return nil, failure(hostdriver.Failed, "compare the artifact with its sha256", "the release %s arrived damaged or cut; nothing of it was kept", r.Path)
	}
	return h.releaseNode(r, data)
}

// releaseNode is a release whose bytes, as they travel, are these.
func (h *FakeHost) releaseNode(r hostdriver.Release, data []byte) (*node, error) {
	var err error
	c := hostdriver.NewContent(data)
	n := &node{kind: hostdriver.PathFile, data: c, owner: orRoot(r.Owner), mode: 0o755, release: r.SHA256, changed: h.fleet.now()}
	n.group = n.owner
	if r.Group != "" {
		n.group = r.Group
	}
	if r.Form == hostdriver.FormTar {
		n.kind, n.data = hostdriver.PathDir, hostdriver.Content{}
		if n.shipped, err = untar(r.Path, data, n); err != nil {
			return nil, failure(hostdriver.Failed, "", "cannot unpack the release %s: %w; nothing of it was kept", r.Path, err)
		}
	}
	return n, nil
}

// untar makes nodes of a stream's regular files and links; directories come with them.
func untar(dir string, data []byte, like *node) (map[string]*node, error) {
	nodes := map[string]*node{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nodes, nil
		}
		if err != nil {
			return nil, err
		}
		n := &node{kind: hostdriver.PathFile, owner: like.owner, group: like.group, mode: uint32(h.Mode & 0o7777), changed: h.ModTime}
		switch h.Typeflag {
		case tar.TypeReg:
			text, err := io.ReadAll(r)
			if err != nil {
				return nil, err
			}
			n.data = hostdriver.NewContent(text)
		case tar.TypeSymlink:
			n.kind, n.target = hostdriver.PathSymlink, h.Linkname
		default:
			continue
		}
		nodes[path.Join(dir, path.Clean("/"+h.Name))] = n
	}
}

func orRoot(s string) string {
	if s == "" {
		return "root"
	}
	return s
}
