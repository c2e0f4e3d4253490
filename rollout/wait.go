package rollout

import (
	"fmt"
	"slices"
)

// Wait is a word from outside without which a rollout does not go on.
type Wait struct {
	Kind    WaitKind `json:"kind"`
	Service string   `json:"service"`
	Reason  string   `json:"reason"`
}

// WaitKind is what is waited for.
type WaitKind string

// The kinds of waits.
const (
	WaitPromotion WaitKind = "promotion" // EventPromote
	WaitWindow    WaitKind = "window"    // that the service's windows open
)

// Waits lists what the rollout waits for from outside, once nothing is under way and
// nothing more would happen by itself; else it is empty.
func (s State) Waits() []Wait {
	if s.Paused != nil || s.Stopping != "" || s.Halted != nil {
		return nil
	}
	var out []Wait
	for i := range s.Visits {
		if v := &s.Visits[i]; v.Active() && (v.Phase != PhaseBudget || s.WaitsFor(v) == nil) {
			return nil
		}
	}
	t := s.standing()
	for i := range s.Visits {
		v := &s.Visits[i]
		if v.Phase == PhaseEnded {
			continue
		}
		switch w := s.WaitsFor(v); {
		case w == nil && t.turn(v) && s.comes(v):
			return nil
		case w != nil:
			out = addWait(out, *w)
		}
	}
	return out
}

// comes tells whether the turn of v comes by itself as far as its canaries go: they were
// accepted, or are about to be, or to fall. Of those that are still to be brought to the
// revision their own visits tell. One that the budget holds does not come by itself.
func (s *State) comes(v *Visit) bool {
	for _, name := range v.Disturbs {
		if ss := s.service(name); ss != nil && ss.Blocked {
			return false
		}
	}
	return s.promoted(v) || v.Recover || slices.ContainsFunc(v.Follows, func(name string) bool {
		ss := s.service(name)
		return ss != nil && ss.Canary.Phase == CanaryWaiting && !ss.awaitsWord()
	})
}

func addWait(ws []Wait, w Wait) []Wait {
	for _, x := range ws {
		if x.Kind == w.Kind && x.Service == w.Service {
			return ws
		}
	}
	return append(ws, w)
}

// WaitsFor is what one visit that has disturbed nothing yet waits for from outside, or nil.
func (s *State) WaitsFor(v *Visit) *Wait {
	if v.Recover {
		return nil
	}
	for _, name := range v.Follows {
		if ss := s.service(name); ss != nil && ss.awaitsWord() {
			return &Wait{Kind: WaitPromotion, Service: name, Reason: fmt.Sprintf("%s waits for promotion: %s healthy", name, ss.Canary.who())}
		}
	}
	for _, name := range v.Disturbs {
		if ss := s.service(name); ss != nil && ss.Window.Known && !ss.Window.Open {
			return &Wait{Kind: WaitWindow, Service: name, Reason: ss.Window.Words(name)}
		}
	}
	return nil
}

// awaitsWord tells whether the canaries were looked at, are healthy, and only a person
// can accept them.
func (ss *ServiceState) awaitsWord() bool {
	c := &ss.Canary
	return c.Phase == CanaryWaiting && !c.Said && !ss.Strategy.Promote.Auto && c.Down == "" && ss.lookedSince(c.Since)
}

// block halts a rollout that waits for what nobody will give.
func (s *State) block() {
	if ws := s.Waits(); len(ws) > 0 {
		s.Halted = &Halt{Kind: HaltBlocked, Service: ws[0].Service, Reason: ws[0].Reason}
	}
}
