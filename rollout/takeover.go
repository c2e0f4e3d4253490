package rollout

import "slices"

// MustObey are the hosts, by name in the input's order, that must obey this controller
// and no other before anything of the plan is carried out: those that it visits or finds
// in the middle of a switch, and those on which a service runs that it disturbs, for
// whoever is at work there uses the same budget. Hosts that did not answer, or on which
// nothing may be done, are not among them.
func MustObey(in Input, p Plan) []string {
	var disturbed []string
	visited := map[string]bool{}
	for _, v := range p.Visits {
		visited[v.Host] = true
		disturbed = append(disturbed, v.Disturbs...)
	}
	var out []string
	for i := range in.Hosts {
		h := &in.Hosts[i]
		name := h.Desired.Host.Name
		if h.Observation == nil || h.Skip != "" {
			continue
		}
		shares := false
		for _, inst := range h.Desired.Instances {
			shares = shares || slices.Contains(disturbed, inst.Service)
		}
		for _, e := range h.Observation.Manifest.Entries {
			shares = shares || slices.Contains(disturbed, e.Service)
		}
		if visited[name] || shares || h.Observation.Switching != nil {
			out = append(out, name)
		}
	}
	return out
}

// NotTakenOver is an instance on a host that did not answer when the plan was made, and does
// now. It obeys whoever was at work there before, who counts on the same budget: until
// there is a new plan, it counts as down, whatever onUnreachable says.
func NotTakenOver(host, service string) Instance {
	return Instance{Host: host, Service: service, Definite: true, Reason: "answers again, and was not taken over"}
}
