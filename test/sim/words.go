package main

import (
	"maps"
	"time"

	"github.com/evenkeel/evenkeel/rollout"
)

// operatorName is whose word it is.
const operatorName = "alice"

// pause is the operator's word that nothing new begins; what it returns ends it.
func (c *controller) pause() (resume func()) {
	c.whenAwake(func() {
		c.paused = true
		c.step(rollout.Event{Kind: rollout.EventPause, By: operatorName, Reason: "let me see"})
	})
	return func() {
		c.whenAwake(func() {
			c.paused = false
			c.step(rollout.Event{Kind: rollout.EventResume, By: operatorName})
		})
	}
}

// patience is after how long the operator answers a rollout that waits for a word.
const patience = 4 * time.Second

// attend lets the operator answer, in a while, a rollout that waits for a word.
func (c *controller) attend() {
	if c.attended || !c.sim.waits || len(c.state.Waits()) == 0 {
		return
	}
	c.attended = true
	after, round := patience, c.rounds
	for _, w := range c.state.Waits() {
		if st := c.sim.shape(w.Service).Strategy; w.Kind == rollout.WaitPromotion && st.Promote == promoteByHand {
			after = seconds(st.PromoteAfter)
		}
	}
	c.sim.world.After(after, func() {
		c.whenAwake(func() {
			c.attended = false
			if c.running && c.rounds == round {
				c.answer(c.state.Waits())
			}
		})
	})
}

// answer is what the operator says to a rollout that waits.
func (c *controller) answer(waits []rollout.Wait) {
	insists := c.sim.operator.stage != stageFaults
	for _, w := range waits {
		switch {
		case w.Kind == rollout.WaitPromotion && (insists || c.sim.shape(w.Service).Strategy.Promote == promoteByHand):
			c.said[w.Service] = true
			c.sim.stats.Promotions++
			c.step(rollout.Event{Kind: rollout.EventPromote, Service: w.Service, By: operatorName})
			return
		case w.Kind == rollout.WaitWindow && (insists || c.sim.sc.Patient):
			return // windows open by themselves
		}
	}
	if len(waits) > 0 {
		c.step(rollout.Event{Kind: rollout.EventBlock})
	}
}

// shape is the service of that name.
func (s *simulation) shape(service string) *Service {
	for i := range s.sc.Services {
		if s.sc.Services[i].Name == service {
			return &s.sc.Services[i]
		}
	}
	return nil
}

// waiting tells whether any rollout of the scenario may wait for a word or a window.
func (sc *Scenario) waiting() bool {
	for i := range sc.Services {
		if st := sc.Services[i].Strategy; st.Canary != "" || len(st.Windows) > 0 {
			return true
		}
	}
	return false
}

// keepPromoted remembers which canaries were accepted for the revision.
func (c *controller) keepPromoted() {
	if c.promoted == nil {
		c.promoted = map[string]bool{}
	}
	maps.Copy(c.promoted, c.state.Promoted())
}

// moveTo takes a newer revision up: what was said of the former one is over.
func (c *controller) moveTo(revision int) {
	if revision != c.revision {
		c.promoted, c.said, c.undo = nil, map[string]bool{}, nil
	}
	c.revision = revision
}

// again tells whether an apply that has ended plans again.
func (c *controller) again() bool {
	if c.state.Halted != nil || c.rounds >= maxRounds || c.state.Aborted {
		return false
	}
	if c.undo == nil || c.state.Stopping != "" {
		return c.state.Replan
	}
	for i := range c.state.Visits {
		if c.state.Visits[i].Recover {
			return true // what was left there is finished; now it goes back
		}
	}
	return c.state.Replan
}
