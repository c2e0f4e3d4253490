package main

import (
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/rollout"
)

// operator is who runs `apply`, again and again, as a person would: while things go
// wrong, once they have stopped, and after having mended what only a person can.
type operator struct {
	sim      *simulation
	stage    stage
	revision int    // the newest pushed
	only     string // the service that this pass is confined to, as by --service
	current  *controller
	passes   int // of this stage
	last     string
	same     int // how often the verdict was the same on end
	waiting  bool
	busy     int  // how often a host was still at work
	late     int  // how often an instance was not up in the end
	undo     bool // the next pass goes back
	undoing  bool // this one does
}

// maxLate is how often the operator waits in the end for everything to be up.
const maxLate = 10

// maxBusy is how often the operator waits for hosts that are still at work.
const maxBusy = 40

// stage is what the operator is at.
type stage int

const (
	stageFaults stage = iota // faults happen
	stageSettle              // no fault happens any more; what people did stays
	stageMend                // everything is mended, and a good revision pushed
	stageOver
)

// How often apply is run in a stage.
const (
	faultPasses  = 6
	settlePasses = 10
	mendPasses   = 16
)

// pause is how long the operator looks at the screen between two passes.
const pause = 3 * time.Second

// push makes the next revision known and tells whether there was one. The last one is
// kept for the stage where everything is mended.
func (o *operator) push() bool {
	if o.stage != stageFaults || o.revision+2 >= len(o.sim.sc.Revisions) {
		return false
	}
	o.revision++
	return true
}

func (o *operator) newest(was int) int { return max(was, o.revision) }

// apply runs one pass.
func (o *operator) apply() {
	if o.stage == stageOver {
		return
	}
	o.passes++
	o.sim.stats.Passes++
	o.only = o.confine()
	o.undoing = o.undo && o.stage == stageFaults
	o.undo = o.undo && !o.undoing
	o.current = o.sim.begin(o.revision)
	o.undoing = false
}

// over is told that a controller has ended or was killed.
func (o *operator) over(c *controller) {
	if c != o.current {
		o.wait()
		return
	}
	verdict := c.verdict()
	if o.same++; verdict != o.last {
		o.last, o.same = verdict, 1
	}
	o.wait()
}

// wait comes back a little later to decide what to do next.
func (o *operator) wait() {
	if o.waiting {
		return
	}
	o.waiting = true
	o.sim.world.After(pause, func() {
		o.waiting = false
		o.decide()
	})
}

func (o *operator) decide() {
	s := o.sim
	for _, c := range s.controllers {
		if !c.dead && !c.ended {
			return // its end brings us back
		}
	}
	quiet := s.faults.open == 0
	for _, h := range s.world.Hosts {
		if quiet && h.Locked() && o.busy < maxBusy { // what a killed controller began may still go on there
			o.busy++
			o.wait()
			return
		}
	}
	o.busy = 0
	switch o.stage {
	case stageFaults:
		switch {
		case quiet && (o.converged() || o.passes >= faultPasses):
			s.faults.off = true
			o.turn(stageSettle)
		case o.passes >= faultPasses || o.converged():
			o.wait()
		default:
			o.apply()
		}
	case stageSettle:
		if !o.converged() && (o.same < 2 || o.last == verdictDone || o.answersAgain()) && o.passes < settlePasses {
			o.apply()
			return
		}
		s.checkSettled()
		s.mend()
		o.revision = len(s.sc.Revisions) - 1
		o.turn(stageMend)
	case stageMend:
		switch {
		case !quiet:
			o.wait() // a fault at an effect of this very stage
			return
		case !o.converged() && o.passes < mendPasses:
			o.apply()
			return
		case !s.allUp() && o.late < maxLate:
			o.late++ // the balancer has not noticed yet
			o.wait()
			return
		}
		s.checkConverged()
		o.stage = stageOver
	}
}

// turn enters a stage with its first pass.
func (o *operator) turn(st stage) {
	o.stage, o.passes, o.last, o.same = st, 0, "", 0
	o.sim.tracef("stage %d", st)
	o.apply()
}

// confine names the service that kept the last pass from beginning anything. When what
// is down is spread over several hosts and services, visits can stand in each other's
// way, and a person mends one service at a time.
func (o *operator) confine() string {
	if o.stage == stageFaults || o.only != "" || o.current == nil || o.current.state.Halted == nil || o.current.state.Halted.Kind != rollout.HaltBudget {
		return ""
	}
	return o.current.state.Halted.Service
}

// answersAgain tells whether a host that the last pass left alone can be reached by now.
func (o *operator) answersAgain() bool {
	return o.current != nil && slices.ContainsFunc(o.current.plan.Unreachable(), func(name string) bool { return o.sim.world.Host(name).Answers() })
}

// retries tells whether the operator insists on what hosts have refused: once no fault is
// to blame any more, unless what was pushed is known to be bad.
func (o *operator) retries() bool {
	return o.stage == stageMend || o.stage == stageSettle && !o.sim.flawed()
}

func (o *operator) converged() bool { return o.last == verdictNothing && o.only == "" }

// The verdicts of a pass that finds everything as desired, and of one that brings
// everything to what is desired.
const (
	verdictNothing = "nothing to do"
	verdictDone    = "done"
)
