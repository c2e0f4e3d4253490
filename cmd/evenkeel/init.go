package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

func (a *app) initCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "init [DIR]", Short: "Write a first fleet repo", GroupID: groupRepo, Args: atMost(1, "one folder, or nothing for this one"),
		Long: `Write a first fleet repo into DIR (default: here): a fleet, an inventory with one
example host, and a service that runs on any systemd host. No file is overwritten.`,
		Example: `  evenkeel init fleet
  evenkeel init --name production .`,
	}
	name := cmd.Flags().String("name", "", "the fleet's `NAME` (default: the folder's)")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		dir := "."
		if len(args) == 1 {
			dir = args[0]
		}
		return a.init(dir, *name)
	}
	return cmd
}

func (a *app) init(dir, name string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("cannot write a fleet repo: %w", err)
	}
	given := name != ""
	if !given {
		name = strings.ToLower(filepath.Base(abs))
	}
	files, err := desired.InitRepo(name)
	var faults desired.Faults
	if errors.As(err, &faults) {
		return mendable("give the fleet a name with --name", "cannot write a fleet repo: %s", faults[0].Message)
	}
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(files))
	for _, n := range names {
		if _, err := os.Lstat(filepath.Join(abs, filepath.FromSlash(n))); !errors.Is(err, fs.ErrNotExist) {
			return mendable("name another folder, or move it away", "cannot write a fleet repo: %s is there already", filepath.Join(dir, filepath.FromSlash(n)))
		}
	}
	for _, n := range names {
		if err := writeNew(filepath.Join(abs, filepath.FromSlash(n)), files[n]); err != nil {
			return mendable("it may be half written: remove "+dir+" before you try again", "cannot write a fleet repo: %w", err)
		}
	}
	return a.print(initWords(dir, name, names))
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// initWords tells what was written and what to do next.
func initWords(dir, name string, names []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Fleet %s:\n", show.Bold(show.Clean(name)))
	for _, n := range names {
		b.WriteString("  " + show.Clean(filepath.Join(dir, filepath.FromSlash(n))) + "\n")
	}
	b.WriteString("\nNext:\n")
	if dir != "." {
		fmt.Fprintf(&b, "  cd %s\n", shellWord(dir))
	}
	b.WriteString("  git init -b main && git add . && git commit -m 'a fleet'\n" +
		"  edit inventory/hosts.yaml     your hosts, with their addresses and labels\n" +
		"  evenkeel validate             is it in order?\n" +
		"  evenkeel check                can every host be reached?\n" +
		"  evenkeel plan                 what would change\n" +
		"  evenkeel apply                change it, after asking\n" +
		"  evenkeel serve --help         keep it so, from git: a controller\n")
	return b.String()
}

// shellWord is a word as it can be pasted into a shell.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") == "" {
		return s
	}
	if show.Clean(s) != s {
		return fault.Quote(s)
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
