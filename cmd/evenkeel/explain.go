package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

func (a *app) explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain HOST/SERVICE", Short: "Tell all about one instance, and what mends it", GroupID: groupLook, Args: takes(1, "HOST/SERVICE"),
		Long: long(`Tell, on one screen, how one service stands on one host and why: its units and since
when, its env files' keys (never a value), its health checks made now, the balancer's
word, what differs from the fleet repo and who last changed it there, the lines of the
journal that matter, the likely cause, and the command that mends it.`),
		Example: `  evenkeel explain web-3/gateway`,
	}
	repoFlag(cmd)
	size := diffFlag(cmd, show.DiffShort)
	hostFlags(cmd)
	serverFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkDiff(*size); err != nil {
			return err
		}
		host, service, ok := strings.Cut(args[0], "/")
		if !ok || host == "" || service == "" {
			return mendable("such as: "+firstExample(cmd), "cannot explain %s: HOST/SERVICE is needed", fault.Quote(args[0]))
		}
		c, err := a.asked(cmd)
		if err != nil {
			return err
		}
		if c != nil {
			defer c.Close()
			return a.serverExplain(cmd.Context(), c, host, service, show.DiffSize(*size))
		}
		f, done, err := a.openFleet(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		h, err := hostNamed(f.Revision.Inventory, host)
		if err != nil {
			return err
		}
		f.Hosts, f.HostsOnly = []string{literal(h.Name)}, true
		return a.explain(cmd, f, host, service, show.DiffSize(*size))
	}
	return cmd
}

func (a *app) explain(cmd *cobra.Command, f *controller.Fleet, host, service string, size show.DiffSize) error {
	v, err := a.look(cmd.Context(), f)
	if err != nil {
		return err
	}
	e, err := f.Explain(cmd.Context(), v, host, service)
	if err != nil {
		return &mended{err: err, mend: whatRunsThere(f, v, host, service)}
	}
	e.Changed = a.lastChange(cmd.Context(), f, service)
	if a.asJSON() {
		return a.json(e)
	}
	return a.print(show.Explain(e, size))
}

// whatRunsThere helps where a host has no such service.
func whatRunsThere(f *controller.Fleet, v *controller.View, host, service string) string {
	var there []string
	for _, in := range v.Input.Hosts {
		for _, i := range in.Desired.Instances {
			there = append(there, i.Service)
		}
	}
	if near, ok := fault.Nearest(service, there); ok {
		return "did you mean " + host + "/" + near + "?"
	}
	if len(there) == 0 {
		return "no service's selector matches the labels of that host"
	}
	var all []string
	for _, s := range f.Revision.Services {
		all = append(all, s.Name)
	}
	if slices.Contains(all, service) {
		return "its selector does not match the labels of that host; what runs there: " + strings.Join(there, ", ")
	}
	return "what runs there: " + strings.Join(there, ", ")
}

// lastChange is the commit that last touched a service's folder, where the fleet repo lies
// in git and git is here.
func (a *app) lastChange(ctx context.Context, f *controller.Fleet, service string) *controller.CommitInfo {
	svc, ok := f.Revision.Service(service)
	if !ok {
		return nil
	}
	c, err := openCheckout(a.settings.Repo)
	if err != nil {
		return nil
	}
	defer c.close()
	if !c.git {
		return nil
	}
	said, err := c.runGit(ctx, "log", "-1", "--format=%an%x00%cI%x00%s%x00%h", "--", svc.Dir)
	parts := strings.Split(strings.TrimSpace(said), "\x00")
	if err != nil || len(parts) != 4 {
		return nil
	}
	at, err := time.Parse(time.RFC3339, parts[1])
	if err != nil {
		return nil
	}
	return &controller.CommitInfo{Author: parts[0], Committed: at, Subject: parts[2], ID: parts[3]}
}
