package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/desired"
)

func (a *app) validateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "validate", Short: "Check a fleet repo without any host, for CI", GroupID: groupRepo, Args: takes(0, ""),
		Long: `Decode the fleet repo and render every host's state, and tell what is wrong: unknown
keys, templates, units, env files as systemd reads them, paths that clash. No host is
contacted and nothing is fetched. SOPS files for which there is no key are skipped,
with a warning. Where git's history is here, it tells who was removed from a SOPS file
and still knows values of it.

Exit codes: 0 no error (there may be warnings), 1 errors, 2 it could not be checked.`,
		Example: `  evenkeel validate
  evenkeel validate --repo environments/staging -o json`,
		Annotations: map[string]string{errorExit: "2"},
	}
	repoFlag(cmd)
	outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		faults, err := a.faults(cmd.Context())
		if err != nil {
			return err
		}
		if a.asJSON() {
			err = a.json(struct {
				Faults []desired.Fault `json:"faults"`
			}{faults})
		} else {
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
	found := desired.Validate(ctx, &rev)
	found = append(found, c.forgotten(ctx, a.settings, &rev)...)
	if found == nil {
		found = []desired.Fault{}
	}
	return found, ctx.Err()
}
