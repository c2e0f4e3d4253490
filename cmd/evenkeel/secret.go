package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/secrets"
)

func (a *app) secretCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "secret", Short: "Write the secrets of a fleet repo", GroupID: groupRepo, Args: a.unknownVerb,
		Long: `Work with SOPS files: encrypted in git, and opened by the controller. They are what sops
itself writes and reads, by the creation rules in .sops.yaml; sops is not needed.`,
		Example: `  evenkeel secret keygen ~/.config/sops/age/keys.txt
  evenkeel secret set services/gateway/gateway.secrets.env METRICS_AUTH_TOKEN
  evenkeel secret edit services/gateway/gateway.secrets.env
  evenkeel secret encrypt services/gateway/gateway.secrets.env
  evenkeel secret recipients services/gateway/gateway.secrets.env
  evenkeel secret rotate metrics-token
  evenkeel secret status`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.secretKeygenCommand(), a.secretSetCommand(), a.secretEditCommand(), a.secretEncryptCommand(), a.secretRecipientsCommand(), a.secretRotateCommand(), a.secretStatusCommand())
	return cmd
}

// recipientFlag names to whom a new file is encrypted.
func recipientFlag(cmd *cobra.Command) *[]string {
	return cmd.Flags().StringArray("recipient", nil, "encrypt a new file to `KEY` (age1…, or an SSH public key) instead of .sops.yaml's; may be repeated")
}

// maxSecretFile bounds what is read as a SOPS file, or to become one.
const maxSecretFile = 8 << 20

// readSecretFile reads a file that is encrypted or to be encrypted. That there is none
// is fs.ErrNotExist.
func readSecretFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, mendable("name a file of the fleet repo", "cannot read the secrets: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxSecretFile:
		return nil, mendable("name a file of the fleet repo", "cannot read the secrets: %s is no file of at most %d MiB", file, maxSecretFile>>20)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, mendable("name a file that you may read", "cannot read the secrets: %w", err)
	}
	return data, nil
}

// openSecret opens a SOPS file; where there is none yet, makes one of nothing.
func (a *app) openSecret(file string, recipients []string) (doc *secrets.Document, isNew bool, err error) {
	data, err := readSecretFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		doc, err = a.newSecret(file, nil, recipients)
		return doc, true, err
	}
	if err != nil {
		return nil, false, err
	}
	if !desired.IsSOPS(filepath.Base(file), data) {
		return nil, false, mendable("evenkeel secret encrypt "+file, "%s is not encrypted", file)
	}
	if len(recipients) > 0 {
		return nil, false, mendable("evenkeel secret recipients "+file+" --add KEY", "%s is there already, and has its recipients", file)
	}
	rules, err := secrets.RulesFor(file, nil, a.getenv)
	if err != nil && !errors.Is(err, secrets.ErrNoRecipients) && rules.File == "" {
		return nil, false, fmt.Errorf("cannot open %s: %w", file, err)
	}
	doc, err = a.decrypter().Open(file, data, rules)
	return doc, false, unopened(err)
}

// newSecret makes a SOPS file of plain text.
func (a *app) newSecret(file string, plain []byte, recipients []string) (*secrets.Document, error) {
	rules, err := secrets.RulesFor(file, recipients, a.getenv)
	if errors.Is(err, secrets.ErrNoRecipients) {
		return nil, mendable("name the controller's age key, and yours, with --recipient age1…, or in creation_rules of a .sops.yaml", "cannot encrypt %s: %w", file, err)
	}
	if err != nil {
		return nil, mendable("creation_rules of .sops.yaml say which keys are for which files", "cannot encrypt %s: %w", file, err)
	}
	doc, err := secrets.NewDocument(file, plain, rules)
	if errors.Is(err, secrets.ErrEncrypted) {
		return nil, mendable("to change it, evenkeel secret edit "+file, "cannot encrypt %s: %w", file, err)
	}
	if err != nil {
		return nil, mendable("its ending tells what it is: .env, .yaml, .json, .ini, or any other for a file of one value", "cannot encrypt %s: %w", file, err)
	}
	return doc, nil
}

// decrypter has the identities of whoever calls, and asks what services the file names,
// as sops does.
func (a *app) decrypter() *secrets.Decrypter {
	return secrets.NewDecrypter(secrets.Options{IdentityFile: a.settings.Secrets.AgeIdentity, Getenv: a.getenv, KeyServices: true})
}

// unopened gives the error of a SOPS file its mend.
func unopened(err error) error {
	var e *secrets.Error
	if errors.As(err, &e) {
		return mendable(e.Mend(), "%w", err)
	}
	return err
}

// saveSecret seals a document into its file, which is never half written.
func saveSecret(file string, doc *secrets.Document) error {
	sealed, err := doc.Seal()
	if err != nil {
		return err
	}
	if err := replaceFile(file, sealed); err != nil {
		return mendable("it is as it was: see to the folder, and say it again", "cannot write %s: %w", file, err)
	}
	return nil
}

// replaceFile writes data beside file and renames it there. The mode stays.
func replaceFile(file string, data []byte) (err error) {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(file); err == nil {
		mode = info.Mode().Perm()
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*.new")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}

// sayEnvIssues tells what systemd would read otherwise than meant in a plain env file.
func (a *app) sayEnvIssues(file string, plain []byte) {
	if desired.SOPSFormatOf(filepath.Base(file)) != desired.SOPSDotenv {
		return
	}
	_, issues := desired.ParseEnv(plain)
	for _, i := range issues {
		text := fmt.Sprintf("%s:%d: %s", file, i.Line, i.Message)
		if i.Mend != "" {
			text += ": " + i.Mend
		}
		a.say("warning: " + show.Clean(text))
	}
}
