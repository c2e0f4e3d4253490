package show

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

const envDiff = `--- /etc/nullspace/gateway.env
+++ /etc/nullspace/gateway.env
@@ -1,2 +1,2 @@
 NAME=%[1]s
-PORT=8080
+PORT=8081
`

// changedHost has a new env file and a unit that is restarted for it.
func changedHost(name string) rollout.HostPlan {
	return rollout.HostPlan{Host: name, Reachable: true, Changes: []rollout.Change{
		{Host: name, Service: "gateway", Kind: rollout.KindEnv, Action: rollout.ActionUpdate, Subject: "/etc/nullspace/gateway.env",
			From: "aaa" + name, To: "bbb" + name, Keys: []string{"PORT"}, Reason: "content changes", Diff: fmt.Sprintf(envDiff, name)},
		{Host: name, Service: "gateway", Kind: rollout.KindProcess, Action: rollout.ActionRestart, Subject: "nullspace-gateway.service",
			Keys: []string{"PORT"}, Disruption: rollout.Restart, Reason: "PORT is not what the process has"},
	}}
}

func restartOf(id int, host, service string) rollout.Visit {
	return rollout.Visit{ID: id, Host: host, Services: []string{service}, Disturbs: []string{service}, Drains: []string{service}, Written: true,
		Actions: []rollout.UnitAction{{Service: service, Unit: "nullspace-" + service + ".service", Verb: hostdriver.VerbRestart}}}
}

func quiet(id int, host, service string, verbs ...hostdriver.UnitVerb) rollout.Visit {
	v := rollout.Visit{ID: id, Host: host, Quiet: true, Services: []string{service}, Written: true}
	for _, verb := range verbs {
		v.Actions = append(v.Actions, rollout.UnitAction{Service: service, Unit: service + ".service", Verb: verb})
	}
	return v
}

// serviceOf has one instance on each host; down names those that are, with reasons.
func serviceOf(name string, hosts []string, down map[string]string) rollout.ServicePlan {
	sp := rollout.ServicePlan{Service: name, Drains: name != "auth"}
	for _, h := range hosts {
		why, isDown := down[h]
		sp.Instances = append(sp.Instances, rollout.Instance{Host: h, Service: name, Up: !isDown, Definite: isDown, Unreachable: why == "unreachable", Reason: why})
	}
	sp.Budget = rollout.NewBudget(name, sp.Strategy, sp.Instances, nil)
	return sp
}

func webs(from, to int) []string {
	var names []string
	for i := from; i <= to; i++ {
		names = append(names, fmt.Sprintf("web-%d", i))
	}
	return names
}

func TestPlanOfTwentyEqualHostsReadsLikeOne(t *testing.T) {
	p := rollout.Plan{Revision: "4f1c2d9"}
	for i, h := range webs(1, 20) {
		p.Hosts = append(p.Hosts, changedHost(h))
		p.Visits = append(p.Visits, restartOf(i, h, "gateway"))
	}
	p.Services = []rollout.ServicePlan{serviceOf("gateway", webs(1, 20), nil)}
	p.Services[0].Batches = []int{1, 5, 5, 5, 4}
	golden(t, "plan_twenty", Plan(p, PlanOptions{}))
}

func TestPlanWithCanaries(t *testing.T) {
	var text strings.Builder
	for _, c := range []struct {
		canary  rollout.CanaryPlan
		promote desired.Promote
	}{
		{rollout.CanaryPlan{Size: 1, Hosts: webs(1, 1), Following: webs(2, 5)}, desired.Promote{}},
		{rollout.CanaryPlan{Size: 3, Current: webs(6, 7), Hosts: webs(1, 1), Following: webs(2, 5)}, desired.Promote{Auto: true, After: 10 * time.Minute}},
		{rollout.CanaryPlan{Size: 2, Current: webs(6, 7), Following: webs(1, 5)}, desired.Promote{}},
		{rollout.CanaryPlan{Size: 1, Current: webs(6, 7), Promoted: true}, desired.Promote{}},
	} {
		p := rollout.Plan{Revision: "4f1c2d9"}
		for i, h := range webs(1, 5) {
			p.Hosts = append(p.Hosts, rollout.HostPlan{Host: h, Reachable: true, Changes: changedHost(h).Changes[1:]})
			p.Visits = append(p.Visits, restartOf(i, h, "gateway"))
		}
		p.Services = []rollout.ServicePlan{serviceOf("gateway", webs(1, 7), nil)}
		p.Services[0].Canary, p.Services[0].Strategy.Promote = &c.canary, c.promote
		text.WriteString(Plan(p, PlanOptions{}) + "\n")
	}
	golden(t, "plan_canary", text.String())
}

