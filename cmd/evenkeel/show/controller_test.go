package show

import (
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/rollout"
)

// What keeps a controller from its work stands in its status, with the mend.
func TestControllerTellsWhatKeepsItFromItsWork(t *testing.T) {
	now := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	s := controller.Snapshot{At: now.Add(-time.Second), Controller: "keel-1",
		Conditions: controller.Conditions{{Type: controller.Reconciled, Status: controller.False, Reason: controller.FrozenReason, Message: "store /s.db: the file is damaged (restore a backup)"}},
		Report:     controller.Report{Hosts: []controller.HostStatus{{Name: "h1"}, {Name: "h2"}, {Name: "h3"}}},
		HostConditions: map[string]controller.Conditions{
			"h1": {{Type: controller.Watched, Status: controller.True, Reason: "Watching"}},
			"h2": {{Type: controller.Watched, Status: controller.False, Reason: controller.BlindReason, Message: "cannot watch h2: systemd-stdio-bridge is not there"}},
		}}
	text := Controller(s, now)
	for _, want := range []string{"✘ nothing is changed: store /s.db: the file is damaged (restore a backup)", "1 host is polled, not watched: cannot watch h2: systemd-stdio-bridge is not there"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	s.HostConditions["h3"], s.Conditions = s.HostConditions["h2"], nil
	text = Controller(s, now)
	if !strings.Contains(text, "2 hosts are polled, not watched: cannot watch h2") || strings.Contains(text, "nothing is changed") {
		t.Errorf("%s", text)
	}
}

// A rollout's head tells where it leads to, and why only where that is something else.
func TestRolloutHead(t *testing.T) {
	now := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	revision := strings.Repeat("4f1c2d9e", 5)
	state := func(v rollout.Visit) rollout.State {
		return rollout.State{ID: "r1", Revision: revision, Visits: []rollout.Visit{v}}
	}
	for want, r := range map[string]controller.RolloutStatus{
		"rollout r1 to 4f1c2d9  under way for 5.0s":              {Began: now.Add(-5 * time.Second), Why: "revision 4f1c2d9", State: state(rollout.Visit{})},
		"rollout r1 to 4f1c2d9  drift; under way for 5.0s":       {Began: now.Add(-5 * time.Second), Why: "drift", State: state(rollout.Visit{})},
		"rollout r1 back from 4f1c2d9  slow; under way for 5.0s": {Began: now.Add(-5 * time.Second), Why: "slow", State: state(rollout.Visit{Undo: &rollout.Undone{}})},
	} {
		if got := Plain(RolloutHead(r, now)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
