package main

import (
	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
)

func (a *app) historyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "history", Short: "Show the revisions and rollouts of the past", GroupID: groupLook, Args: takes(0, ""),
		Long: `Show which revisions were in force, since when, by whom and signed by whom, and which
rollouts there were: why, how long, and what came of them. Newest first.`,
		Example: `  evenkeel history
  evenkeel history --limit 100 -o json | jq '.rollouts[] | select(.result != "converged")'`,
	}
	serverFlags(cmd)
	limit := limitFlag(cmd, 20)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkLimit(*limit); err != nil {
			return err
		}
		c, err := a.server(cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		var h show.Past
		if h.Revisions, err = c.Revisions(cmd.Context(), *limit); err != nil {
			return err
		}
		if h.Rollouts, err = c.Rollouts(cmd.Context(), *limit); err != nil {
			return err
		}
		if a.asJSON() {
			return a.json(h)
		}
		return a.print(show.History(h))
	}
	return cmd
}

func limitFlag(cmd *cobra.Command, n int) *int {
	return cmd.Flags().IntP("limit", "n", n, "at most so many")
}

func checkLimit(n int) error {
	if n < 1 || n > 1000 {
		return mendable("use 1 to 1000", "cannot show %d", n)
	}
	return nil
}
