package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"
)

func (a *app) secretKeygenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keygen FILE", Short: "Make an age key, as age-keygen does", Args: takes(1, "one file"),
		Long: `Make an age key in a new file that only you can read, and tell its recipient, which is
public: what is encrypted to it can be opened with the file. Keep the file out of git.
A folder that is not there is made, for you alone.`,
		Example: `  evenkeel secret keygen ~/.config/sops/age/keys.txt
  evenkeel secret keygen /etc/evenkeel/age.key`,
	}
	outputFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return fmt.Errorf("cannot make a key: %w", err)
		}
		recipient := id.Recipient().String()
		if err := os.MkdirAll(filepath.Dir(args[0]), 0o700); err != nil {
			return fmt.Errorf("cannot make a key: %w", err)
		}
		f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return mendable("name a new file: a key that is gone opens nothing any more", "cannot make a key: %s is there already", args[0])
		}
		if err != nil {
			return fmt.Errorf("cannot make a key: %w", err)
		}
		_, err = fmt.Fprintf(f, "# created: %s\n# public key: %s\n%s\n", time.Now().Format(time.RFC3339), recipient, id)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("cannot make a key: %w", err)
		}
		if a.asJSON() {
			return a.json(map[string]string{"file": args[0], "recipient": recipient})
		}
		return a.print(recipient + "\n")
	}
	return cmd
}
