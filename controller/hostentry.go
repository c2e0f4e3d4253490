package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
)

// hostEntry is what the controller knows of one host.
type hostEntry struct {
	name      string
	seen      *sighting // nil before the first look
	status    HostStatus
	instances []InstanceStatus
	live      map[string]rollout.Instance // by service, as health checks and balancers last said
	liveAt    time.Time                   // when they were asked
	conds     Conditions
	drift     []Drift
	glance    Glance
	// synced is the revision at which it was last found as it should be: what differs
	// from then on is drift, and no part of a rollout that has yet to come.
	synced      string
	rotates     bool                   // it was synced, until a secret's rotation went on
	settled     time.Time              // when a visit of ours last ended there: what was read before says nothing of it
	corrections map[string][]time.Time // by service and subject, when it was put right lately
	watch       *hostWatch
	dirty       bool   // it was seen to change while a rollout was under way
	left        string // why nothing can bring it to what is desired; "" where something can, or it is so
}

// sighting is what is kept of the last look at a host: what its status, its health checks
// and its watch need. All else that was read is let go, for a fleet has many hosts.
type sighting struct {
	desired     desired.HostState
	observation *hostdriver.Observation // its times, units and epoch; nil where the host did not answer
	revision    string
	status      HostStatus
	instances   []instanceSight
}

// sightingOf is of one host of a look.
func sightingOf(v *View, in *rollout.HostInput, plan rollout.HostPlan) *sighting {
	s := &sighting{desired: in.Desired, revision: v.Input.Revision}
	if o := in.Observation; o != nil {
		s.observation = &hostdriver.Observation{Host: o.Host, At: o.At, Took: o.Took, Units: o.Units, Epoch: o.Epoch, Holder: o.Holder}
	}
	s.status = HostStatus{Name: in.Desired.Host.Name, Reachable: in.Observation != nil, Reason: orWords(in.Skip, in.Reason)}
	if in.Skip == "" {
		s.status.Suspended, s.status.Reason = in.Hold[""] != "", both(in.Hold[""], in.Reason)
		s.instances = instanceSights(v, in, refusals(rollout.Plan{Hosts: []rollout.HostPlan{plan}})[plan.Host])
	}
	return s
}

