package main

import (
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/test/sim/world"
)

// checkStep judges one step of the engine.
func (s *simulation) checkStep(c *controller, before rollout.State, e rollout.Event, cmds []rollout.Command) {
	if s.secrets {
		s.checkSecrets("state", c.state)
		s.checkSecrets("event", e)
		s.checkSecrets("command", cmds)
	}
	for i := range c.state.Visits {
		v, was := &c.state.Visits[i], &before.Visits[i]
		if was.Phase == rollout.PhasePending && v.Phase != rollout.PhasePending {
			s.checkBegin(c, v)
		}
		if !touches(was.Phase) && touches(v.Phase) {
			s.checkWindows(c, v)
		}
		if settles(v) && !settles(was) {
			s.letGo(v)
		}
		if was.Phase != rollout.PhaseEnded && v.Phase == rollout.PhaseEnded {
			s.checkVisitEnd(c, v)
		}
	}
}

// checkBegin is S2 and the order of services and batches: what must be so when a
// visit begins.
func (s *simulation) checkBegin(c *controller, v *rollout.Visit) {
	st := &c.state
	if st.Halted != nil || st.Stopping != "" {
		s.violated("S2", "the visit of %s begins although the rollout stops", v.Host)
	}
	if c.paused && !v.Recover {
		s.violated("pause", "the visit of %s begins although the rollout is paused", v.Host)
	}
	if v.Quiet {
		return
	}
	for i := range st.Visits {
		if w := &st.Visits[i]; w.ID != v.ID && !w.Quiet {
			s.checkEarlier(c, v, w)
		}
	}
	for _, name := range v.Disturbs {
		if !v.Recover && !s.mending(c, v) {
			s.checkBatch(c, v, name)
		}
		if !v.Recover {
			s.checkFollows(c, v, name)
		}
		s.checkLooked(c, v, name)
	}
}

// tooOld is the age of a look by which nothing may be disturbed any more: what the
// engine allows, how long it tries again where nobody answers, and what a command may
// take on top.
const tooOld = 15*time.Second + 20*time.Second + quickOp + 5*time.Second

// checkLooked is S1's other half: the budget is reckoned by what was seen lately.
func (s *simulation) checkLooked(c *controller, v *rollout.Visit, service string) {
	for _, in := range s.of(service) {
		l, ok := c.looks[service][in.host.Name]
		if age := s.world.Now() - l.at; c.wants(in) && (!ok || age > tooOld) {
			s.violated("S1", "the visit of %s goes on by a look at %s on %s of %s ago", v.Host, service, in.host.Name, age)
		}
	}
}

// leftOut tells that a visit was lost before anything was done on its host, and that all
// its services say that such a host is left out.
func leftOut(c *controller, v *rollout.Visit) bool {
	if v.Result != rollout.ResultLost || v.Recorded || v.Recover || v.Switched || v.Restarted || v.LeftDrained() {
		return false
	}
	return !slices.ContainsFunc(v.Concerns(), func(name string) bool {
		return slices.ContainsFunc(c.state.Services, func(s rollout.ServiceState) bool {
			return s.Service == name && s.Strategy.OnUnreachable != "skip"
		})
	})
}

// checkEarlier judges one other visit at the moment when v begins.
func (s *simulation) checkEarlier(c *controller, v, w *rollout.Visit) {
	switch {
	case w.Active() && (w.Tries > 0 || w.Failing != ""):
		s.violated("S2", "the visit of %s begins while that of %s is in trouble: %s %s", v.Host, w.Host, w.Phase, w.Reason)
	case leftOut(c, w):
	case w.Phase == rollout.PhaseEnded && w.Result != rollout.ResultDone:
		s.violated("S2", "the visit of %s begins after that of %s ended %s", v.Host, w.Host, w.Result)
	case w.Phase == rollout.PhaseEnded || settles(w):
		for _, name := range w.Disturbs {
			s.checkStillWell(c, v, w, name)
		}
	}
	if v.Recover || w.Phase == rollout.PhaseEnded {
		return
	}
	if s.after(v, w) && !s.mending(c, v) && !s.leadsTo(c, v, w, map[int]bool{}) {
		s.violated("order", "%s on %s (%d) begins before %s on %s (%d, %q) has ended", v.Services, v.Host, v.ID, w.Services, w.Host, w.ID, w.Phase)
	}
}

