package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
)

func (a *app) drainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "drain HOST", Short: "Let the controller take a host out of traffic", GroupID: groupChange, Args: takes(1, "one host"),
		Long: `Take every service of a host out of its balancers, as a rollout does before a restart,
within the services' budgets. Its services run on. It lasts until --until, or until
evenkeel undrain; meanwhile the host counts as down.`,
		Example: `  evenkeel drain web-3 --reason 'new memory' --until 2h`,
	}
	serverFlags(cmd)
	reason := reasonFlag(cmd)
	end := untilFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		at, err := until(*end, time.Now())
		if err != nil {
			return err
		}
		return a.act(cmd, controller.VerbDrain, api.ActionRequest{Host: args[0], Reason: *reason, Until: at})
	}
	return cmd
}

func (a *app) undrainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "undrain HOST", Short: "Put a host that was drained by hand back into traffic", GroupID: groupChange, Args: takes(1, "one host"),
		Example: `  evenkeel undrain web-3`,
	}
	serverFlags(cmd)
	reason := reasonFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.act(cmd, controller.VerbUndrain, api.ActionRequest{Host: args[0], Reason: *reason})
	}
	return cmd
}
