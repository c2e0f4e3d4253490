package rollout

import (
	"fmt"
	"slices"
	"time"
)

// What follows from an answer that is not the one that was hoped for: health that is yet to
// come, a failure, no word at all.

// soakEvery is the least pause between two looks at what is healthy already.
const soakEvery = 250 * time.Millisecond

// pollEvery is the pause between two looks: short at first, then calmer.
func pollEvery(waited time.Duration) time.Duration {
	return min(time.Second, max(50*time.Millisecond, waited/8))
}

// sampled judges health.
func (m *mover) sampled(e Event) {
	v, st := m.v, m.s.strategy(m.v)
	if e.Sample == nil {
		m.unknown(e)
		return
	}
	fresh := func(unit string) bool {
		// One that is to be started may have been started by a hand meanwhile: what it
		// has read, verify tells.
		return !v.Reverting && slices.ContainsFunc(v.Actions, func(a UnitAction) bool { return a.Unit == unit && a.Verb == "restart" })
	}
	sample := *e.Sample
	if v.Reverting {
		sample = v.former(sample)
	}
	soak, verdict, reason := v.Soak.Judge(sample, v.Before, fresh, st.MinHealthyTime, m.s.At)
	v.Soak, v.Reason = soak, reason
	waited := m.s.At - v.Since - v.Unseen
	switch {
	case verdict == Healthy:
		v.Reason, v.ProvenAt = "", m.s.At
		m.next()
	case verdict == Broken:
		m.unhealthy(reason)
	case waited >= st.HealthyDeadline:
		m.unhealthy(fmt.Sprintf("not healthy after %s: %s", st.HealthyDeadline, reason))
	case soak.Good:
		m.again(min(max(soakEvery, pollEvery(waited)), max(10*time.Millisecond, st.MinHealthyTime-(m.s.At-soak.Since))))
	default:
		m.again(pollEvery(waited))
	}
}

// former is a sample as it counts on the way back: units that did not run before have
// nothing to prove, and what this visit (or the one it recovers) had started must go.
func (v *Visit) former(x Sample) Sample {
	units := map[string]UnitSample{}
	for unit, u := range x.Units {
		if v.Before[unit] == "" {
			if u.Active != "inactive" && u.Active != "failed" && u.Active != "" {
				x.Checks, x.Reason = false, unit+" did not run before, and is "+u.Active
			}
			continue
		}
		if u.Active == "reloading" && u.Invocation == v.Before[unit] { // somebody else does that, to the process from before
			u.Active = "active"
		}
		units[unit] = u
		if u.Invocation == v.Replace[unit] && u.Invocation != v.Before[unit] {
			x.Checks, x.Reason = false, unit+" still runs the process that is to be taken back"
		}
	}
	x.Units = units
	return x
}

// unhealthy ends the wait for health: back to the previous generation where there
// is one and the service wants that.
func (m *mover) unhealthy(reason string) {
	v, st := m.v, m.s.strategy(m.v)
	switch {
	case v.Failing != "" && !v.Reverting: // on the way out, and not fit to be undrained
		m.stuck(fmt.Sprintf("%s; and %s", v.Failing, reason))
	case v.Reverting:
		v.Failing, v.Outcome = reason, ResultFailed
		m.stuck(fmt.Sprintf("%s; the previous generation is not healthy either", v.Failing))
	case v.Quiet || !st.AutoRevert || !v.canRevert():
		why := reason
		if !v.Quiet && st.AutoRevert && v.Written {
			why += "; there is no previous generation to go back to"
		}
		m.stuck(why)
	default:
		v.Failing, v.Outcome, v.Reverting, v.Before = reason, ResultReverted, true, v.RanBefore()
		if v.Switched {
			m.enter(PhaseRevertSwitch)
			return
		}
		m.enter(PhaseRevertUnits)
	}
}

// putAsItWas takes a visit back although nothing speaks against what it brought: somebody
// else has the units in hand, and nothing was done to them.
func (m *mover) putAsItWas(reason string) {
	v := m.v
	v.Failing, v.Outcome, v.Reverting, v.Before = reason, ResultFailed, true, v.RanBefore()
	if v.Switched {
		m.enter(PhaseRevertSwitch)
		return
	}
	m.enter(PhaseRevertUnits)
}

// canRevert tells whether there is something to go back to, or to finish going back to. Generation 0 is what the
// host had before evenkeel: the host kept what was in the place of our files.
func (v *Visit) canRevert() bool { return v.Switched || v.WentBack }

