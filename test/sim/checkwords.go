package main

import (
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/test/sim/world"
)

// What holds beside S1 to S11: windows, racks, canaries, an operator's word, and what is
// not tried again. All of it is reckoned apart from the engine.

// touches tells whether a visit in that phase has begun to disturb something.
func touches(p rollout.Phase) bool {
	switch p {
	case rollout.PhasePending, rollout.PhasePrecheck, rollout.PhaseStage, rollout.PhaseHooks, rollout.PhaseRecord, rollout.PhaseBudget, rollout.PhaseEnded:
		return false
	}
	return true
}

// checkWindows: nothing is disturbed out of a window. What was begun within one, or
// left by somebody, is finished.
func (s *simulation) checkWindows(c *controller, v *rollout.Visit) {
	if v.Recover || v.Failing != "" {
		return
	}
	for _, name := range v.Disturbs {
		if now := world.Wall(s.world.Now()); s.shape(name) != nil && !open(s.shape(name).Strategy.Windows, now) {
			s.violated("window", "the visit of %s disturbs %s at %s, which is out of its windows", v.Host, name, now.Format("15:04:05"))
		}
	}
}

// checkApart: of one rack never two are down by us, nor one by us beside one that was
// known to be down. Who gets no traffic anyway may be touched.
func (s *simulation) checkApart(in *instance, a *world.Actor) {
	if !in.up || a.Back || !in.shape.Strategy.Spread || s.sc.Racks == 0 {
		return
	}
	c := s.controller(a)
	for _, o := range s.of(in.service) {
		if o == in || o.up || !c.wants(o) || s.rackOf(o) != s.rackOf(in) {
			continue
		}
		l, ok := c.lookedBefore(in.service, a.Sent)[o.host.Name]
		if in.shape.Strategy.OnUnreachable == "skip" && (l.lost || !o.host.Answers()) {
			continue
		}
		if mine, ok := c.lookedBefore(in.service, a.Sent)[in.host.Name]; ok && in.since > mine.at && in.by != c.id {
			return // it came up after the look, by which touching it took nobody down
		}
		if o.by == c.id || ok && o.since <= l.at {
			s.violated("spread", "%s of %s is taken down while %s, of the same %s, is down", in.service, in.host.Name, o.host.Name, s.rackOf(in))
		}
	}
}

func (s *simulation) rackOf(in *instance) string { return s.sc.rack(s.hostNumber(in.host)) }

func (s *simulation) hostNumber(h *world.Host) int { return slices.Index(s.world.Hosts, h) }

// checkFollows: beside the canaries, no host is brought a new revision before they were
// promoted, by the operator or, where the service says so, by themselves.
func (s *simulation) checkFollows(c *controller, v *rollout.Visit, service string) {
	st := s.shape(service).Strategy
	if st.Canary == "" || c.undo != nil || v.Quiet {
		return
	}
	h := c.hosts[v.Host]
	inst := h.Instance(service)
	if inst == nil || has(h.Observation.Manifest, inst) || c.promoted[service] || c.said[service] {
		return // gone, nothing new, or accepted
	}
	planned, begun, size := 0, 0, count(st.Canary)
	total := 0
	for _, o := range c.hosts {
		want := o.Instance(service)
		if want == nil {
			continue
		}
		total++
		if o.Observation != nil && has(o.Observation.Manifest, want) {
			planned++
		}
	}
	canaries := min(total, max(1, size.Of(total, false)))
	if planned > canaries {
		return // it was promoted before
	}
	var healthy time.Duration
	for i := range c.state.Visits {
		w := &c.state.Visits[i]
		if w.ID != v.ID && slices.Contains(w.Disturbs, service) && c.bringsTo(w.Host, service) && w.Phase != rollout.PhasePending && !leftOut(c, w) {
			begun++
			if w.Phase == rollout.PhaseEnded && slices.Contains(w.Canary, service) {
				healthy = max(healthy, w.Since)
			}
		}
	}
	switch {
	case planned+begun < canaries: // it is one itself
	case st.Promote != promoteItself:
		s.violated("canary", "%s on %s is brought something new, and nobody has promoted %s", service, v.Host, c.state.Revision)
	case c.state.At < healthy+seconds(st.PromoteAfter):
		s.violated("canary", "%s on %s is brought something new %s after its canaries were healthy; promote: %ds", service, v.Host, c.state.At-healthy, st.PromoteAfter)
	default:
		c.said[service] = true
	}
}

// bringsTo tells whether the plan found a host without what is desired of a service.
func (c *controller) bringsTo(host, service string) bool {
	h := c.hosts[host]
	inst := h.Instance(service)
	return inst != nil && h.Observation != nil && !has(h.Observation.Manifest, inst)
}

// has tells whether a generation has all of an instance.
func has(m hostdriver.Manifest, inst *desired.Instance) bool {
	for _, f := range inst.Files {
		if e, ok := m.Find(hostdriver.KindFile, f.Path); !ok || e.SHA256 != f.SHA256 {
			return false
		}
	}
	for _, a := range inst.Artifacts {
		if e, ok := m.Find(hostdriver.KindLink, a.Link); !ok || e.Target != a.Release {
			return false
		}
	}
	return true
}

