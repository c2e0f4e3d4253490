package main

import (
	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
)

func (a *app) reconcileCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reconcile", Short: "Let the controller fetch and look now", GroupID: groupChange, Args: takes(0, ""),
		Long: `Let the controller fetch from git and look at all hosts now, instead of when it next
would. What it then does is what it always does.`,
		Example: `  evenkeel reconcile`,
	}
	serverFlags(cmd)
	reason := reasonFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.act(cmd, controller.VerbReconcile, api.ActionRequest{Reason: *reason})
	}
	return cmd
}
