package controller

import (
	"context"
	"fmt"
	"slices"

	"github.com/evenkeel/evenkeel/rollout"
)

// heldBack are the services of a host that are not brought what is desired, for it was gone
// back from, on this host or on another; plan is the host's. c.mu is held.
func (c *Controller) heldBack(in *rollout.HostInput, revision string, plan rollout.HostPlan) []string {
	var names []string
	for i := range in.Desired.Instances {
		name := in.Desired.Instances[i].Service
		refused, other := false, false
		for _, p := range plan.Problems {
			if p.Service == name {
				refused, other = refused || p.Refused, other || !p.Refused
			}
		}
		stalled := c.stalled != nil && c.stalled.Revision == revision && slices.Contains(c.stalled.Services, name) && !in.Has(name)
		if (refused || stalled) && !other && in.Hold[""] == "" && in.Hold[name] == "" {
			names = append(names, name)
		}
	}
	return names
}

// idle is what does not run on a host of what is held back there. c.mu is held.
func (c *Controller) idle(v *View, in *rollout.HostInput, plan rollout.HostPlan) []rollout.Change {
	if in.Skip != "" || in.Observation == nil || in.Observation.Step != nil {
		return nil
	}
	var out []rollout.Change
	for _, name := range c.heldBack(in, v.Input.Revision, plan) {
		idle, _ := in.Idle(v.Input, name)
		out = append(out, idle...)
	}
	return out
}

// markIdle has the hosts looked at, after the pass, on which something of what is held back
// does not run.
func (c *Controller) markIdle(v *View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range v.Input.Hosts {
		in := &v.Input.Hosts[i]
		if e := c.hosts[in.Desired.Host.Name]; e != nil && len(c.idle(v, in, v.Plan.Hosts[i])) > 0 {
			e.dirty = true
		}
	}
}

// keep starts again, on the one host of a look, what its own revision wants to run and does
// not, where what is desired is held back. It tells whether it has done anything.
func (c *Controller) keep(ctx context.Context, f *Fleet, v *View) (bool, error) {
	in, plan := &v.Input.Hosts[0], v.Plan.Hosts[0]
	c.mu.Lock()
	e := c.hosts[plan.Host]
	names, frozen := c.heldBack(in, v.Input.Revision, plan), c.frozen
	c.mu.Unlock()
	if len(names) == 0 || e == nil || frozen != "" || c.opt.Drift.Report || c.isStopping() || c.mayNotTouch(in.Observation) != "" {
		return false, nil
	}
	kept := *v
	kept.Plan = rollout.BuildKept(v.Input, func(_, service string) bool { return slices.Contains(names, service) })
	if len(kept.Plan.Visits) == 0 {
		return false, nil
	}
	if wait := c.flaps(ctx, e, kept.Plan.Hosts[0], false); wait > 0 {
		c.queue.AddAfter(hostKey(plan.Host), wait)
		return false, nil
	}
	st, err := f.Apply(ctx, nil, &kept, nil)
	if err != nil {
		return true, err
	}
	for _, x := range st.NotDone() {
		return true, fmt.Errorf("drift on %s could not be corrected: %s", x.Host, x.Reason)
	}
	c.corrected(ctx, kept.Plan)
	return true, nil
}

// corrected records what was put right on the one host of a plan.
func (c *Controller) corrected(ctx context.Context, p rollout.Plan) {
	for _, ch := range p.Hosts[0].Changes {
		c.record(ctx, Event{Type: Normal, Reason: ReasonCorrected, Host: ch.Host, Service: ch.Service, Revision: p.Revision,
			Message: fmt.Sprintf("drift on %s was corrected: %s: %s", ch.Host, ch.Subject, ch.Reason)})
	}
}
