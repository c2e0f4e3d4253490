package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/controller"
)

func (a *app) suspendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "suspend [HOST | service/NAME | HOST/SERVICE]", Short: "Let the controller not touch a host, a service or the fleet", GroupID: groupChange, Args: atMost(1, "HOST, service/NAME or HOST/SERVICE, or nothing for the fleet"),
		Long: `Let the controller look, but change nothing: on a host, of a service on all hosts, or
anywhere. What is in hand there is finished. A suspended instance counts in budgets as
what it is. It lasts until --until, or until evenkeel resume.`,
		Example: `  evenkeel suspend web-3 --reason 'disk is being replaced' --until 4h
  evenkeel suspend service/gateway --reason 'freeze' --until '2027-01-02 08:00'
  evenkeel suspend --reason 'incident 4711'      the whole fleet`,
	}
	serverFlags(cmd)
	reason := reasonFlag(cmd)
	end := untilFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req, err := objectOf(args)
		if err != nil {
			return err
		}
		if *reason == "" {
			return mendable("say --reason 'why': it is shown wherever status is shown", "cannot suspend without a reason")
		}
		if req.Until, err = until(*end, time.Now()); err != nil {
			return err
		}
		req.Reason = *reason
		return a.act(cmd, controller.VerbSuspend, req)
	}
	return cmd
}

func untilFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("until", "", "end by itself: how long (90m, 8h, 3d), or a `TIME`")
}

func (a *app) resumeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "resume [HOST | service/NAME | HOST/SERVICE]", Short: "End a suspension", GroupID: groupChange, Args: atMost(1, "HOST, service/NAME or HOST/SERVICE, or nothing for the fleet"),
		Example: `  evenkeel resume web-3
  evenkeel resume service/gateway
  evenkeel resume                 the whole fleet, where that was suspended`,
	}
	serverFlags(cmd)
	reason := reasonFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req, err := objectOf(args)
		if err != nil {
			return err
		}
		req.Reason = *reason
		return a.act(cmd, controller.VerbUnsuspend, req)
	}
	return cmd
}