// stuck ends a visit that can neither go on nor back. What it drained stays
// drained: undraining would send traffic to a sick process.
func (m *mover) stuck(reason string) { m.end(ResultFailed, reason) }

// failure takes a definite failure of the command under way.
func (m *mover) failure(e Event) {
	v := m.v
	v.Mend, v.Refused = e.Mend, e.Refused
	if e.Refused && v.Phase != PhasePrecheck && m.tryAgain(e, e.Reason) {
		return // nothing was done, and whoever is there may soon be gone
	}
	switch v.Phase {
	case PhasePrecheck, PhaseStage, PhaseHooks, PhaseRecord, PhaseDrain, PhaseWait:
		if v.Switched && v.Phase != PhasePrecheck { // it is in hand already: go on
			m.retry(e, e.Reason)
			return
		}
		if v.Switched {
			m.stuck(e.Reason)
			return
		}
		m.leave(conflictOr(e, ResultFailed), e.Reason)
	case PhaseStop:
		m.leave(ResultFailed, e.Reason)
	case PhaseSwitch:
		m.leave(conflictOr(e, ResultFailed), e.Reason)
	case PhaseUnits:
		if e.Refused && !v.Quiet && !v.Reverting && !v.WentBack {
			m.putAsItWas(e.Reason)
			return
		}
		m.unhealthy(e.Reason)
	case PhaseHealthy, PhaseRevertHealthy:
		if e.Conflict { // the host took the change back by itself
			m.unhealthy(e.Reason)
			return
		}
		m.retry(e, e.Reason)
	case PhaseRevertSwitch, PhaseRevertUnits:
		if v.Tries < wayBackTries && !e.Conflict && m.tryAgain(e, e.Reason) {
			return // a start limit that a crash loop used up is reset by the next start
		}
		m.stuck(fmt.Sprintf("%s; going back failed: %s", v.Failing, e.Reason))
	case PhaseUndrain, PhaseClear:
		m.retry(e, e.Reason)
	case PhaseVerify:
		m.end(conflictOr(e, ResultFailed), e.Reason)
	}
}

func conflictOr(e Event, r Result) Result {
	if e.Conflict {
		return ResultConflict
	}
	return r
}

// unknown takes a lost reply: the command is sent again, for each looks before it
// acts, until the phase's time is over.
func (m *mover) unknown(e Event) {
	if planted == "unknown is failure" { // and the next host's turn
		m.v.Phase, m.v.Result, m.v.Reason = PhaseEnded, ResultStopped, e.Reason
		return
	}
	m.retry(e, orElse(e.Reason, "no answer"))
}

// retry sends the command again with growing pauses, until patience ends.
func (m *mover) retry(e Event, reason string) {
	if m.tryAgain(e, reason) {
		return
	}
	v := m.v
	switch v.Phase {
	case PhasePrecheck, PhaseStage, PhaseHooks, PhaseRecord, PhaseDrain, PhaseWait:
		if !v.Switched {
			m.leave(ResultLost, reason)
			return
		}
	case PhaseUnits, PhaseRevertUnits:
		if e.Outcome == Unknown && len(v.Watch) > 0 { // a start that does not end, or no answer: a look tells
			m.next()
			return
		}
	case PhaseHealthy:
		if e.Outcome == Failure {
			m.unhealthy(reason)
			return
		}
	}
	m.end(ResultLost, reason)
}

// tryAgain sends the command again, or tells that the phase's time is over.
func (m *mover) tryAgain(e Event, reason string) bool {
	v, st := m.v, m.s.strategy(m.v)
	v.Reason = reason
	limit := st.HealthyDeadline
	switch v.Phase {
	case PhasePrecheck, PhaseStage, PhaseRecord:
		limit = min(early, st.HealthyDeadline)
	case PhaseHooks: // one that was begun holds the host until it has ended
		limit = early + v.HookTime()
	case PhaseDrain, PhaseWait:
		limit = max(early, st.DrainTimeout)
	case PhaseUndrain:
		limit = max(st.HealthyDeadline, st.ProgressDeadline)
	case PhaseHealthy, PhaseRevertHealthy:
		if e.Outcome == Unknown { // not to be seen is not unhealthy
			limit = max(st.HealthyDeadline, st.ProgressDeadline)
		}
	}
	if m.s.At-v.Since >= limit {
		return false
	}
	v.Tries++
	m.again(min(5*time.Second, 100*time.Millisecond<<min(v.Tries, 6)))
	return true
}
