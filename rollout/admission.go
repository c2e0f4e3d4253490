package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
)

// definiteWait is how long a budget that waiting will not mend is waited for.
const definiteWait = 3 * time.Second

// lookAgain is the pause between two looks at a service whose budget is used up.
const lookAgain = time.Second

// freshFor is how old the look may be by which something is disturbed.
const freshFor = 15 * time.Second

// admission is one pass over the visits that want to disturb something. All its
// answers come from the same looks, so that a visit that is held does not hide another
// that may go on.
type admission struct {
	s *State
	*standing
	out      []Command
	held     []held
	heldBack []bool   // by service: a visit that has not begun is among held
	yielding []*Visit // see yields
	insists  bool     // they no longer yield
	why      string   // the reason that was given last
	waits    string   // that, as visits show it
	gone     []gone
}

// gone is a visit that this pass let begin or go on, as it was before, and where in the
// pass's commands its own are.
type gone struct {
	v        *Visit
	was      Visit
	from, to int
}

// held is a visit that one of its services keeps waiting.
type held struct {
	v       *Visit
	service int
	halt    Halt // if waiting has no sense
}

// resume lets the visits go on that wait in hand.
func (a *admission) resume() {
	for i := range a.s.Visits {
		if v := &a.s.Visits[i]; v.Phase == PhaseBudget && a.s.mayBegin(v) && a.trouble == nil && a.admits(v) {
			a.goOn(v)
		}
	}
}

// goOn lets an admitted visit begin, or go on where it waited.
func (a *admission) goOn(v *Visit) {
	if v.Phase == PhasePending {
		a.begin(v)
		return
	}
	was := *v
	m := mover{s: a.s, v: v}
	m.next()
	a.send(m, was)
}

// send takes over the commands of a visit that was let go.
func (a *admission) send(m mover, was Visit) {
	for _, at := range a.r.disturbs[m.v.ID] {
		m.v.Mends = m.v.Mends || a.tally(at).sick(m.v.Host)
	}
	from := len(a.out)
	a.out = append(a.out, m.out...)
	a.gone = append(a.gone, gone{v: m.v, was: was, from: from, to: len(a.out)})
}

// callBack undoes what this pass let go, for the same pass came upon a reason to halt.
// None of it was sent to a host yet.
func (a *admission) callBack() {
	for _, g := range slices.Backward(a.gone) {
		*g.v = g.was
		a.out = slices.Delete(a.out, g.from, g.to)
	}
	a.gone = nil
}

// begin starts a visit with its precheck.
func (a *admission) begin(v *Visit) {
	for _, at := range a.r.disturbs[v.ID] {
		ss := &a.s.Services[at]
		ss.Blocked, ss.Sum = false, ""
	}
	was := *v
	v.Began, v.Reason = a.s.At, ""
	m := mover{s: a.s, v: v}
	m.enter(PhasePrecheck)
	a.fly(v.ID)
	a.send(m, was)
}

// admits tells whether the budgets of all services that v disturbs allow it by a
// fresh look, and asks for one where there is none.
func (a *admission) admits(v *Visit) bool {
	s, ready := a.s, true
	if !a.inWindows(v) {
		return false
	}
	for _, at := range a.r.disturbs[v.ID] {
		ss := &s.Services[at]
		if v.Recover && len(v.Drained) > 0 && len(v.Actions) == 0 && !v.Written {
			continue // all that is left is to bring it back
		}
		flying := a.inFlight(at, v)
		if flying > 0 && flying >= a.tally(at).allowed {
			return false // those in hand use the budget up: no look needed
		}
		if !s.fresh(ss) {
			ready = false
			a.look(ss)
			continue
		}
		if why := a.yields(at, v); why != "" && !a.insists {
			ready = false
			v.Reason, a.yielding = why, append(a.yielding, v)
			continue
		}
		if h, waits := a.holds(at, v); waits && !(planted == "last host excused" && s.isLast(v)) {
			ready = false
			a.keep(v, at, h)
		}
	}
	if ready {
		for _, at := range a.r.disturbs[v.ID] {
			ss := &s.Services[at]
			if a.inFlight(at, v)+1 >= a.tally(at).allowed || ss.Strategy.LeaderLast != nil {
				ss.Fresh = false // leadership may have moved by the next one
			}
		}
	}
	return ready
}

