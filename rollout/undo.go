package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Undone is where a visit that undoes takes its services from.
type Undone struct {
	Generation uint64 `json:"generation"`
	Revision   string `json:"revision"` // that had brought it
	Reason     string `json:"reason,omitempty"`
}

// Back says how far Input.Undo goes back.
type Back struct {
	// Revision, where set, is that of the generation to go back to, or the beginning of
	// its name. Otherwise each host goes back to the newest generation of another
	// revision than it has now, with those of its services that have what is desired.
	Revision string `json:"revision,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// buildUndo plans the way back, by the same safe path as any other change: on each host,
// what an older kept generation had of its services is put in the place of what is there
// now. Nothing is sent, for the host has it all. Services that were not there then, or
// are not desired any more, stay as they are. What is undone is remembered as refused.
// A step that was left is only proven: its host goes back by the next plan.
//
// The hosts must have been observed with Query.Generations.
func buildUndo(in Input) Plan {
	p := Plan{Revision: in.Revision, Undo: in.Undo, Hosts: make([]HostPlan, 0, len(in.Hosts))}
	p.Services = servicePlans(in)
	waves := waves(p.Services)
	for i := range in.Hosts {
		h := &in.Hosts[i]
		d := Difference{Problems: h.Failed}
		var found []Visit
		if h.Observation != nil && h.Observation.Step != nil {
			found = visits(h, d, waves, allOf(h), nil, nil)
		} else if v, changes, ok := h.undo(in); ok {
			d.Changes = changes
			slices.SortStableFunc(v.Services, func(a, b string) int { return cmp.Or(waves[a]-waves[b], cmp.Compare(a, b)) })
			v.Actions = takersFirst(inOrder(v.Actions, v.Services), h.Observation.Units)
			found = []Visit{v}
		}
		p.Hosts = append(p.Hosts, hostPlan(h, d))
		p.Visits = append(p.Visits, found...)
	}
	if len(p.Visits) == 0 {
		p.Warnings = append(p.Warnings, in.Undo.nothing(in.Revision))
	}
	orderVisits(&p, in, waves)
	sizeBatches(&p)
	tellWindows(&p, in)
	return p
}

// allOf are a host's services, as what is not to be touched.
func allOf(h *HostInput) map[string]string {
	m := map[string]string{}
	for i := range h.Desired.Instances {
		m[h.Desired.Instances[i].Service] = "is undone after the step that was left"
	}
	return m
}

// nothing says why no host goes back.
func (b *Back) nothing(revision string) string {
	if b.Revision != "" {
		return fmt.Sprintf("nothing to undo: no host keeps a generation of revision %s with anything else than what is there", ShortRevision(b.Revision))
	}
	return fmt.Sprintf("nothing to undo: no host has what revision %s wants and keeps a generation of an earlier one", ShortRevision(revision))
}

// wants tells whether a kept generation is one to go back to.
func (b *Back) wants(then, now hostdriver.Manifest) bool {
	if b.Revision != "" {
		return strings.HasPrefix(then.Revision, b.Revision)
	}
	return then.Revision != now.Revision
}

// undo is one host's visit, with its changes.
func (h *HostInput) undo(in Input) (Visit, []Change, bool) {
	v := Visit{Host: h.Desired.Host.Name, Written: true, Before: map[string]string{}}
	o := h.Observation
	if o == nil || h.Skip != "" || h.Hold[""] != "" {
		return v, nil, false
	}
	for _, n := range slices.Backward(o.Kept) {
		old, known := o.Generations[n]
		if !known || n >= o.Manifest.Generation || !in.Undo.wants(old, o.Manifest) {
			continue
		}
		var changes []Change
		for i := range h.Desired.Instances {
			inst := &h.Desired.Instances[i]
			name := inst.Service
			if _, skipped := in.Skip[name]; skipped || h.holds(name) != "" || in.Undo.Revision == "" && brings(h, inst) {
				continue
			}
			now, then := o.Manifest.Of(name), old.Of(name)
			if len(now) == 0 || len(then) == 0 || slices.Equal(meanings(now), meanings(then)) {
				continue
			}
			changes = append(changes, undoChanges(v.Host, name, now, then, old)...)
			v.Services, v.Disturbs = append(v.Services, name), append(v.Disturbs, name)
			v.Drains = append(v.Drains, name)
			changes = append(changes, v.undoUnits(name, now, then, o)...)
		}
		if len(v.Services) > 0 {
			v.Undo = &Undone{Generation: n, Revision: old.Revision, Reason: in.Undo.Reason}
			return v, changes, true
		}
	}
	return v, nil, false
}

// undoUnits restarts what ran then, and stops what did not.
func (v *Visit) undoUnits(service string, now, then []hostdriver.Entry, o *hostdriver.Observation) []Change {
	var out []Change
	act := func(unit string, verb hostdriver.UnitVerb, why string) {
		v.Actions = append(v.Actions, UnitAction{Service: service, Unit: unit, Verb: verb})
		out = append(out, Change{Host: v.Host, Service: service, Kind: KindProcess, Action: Action(verb), Subject: unit, Disruption: Restart, Reason: why})
	}
	started := func(es []hostdriver.Entry, name string) bool {
		return slices.ContainsFunc(es, func(e hostdriver.Entry) bool {
			return e.Kind == hostdriver.KindUnit && e.Name == name && e.State == "started"
		})
	}
	for _, e := range then {
		if e.Kind != hostdriver.KindUnit || e.State != "started" {
			continue
		}
		switch {
		case planted == "undo without restart":
		case o.Units[e.Name].Running():
			act(e.Name, hostdriver.VerbRestart, "goes back")
		default:
			act(e.Name, hostdriver.VerbStart, "goes back")
		}
		v.Watch = append(v.Watch, e.Name)
		v.Before[e.Name] = o.Units[e.Name].InvocationID
	}
	for _, e := range now {
		if e.Kind == hostdriver.KindUnit && e.State == "started" && !started(then, e.Name) {
			act(e.Name, hostdriver.VerbStop, "did not run then")
		}
	}
	return out
}

// kindOfEntry is as what an entry is shown.
var kindOfEntry = map[hostdriver.EntryKind]Kind{
	hostdriver.KindUser: KindUser, hostdriver.KindDirectory: KindDirectory, hostdriver.KindRelease: KindArtifact,
	hostdriver.KindLink: KindArtifact, hostdriver.KindFile: KindFile, hostdriver.KindUnit: KindUnit,
}

// undoChanges are what differs between two generations of a service.
func undoChanges(host, service string, now, then []hostdriver.Entry, old hostdriver.Manifest) []Change {
	var out []Change
	add := func(e hostdriver.Entry, a Action, why string) {
		if e.Kind == hostdriver.KindRelease {
			return // its link says so
		}
		out = append(out, Change{Host: host, Service: service, Kind: kindOfEntry[e.Kind], Action: a, Subject: e.Name, Disruption: Restart, Reason: why})
	}
	find := func(es []hostdriver.Entry, e hostdriver.Entry) (hostdriver.Entry, bool) {
		return hostdriver.Manifest{Entries: es}.Find(e.Kind, e.Name)
	}
	why := fmt.Sprintf("as in generation %d, of revision %s", old.Generation, ShortRevision(old.Revision))
	for _, e := range then {
		switch was, there := find(now, e); {
		case !there:
			add(e, ActionCreate, why)
		case was.Meaning() != e.Meaning():
			add(e, ActionUpdate, why)
		}
	}
	for _, e := range now {
		if _, there := find(then, e); !there {
			add(e, ActionDelete, fmt.Sprintf("generation %d did not have it", old.Generation))
		}
	}
	return out
}

// undoTarget is the manifest that a visit which undoes brings.
func (h *HostInput) undoTarget(v *Visit, current hostdriver.Manifest, next uint64) hostdriver.Manifest {
	m := hostdriver.Manifest{Generation: next, Revision: v.Undo.Revision}
	for _, e := range current.Entries {
		if !slices.Contains(v.Services, e.Service) {
			m.Entries = append(m.Entries, e)
		}
	}
	for _, e := range h.Observation.Generations[v.Undo.Generation].Entries {
		if slices.Contains(v.Services, e.Service) {
			m.Entries = append(m.Entries, e)
		}
	}
	m.Entries = sorted(m.Entries)
	return m
}

// undone is what is still not as a visit that undoes has brought it; nil where all is.
func (h *HostInput) undone(v *Visit, o hostdriver.Observation) *Change {
	c := Change{Host: v.Host, Service: first(v.Services), Kind: KindFile, Action: ActionUpdate}
	if o.Manifest.Generation != v.To {
		c.Subject, c.Reason = "the host", fmt.Sprintf("has generation %d, not %d", o.Manifest.Generation, v.To)
		return &c
	}
	for _, e := range o.Manifest.Entries {
		if slices.Contains(v.Services, e.Service) && differs(e, &o) {
			c.Service, c.Subject, c.Reason = e.Service, e.Name, "is not as the generation has it"
			return &c
		}
	}
	return nil
}
