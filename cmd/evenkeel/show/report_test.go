package show

import (
	"fmt"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

const commit = "4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a"

func TestStatus(t *testing.T) {
	r := controller.Report{Revision: commit, Instances: []controller.InstanceStatus{
		{Host: "web-1", Service: "gateway", Sync: controller.Synced, Health: controller.Healthy, Revision: commit},
		{Host: "web-2", Service: "gateway", Sync: controller.OutOfSync, Health: controller.Healthy, Revision: commit, Stale: true, Reason: "auth.service: stale: TOKEN is not what the process has"},
		{Host: "web-2", Service: "a-long-service-name", Sync: controller.OutOfSync, Health: controller.Progressing, Rollout: "healthy", Reason: "status 503"},
		{Host: "web-3", Service: "gateway", Sync: controller.UnknownSync, Health: controller.UnknownHealth, Reason: "unreachable: \x1b[31mno answer"},
	}, Hosts: []controller.HostStatus{{Name: "web-1", Reachable: true}, {Name: "web-2", Reachable: true}, {Name: "web-3", Reason: "unreachable: \x1b[31mno answer"}}}
	golden(t, "status", Status(r))
	r.Hosts = nil
	for n := range 6 {
		r.Hosts = append(r.Hosts, controller.HostStatus{Name: fmt.Sprintf("web-%d", n+1), Reason: fmt.Sprintf("unreachable: dial tcp 192.0.2.%d:22: i/o timeout", n+1)},
			controller.HostStatus{Name: fmt.Sprintf("db-%d", n+1), Reachable: true, Suspended: true, Reason: "suspended: the disks are replaced"})
	}
	r.Hosts = append(r.Hosts, controller.HostStatus{Name: "last", Reason: "did not answer in time"})
	golden(t, "status_alike", Status(r))
	golden(t, "status_none", Status(controller.Report{Revision: "checkout-1"}))
}

func TestCheck(t *testing.T) {
	good := func(name, detail string) controller.Checked {
		return controller.Checked{Name: name, Verdict: controller.Good, Detail: detail}
	}
	golden(t, "check", Check([]controller.HostCheck{
		{Host: "web-1", Items: []controller.Checked{good("reach", ""), good("host key", ""), good("login", ""), good("become", ""), good("systemd", "252"), good("disk", "20 GiB free"), good("clock", "")},
			Balancers: []controller.Checked{good("haproxy tcp://lb-1:9999 gateway/web-1", "UP")}},
		{Host: "web-10", Items: []controller.Checked{good("reach", ""), {Name: "host key", Verdict: controller.Bad, Detail: "hostkey: it shows another key", Mend: "ssh-keygen -R web-10"},
			{Name: "login", Verdict: controller.NotKnown}}, Balancers: []controller.Checked{
			{Name: "haproxy a", Verdict: controller.Warn, Detail: "MAINT"}, good("haproxy b", "UP")}},
	}, nil))
	var many []controller.HostCheck
	addresses := map[string]string{}
	for n := range 20 {
		host, address := fmt.Sprintf("h%d", n+1), fmt.Sprintf("192.0.2.%d", n+1)
		addresses[host] = address
		h := controller.HostCheck{Host: host, Items: []controller.Checked{good("reach", ""), good("login", ""), {Name: "become", Verdict: controller.Bad, Detail: "as deploy: sudo: a password is required", Mend: "visudo"}, {Name: "disk", Verdict: controller.NotKnown}}}
		switch n {
		case 4:
			h.Items = []controller.Checked{good("reach", ""), good("login", ""), good("become", ""), good("disk", "20 GiB free")}
		case 7, 8:
			h.Items = []controller.Checked{{Name: "reach", Verdict: controller.Bad, Detail: "dial tcp " + address + ":22: i/o timeout", Mend: "ssh -v " + address}}
		case 9, 10: // a warning is one, whatever else is well
			h.Items = []controller.Checked{good("reach", ""), good("login", ""), good("become", ""), good("systemd", fmt.Sprint(240+n)), {Name: "clock", Verdict: controller.Warn, Detail: host + " is ahead"}}
		}
		many = append(many, h)
	}
	golden(t, "check_alike", Check(many, addresses))
	golden(t, "check_good", Check([]controller.HostCheck{{Host: "web-1", Items: []controller.Checked{good("reach", "")}}}, nil))
}

func TestOutcome(t *testing.T) {
	done := rollout.Visit{Host: "web-1", Services: []string{"gateway"}, Written: true, Actions: []rollout.UnitAction{{Unit: "gateway.service", Verb: hostdriver.VerbRestart}}}
	done.Phase, done.Result, done.Began, done.Since = rollout.PhaseEnded, rollout.ResultDone, time.Second, 13*time.Second
	back := rollout.Visit{Host: "web-2", Services: []string{"gateway"}}
	back.Phase, back.Result, back.Reason, back.Since = rollout.PhaseEnded, rollout.ResultReverted, "not healthy after 5m0s: status 503", 5*time.Minute
	pending := rollout.Visit{Host: "web-3", Services: []string{"gateway"}}
	st := rollout.State{ID: "r", Halted: &rollout.Halt{Kind: rollout.HaltReverted, Host: "web-2", Reason: back.Reason}, Visits: []rollout.Visit{done, back, pending}}
	st.Visits[1].Drained = []hostdriver.DrainRecord{{Service: "gateway", Adapter: "haproxy", Spec: map[string]string{"address": "tcp://lb-1:9999", "backend": "gateway", "server": "web-2"}}}
	st.Visits[1].Mend = "look at the journal"
	plan := rollout.Plan{Revision: commit, Hosts: []rollout.HostPlan{{Host: "web-1", Reachable: true}, {Host: "web-2", Reachable: true}, {Host: "web-3", Reachable: true}}}
	golden(t, "outcome_reverted", Outcome(controller.OutcomeOf(controller.Ended{Plan: plan, State: st})))
	st = rollout.State{ID: "r", Visits: []rollout.Visit{done}}
	golden(t, "outcome_converged", Outcome(controller.OutcomeOf(controller.Ended{Plan: plan, State: st})))
}

func TestExplain(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	golden(t, "explain", Explain(controller.Explanation{
		Changed: &controller.CommitInfo{Author: "Ada\x1b[2J", Committed: time.Date(2026, 2, 28, 9, 0, 0, 0, time.UTC), Subject: "gateway: a newer program", ID: "4f1c2d9"},
		Journal: []controller.LogLine{
			{At: time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC), Unit: "gateway.service", Identifier: "(gateway)", Priority: 3, Message: "gateway.service: Failed at step EXEC spawning /opt/gw/gateway: No such file or directory"},
			{At: time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC), Unit: "gateway.service", Identifier: "gw", Priority: 6, Message: "\x1b]0;title\x07\nand more"},
		},
		JournalLost: true,
		Status:      controller.InstanceStatus{Host: "web-1", Service: "gateway", Sync: controller.OutOfSync, Health: controller.Degraded, Stale: true, Reason: "gateway.service is failed (exit status 203/EXEC)"},
		Revision:    commit,
		Facts: &controller.HostFacts{Systemd: "252", Clock: now, Generation: 7, Applied: commit, Kept: []uint64{5, 6, 7}, Holder: "apply deploy@build-1 pid 4711",
			Step: &hostdriver.StepRecord{Phase: "wait", Since: now.Add(-time.Minute), Holder: "apply deploy@build-1 pid 4711",
				Drained: []hostdriver.DrainRecord{{Service: "gateway", Adapter: "haproxy", Spec: map[string]string{"backend": "gateway", "server": "web-1"}}}}},
		Units: []controller.UnitFacts{
			{Name: "gateway.service", Want: "started", Active: "failed", Sub: "failed", Enabled: "enabled", Result: "exit status 203/EXEC", Since: now.Add(-90 * time.Minute), Ended: now.Add(-80 * time.Minute), Restarts: 5},
			{Name: "gateway.timer", Want: "started", Active: "active", Sub: "waiting", Enabled: "enabled", Since: now.Add(-26 * time.Hour), LastRun: now.Add(-2 * time.Hour), NextRun: now.Add(22 * time.Hour), Generation: 7, Exe: "/opt/gw/gateway", Replaced: true, Behind: "TOKEN is not what the process has", Stale: true, Foreign: []string{"/etc/systemd/system/gateway.timer.d/x.conf"}},
		},
		Env:     []controller.EnvFacts{{Path: "/etc/gateway.env", Keys: []string{"PORT", "TOKEN"}, Secret: []string{"TOKEN"}, Differs: []string{"PORT"}}},
		Checks:  []controller.CheckFacts{{Check: "http 127.0.0.1:8080/healthz", Reason: "connection refused", Mend: "does it listen there?"}, {Check: "unit: every started one", OK: true, Reason: "active"}},
		Traffic: []controller.TrafficFacts{{Balancer: "haproxy tcp://lb-1:9999 gateway/web-1", State: "DRAIN", Sessions: 3}},
		Changes: []rollout.Change{{Service: "gateway", Kind: rollout.KindEnv, Action: rollout.ActionUpdate, Subject: "/etc/gateway.env", Keys: []string{"PORT"}, Reason: "drift: edited on the host", Diff: "@@ -1 +1 @@\n-PORT=1\n+PORT=2\n"}},
		Causes:  []controller.Cause{{Subject: "gateway.service", Cause: "the program of ExecStart= is missing", Mend: "declare it under artifacts"}},
	}, DiffShort))
	golden(t, "explain_gone", Explain(controller.Explanation{
		Status:   controller.InstanceStatus{Host: "web-3", Service: "gateway", Sync: controller.UnknownSync, Health: controller.UnknownHealth, Reason: "unreachable: no answer"},
		Revision: "checkout-0123456789ab", Mend: "power it on", Traffic: []controller.TrafficFacts{{Balancer: "haproxy tcp://lb-1:9999 gateway/web-3", State: "DOWN (L4TOUT)"}},
	}, DiffShort))
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0.0s", -time.Second: "0.0s", 1490 * time.Millisecond: "1.4s", 12*time.Second + 900*time.Millisecond: "12s",
		185 * time.Second: "3m5s", 130 * time.Minute: "2h10m", 99 * time.Hour: "4d3h"} {
		if got := Duration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
