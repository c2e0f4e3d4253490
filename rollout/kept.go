package rollout

import (
	"fmt"
	"slices"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// BuildKept plans that hosts run what their own generation wants to run, of services of
// which they are not brought what is desired: held tells which, by host. Only units that do
// not run are started. Nothing is written, stopped or restarted, so it disturbs nobody. What
// was changed by hand on disk is left, and what would be started with it, too.
func BuildKept(in Input, held func(host, service string) bool) Plan {
	p := Plan{Revision: in.Revision}
	for i := range in.Hosts {
		h := &in.Hosts[i]
		var d Difference
		v := Visit{Host: h.Desired.Host.Name, Quiet: true, Kept: true, Before: map[string]string{}}
		for j := range h.Desired.Instances {
			name := h.Desired.Instances[j].Service
			if held(v.Host, name) {
				h.runs(in, &v, &d, name)
			}
		}
		if p.Hosts = append(p.Hosts, hostPlan(h, d)); len(v.Actions) > 0 {
			v.Actions = takersFirst(inOrder(v.Actions, v.Services), h.Observation.Units)
			p.Visits = append(p.Visits, v)
		}
	}
	p.Services = servicePlans(in)
	orderVisits(&p, in, waves(p.Services))
	return p
}

// runs has a visit start what does not run of a service.
func (h *HostInput) runs(in Input, v *Visit, d *Difference, service string) {
	changes, startable := h.Idle(in, service)
	d.Changes = append(d.Changes, changes...)
	if len(changes) == 0 || !startable || h.Skip != "" || h.holds(service) != "" || h.Observation.Step != nil || h.Observation.Switching != nil {
		return
	}
	v.Services = append(v.Services, service)
	for _, c := range changes {
		v.Actions = append(v.Actions, UnitAction{Service: service, Unit: c.Subject, Verb: hostdriver.VerbStart})
		v.Watch = append(v.Watch, c.Subject)
		v.Before[c.Subject] = h.Observation.Units[c.Subject].InvocationID
	}
}

// Idle are the units of a service that do not run, although the host's own generation wants
// them to, whatever is desired now; and whether they can be started as that generation has
// them.
func (h *HostInput) Idle(in Input, service string) (idle []Change, startable bool) {
	o := h.Observation
	if _, skipped := in.Skip[service]; o == nil || skipped {
		return nil, false
	}
	edited := ""
	for _, e := range o.Manifest.Of(service) {
		switch {
		case e.Kind == hostdriver.KindUnit:
			if c, ok := h.idleUnit(e); ok {
				idle = append(idle, c)
			}
		case edited == "" && (e.Kind == hostdriver.KindFile || e.Kind == hostdriver.KindLink) && differs(e, o):
			edited = e.Name
		}
	}
	idle = WithoutIgnored(idle, in.Ignore)
	if edited == "" {
		return idle, true
	}
	for i := range idle {
		idle[i].Reason += fmt.Sprintf("; it is not started, for %s is not as revision %s has it", edited, ShortRevision(o.Manifest.Revision))
	}
	return idle, false
}

// idleUnit is the start of a unit that the manifest has.
func (h *HostInput) idleUnit(e hostdriver.Entry) (Change, bool) {
	u, told := h.Observation.Units[e.Name]
	if !told || e.State != "started" || u.Running() || u.Masked() || u.Load == "not-found" {
		return Change{}, false
	}
	reason := fmt.Sprintf("is not running, and revision %s, which the host has, wants it to", ShortRevision(h.Observation.Manifest.Revision))
	if u.Active == "failed" {
		reason = fmt.Sprintf("has failed (%s)", ResultWords(u))
	}
	return Change{Host: h.Desired.Host.Name, Service: e.Service, Kind: KindProcess, Action: ActionStart, Subject: e.Name,
		From: orAbsent(u.Active), To: "active", Reason: reason}, true
}

// remains is what a visit that keeps has not brought about; nil where all runs.
func (h *HostInput) remains(v *Visit, o hostdriver.Observation) *Change {
	now := HostInput{Desired: h.Desired, Observation: &o}
	for _, name := range v.Services {
		idle, _ := now.Idle(Input{}, name)
		if i := slices.IndexFunc(idle, func(c Change) bool { return slices.Contains(v.Watch, c.Subject) }); i >= 0 {
			return &idle[i]
		}
	}
	return nil
}
