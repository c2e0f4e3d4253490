package main

import (
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/test/sim/world"
)

// liveTimeout bounds the look at one instance: what takes longer counts as down.
const liveTimeout = 5 * time.Second

// instances looks at every instance of a service at once, and tells when it saw each.
// Stands for package controller's method of that name, except that units, health and
// balancer are seen at one moment, each instance's at its own.
func (c *controller) instances(t *task, service string) ([]rollout.Instance, map[string]looked) {
	var out []rollout.Instance
	var calls []call
	var hosts []*handled
	for i := range c.input.Hosts {
		h := c.hosts[c.sim.world.Hosts[i].Name]
		j := slices.IndexFunc(h.Desired.Instances, func(x desired.Instance) bool { return x.Service == service })
		if j < 0 {
			continue
		}
		hosts = append(hosts, h)
		out = append(out, rollout.Instance{})
		at, inst := len(out)-1, &h.Desired.Instances[j]
		calls = append(calls, call{what: "look", host: h.host, limit: liveTimeout, there: func(answer func(error)) {
			out[at] = c.sim.live(h.host, inst)
			if h.Observation == nil {
				out[at] = rollout.NotTakenOver(h.host.Name, service)
			}
			answer(nil)
		}})
	}
	began := c.sim.world.Now()
	seen := map[string]looked{}
	for i, err := range t.all(calls) {
		name := hosts[i].host.Name
		seen[name] = looked{at: began, lost: err != nil}
		if err != nil {
			out[i] = rollout.Instance{Host: name, Service: service, Definite: true, Unreachable: true, Reason: "unreachable"}
		}
	}
	return out, seen
}

// live tells how one instance stands now.
func (s *simulation) live(h *world.Host, inst *desired.Instance) rollout.Instance {
	var units []string
	for _, u := range inst.Units {
		if u.State == "started" {
			units = append(units, u.Name)
		}
	}
	o := h.Observe(hostdriver.Query{Light: true, UnitsOnly: true, Units: units})
	is := rollout.JudgeUnits(inst, o.Units)
	if !is.Up {
		return is
	}
	if !h.Units[unitName(inst.Service)].Healthy() {
		is.Up, is.Reason = false, "http :8080/healthz does not answer with 200"
		return is
	}
	if len(inst.Drain) == 0 {
		return is
	}
	server, err := s.world.Balancer.Ask(inst.Service, h.Name)
	if err != nil {
		is.Up, is.Reason, is.Definite = false, err.Error(), true
		return is
	}
	switch drained, _, up := server.Status(); {
	case drained:
		is.Up, is.Reason, is.Definite, is.Idle = false, "the balancer has it drained", true, true
	case !up:
		is.Up, is.Reason = false, "the balancer does not find it well"
	}
	return is
}