func TestPlanWithSuspensionsAndWindows(t *testing.T) {
	p := rollout.Plan{Revision: "4f1c2d9", WindowsIgnored: []string{"auth: windows closed, outside of every allow window"}}
	for i, h := range webs(1, 6) {
		hp := changedHost(h)
		if hp.Changes = hp.Changes[1:]; i > 1 {
			hp.Changes = nil
		}
		p.Hosts = append(p.Hosts, hp)
	}
	p.Hosts[2].Suspended = []rollout.SuspendedPlan{{Reason: "suspended: its disk is being replaced", Changes: 3}}
	p.Hosts[3].Reachable, p.Hosts[3].Suspended = false, []rollout.SuspendedPlan{{Reason: "suspended: its disk is being replaced"}}
	p.Hosts[4].Suspended = []rollout.SuspendedPlan{{Service: "auth", Reason: "suspended", Changes: 1}}
	p.Hosts[5].Suspended = []rollout.SuspendedPlan{{Service: "auth", Reason: "suspended"}}
	p.Services = []rollout.ServicePlan{serviceOf("gateway", webs(1, 6), nil)}
	p.Services[0].Window = &rollout.Opening{Opening: desired.Opening{Until: time.Date(2026, 3, 2, 22, 0, 0, 0, time.UTC), Why: "outside of every allow window"}}
	p.Visits = []rollout.Visit{restartOf(0, "web-1", "gateway"), restartOf(1, "web-2", "gateway")}
	golden(t, "plan_held", Plan(p, PlanOptions{}))
}

func TestPlanOfAMixedFleet(t *testing.T) {
	hosts := webs(1, 5)
	p := rollout.Plan{Revision: "4f1c2d9", Warnings: []string{"service ledger is suspended"}}
	p.Hosts = []rollout.HostPlan{
		changedHost("web-1"), changedHost("web-2"),
		{Host: "web-3", Reason: "unreachable: dial tcp 192.0.2.13:22: connection refused", Changes: []rollout.Change{}},
		{Host: "db-1", Reason: "unreachable: dial tcp 192.0.2.131:22: connection refused", Changes: []rollout.Change{}},
		{Host: "web-4", Reachable: true, Changes: []rollout.Change{
			{Host: "web-4", Service: "gateway", Kind: rollout.KindUser, Action: rollout.ActionCreate, Subject: "nullspace", To: "/opt/nullspace", Reason: "user does not exist"},
			{Host: "web-4", Service: "gateway", Kind: rollout.KindDirectory, Action: rollout.ActionUpdate, Subject: "/var/lib/nullspace", From: "root:root 0755", To: "nullspace:nullspace 0750", Reason: "owner or mode differs"},
			{Host: "web-4", Service: "gateway", Kind: rollout.KindArtifact, Action: rollout.ActionUpdate, Subject: "/opt/nullspace/gateway", From: "0a1b2c3d4e5f", To: "f5e4d3c2b1a0", Reason: "artifact gateway has another release"},
			{Host: "web-4", Service: "gateway", Kind: rollout.KindEnable, Action: rollout.ActionEnable, Subject: "gateway.service", From: "disabled", To: "enabled", Reason: "does not start at boot"},
			{Host: "web-4", Service: "gateway", Kind: rollout.KindProcess, Action: rollout.ActionStart, Subject: "gateway.service", From: "inactive", To: "active", Reason: "is not running"},
		}},
		{Host: "web-5", Reachable: true, Changes: []rollout.Change{}},
	}
	p.Services = []rollout.ServicePlan{serviceOf("gateway", hosts, map[string]string{"web-3": "unreachable", "web-4": "gateway.service is inactive"})}
	p.Services[0].After = []string{"simulator"}
	p.Visits = []rollout.Visit{quiet(0, "web-4", "gateway", hostdriver.VerbStart), restartOf(1, "web-1", "gateway"), restartOf(2, "web-2", "gateway")}
	golden(t, "plan_mixed", Plan(p, PlanOptions{Addresses: map[string]string{"web-3": "192.0.2.13", "db-1": "192.0.2.131"}, Mends: map[string]string{"web-3": "is sshd running there? ssh -p 22 192.0.2.13"}}))
}

func TestPlanWithProblemsFaultsAndAnUnfinishedStep(t *testing.T) {
	held := changedHost("web-2")
	held.Problems = []rollout.Problem{{Host: "web-2", Service: "gateway", Subject: "nullspace-gateway.service", Reason: "is masked on the host", Mend: "systemctl unmask nullspace-gateway.service"}}
	p := rollout.Plan{Revision: "checkout-1234", Hosts: []rollout.HostPlan{
		{Host: "web-1", Reachable: true, Recover: &hostdriver.StepRecord{Holder: "apply deploy@build-1 pid 4711", Phase: "restart", Services: []string{"gateway"}, Since: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}},
		held,
		{Host: "web-3", Reachable: true, Problems: []rollout.Problem{{Host: "web-3", Reason: "a template never ends"}}},
		{Host: "web-4", Reachable: false, Reason: "not among the hosts asked for"},
	}}
	p.Visits = []rollout.Visit{{Host: "web-1", Recover: true, Services: []string{"gateway"}}}
	golden(t, "plan_problems", Plan(p, PlanOptions{
		Skipped: map[string]bool{"web-4": true}, Cut: []string{"web-1"},
		Faults: []desired.Fault{{Pos: desired.Position{File: "services/ledger/service.yaml", Line: 7, Column: 3}, Service: "ledger", Message: `unknown key "selektor"`, Mend: `did you mean "selector"?`}},
	}))
}

