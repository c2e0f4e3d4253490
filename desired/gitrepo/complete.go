package gitrepo

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
)

// maxDepth is how deep folders may be nested.
const maxDepth = 100

var errTooDeep = refused(fmt.Errorf("its folders are nested more than %d deep", maxDepth), "")

// complete makes sure that a commit can be used whatever comes: that it, all commits
// before it and all files of it are here, and that they are within the limits. What a
// server left out would otherwise be missed in the middle of a rollout.
func (r *Repo) complete(ctx context.Context, o *objects, tip plumbing.Hash) error {
	if r.whole[tip] {
		return nil
	}
	c, err := o.commit(tip)
	if err != nil {
		return unusable(err)
	}
	files, err := r.countFiles(ctx, o, plumbing.NewHash(c.Tree), 0)
	if err != nil {
		return unusable(err)
	}
	if files > r.limits.Files {
		return refused(fmt.Errorf("commit %s has %d files and folders, more than %d", c.Short(), files, r.limits.Files),
			"give the fleet repo a repository of its own, or raise git.limits")
	}
	return unusable(r.checkHistory(ctx, o, tip))
}

// unusable gives an object that is missing or makes no sense its kind.
func unusable(err error) error {
	var bad *objectError
	if !errors.As(err, &bad) || isFile(err) {
		return err
	}
	return refused(fmt.Errorf("what the server sent is not whole: %w", err), "check the repository on the server: git fsck --full")
}

// checkHistory walks back to what is known to be whole. Only then is all of it.
func (r *Repo) checkHistory(ctx context.Context, o *objects, tip plumbing.Hash) error {
	seen := map[plumbing.Hash]bool{tip: true}
	for queue := []plumbing.Hash{tip}; len(queue) > 0; queue = queue[1:] {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := o.commit(queue[0])
		if err != nil {
			return err
		}
		for _, p := range c.Parents {
			h := plumbing.NewHash(p)
			if r.whole[h] || seen[h] {
				continue
			}
			seen[h] = true
			queue = append(queue, h)
		}
	}
	for h := range seen {
		r.whole[h] = true
	}
	return nil
}

// countFiles counts what is in a folder and below it, and sees that it is there. Folders
// that stand in many places are looked at once.
func (r *Repo) countFiles(ctx context.Context, o *objects, tree plumbing.Hash, depth int) (int64, error) {
	if n, ok := r.sound[tree]; ok {
		return n, nil
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if depth > maxDepth {
		return 0, errTooDeep
	}
	entries, err := o.tree(tree)
	if err != nil {
		return 0, err
	}
	total := int64(len(entries))
	for _, e := range entries {
		switch e.kind {
		case kindSubmodule:
		case kindFolder:
			n, err := r.countFiles(ctx, o, e.hash, depth+1)
			if err != nil {
				return 0, fmt.Errorf("in %s: %w", quote(e.name), err)
			}
			if total += n; total > 1<<40 {
				total = 1 << 40 // enough to be refused, and no more than can be counted
			}
		default:
			if !o.has(e.hash) {
				return 0, fmt.Errorf("%s: %w", quote(e.name), &objectError{plumbing.BlobObject, e.hash, errMissing})
			}
		}
	}
	if len(r.sound) > 1_000_000 {
		clear(r.sound)
	}
	r.sound[tree] = total
	return total, nil
}
