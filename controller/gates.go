package controller

import (
	"context"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/rollout/gate"
)

// closed asks the gates of what the visit disturbs, and tells why one holds the host
// back; "" where all are open. What was left unfinished is not asked about: it is
// always brought to its end.
func (fx *effects) closed(ctx context.Context, v rollout.Visit, h *handled) string {
	if v.Quiet || v.Recover {
		return ""
	}
	var gates []gate.Gate
	for _, name := range v.Disturbs {
		inst := h.instance(name)
		if inst == nil {
			continue
		}
		for _, spec := range inst.Strategy.Gates {
			g, err := gate.New(spec, gate.Subject{Host: v.Host, Service: name, Revision: fx.f.Revision.ID}, gate.Deps{})
			if err != nil {
				return err.Error()
			}
			gates = append(gates, g)
		}
	}
	if len(gates) == 0 {
		return ""
	}
	a, err := gate.All(gates...).Ask(ctx)
	switch {
	case err != nil:
		return err.Error()
	case !a.Open:
		return a.Reason
	}
	return ""
}

// balancerEpoch looks at the hosts that are in the View for nothing but a balancer that
// drains write to or run commands on, so that this rollout's epoch is above theirs, too.
func (f *Fleet) balancerEpoch(ctx context.Context, v *View) uint64 {
	seen := map[string]bool{}
	for _, in := range v.Input.Hosts {
		seen[in.Desired.Host.Name] = true
	}
	highest := uint64(0)
	for _, in := range v.Input.Hosts {
		for _, inst := range in.Desired.Instances {
			for _, d := range inst.Drain {
				name := d.By()
				if name == "" || seen[name] {
					continue
				}
				seen[name] = true
				host, known := f.Revision.Inventory.Find(name)
				if !known {
					continue
				}
				o, err := f.Driver.Observe(ctx, host, hostdriver.Query{Light: true})
				if err != nil {
					continue // the drain itself will say so
				}
				highest = max(highest, o.Epoch)
			}
		}
	}
	return highest
}
