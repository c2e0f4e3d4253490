package progress

import (
	"fmt"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// twoHosts is a rollout that drains and restarts gateway on two of three hosts.
func twoHosts() rollout.State {
	p := rollout.Plan{Revision: "r"}
	sp := rollout.ServicePlan{Service: "gateway", Strategy: desired.Strategy{MinHealthyTime: 2 * time.Second, HealthyDeadline: 20 * time.Second, ProgressDeadline: time.Minute, DrainTimeout: 30 * time.Second, AutoRevert: true}}
	for i := 1; i <= 3; i++ {
		sp.Instances = append(sp.Instances, rollout.Instance{Host: fmt.Sprintf("web-%d", i), Service: "gateway", Up: true})
	}
	p.Services = []rollout.ServicePlan{sp}
	for i := 1; i <= 2; i++ {
		p.Visits = append(p.Visits, rollout.Visit{ID: i - 1, Host: fmt.Sprintf("web-%d", i), Services: []string{"gateway"}, Disturbs: []string{"gateway"}, Drains: []string{"gateway"},
			Written: true, Watch: []string{"gateway.service"}, Before: map[string]string{"gateway.service": "old"},
			Actions: []rollout.UnitAction{{Service: "gateway", Unit: "gateway.service", Verb: hostdriver.VerbRestart}}})
	}
	return rollout.New("r1", p)
}

// play runs a rollout with hosts that do what they are asked to: each command takes
// a second and succeeds, three sessions end one after another, and the new process
// of sick hosts never serves. Every state is handed to see.
func play(st rollout.State, sick map[string]bool, see func(rollout.State)) rollout.State {
	sessions := map[int]int{}
	var queue []rollout.Command
	next := rollout.Event{Kind: rollout.EventBegin}
	for range 1000 {
		var cmds []rollout.Command
		st, cmds = rollout.Step(st, next)
		see(st)
		queue = append(queue, cmds...)
		if st.Done || len(queue) == 0 {
			return st
		}
		c := queue[0]
		queue = queue[1:]
		next = rollout.Event{Kind: rollout.EventResult, At: st.At + time.Second, Visit: c.Visit, Attempt: c.Attempt, Command: c.Kind, Outcome: rollout.Success}
		switch c.Kind {
		case rollout.CmdObserve:
			next.Kind, next.Service = rollout.EventObserved, c.Service
			for _, i := range st.Services[0].Instances {
				next.Instances = append(next.Instances, rollout.Instance{Host: i.Host, Service: i.Service, Up: true})
			}
		case rollout.CmdPrecheck:
			next.Drains = []hostdriver.DrainRecord{{Service: "gateway", Adapter: "haproxy"}}
			next.Before = map[string]string{"gateway.service": "old"}
		case rollout.CmdStage:
			next.From, next.To = 1, 2
		case rollout.CmdWait:
			sessions[c.Visit]++
			next.Sessions = 3 - sessions[c.Visit]
		case rollout.CmdProbe:
			v := st.Visits[c.Visit]
			ok := !sick[v.Host] || v.Reverting
			next.Sample = &rollout.Sample{Checks: ok, Reason: "gateway: status 503, want 200", Units: map[string]rollout.UnitSample{"gateway.service": {Active: "active", Invocation: fmt.Sprint("new", v.Reverting), PID: 7}}}
		}
	}
	return st
}
