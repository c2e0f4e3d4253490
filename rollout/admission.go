package rollout

import (
	"fmt"
	"slices"
	"time"
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
	s    *State
	out  []Command
	held []held
}

// held is a visit that one of its services keeps waiting.
type held struct {
	v       *Visit
	service *ServiceState
	budget  Budget
	halt    Halt // if waiting has no sense
}

// resume lets the visits go on that wait in hand.
func (a *admission) resume() {
	for i := range a.s.Visits {
		if v := &a.s.Visits[i]; v.Phase == PhaseBudget && a.s.mayBegin(v) && a.s.inTrouble() == nil && a.admits(v) {
			a.goOn(v)
		}
	}
}

// goOn lets an admitted visit begin, or go on where it waited.
func (a *admission) goOn(v *Visit) {
	if v.Phase == PhasePending {
		a.out = append(a.out, a.s.begin(v))
		return
	}
	m := mover{s: a.s, v: v}
	m.next()
	a.out = append(a.out, m.out...)
}

// admits tells whether the budgets of all services that v disturbs allow it by a
// fresh look, and asks for one where there is none.
func (a *admission) admits(v *Visit) bool {
	s, ready := a.s, true
	for _, name := range v.Disturbs {
		ss := s.service(name)
		if ss == nil {
			continue
		}
		if v.Recover && len(v.Drained) > 0 && len(v.Actions) == 0 && !v.Written {
			continue // all that is left is to bring it back
		}
		flying := s.inFlight(name, v)
		if len(flying) > 0 && len(flying) >= NewBudget(name, ss.Strategy, ss.Instances, nil).Allowed {
			return false // those in hand use the budget up: no look needed
		}
		if !s.fresh(ss) {
			ready = false
			a.look(ss)
			continue
		}
		if h, waits := s.holds(ss, v, flying); waits && !(planted == "last host excused" && s.isLast(v)) {
			ready = false
			v.Reason, ss.Sum = h.halt.Reason+" → waits", h.halt.Reason
			a.held = append(a.held, h)
		}
	}
	if ready {
		for _, name := range v.Disturbs {
			if ss := s.service(name); ss != nil && len(s.inFlight(name, v))+1 >= NewBudget(name, ss.Strategy, ss.Instances, nil).Allowed {
				ss.Fresh = false
			}
		}
	}
	return ready
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
func (s *State) holds(ss *ServiceState, v *Visit, flying []string) (held, bool) {
	b := NewBudget(ss.Service, ss.Strategy, ss.Instances, flying)
	h := held{v: v, service: ss, budget: b, halt: Halt{Kind: HaltBudget, Service: ss.Service, Reason: b.String()}}
	if is := s.fallen(ss); is != nil {
		h.halt.Kind, h.halt.Host = HaltFailed, is.Host
		h.halt.Reason = fmt.Sprintf("%s of %s, which this rollout has changed, is down again: %s", ss.Service, is.Host, is.Reason)
		return h, true
	}
	if i := slices.IndexFunc(ss.Instances, func(is Instance) bool { return is.Unreachable }); i >= 0 && ss.Strategy.OnUnreachable == "halt" {
		h.halt.Kind, h.halt.Host = HaltLost, ss.Instances[i].Host
		h.halt.Reason = fmt.Sprintf("%s of %s is unreachable, and onUnreachable is halt", ss.Service, ss.Instances[i].Host)
		return h, true
	}
	return h, !b.Allows(v.Host)
}

// fallen is an instance of the service that is down although this rollout has brought
// its host to the new revision: what was brought may be to blame.
func (s *State) fallen(ss *ServiceState) *Instance {
	for i := range ss.Instances {
		is := &ss.Instances[i]
		if planted != "fallen ignored" && !is.Up && slices.ContainsFunc(s.Visits, func(v Visit) bool {
			return v.Host == is.Host && v.Result == ResultDone && slices.Contains(v.Disturbs, ss.Service)
		}) {
			return is
		}
	}
	return nil
}

// hold sees to the services that keep visits waiting while none of theirs is in hand:
// they are looked at again, until waiting has no sense. Then an instance that is down
// itself may be mended, which takes nobody down; else the rollout halts.
func (a *admission) hold() {
	for _, h := range a.held {
		if len(a.s.inFlight(h.service.Service, h.v)) > 0 || h.service.Looking {
			continue
		}
		if a.s.waitsInVain(h.service) {
			v, soon := a.mends(h.service)
			switch {
			case v != nil:
				a.goOn(v)
				return
			case soon:
				a.look(h.service)
				continue
			}
			h.halt.Reason += fmt.Sprintf("; waited %s", (a.s.At - h.service.BlockedAt).Round(time.Second))
			a.s.Halted = &h.halt
			return
		}
		a.look(h.service)
	}
}

// mends is a visit to a host that is down itself in every service that holds it back,
// or that would start what is down. It may come out of its turn: as long as what keeps
// the others waiting is down, there is no turn. soon tells that there may be one, once
// another service has been looked at.
func (a *admission) mends(ss *ServiceState) (v *Visit, soon bool) {
	for i := range a.s.Visits {
		v := &a.s.Visits[i]
		if !slices.Contains(v.Services, ss.Service) || !ss.isSick(v.Host) || !a.s.waiting(v) || !a.s.firstOnHost(v) {
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
	for _, name := range v.Disturbs {
		ss := a.s.service(name)
		if ss == nil {
			continue
		}
		if !a.s.fresh(ss) {
			a.look(ss)
			fresh = false
			continue
		}
		x, waits := a.s.holds(ss, v, a.s.inFlight(name, v))
		may = may && (!waits || x.halt.Kind == HaltBudget && x.budget.Mends(v.Host))
	}
	return may, fresh
}

// waiting tells whether v waits to begin or to go on, and nothing else is under way on
// its host.
func (s *State) waiting(v *Visit) bool {
	return (v.Phase == PhasePending || v.Phase == PhaseBudget) && s.mayBegin(v) &&
		!slices.ContainsFunc(s.Visits, func(w Visit) bool { return w.Active() && w.Host == v.Host && w.ID != v.ID })
}

// isLast tells whether v is the only one that has not begun.
func (s *State) isLast(v *Visit) bool {
	return !slices.ContainsFunc(s.Visits, func(w Visit) bool { return w.ID != v.ID && w.Phase == PhasePending })
}

// firstOnHost tells whether v is the next one of its host.
func (s *State) firstOnHost(v *Visit) bool {
	return !slices.ContainsFunc(s.Visits, func(w Visit) bool { return w.Host == v.Host && w.ID < v.ID && w.Phase != PhaseEnded })
}

func (ss *ServiceState) isSick(host string) bool {
	return NewBudget(ss.Service, ss.Strategy, ss.Instances, nil).Mends(host)
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
