package main

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/test/sim/world"
)

// books is what the checks remember.
type books struct {
	epochs   map[string]uint64 // the highest each host obeyed
	restarts map[restartKey]int
	drained  map[*world.Server]world.Actor
	// strays were drained by a controller that stood still after it had asked whether
	// the host still obeyed it. A balancer knows no epochs: only a person sees these.
	strays map[*world.Server]bool
	// refused is what was taken back on a host, by host and service.
	refused   map[[2]string]takenBack
	migrated  map[string]bool         // hooks that ended well, by ID
	migrating map[string]*world.Host  // those that run
	goingBack map[[2]string]takenBack // the same, when it was begun
}

// restartKey is what may be restarted once.
type restartKey struct {
	controller, round, visit int
	unit                     *world.Unit
	back                     bool
}

func (b *books) open() {
	b.epochs, b.restarts, b.drained = map[string]uint64{}, map[restartKey]int{}, map[*world.Server]world.Actor{}
	b.migrated, b.migrating = map[string]bool{}, map[string]*world.Host{}
	b.strays = map[*world.Server]bool{}
	b.refused, b.goingBack = map[[2]string]takenBack{}, map[[2]string]takenBack{}
}

func (s *simulation) controller(a *world.Actor) *controller { return s.controllers[a.Controller-1] }

// checkDisruption is S1: what is up may be disrupted only if, with it, no more of the
// service is down than allowed. What went down after the controller's last look at
// the service could not be known and does not count.
func (s *simulation) checkDisruption(in *instance, a *world.Actor, what string) {
	s.settle()
	if !in.up || a.Back {
		return // it is in hand already
	}
	c := s.controller(a)
	seen := c.lookedBefore(in.service, a.Sent)
	if l, ok := seen[in.host.Name]; ok && in.since > l.at && in.by != c.id {
		return // it came up after the look, by which touching it took nobody down
	}
	down, total := []string{in.host.Name + " (" + what + ")"}, 0
	wanted := 0
	for _, o := range s.of(in.service) {
		if !c.wants(o) {
			continue
		}
		wanted++
		l, ok := seen[o.host.Name]
		if in.shape.Strategy.OnUnreachable == "skip" && (l.lost || !o.host.Answers()) {
			continue
		}
		total++
		if o == in || o.up || o.by != c.id && (!ok || o.since > l.at) {
			continue
		}
		down = append(down, o.host.Name)
	}
	if in.shape.Strategy.OnUnreachable == "skip" {
		total = wanted // a host that answers again since the look makes the larger number
	}
	if allowed := in.shape.Strategy.allowed(total); len(down) > allowed {
		s.violated("S1", "%s of %s on %s takes it down while others are: %s; maxUnavailable %d", what, in.service, in.host.Name, strings.Join(down, ", "), allowed)
	}
	if seen == nil {
		s.violated("S1", "%s of %s on %s without any look at the service", what, in.service, in.host.Name)
	}
}

// wants tells whether a controller's revision wants an instance.
func (c *controller) wants(in *instance) bool {
	hs := c.hosts[in.host.Name].Desired
	for i := range hs.Instances {
		if hs.Instances[i].Service == in.service {
			return true
		}
	}
	return false
}

// Draining is world.Watcher's.
func (s *simulation) Draining(sv *world.Server, a *world.Actor) {
	in := s.by[[2]string{sv.Host.Name, sv.Service}]
	if !a.Ours() {
		return
	}
	s.stats.Drains++
	c := s.controller(a)
	if s.books.strays[sv] = a.Epoch < sv.Host.Epoch && c.stalled; s.books.strays[sv] {
		return
	}
	s.checkDisruption(in, a, "draining")
	s.checkApart(in, a)
	was, again := s.books.drained[sv]
	if in.up && c.wants(in) && !(again && was.Controller == a.Controller && was.Visit == a.Visit) {
		s.checkLooked(c, &c.state.Visits[a.Visit], in.service)
	}
	if !recordNames(sv.Host.Step, sv) {
		s.violated("S10", "%s of %s is drained before the host's record says so", sv.Service, sv.Host.Name)
	}
	in.by, in.touched = a.Controller, false
	s.books.drained[sv] = *a
}

