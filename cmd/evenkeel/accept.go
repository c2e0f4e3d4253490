package main

import (
	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
)

func (a *app) acceptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "accept REVISION", Short: "Let in a revision that does not descend from the last one", GroupID: groupChange, Args: takes(1, "one revision, by its whole name"),
		Long: `A revision that does not descend from the one in force is refused: somebody forced a
push, or rewrote history. If that was meant, accept it by its whole name. Signatures are
checked all the same. Who accepted it, and why, stays in the history.`,
		Example: `  evenkeel accept 4f1c2d9e8b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e --reason 'rebased to drop a secret'`,
	}
	serverFlags(cmd)
	reason := reasonFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *reason == "" {
			return mendable("say --reason 'why': it stays in the history", "cannot accept a revision without a reason")
		}
		return a.act(cmd, controller.VerbAccept, api.ActionRequest{Revision: args[0], Reason: *reason})
	}
	return cmd
}