// keep notes that a service keeps v waiting. Of those that have not begun one speaks for
// all: what keeps one keeps the others, too.
func (a *admission) keep(v *Visit, service int, h Halt) {
	if a.why != h.Reason {
		a.why, a.waits = h.Reason, h.Reason+" → waits"
	}
	v.Reason, a.s.Services[service].Sum = a.waits, a.why
	if v.Phase == PhasePending {
		if a.heldBack[service] {
			return
		}
		a.heldBack[service] = true
	}
	a.held = append(a.held, held{v: v, service: service, halt: h})
}

// fresh tells whether the service was looked at lately, and since the last visit of it
// ended.
func (s *State) fresh(ss *ServiceState) bool {
	if planted == "stale look reused" && ss.LookedAt > 0 {
		return true
	}
	return ss.Fresh && s.At-ss.LookedAt <= freshFor
}

// holds tells whether a service, as it was looked at, keeps v waiting, and why.
func (a *admission) holds(service int, v *Visit) (Halt, bool) {
	ss, y := &a.s.Services[service], a.tally(service)
	if v.Active() {
		y.land(v.Host)
		defer y.fly(v.Host)
	}
	h := Halt{Kind: HaltBudget, Service: ss.Service}
	switch {
	case y.fallen != nil:
		h.Kind, h.Host = HaltFailed, y.fallen.Host
		h.Reason = fmt.Sprintf("%s of %s, which this rollout has changed, is down again: %s", ss.Service, h.Host, y.fallen.Reason)
	case y.lost != nil && ss.Strategy.OnUnreachable == desired.UnreachableHalt:
		h.Kind, h.Host = HaltLost, y.lost.Host
		h.Reason = fmt.Sprintf("%s of %s is unreachable, and onUnreachable is halt", ss.Service, h.Host)
	case !y.allows(v.Host):
		h.Reason = y.words(ss.Service)
	default:
		h.Reason = a.crowds(service, v)
	}
	return h, h.Reason != ""
}

// hold sees to the services that keep visits waiting while none of theirs is in hand:
// they are looked at again, until waiting has no sense. Then an instance that is down
// itself may be mended, which takes nobody down; else the rollout halts.
func (a *admission) hold() {
	for _, h := range a.held {
		ss := &a.s.Services[h.service]
		if a.moves(h.service, h.v) || ss.Looking {
			continue
		}
		if a.s.waitsInVain(ss) {
			v, soon := a.mends(h.service)
			switch {
			case v != nil:
				a.s.standIn(v)
				a.goOn(v)
				return
			case soon:
				a.look(ss)
				continue
			}
			h.halt.Reason += fmt.Sprintf("; waited %s", (a.s.At - ss.BlockedAt).Round(time.Second))
			a.s.Halted = &h.halt
			return
		}
		a.look(ss)
	}
}

// mends is a visit to a host that is down itself in every service that holds it back,
// or that would start what is down. It may come out of its turn: as long as what keeps
// the others waiting is down, there is no turn. soon tells that there may be one, once
// another service has been looked at, or canaries are promoted.
func (a *admission) mends(service int) (v *Visit, soon bool) {
	y, number := a.tally(service), a.r.names[a.s.Services[service].Service]
	for i := range a.s.Visits {
		v := &a.s.Visits[i]
		if !y.sick(v.Host) || !slices.Contains(a.r.changes[i], number) || !a.alone(v) || !a.firstOnHost(v) || a.s.hookWith(v) != nil {
			continue
		}
		if !a.s.waiting(v) && !a.s.mayStandIn(v) {
			soon = soon || a.s.awaitsPromotion(v) // and then it may
			continue
		}
		if !a.inWindows(v) {
			continue
		}
		switch may, fresh := a.mayMend(v); {
		case may && fresh:
			return v, false
		case may:
			soon = true
		}
	}
	return nil, soon
}

// mayMend tells whether v takes nobody down in any of its services, and whether all of
// them were looked at lately.
func (a *admission) mayMend(v *Visit) (may, fresh bool) {
	may, fresh = true, true
	for _, at := range a.r.disturbs[v.ID] {
		ss := &a.s.Services[at]
		if !a.s.fresh(ss) {
			a.look(ss)
			fresh = false
			continue
		}
		h, waits := a.holds(at, v)
		may = may && (!waits || h.Kind == HaltBudget && a.inFlight(at, v) == 0 && a.tally(at).sick(v.Host))
	}
	return may, fresh
}

