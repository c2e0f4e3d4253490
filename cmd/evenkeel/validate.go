package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/lint"
)

func (a *app) validateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "validate", Short: "Check a fleet repo without any host, for CI", GroupID: groupRepo, Args: takes(0, ""),
		Long: `Decode the fleet repo and render every host's state, and tell what is wrong: unknown
keys, templates, units, env files as systemd reads them, paths that clash, and what the
operators of systemd fleets learn the hard way: limits, timeouts, start limits, hardening,
secrets in the wrong place. Where systemd-analyze is at hand, it is asked, too. No host is
contacted and nothing is fetched. SOPS files for which there is no key are skipped, with
a warning. Where git's history is here, it tells who was removed from a SOPS file
and still knows values of it.

Each finding names its rule; docs/validate.md tells what each is about. A rule is switched
in fleet.yaml or in a service: spec: {validate: {rules: {limit-memory: off}}}.

Exit codes: 0 no error (there may be warnings), 1 errors, 2 it could not be checked.`,
		Example: `  evenkeel validate
  evenkeel validate --repo environments/staging -o json
  evenkeel validate -o github             annotations of a GitHub workflow's run
  evenkeel validate -o sarif >out.sarif   for code scanning, and editors`,
		Annotations: map[string]string{errorExit: "2", moreOutputs: "sarif github"},
	}
	repoFlag(cmd)
	cmd.Flags().StringP("output", "o", "text", "text, json, sarif or github")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		faults, err := a.faults(cmd.Context())
		if err != nil {
			return err
		}
		switch a.settings.Output {
		case "json":
			err = a.json(struct {
				Faults []desired.Fault `json:"faults"`
			}{faults})
		case "sarif":
			err = a.json(show.SARIF(faults, thisBuild().Version))
		case "github":
			err = a.print(show.GitHub(faults))
		default:
			err = a.print(show.Faults(faults))
		}
		if err == nil && len(desired.Faults(faults).Errors()) > 0 {
			err = exitCode(1)
		}
		return err
	}
	return cmd
}

// faults is everything that is wrong with the fleet repo; an error, why it cannot be told.
func (a *app) faults(ctx context.Context) ([]desired.Fault, error) {
	c, err := openCheckout(a.settings.Repo)
	if err != nil {
		return nil, err
	}
	defer c.close()
	rev, err := c.load(ctx, a.settings, false)
	var faults desired.Faults
	if errors.As(err, &faults) {
		return faults, nil
	}
	if err != nil {
		return nil, err
	}
	analyze := newAnalyzer(&rev)
	found := desired.Validate(ctx, &rev, lint.New(&rev).Check, analyze.collect)
	found = append(found, rev.Judged(c.forgotten(ctx, a.settings, &rev))...)
	found = append(found, analyze.faults(ctx, found)...)
	for i := range found {
		if found[i].Mend == "" {
			found[i].Mend = "see " + found[i].Rule + " in docs/validate.md"
		}
	}
	desired.Faults(found).Sort()
	if found == nil {
		found = []desired.Fault{}
	}
	return found, ctx.Err()
}
