package rollout

import (
	"path"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// What the commands of a visit are on its host, as operations of package hostdriver.
// It is pure, so that package controller and the simulation say the same to a host.

// Instance is what the revision wants of a service on this host, or nil.
func (h *HostInput) Instance(service string) *desired.Instance {
	for i := range h.Desired.Instances {
		if h.Desired.Instances[i].Service == service {
			return &h.Desired.Instances[i]
		}
	}
	return nil
}

// UnitTimeout bounds one job of a unit: nothing is to be learned after the healthy
// deadline.
func (s State) UnitTimeout(v *Visit) time.Duration {
	t := 90 * time.Second
	for i := range s.Services {
		if slices.Contains(v.Concerns(), s.Services[i].Service) {
			t = max(t, s.Services[i].Strategy.HealthyDeadline)
		}
	}
	return t
}

// StepRecord is what the host keeps of the step in hand. It may replace the record
// that the visit recovers from, and no other.
func (s State) StepRecord(v *Visit, h *HostInput, f hostdriver.Fence, at time.Time) hostdriver.StepRecord {
	r := hostdriver.StepRecord{
		Rollout: s.ID, Revision: s.Revision, Services: v.Concerns(), Phase: string(v.Phase), From: v.From, To: v.To,
		Epoch: f.Epoch, Holder: f.Holder, Since: at.UTC().Truncate(time.Second), Drained: v.Drained, Before: v.RanBefore(),
	}
	if o := h.Observation; o != nil && o.Step != nil {
		r.Over = o.Step.Epoch
		if v.To == 0 && v.Former != nil { // it brings nothing itself: whoever comes next needs to know as much as this one
			r.From, r.To = o.Step.From, o.Step.To
		}
	}
	return r
}

// Begun tells who has begun a step on the host since the plan was made, of that what
// an observation shows; "" where nobody has.
func (h *HostInput) Begun(o hostdriver.Observation, f hostdriver.Fence) string {
	if o.Step == nil || o.Step.Epoch == f.Epoch || h.Observation.Step != nil && h.Observation.Step.Epoch == o.Step.Epoch {
		return ""
	}
	return orElse(o.Step.Holder, "somebody")
}

// Needs is the room and the units that a visit depends on. Units are not asked for of which
// o, a look of a moment ago, shows that nothing is in the way.
func (h *HostInput) Needs(v *Visit, o hostdriver.Observation) hostdriver.Precheck {
	p := hostdriver.Precheck{NeedBytes: map[string]int64{}, NeedInodes: map[string]int64{}}
	for _, name := range v.Services {
		inst := h.Instance(name)
		if inst == nil || v.Kept {
			continue
		}
		for i := range inst.Files {
			dir := path.Dir(inst.Files[i].Path)
			p.NeedBytes[dir] += int64(inst.Files[i].Content.Len())
			p.NeedInodes[dir]++
		}
		for _, a := range inst.Artifacts {
			if h.Observation.Paths[a.Release].Type == hostdriver.PathAbsent {
				dir := path.Dir(a.Release)
				p.NeedBytes[dir] += max(0, a.Size) // not known of what the host fetches, which sees for itself
				if a.Form == hostdriver.FormTar {  // as it comes, and unpacked
					p.NeedBytes[dir] += max(0, a.StreamSize)
				}
				p.NeedInodes[dir]++
				if a.Pull != nil {
					p.Pulls = append(p.Pulls, release(&a))
				}
			}
		}
	}
	for _, a := range v.Actions {
		if u, told := o.Units[a.Unit]; told && u.Free() {
			continue
		}
		if !slices.Contains(p.Units, a.Unit) {
			p.Units = append(p.Units, a.Unit)
		}
	}
	if !v.Written {
		p.Trial = h.Trial(v)
	}
	return p
}

// Stage is the generation that a visit brings, over the manifest and the kept
// generations that the host has now.
func (h *HostInput) Stage(v *Visit, current hostdriver.Manifest, kept []uint64) hostdriver.Stage {
	next := NextGeneration(hostdriver.Observation{Manifest: current, Kept: kept})
	if v.Undo != nil { // the host has it all
		return hostdriver.Stage{Manifest: h.undoTarget(v, current, next)}
	}
	op := hostdriver.Stage{Manifest: Target(current, h.Desired, v.Services, v.Removed, next), Blobs: map[string]hostdriver.Content{}, Trial: h.Trial(v)}
	for _, name := range v.Services {
		inst := h.Instance(name)
		if inst == nil {
			continue
		}
		for i := range inst.Files {
			if f := &inst.Files[i]; !onHost(f) && !toSeal(f) {
				op.Blobs[f.SHA256] = f.Content
			}
		}
		for _, a := range inst.Artifacts {
			op.Releases = append(op.Releases, release(&a))
		}
		for _, img := range inst.Images {
			if !slices.Contains(op.Images, img) {
				op.Images = append(op.Images, img)
			}
		}
	}
	return op
}

// release is an artifact as it comes to a host.
func release(a *desired.Artifact) hostdriver.Release {
	r := hostdriver.Release{Path: a.Release, SHA256: a.SHA256, Size: a.Size, Form: a.Form, Owner: a.Owner, Group: a.Group, Pull: a.Pull, Open: a.Open}
	if a.Form == hostdriver.FormTar {
		r.Stream, r.Size = a.StreamSHA256, a.StreamSize
	}
	return r
}

// Switch is a visit's switch, or its way back, over the manifest that the host has now.
// What is written must still be as the plan saw it, or as an earlier visit has made it.
// What the plan saw changed by hand of services that the visit does not have is left as
// it is: they may be suspended.
func (h *HostInput) Switch(v *Visit, current hostdriver.Manifest, record hostdriver.StepRecord) hostdriver.Switch {
	x := exchange{h: h, mine: map[string]bool{}}
	for _, name := range v.Services {
		if inst := h.Instance(name); inst != nil && v.Undo == nil {
			for _, e := range Entries(inst) {
				x.asSeen(e)
			}
		}
	}
	for _, e := range current.Entries {
		if slices.Contains(v.Services, e.Service) || slices.Contains(v.Removed, e.Service) {
			x.asSeen(e)
		} else if !x.mine[e.Name] {
			x.asItWas(e)
		}
	}
	op := hostdriver.Switch{To: v.To, Expect: x.expect, Leave: x.leave, Keep: h.keep(), Record: &record}
	if v.Undo == nil && !v.Reverting {
		op.Alike, op.Renew = h.alike(v), h.renew(v)
		op.Unknown, op.Fresh = h.unknown(v)
	}
	op.Back, op.Reenable = v.Reverting, h.reenable(v, current)
	switch {
	case v.Reverting && v.Undo != nil:
		op.To, op.Expect, op.Forget = v.From, nil, v.Services
	case v.Reverting && v.Outcome != ResultReverted: // nothing speaks against what was brought
		op.To, op.Expect = v.From, nil
	case v.Reverting:
		op.To, op.Expect = v.From, nil
		op.Refuse = h.refusals(v, record.Revision, v.Failing, hostdriver.ByRevert, record.Since)
	case planted == "undo not remembered":
	case v.Undo != nil:
		op.Refuse = h.refusals(v, record.Revision, v.Undo.Reason, hostdriver.ByUndo, record.Since)
	default:
		op.Forget = append(slices.Clone(v.Services), v.Removed...)
	}
	if planted == "hand's edit overwritten" {
		op.Expect = nil
	}
	return op
}

// alike are the unit files of a visit whose new text means what the plan saw on disk.
func (h *HostInput) alike(v *Visit) []hostdriver.Expect {
	var out []hostdriver.Expect
	for _, name := range v.Services {
		inst := h.Instance(name)
		if inst == nil {
			continue
		}
		for i := range inst.Files {
			if f := &inst.Files[i]; meansTheSame(f, h.Observation.Paths[f.Path]) {
				out = append(out, hostdriver.Expect{Path: f.Path, SHA256: f.SHA256})
			}
		}
	}
	return out
}

// unknown are the units of a visit that had no file when the plan was made, and those of
// them for which systemd need not be told to read its files.
func (h *HostInput) unknown(v *Visit) (all, fresh []string) {
	for _, name := range v.Services {
		inst := h.Instance(name)
		if inst == nil {
			continue
		}
		for i := range inst.Units {
			u := &inst.Units[i]
			if got, told := h.Observation.Units[u.Name]; !told || got.Load != "not-found" || got.File != "" {
				continue
			}
			all = append(all, u.Name)
			if isFresh(inst, u) {
				fresh = append(fresh, u.Name)
			}
		}
	}
	return all, fresh
}

// keep is how many generations the host keeps: of what its services say, the most.
func (h *HostInput) keep() int {
	n := 0
	for i := range h.Desired.Instances {
		n = max(n, h.Desired.Instances[i].Strategy.KeepGenerations)
	}
	return n
}

// exchange gathers what a switch must find, and what it must leave.
type exchange struct {
	h      *HostInput
	mine   map[string]bool // entries of the visit's own services
	expect []hostdriver.Expect
	leave  []string
}

// asSeen takes an entry that the visit may change: it must be as the plan saw it.
func (x *exchange) asSeen(e hostdriver.Entry) {
	got := x.h.Observation.Paths[e.Name]
	switch {
	case x.mine[e.Name] || e.Kind == hostdriver.KindUser:
		return
	case e.Kind != hostdriver.KindFile:
	case got.Type == hostdriver.PathFile && got.SHA256 != "":
		x.expect = append(x.expect, hostdriver.Expect{Path: e.Name, SHA256: got.SHA256})
	case got.Type == hostdriver.PathAbsent:
		x.expect = append(x.expect, hostdriver.Expect{Path: e.Name})
	}
	x.mine[e.Name] = true
}

// asItWas takes an entry that stays: one that the plan saw changed is left.
func (x *exchange) asItWas(e hostdriver.Entry) {
	was, known := x.h.Observation.Manifest.Find(e.Kind, e.Name)
	switch {
	case e.Kind == hostdriver.KindUser:
	case known && was == e && differs(e, x.h.Observation):
		if planted != "others' files put back" {
			x.leave = append(x.leave, e.Name)
		}
	case e.Kind == hostdriver.KindFile:
		x.expect = append(x.expect, hostdriver.Expect{Path: e.Name, SHA256: e.SHA256})
	}
}

// Mend is the switch that takes back one that was cut. What a hand had changed before of
// services that the step did not have in hand is left as it is.
func (h *HostInput) Mend() hostdriver.Switch {
	o := h.Observation
	op := hostdriver.Switch{To: o.Switching.From, Keep: h.keep()}
	if o.Step == nil {
		return op
	}
	for _, e := range o.Manifest.Entries {
		if !slices.Contains(o.Step.Services, e.Service) && differs(e, o) {
			op.Leave = append(op.Leave, e.Name)
		}
	}
	return op
}

// differs tells whether a managed thing is surely not as the manifest has it.
func differs(e hostdriver.Entry, o *hostdriver.Observation) bool {
	got := o.Paths[e.Name]
	switch e.Kind {
	case hostdriver.KindFile:
		return got.Type != "" && (got.Type != hostdriver.PathFile || got.SHA256 != e.SHA256 || !sameAccess(got, e.Owner, e.Group, e.Mode))
	case hostdriver.KindLink:
		return got.Type != "" && (got.Type != hostdriver.PathSymlink || got.Target != e.Target)
	case hostdriver.KindDirectory:
		return got.Type != "" && (got.Type != hostdriver.PathDir || !sameAccess(got, e.Owner, e.Group, e.Mode))
	case hostdriver.KindUnit:
		u, told := o.Units[e.Name]
		return told && (u.Masked() || e.Enabled == "yes" && u.File != "enabled" || e.Enabled == "no" && (u.File == "enabled" || u.File == "enabled-runtime"))
	}
	return false
}

// UnitActions are a visit's unit actions for the host: the stops, or all others.
func (h *HostInput) UnitActions(v *Visit, stops bool) []hostdriver.UnitAction {
	var out []hostdriver.UnitAction
	for _, a := range v.Actions {
		if (a.Verb == hostdriver.VerbStop) != stops {
			continue
		}
		x := hostdriver.UnitAction{Unit: a.Unit, Verb: a.Verb, Generation: v.To}
		if (a.Verb == hostdriver.VerbRestart || a.Verb == hostdriver.VerbReload) && planted != "restarts without looking" {
			x.OnlyIf = v.Before[a.Unit]
		}
		if inst := h.Instance(a.Service); inst != nil && v.Undo == nil && !v.Kept {
			for i := range inst.Units {
				if inst.Units[i].Name == a.Unit {
					x.Inputs = StartInputs(inst, &inst.Units[i])
				}
			}
		}
		out = append(out, x)
	}
	return out
}

// RevertActions restart what runs with the generation that was taken back: every
// process that is not the one from before, and what does not run at all. now is how
// the units are once the former generation is on disk. What others need goes first: they
// would fail as they did before, and nothing starts them once it is back.
func (h *HostInput) RevertActions(v *Visit, now map[string]hostdriver.UnitState) []hostdriver.UnitAction {
	var order []UnitAction
	for _, unit := range v.Watch {
		order = append(order, UnitAction{Unit: unit, Verb: hostdriver.VerbRestart})
	}
	var out []hostdriver.UnitAction
	for _, a := range takersFirst(order, h.Observation.Units) {
		unit := a.Unit
		u := now[unit]
		if (u.Active == "active" || u.Active == "reloading") && u.InvocationID == v.Before[unit] {
			continue
		}
		if u.Load == "not-found" { // the former generation does not have it
			if u.Running() {
				out = append(out, hostdriver.UnitAction{Unit: unit, Verb: hostdriver.VerbStop})
			}
			continue
		}
		// What the former generation's process had read is known only if it still ran
		// when this visit was planned.
		var inputs map[string]string
		if was := h.Observation.Started[unit]; was.InvocationID == v.Before[unit] {
			inputs = was.Inputs
		}
		onlyIf, told := v.Replace[unit]
		if !told {
			onlyIf = u.InvocationID
		}
		out = append(out, hostdriver.UnitAction{Unit: unit, Verb: hostdriver.VerbRestart, OnlyIf: onlyIf, Generation: v.From, Inputs: inputs})
	}
	return out
}

// SampleUnits is what units add to a Sample; up tells whether all run, without which no
// health check need be asked.
func (v *Visit) SampleUnits(now map[string]hostdriver.UnitState) (s Sample, up bool) {
	s, up = Sample{Units: map[string]UnitSample{}, Checks: true}, true
	for _, unit := range v.Watch {
		u := now[unit]
		up = up && (u.Active == "active" || u.Active == "reloading")
		s.Units[unit] = UnitSample{Active: u.Active, Sub: u.Sub, Invocation: u.InvocationID, PID: u.MainPID, Restarts: u.Restarts, Words: ResultWords(u)}
	}
	return s, up
}

// Invocations are the InvocationIDs of a visit's units.
func (v *Visit) Invocations(now map[string]hostdriver.UnitState) map[string]string {
	m := make(map[string]string, len(v.Watch))
	for _, unit := range v.Watch {
		m[unit] = now[unit].InvocationID
	}
	return m
}

// Remaining is the first thing that still differs of the visit's services; nil where
// nothing does.
func (h *HostInput) Remaining(v *Visit, o hostdriver.Observation, salt string) *Change {
	switch {
	case v.Undo != nil:
		return h.undone(v, o)
	case v.Kept:
		return h.remains(v, o)
	}
	d := Diff(Settle(h.Desired, o), o, DiffOptions{Salt: salt, Terse: true})
	for i := range d.Changes {
		if slices.Contains(v.Services, d.Changes[i].Service) {
			return &d.Changes[i]
		}
	}
	return nil
}

func sameAccess(got hostdriver.PathState, owner, group string, mode uint32) bool {
	return got.Owner == owner && got.Group == group && got.Mode == mode
}

// Leaves tells whether a service goes away from a host by this rollout, or has gone by
// the manifest that the host has now. What was drained of it then stays so.
func (s State) Leaves(host, service string, current hostdriver.Manifest) bool {
	return !slices.ContainsFunc(current.Entries, func(e hostdriver.Entry) bool { return e.Service == service }) ||
		slices.ContainsFunc(s.Visits, func(v Visit) bool { return v.Host == host && slices.Contains(v.Removed, service) })
}
