package main

import (
	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
)

const rolloutHelp = `Look at the rollout of a controller, and steer it. Each word is recorded, with who
said it and why. With --wait, the rollout is followed until it ends.
` + waitExits

const waitExits = `
Exit codes with --wait are apply's: 0 converged, 1 an error (or stopped), 2 a host
failed, 4 a host is unreachable, 5 halted by a budget, 6 a host was reverted, 7 blocked.`

const rolloutStatusHelp = `Show the rollout under way host by host, or else how the last one ended; with an ID, one
of the history. With --wait, follow it until it ends; where there was none yet, it is
waited for one to begin. Where the newest commit is refused, that is said, with exit
code 1: what ended before is none of it.
` + waitExits

func (a *app) rolloutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rollout", Short: "Look at the rollout of a controller, and steer it", GroupID: groupChange, Long: rolloutHelp,
		Example: `  evenkeel rollout status --wait
  evenkeel rollout pause --reason 'the database is slow'
  evenkeel rollout promote --wait`,
		Args: a.unknownVerb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.rolloutStatusCommand(),
		a.rolloutWord(controller.VerbPause, "Finish the hosts in hand, and begin no other", `  evenkeel rollout pause --reason 'the database is slow'`),
		a.rolloutWord(controller.VerbResume, "Go on with a paused rollout", `  evenkeel rollout resume --wait`),
		a.rolloutWord(controller.VerbPromote, "Accept the canaries, and go on with the other hosts", `  evenkeel rollout promote --wait`),
		a.rolloutWord(controller.VerbAbort, "End the rollout; it is not tried again until git moves or somebody retries", `  evenkeel rollout abort --reason 'errors in the log'`),
		a.rolloutUndoCommand(),
		a.rolloutWord(controller.VerbRetry, "Try a revision again that was reverted or aborted", `  evenkeel rollout retry --wait`),
	)
	return cmd
}

// rolloutWord is a verb that says one word to the controller.
func (a *app) rolloutWord(verb controller.Verb, short, example string) *cobra.Command {
	cmd := &cobra.Command{Use: string(verb), Short: short, Long: short + ".\n" + waitExits, Example: example, Args: takes(0, "")}
	serverFlags(cmd)
	reason := reasonFlag(cmd)
	wait := cmd.Flags().Bool("wait", false, "follow the rollout until it ends")
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.server(cmd)
		if err != nil {
			return err
		}
		return a.steer(cmd, c, verb, api.ActionRequest{Reason: *reason}, *wait)
	}
	return cmd
}
