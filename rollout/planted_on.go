//go:build planted

package rollout

import "slices"

// planted is the bug that the simulation has planted, "" where there is none.
var planted string

// Plant makes the engine wrong in one way, so that a test can show that the simulation
// would notice. It exists only under the build tag planted, and holds for all rollouts:
// call it while none is under way.
func Plant(bug string) { planted = bug }

// plantOrder puts two phases the wrong way round.
func plantOrder(order []place) {
	swap := func(a, b Phase) {
		i := slices.IndexFunc(order, func(p place) bool { return p.phase == a })
		j := slices.IndexFunc(order, func(p place) bool { return p.phase == b })
		order[i], order[j] = order[j], order[i]
	}
	switch planted {
	case "record cleared before undrain":
		swap(PhaseUndrain, PhaseClear)
	case "drained before recorded":
		swap(PhaseRecord, PhaseDrain)
	}
}
