package show

import (
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
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
