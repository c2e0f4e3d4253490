package rollout

import (
	"slices"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// CanaryPlan is how a service's new revision is proven on some hosts before the others
// follow. It is about hosts whose generation has other content than the revision wants;
// one that only drifted, or runs a stale process, is no matter of canaries.
type CanaryPlan struct {
	Size int `json:"size"` // canary as a number of hosts
	// Current are hosts that the revision was brought to before: they count as canaries.
	Current []string `json:"current,omitempty"`
	// Hosts are visited first, Following once they were promoted.
	Hosts     []string `json:"hosts,omitempty"`
	Following []string `json:"following,omitempty"`
	// Promoted tells that the revision has been promoted before, for more hosts than
	// the canaries are on it or it is remembered: nothing waits.
	Promoted bool `json:"promoted,omitempty"`
}

// canarySize is canary as a number of hosts: a percentage rounds down, at least 1.
func canarySize(s desired.Strategy, total int) int {
	if s.Canary.Value == 0 {
		return 0
	}
	return min(total, max(1, s.Canary.Of(total, false)))
}

// staging are the services whose new revision goes by way of canaries: those that have
// some, and of which it disturbs a host at all.
type staging map[string]*CanaryPlan

// stage finds them.
func stage(in Input, diffs []Difference) staging {
	st := staging{}
	for i := range in.Hosts {
		h := &in.Hosts[i]
		for j := range h.Desired.Instances {
			inst := &h.Desired.Instances[j]
			if _, known := st[inst.Service]; !known && inst.Strategy.Canary.Value > 0 && brings(h, inst) && diffs[i].disturbs(inst.Service) {
				st[inst.Service] = &CanaryPlan{}
			}
		}
	}
	if len(st) == 0 {
		return st
	}
	total := map[string]int{}
	for i := range in.Hosts {
		h := &in.Hosts[i]
		for j := range h.Desired.Instances {
			inst := &h.Desired.Instances[j]
			p := st[inst.Service]
			if p == nil {
				continue
			}
			total[inst.Service]++
			p.Size = canarySize(inst.Strategy, total[inst.Service])
			if h.Observation != nil && !brings(h, inst) {
				p.Current = append(p.Current, inst.Host)
			}
		}
	}
	for name, p := range st {
		_, told := in.Promoted[name]
		p.Promoted = told || len(p.Current) > p.Size
	}
	return st
}

// disturbs tells whether what differs of a service means a restart or reload, and
// nothing is in its way.
func (d Difference) disturbs(service string) bool {
	of := func(c Change) bool { return c.Service == service && c.Disruption > None }
	return slices.ContainsFunc(d.Changes, of) && !slices.ContainsFunc(d.Problems, func(p Problem) bool { return p.Service == service })
}

// holds tells whether a visit that brings the service new content to a host waits, or
// is waited for: then even one that disturbs nothing, on a new host, takes its turn.
func (st staging) holds(service string) bool {
	p := st[service]
	return p != nil && !p.Promoted
}

// brings tells whether the host's generation has other content of the instance than is
// desired: a new revision, not drift.
func brings(h *HostInput, inst *desired.Instance) bool {
	if h.Observation == nil {
		return false
	}
	has := map[hostdriver.Entry]bool{}
	n := 0
	for _, e := range h.Observation.Manifest.Entries {
		if e.Service == inst.Service {
			n++
		}
		e.Service = "" // users and directories may be shared: one entry is enough
		has[e.Meaning()] = true
	}
	own := 0
	for _, e := range Entries(inst) {
		e.Service = ""
		if !has[e.Meaning()] {
			return true
		}
		own++
	}
	return n > own
}

// Has tells whether the host's generation has, of a service, just what is desired there:
// what differs is drift, and no new revision.
func (h *HostInput) Has(service string) bool {
	inst := h.Instance(service)
	return h.Observation != nil && inst != nil && !brings(h, inst)
}

// brings is the same for a service by name; one that goes away is no matter of canaries.
func (h *HostInput) brings(service string) bool {
	i := slices.IndexFunc(h.Desired.Instances, func(i desired.Instance) bool { return i.Service == service })
	return i >= 0 && brings(h, &h.Desired.Instances[i])
}

// share picks each service's canaries: the first visits in the plan's order that bring
// it something new, beside the hosts that have it already. All others follow.
func (st staging) share(p *Plan) {
	for i := range p.Services {
		sp := &p.Services[i]
		c := st[sp.Service]
		if sp.Canary = c; !st.holds(sp.Service) {
			continue
		}
		left := c.Size - len(c.Current)
		for j := range p.Visits {
			v := &p.Visits[j]
			if !slices.Contains(v.Brings, sp.Service) {
				continue
			}
			if left > 0 {
				left--
				v.Canary, c.Hosts = append(v.Canary, sp.Service), append(c.Hosts, v.Host)
				continue
			}
			v.Follows, c.Following = append(v.Follows, sp.Service), append(c.Following, v.Host)
		}
	}
}