func TestPlanNamesAStaleSecretButNoValue(t *testing.T) {
	p := rollout.Plan{Hosts: []rollout.HostPlan{{Host: "web-1", Reachable: true, Changes: []rollout.Change{
		{Host: "web-1", Service: "auth", Kind: rollout.KindProcess, Action: rollout.ActionRestart, Subject: "auth.service", Keys: []string{"TOKEN"},
			Stale: true, Disruption: rollout.Restart, Reason: "stale: TOKEN is not what the process has"},
	}}, {Host: "web-2", Reachable: true, Changes: []rollout.Change{
		{Host: "web-2", Service: "auth", Kind: rollout.KindEnv, Action: rollout.ActionUpdate, Subject: "/etc/auth.env", From: "a", To: "b", Keys: []string{"A", "TOKEN", "OLD", "NEW"},
			Secrets: []rollout.SecretChange{{Key: "TOKEN", From: "3f9a17c05e21", To: "81c2a0b1c2d3"}, {Key: "OLD", From: "0a1b2c3d4e5f"}, {Key: "NEW", To: "aabbccddeeff"}, {Key: "A", From: "aaaa00000001", To: "aaaa00000002"}},
			Diff:    "--- /etc/auth.env\n+++ /etc/auth.env\n@@ -1 +1 @@\n-TOKEN=[redacted 3f9a17c05e21]\n+TOKEN=[redacted 81c2a0b1c2d3]\n", Reason: "drift: edited on the host"},
	}}}}
	p.Services = []rollout.ServicePlan{serviceOf("auth", webs(1, 2), map[string]string{"web-2": "auth.service is failed (exit status 203/EXEC)"})}
	p.Visits = []rollout.Visit{quiet(0, "web-2", "auth"), restartOf(1, "web-1", "auth")}
	golden(t, "plan_stale", Plan(p, PlanOptions{}))
}

func TestPlanWithNothingToDo(t *testing.T) {
	p := rollout.Plan{Hosts: []rollout.HostPlan{{Host: "a", Reachable: true}, {Host: "b", Reachable: true}}}
	if got := Plain(Plan(p, PlanOptions{})); got != "2 hosts: all as desired\n" {
		t.Errorf("got %q", got)
	}
}

func TestPlanKeepsForeignTextFromTheTerminal(t *testing.T) {
	evil := "\x1b]0;owned\x07\x1b[2J\r\u202egnp.exe\u009b31m"
	p := rollout.Plan{Warnings: []string{evil}, Hosts: []rollout.HostPlan{
		{Host: "h" + evil, Reachable: true, Changes: []rollout.Change{{Service: evil, Kind: rollout.KindFile, Action: rollout.ActionUpdate, Subject: "/etc/" + evil, Keys: []string{evil},
			Reason: evil, Diff: "+" + evil + "\n"}},
			Problems: []rollout.Problem{{Service: "s", Subject: evil, Reason: evil, Mend: evil}},
			Recover:  &hostdriver.StepRecord{Holder: evil, Phase: evil, Services: []string{evil}}},
		{Host: "g", Reason: evil},
	}, Visits: []rollout.Visit{{Host: "h" + evil, Services: []string{evil}, Disturbs: []string{evil}}},
		Services: []rollout.ServicePlan{serviceOf(evil, []string{evil}, map[string]string{evil: evil})}}
	out := Plain(Plan(p, PlanOptions{Mends: map[string]string{"g": evil}, Faults: []desired.Fault{{Message: evil, Mend: evil, Service: evil, Pos: desired.Position{File: evil}}}}))
	for _, r := range out {
		if r != '\n' && needsEscape(r) {
			t.Fatalf("%U got through:\n%q", r, out)
		}
	}
	// What the styled text holds beside our own colours is nothing, too: Plain took
	// out only sequences of ours.
	if styled := Plan(p, PlanOptions{}); strings.Contains(styled, "\x1b]") || strings.Contains(styled, "\x1b[2J") {
		t.Error("a sequence of the host's is in the styled text")
	}
}

func TestDiffSizes(t *testing.T) {
	long := "--- a\n+++ a\n@@ -0,0 +1,40 @@\n" + strings.Repeat("+x\n", 40)
	for size, want := range map[DiffSize]int{DiffShort: 17, DiffFull: 41, DiffNone: 0} {
		if got := len(lines(diff(long, "", size))); got != want {
			t.Errorf("%s: %d lines, want %d", size, got, want)
		}
	}
	if got := Plain(diff(long, "  ", DiffShort)); !strings.HasSuffix(got, "  … 25 more lines (+25 -0), with --diff=full\n") {
		t.Errorf("the rest is not counted: %q", got)
	}
	almost := "--- a\n+++ a\n@@ -0,0 +1,16 @@\n" + strings.Repeat("+x\n", 16)
	if got := len(lines(diff(almost, "", DiffShort))); got != 17 {
		t.Errorf("a single line over is counted instead of shown: %d lines", got)
	}
}
