package rollout

import (
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// servicePlans gathers each service's instances over the hosts, by name.
func servicePlans(in Input) []ServicePlan {
	by := map[string]*ServicePlan{}
	for i := range in.Hosts {
		h := &in.Hosts[i]
		for j := range h.Desired.Instances {
			inst := &h.Desired.Instances[j]
			sp := by[inst.Service]
			if sp == nil {
				sp = &ServicePlan{Service: inst.Service, After: inst.After, Strategy: inst.Strategy}
				sp.Strategy.DrainTimeout = drainWait(inst)
				by[inst.Service] = sp
			}
			sp.Strategy.DrainTimeout = max(sp.Strategy.DrainTimeout, drainWait(inst))
			sp.Drains = sp.Drains || slices.ContainsFunc(inst.Drain, func(d desired.DrainSpec) bool { return d.None == nil })
			is := observedInstance(h, inst)
			is.Lead = in.Leads[inst.Service][inst.Host]
			sp.Instances = append(sp.Instances, is)
			if value, ok := h.Desired.Host.Labels[inst.Strategy.Spread]; ok && inst.Strategy.Spread != "" {
				if sp.Groups == nil {
					sp.Groups = map[string]string{}
				}
				sp.Groups[inst.Host] = value
			}
		}
	}
	out := make([]ServicePlan, 0, len(by))
	for _, name := range sortedKeys(by) {
		sp := by[name]
		sp.Budget = NewBudget(sp.Service, sp.Strategy, sp.Instances, nil)
		out = append(out, *sp)
	}
	return out
}

// drainWait is how long sessions may take to end: the longest of the drains' own
// timeouts; drainTimeout stands in for one that has none.
func drainWait(inst *desired.Instance) time.Duration {
	if len(inst.Drain) == 0 {
		return inst.Strategy.DrainTimeout
	}
	longest := time.Duration(0)
	for _, d := range inst.Drain {
		w := d.WaitAtMost()
		if w == 0 {
			w = inst.Strategy.DrainTimeout
		}
		longest = max(longest, w)
	}
	return longest
}

// observedInstance is what the full observation says of one instance.
func observedInstance(h *HostInput, inst *desired.Instance) Instance {
	is := Instance{Host: inst.Host, Service: inst.Service}
	if h.Observation == nil {
		is.Definite, is.Unreachable, is.Reason = true, true, "unreachable"
		return is
	}
	return JudgeUnits(inst, h.Observation.Units)
}

// JudgeUnits tells whether an instance is up by its units alone.
func JudgeUnits(inst *desired.Instance, units map[string]hostdriver.UnitState) Instance {
	is := Instance{Host: inst.Host, Service: inst.Service, Up: true}
	for i := range inst.Units {
		u := &inst.Units[i]
		if u.State != "started" {
			continue
		}
		got := units[u.Name]
		if got.Active == "active" || got.Active == "reloading" {
			continue
		}
		is.Up, is.Definite = false, got.Active != "activating" && got.Active != "deactivating"
		is.Idle = got.Active == "inactive" || got.Active == "failed" || got.Active == ""
		is.Missing = is.Missing || got.Load == "not-found" || got.Load == ""
		is.Reason = u.Name + " is " + orAbsent(got.Active)
		if got.Active == "failed" {
			is.Reason += " (" + ResultWords(got) + ")"
		}
		if got.Masked() {
			is.Reason = u.Name + " is masked"
		}
		return is
	}
	return is
}

// sizeBatches shares the visits that disturb a service, and are no canaries of it, out.
func sizeBatches(p *Plan) {
	for i := range p.Services {
		s := &p.Services[i]
		s.Batches = batchesOf(s.Service, s.Strategy, p.Visits)
	}
}

// batchesOf shares the visits that disturb a service out.
func batchesOf(service string, st desired.Strategy, visits []Visit) []int {
	n := 0
	for i := range visits {
		if visits[i].inBatches(service) {
			n++
		}
	}
	return batchSizes(st.Batches, n)
}

// batchSizes spreads n hosts over the declared batches; the last one repeats, a
// percentage of n rounds down and counts at least 1.
func batchSizes(spec []desired.IntOrPercent, n int) []int {
	if len(spec) == 0 || n == 0 {
		return nil
	}
	var out []int
	for i, left := 0, n; left > 0; i++ {
		size := min(left, max(1, spec[min(i, len(spec)-1)].Of(n, false)))
		out = append(out, size)
		left -= size
	}
	return out
}
