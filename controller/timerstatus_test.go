package controller

import (
	"testing"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// A timer runs, and what it has started failed: that is told, also where all units are as
// they should be.
func TestFailedRun(t *testing.T) {
	inst := &desired.Instance{Service: "job", Units: []desired.Unit{{Name: "job.service"}, {Name: "job.timer", State: "started"}}}
	units := map[string]hostdriver.UnitState{
		"job.timer":   {Load: "loaded", Active: "active", Sub: "waiting", Triggers: []string{"job.service"}},
		"job.service": {Load: "loaded", Active: "inactive", Result: "success"},
	}
	if why := failedRun(inst, units); why != "" {
		t.Errorf("nothing has failed: %s", why)
	}
	units["job.service"] = hostdriver.UnitState{Load: "loaded", Active: "failed", Result: "exit-code", ExecStatus: 203}
	why, want := failedRun(inst, units), "the last run of job.service, which job.timer starts, has failed (exit status 203/EXEC)"
	if why != want {
		t.Errorf("got %q, want %q", why, want)
	}
	s := instanceSight{judged: true, failedRun: why, InstanceStatus: InstanceStatus{Sync: Synced}}
	if got := s.with(rollout.Instance{Up: true}); got.Health != Degraded || got.Sync != Synced || got.Reason != want {
		t.Errorf("its status is %+v", got)
	}
	inst.Units[1].State = ""
	if why := failedRun(inst, units); why != "" {
		t.Errorf("the timer is not ours to run: %s", why)
	}
}
