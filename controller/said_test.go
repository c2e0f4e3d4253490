package controller

import (
	"testing"

	"github.com/evenkeel/evenkeel/rollout"
)

// What an operator said before a rollout begins is heard before it, in order; effects are
// not an operator's word.
func TestSaid(t *testing.T) {
	control := make(chan rollout.Event, 4)
	if got := said(control); got != nil {
		t.Errorf("nobody said anything: %v", got)
	}
	control <- rollout.Event{Kind: rollout.EventPause}
	control <- rollout.Event{Kind: rollout.EventResult}
	control <- rollout.Event{Kind: rollout.EventStop}
	got := said(control)
	if len(got) != 2 || got[0].Kind != rollout.EventPause || got[1].Kind != rollout.EventStop {
		t.Errorf("%v", got)
	}
	close(control)
	if got := said(control); got != nil {
		t.Errorf("nobody can say anything any more: %v", got)
	}
	if got := said(nil); got != nil {
		t.Errorf("there is nobody: %v", got)
	}
}
