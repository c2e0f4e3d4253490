package main

import (
	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
)

func (a *app) takeOverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "take-over", Short: "Let a controller go on after an old store was restored", GroupID: groupChange, Args: takes(0, ""),
		Long: `A controller whose store is older than what it finds on the hosts changes nothing any
more: a backup was restored, or another controller worked meanwhile. If it is the only
controller now, let it go on: what is found on the hosts counts, not the store.`,
		Example: `  evenkeel take-over --reason 'the disk was replaced; backup of last night'`,
	}
	serverFlags(cmd)
	reason := reasonFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *reason == "" {
			return mendable("say --reason 'why': it stays in the events", "cannot take over without a reason")
		}
		return a.act(cmd, controller.VerbTakeOver, api.ActionRequest{Reason: *reason})
	}
	return cmd
}
