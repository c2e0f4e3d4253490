package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aymanbagabas/go-udiff"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/secrets"
)

// repoEdit is a change of a fleet repo's files that is made whole, or not at all.
type repoEdit struct {
	checkout *checkout
	docs     map[string]*secrets.Document // SOPS files, by their path in the repo
	plain    map[string][]byte            // others
}

// set gives a variable of a SOPS file its value.
func (e *repoEdit) set(a *app, file, key string, value secrets.Secret) error {
	doc := e.docs[file]
	if doc == nil {
		var err error
		if doc, _, err = a.openSecret(e.at(file), nil); err != nil {
			return err
		}
		if e.docs == nil {
			e.docs = map[string]*secrets.Document{}
		}
		e.docs[file] = doc
	}
	if _, err := doc.Set(secrets.Path{key}, value); err != nil {
		return mendable("evenkeel secret edit "+file+" shows what is there", "cannot set %s: %w", key, err)
	}
	return nil
}

// note writes down when a secret's value was made; made is what is written there so far.
func (e *repoEdit) note(made map[string]time.Time, name string, at time.Time) error {
	if made == nil {
		made = map[string]time.Time{}
	}
	if name != "" {
		made[name] = at
	}
	names := make([]string, 0, len(made))
	for n := range made {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("# Written by evenkeel secret rotate.\napiVersion: " + desired.APIVersion + "\nkind: Rotations\nspec:\n  secrets:\n")
	for _, n := range names {
		fmt.Fprintf(&b, "    %s: {at: %q}\n", n, made[n].UTC().Format(time.RFC3339))
	}
	if e.plain == nil {
		e.plain = map[string][]byte{}
	}
	e.plain[path.Join(e.checkout.dir, desired.RotationsFile)] = []byte(b.String())
	return nil
}

func (e *repoEdit) at(file string) string {
	return filepath.Join(e.checkout.top, filepath.FromSlash(file))
}

// files are those that change, by their path in the repo.
func (e *repoEdit) files() []string {
	var out []string
	for f := range e.docs {
		out = append(out, f)
	}
	for f := range e.plain {
		out = append(out, f)
	}
	slices.Sort(out)
	return out
}

// content is what a file is to hold.
func (e *repoEdit) content(file string) ([]byte, error) {
	if doc := e.docs[file]; doc != nil {
		return doc.Seal()
	}
	return e.plain[file], nil
}

// diff is the change as a patch. SOPS files are in it as they are: encrypted.
func (e *repoEdit) diff() string {
	var b strings.Builder
	for _, f := range e.files() {
		had, err := os.ReadFile(e.at(f))
		from := "a/" + f
		if err != nil {
			had, from = nil, "/dev/null"
		}
		now, err := e.content(f)
		if err != nil {
			continue
		}
		b.WriteString(udiff.Unified(from, "b/"+f, string(had), string(now)))
	}
	return b.String()
}

// commit writes the files and, in a git work tree, commits them and nothing else, signed
// where git is configured so. What fails leaves the files as they were. It returns the
// commit; "" without git.
func (e *repoEdit) commit(ctx context.Context, a *app, subject string) (string, error) {
	files := e.files()
	if e.checkout.git {
		changed, err := e.checkout.runGit(ctx, append([]string{"status", "--porcelain", "--untracked-files=normal", "--"}, files...)...)
		if err != nil {
			return "", err
		}
		if changed != "" {
			return "", mendable("commit or discard that first", "there are changes that are not committed: %s", show.Clean(strings.Join(strings.Fields(changed), " ")))
		}
	}
	undo, err := e.writeAll(files)
	if err != nil {
		return "", errors.Join(err, undo())
	}
	if !e.checkout.git {
		return "", nil
	}
	err = e.git(ctx, a, append([]string{"add", "--"}, files...)...)
	if err == nil {
		err = e.git(ctx, a, append([]string{"commit", "--quiet", "-m", subject, "--"}, files...)...)
	}
	if err != nil {
		_, unstaged := e.checkout.runGit(ctx, append([]string{"reset", "--quiet", "--"}, files...)...)
		return "", mendable("the files are as they were; see what git says, or use --patch", "cannot commit: %w", errors.Join(err, unstaged, undo()))
	}
	head, err := e.checkout.runGit(ctx, "rev-parse", "HEAD")
	return strings.TrimSpace(head), err
}

// writeAll writes the files; undo puts back what was there.
func (e *repoEdit) writeAll(files []string) (undo func() error, err error) {
	type before struct {
		file string
		data []byte
		none bool
	}
	var had []before
	undo = func() error {
		var errs []error
		for _, b := range had {
			if b.none {
				errs = append(errs, os.Remove(b.file))
			} else {
				errs = append(errs, replaceFile(b.file, b.data))
			}
		}
		return errors.Join(errs...)
	}
	for _, f := range files {
		file := e.at(f)
		data, err := os.ReadFile(file)
		none := errors.Is(err, fs.ErrNotExist)
		if err != nil && !none {
			return undo, fmt.Errorf("cannot change %s: %w", f, err)
		}
		now, err := e.content(f)
		if err == nil && !bytes.Equal(data, now) {
			err = replaceFile(file, now)
		}
		if err != nil {
			return undo, fmt.Errorf("cannot change %s: %w", f, err)
		}
		had = append(had, before{file, data, none})
	}
	return undo, nil
}

// git runs git as the caller would: with the configuration, hooks and terminal there are,
// so that it signs as it always does.
func (e *repoEdit) git(ctx context.Context, a *app, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", e.checkout.top}, args...)...)
	if in, ok := a.stdin.(*os.File); ok && a.asks {
		cmd.Stdin = in
	}
	cmd.Stdout, cmd.Stderr = a.stderr, a.stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("git %s: %w", args[0], err)
	}
	return nil
}

// push sends the commit where the branch is pushed to.
func (e *repoEdit) push(ctx context.Context, a *app) error {
	if !e.checkout.git {
		return mendable("commit the files where they belong", "cannot push: %s is not in a git work tree", e.checkout.top)
	}
	if err := e.git(ctx, a, "push", "--quiet"); err != nil {
		return mendable("it is committed: push it yourself, perhaps after git pull --rebase", "cannot push: %w", err)
	}
	return nil
}
