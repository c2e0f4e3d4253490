package main

import (
	"context"
	"path"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api/client"
	"github.com/evenkeel/evenkeel/rollout"
)

// serverStatus shows what the controller knows, as status does from a checkout.
func (a *app) serverStatus(ctx context.Context, c *client.Client) error {
	s, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	all := s.Report
	s.Report.Hosts = slices.DeleteFunc(slices.Clone(all.Hosts), func(h controller.HostStatus) bool { return !picked(a.settings.Hosts, h.Name) })
	s.Report.Instances = slices.DeleteFunc(slices.Clone(all.Instances), func(i controller.InstanceStatus) bool {
		return !picked(a.settings.Hosts, i.Host) || !picked(a.settings.Services, i.Service)
	})
	var hosts, services []string
	for _, h := range all.Hosts {
		hosts = append(hosts, h.Name)
	}
	for _, i := range all.Instances {
		services = append(services, i.Service)
	}
	if err := a.globsMatch(hosts, services); err != nil {
		return err
	}
	if a.asJSON() {
		return a.json(s.Report)
	}
	return a.print(show.Status(s.Report) + "\n" + show.Controller(s, time.Now()))
}

// picked tells whether a name is among globs; none picks all.
func picked(globs []string, name string) bool {
	return len(globs) == 0 || slices.ContainsFunc(globs, func(g string) bool { ok, _ := path.Match(g, name); return ok })
}

// serverPlan shows the controller's newest plan.
func (a *app) serverPlan(ctx context.Context, c *client.Client, o show.PlanOptions) error {
	p, err := c.Plan(ctx)
	if err != nil {
		return err
	}
	var hosts, services []string
	for _, h := range p.Hosts {
		hosts = append(hosts, h.Host)
	}
	for _, s := range p.Services {
		services = append(services, s.Service)
	}
	if err := a.globsMatch(hosts, services); err != nil {
		return err
	}
	return a.endPlan(pickPlan(p, a.settings.Hosts, a.settings.Services), o)
}

// serverDiff shows one host, which the controller looks at now.
func (a *app) serverDiff(ctx context.Context, c *client.Client, host string, o show.PlanOptions) error {
	p, err := c.Diff(ctx, host)
	if err != nil {
		return err
	}
	o.HostsOnly = true
	return a.endPlan(p, o)
}

// endPlan shows a plan and ends with plan's exit code.
func (a *app) endPlan(p rollout.Plan, o show.PlanOptions) error {
	err := error(nil)
	if a.asJSON() {
		err = a.json(p)
	} else {
		err = a.print(show.Plan(p, o))
	}
	switch {
	case err != nil:
		return err
	case p.Changed():
		return exitCode(1)
	case len(p.Unreachable()) > 0 || len(p.Problems()) > 0:
		return exitCode(2)
	}
	return nil
}

// pickPlan leaves out of a plan what was not asked for.
func pickPlan(p rollout.Plan, hosts, services []string) rollout.Plan {
	if len(hosts)+len(services) == 0 {
		return p
	}
	all := p.Hosts
	p.Hosts = []rollout.HostPlan{}
	for _, h := range all {
		if !picked(hosts, h.Host) {
			continue
		}
		h.Changes = slices.DeleteFunc(slices.Clone(h.Changes), func(c rollout.Change) bool { return !picked(services, c.Service) })
		h.Problems = slices.DeleteFunc(slices.Clone(h.Problems), func(q rollout.Problem) bool { return q.Service != "" && !picked(services, q.Service) })
		p.Hosts = append(p.Hosts, h)
	}
	p.Services = slices.DeleteFunc(slices.Clone(p.Services), func(s rollout.ServicePlan) bool { return !picked(services, s.Service) })
	p.Visits = slices.DeleteFunc(slices.Clone(p.Visits), func(v rollout.Visit) bool {
		return !picked(hosts, v.Host) || !slices.ContainsFunc(v.Services, func(s string) bool { return picked(services, s) })
	})
	return p
}

// serverExplain tells all about one instance, which the controller looks at now.
func (a *app) serverExplain(ctx context.Context, c *client.Client, host, service string, size show.DiffSize) error {
	e, err := c.Explain(ctx, host, service)
	if err != nil {
		return err
	}
	if a.asJSON() {
		return a.json(e)
	}
	return a.print(show.Explain(e, size))
}
