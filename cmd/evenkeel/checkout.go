package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/artifact"
	"github.com/evenkeel/evenkeel/desired/secrets"
	"github.com/evenkeel/evenkeel/inventory"
)

// checkout is a fleet repo in a folder of this machine. Where it lies in a git work
// tree, what its Fleet includes may lie anywhere in that.
type checkout struct {
	top  string // the work tree's folder, or the repo's own
	dir  string // of fleet.yaml, below top, slash separated; "" is top itself
	git  bool
	root *os.Root
}

// openCheckout finds the checkout around dir. Close it when what was loaded from it
// is no longer used.
func openCheckout(dir string) (*checkout, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return nil, mendable("name the folder of fleet.yaml with --repo", "cannot open the fleet repo: %w", err)
	}
	c := &checkout{top: abs}
	for at := abs; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			rel, err := filepath.Rel(at, abs)
			if err != nil {
				return nil, fmt.Errorf("cannot open the fleet repo: %w", err)
			}
			c.top, c.git = at, true
			if rel != "." {
				c.dir = filepath.ToSlash(rel)
			}
			break
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	if c.root, err = os.OpenRoot(c.top); err != nil {
		return nil, mendable("name the folder of fleet.yaml with --repo", "cannot open the fleet repo: %w", err)
	}
	return c, nil
}

func (c *checkout) close() { _ = c.root.Close() }

// load reads the fleet repo. With fetch, artifacts from elsewhere are fetched when
// hosts are resolved; without, nothing leaves this machine.
func (c *checkout) load(ctx context.Context, s Settings, fetch bool) (desired.Revision, error) {
	opt := desired.LoadOptions{Dir: c.dir, Decrypter: secrets.NewDecrypter(secrets.Options{IdentityFile: s.Secrets.AgeIdentity, KeyServices: s.Secrets.KeyServices}),
		InventoryRunner: inventory.ExecRunner(c.top)}
	if fetch {
		store, err := artifactStore(s, s.Artifacts.Cache)
		if err != nil {
			return desired.Revision{}, err
		}
		opt.Artifacts = store
	}
	rev, err := desired.Load(ctx, c.root.FS(), opt)
	if err != nil {
		return desired.Revision{}, err
	}
	rev.ID = c.revision(ctx, rev)
	return rev, nil
}

// artifactStore is the cache on this machine.
func artifactStore(s Settings, dir string) (desired.ArtifactStore, error) {
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, mendable("set EVENKEEL_ARTIFACTS_CACHE to a folder", "cannot find a place for artifacts: %w", err)
		}
		dir = filepath.Join(cache, "evenkeel", "artifacts")
	}
	store, err := artifact.New(dir, nil)
	if err != nil {
		return nil, mendable("set EVENKEEL_ARTIFACTS_CACHE to a folder that can be written to", "%w", err)
	}
	store.Git = s.gitArchives
	return store, nil
}

// revision names what was loaded: the commit; with changes that are not committed,
// the commit and what tells them apart; without git, what was read.
func (c *checkout) revision(ctx context.Context, rev desired.Revision) string {
	if !c.git {
		return rev.ID
	}
	head, err := c.runGit(ctx, "rev-parse", "--verify", "--quiet", "HEAD")
	if commit := strings.TrimSpace(head); err == nil && commit != "" {
		within := "."
		if c.dir != "" && !leaves(rev.Fleet.Spec.Include) {
			within = c.dir
		}
		changes, err := c.runGit(ctx, "status", "--porcelain", "--untracked-files=normal", "--", within)
		if err == nil && changes == "" {
			return commit
		}
		if err == nil {
			return commit + "-dirty-" + strings.TrimPrefix(rev.ID, "checkout-")
		}
	}
	return rev.ID
}

// leaves tells whether an include reaches above the folder of fleet.yaml.
func leaves(includes []string) bool {
	for _, i := range includes {
		if !fs.ValidPath(filepath.ToSlash(filepath.Clean(i))) {
			return true
		}
	}
	return false
}

// runGit asks git, which writes nothing meanwhile and runs none of the repo's hooks.
func (c *checkout) runGit(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", c.top, "-c", "core.fsmonitor=false"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}
