package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "Try the way to every host: key, host key, sudo, disk, balancer", GroupID: groupLook, Args: takes(0, ""),
		Long: `Connect to every host and tell what is in the way of working there, with what mends
it: can it be reached, is its host key known, does it let us log in and become root,
its systemd, room on /var/lib and /opt, its clock beside this machine's, and does each
balancer of its services answer. Nothing is changed.

Exit codes: 0 every host is ready (there may be warnings), 2 one is not, or an error.`,
		Example: `  evenkeel check
  evenkeel check --host 'web-*'`,
		Annotations: map[string]string{errorExit: "2"},
	}
	repoFlag(cmd)
	filterFlags(cmd)
	hostFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f, done, err := a.openFleet(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		waited := a.waitLine()
		hosts, err := f.Check(cmd.Context())
		waited()
		if err != nil {
			return err
		}
		if a.asJSON() {
			err = a.json(struct {
				Hosts []controller.HostCheck `json:"hosts"`
			}{hosts})
		} else {
			addresses := map[string]string{}
			for _, h := range f.Revision.Inventory.Hosts {
				addresses[h.Name] = h.Address
			}
			err = a.print(show.Check(hosts, addresses))
		}
		if err == nil && slices.ContainsFunc(hosts, func(h controller.HostCheck) bool { return !h.OK() }) {
			err = exitCode(2)
		}
		return err
	}
	return cmd
}
