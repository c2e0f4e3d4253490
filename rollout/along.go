package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// along adds what systemd takes along when a unit is restarted or stopped: who requires
// it, is bound to it or part of it, all that runs in a slice, what a socket has started
// (hostdriver.UnitState.Takes, Triggers). For a service whose unit is taken along that is
// a disturbance as if its own unit were restarted: it is drained, counted and proven.
func (d *differ) along() {
	managed := d.managed()
	at := map[string]int{} // by unit: its process change
	for i := range d.Changes {
		if d.Changes[i].Kind == KindProcess {
			at[d.Changes[i].Subject] = i
		}
	}
	grown := false
	for i := 0; i < len(d.Changes); i++ {
		c := d.Changes[i]
		if c.Kind != KindProcess || c.Action != ActionRestart && c.Action != ActionStop {
			continue
		}
		if c.Action == ActionRestart && len(d.o.Units[c.Subject].Takes) > 0 {
			d.Changes[i].Disruption = Restart // of whatever it is, also of what is not ours
		}
		for _, unit := range takenAlong(c.Subject, d.o.Units) {
			of, ours := managed[unit]
			switch {
			case !d.o.Units[unit].Running() || !ours && !strings.HasSuffix(c.Subject, ".socket"):
				continue
			case !ours:
				d.Changes[i].Disruption = Restart
				continue
			case of.stays && c.Action == ActionStop && d.wantsStopped(c.Subject):
				d.service = c.Service
				d.problem(c.Subject, fmt.Sprintf("is to be stopped, and systemd stops %s of service %s with it, which is to run", unit, of.service),
					"see Requires=, BindsTo= and PartOf= of "+unit+", or let both be stopped")
				continue
			}
			d.Changes[i].Disruption = Restart
			d.Changes[i].Takes = append(d.Changes[i].Takes, unit)
			why := fmt.Sprintf("taken along: %s is %s", c.Subject, map[Action]string{ActionRestart: "restarted", ActionStop: "stopped"}[c.Action])
			if j, acts := at[unit]; acts {
				if x := &d.Changes[j]; x.Action == ActionReload {
					x.Disruption, x.Reason = Restart, x.Reason+"; "+why
				}
				continue
			}
			if !of.here {
				continue // held: see together
			}
			d.service = of.service
			at[unit] = len(d.Changes)
			d.add(Change{Kind: KindProcess, Action: ActionRestart, Subject: unit, Disruption: Restart, Along: c.Subject, Reason: why})
			grown = true
		}
	}
	if grown {
		slices.SortStableFunc(d.Changes, func(a, b Change) int { return d.place(a.Service) - d.place(b.Service) })
	}
}

// place is a service's in the order of changes; those that go away come last.
func (d *differ) place(service string) int {
	for i := range d.desired.Instances {
		if d.desired.Instances[i].Service == service {
			return i
		}
	}
	return len(d.desired.Instances) + slices.Index(d.Removed, service)
}

// unitOf is whose a unit is.
type unitOf struct {
	service string
	here    bool // the revision wants the service on the host, and says what
	stays   bool // it is to run
}

// managed are the units of the host that some service has a say about.
func (d *differ) managed() map[string]unitOf {
	m := map[string]unitOf{}
	for i := range d.desired.Instances {
		inst := &d.desired.Instances[i]
		for j := range inst.Units {
			u := &inst.Units[j]
			m[u.Name] = unitOf{service: inst.Service, here: true, stays: u.State == "started"}
		}
	}
	for i := range d.o.Manifest.Entries {
		e := &d.o.Manifest.Entries[i]
		if _, known := m[e.Name]; e.Kind == hostdriver.KindUnit && !known && slices.Contains(d.desired.Held, e.Service) {
			m[e.Name] = unitOf{service: e.Service, stays: e.State == "started"}
		}
	}
	return m
}

// wantsStopped tells whether the revision itself says that the unit does not run.
func (d *differ) wantsStopped(unit string) bool {
	return slices.ContainsFunc(d.desired.Instances, func(inst desired.Instance) bool {
		return slices.ContainsFunc(inst.Units, func(u desired.Unit) bool { return u.Name == unit && u.State == "stopped" })
	})
}

