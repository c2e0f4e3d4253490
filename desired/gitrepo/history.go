package gitrepo

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Descends tells whether id is ancestor, or comes after it. A branch whose new tip does
// not descend from the last one was rewritten.
func (r *Repo) Descends(ctx context.Context, ancestor, id string) (bool, error) {
	found, err := r.descends(ctx, ancestor, id)
	return found, fail("compare revisions", Refused, err)
}

func (r *Repo) descends(ctx context.Context, ancestor, id string) (bool, error) {
	from, err := hashOf(ancestor)
	if err != nil {
		return false, err
	}
	to, err := hashOf(id)
	if err != nil {
		return false, err
	}
	seen := map[plumbing.Hash]bool{to: true}
	for queue := []plumbing.Hash{to}; len(queue) > 0; queue = queue[1:] {
		if queue[0] == from {
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		c, err := r.objects.commit(queue[0])
		if err != nil {
			return false, err
		}
		for _, p := range c.Parents {
			if h := plumbing.NewHash(p); !seen[h] {
				seen[h] = true
				queue = append(queue, h)
			}
		}
	}
	return false, nil
}

// LastTouching returns, for each of the paths, the newest commit at or before id that
// changed it, as `git log -1` does: where a merge took one side as it was, that side is
// followed. Paths that are not in id are not in the result.
func (r *Repo) LastTouching(ctx context.Context, id string, paths ...string) (map[string]Commit, error) {
	found := map[string]Commit{}
	for _, p := range paths {
		c, ok, err := r.lastTouching(ctx, id, p)
		if err != nil {
			return nil, fail("find who changed "+p, Refused, err)
		}
		if ok {
			found[p] = c
		}
	}
	return found, nil
}

func (r *Repo) lastTouching(ctx context.Context, id, name string) (Commit, bool, error) {
	if !fs.ValidPath(name) {
		return Commit{}, false, fmt.Errorf("%s is no path", quote(name))
	}
	c, err := r.commit(id)
	if err != nil {
		return Commit{}, false, err
	}
	here, ok, err := r.lookup(c, name)
	if err != nil || !ok {
		return Commit{}, false, err
	}
walk:
	for {
		if err := ctx.Err(); err != nil {
			return Commit{}, false, err
		}
		for _, p := range c.Parents {
			parent, err := r.objects.commit(plumbing.NewHash(p))
			if err != nil {
				return Commit{}, false, err
			}
			there, ok, err := r.lookup(parent, name)
			if err != nil {
				return Commit{}, false, err
			}
			if ok && there.hash == here.hash && there.kind == here.kind {
				c = parent
				continue walk
			}
		}
		return c, true, nil
	}
}

// lookup finds a path in a commit's tree.
func (r *Repo) lookup(c Commit, name string) (entry, bool, error) {
	at := entry{kind: kindFolder, hash: plumbing.NewHash(c.Tree)}
	if name == "." {
		return at, true, nil
	}
	for _, part := range strings.Split(path.Clean(name), "/") {
		if at.kind != kindFolder {
			return entry{}, false, nil
		}
		entries, err := r.objects.tree(at.hash)
		if err != nil {
			return entry{}, false, err
		}
		next, ok := find(entries, part)
		if !ok {
			return entry{}, false, nil
		}
		at = next
	}
	return at, true, nil
}

func find(entries []entry, name string) (entry, bool) {
	for _, e := range entries {
		if e.name == name {
			return e, true
		}
	}
	return entry{}, false
}
