package controller

import (
	"errors"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

const commit = "4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a"

// fleetPlan is a plan over these hosts, all reachable and as desired.
func fleetPlan(hosts ...string) rollout.Plan {
	p := rollout.Plan{Revision: commit}
	for _, h := range hosts {
		p.Hosts = append(p.Hosts, rollout.HostPlan{Host: h, Reachable: true})
	}
	return p
}

func with(p rollout.Plan, change func(*rollout.Plan)) rollout.Plan {
	change(&p)
	return p
}

// visit ended, or did not begin where result is "".
func visit(host string, result rollout.Result, reason string) rollout.Visit {
	v := rollout.Visit{Host: host, Services: []string{"gateway"}}
	if result != "" {
		v.Phase, v.Result, v.Reason = rollout.PhaseEnded, result, reason
	}
	return v
}

// unpromoted has ended after its canary; the third host belongs to a service that comes
// after.
var unpromoted = rollout.State{ID: "r", Halted: &rollout.Halt{Kind: rollout.HaltBlocked, Service: "gateway", Reason: "gateway waits for promotion: canary web-1 healthy"},
	Services: []rollout.ServiceState{{Service: "gateway", LookedAt: 2, Canary: rollout.CanaryState{Phase: rollout.CanaryWaiting, Hosts: []string{"web-1"}, Since: 1}}},
	Visits: []rollout.Visit{visit("web-1", rollout.ResultDone, ""), {ID: 1, Host: "web-2", Services: []string{"gateway"}, Follows: []string{"gateway"}},
		{ID: 2, Host: "web-3", Services: []string{"auth"}}}}

var closed = rollout.State{ID: "r", Halted: &rollout.Halt{Kind: rollout.HaltBlocked, Service: "gateway"},
	Services: []rollout.ServiceState{{Service: "gateway", Window: rollout.WindowState{Known: true, Opening: rollout.Opening{
		Opening: desired.Opening{Until: time.Date(2026, 3, 2, 22, 0, 0, 0, time.UTC), Why: "outside of every allow window"}}}}},
	Visits: []rollout.Visit{{Host: "web-1", Services: []string{"gateway"}, Disturbs: []string{"gateway"}}}}

// suspendedPlan has two suspended hosts that differ or do not answer, two on which
// gateway is suspended, and one of which nothing is to be said.
func suspendedPlan() rollout.Plan {
	return with(fleetPlan("web-1", "web-2", "web-3", "web-4", "web-5"), func(p *rollout.Plan) {
		p.Hosts[1].Suspended = []rollout.SuspendedPlan{{Reason: "suspended: disk", Changes: 2}}
		p.Hosts[2].Suspended = []rollout.SuspendedPlan{{Service: "gateway", Reason: "suspended: freeze", Changes: 1}}
		p.Hosts[3].Suspended = []rollout.SuspendedPlan{{Service: "gateway", Reason: "suspended: freeze"}}
		p.Hosts[4].Reachable, p.Hosts[4].Suspended = false, []rollout.SuspendedPlan{{Reason: "suspended: gone"}}
	})
}

func TestOutcome(t *testing.T) {
	refused := visit("web-1", rollout.ResultFailed, "another controller holds the lock")
	refused.Refused = true
	fenced := visit("web-1", rollout.ResultLost, "it has obeyed epoch 22")
	fenced.Refused = true
	inHand := rollout.Visit{Host: "web-2", Services: []string{"gateway"}}
	inHand.Phase, inHand.Draining = rollout.PhaseWait, true
	inHand.Drained = []hostdriver.DrainRecord{{Service: "gateway", Adapter: "haproxy", Spec: map[string]string{"address": "tcp://lb-1:9999", "backend": "gateway", "server": "web-2"}}}
	cases := []struct {
		name   string
		in     Ended
		result Result
		exit   int
		words  string
	}{
		{"nothing to do", Ended{Plan: fleetPlan("web-1", "web-2")}, Converged, 0, "converged: 2 hosts at 4f1c2d9"},
		{"all done", Ended{Plan: fleetPlan("web-1"), State: rollout.State{ID: "r", Done: true, Visits: []rollout.Visit{visit("web-1", rollout.ResultDone, "")}}},
			Converged, 0, "converged: 1 host at 4f1c2d9"},
		{"a host that was not asked for does not count", Ended{Plan: with(fleetPlan("web-1", "web-2"), func(p *rollout.Plan) { p.Hosts[1].Reachable = false }),
			Skipped: map[string]bool{"web-2": true}}, Converged, 0, "converged: 1 host at 4f1c2d9"},
		{"a host does not answer, the others are done", Ended{Plan: with(fleetPlan("web-1", "web-2"), func(p *rollout.Plan) {
			p.Hosts[1].Reachable, p.Hosts[1].Reason = false, "unreachable: connection refused"
		}), State: rollout.State{ID: "r", Visits: []rollout.Visit{visit("web-1", rollout.ResultDone, "")}}},
			Unreachable, 4, "not done: web-2 (unreachable: connection refused)"},
		{"reverted, and the rest is halted", Ended{Plan: fleetPlan("web-1", "web-2", "web-3"), State: rollout.State{ID: "r",
			Halted: &rollout.Halt{Kind: rollout.HaltReverted, Host: "web-1", Service: "gateway", Reason: "not healthy after 5m0s: status 503"},
			Visits: []rollout.Visit{visit("web-1", rollout.ResultReverted, "not healthy after 5m0s: status 503"), visit("web-2", "", ""), visit("web-3", "", "")}}},
			Reverted, 6, "not done: web-1 (reverted: not healthy after 5m0s: status 503); web-2, web-3 (halted: web-1 was taken back)"},
		{"reverted outranks failed, failed outranks unreachable", Ended{Plan: fleetPlan("web-1", "web-2", "web-3"), State: rollout.State{ID: "r", Visits: []rollout.Visit{
			visit("web-1", rollout.ResultLost, "no answer"), visit("web-2", rollout.ResultFailed, "exit status 203/EXEC"), visit("web-3", rollout.ResultReverted, "x")}}},
			Reverted, 6, "not done: web-1 (unreachable: no answer); web-2 (failed: exit status 203/EXEC); web-3 (reverted: x)"},
		{"failed outranks unreachable", Ended{Plan: fleetPlan("web-1", "web-2"), State: rollout.State{ID: "r", Visits: []rollout.Visit{
			visit("web-1", rollout.ResultLost, "no answer"), visit("web-2", rollout.ResultFailed, "disk full")}}},
			Failed, 2, "not done: web-1 (unreachable: no answer); web-2 (failed: disk full)"},
		{"the budget halts, for a host is unreachable", Ended{Plan: with(fleetPlan("web-1", "web-2"), func(p *rollout.Plan) {
			p.Hosts[1].Reachable, p.Hosts[1].Reason = false, "unreachable: no answer"
		}), State: rollout.State{ID: "r", Halted: &rollout.Halt{Kind: rollout.HaltBudget, Service: "gateway", Reason: "gateway: 2 hosts, 1 down"},
			Visits: []rollout.Visit{visit("web-1", "", "")}}},
			Halted, 5, "not done: web-1 (halted by the budget: gateway: 2 hosts, 1 down); web-2 (unreachable: no answer)"},
		{"a problem known before anything is disturbed", Ended{Plan: with(fleetPlan("web-1"), func(p *rollout.Plan) {
			p.Hosts[0].Problems = []rollout.Problem{{Host: "web-1", Service: "gateway", Subject: "gateway.service", Reason: "is masked on the host"}}
		})}, Failed, 2, "not done: web-1 (failed: gateway.service: is masked on the host)"},
		{"refused by the host", Ended{Plan: fleetPlan("web-1"), State: rollout.State{ID: "r", Visits: []rollout.Visit{refused}}},
			Blocked, 7, "not done: web-1 (blocked: another controller holds the lock)"},
		{"fenced off by a newer apply in mid-step", Ended{Plan: fleetPlan("web-1"), State: rollout.State{ID: "r", Halted: &rollout.Halt{Kind: rollout.HaltLost, Host: "web-1"}, Visits: []rollout.Visit{fenced}}},
			Blocked, 7, "not done: web-1 (blocked: it has obeyed epoch 22)"},
		{"claimed by a controller, so nothing is begun", Ended{Plan: with(fleetPlan("web-1", "web-2"), func(p *rollout.Plan) { p.Visits = []rollout.Visit{visit("web-2", "", "")} }),
			Claims: map[string]string{"web-1": "ctl-1"}, Why: "not begun: web-1 belongs to controller ctl-1"},
			Blocked, 7, "not done: web-2 (not begun: web-1 belongs to controller ctl-1); web-1 (blocked: belongs to controller ctl-1)"},
		{"of those that are claimed themselves that is told once", Ended{Plan: with(fleetPlan("web-1", "web-2"), func(p *rollout.Plan) { p.Visits = []rollout.Visit{visit("web-1", "", "")} }),
			Claims: map[string]string{"web-1": "ctl-1", "web-2": "ctl-1"}, Why: "not begun: web-1 belongs to controller ctl-1"},
			Blocked, 7, "not done: web-1, web-2 (blocked: belongs to controller ctl-1)"},
		{"stopped by the operator", Ended{Plan: fleetPlan("web-1", "web-2"), Stopped: true, State: rollout.State{ID: "r", Stopping: "stopped by the operator",
			Visits: []rollout.Visit{visit("web-1", rollout.ResultDone, ""), visit("web-2", "", "")}}},
			Stopped, 1, "not done: web-2 (stopped by the operator)"},
		{"aborted by an operator", Ended{Plan: fleetPlan("web-1"), State: rollout.State{ID: "r", Stopping: "aborted by bob: wrong version", Aborted: true,
			Visits: []rollout.Visit{{Host: "web-1"}}}}, Stopped, 1,
			"not done: web-1 (aborted by bob: wrong version)"},
		{"a canary that nobody promotes", Ended{Plan: fleetPlan("web-1", "web-2", "web-3"), State: unpromoted}, Blocked, 7,
			"not done: web-2 (blocked: gateway waits for promotion: canary web-1 healthy); web-3 (blocked: comes after what is blocked: gateway waits for promotion: canary web-1 healthy)"},
		{"outside of the windows", Ended{Plan: fleetPlan("web-1"), State: closed}, Blocked, 7,
			"not done: web-1 (blocked: gateway: windows closed until Mon 2026-03-02 22:00 UTC, outside of every allow window)"},
		{"suspended, and it differs", Ended{Plan: suspendedPlan(), Suspended: true, State: rollout.State{ID: "r"}}, Blocked, 7,
			"not done: web-2 (blocked: suspended: disk); web-3 (blocked: gateway is suspended: freeze); web-5 (blocked: suspended: gone)"},
		{"the same, for a controller that was told so", Ended{Plan: suspendedPlan(), State: rollout.State{ID: "r"}}, Converged, 0, "converged: 5 hosts at 4f1c2d9"},
		{"stopped when all was done anyway", Ended{Plan: fleetPlan("web-1"), Stopped: true, State: rollout.State{ID: "r", Stopping: "stopped by the operator",
			Visits: []rollout.Visit{visit("web-1", rollout.ResultDone, "")}}}, Converged, 0, "converged: 1 host at 4f1c2d9"},
		{"stopped at once, with a host drained", Ended{Plan: fleetPlan("web-2"), Stopped: true, Err: errors.New("stopped at once"), State: rollout.State{ID: "r", Visits: []rollout.Visit{inHand}}},
			Errored, 1, "not done: web-2 (left in the middle of wait); stopped at once; LEFT DRAINED: web-2 gateway at haproxy tcp://lb-1:9999 gateway/web-2"},
		{"an error outranks a revert", Ended{Plan: fleetPlan("web-1"), Err: errors.New("cannot save"), State: rollout.State{ID: "r", Visits: []rollout.Visit{visit("web-1", rollout.ResultReverted, "x")}}},
			Errored, 1, "not done: web-1 (reverted: x); cannot save"},
		{"a service is left out for its faults", Ended{Plan: fleetPlan("web-1"), Faults: []desired.Fault{{Pos: desired.Position{File: "services/ledger/service.yaml", Line: 7}, Service: "ledger", Message: "unknown key"}}},
			Errored, 1, "not done: service ledger (error: services/ledger/service.yaml:7: unknown key)"},
		{"declined at the prompt", Ended{Plan: with(fleetPlan("web-1"), func(p *rollout.Plan) { p.Visits = []rollout.Visit{visit("web-1", "", "")} }), Stopped: true, Why: "not begun: declined"},
			Stopped, 1, "not done: web-1 (not begun: declined)"},
	}
	for _, c := range cases {
		o := OutcomeOf(c.in)
		if o.Result != c.result || o.Exit != c.exit {
			t.Errorf("%s: %s, exit %d; want %s, exit %d", c.name, o.Result, o.Exit, c.result, c.exit)
		}
		if got := o.Words(); got != c.words {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.words)
		}
		if o.Exit == 0 && (len(o.NotDone) > 0 || len(o.LeftDrained) > 0) {
			t.Errorf("%s: exits 0 with something not done", c.name)
		}
	}
}

func TestOutcomeKeepsTheVisitsOfEarlierPasses(t *testing.T) {
	o := OutcomeOf(Ended{Plan: fleetPlan("web-1", "web-2"), Earlier: []rollout.Visit{visit("web-1", rollout.ResultDone, "")},
		State: rollout.State{ID: "r2", Visits: []rollout.Visit{visit("web-2", rollout.ResultDone, "")}}})
	if len(o.Visits) != 2 || o.Visits[0].Host != "web-1" || o.Exit != 0 {
		t.Errorf("got %+v", o)
	}
}

func TestWordsStayShort(t *testing.T) {
	p := fleetPlan()
	st := rollout.State{ID: "r"}
	for _, h := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		p.Hosts = append(p.Hosts, rollout.HostPlan{Host: h, Reachable: true})
		st.Visits = append(st.Visits, visit(h, rollout.ResultFailed, "same"), visit(h, rollout.ResultFailed, "own "+h))
	}
	want := "not done: a, b, c, d, e, f, g, h and 2 more (failed: same); a (failed: own a); b (failed: own b); c (failed: own c); and more for 7 other reasons"
	if got := OutcomeOf(Ended{Plan: p, State: st}).Words(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
