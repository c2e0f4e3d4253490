package main

import (
	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
)

func (a *app) planCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what apply would change, and in which order", GroupID: groupLook, Args: takes(0, ""),
		Long: long(`Compare what the fleet repo wants with what every host has and runs, and show the
difference: host by host, then in which order it would be carried out and what the
budget of each service allows. Nothing is written on any host.

Exit codes: 0 nothing to change, 1 changes, 2 an error; 2 as well where there is
nothing to change but a host is unreachable, or something keeps it from being told.`),
		Example: `  evenkeel plan                              the whole fleet
  evenkeel plan --host 'web-*' --diff=full   some hosts, with whole diffs
  evenkeel plan -o json | jq .visits         the same as data`,
		Annotations: map[string]string{errorExit: "2"},
	}
	repoFlag(cmd)
	filterFlags(cmd)
	size := diffFlag(cmd, show.DiffShort)
	hostFlags(cmd)
	serverFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkDiff(*size); err != nil {
			return err
		}
		c, err := a.asked(cmd)
		if err != nil {
			return err
		}
		if c != nil {
			defer c.Close()
			return a.serverPlan(cmd.Context(), c, planOptions(show.DiffSize(*size)))
		}
		f, done, err := a.openFleet(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		return a.showPlan(cmd, f, planOptions(show.DiffSize(*size)))
	}
	return cmd
}

func diffFlag(cmd *cobra.Command, size show.DiffSize) *string {
	return cmd.Flags().String("diff", string(size), "how much of each diff is shown: short, full or none")
}

func checkDiff(size string) error {
	switch show.DiffSize(size) {
	case show.DiffShort, show.DiffFull, show.DiffNone:
		return nil
	}
	return mendable("use short, full or none", "cannot show diffs %q", size)
}

func planOptions(size show.DiffSize) show.PlanOptions { return show.PlanOptions{Diff: size} }

// showPlan looks, shows the plan and ends with its exit code.
func (a *app) showPlan(cmd *cobra.Command, f *controller.Fleet, o show.PlanOptions) error {
	v, err := a.look(cmd.Context(), f)
	if err != nil {
		return err
	}
	if a.asJSON() {
		err = a.json(v.Plan)
	} else {
		err = a.print(show.Plan(v.Plan, viewed(f, v, o)))
	}
	if err != nil {
		return err
	}
	if code := planExit(f, v); code != 0 {
		return code
	}
	return nil
}

// viewed adds to the options what the View has to say.
func viewed(f *controller.Fleet, v *controller.View, o show.PlanOptions) show.PlanOptions {
	o.Mends, o.Skipped, o.Cut, o.Faults = v.Mends(), v.Skipped(), v.Cut(), f.Revision.Quarantined
	o.Addresses = map[string]string{}
	for _, h := range f.Revision.Inventory.Hosts {
		o.Addresses[h.Name] = h.Address
	}
	return o
}

// planExit is plan's and diff's exit code.
func planExit(f *controller.Fleet, v *controller.View) exitCode {
	skipped := v.Skipped()
	incomplete := len(f.Revision.Quarantined) > 0
	for _, h := range v.Plan.Hosts {
		incomplete = incomplete || !skipped[h.Host] && h.SuspendedWhy() == "" && (!h.Reachable || len(h.Problems) > 0)
	}
	switch {
	case v.Plan.Changed() || len(v.Cut()) > 0:
		return 1
	case incomplete:
		return 2
	}
	return 0
}
