package desired

import (
	"path"
	"strings"
)

// nameGenerated takes up what a service's Quadlet files call the services that are made of them
// (ServiceName=, podman-systemd.unit(5)). A source that cannot be read is told of later, and a
// name that each host renders is left to the host's own generator, which the precheck asks.
func nameGenerated(svc *Service, src *sources) {
	for i := range svc.Spec.Units {
		u := &svc.Spec.Units[i]
		file := or(u.Name, strings.TrimSuffix(path.Base(u.Source), ".tmpl"))
		if u.Source == "" || u.DropIn != "" || isTemplate(u.Source) || quadletUnit(file) == "" || strings.Contains(file, "@") {
			continue
		}
		p, err := joinSource(svc.Dir, u.Source)
		if err != nil {
			continue
		}
		s, fault := src.get(p, Position{})
		if fault != nil || s.sops {
			continue
		}
		kind := unitType(file)
		text, _ := ParseUnit(s.data)
		name := text.Last(strings.ToUpper(kind[:1])+kind[1:], "ServiceName")
		if name != "" && !isTemplate(name) && !strings.Contains(name, "%") {
			u.generated = name + ".service"
		}
	}
}
