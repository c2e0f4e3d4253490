package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
)

// Step takes one event and returns the next State and what is to be done for it.
// It is a pure function: the same State and Event always give the same answer.
func Step(s State, e Event) (State, []Command) {
	s = s.clone()
	s.At = max(s.At, e.At)
	var out []Command
	switch e.Kind {
	case EventBegin:
		for i := range s.Services {
			s.Services[i].ProgressAt = s.At
		}
	case EventStop, EventReplan, EventAbort, EventPause, EventResume, EventPromote, EventBlock:
		s.obey(e)
	case EventWindow:
		s.opened(e)
	case EventObserved:
		if ss := s.service(e.Service); ss != nil {
			ss.Looking = false
			if ss.Missed = e.Outcome != Success; !ss.Missed {
				ss.Fresh, ss.LookedAt, ss.SeenAt, ss.Instances = true, ss.AskedAt, s.At, e.Instances
			}
		}
	case EventResult:
		if e.Visit < 0 || e.Visit >= len(s.Visits) {
			break
		}
		v := &s.Visits[e.Visit] // a copy already; its slices and maps are never written to in place
		if v.Attempt != e.Attempt && planted != "late result accepted" || !v.Active() {
			break // late, or of another life
		}
		m := mover{s: &s, v: v}
		m.result(e)
		out = append(out, m.out...)
	}
	out = append(out, s.schedule()...)
	s.Done = s.finished()
	return s, out
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// finished tells whether nothing is under way and nothing more will begin.
func (s *State) finished() bool {
	for i := range s.Visits {
		if s.Visits[i].Active() {
			return false
		}
		if s.Visits[i].Phase == PhasePending && s.Halted == nil && s.Stopping == "" {
			return false
		}
	}
	return true
}

// mover moves one visit on.
type mover struct {
	s   *State
	v   *Visit
	out []Command
}

// commandOf is what a phase asks for.
var commandOf = map[Phase]CommandKind{
	PhasePrecheck: CmdPrecheck, PhaseStage: CmdStage, PhaseHooks: CmdHooks, PhaseRecord: CmdRecord, PhaseDrain: CmdDrain, PhaseWait: CmdWait,
	PhaseStop: CmdStop, PhaseSwitch: CmdSwitch, PhaseUnits: CmdUnits, PhaseHealthy: CmdProbe, PhaseRevertSwitch: CmdSwitch,
	PhaseRevertUnits: CmdRevertUnits, PhaseRevertHealthy: CmdProbe, PhaseUndrain: CmdUndrain, PhaseClear: CmdClear, PhaseVerify: CmdVerify,
}

// enter begins a phase.
func (m *mover) enter(p Phase) {
	settling := m.v.Settling()
	m.v.Phase, m.v.Since, m.v.Tries, m.v.Reason = p, m.s.At, 0, ""
	if p == PhaseHealthy || p == PhaseRevertHealthy {
		m.v.Soak, m.v.SeenAt, m.v.Unseen = Soak{}, m.s.At, 0
	}
	switch p {
	case PhaseHooks:
		m.v.beginHooks()
	case PhaseDrain:
		m.v.Draining = true
	case PhaseSwitch:
		m.v.Recorded = true // it writes the record before anything else
	case PhaseUnits:
		m.v.Restarted, m.v.Recorded = true, m.v.Recorded || !m.v.Quiet // likewise
	case PhaseRevertUnits:
		m.v.Restarted = true
	}
	if m.v.Settling() && !settling {
		for _, name := range m.v.Services {
			if ss := m.s.service(name); ss != nil {
				ss.Fresh = false // it may have been seen while it was drained
				m.s.serves(ss, m.v)
			}
		}
	}
	m.again(0)
}

// again sends the phase's command (once more), after a delay.
func (m *mover) again(after time.Duration) {
	m.v.Attempt++
	m.out = append(m.out, Command{Kind: commandOf[m.v.Phase], Visit: m.v.ID, Host: m.v.Host, Phase: m.v.Phase, Attempt: m.v.Attempt, After: after})
}

// end closes the visit.
func (m *mover) end(r Result, reason string) {
	v := m.v
	settled := r == ResultDone && v.Settling()
	v.Phase, v.Result, v.Since = PhaseEnded, r, m.s.At
	if reason != "" || r == ResultDone { // what it met on its way no longer matters
		v.Reason = reason
	}
	for _, name := range v.Services {
		if ss := m.s.service(name); ss != nil {
			ss.Fresh = ss.Fresh && settled
			if r == ResultDone {
				ss.ProgressAt, ss.Blocked = m.s.At, false
			}
			if r == ResultDone && !settled {
				m.s.serves(ss, v)
			}
		}
	}
	halt := func(k HaltKind) {
		if m.s.Halted == nil {
			m.s.Halted = &Halt{Kind: k, Host: v.Host, Service: first(v.Concerns()), Reason: v.Reason}
		}
	}
	switch r {
	case ResultReverted:
		halt(HaltReverted)
	case ResultFailed:
		halt(HaltFailed)
	case ResultLost:
		if m.s.skips(v) {
			m.s.leaveOut(v)
		} else {
			halt(HaltLost)
		}
	case ResultConflict:
		m.s.Replan, m.s.Stopping = !m.s.Aborted, orElse(m.s.Stopping, v.Host+" changed meanwhile: "+v.Reason)
	}
}

// skips tells whether a host that no longer answers is left out, as all services of the
// visit say: nothing was done there yet, so that the others may go on.
func (s *State) skips(v *Visit) bool {
	return !v.Recorded && !v.Recover && !v.hookUnknown() && !v.Switched && !v.Restarted && !v.LeftDrained() && !slices.ContainsFunc(v.Concerns(), func(name string) bool {
		ss := s.service(name)
		return ss == nil || ss.Strategy.OnUnreachable != desired.UnreachableSkip
	})
}

// lookLasts is for how long a look at a service holds beyond the end of a visit.
const lookLasts = 2 * time.Second

// serves notes that the host in hand is up, as its own probes and its balancers have
// told a moment ago: a look that is young enough then still holds for all others.
func (s *State) serves(ss *ServiceState, v *Visit) {
	if ss.Strategy.LeaderLast != nil { // who leads is asked anew
		return
	}
	if v.Quiet || !slices.Contains(v.Disturbs, ss.Service) || s.At-ss.LookedAt > lookLasts {
		return
	}
	ss.Instances = slices.Clone(ss.Instances)
	for i := range ss.Instances {
		is := &ss.Instances[i]
		if is.Host != v.Host || !is.Up && ss.LookedAt > v.ProvenAt {
			continue // another host; or the look came after the last probe, and says that it fell
		}
		*is = Instance{Host: is.Host, Service: is.Service, Up: true}
		ss.Fresh = true
	}
}

func first(xs []string) string {
	if len(xs) == 0 {
		return ""
	}
	return xs[0]
}

// result takes the outcome of the command that is under way.
func (m *mover) result(e Event) {
	v := m.v
	if e.Outcome == Unknown && planted != "unknown is success" {
		m.unknown(e)
		return
	}
	if v.Phase == PhaseHooks && e.Outcome == Success {
		m.s.hooked(v)
	}
	if m.s.Stopping != "" && m.canLeave() {
		m.leave(ResultStopped, m.s.Stopping)
		return
	}
	if e.Outcome == Failure {
		m.failure(e)
		return
	}
	if v.Tries > 0 && e.Sample != nil { // it could not be looked at for a while
		v.Unseen += m.s.At - v.SeenAt
	}
	v.SeenAt, v.Tries, v.Refused = m.s.At, 0, v.Refused && v.Failing != ""
	switch v.Phase {
	case PhasePrecheck:
		if e.Closed != "" {
			m.gated(e.Closed)
			return
		}
		if len(v.Drains) > 0 {
			v.Drained, v.InRotation = e.Drains, e.InRotation
		}
		m.next()
	case PhaseStage:
		if v.To == 0 { // else the step that was left knows what ran well before it
			v.From = e.From
		}
		v.To = e.To
		m.next()
	case PhaseRecord:
		v.Recorded = true
		m.next()
	case PhaseWait:
		m.waited(e)
	case PhaseSwitch:
		v.Switched = true
		m.seen(e)
		m.next()
	case PhaseRevertSwitch:
		v.Replace = e.Before
		m.next()
	case PhaseUnits:
		if e.Forgot {
			m.drainAgain(e)
			return
		}
		m.next()
	case PhaseDrain:
		if e.Drains != nil {
			v.Drained = e.Drains
		}
		m.next()
	case PhaseHealthy, PhaseRevertHealthy:
		m.sampled(e)
	case PhaseUndrain:
		v.Drained, v.Draining, v.InRotation = nil, false, e.InRotation
		m.next()
	case PhaseClear:
		v.Recorded = false
		m.next()
	default:
		m.next()
	}
}

// drainAgain drains anew what a balancer has forgotten. What a hand had taken out, and
// is in rotation again, is now ours to drain and to undrain: the record says so first.
func (m *mover) drainAgain(e Event) {
	if len(e.Drains) > len(m.v.Drained) {
		m.v.Drained = e.Drains
		m.enter(PhaseRecord)
		return
	}
	m.enter(PhaseDrain)
}

// seen notes which processes run now, so that the restart is of these and no
// later ones. A process that started after the switch needs none.
func (m *mover) seen(e Event) {
	if e.Before != nil {
		m.v.Before = e.Before
	}
}

// place is a phase in the order of a visit, and whether there is anything to do in it.
type place struct {
	phase Phase
	due   bool
}

// next goes on to the phase that follows, passing over those with nothing to do.
func (m *mover) next() {
	v := m.v
	loud := len(v.Drains) > 0 && len(v.Drained) > 0
	order := []place{
		{PhasePrecheck, true},
		{PhaseStage, v.Written},
		{PhaseHooks, len(v.Hooks) > 0},
		{PhaseRecord, !v.Quiet && (loud || v.Recover || v.has("stop"))}, // else what disturbs it writes the record itself
		{PhaseBudget, !v.Switched && (m.s.agedSince(v) || !m.s.windowsOpen(v))},
		{PhaseDrain, loud},
		{PhaseWait, loud},
		{PhaseStop, v.has("stop") && !v.Switched},
		{PhaseSwitch, v.Written && !v.Switched},
		{PhaseUnits, v.hasStarts()},
		{PhaseHealthy, len(v.Watch) > 0 && planted != "undrained before healthy"},
		{PhaseRevertSwitch, false},
		{PhaseRevertUnits, v.Reverting},
		{PhaseRevertHealthy, v.Reverting && len(v.Watch) > 0 && planted != "revert skips health"},
		{PhaseUndrain, v.LeftDrained()},
		{PhaseClear, v.Recorded},
		{PhaseVerify, v.Failing == ""},
	}
	plantOrder(order)
	at := slices.IndexFunc(order, func(o place) bool { return o.phase == v.Phase })
	for _, o := range order[at+1:] {
		if v.Reverting && (o.phase == PhaseVerify) || !o.due {
			continue
		}
		if o.phase == PhaseBudget { // it has no command: schedule lets it go on
			v.Phase, v.Since, v.Attempt = PhaseBudget, m.s.At, v.Attempt+1
			return
		}
		if o.phase == PhaseStop || o.phase == PhaseSwitch || o.phase == PhaseUnits {
			if h := m.s.mendsNoMore(v); h != nil {
				if m.s.Halted == nil {
					m.s.Halted = h
				}
				m.leave(ResultStopped, h.Reason)
				return
			}
		}
		m.enter(o.phase)
		return
	}
	if v.Failing != "" && planted != "revert reports success" {
		m.end(v.Outcome, v.Failing)
		return
	}
	m.end(ResultDone, "")
}

// agedSince tells whether the look that let v begin is too old by now to disturb
// anything by, for what it needed may have taken long to bring, or another one has come
// since then, which may say otherwise.
func (s *State) agedSince(v *Visit) bool {
	return slices.ContainsFunc(v.Disturbs, func(name string) bool {
		ss := s.service(name)
		return ss != nil && (s.At-ss.LookedAt > freshFor || ss.SeenAt > v.Began)
	})
}

func (v *Visit) has(verb string) bool {
	return slices.ContainsFunc(v.Actions, func(a UnitAction) bool { return string(a.Verb) == verb })
}

func (v *Visit) hasStarts() bool {
	return slices.ContainsFunc(v.Actions, func(a UnitAction) bool { return a.Verb != "stop" })
}

// canLeave tells whether the visit has not yet touched what runs.
func (m *mover) canLeave() bool {
	switch m.v.Phase {
	case PhasePrecheck, PhaseStage, PhaseHooks, PhaseRecord, PhaseDrain, PhaseWait:
		return !m.v.Switched
	}
	return false
}

// leave takes the visit out before anything running was touched: undrain, clear
// the record, end.
func (m *mover) leave(r Result, reason string) {
	v := m.v
	v.Failing, v.Outcome = reason, r
	if !v.Draining && !v.Recover {
		v.Drained = nil // recorded, but never sent
	}
	switch {
	case v.LeftDrained() && v.Recover && len(v.Watch) > 0:
		m.enter(PhaseHealthy) // who left the step may have touched what runs
	case v.LeftDrained() && planted != "stop leaves drained":
		m.enter(PhaseUndrain)
	case v.Recorded:
		m.enter(PhaseClear)
	default:
		m.end(r, reason)
	}
}

// askAgain is the pause between two questions to a gate that is closed.
const askAgain = 2 * time.Second

// gated waits before a closed gate, until progressDeadline.
func (m *mover) gated(reason string) {
	v, st := m.v, m.s.strategy(m.v)
	if !m.s.mayBegin(v) {
		m.putBack(reason + " → waits")
		return
	}
	if waited := m.s.At - v.Since; st.ProgressDeadline > 0 && waited >= st.ProgressDeadline {
		m.leave(ResultFailed, fmt.Sprintf("%s; waited %s", reason, waited.Round(time.Second)))
		return
	}
	v.Reason = reason + " → waits"
	m.again(askAgain)
}

// waited judges how many sessions are left.
func (m *mover) waited(e Event) {
	v, st := m.v, m.s.strategy(m.v)
	switch {
	case e.Forgot:
		m.enter(PhaseDrain)
	case e.Sessions == 0:
		m.next()
	case m.s.At-v.Since >= st.DrainTimeout && (e.Sessions < 0 || st.OnDrainTimeout == desired.DrainTimeoutContinue):
		m.next() // nobody can count them, or they may be cut: the time given is over
	case m.s.At-v.Since >= st.DrainTimeout:
		m.leave(ResultFailed, fmt.Sprintf("sessions did not end: %d left after %s", e.Sessions, st.DrainTimeout))
	default:
		v.Reason = fmt.Sprintf("%d session%s left", e.Sessions, plural(e.Sessions))
		m.again(pollEvery(m.s.At - v.Since))
	}
}

// wayBackTries is how often what fails on the way back is tried again.
const wayBackTries = 2

// early is how long a step that has disturbed nothing yet may go without an answer.
const early = 20 * time.Second