// mending tells that something that v brings is down, or was by the last look: it may go
// before its turn.
func (s *simulation) mending(c *controller, v *rollout.Visit) bool {
	return slices.ContainsFunc(slices.Concat(v.Disturbs, v.Services), func(name string) bool {
		in := s.by[[2]string{v.Host, name}]
		l, ok := c.looks[name][v.Host]
		return in != nil && (!in.up || ok && in.since > l.at)
	})
}

// after tells whether v has a service that comes after one of w's, and which v has not.
func (s *simulation) after(v, w *rollout.Visit) bool {
	for _, x := range s.sc.Services {
		if !slices.Contains(v.Services, x.Name) {
			continue
		}
		for _, a := range x.After {
			if slices.Contains(w.Services, a) && !slices.Contains(v.Services, a) {
				return true
			}
		}
	}
	return false
}

// leadsTo tells whether w must come after v by way of others: then the services of
// the two hosts contradict one another, and either may go first.
func (s *simulation) leadsTo(c *controller, v, w *rollout.Visit, seen map[int]bool) bool {
	if s.after(w, v) {
		return true
	}
	seen[w.ID] = true
	for i := range c.state.Visits {
		x := &c.state.Visits[i]
		if !seen[x.ID] && !x.Quiet && s.after(w, x) && s.leadsTo(c, v, x, seen) {
			return true
		}
	}
	return false
}

// checkStillWell: a host that this rollout has changed is down again, and that could
// be known.
func (s *simulation) checkStillWell(c *controller, v, w *rollout.Visit, service string) {
	in := s.by[[2]string{w.Host, service}]
	l, ok := c.looks[service][w.Host]
	if in == nil || !slices.Contains(v.Disturbs, service) || !ok || in.up || in.since > l.at || l.at < c.began+w.Since {
		return // while its visit lasted, it was down for that
	}
	s.violated("S2", "the visit of %s begins while %s on %s, which this rollout has changed, is down", v.Host, service, w.Host)
}

// checkBatch reckons the batches of a service anew.
func (s *simulation) checkBatch(c *controller, v *rollout.Visit, service string) {
	var spec []string
	for _, x := range s.sc.Services {
		if x.Name == service {
			spec = x.Strategy.Batches
		}
	}
	if len(spec) == 0 || slices.Contains(v.Canary, service) {
		return
	}
	var in []*rollout.Visit
	for i := range c.state.Visits {
		if w := &c.state.Visits[i]; !w.Quiet && slices.Contains(w.Disturbs, service) && !slices.Contains(w.Canary, service) {
			in = append(in, w)
		}
	}
	first := 0 // of the batch that v is in
	for b := 0; ; b++ {
		n := count(spec[min(b, len(spec)-1)])
		size := max(1, n.Of(len(in), false))
		if slices.Contains(in[first:min(len(in), first+size)], v) || first+size >= len(in) {
			break
		}
		first += size
	}
	for _, w := range in[:first] {
		if w.Phase != rollout.PhaseEnded && !settles(w) {
			s.violated("order", "%s on %s begins before its earlier batch has ended on %s", service, v.Host, w.Host)
		}
	}
}

// settles tells that a visit has nothing left to do but to remove its record and to look
// once more: it went well so far, and everything it had drained is back.
func settles(w *rollout.Visit) bool {
	return (w.Phase == rollout.PhaseClear || w.Phase == rollout.PhaseVerify) && w.Failing == "" && len(w.Drained) == 0 && !w.Recover &&
		(w.InRotation || len(w.Drains) == 0)
}

