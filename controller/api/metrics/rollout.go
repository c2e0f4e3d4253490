package metrics

import (
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/rollout"
)

// phases are those that a host can be in, beside waiting and ended.
var phases = []rollout.Phase{rollout.PhasePrecheck, rollout.PhaseStage, rollout.PhaseHooks, rollout.PhaseRecord, rollout.PhaseBudget, rollout.PhaseDrain, rollout.PhaseWait,
	rollout.PhaseStop, rollout.PhaseSwitch, rollout.PhaseUnits, rollout.PhaseHealthy, rollout.PhaseRevertSwitch, rollout.PhaseRevertUnits,
	rollout.PhaseRevertHealthy, rollout.PhaseUndrain, rollout.PhaseClear, rollout.PhaseVerify}

// rollout tells of the one under way, or of the last one.
func (g gatherer) rollout() {
	r := g.s.Rollout
	counts := map[string]int{"waiting": 0, "ended": 0}
	for _, p := range phases {
		counts[string(p)] = 0
	}
	left := 0
	if r != nil {
		for _, v := range r.State.Visits {
			switch {
			case v.Phase == rollout.PhaseEnded:
				counts["ended"]++
			case !r.Ended.IsZero():
			case v.Phase == rollout.PhasePending:
				counts["waiting"]++
			default:
				counts[string(v.Phase)]++
			}
			if v.Phase == rollout.PhaseEnded && v.LeftDrained() {
				left++
			}
		}
	}
	for phase, n := range counts {
		g.gauge(rolloutPhase, float64(n), phase)
	}
	g.gauge(leftDrained, float64(left))
	g.gauge(rolloutRunning, truth(r != nil && r.Ended.IsZero()))
	g.gauge(rolloutHalted, truth(r != nil && r.State.Halted != nil))
	if r == nil {
		return
	}
	g.moment(rolloutBegan, r.Began)
	g.moment(rolloutEnded, r.Ended)
	for _, result := range []controller.Result{controller.Converged, controller.Errored, controller.Stopped, controller.Failed, controller.Unreachable,
		controller.Halted, controller.Reverted, controller.Blocked} {
		g.gauge(rolloutResult, truth(r.Outcome != nil && r.Outcome.Result == result), string(result))
	}
}