func recordNames(step *hostdriver.StepRecord, sv *world.Server) bool {
	return step != nil && slices.ContainsFunc(step.Drained, func(r hostdriver.DrainRecord) bool {
		return r.Spec["backend"] == sv.Service && r.Spec["server"] == sv.Host.Name
	})
}

// checkDrainsRecorded is S3 at every moment: what we drained is named by the record on
// its host until it is back, so that whoever comes next can undo it.
func (s *simulation) checkDrainsRecorded(h *world.Host) {
	for _, in := range s.instances {
		if in.host != h || in.server == nil || in.server.State != world.ServerDrain || !in.server.By.Ours() || s.books.strays[in.server] {
			continue
		}
		if !s.wantsNow(in, s.operator.revision) {
			continue // not a service of this host any more
		}
		if !recordNames(h.Step, in.server) {
			s.violated("S3", "%s of %s is drained by us, and no record on the host says so", in.service, h.Name)
		}
	}
}

// Undraining is world.Watcher's: S7 and S11.
func (s *simulation) Undraining(sv *world.Server, a *world.Actor) {
	in := s.by[[2]string{sv.Host.Name, sv.Service}]
	if !a.Ours() {
		return
	}
	c := s.controller(a)
	if !sv.By.Ours() && !s.ambiguous[sv] {
		s.violated("S11", "%s of %s was taken out by hand and is put back by us", sv.Service, sv.Host.Name)
	}
	if !in.touched {
		return // nothing was done to it, so nothing is to be proven
	}
	p, proc := c.probes[in.host.Name+"/"+in.unit.Name], in.unit.Proc
	_, managed := sv.Host.Manifest.Find(hostdriver.KindUnit, in.unit.Name)
	switch {
	case proc == nil && !managed: // as it was before the first revision came
	case slices.Contains(c.state.Visits[a.Visit].Proves, in.service): // nothing is brought: what runs is left as it is
	case p.at == 0 || !p.good:
		s.violated("S7", "%s of %s is put back without having been found healthy", sv.Service, sv.Host.Name)
	case proc == nil || proc.Invocation != p.invocation || sv.Host.StartedAs[in.unit.Name].InvocationID != proc.Invocation || in.edited(s, 0) || c.hasProblem(sv.Host.Name, in.service):
	case s.world.Now()-proc.Started < seconds(in.shape.Strategy.MinHealthyTime):
		s.violated("S7", "%s of %s is put back %s after its start; minHealthyTime %ds", sv.Service, sv.Host.Name, s.world.Now()-proc.Started, in.shape.Strategy.MinHealthyTime)
	case in.behind(in.unit) != "":
		s.violated("S7", "%s of %s is put back with a process that has not read what is on disk: %s", sv.Service, sv.Host.Name, in.behind(in.unit))
	}
}

// edited tells whether a hand wrote into one of the instance's files since then.
func (in *instance) edited(s *simulation, since time.Duration) bool {
	at, ok := s.edited[in.host.Name+in.service]
	return ok && at >= since
}

// behind names what a unit's process has read otherwise than it is on disk, of that
// what only a start reads.
func (in *instance) behind(u *world.Unit) string {
	for _, path := range append([]string{u.File, u.Link}, u.EnvFiles...) {
		if path != "" && !u.Proc.Read[path].Same(in.host.Files[path]) {
			return path
		}
	}
	return ""
}

// Op is world.Watcher's: S4, S9 and S10.
func (s *simulation) Op(h *world.Host, a *world.Actor, f hostdriver.Fence, op hostdriver.Op) {
	if !a.Ours() {
		return
	}
	if f.Epoch < s.books.epochs[h.Name] {
		s.violated("S4", "%s obeys epoch %d after %d", h.Name, f.Epoch, s.books.epochs[h.Name])
	}
	s.books.epochs[h.Name] = max(s.books.epochs[h.Name], f.Epoch)
	c := s.controller(a)
	sw, switches := op.(hostdriver.Switch)
	if !switches {
		return
	}
	from, to := revisionNumber(h.Manifest.Revision), revisionNumber(h.Kept[sw.To].Revision)
	s.checkMigrated(c, h, a)
	s.checkRefused(c, h, a)
	s.goesBack(h, a, s.books.goingBack)
	if !a.Back && to < from && c.undo == nil {
		s.violated("S9", "%s goes from %s back to %s though nobody said so", h.Name, h.Manifest.Revision, h.Kept[sw.To].Revision)
	}
	if a.Visit >= 0 && !c.state.Visits[a.Visit].Quiet && sw.Record == nil && h.Step == nil {
		s.violated("S10", "%s switches without a record of the step", h.Name)
	}
	if s.sc.Revisions[c.revision].Empty && !a.Back {
		s.violated("prune", "%s is switched although the revision is empty", h.Name)
	}
}

