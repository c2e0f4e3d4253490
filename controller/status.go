package controller

import (
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// Sync is how an instance compares with the revision.
type Sync string

// The values of Sync.
const (
	Synced      Sync = "Synced"
	OutOfSync   Sync = "OutOfSync"
	UnknownSync Sync = "Unknown"
)

// Health is how an instance serves.
type Health string

// The values of Health.
const (
	Healthy         Health = "Healthy"
	Progressing     Health = "Progressing" // starting, stopping, or a step on its host is in hand
	Degraded        Health = "Degraded"
	Missing         Health = "Missing" // never deployed there
	HealthSuspended Health = "Suspended"
	UnknownHealth   Health = "Unknown"
)

// Report is the state of a fleet at one moment.
type Report struct {
	Revision  string           `json:"revision"`
	Instances []InstanceStatus `json:"instances"` // by host in the inventory's order, then service
	Hosts     []HostStatus     `json:"hosts"`
}

// InstanceStatus is one Service on one Host.
type InstanceStatus struct {
	Host     string `json:"host"`
	Service  string `json:"service"`
	Sync     Sync   `json:"sync"`
	Health   Health `json:"health"`
	Revision string `json:"revision"` // last applied there; "" where nothing of it was
	Stale    bool   `json:"stale"`    // a process runs with older inputs than those on disk
	Rollout  string `json:"rollout"`  // the phase of the step in hand on the host, or ""
	Reason   string `json:"reason"`   // why it is not Synced or not Healthy
}

// HostStatus is one Host.
type HostStatus struct {
	Name      string `json:"name"`
	Reachable bool   `json:"reachable"`
	Suspended bool   `json:"suspended"`
	Reason    string `json:"reason"`
}

// ReportOf makes the report of what was asked for in a View; live is how its
// instances stand, as Fleet.Live tells. It is a pure function of the two.
func ReportOf(v *View, live []rollout.Instance) Report {
	r := Report{Revision: v.Input.Revision, Instances: []InstanceStatus{}, Hosts: []HostStatus{}}
	stands := map[[2]string]rollout.Instance{}
	for _, i := range live {
		stands[[2]string{i.Host, i.Service}] = i
	}
	refused := refusals(v.Plan)
	for i := range v.Input.Hosts {
		in := &v.Input.Hosts[i]
		if in.Skip != "" {
			continue
		}
		name := in.Desired.Host.Name
		r.Hosts = append(r.Hosts, HostStatus{Name: name, Reachable: in.Observation != nil, Suspended: in.Hold[""] != "", Reason: both(in.Hold[""], in.Reason)})
		r.Instances = append(r.Instances, hostInstances(v, in, refused[name], func(service string) rollout.Instance {
			return stands[[2]string{name, service}]
		})...)
	}
	return r
}

// hostInstances are the instances that are wanted on a host, that it still has, or
// that it has of services which cannot be told.
func hostInstances(v *View, in *rollout.HostInput, refused []rollout.Problem, live func(service string) rollout.Instance) []InstanceStatus {
	var out []InstanceStatus
	for _, s := range instanceSights(v, in, refused) {
		out = append(out, s.with(live(s.Service)))
	}
	return out
}

// instanceSight is an instance as a look has seen it: its status but for what follows from
// how it is live.
type instanceSight struct {
	InstanceStatus                      // Reason is the first of what differs
	more           int                  // that differ beside the first
	starts         map[string]time.Time // units that differ in that they do not run, and since when
	judged         bool                 // it is to run, and the host has answered: how it is live counts
	turning        bool                 // a unit is on its way up or down
	suspended      string               // why it is not to be touched
	failedRun      string               // of a timer or path: why its last run has failed
}

// instanceSights are what a look has seen of a host's instances, by service.
func instanceSights(v *View, in *rollout.HostInput, refused []rollout.Problem) []instanceSight {
	var out []instanceSight
	var d rollout.Difference
	if in.Observation != nil {
		d = rollout.Diff(in.Desired, *in.Observation, rollout.DiffOptions{Salt: v.Input.Salt, Prune: v.Input.Prune})
		d.Changes = rollout.WithoutIgnored(d.Changes, v.Input.Ignore)
		d.Problems = slices.Concat(refused, d.Problems)
	}
	for j := range in.Desired.Instances {
		inst := &in.Desired.Instances[j]
		if v.Input.Skip[inst.Service] != notAsked {
			out = append(out, sightOf(v, in, inst, d))
		}
	}
	untold := func(service string, sync Sync, why string) {
		out = append(out, instanceSight{InstanceStatus: InstanceStatus{Host: in.Desired.Host.Name, Service: service, Sync: sync, Health: UnknownHealth, Revision: applied(in, service), Reason: why}})
	}
	for _, name := range in.Desired.Held {
		why, here := heldWhy(in, name)
		if v.Input.Skip[name] != notAsked && (here || has(in, name)) {
			untold(name, UnknownSync, why)
		}
	}
	for _, name := range d.Removed {
		if v.Input.Skip[name] == "" && in.Hold[""] == "" && in.Hold[name] == "" && !slices.Contains(in.Desired.Held, name) {
			untold(name, OutOfSync, "no longer wanted on this host")
		}
	}
	slices.SortStableFunc(out, func(a, b instanceSight) int { return strings.Compare(a.Service, b.Service) })
	return out
}

// refusals are, by host, the services that it is not brought, for they were taken back.
func refusals(p rollout.Plan) map[string][]rollout.Problem {
	out := map[string][]rollout.Problem{}
	for _, h := range p.Hosts {
		for _, x := range h.Problems {
			if x.Refused {
				out[h.Host] = append(out[h.Host], x)
			}
		}
	}
	return out
}

// both joins two reasons, either of which may be missing.
func both(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// suspendedWhy is why an instance is not to be touched, by the repo's or an operator's
// word.
func suspendedWhy(v *View, in *rollout.HostInput, inst *desired.Instance) string {
	switch {
	case in.Hold[""] != "":
		return in.Hold[""]
	case in.Hold[inst.Service] != "":
		return in.Hold[inst.Service]
	}
	return inst.Suspend
}

// sightOf is what a look has seen of one instance that is wanted.
func sightOf(v *View, in *rollout.HostInput, inst *desired.Instance, d rollout.Difference) instanceSight {
	s := instanceSight{InstanceStatus: InstanceStatus{Host: in.Desired.Host.Name, Service: inst.Service, Sync: UnknownSync, Health: UnknownHealth, Revision: applied(in, inst.Service)},
		suspended: suspendedWhy(v, in, inst)}
	if in.Observation == nil {
		s.Reason = in.Reason
		return s
	}
	s.Sync, s.judged, s.turning = Synced, true, turning(inst, in.Observation.Units)
	s.failedRun = failedRun(inst, in.Observation.Units)
	differs := func(why string) {
		if s.Sync == Synced {
			s.Sync, s.Reason = OutOfSync, why
			return
		}
		s.more++
	}
	for _, p := range d.Problems {
		if p.Service == inst.Service {
			if in.Observation.Units[p.Subject].Masked() {
				s.down(p.Subject, time.Time{})
			}
			differs(p.Words())
		}
	}
	for _, c := range d.Changes {
		if c.Service == inst.Service && c.Along == "" { // what is taken along is itself as it should be
			s.Stale = s.Stale || c.Stale
			if c.Action == rollout.ActionStart {
				s.down(c.Subject, in.Observation.Units[c.Subject].InactiveSince)
			}
			differs(c.Subject + ": " + c.Reason)
		}
	}
	if step := in.Observation.Step; step != nil && slices.Contains(step.Services, inst.Service) {
		s.Rollout = step.Phase
	}
	return s
}

// with is the status of an instance that is live as told.
func (s instanceSight) with(live rollout.Instance) InstanceStatus {
	out, more := s.InstanceStatus, s.more
	if s.judged {
		switch {
		case live.Up && s.failedRun != "":
			out.Health, out.Reason = Degraded, both(s.failedRun, out.Reason)
		case live.Up:
			out.Health = Healthy
		case live.Unreachable:
			out.Health = UnknownHealth
		case live.Missing:
			out.Health = Missing
		case s.Rollout != "" || s.turning:
			out.Health = Progressing
		default:
			out.Health = Degraded
		}
		if !live.Up && live.Reason != "" && out.Health != Missing {
			unit, told := s.tells(live.Reason)
			if s.Sync == OutOfSync && !told {
				more++
			}
			out.Reason = live.Reason
			if at := s.starts[unit]; !at.IsZero() {
				out.Reason += " since " + at.UTC().Format("2006-01-02 15:04:05Z")
			}
		}
	}
	if more > 0 {
		out.Reason += "; and " + number(more, "more difference")
	}
	if s.suspended != "" {
		out.Health, out.Reason = HealthSuspended, orWords(out.Reason, s.suspended)
	}
	return out
}

// down notes a unit that differs in that it does not run; since may be unknown.
func (s *instanceSight) down(unit string, since time.Time) {
	if s.starts == nil {
		s.starts = map[string]time.Time{}
	}
	s.starts[unit] = since
}

// tells tells whether what is wrong with an instance that is down is one of its differences
// in other words: that a unit does not run; and which.
func (s instanceSight) tells(down string) (string, bool) {
	unit, _, ok := strings.Cut(down, " is ")
	_, told := s.starts[unit]
	return unit, ok && told
}

// failedRun tells of a timer or path whose last run has failed. It serves nobody, so it counts
// in no budget.
func failedRun(inst *desired.Instance, units map[string]hostdriver.UnitState) string {
	for _, u := range inst.Units {
		if u.State != "started" || !strings.HasSuffix(u.Name, ".timer") && !strings.HasSuffix(u.Name, ".path") {
			continue
		}
		for _, unit := range units[u.Name].Triggers {
			if got := units[unit]; got.Active == "failed" {
				return "the last run of " + unit + ", which " + u.Name + " starts, has failed (" + rollout.ResultWords(got) + ")"
			}
		}
	}
	return ""
}

// turning tells whether a unit that should run is on its way up or down.
func turning(inst *desired.Instance, units map[string]hostdriver.UnitState) bool {
	for _, u := range inst.Units {
		if a := units[u.Name].Active; u.State == "started" && (a == "activating" || a == "deactivating") {
			return true
		}
	}
	return false
}

// firstOf is the first reason, and how many there are beside it.
func firstOf(why []string) string {
	switch len(why) {
	case 0:
		return ""
	case 1:
		return why[0]
	}
	return why[0] + "; and " + number(len(why)-1, "more difference")
}

func has(in *rollout.HostInput, service string) bool {
	return in.Observation != nil && len(in.Observation.Manifest.Of(service)) > 0
}

// applied is the revision that last brought something of the service to the host.
func applied(in *rollout.HostInput, service string) string {
	if !has(in, service) {
		return ""
	}
	return in.Observation.Manifest.Revision
}

// heldWhy is why a service is held, and whether for a fault on just this host.
func heldWhy(in *rollout.HostInput, service string) (why string, here bool) {
	for _, f := range in.Desired.Faults {
		if f.Service == service {
			return f.Pos.String() + ": " + f.Message, true
		}
	}
	return faulty, false
}
