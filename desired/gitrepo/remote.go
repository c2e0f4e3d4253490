package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
)

// remote is one conversation with the repository that is fetched from.
type remote interface {
	// tip is the commit that the branch or tag (refs/…) is at.
	tip(ctx context.Context, ref string) (plumbing.Hash, error)
	// transfer brings want, and all that it needs and have does not, into the objects.
	transfer(ctx context.Context, want plumbing.Hash, have []plumbing.Hash, into *objects) error
	close()
}

// dial begins a conversation.
func (r *Repo) dial(ctx context.Context) (remote, error) {
	switch r.place.scheme {
	case "ssh":
		return r.dialSSH(ctx)
	case "https", "http":
		return r.dialHTTP()
	}
	return r.openDir()
}

const (
	branchPrefix = "refs/heads/"
	tagPrefix    = "refs/tags/"
)

// advertised is what a server says before it is asked for anything.
type advertised struct{ *packp.AdvRefs }

// readAdvertised reads a server's list of branches, of at most limit bytes.
func readAdvertised(ctx context.Context, r io.Reader, limit int64) (advertised, error) {
	a := advertised{packp.NewAdvRefs()}
	err := a.Decode(&cappedReader{ctx: ctx, r: r, left: limit, limit: limit, what: "the server's list of branches"})
	var said *pktline.ErrorLine
	switch {
	case err == nil:
	case errors.Is(err, packp.ErrEmptyAdvRefs):
		return a, nil // a repository without a commit
	case errors.As(err, &said):
		return a, unauthorized(fmt.Errorf("the server says: %s", oneLine(said.Text, 300)), "see git.url, and whether this key or token may read the repository")
	default:
		return a, err
	}
	if format := a.Capabilities.Get(capability.Capability("object-format")); len(format) == 1 && format[0] != "sha1" {
		return a, unauthorized(fmt.Errorf("the repository names its objects with %s", oneLine(format[0], 20)), "only SHA-1 repositories can be read yet: git init --object-format=sha1")
	}
	if len(a.Shallows) > 0 {
		return a, unauthorized(errors.New("the repository on the server is a shallow clone"), "fetch the rest of its history there: git fetch --unshallow")
	}
	return a, nil
}

func (a advertised) tip(ref string) (plumbing.Hash, error) {
	if h, ok := a.Peeled[ref]; ok && !h.IsZero() {
		return h, nil
	}
	if h, ok := a.References[ref]; ok && !h.IsZero() {
		return h, nil
	}
	return plumbing.ZeroHash, noRef(ref, len(a.References) == 0)
}

// asked is by what a server is asked for a commit: where it is told of it only as what a
// tag is of, by that tag.
func (a advertised) asked(want plumbing.Hash) plumbing.Hash {
	var tag plumbing.Hash
	for ref, h := range a.References {
		if h == want {
			return want
		}
		if a.Peeled[ref] == want {
			tag = h
		}
	}
	if tag.IsZero() {
		return want
	}
	return tag
}

func noRef(ref string, empty bool) error {
	branch := strings.TrimPrefix(ref, branchPrefix)
	if tag, ok := strings.CutPrefix(ref, tagPrefix); ok {
		return unauthorized(fmt.Errorf("it has no tag %s", quote(tag)), "push the tag, or name one that is there")
	}
	if empty {
		return unauthorized(errors.New("the repository has no commit yet"), "push a first revision: evenkeel init writes one")
	}
	return unauthorized(fmt.Errorf("it has no branch %s", quote(branch)), "see git.branch")
}

// request is what asks a server for a pack.
func (a advertised) request(want plumbing.Hash, have []plumbing.Hash) (*packp.UploadPackRequest, []byte, error) {
	req := packp.NewUploadPackRequest()
	req.Wants, req.Haves = []plumbing.Hash{a.asked(want)}, have
	for _, c := range []capability.Capability{capability.OFSDelta, capability.NoProgress} {
		if a.Capabilities.Supports(c) {
			if err := req.Capabilities.Set(c); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, c := range []capability.Capability{capability.Sideband64k, capability.Sideband} {
		if a.Capabilities.Supports(c) {
			if err := req.Capabilities.Set(c); err != nil {
				return nil, nil, err
			}
			break
		}
	}
	if a.Capabilities.Supports(capability.Agent) {
		if err := req.Capabilities.Set(capability.Agent, "evenkeel"); err != nil {
			return nil, nil, err
		}
	}
	var b bytes.Buffer
	if err := req.UploadRequest.Encode(&b); err != nil {
		return nil, nil, err
	}
	if err := req.UploadHaves.Encode(&b, false); err != nil {
		return nil, nil, err
	}
	err := pktline.NewEncoder(&b).EncodeString("done\n")
	return req, b.Bytes(), err
}

// pack reads a server's answer: what it has in common with us, then the pack.
func answer(ctx context.Context, req *packp.UploadPackRequest, r io.Reader, into *objects, l Limits) error {
	room := l.Pack + l.Pack/16 + 1<<20 // what frames a pack on its way
	res := packp.NewUploadPackResponse(req)
	err := res.Decode(io.NopCloser(&cappedReader{ctx: ctx, r: r, left: room, limit: l.Pack, what: "the fetch"}))
	if err != nil {
		return serverSays(err)
	}
	var pack io.Reader = res
	if req.Capabilities.Supports(capability.Sideband64k) {
		pack = sideband.NewDemuxer(sideband.Sideband64k, res)
	} else if req.Capabilities.Supports(capability.Sideband) {
		pack = sideband.NewDemuxer(sideband.Sideband, res)
	}
	return into.ingest(ctx, pack, l)
}

// serverSays makes an error of what a server says instead of a pack.
func serverSays(err error) error {
	var said *pktline.ErrorLine
	if errors.As(err, &said) {
		return unreachable(fmt.Errorf("the server says: %s", oneLine(said.Text, 300)), "")
	}
	return err
}