// Placing is world.Watcher's: S11, of what a hand wrote between look and switch.
func (s *simulation) Placing(h *world.Host, a *world.Actor, path string) {
	f := h.Files[path]
	if !a.Ours() || a.Back || a.Visit < 0 || f == nil || f.Item == nil {
		return
	}
	in := s.ofPath(h, path)
	if in == nil || in.edited(s, h.Compared) {
		return // written between the comparison and this very moment
	}
	for _, m := range h.Kept {
		if e, ok := m.Find(hostdriver.KindFile, path); ok && e.SHA256 == f.Item.SHA256 {
			return // nothing of a hand's; or a switch that was cut goes on
		}
	}
	c := s.controller(a)
	if v := &c.state.Visits[a.Visit]; !slices.Contains(v.Services, in.service) && !slices.Contains(v.Removed, in.service) {
		s.violated("S11", "%s on %s was edited, and is overwritten by a visit of %v", path, h.Name, v.Services)
	}
	if seen := c.hosts[h.Name].Observation.Paths[path]; f.Item.SHA256 == seen.SHA256 {
		return
	}
	s.violated("S11", "%s on %s was edited since it was looked at, and is overwritten", path, h.Name)
}

// ofPath is the instance that a path belongs to, or nil.
func (s *simulation) ofPath(h *world.Host, path string) *instance {
	for _, in := range s.instances {
		if in.host != h {
			continue
		}
		for _, u := range in.units {
			if path == u.File || path == u.Link || slices.Contains(u.EnvFiles, path) || slices.Contains(u.Configs, path) {
				return in
			}
		}
	}
	return nil
}

// Acting is world.Watcher's: S1, S5, S10 and S11.
func (s *simulation) Acting(u *world.Unit, a *world.Actor, act hostdriver.UnitAction) {
	if !a.Ours() {
		return
	}
	h, c := u.Host(), s.controller(a)
	in := s.by[[2]string{h.Name, u.Service}]
	v := &c.state.Visits[a.Visit]
	if u.Foreign || in == nil {
		s.violated("S11", "%s %s on %s, which is not ours", act.Verb, u.Name, h.Name)
		return
	}
	if c.suspended(u.Service) && !a.Back { // a step in hand is undone as a whole
		s.violated("S11", "%s %s on %s, whose service is suspended", act.Verb, u.Name, h.Name)
	}
	if !v.Quiet && h.Step == nil {
		s.violated("S10", "%s %s on %s without a record of the step", act.Verb, u.Name, h.Name)
	}
	if c.wants(in) && act.Verb != hostdriver.VerbStart {
		s.checkDisruption(in, a, string(act.Verb))
		s.checkApart(in, a)
	}
	if c.wants(in) && act.Verb == hostdriver.VerbRestart && !a.Back && in.serving && in.server != nil && in.server.Since < c.asked[h.Name] {
		s.violated("S1", "%s of %s is restarted while the balancer sends it traffic", u.Service, h.Name)
	}
	in.touched = true
	if act.Verb != hostdriver.VerbReload {
		in.by = a.Controller
	}
	if u.Proc == nil || u.Deaf || act.Verb != hostdriver.VerbRestart {
		return
	}
	s.stats.Restarts++
	s.checkRestartOnce(c, in, u, a)
}

func (c *controller) suspended(service string) bool {
	_, skipped := c.input.Skip[service]
	return skipped
}

