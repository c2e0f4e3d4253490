package desired

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// checkServices checks every service by itself and against the others, and
// returns those of which a document could be read, by name. Faults go to the
// services they are of; warnings to the Revision.
func (l *loader) checkServices(rev *Revision) []*Service {
	var services []*Service
	for _, name := range sortedNames(l.services) {
		list := l.services[name]
		for _, svc := range list[1:] {
			l.quarantine(name, Fault{Pos: svc.Pos, Rule: "duplicate-service", Message: "service " + name + " is declared twice",
				Mend: "it stands at " + list[0].Pos.String() + " already"})
		}
		svc := list[0]
		l.checkService(svc, rev)
		services = append(services, svc)
	}
	l.checkAfter(services)
	good := make([]Service, 0, len(services))
	for _, svc := range services {
		good = append(good, *svc)
	}
	for _, f := range crossClaims(good, rev.Inventory) {
		l.quarantine(f.Service, f)
	}
	rev.Warnings = append(rev.Warnings, windowsApart(services, l.fleet.Spec.Windows, rev.Inventory)...)
	return services
}

// windowsApart finds services of one host whose windows are never open together: a revision
// that changes both of them there is one visit, which would never begin.
func windowsApart(services []*Service, fleet Windows, inv inventory.Inventory) []Fault {
	var out []Fault
	known := map[string]bool{}
	for i, b := range services {
		for _, a := range services[:i] {
			if len(a.Spec.Windows)+len(b.Spec.Windows) == 0 {
				continue
			}
			key := fmt.Sprint(a.Spec.Windows, " and ", b.Spec.Windows)
			together, tried := known[key]
			if !tried {
				together = openTogether(slices.Concat(fleet, a.Spec.Windows), slices.Concat(fleet, b.Spec.Windows))
				known[key] = together
			}
			host, both := "", false
			if !together {
				host, both = commonHost(inv, a, b)
			}
			if !both {
				continue
			}
			of := b
			if len(of.Spec.Windows) == 0 {
				of = a
			}
			out = append(out, Fault{Pos: of.At("windows"), Severity: SeverityWarning, Rule: "windows-apart", Service: of.Name,
				Message: fmt.Sprintf("the windows of %s and %s are never open together, and both are on %s: a revision that changes both there is never rolled out", a.Name, b.Name, host),
				Mend:    "let the windows overlap, or change the two in revisions of their own"})
		}
	}
	return out
}

func (l *loader) checkService(svc *Service, rev *Revision) {
	for _, p := range append(checkService(svc.Name, svc.Spec), checkBalancers(svc.Spec.Drain, rev.Inventory)...) {
		l.quarantine(svc.Name, p.At(svc.At(p.Path), svc.Name))
	}
	selected := rev.Inventory.Select(svc.Spec.Selector)
	hosts := len(selected)
	merged := svc.Spec.Rollout.over(l.fleet.Spec.Rollout)
	for _, p := range slices.Concat(checkRollout(merged), checkBudget(merged, hosts), checkCanary(svc.Spec.Rollout, merged, hosts),
		checkLabels(svc.Spec.Rollout, selected)) {
		l.quarantine(svc.Name, p.At(svc.At(p.Path), svc.Name))
	}
	for _, p := range checkOwnWindows(svc.Spec.Windows, l.fleet.Spec.Windows) {
		at := svc.At(p.Path)
		said := func(f Fault) bool { return f.Pos == at }
		if !slices.ContainsFunc(l.broken[svc.Name], said) { // what the decoder could not read is no further matter
			l.quarantine(svc.Name, p.At(at, svc.Name))
		}
	}
	warn := func(at, rule, message, mend string) {
		rev.Warnings = append(rev.Warnings, Fault{Pos: svc.At(at), Severity: SeverityWarning, Rule: rule, Service: svc.Name, Message: message, Mend: mend})
	}
	switch {
	case svc.Spec.Selector.IsEmpty():
		warn("selector", "empty-selector", "the selector is empty, which matches no host",
			"name labels; to mean every host, write matchExpressions: [{key: never, operator: DoesNotExist}]")
	case hosts == 0 && len(rev.Inventory.Hosts) > 0:
		warn("selector", "no-host", "the selector "+svc.Spec.Selector.String()+" matches no host", l.nearestLabel(svc, rev))
	}
	starts := slices.ContainsFunc(svc.Spec.Units, func(u UnitSpec) bool { return u.State == "started" })
	if starts && len(svc.Spec.Health) == 0 {
		warn("units", "no-health", "nothing proves that an instance serves once it is started", "write health: [{unit: {}}], or better an http or tcp check")
	}
}

// nearestLabel looks for the label that a selector was perhaps meant to name.
func (l *loader) nearestLabel(svc *Service, rev *Revision) string {
	for _, key := range sortedNames(svc.Spec.Selector.MatchLabels) {
		want := svc.Spec.Selector.MatchLabels[key]
		keys, values := map[string]bool{}, map[string]bool{}
		for _, h := range rev.Inventory.Hosts {
			for k, v := range h.Labels {
				keys[k] = true
				if k == key {
					values[v] = true
				}
			}
		}
		switch {
		case !keys[key]:
			return "no host has the label " + key + prefixed("; ", fault.DidYouMean(key, sortedNames(keys)))
		case !values[want]:
			return "no host has " + key + "=" + want + prefixed("; ", fault.DidYouMean(want, sortedNames(values)))
		}
	}
	return ""
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// checkAfter finds services that come after unknown ones, or after themselves.
func (l *loader) checkAfter(services []*Service) {
	byName := map[string]*Service{}
	names := sortedNames(l.services)
	for _, s := range services {
		byName[s.Name] = s
	}
	for name := range l.broken {
		if byName[name] == nil {
			names = append(names, name)
		}
	}
	for _, svc := range services {
		for i, after := range svc.Spec.After {
			at := svc.At(fmt.Sprintf("after[%d]", i))
			if !slices.Contains(names, after) {
				l.quarantine(svc.Name, Fault{Pos: at, Rule: "unknown-service", Message: "after names the service " + fault.Quote(after) + ", which there is not",
					Mend: fault.DidYouMean(after, names)})
				continue
			}
			if cycle := findCycle(svc.Name, after, byName); cycle != nil {
				l.quarantine(svc.Name, Fault{Pos: at, Rule: "cycle", Message: "services wait for each other: " + strings.Join(cycle, " after "),
					Mend: "drop one after"})
			}
		}
	}
}

// findCycle is the way from a service over its after back to itself, or nil.
func findCycle(start, next string, byName map[string]*Service) []string {
	seen := map[string]bool{}
	var walk func(name string, way []string) []string
	walk = func(name string, way []string) []string {
		way = append(way, name)
		if name == start {
			return way
		}
		if seen[name] || byName[name] == nil {
			return nil
		}
		seen[name] = true
		for _, n := range byName[name].Spec.After {
			if found := walk(n, slices.Clone(way)); found != nil {
				return found
			}
		}
		return nil
	}
	return walk(next, []string{start})
}
