package rollout

// schedule begins what may begin now, in the plan's order.
func (s *State) schedule() []Command {
	if s.Stopping != "" || s.halted() {
		return s.letGo()
	}
	a := admission{s: s, standing: s.standing(), heldBack: make([]bool, len(s.Services))}
	a.canaries()
	if s.halted() {
		return append(a.out, s.letGo()...)
	}
	a.resume()
	for i := range s.Visits {
		v := &s.Visits[i]
		if v.Phase != PhasePending || !a.alone(v) || !s.mayBegin(v) || !a.turn(v) {
			continue
		}
		if w := s.hookWith(v); w != nil {
			v.Reason = "a hook that runs once is run on " + w.Host + " → waits"
			continue
		}
		if w := a.trouble; w != nil && !v.Quiet && planted != "trouble ignored" {
			v.Reason = w.Host + " is in trouble → waits"
			continue
		}
		if a.admits(v) {
			a.begin(v)
		}
	}
	a.hold()
	a.lookWhileSoaking()
	a.lastOfAll()
	a.watchCanaries()
	if s.halted() {
		a.callBack()
		a.out = append(a.out, s.letGo()...)
	}
	return a.out
}

// halted tells that no further visit begins.
func (s *State) halted() bool { return s.Halted != nil && planted != "halt ignored" }

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
