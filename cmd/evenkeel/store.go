package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/controller/store/boltstore"
)

const storeHelp = `A controller's store is one file (store.path): the revision in force, the rollout under
way, suspensions, history. It holds no secret, and can be done without: the hosts' own
records tell what was in hand.

To restore a backup, stop the controller, copy the backup to store.path, for the
controller's user alone, and start it. Where hosts were changed since the backup was made,
the controller notices it, looks, and changes nothing until 'evenkeel take-over'.`

func (a *app) storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "store", Short: "Back up a controller's store, and look at a backup", GroupID: groupOther, Long: storeHelp, Args: a.unknownVerb,
		Example: `  evenkeel store backup evenkeel-$(date +%F).db --server unix:///run/evenkeel/evenkeel.sock
  evenkeel store check evenkeel-2027-01-31.db`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.storeBackupCommand(), a.storeCheckCommand())
	return cmd
}

func (a *app) storeBackupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Copy a controller's store into a new file", Args: takes(1, "one file"),
		Long: `Copy the store of a controller that runs (--server) or, where none does, a store's file
(--store, store.path). The copy is read through before it gets its name; it appears whole
or not at all, for its owner alone. A file that is there is not written over.

` + storeHelp,
		Example: `  evenkeel store backup evenkeel-$(date +%F).db --server unix:///run/evenkeel/evenkeel.sock
  evenkeel store backup before-upgrade.db --store /var/lib/evenkeel/evenkeel.db`,
	}
	serverFlags(cmd)
	cmd.Flags().String("store", "", "copy the store in `FILE`, which no controller has open (store.path)")
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		from := a.backupOfFile
		if !cmd.Flags().Changed("store") && a.settings.Server.URL != "" {
			c, err := a.server(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			from = func(ctx context.Context, f *os.File) error {
				_, err := c.Backup(ctx, f)
				return err
			}
		}
		sum, err := backupInto(cmd.Context(), args[0], from)
		if err != nil {
			return err
		}
		return a.tellStore("backed up", sum)
	}
	return cmd
}

func (a *app) storeCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Read a store's file through, and count", Args: takes(1, "one file"),
		Long: `Read a backup, or the store of a controller that does not run, through: every page and
every record. Nothing is changed.`,
		Example: `  evenkeel store check evenkeel-2027-01-31.db`,
	}
	outputFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		sum, err := boltstore.Verify(args[0])
		if err != nil {
			return storeError(err)
		}
		return a.tellStore("whole", sum)
	}
	return cmd
}

func (a *app) tellStore(what string, sum boltstore.Summary) error {
	if a.asJSON() {
		return a.json(sum)
	}
	return a.print(fmt.Sprintf("%s: %s, %d records, %d bytes, epoch %d\n", what, show.Clean(sum.Path), sum.Records, sum.Bytes, sum.Epoch))
}

// backupOfFile copies the file of a store that nobody has open.
func (a *app) backupOfFile(ctx context.Context, to *os.File) error {
	_, err := boltstore.CopyFile(ctx, a.settings.Store.Path, to)
	if store.KindOf(err) == store.Held {
		socket := orElse(a.settings.API.Socket, "/run/evenkeel/evenkeel.sock")
		return mendable("ask the controller that has it: --server unix://"+socket, "%w", err)
	}
	return storeError(err)
}

func storeError(err error) error {
	if mend := store.MendOf(err); mend != "" {
		return mendable(mend, "%w", err)
	}
	return err
}

// backupInto makes the file at path, which must not be there: it is written beside it,
// read through, and gets its name last.
func backupInto(ctx context.Context, path string, copyTo func(context.Context, *os.File) error) (sum boltstore.Summary, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return sum, mendable("name a file that is not there yet", "cannot write the backup to %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return sum, mendable("name a file in a folder that is there and that you may write to", "cannot write the backup: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	err = copyTo(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return sum, err
	}
	if sum, err = boltstore.Verify(f.Name()); err != nil {
		return sum, fmt.Errorf("the copy is not whole: %w", storeError(err))
	}
	sum.Path = path
	if err := os.Link(f.Name(), path); err != nil { // unlike a rename it writes over nothing
		return sum, mendable("name a file that is not there yet, on a file system with hard links", "cannot write the backup to %s: %w", path, err)
	}
	return sum, syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
