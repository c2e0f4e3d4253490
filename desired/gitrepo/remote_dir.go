package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// dirRemote is a repository in a folder of this machine. Objects are copied one by one;
// no program of git's is needed.
type dirRemote struct {
	repo *Repo
	from *objects
}

func (r *Repo) openDir() (remote, error) {
	dir := r.place.path
	if info, err := os.Stat(filepath.Join(dir, ".git")); err == nil && info.IsDir() {
		dir = filepath.Join(dir, ".git")
	}
	for _, part := range []string{"HEAD", "objects", "refs"} {
		if _, err := os.Stat(filepath.Join(dir, part)); err != nil {
			return nil, unauthorized(fmt.Errorf("%s is no git repository: %w", r.place.path, err), "see git.url")
		}
	}
	return &dirRemote{repo: r, from: openObjects(dir, r.limits.Object)}, nil
}

func (d *dirRemote) tip(_ context.Context, name string) (plumbing.Hash, error) {
	ref, err := d.from.storage.Reference(plumbing.ReferenceName(name))
	switch {
	case errors.Is(err, plumbing.ErrReferenceNotFound):
		refs, rerr := d.from.storage.IterReferences()
		empty := rerr == nil
		if empty {
			_ = refs.ForEach(func(r *plumbing.Reference) error { empty = empty && !r.Name().IsBranch(); return nil })
		}
		return plumbing.ZeroHash, noRef(name, empty)
	case err != nil:
		return plumbing.ZeroHash, unreachable(err, "")
	case ref.Type() != plumbing.HashReference:
		return plumbing.ZeroHash, noRef(name, false)
	}
	return d.peel(ref.Hash())
}

const maxTag = 64 << 10 // bytes of a tag with its message

// peel follows annotated tags to the commit.
func (d *dirRemote) peel(at plumbing.Hash) (plumbing.Hash, error) {
	for range 10 {
		raw, err := d.from.read(plumbing.TagObject, at, maxTag)
		if err != nil {
			return at, nil // no tag, as it turns out when it is read as a commit
		}
		line, _, _ := strings.Cut(string(raw), "\n")
		hash, ok := strings.CutPrefix(line, "object ")
		if !ok || !isHash(hash) {
			return at, unauthorized(fmt.Errorf("the tag %s makes no sense", at), "")
		}
		at = plumbing.NewHash(hash)
	}
	return at, unauthorized(errors.New("a tag of a tag of a tag"), "tag the commit itself")
}

// transfer copies what is missing, children after their parents: what is there is whole.
func (d *dirRemote) transfer(ctx context.Context, want plumbing.Hash, _ []plumbing.Hash, into *objects) error {
	c := &copier{ctx: ctx, from: d.from, into: into, limits: d.repo.limits}
	err := c.commits(want)
	into.reload()
	var missing *objectError
	if errors.As(err, &missing) && errors.Is(err, errOversized) {
		return tooLarge("a file of the repository", d.repo.limits.Object)
	}
	return unusable(err)
}

type copier struct {
	ctx         context.Context
	from, into  *objects
	limits      Limits
	count, size int64
}

// commits copies the commits that are missing, the oldest first.
func (c *copier) commits(want plumbing.Hash) error {
	var order []plumbing.Hash
	seen := map[plumbing.Hash]bool{want: true}
	for queue := []plumbing.Hash{want}; len(queue) > 0; queue = queue[1:] {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if c.into.has(queue[0]) {
			continue
		}
		commit, err := c.from.commit(queue[0])
		if err != nil {
			return err
		}
		order = append(order, queue[0])
		if int64(len(order)) > c.limits.Objects {
			return c.tooMany()
		}
		for _, p := range commit.Parents {
			if h := plumbing.NewHash(p); !seen[h] {
				seen[h] = true
				queue = append(queue, h)
			}
		}
	}
	for i := len(order) - 1; i >= 0; i-- {
		commit, err := c.from.commit(order[i])
		if err != nil {
			return err
		}
		if err := c.tree(plumbing.NewHash(commit.Tree), 0); err != nil {
			return err
		}
		if err := c.object(plumbing.CommitObject, order[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) tree(h plumbing.Hash, depth int) error {
	if c.into.has(h) {
		return nil
	}
	if depth > maxDepth {
		return errTooDeep
	}
	entries, err := c.from.tree(h)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.kind {
		case kindSubmodule:
		case kindFolder:
			err = c.tree(e.hash, depth+1)
		default:
			err = c.object(plumbing.BlobObject, e.hash)
		}
		if err != nil {
			return err
		}
	}
	return c.object(plumbing.TreeObject, h)
}

func (c *copier) object(kind plumbing.ObjectType, h plumbing.Hash) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if c.into.has(h) {
		return nil
	}
	data, err := c.from.read(kind, h, c.limits.Object)
	if err != nil {
		return err
	}
	if c.count++; c.count > c.limits.Objects {
		return c.tooMany()
	}
	if c.size += int64(len(data)); c.size > c.limits.Unpacked {
		return tooLarge("the repository, unpacked,", c.limits.Unpacked)
	}
	if err := c.into.write(kind, h, data); err != nil {
		return local(err, "see that there is room on the controller's disk")
	}
	return nil
}

func (c *copier) tooMany() error {
	return refused(fmt.Errorf("the fetch has more than %d objects", c.limits.Objects), "use a fleet repo with less history, or raise git.limits")
}

func (d *dirRemote) close() { d.from.close() }