// checkVisitEnd judges what a visit leaves.
func (s *simulation) checkVisitEnd(c *controller, v *rollout.Visit) {
	h := s.world.Host(v.Host)
	if v.Result == rollout.ResultDone && v.Reverting {
		s.violated("honesty", "the visit of %s went back and says it is done", v.Host)
	}
	if v.Result != rollout.ResultDone && v.Result != rollout.ResultReverted {
		return
	}
	if v.Undo != nil && v.Result == rollout.ResultDone {
		s.checkUndone(c, v)
	} else if v.Result == rollout.ResultDone && v.Written && h.Manifest.Revision != c.state.Revision && h.Epoch == c.epoch && h.Powered {
		s.violated("honesty", "the visit of %s is done, and the host has %s", v.Host, h.Manifest.Revision)
	}
	s.letGo(v)
	for _, unit := range v.Watch {
		u := h.Units[unit]
		in := s.by[[2]string{v.Host, u.Service}]
		if slices.Contains(v.Proves, u.Service) || c.hasProblem(v.Host, u.Service) || c.suspended(u.Service) || h.StartedAs[unit].InvocationID != u.Invocation() {
			continue // the plan tells why it is left; or systemd itself started it, and the next plan sees what it has read
		}
		if u.Proc == nil || in.edited(s, 0) || h.Epoch != c.epoch || u.Proc.Started > c.began+v.Since {
			continue
		}
		if path := in.behind(u); path != "" {
			s.violated("S6", "the visit of %s ended %s, and %s runs with another %s than the one on disk", v.Host, v.Result, unit, path)
		}
	}
}

// letGo: what a visit has proven is in nobody's hand any more.
func (s *simulation) letGo(v *rollout.Visit) {
	for _, name := range v.Disturbs {
		if in := s.by[[2]string{v.Host, name}]; in != nil {
			in.by = 0
			if !in.up { // it fell after it had been proven
				in.since = s.world.Now()
			}
		}
	}
}

// checkEnd judges a rollout that says that nothing more will happen.
func (s *simulation) checkEnd(c *controller) {
	st := &c.state
	s.outcomesTold(c)
	for i := range st.Visits {
		v := &st.Visits[i]
		if v.Active() {
			s.violated("honesty", "the rollout is done while %s is at %q", v.Host, v.Phase)
		}
		if v.Phase == rollout.PhasePending && st.Halted == nil && st.Stopping == "" {
			s.violated("honesty", "the rollout is done, gives no reason, and %s was not visited", v.Host)
		}
	}
	for _, in := range s.instances {
		if in.server == nil || in.server.State != world.ServerDrain || in.server.By.Controller != c.id || !c.wants(in) || s.books.strays[in.server] {
			continue
		}
		named := slices.ContainsFunc(st.NotDone(), func(v rollout.Visit) bool {
			return v.Host == in.host.Name && v.LeftDrained() && (v.Reason != "" || v.Phase == rollout.PhasePending)
		})
		if !named {
			s.violated("S3", "%s of %s is left drained and the rollout does not name it", in.service, in.host.Name)
		}
	}
}

// checkSettled is liveness once faults have stopped, while what people did stays: every
// pass ended, and either everything is as desired or a reason is given.
func (s *simulation) checkSettled() {
	s.checkRest("once faults had stopped")
	o := s.operator
	c := o.current
	if o.converged() {
		s.checkNothingLeft("although a pass found nothing to do")
		return
	}
	if c.state.Halted == nil && c.state.Stopping == "" && len(c.plan.Problems()) == 0 && len(c.plan.Unreachable()) == 0 && len(c.busy) == 0 && !s.flawed() {
		s.violated("liveness", "%d passes after the last fault neither everything is as desired nor a reason is given: %s", o.passes, o.last)
	}
	if st := c.state.Halted; st != nil && st.Reason == "" {
		s.violated("liveness", "the rollout halted without a reason")
	}
	if s.mustSettle() {
		s.violated("liveness", "nothing stands in the way, and %d passes after the last fault: %s", o.passes, o.last)
	}
	s.checkReverted(c)
}

// flawed tells that what was pushed last wants nothing anywhere, or dies again and again.
func (s *simulation) flawed() bool {
	r := s.sc.Revisions[s.operator.revision]
	return r.Empty || slices.ContainsFunc(r.Services, func(x Content) bool { return x.Bad != nil })
}

