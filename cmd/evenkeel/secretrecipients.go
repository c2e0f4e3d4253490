package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/desired/secrets"
)

func (a *app) secretRecipientsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "recipients FILE", Short: "Tell and change who can open a SOPS file", Args: takes(1, "one file"),
		Long: `Tell to which keys a SOPS file is encrypted, for which no key is needed. With --add and
--remove they are changed. Whoever is removed has known the values, so all of them are
encrypted with a new data key, and should be given other values; validate reminds of it.`,
		Example: `  evenkeel secret recipients services/gateway/gateway.secrets.env
  evenkeel secret recipients services/gateway/gateway.secrets.env --add age1… --remove age1…`,
	}
	add := cmd.Flags().StringArray("add", nil, "let the owner of `KEY` (age1…, or an SSH public key) open the file; may be repeated")
	remove := cmd.Flags().StringArray("remove", nil, "take `KEY` away; may be repeated")
	outputFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		data, err := readSecretFile(args[0])
		if err != nil {
			return err
		}
		list, err := secrets.Recipients(args[0], data)
		if err != nil {
			return unopened(err)
		}
		if len(*add)+len(*remove) > 0 {
			if list, err = a.changeRecipients(args[0], data, *add, *remove); err != nil {
				return err
			}
		}
		if a.asJSON() {
			return a.json(map[string]any{"file": args[0], "recipients": list})
		}
		return a.print(recipientLines(list))
	}
	return cmd
}

func recipientLines(list []secrets.Recipient) string {
	var b strings.Builder
	for _, r := range list {
		b.WriteString(show.Clean(r.Key))
		if r.Kind != secrets.Age {
			b.WriteString(" (" + r.Kind + ")")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (a *app) changeRecipients(file string, data []byte, add, remove []string) ([]secrets.Recipient, error) {
	rules, err := secrets.RulesFor(file, nil, a.getenv)
	if err != nil && !errors.Is(err, secrets.ErrNoRecipients) && rules.File == "" {
		return nil, fmt.Errorf("cannot open %s: %w", file, err)
	}
	doc, err := a.decrypter().Open(file, data, rules)
	if err != nil {
		return nil, unopened(err)
	}
	added, err := doc.AddRecipients(add)
	if err == nil && len(remove) > 0 {
		err = doc.RemoveRecipients(remove)
	}
	if err != nil {
		return nil, mendable("evenkeel secret recipients "+file+" tells to whom it is encrypted", "cannot change the recipients: %w", err)
	}
	list := doc.Recipients()
	if len(added)+len(remove) > 0 {
		if err := saveSecret(file, doc); err != nil {
			return nil, err
		}
	}
	if len(remove) > 0 {
		a.say("warning: who was removed has known the values of " + show.Clean(file) + ": give its keys other values")
	}
	if err == nil && rules.File != "" && !rules.Names(list) {
		a.say("note: " + show.Clean(rules.File) + " still names other keys for this file: sops updatekeys would bring them back")
	}
	return list, nil
}