// checkRestartOnce is S5.
func (s *simulation) checkRestartOnce(c *controller, in *instance, u *world.Unit, a *world.Actor) {
	key := restartKey{controller: a.Controller, round: c.rounds, visit: a.Visit, unit: u, back: a.Back}
	s.books.restarts[key]++
	if s.books.restarts[key] > 1 {
		s.violated("S5", "%s on %s is restarted twice by one visit", u.Name, u.Host().Name)
	}
	if !a.Back && c.undo == nil && in.behind(u) == "" && u.Active == "active" && u.Healthy() && u.Proc.Started > s.began && !c.unitRewritten(u) {
		s.violated("S5", "%s on %s is restarted although its process has read all that is on disk", u.Name, u.Host().Name)
	}
}

// unitRewritten tells that the process started before systemd had loaded what is now
// on disk: it must be started again though it has read the same.
func (c *controller) unitRewritten(u *world.Unit) bool {
	st, ok := u.Host().StartedAs[u.Name]
	return !ok || st.InvocationID != u.Invocation()
}

// Started is world.Watcher's: S6 for what we start.
func (s *simulation) Started(u *world.Unit, a *world.Actor) {
	h := u.Host()
	if !a.Ours() || u.Foreign {
		return
	}
	if h.Switching != nil {
		s.violated("S6", "%s is started on %s in the middle of a switch", u.Name, h.Name)
	}
	if _, byHand := s.edited[h.Name+u.Service]; byHand {
		return
	}
	for _, e := range h.Manifest.Of(u.Service) {
		if e.Kind != hostdriver.KindFile && e.Kind != hostdriver.KindLink {
			continue
		}
		f := h.Files[e.Name]
		if f == nil || f.Item != nil && f.Item.SHA256 != e.SHA256 || f.Target != e.Target {
			s.violated("S6", "%s is started on %s while %s is not of generation %d", u.Name, h.Name, e.Name, h.Manifest.Generation)
		}
	}
}

// checkSecrets is S8.
func (s *simulation) checkSecrets(what string, x any) {
	b, err := json.Marshal(x)
	if err != nil {
		s.violated("S8", "%s cannot be written down: %v", what, err)
		return
	}
	if isSecret(string(b)) {
		s.violated("S8", "a secret is in a %s: %.200s", what, b)
	}
}

// checkServing is the promise to users: as long as no host dies by itself, a service
// of which one instance may be down never has more than one that does not serve.
func (s *simulation) checkServing(in *instance) {
	if s.began == 0 || s.sc.Fresh || !ownFaultsOnly(s.sc) {
		return
	}
	all := s.of(in.service)
	serving := 0
	for _, o := range all {
		if o.serving {
			serving++
		}
	}
	if floor := len(all) - in.shape.Strategy.allowed(len(all)); len(all) > 1 && serving < floor && s.wantedEverywhere(in.service) {
		s.violated("users", "%d of %d instances of %s serve; %d must", serving, len(all), in.service, floor)
	}
}

// wantedEverywhere tells that no revision so far takes the service away.
func (s *simulation) wantedEverywhere(service string) bool {
	for i, x := range s.sc.Services {
		if x.Name != service {
			continue
		}
		for _, r := range s.sc.Revisions {
			if r.Empty || r.Services[i].Gone {
				return false
			}
		}
	}
	return true
}

// checkPlan looks at what a plan would do.
func (s *simulation) checkPlan(c *controller) {
	s.checkRefusals(c)
	if s.secrets {
		s.checkSecrets("plan", c.plan)
	}
	if s.sc.Revisions[c.revision].Empty {
		for _, v := range c.plan.Visits {
			if !v.Recover {
				s.violated("prune", "an empty revision plans to change %s", v.Host)
			}
		}
	}
}

// outcomesTold checks that a rollout says what came of it.
func (s *simulation) outcomesTold(c *controller) {
	st := &c.state
	for i := range st.Visits {
		v := &st.Visits[i]
		bad := v.Result == rollout.ResultFailed || v.Result == rollout.ResultReverted || v.Result == rollout.ResultLost
		if bad && st.Halted == nil && !leftOut(c, v) {
			s.violated("honesty", "the visit of %s ended %s and the rollout did not halt", v.Host, v.Result)
		}
		if bad && v.Reason == "" {
			s.violated("honesty", "the visit of %s ended %s without a reason", v.Host, v.Result)
		}
		if v.LeftDrained() && v.Phase == rollout.PhaseEnded && !bad {
			s.violated("S3", "the visit of %s ended %s and left something drained", v.Host, v.Result)
		}
	}
}