// takenBack is what was taken back of a service on a host.
type takenBack struct {
	revision int
	at       time.Duration
	with     []string // services that were reverted in the same visit
	undo     bool
}

// Switched is world.Watcher's: what a host was taken back from is remembered, and
// forgotten once it was brought something.
func (s *simulation) Switched(h *world.Host, a *world.Actor, op hostdriver.Switch) {
	s.stats.Refusals += len(op.Refuse)
	if a.Ours() {
		s.goesBack(h, a, s.books.refused)
	}
}

// goesBack notes what a switch is about to take back, or has.
func (s *simulation) goesBack(h *world.Host, a *world.Actor, books map[[2]string]takenBack) {
	if a.Visit < 0 {
		return
	}
	c := s.controller(a)
	v := &c.state.Visits[a.Visit]
	if a.Back && v.Undo == nil && v.Outcome != rollout.ResultReverted {
		return // an admin's job was in the way: nothing speaks against what was brought
	}
	for _, name := range slices.Concat(v.Services, v.Removed) {
		key := [2]string{h.Name, name}
		if a.Back != (v.Undo != nil) && c.wants(s.by[key]) {
			books[key] = takenBack{revision: c.revision, at: s.world.Now(), with: v.Services, undo: v.Undo != nil}
		} else {
			delete(books, key)
		}
	}
}

// refuses tells whether what was taken back is still what a revision wants of a service:
// it, and all that was reverted with it.
func (s *simulation) refuses(x takenBack, service string, revision int) bool {
	names := []string{service}
	if !x.undo {
		names = x.with
	}
	for i := range s.sc.Services {
		was, now := s.sc.Revisions[x.revision], s.sc.Revisions[revision]
		if slices.Contains(names, s.sc.Services[i].Name) && (now.Empty || !same(&s.sc.Services[i], was.Services[i], now.Services[i])) {
			return false
		}
	}
	return true
}

// same tells whether two contents of a service are the same on a host.
func same(s *Service, a, b Content) bool {
	return a.Unit == b.Unit && a.Env == b.Env && a.Program == b.Program && (a.Config == b.Config || !s.Reloads) && a.Gone == b.Gone
}

// checkRefused: what a host has refused is brought to no host again, until the revision
// changes or somebody insists.
func (s *simulation) checkRefused(c *controller, h *world.Host, a *world.Actor) {
	if a.Back || a.Visit < 0 || c.retry || c.undo != nil {
		return
	}
	for _, name := range c.state.Visits[a.Visit].Services {
		if !c.bringsTo(h.Name, name) {
			continue
		}
		for key, x := range s.books.refused {
			if key[1] == name && x.at < c.lookedAt && c.hosts[key[0]].Observation != nil && s.refuses(x, name, c.revision) {
				s.violated("refused", "%s is brought %s of %s again, which was taken back on %s", h.Name, name, revisionID(c.revision), key[0])
			}
		}
	}
}

// checkRefusals: nothing is kept back that nobody has taken back.
func (s *simulation) checkRefusals(c *controller) {
	for _, p := range c.plan.Problems() {
		if !p.Refused {
			continue
		}
		justified := false
		for _, books := range []map[[2]string]takenBack{s.books.refused, s.books.goingBack} {
			for key, x := range books {
				justified = justified || key[1] == p.Service && s.refuses(x, p.Service, c.revision)
			}
		}
		if !justified {
			s.violated("refused", "%s of %s is not brought to %s: %s; but nobody has taken it back", p.Service, revisionID(c.revision), p.Host, p.Reason)
		}
	}
}

// checkUndone: who is undone has an older generation than the one it had, and runs what
// that brought.
func (s *simulation) checkUndone(c *controller, v *rollout.Visit) {
	h := s.world.Host(v.Host)
	s.stats.Undone++
	if !h.Powered || h.Epoch != c.epoch {
		return
	}
	was := c.hosts[v.Host].Observation.Manifest
	if revisionNumber(h.Manifest.Revision) >= revisionNumber(was.Revision) {
		s.violated("undo", "%s is undone, and had %s and has %s", v.Host, was.Revision, h.Manifest.Revision)
	}
	old := c.hosts[v.Host].Observation.Generations[v.Undo.Generation]
	for _, name := range v.Services {
		if !slices.Equal(old.Of(name), h.Manifest.Of(name)) {
			s.violated("undo", "%s is undone, and %s is not as generation %d had it", v.Host, name, old.Generation)
		}
	}
	for _, unit := range v.Watch {
		u := h.Units[unit]
		in := s.by[[2]string{v.Host, u.Service}]
		if st := h.StartedAs[unit]; u.Proc != nil && st.InvocationID == u.Invocation() && st.Generation != h.Manifest.Generation && !in.edited(s, 0) {
			s.violated("undo", "%s is undone, and %s runs with generation %d", v.Host, unit, st.Generation)
		}
	}
}
