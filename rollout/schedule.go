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

// schedule begins what may begin now, in the plan's order.
func (s *State) schedule() []Command {
	if s.Stopping != "" || s.Halted != nil {
		return nil
	}
	var out []Command
	busy := map[string]bool{}
	for i := range s.Visits {
		if s.Visits[i].Active() {
			busy[s.Visits[i].Host] = true
		}
	}
	for i := range s.Visits {
		v := &s.Visits[i]
		if v.Phase != PhasePending || busy[v.Host] || !s.turn(v) {
			continue
		}
		if w := s.inTrouble(); w != nil && !v.Quiet {
			v.Reason = w.Host + " is in trouble → waits"
			continue
		}
		ready, cmds := s.mayDisturb(v)
		out = append(out, cmds...)
		if s.Halted != nil {
			return out
		}
		if !ready {
			continue
		}
		busy[v.Host] = true
		out = append(out, s.begin(v))
	}
	return out
}

// begin starts a visit with its precheck.
func (s *State) begin(v *Visit) Command {
	for _, name := range v.Disturbs {
		if ss := s.service(name); ss != nil {
			ss.Blocked, ss.Sum = false, ""
		}
	}
	v.Began, v.Reason = s.At, ""
	m := mover{s: s, v: v}
	m.enter(PhasePrecheck)
	return m.out[0]
}

// turn tells whether everything that must come before v is over.
func (s *State) turn(v *Visit) bool {
	for i := range s.Visits {
		w := &s.Visits[i]
		if w.Phase == PhaseEnded || w.ID == v.ID {
			continue
		}
		switch {
		case w.Host == v.Host && w.ID < v.ID:
			return false // the host's own order
		case w.Recover && !v.Recover && !v.Quiet:
			return false // what was left unfinished comes first
		case w.ID < v.ID && s.precedes(w, v):
			return false
		}
	}
	for _, name := range v.Disturbs {
		if !s.batchOpen(name, v) {
			return false
		}
	}
	return true
}

// inTrouble is a visit under way that disturbs and of which nothing good can be said
// just now: its host does not answer, or it is on its way back. Until that is over, no
// other host is begun with.
func (s *State) inTrouble() *Visit {
	for i := range s.Visits {
		if v := &s.Visits[i]; !v.Quiet && v.Active() && (v.Tries > 0 || v.Failing != "") {
			return v
		}
	}
	return nil
}

// fallen is an instance of the service that is down although this rollout has brought
// its host to the new revision: what was brought may be to blame.
func (s *State) fallen(ss *ServiceState) *Instance {
	for i := range ss.Instances {
		is := &ss.Instances[i]
		if !is.Up && slices.ContainsFunc(s.Visits, func(v Visit) bool {
			return v.Host == is.Host && v.Result == ResultDone && slices.Contains(v.Disturbs, ss.Service)
		}) {
			return is
		}
	}
	return nil
}

// precedes tells whether w changes a service that one of v's comes after, which v
// itself does not change.
func (s *State) precedes(w, v *Visit) bool {
	for _, name := range v.Services {
		ss := s.service(name)
		if ss == nil {
			continue
		}
		for _, a := range ss.After {
			if slices.Contains(w.Services, a) && !slices.Contains(v.Services, a) {
				return true
			}
		}
	}
	return false
}

// batchOpen tells whether every visit of the service's earlier batches has ended.
func (s *State) batchOpen(name string, v *Visit) bool {
	ss := s.service(name)
	if ss == nil || len(ss.Batches) == 0 {
		return true
	}
	start, batch, n := 0, 0, 0
	for i := range s.Visits {
		w := &s.Visits[i]
		if w.Quiet || !slices.Contains(w.Disturbs, name) {
			continue
		}
		if batch < len(ss.Batches)-1 && n-start >= ss.Batches[batch] {
			start, batch = n, batch+1
			for j := range s.Visits[:i] {
				u := &s.Visits[j]
				if !u.Quiet && slices.Contains(u.Disturbs, name) && u.Phase != PhaseEnded {
					return false
				}
			}
		}
		if w.ID == v.ID {
			return true
		}
		n++
	}
	return true
}

// inFlight lists the hosts on which a visit that disturbs the service is under way.
func (s *State) inFlight(name string) []string {
	var out []string
	for i := range s.Visits {
		if v := &s.Visits[i]; v.Active() && slices.Contains(v.Disturbs, name) {
			out = append(out, v.Host)
		}
	}
	return out
}

// mayDisturb tells whether the budgets of all services that v disturbs allow it
// by a fresh look, and asks for one where there is none.
func (s *State) mayDisturb(v *Visit) (bool, []Command) {
	var out []Command
	ready := true
	for _, name := range v.Disturbs {
		ss := s.service(name)
		if ss == nil {
			continue
		}
		if v.Recover && len(v.Drained) > 0 && len(v.Actions) == 0 && !v.Written {
			continue // all that is left is to bring it back
		}
		if flying := len(s.inFlight(name)); flying > 0 && flying >= NewBudget(name, ss.Strategy, ss.Instances, nil).Allowed {
			return false, out // those in hand use the budget up: no look needed
		}
		if !ss.Fresh {
			ready = false
			if !ss.Looking {
				ss.Looking = true
				out = append(out, s.look(ss))
			}
			continue
		}
		b := NewBudget(name, ss.Strategy, ss.Instances, s.inFlight(name))
		why, halt := b.String(), Halt{Kind: HaltBudget, Service: name}
		if is := s.fallen(ss); is != nil {
			why, halt.Kind, halt.Host = fmt.Sprintf("%s of %s, which this rollout has changed, is down again: %s", name, is.Host, is.Reason), HaltFailed, is.Host
		} else if b.Allows(v.Host) {
			continue
		}
		ready = false
		v.Reason = why + " → waits"
		ss.Sum = why
		s.blocked(ss, b, halt)
		if s.Halted != nil {
			return false, out
		}
		if len(b.InFlight) == 0 && !ss.Looking {
			ss.Looking, ss.Fresh = true, false
			out = append(out, s.look(ss))
		}
	}
	if ready {
		for _, name := range v.Disturbs {
			if ss := s.service(name); ss != nil && len(s.inFlight(name))+1 >= NewBudget(name, ss.Strategy, ss.Instances, nil).Allowed {
				ss.Fresh = false
			}
		}
	}
	return ready, out
}

func (s *State) look(ss *ServiceState) Command {
	c := Command{Kind: CmdObserve, Visit: -1, Service: ss.Service}
	if ss.Blocked || ss.Missed {
		c.After = lookAgain
	}
	return c
}

// blocked notes that nothing may begin, and halts once waiting has no sense.
func (s *State) blocked(ss *ServiceState, b Budget, halt Halt) {
	if len(b.InFlight) > 0 {
		return
	}
	if !ss.Blocked {
		ss.Blocked, ss.BlockedAt = true, s.At
		return
	}
	definite := true
	for _, i := range ss.Instances {
		if !i.Up && !i.Definite {
			definite = false
		}
	}
	waited := s.At - ss.BlockedAt
	limit := max(definiteWait, ss.Strategy.ProgressDeadline)
	if definite {
		limit = definiteWait
	}
	if waited >= limit {
		halt.Reason = fmt.Sprintf("%s; waited %s", ss.Sum, waited.Round(time.Second))
		s.Halted = &halt
	}
}
