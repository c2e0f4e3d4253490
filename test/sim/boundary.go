package main

import "time"

// boundary is a moment around one effect at which something can be made to happen.
type boundary struct {
	kind, point string
}

// boundaries are all that is tried around every effect of a small scenario.
var boundaries = []boundary{
	{faultKillAt, dieBefore}, {faultKillAt, dieAfterEffect}, {faultKillAt, dieAfterReply},
	{faultLoseAt, "request"}, {faultLoseAt, "reply"},
	{faultPowerAt, dieAfterEffect},
}

// Where at an effect's boundary a controller dies.
const (
	dieBefore      = "before"
	dieAfterEffect = "after effect"
	dieAfterReply  = "after reply"
)

// outage is how long a host is without power that loses it at a boundary.
const outage = 25 * time.Second

// at finds the fault of a kind and point that strikes at an effect, once.
func (f *faults) at(effect int, kind, point string) bool {
	if effect < 0 {
		return false
	}
	for i := range f.sim.sc.Faults {
		x := &f.sim.sc.Faults[i]
		if x.Kind == kind && x.Arg == effect && x.Point == point && !f.used[i] {
			f.used[i] = true
			f.sim.count(kind)
			f.sim.tracef("fault: %s %d %s", kind, effect, point)
			return true
		}
	}
	return false
}

// dieAt kills c where the scenario says so, and tells whether it is dead.
func (s *simulation) dieAt(c *controller, effect int, point string) bool {
	if !c.dead && s.faults.at(effect, faultKillAt, point) {
		c.kill(false)
	}
	return c.dead
}

// powerAt cuts the power of the host that has just done an effect.
func (s *simulation) powerAt(k call, effect int) {
	if k.host == nil || !s.faults.at(effect, faultPowerAt, dieAfterEffect) {
		return
	}
	k.host.CutPower()
	s.faults.open++
	s.operator.last = "" // worth another pass
	s.world.After(outage, func() {
		k.host.PowerOn()
		s.faults.open--
	})
}

// Canonical are small scenarios that between them go through every phase of a visit;
// each is tried with every boundary of every effect.
func Canonical() map[string]*Scenario {
	all := map[string]*Scenario{
		"one by one":        canonical(3, plainService("web")),
		"two at a time":     canonical(4, plainService("web")),
		"a bad revision":    canonical(2, plainService("web")),
		"a crash loop":      canonical(2, plainService("web")),
		"several services":  canonical(2, plainService("auth"), plainService("web")),
		"reload":            canonical(2, plainService("web")),
		"first deployment":  canonical(2, plainService("web")),
		"service removed":   canonical(2, plainService("auth"), plainService("web")),
		"without balancer":  canonical(2, plainService("web")),
		"bad first version": canonical(2, plainService("web")),
		"canary":            canonical(3, plainService("web")),
		"undo":              canonical(2, plainService("web")),
	}
	all["two at a time"].Services[0].Strategy.MaxUnavailable = "50%"
	all["a bad revision"].Revisions[1].Services[0] = sick
	all["a crash loop"].Revisions[1].Services[0] = dying
	s := all["several services"]
	s.Services[1].After, s.Services[1].Worker = []string{"auth"}, true
	s = all["reload"]
	s.Services[0].Reloads = true
	s.Revisions[1].Services[0] = Content{Unit: 1, Env: 1, Config: 2, Program: 1}
	all["first deployment"].Fresh = true
	all["service removed"].Revisions[1].Services[1].Gone = true
	all["service removed"].Revisions[2].Services[1].Gone = true
	all["without balancer"].Services[0].Balanced = false
	s = all["bad first version"]
	s.Fresh, s.Revisions[1].Services[0] = true, sick
	all["canary"].Services[0].Strategy.Canary, all["canary"].Services[0].Strategy.Promote = "1", promoteByHand
	all["undo"].Faults = []Fault{{Kind: faultUndo, At: 1}}
	return all
}

// What a bad revision brings.
var (
	sick  = Content{Unit: 2, Env: 2, Config: 1, Program: 2, BadIn: "program", Bad: &conduct{Sick: true}}
	dying = Content{Unit: 2, Env: 2, Config: 1, Program: 2, BadIn: "env", Bad: &conduct{Dies: 200 * time.Millisecond}}
)

func plainService(name string) Service {
	return Service{Name: name, Balanced: true, Sessions: 1, Lasting: 1, Strategy: Strategy{
		MaxUnavailable: "1", MinHealthyTime: 2, HealthyDeadline: 15, ProgressDeadline: 20, DrainTimeout: 5, AutoRevert: true,
	}}
}

// canonical is a fleet of so many hosts on which all services get a new revision, and
// later a third one.
func canonical(hosts int, services ...Service) *Scenario {
	sc := &Scenario{Seed: 1, Profile: profileOwn, Hosts: hosts, Services: services, Revisions: make([]Revision, 3)}
	for h := range hosts {
		for i := range services {
			services[i].Hosts = append(services[i].Hosts, h)
		}
	}
	for r := range sc.Revisions {
		for range services {
			sc.Revisions[r].Services = append(sc.Revisions[r].Services, Content{Unit: r + 1, Env: r + 1, Config: r + 1, Program: r + 1})
		}
	}
	return sc
}

// with is a scenario with one more fault.
func (sc *Scenario) with(f Fault) *Scenario {
	next := *sc
	next.Faults = append(append([]Fault(nil), sc.Faults...), f)
	if f.Kind == faultPowerAt {
		next.Profile = profileHosts // a host without power is seen by users
	}
	return &next
}
