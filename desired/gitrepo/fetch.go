package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
)

// Fetch asks the remote for the branch's tip, brings all of it that is not here yet, and
// returns it. Whatever fails, what was fetched before stays readable, and Last stays what
// it was.
//
// That the tip follows from the revision in force, and who signed it, is the caller's to
// ask: see Descends and Verify.
func (r *Repo) Fetch(ctx context.Context) (Commit, error) {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	c, err := r.fetch(ctx)
	if err != nil && ctx.Err() != nil && KindOf(err) == "" {
		var f *fault
		if !errors.As(err, &f) || f.kind == Refused || f.kind == Unreachable {
			err = unreachable(fmt.Errorf("it was not done within %s: %w", r.options.Timeout, err), "")
		}
	}
	return c, fail(r.fetchOp(), Unreachable, err)
}

func (r *Repo) fetch(ctx context.Context) (Commit, error) {
	if err := r.takeTurn(ctx); err != nil {
		return Commit{}, err
	}
	defer func() { r.turn <- struct{}{} }()
	if used := diskUse(r.options.Dir); used > r.limits.Repo {
		return Commit{}, local(fmt.Errorf("%s has grown to %d bytes, more than %d", r.options.Dir, used, r.limits.Repo),
			"stop the controller, remove the folder and start it again: it is fetched anew; or raise git.limits")
	}
	have, err := r.haves(ctx)
	if err != nil {
		return Commit{}, err
	}
	if err := r.heal(ctx); err != nil {
		return Commit{}, err
	}
	tip, err := r.bring(ctx, r.objects, have)
	if err != nil {
		return Commit{}, err
	}
	if err := r.complete(ctx, r.objects, tip); err != nil {
		return Commit{}, err
	}
	c, err := r.objects.commit(tip)
	if err != nil {
		return Commit{}, err
	}
	if err := r.remember(tip); err != nil {
		return Commit{}, local(err, "")
	}
	return c, nil
}

// bring makes one conversation of a fetch, and returns the branch's tip.
func (r *Repo) bring(ctx context.Context, into *objects, have []plumbing.Hash) (plumbing.Hash, error) {
	remote, err := r.dial(ctx)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer remote.close()
	tip, err := remote.tip(ctx, r.ref())
	if err != nil || (into == r.objects && r.whole[tip]) {
		return tip, err
	}
	if into.has(tip) && r.complete(ctx, into, tip) == nil { // it was fetched before this process
		return tip, nil
	}
	return tip, remote.transfer(ctx, tip, have, into)
}

// haves are commits that the remote is likely to know: the last tip, and some before it,
// ever further apart. It would leave out all that they need, so that must be here.
func (r *Repo) haves(ctx context.Context) ([]plumbing.Hash, error) {
	r.mu.Lock()
	last := r.last
	r.mu.Unlock()
	if last == nil {
		return nil, nil
	}
	var have []plumbing.Hash
	at := plumbing.NewHash(last.Commit)
	if err := r.complete(ctx, r.objects, at); err != nil {
		r.objects.lost(err)
		return nil, ctx.Err()
	}
	for i, next := 0, 0; i <= 1<<10; i++ {
		c, err := r.objects.commit(at)
		if err != nil {
			break
		}
		if i == next {
			have, next = append(have, at), max(1, 2*next)
		}
		if len(c.Parents) == 0 {
			break
		}
		at = plumbing.NewHash(c.Parents[0])
	}
	return have, nil
}

// heal fetches everything anew, into a folder beside, when something that was here can
// no longer be read: a disk lost it. What can still be read stays until then.
func (r *Repo) heal(ctx context.Context) error {
	if !r.objects.damaged.Load() {
		return nil
	}
	fresh := filepath.Join(r.options.Dir, "fresh")
	if err := os.RemoveAll(fresh); err != nil {
		return local(err, "")
	}
	if err := makeBare(fresh, r.Branch()); err != nil {
		return local(err, "")
	}
	defer os.RemoveAll(fresh) //nolint:errcheck // the next one begins with it
	into := openObjects(fresh, r.limits.Object)
	defer into.close()
	tip, err := r.bring(ctx, into, nil)
	if err != nil {
		return err
	}
	r.forget()
	if err := r.complete(ctx, into, tip); err != nil {
		r.forget()
		return err
	}
	into.close()
	if err := r.objects.replace(filepath.Join(fresh, "objects")); err != nil {
		return local(err, "")
	}
	r.objects.damaged.Store(false)
	return nil
}

func (r *Repo) forget() {
	clear(r.whole)
	clear(r.sound)
}