// inventoryChanged brings the entries in line with a new inventory.
func (c *Controller) inventoryChanged(ctx context.Context, inv inventory.Inventory) {
	var synced syncedRecord
	if _, err := c.ledger.get(ctx, keySynced, &synced); err != nil {
		c.log.Error().Err(err).Msg("cannot read which hosts were in sync")
	}
	inSync := map[string]bool{}
	for _, name := range synced.Hosts {
		inSync[name] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order = inv.Names()
	wanted := map[string]bool{}
	for _, name := range c.order {
		wanted[name] = true
		if c.hosts[name] == nil {
			e := &hostEntry{name: name, live: map[string]rollout.Instance{}, corrections: map[string][]time.Time{}}
			if inSync[name] {
				e.synced = synced.Revision
			}
			e.status = HostStatus{Name: name, Reason: "not looked at yet"}
			c.hosts[name] = e
		}
	}
	for name, e := range c.hosts {
		if !wanted[name] {
			e.watch.stop()
			delete(c.hosts, name)
		}
	}
}

// looked takes what a look has found of its hosts into the entries, and tells of what
// turned.
func (c *Controller) looked(ctx context.Context, v *View) {
	plans := map[string]rollout.HostPlan{}
	for _, h := range v.Plan.Hosts {
		plans[h.Host] = h
	}
	sights := make([]*sighting, len(v.Input.Hosts))
	for i := range v.Input.Hosts {
		in := &v.Input.Hosts[i]
		sights[i] = sightingOf(v, in, plans[in.Desired.Host.Name])
	}
	var events []Event
	var old, oldHost string
	now := time.Now().UTC()
	c.mu.Lock()
	for i := range v.Input.Hosts {
		in := &v.Input.Hosts[i]
		e := c.hosts[in.Desired.Host.Name]
		if e == nil {
			continue // it left the inventory meanwhile
		}
		if o := in.Observation; o != nil && old == "" {
			old, oldHost = c.meet(e.name, o.Claim, o.Epoch), e.name
		}
		if o := in.Observation; o != nil && e.outdates(o) {
			e.dirty = true
			c.queue.Add(hostKey(e.name))
			continue
		}
		was := e.left
		events = append(events, e.take(sights[i], in, plans[e.name], c.idle(v, in, plans[e.name]), now)...)
		c.leaves(was, e.left, v.Input.Revision, now)
	}
	c.mu.Unlock()
	if old != "" {
		c.fenced(ctx, oldHost, old)
	}
	for _, ev := range events {
		c.record(ctx, ev)
	}
	c.changed()
}

// leaves draws for the fleet what follows from a look at one host: where it cannot be
// brought to what is desired, the fleet is not as desired, from now on; where it can
// again, the fleet is looked at. c.mu is held.
func (c *Controller) leaves(was, now, revision string, at time.Time) {
	switch {
	case was == "" && now != "" && c.conds.Get(Reconciled).Status == True:
		c.conds = c.conds.with(Condition{Type: Reconciled, Status: False, Reason: "Left", Message: now, ObservedRevision: revision}, at)
	case was != "" && now == "":
		c.queue.Add(fleetKey)
	}
}

// leftWhy is why nothing can be done about a host as it was last seen.
func (e *hostEntry) leftWhy(p rollout.HostPlan) string {
	switch {
	case !e.status.Reachable:
		return e.name + " does not answer"
	case len(p.Problems) > 0:
		return e.name + ": " + differs(p)
	}
	return ""
}

// outdates tells that the host was read later than o already, or changed by us since o
// was begun.
func (e *hostEntry) outdates(o *hostdriver.Observation) bool {
	if o.At.Add(-o.Took).Before(e.settled) {
		return true
	}
	return e.seen != nil && e.seen.observation != nil && e.seen.observation.At.After(o.At)
}

// take notes one look, and returns the events that it means. idle is what does not run of
// services that are held back.
func (e *hostEntry) take(s *sighting, in *rollout.HostInput, plan rollout.HostPlan, idle []rollout.Change, now time.Time) (events []Event) {
	first, before := e.seen == nil, e.left
	e.seen = s
	e.glance.At, e.glance.Error = now, in.Reason
	if in.Observation != nil {
		e.glance.Took, e.glance.Error = in.Observation.Took, ""
	}
	was := e.status.Reachable
	e.report()
	reachable := Condition{Type: Reachable, Status: truth(e.status.Reachable), Reason: "Observed", ObservedRevision: s.revision}
	if !e.status.Reachable {
		reachable.Reason, reachable.Message = "Unreachable", in.Reason
	}
	e.conds = e.conds.with(reachable, now)
	e.left = e.leftWhy(plan)
	switch {
	case was && !e.status.Reachable, first && !e.status.Reachable:
		events = append(events, Event{Type: Warning, Reason: ReasonHostLost, Host: e.name, Message: e.name + " does not answer: " + in.Reason})
	case !first && !was && e.status.Reachable:
		events = append(events, Event{Type: Normal, Reason: ReasonHostBack, Host: e.name, Message: e.name + " answers again"})
	}
	if in.Observation == nil {
		return events
	}
	if e.left != "" && e.left != before {
		for _, p := range plan.Problems {
			if !p.Refused { // of what was gone back from, the rollout tells
				events = append(events, Event{Type: Warning, Reason: ReasonProblem, Host: e.name, Service: p.Service, Revision: s.revision, Message: p.Words()})
			}
		}
	}
	if len(plan.Changes) == 0 && len(plan.Problems) == 0 && plan.Recover == nil {
		e.synced, e.rotates = s.revision, false
	}
	sync := Condition{Type: SyncedType, Status: truth(len(plan.Changes) == 0 && len(plan.Problems) == 0), Reason: "AsDesired", ObservedRevision: s.revision}
	if sync.Status == False {
		sync.Reason, sync.Message = "Differs", differs(plan)
	}
	e.conds = e.conds.with(sync, now)
	drift := driftOf(in, plan, idle, e.synced == s.revision)
	for i := range drift {
		d := &drift[i]
		if old := slices.IndexFunc(e.drift, func(o Drift) bool { return o.Service == d.Service && o.Subject == d.Subject }); old >= 0 {
			d.Since = e.drift[old].Since
			if was := e.drift[old]; was.Class == DriftFlapping && now.Before(was.Next) {
				d.Class, d.Corrected, d.Next = was.Class, was.Corrected, was.Next // it was told
			}
			continue
		}
		d.Since = now
		t := Warning
		if d.Class == DriftForeign {
			t = Normal
		}
		events = append(events, Event{Type: t, Reason: ReasonDrift, Host: d.Host, Service: d.Service, Revision: s.revision,
			Message: fmt.Sprintf("%s drift on %s: %s: %s", d.Class, d.Host, d.Subject, d.Reason)})
	}
	e.drift = drift
	return events
}

// report makes the host's part of the Report from what was seen and what is known live.
func (e *hostEntry) report() {
	wanted := map[string]*desired.Instance{}
	for i := range e.seen.desired.Instances {
		wanted[e.seen.desired.Instances[i].Service] = &e.seen.desired.Instances[i]
	}
	e.status, e.instances = e.seen.status, make([]InstanceStatus, 0, len(e.seen.instances))
	for i := range e.seen.instances {
		s := &e.seen.instances[i]
		var live rollout.Instance
		if inst := wanted[s.Service]; inst != nil && s.judged {
			live = rollout.JudgeUnits(inst, e.seen.observation.Units)
			if known, ok := e.live[s.Service]; ok && live.Up && !known.Up && e.liveAt.After(e.settled) {
				live = known
			}
		}
		e.instances = append(e.instances, s.with(live))
	}
}

// differs is a host's difference in a few words.
func differs(p rollout.HostPlan) string {
	var words []string
	for _, x := range p.Problems {
		words = append(words, x.Words())
	}
	for _, c := range p.Changes {
		words = append(words, c.Subject+": "+c.Reason)
	}
	return firstOf(words)
}

// driftOf is what differs on a host that was as desired before; where it was not, what
// differs is yet to be rolled out, and only what does not run of what is held back is told,
// and what is not ours.
func driftOf(in *rollout.HostInput, plan rollout.HostPlan, idle []rollout.Change, was bool) []Drift {
	var out []Drift
	for _, ch := range idle {
		out = append(out, Drift{Host: plan.Host, Service: ch.Service, Subject: ch.Subject, Class: DriftCorrective, Reason: ch.Reason})
	}
	for _, ch := range plan.Changes {
		if !was {
			break
		}
		if slices.ContainsFunc(plan.Problems, func(p rollout.Problem) bool { return p.Refused && p.Service == ch.Service }) {
			continue // it was gone back from
		}
		d := Drift{Host: plan.Host, Service: ch.Service, Subject: ch.Subject, Class: DriftCorrective, Reason: ch.Reason, Keys: ch.Keys}
		if ch.Stale {
			d.Class = DriftStale
		}
		out = append(out, d)
	}
	for i := range in.Desired.Instances {
		inst := &in.Desired.Instances[i]
		for _, u := range inst.Units {
			for _, path := range foreignDropIns(in.Observation, u.Name) {
				out = append(out, Drift{Host: plan.Host, Service: inst.Service, Subject: path, Class: DriftForeign, Reason: "a drop-in of " + u.Name + " that is not evenkeel's"})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Drift) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Subject, b.Subject))
	})
	return out
}

// foreignDropIns are drop-ins of a unit that evenkeel did not put there and that no
// package brought.
func foreignDropIns(o *hostdriver.Observation, unit string) []string {
	var out []string
	for _, path := range o.Units[unit].DropIns {
		if _, ours := o.Manifest.Find(hostdriver.KindFile, path); !ours {
			out = append(out, path)
		}
	}
	return out
}

// syncedHosts are the hosts that are as a revision wants them.
func (c *Controller) syncedHosts(revision string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.hosts)) {
		if c.hosts[name].synced == revision {
			out = append(out, name)
		}
	}
	return out
}
