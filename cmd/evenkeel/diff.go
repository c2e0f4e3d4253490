package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
)

func (a *app) diffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff HOST", Short: "Show how one host differs, with whole diffs", GroupID: groupLook, Args: takes(1, "one host"),
		Long: long(`Compare what the fleet repo wants on one host with what it has and runs. Nothing is
written there. Values of secrets are never shown.

Exit codes: 0 no difference, 1 it differs, 2 an error, or the host is unreachable.`),
		Example:     `  evenkeel diff web-3`,
		Annotations: map[string]string{errorExit: "2"},
	}
	repoFlag(cmd)
	size := diffFlag(cmd, show.DiffFull)
	hostFlags(cmd)
	serverFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkDiff(*size); err != nil {
			return err
		}
		c, err := a.asked(cmd)
		if err != nil {
			return err
		}
		if c != nil {
			defer c.Close()
			return a.serverDiff(cmd.Context(), c, args[0], planOptions(show.DiffSize(*size)))
		}
		f, done, err := a.openFleet(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		h, err := hostNamed(f.Revision.Inventory, args[0])
		if err != nil {
			return err
		}
		f.Hosts, f.HostsOnly = []string{literal(h.Name)}, true
		o := planOptions(show.DiffSize(*size))
		o.HostsOnly = true
		return a.showPlan(cmd, f, o)
	}
	return cmd
}

// literal is a glob that matches just this name.
func literal(name string) string {
	var out []byte
	for i := range len(name) {
		if slices.Contains([]byte(`*?[\`), name[i]) {
			out = append(out, '\\')
		}
		out = append(out, name[i])
	}
	return string(out)
}
