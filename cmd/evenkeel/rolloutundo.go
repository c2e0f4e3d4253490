package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/rollout"
)

const undoHelp = `Go back: every host that has what the fleet repo wants now returns to the generation
that it had before that revision, which it has kept. Nothing is sent; the way is that of
any other change: host by host, drain, switch, restart, prove healthy, undrain. What is
undone is not tried again until it is changed in git (or apply --retry, rollout retry).

--to goes back to a certain revision, as far as hosts keep a generation of it.

Exit codes are apply's: 0 is back and proven healthy, or there was nothing to undo.`

func (a *app) rolloutUndoCommand() *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use: "undo", Short: "Go back to the generation before, host by host", Args: takes(0, ""), Long: long(undoHelp),
		Example: `  evenkeel rollout undo                                   from a checkout: shows the plan, asks
  evenkeel rollout undo --service gateway --to 4f1c2d9
  evenkeel rollout undo --server https://evenkeel.example.com --reason 'the new one is slow' --wait`,
	}
	repoFlag(cmd)
	to := cmd.Flags().String("to", "", "go back to this `REVISION`, or what its name begins with")
	filterFlags(cmd)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.ignoreWindows, "ignore-windows", false, "begin also what the windows would have wait; the output records it")
	cmd.Flags().BoolVar(&o.takeOver, "take-over", false, "also change hosts that belong to a controller")
	reason := reasonFlag(cmd)
	wait := cmd.Flags().Bool("wait", false, "of a controller: follow the rollout until it ends")
	hostFlags(cmd)
	serverFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.asked(cmd)
		if err != nil {
			return err
		}
		if c == nil {
			if *wait {
				return mendable("leave --wait out", "from a checkout, undo always waits")
			}
			o.undo = &rollout.Back{Revision: *to, Reason: *reason}
			o.size = show.DiffNone
			return a.apply(cmd.Context(), o)
		}
		defer c.Close()
		host, err := onlyOne("host", a.settings.Hosts)
		if err != nil {
			return err
		}
		service, err := onlyOne("service", a.settings.Services)
		if err != nil {
			return err
		}
		for _, flag := range []string{"ignore-windows", "take-over"} {
			if cmd.Flags().Changed(flag) {
				return mendable("leave it out", "--%s is for a checkout", flag)
			}
		}
		return a.steer(cmd, c, controller.VerbUndo, api.ActionRequest{Host: host, Service: service, Revision: *to, Reason: *reason}, *wait)
	}
	return cmd
}

// onlyOne is what a controller's verb takes where a checkout's takes many.
func onlyOne(flag string, given []string) (string, error) {
	switch {
	case len(given) == 0:
		return "", nil
	case len(given) > 1 || strings.ContainsAny(given[0], "*?["):
		return "", mendable("name one, or leave it out to mean all", "the controller takes one --%s, not %s", flag, fault.Quote(strings.Join(given, " ")))
	}
	return given[0], nil
}
