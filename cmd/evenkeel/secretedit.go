package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/desired/secrets"
)

func (a *app) secretEditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "edit FILE", Short: "Edit a SOPS file in $EDITOR", Args: takes(1, "one file"),
		Long: `Open a SOPS file in an editor (SOPS_EDITOR, EDITOR, or else vim, nano or vi), and encrypt
it again when the editor ends. The plain text is in a folder that only you can read, in
memory where there is such a place (XDG_RUNTIME_DIR, /dev/shm), and wiped afterwards. A
file that is not there is made.`,
		Example: `  evenkeel secret edit services/gateway/gateway.secrets.env
  EDITOR="code --wait" evenkeel secret edit services/gateway/gateway.secrets.env`,
	}
	recipients := recipientFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		doc, isNew, err := a.openSecret(args[0], *recipients)
		if err != nil {
			return err
		}
		changed, err := a.edit(cmd.Context(), args[0], doc)
		if err != nil {
			return err
		}
		if changed {
			err = saveSecret(args[0], doc)
		}
		if err != nil {
			return err
		}
		return a.tellSecret(args[0], "", isNew && changed, changed, doc)
	}
	return cmd
}

// edit lets a person change what the document holds, and tells whether they did. While
// the editor runs, signals from the terminal are the editor's.
func (a *app) edit(ctx context.Context, file string, doc *secrets.Document) (changed bool, err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	typed := make(chan os.Signal, 1)
	signal.Notify(typed, syscall.SIGINT, syscall.SIGQUIT)
	defer signal.Stop(typed)
	s, err := a.newScratch(filepath.Base(file))
	if err != nil {
		return false, mendable("set XDG_RUNTIME_DIR or TMPDIR to a folder that can be written to", "cannot edit %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, s.wipe()) }()
	plain, err := doc.Plain()
	if err != nil {
		return false, err
	}
	defer clear(plain)
	if err := s.write(plain); err != nil {
		return false, fmt.Errorf("cannot edit %s: %w", file, err)
	}
	for {
		if err := a.runEditor(ctx, s.file); err != nil {
			return false, err
		}
		edited, err := s.read()
		if err != nil {
			return false, mendable("the file is as it was", "cannot read what was edited: %w", err)
		}
		if bytes.Equal(edited, plain) {
			return false, nil
		}
		if err = doc.SetPlain(edited); err == nil {
			a.sayEnvIssues(file, edited)
			clear(edited)
			return true, nil
		}
		clear(edited)
		err = mendable("nothing was written: say it again, and mind the lines", "cannot encrypt %s: %w", file, err)
		if !a.asks {
			return false, err
		}
		a.tell(err)
		if again, _ := a.confirm(ctx, "Edit it again? [y/N] "); !again {
			return false, err
		}
	}
}

// runEditor waits for the editor that the user has chosen, as sops does. It gets no
// age key in its environment.
func (a *app) runEditor(ctx context.Context, file string) error {
	editor := orElse(a.getenv("SOPS_EDITOR"), a.getenv("EDITOR"))
	for _, known := range []string{"vim", "nano", "vi"} {
		if _, err := exec.LookPath(known); editor == "" && err == nil {
			editor = known
		}
	}
	if editor == "" {
		return mendable("set EDITOR, or use evenkeel secret set", "there is no editor")
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", editor+` "$@"`, editor, file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stderr, a.stderr
	cmd.Env = slices.DeleteFunc(a.environ(), func(v string) bool { return strings.HasPrefix(v, "SOPS_AGE_KEY=") })
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return mendable("nothing was written; EDITOR names the editor", "the editor %s: %w", editor, err)
	}
	return nil
}

// scratch is a folder for one plain file, which nobody else can read.
type scratch struct{ dir, file string }

func (a *app) newScratch(name string) (scratch, error) {
	for _, in := range []string{a.getenv("XDG_RUNTIME_DIR"), "/dev/shm"} {
		if in == "" || !inMemory(in) {
			continue
		}
		if s, err := scratchIn(in, name); err == nil {
			return s, nil
		}
	}
	a.say("warning: there is no folder in memory: while it is edited, the plain text is on the disk, in " + os.TempDir())
	return scratchIn("", name)
}

func scratchIn(parent, name string) (scratch, error) {
	dir, err := os.MkdirTemp(parent, "evenkeel-secret-") // mode 0700
	return scratch{dir: dir, file: filepath.Join(dir, name)}, err
}

func (s scratch) write(data []byte) error {
	f, err := os.OpenFile(s.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func (s scratch) read() ([]byte, error) { return readSecretFile(s.file) }

// wipe overwrites and removes all that is in the folder: also what the editor left
// there.
func (s scratch) wipe() error {
	err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(make([]byte, info.Size()))
		return errors.Join(err, f.Sync(), f.Close())
	})
	if err := errors.Join(err, os.RemoveAll(s.dir)); err != nil {
		return mendable("remove "+s.dir+", which holds it in plain text", "cannot wipe what was edited: %w", err)
	}
	return nil
}