// mustSettle tells that nothing is left that could keep a fleet from converging.
func (s *simulation) mustSettle() bool {
	r := s.sc.Revisions[s.operator.revision]
	if r.Empty || len(s.mends) > 0 {
		return false
	}
	for _, x := range r.Services {
		if x.Bad != nil || x.Suspended {
			return false
		}
	}
	for _, x := range s.sc.Faults {
		switch x.Kind {
		case faultMaint, faultHandDrain, faultMask, faultHandStop, faultSticky, faultAdminJob:
			return false
		}
	}
	return true
}

// checkReverted: where a bad revision was the only trouble, everybody is served by the
// former one.
func (s *simulation) checkReverted(c *controller) {
	if !ownFaultsOnly(s.sc) || s.sc.Fresh || s.sc.Revisions[s.operator.revision].Empty || !s.alwaysReverts() {
		return
	}
	for _, in := range s.instances {
		if c.wants(in) && !in.serving && (in.server == nil || !s.books.strays[in.server]) {
			s.violated("liveness", "a bad revision was refused, and %s of %s does not serve any more: %s", in.service, in.host.Name, s.operator.last)
		}
	}
}

func (s *simulation) alwaysReverts() bool {
	for _, x := range s.sc.Services {
		if !x.Strategy.AutoRevert {
			return false
		}
	}
	return true
}

// checkConverged is liveness once everything is mended and a good revision is pushed.
func (s *simulation) checkConverged() {
	s.checkRest("in the end")
	if !s.operator.converged() {
		s.violated("liveness", "everything is mended, and %d passes later: %s", s.operator.passes, s.operator.last)
		return
	}
	s.checkNothingLeft("in the end")
	for _, in := range s.instances {
		if s.wantsNow(in, s.operator.revision) && !in.up {
			s.violated("liveness", "in the end %s of %s is not up", in.service, in.host.Name)
		}
	}
	for _, h := range s.world.Hosts {
		if f := h.Files[unitPath(foreignUnit)]; f == nil || h.Units[foreignUnit].Masked {
			s.violated("S11", "what is not ours on %s was touched", h.Name)
		}
	}
}

// allUp tells whether everything wanted is up.
func (s *simulation) allUp() bool {
	return !slices.ContainsFunc(s.instances, func(in *instance) bool { return s.wantsNow(in, s.operator.revision) && !in.up })
}

func (s *simulation) wantsNow(in *instance, revision int) bool {
	for i, h := range s.world.Hosts {
		if h == in.host {
			hs := s.catalog.state(revision, i)
			for j := range hs.Instances {
				if hs.Instances[j].Service == in.service {
					return true
				}
			}
		}
	}
	return false
}

// checkRest: nobody holds a lock.
func (s *simulation) checkRest(when string) {
	for _, h := range s.world.Hosts {
		if h.Locked() {
			s.violated("liveness", "%s the lock of %s is held", when, h.Name)
		}
	}
}

// checkNothingLeft: no record, journal or drain of ours.
func (s *simulation) checkNothingLeft(when string) {
	for _, h := range s.world.Hosts {
		if !h.Answers() {
			continue
		}
		if h.Step != nil {
			s.violated("liveness", "%s, %s has the record of a step", when, h.Name)
		}
		if h.Switching != nil {
			s.violated("liveness", "%s, %s has the journal of a switch", when, h.Name)
		}
	}
	for _, in := range s.instances {
		if in.server != nil && in.server.State == world.ServerDrain && in.server.By.Ours() && !s.books.strays[in.server] && s.operator.current.wants(in) {
			s.violated("S3", "%s, %s of %s is still drained by us", when, in.service, in.host.Name)
		}
	}
}

// hasProblem tells whether the plan names a problem of a service on a host.
func (c *controller) hasProblem(host, service string) bool {
	return slices.ContainsFunc(c.plan.Problems(), func(p rollout.Problem) bool { return p.Host == host && (p.Service == service || p.Service == "") })
}