// takenAlong are the units, nearest first, that systemd restarts or stops with unit, as far
// as the units in between were asked for.
func takenAlong(unit string, units map[string]hostdriver.UnitState) []string {
	var out []string
	next := []string{unit}
	for len(next) > 0 {
		u := units[next[0]]
		also := u.Takes
		if strings.HasSuffix(next[0], ".socket") {
			also = slices.Concat(also, u.Triggers) // a socket does not come back while what it has started runs
		}
		next = next[1:]
		for _, b := range also {
			if b != unit && !slices.Contains(out, b) {
				out, next = append(out, b), append(next, b)
			}
		}
	}
	return out
}

// takersFirst puts restarts that take others along before the actions on these, which
// then find that it is done. Otherwise the order stays.
func takersFirst(actions []UnitAction, units map[string]hostdriver.UnitState) []UnitAction {
	takes := map[string][]string{}
	for _, a := range actions {
		if a.Verb == hostdriver.VerbRestart {
			if along := takenAlong(a.Unit, units); len(along) > 0 {
				takes[a.Unit] = along
			}
		}
	}
	if len(takes) == 0 {
		return actions
	}
	left, out := slices.Clone(actions), make([]UnitAction, 0, len(actions))
	for len(left) > 0 {
		next := slices.IndexFunc(left, func(a UnitAction) bool {
			return !slices.ContainsFunc(left, func(b UnitAction) bool { return slices.Contains(takes[b.Unit], a.Unit) })
		})
		next = max(0, next) // they take each other along: any order is as good
		out, left = append(out, left[next]), slices.Delete(left, next, next+1)
	}
	return out
}

// together keeps what systemd restarts together in one plan: what would take along a unit
// of a service that is not to be touched is a problem, and what is taken along by something
// that is not done is not done either.
func (h *HostInput) together(d *Difference, skip map[string]string) {
	if h.Observation == nil || h.Skip != "" || h.Hold[""] != "" {
		return
	}
	blocked := map[string]string{}
	for _, p := range d.Problems {
		blocked[p.Service] = p.Words()
	}
	for _, c := range d.Changes {
		for _, unit := range c.Takes {
			service := h.whose(unit)
			if why := h.untouchable(service, skip, blocked); why != "" && service != c.Service && blocked[c.Service] == "" {
				p := Problem{Host: h.Desired.Host.Name, Service: c.Service, Subject: c.Subject,
					Reason: fmt.Sprintf("cannot be touched alone: systemd takes %s of service %s along, which is left as it is (%s)", unit, service, why),
					Mend:   fmt.Sprintf("have %s changed, too, or see Requires=, BindsTo= and PartOf= of %s", service, unit)}
				d.Problems = append(d.Problems, p)
				blocked[c.Service] = p.Words()
			}
		}
	}
	done := map[string]bool{}
	for _, c := range d.Changes {
		if c.Kind == KindProcess && blocked[c.Service] == "" {
			done[c.Subject] = true
		}
	}
	d.Changes = slices.DeleteFunc(d.Changes, func(c Change) bool { return c.Along != "" && !done[c.Along] })
}

// untouchable is why a service is not changed on this host.
func (h *HostInput) untouchable(service string, skip, blocked map[string]string) string {
	if why := h.holds(service); why != "" {
		return why
	}
	if why, is := skip[service]; is {
		return orElse(why, "it was not asked for")
	}
	if slices.Contains(h.Desired.Held, service) {
		return "it cannot be told what it is to be"
	}
	return blocked[service]
}

// whose is the service that has a say about a unit.
func (h *HostInput) whose(unit string) string {
	for i := range h.Desired.Instances {
		inst := &h.Desired.Instances[i]
		if slices.ContainsFunc(inst.Units, func(u desired.Unit) bool { return u.Name == unit }) {
			return inst.Service
		}
	}
	for _, e := range h.Observation.Manifest.Entries {
		if e.Kind == hostdriver.KindUnit && e.Name == unit {
			return e.Service
		}
	}
	return ""
}
