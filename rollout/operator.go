package rollout

import "time"

// Pause is an operator's word that nothing new begins. What is in hand is finished, and
// what an earlier rollout left unfinished is seen to as well. The clocks of waiting
// stand still meanwhile.
type Pause struct {
	By     string        `json:"by,omitempty"`
	Reason string        `json:"reason,omitempty"`
	Since  time.Duration `json:"since"` // on the rollout's clock
}

func (p Pause) String() string { return word("paused", p.By, p.Reason) }

// word is an operator's word as it is shown: "aborted by alice: error rate".
func word(what, by, reason string) string {
	if by != "" {
		what += " by " + by
	}
	if reason != "" {
		what += ": " + reason
	}
	return what
}

// obey takes an operator's word.
func (s *State) obey(e Event) {
	switch e.Kind {
	case EventStop:
		s.Stopping = orElse(e.Reason, "stopped")
	case EventReplan:
		s.Stopping = orElse(e.Reason, "a newer revision is there")
		s.Replan = !s.Aborted
	case EventAbort:
		s.Stopping, s.Aborted, s.Replan = word("aborted", e.By, e.Reason), true, false
	case EventPause:
		if s.Paused == nil {
			s.Paused = &Pause{By: e.By, Reason: e.Reason, Since: s.At}
		}
	case EventResume:
		s.resume()
	case EventPromote:
		s.promote(e)
	case EventBlock:
		s.block()
	}
}

// resume ends a pause. What was waited for before is waited for as long as was left.
func (s *State) resume() {
	if s.Paused == nil {
		return
	}
	stood := s.At - s.Paused.Since
	s.Paused = nil
	for i := range s.Services {
		ss := &s.Services[i]
		ss.BlockedAt += stood
		ss.ProgressAt += stood
		ss.Canary.stood(stood)
	}
}

// mayBegin tells whether no operator's word, or the lack of one, keeps v from beginning, or from
// going on before it has disturbed anything. A step that was left on a host is in hand
// already.
func (s *State) mayBegin(v *Visit) bool {
	return v.Recover || (s.Paused == nil || planted == "pause ignored") && s.promoted(v)
}

// putBack takes a visit that has touched nothing yet out of hand, to begin anew later.
func (m *mover) putBack(reason string) {
	m.v.Progress = Progress{Attempt: m.v.Attempt, Reason: reason}
}
