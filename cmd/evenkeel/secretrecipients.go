package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/desired/secrets"
)

func (a *app) secretRecipientsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "recipients FILE", Short: "Tell who can open a SOPS file", Args: takes(1, "one file"),
		Long:    `Tell to which keys a SOPS file is encrypted. No key is needed for that.`,
		Example: `  evenkeel secret recipients services/gateway/gateway.secrets.env`,
	}
	outputFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		data, err := os.ReadFile(args[0])
		if err != nil {
			return mendable("name a SOPS file", "cannot tell the recipients: %w", err)
		}
		list, err := secrets.Recipients(args[0], data)
		if err != nil {
			return err
		}
		if a.asJSON() {
			return a.json(map[string]any{"file": args[0], "recipients": list})
		}
		var b strings.Builder
		for _, r := range list {
			b.WriteString(show.Clean(r.Key))
			if r.Kind != secrets.Age {
				b.WriteString(" (" + r.Kind + ")")
			}
			b.WriteByte('\n')
		}
		return a.print(b.String())
	}
	return cmd
}