// mendsNoMore is why a visit whose host was down when it began must disturb nothing now, or nil:
// by a later look it is up again by itself, and others are down.
func (s *State) mendsNoMore(v *Visit) *Halt {
	if !v.Mends || v.Switched || v.Restarted || v.Recover {
		return nil
	}
	a := admission{s: s, standing: s.standing()}
	for _, at := range a.r.disturbs[v.ID] {
		if s.Services[at].LookedAt <= v.Began || a.tally(at).sick(v.Host) {
			continue
		}
		if h, waits := a.holds(at, v); waits && h.Kind == HaltBudget {
			h.Reason += "; " + v.Host + " is up again by itself"
			return &h
		}
	}
	return nil
}

// waiting tells whether v waits to begin or to go on, and nobody but the budget keeps it.
func (s *State) waiting(v *Visit) bool {
	return (v.Phase == PhasePending || v.Phase == PhaseBudget) && s.mayBegin(v)
}

// isLast tells whether v is the only one that has not begun.
func (s *State) isLast(v *Visit) bool {
	return !slices.ContainsFunc(s.Visits, func(w Visit) bool { return w.ID != v.ID && w.Phase == PhasePending })
}

// soaksOut is how long before the end of a soak the next host is got ready.
const soaksOut = time.Second

// Soaks tells whether proving health takes so long that the next host can be got ready
// meanwhile.
func (s *State) Soaks(v *Visit) bool {
	return len(v.Watch) > 0 && s.strategy(v).MinHealthyTime >= soakEvery
}

// SoaksOut tells whether the visit is healthy and all but through with proving it: what
// the next host needs to know can be found out meanwhile.
func (s *State) SoaksOut(v *Visit) bool {
	if v.Phase != PhaseHealthy || v.Reverting || v.Failing != "" || !v.Soak.Good {
		return false
	}
	left := s.strategy(v).MinHealthyTime - (s.At - v.Soak.Since)
	return left > 0 && left <= soaksOut
}

// lookWhileSoaking looks at a service again while a host of it soaks, where the last look
// would be too old for the next host once that is over.
func (a *admission) lookWhileSoaking() {
	for i := range a.s.Visits {
		v := &a.s.Visits[i]
		if !a.s.SoaksOut(v) || v.Quiet {
			continue
		}
		ends := v.Soak.Since + a.s.strategy(v).MinHealthyTime
		for _, at := range a.r.disturbs[v.ID] {
			if ss := &a.s.Services[at]; !ss.Looking && ends-ss.LookedAt > lookLasts-lookLasts/4 && ss.Strategy.LeaderLast == nil && a.awaited(at) {
				a.look(ss)
			}
		}
	}
}

// awaited tells whether a visit that has not begun is to disturb the service.
func (a *admission) awaited(service int) bool {
	return slices.ContainsFunc(a.s.Visits, func(v Visit) bool {
		return v.Phase == PhasePending && slices.Contains(a.r.disturbs[v.ID], service)
	})
}

func (a *admission) look(ss *ServiceState) {
	after := time.Duration(0)
	if ss.Blocked || ss.Missed {
		after = lookAgain
	}
	a.lookIn(ss, after)
}

// lookIn asks for a look some time from now, where none is under way.
func (a *admission) lookIn(ss *ServiceState, after time.Duration) {
	if ss.Looking {
		return
	}
	ss.Looking, ss.AskedAt = true, a.s.At+after
	a.out = append(a.out, Command{Kind: CmdObserve, Visit: -1, Service: ss.Service, After: after})
}

// waitsInVain notes that nothing may begin, and tells once waiting has no sense.
func (s *State) waitsInVain(ss *ServiceState) bool {
	if !ss.Blocked {
		ss.Blocked, ss.BlockedAt = true, s.At
		return false
	}
	definite := true
	for _, i := range ss.Instances {
		if !i.Up && !i.Definite {
			definite = false
		}
	}
	limit := max(definiteWait, ss.Strategy.ProgressDeadline)
	if definite {
		limit = definiteWait
	}
	return s.At-ss.BlockedAt >= limit
}
