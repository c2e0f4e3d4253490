package main

import "github.com/spf13/cobra"

func (a *app) secretCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "secret", Short: "Write the secrets of a fleet repo", GroupID: groupRepo, Args: a.unknownVerb,
		Long: `Work with SOPS files: encrypted in git, and opened by the controller. They are what sops
itself writes and reads; sops is not needed.`,
		Example: `  evenkeel secret recipients services/gateway/gateway.secrets.env`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.secretRecipientsCommand())
	return cmd
}
