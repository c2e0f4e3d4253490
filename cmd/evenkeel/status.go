package main

import (
	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
)

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show every instance: in sync, healthy, which revision", GroupID: groupLook, Args: takes(0, ""),
		Long: long(`Look at every instance of every service: is it as the fleet repo wants it (SYNC), does
it serve (HEALTH: its units, its health checks made now, the balancer's word), which
revision was last applied there, and does a process run with older inputs than those
on disk (STALE).`),
		Example: `  evenkeel status
  evenkeel status --service gateway
  evenkeel status -o json | jq '.instances[] | select(.health != "Healthy")'`,
	}
	repoFlag(cmd)
	filterFlags(cmd)
	hostFlags(cmd)
	serverFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.asked(cmd)
		if err != nil {
			return err
		}
		if c != nil {
			defer c.Close()
			return a.serverStatus(cmd.Context(), c)
		}
		f, done, err := a.openFleet(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		f.HostsOnly = true
		v, err := a.look(cmd.Context(), f)
		if err != nil {
			return err
		}
		r := controller.ReportOf(v, f.Live(cmd.Context(), v))
		if a.asJSON() {
			return a.json(r)
		}
		return a.print(show.Status(r))
	}
	return cmd
}
