package rollout

import (
	"slices"
)

// schedule begins what may begin now, in the plan's order.
func (s *State) schedule() []Command {
	if s.Stopping != "" || s.Halted != nil && planted != "halt ignored" {
		return s.letGo()
	}
	a := admission{s: s}
	a.canaries()
	if s.Halted != nil {
		return append(a.out, s.letGo()...)
	}
	a.resume()
	busy := map[string]bool{}
	for i := range s.Visits {
		if s.Visits[i].Active() {
			busy[s.Visits[i].Host] = true
		}
	}
	for i := range s.Visits {
		v := &s.Visits[i]
		if v.Phase != PhasePending || busy[v.Host] || !s.mayBegin(v) || !s.turn(v) {
			continue
		}
		if w := s.inTrouble(); w != nil && !v.Quiet && planted != "trouble ignored" {
			v.Reason = w.Host + " is in trouble → waits"
			continue
		}
		if a.admits(v) {
			busy[v.Host] = true
			a.out = append(a.out, s.begin(v))
		}
	}
	a.hold()
	if s.Halted != nil {
		a.out = append(a.out, s.letGo()...)
	}
	return a.out
}

// letGo lets the visits that have disturbed nothing and wait for the budget end.
func (s *State) letGo() []Command {
	var out []Command
	reason := s.Stopping
	if s.Halted != nil {
		reason = "the rollout halted before this host was disturbed"
	}
	for i := range s.Visits {
		if v := &s.Visits[i]; v.Phase == PhaseBudget {
			m := mover{s: s, v: v}
			m.leave(ResultStopped, reason)
			out = append(out, m.out...)
		}
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

// precedes tells whether w changes a service that one of v's comes after, which v
// itself does not change.
func (s *State) precedes(w, v *Visit) bool {
	for _, name := range v.Services {
		ss := s.service(name)
		if ss == nil || planted == "after ignored" {
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
	if ss == nil || len(ss.Batches) == 0 || !v.inBatches(name) || planted == "batches ignored" {
		return true
	}
	start, batch, n := 0, 0, 0
	for i := range s.Visits {
		w := &s.Visits[i]
		if !w.inBatches(name) {
			continue
		}
		if batch < len(ss.Batches)-1 && n-start >= ss.Batches[batch] {
			start, batch = n, batch+1
			for j := range s.Visits[:i] {
				u := &s.Visits[j]
				if u.inBatches(name) && u.Phase != PhaseEnded {
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

// inFlight lists the hosts on which a visit other than but that disturbs the service
// is under way.
func (s *State) inFlight(name string, but *Visit) []string {
	var out []string
	for i := range s.Visits {
		if v := &s.Visits[i]; v != but && planted != "budget ignores what is in flight" && v.Active() && slices.Contains(v.Disturbs, name) {
			out = append(out, v.Host)
		}
	}
	return out
}
