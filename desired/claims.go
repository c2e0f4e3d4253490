package desired

import (
	"fmt"
	"path"
	"sort"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// unitFile is where a UnitSpec's file goes and which unit it is of.
type unitFile struct {
	unit    string
	path    string // "" where there is no file of ours
	quadlet bool
	dropIn  bool
}

// unitFolder is where administrators put units of a scope.
func unitFolder(user string) string {
	if user != "" {
		return "/etc/systemd/user/"
	}
	return "/etc/systemd/system/"
}

// scopeUser is whose unit it is, "" where it is the host's own.
func (u UnitSpec) scopeUser() string {
	if u.Scope == scopeUser {
		return u.User
	}
	return ""
}

// bareUnit is a unit's name as the systemd has it that runs it.
func bareUnit(name string) string {
	_, unit := hostdriver.SplitUnit(name)
	return unit
}

// unitFileOf derives names and paths from a UnitSpec that has a source or a name.
func unitFileOf(u UnitSpec) unitFile {
	base := u.Name
	if base == "" {
		base = strings.TrimSuffix(path.Base(u.Source), ".tmpl")
	}
	if u.DropIn != "" {
		f := unitFile{unit: hostdriver.UnitOf(u.scopeUser(), u.DropIn), path: u.Path, dropIn: true}
		if f.path == "" {
			f.path = unitFolder(u.scopeUser()) + u.DropIn + ".d/" + base
		}
		return f
	}
	if q := quadletUnit(base); q != "" {
		f := unitFile{unit: or(u.generated, q), path: u.Path, quadlet: true}
		if f.path == "" {
			f.path = "/etc/containers/systemd/" + base
		}
		return f
	}
	f := unitFile{unit: hostdriver.UnitOf(u.scopeUser(), base), path: u.Path}
	if u.Source != "" && f.path == "" {
		file := base
		// An instance's file is its template's, where the source is called so.
		if t := templateOf(base); t != "" && strings.TrimSuffix(path.Base(u.Source), ".tmpl") == t {
			file = t
		}
		f.path = unitFolder(u.scopeUser()) + file
	}
	return f
}

// claim is something on a host that only one entry can have a say about.
type claim struct {
	what   string // "path /etc/x", "unit x.service", "user x"
	at     string // where in the spec
	shared bool   // others may have it too, where they want the same
	// inService tells that shared means others of the same service.
	inService bool
	spec      any  // what is wanted, of shared ones
	inside    bool // matters within its service only
	solid     bool // a path that nothing can lie below
}

// claimsOf are the claims of one service, in the spec's order.
func claimsOf(service string, spec ServiceSpec) []claim {
	var cs []claim
	for i, u := range spec.Users {
		cs = append(cs, claim{what: "user " + u.Name, at: fmt.Sprintf("users[%d]", i), shared: true, spec: u})
	}
	for i, d := range spec.Directories {
		cs = append(cs, claim{what: "path " + d.Path, at: fmt.Sprintf("directories[%d].path", i), shared: true, spec: d.directory()})
	}
	cs = append(cs, unitClaims(spec)...)
	for i, e := range spec.Env {
		cs = append(cs, claim{what: "path " + e.Path, at: fmt.Sprintf("env[%d].path", i)})
	}
	for i, f := range spec.Files {
		cs = append(cs, claim{what: "path " + f.Path, at: fmt.Sprintf("files[%d].path", i)})
	}
	cs = append(cs, credentialClaims(service, spec)...)
	for i, a := range spec.Artifacts {
		cs = append(cs, claim{what: "path " + a.Path, at: fmt.Sprintf("artifacts[%d].path", i)})
		cs = append(cs, claim{what: "artifact " + path.Dir(a.Path) + "/.releases/" + a.Name, at: fmt.Sprintf("artifacts[%d].name", i)})
	}
	kept := cs[:0]
	for _, c := range cs {
		kind, name, _ := strings.Cut(c.what, " ")
		c.solid = kind == "path" && !strings.HasPrefix(c.at, "directories")
		if name != "" {
			kept = append(kept, c)
		}
	}
	return kept
}

// above are the claims of paths that a claimed path lies below, nearest first.
func (c claim) above() []string {
	p, ok := strings.CutPrefix(c.what, "path ")
	if !ok {
		return nil
	}
	var out []string
	for p = path.Dir(p); len(p) > 1; p = path.Dir(p) {
		out = append(out, "path "+p)
	}
	return out
}

// unitClaims are the claims of units. A unit may have one entry with its file, one
// that only says how it should be, and any number of drop-ins; a template's file
// may stand in the entries of any number of its instances.
func unitClaims(spec ServiceSpec) []claim {
	var cs []claim
	claimed := map[string]bool{}
	for i, u := range spec.Units {
		if (u.Source == "" && u.Name == "") || (u.Name == "" && isTemplate(u.Source)) {
			continue
		}
		f := unitFileOf(u)
		at := fmt.Sprintf("units[%d]", i)
		if f.path != "" {
			ofInstances := isTemplateUnit(f.unit) || (templateOf(f.unit) != "" && path.Base(f.path) == bareUnit(templateOf(f.unit)))
			// One file serves the units of several users.
			cs = append(cs, claim{what: "path " + f.path, at: at, shared: ofInstances || u.scopeUser() != "", inService: true, spec: u.Source})
		}
		if !claimed[f.unit] {
			claimed[f.unit] = true
			cs = append(cs, claim{what: "unit " + f.unit, at: at})
		}
		switch {
		case u.Source == "":
			cs = append(cs, claim{what: "state of " + f.unit, at: at, inside: true})
		case !f.dropIn:
			cs = append(cs, claim{what: "file of " + f.unit, at: at, inside: true})
		}
	}
	return cs
}

// owner is a claim and whose it is.
type owner struct {
	service *Service
	claim   claim
}

// crossClaims finds what two services would both have on one host, or have where
// the other's file or artifact is in the way.
func crossClaims(services []Service, inv inventory.Inventory) []Fault {
	owners := map[string][]owner{}
	for i := range services {
		for _, c := range claimsOf(services[i].Name, services[i].Spec) {
			if !c.inside {
				owners[c.what] = append(owners[c.what], owner{&services[i], c})
			}
		}
	}
	var faults []Fault
	for _, list := range owners {
		for i, a := range list {
			for _, b := range list[i+1:] {
				if a.claim.inService || !(a.claim.shared && b.claim.shared && a.claim.spec == b.claim.spec) {
					faults = append(faults, bothFaults(inv, a, b)...)
				}
			}
			for _, above := range a.claim.above() {
				for _, b := range owners[above] {
					if b.claim.solid {
						faults = append(faults, belowFaults(inv, a, b)...)
					}
				}
			}
		}
	}
	sort.Slice(faults, func(i, j int) bool { return faults[i].Pos.String() < faults[j].Pos.String() })
	return faults
}

// bothFaults are the faults of two services that claim the same thing.
func bothFaults(inv inventory.Inventory, a, b owner) []Fault {
	host, both := commonHost(inv, a.service, b.service)
	if a.service == b.service || !both {
		return nil
	}
	var out []Fault
	for _, side := range [][2]owner{{a, b}, {b, a}} {
		mine, other := side[0], side[1]
		out = append(out, Fault{Pos: mine.service.At(mine.claim.at), Rule: "claimed-twice", Service: mine.service.Name,
			Message: fmt.Sprintf("%s is also %s's, on %s", mine.claim.what, other.service.Name, host),
			Mend:    "see " + other.service.At(other.claim.at).String() + ": let one of them have it, or select other hosts"})
	}
	return out
}

// belowFaults are the faults of a path that lies below another service's file or
// artifact.
func belowFaults(inv inventory.Inventory, a, b owner) []Fault {
	host, both := commonHost(inv, a.service, b.service)
	if a.service == b.service || !both {
		return nil
	}
	mend := func(o owner) string {
		return "see " + o.service.At(o.claim.at).String() + ": choose another path, or select other hosts"
	}
	return []Fault{
		{Pos: a.service.At(a.claim.at), Rule: "claimed-twice", Service: a.service.Name, Mend: mend(b),
			Message: fmt.Sprintf("%s lies below %s, which is %s's file or artifact on %s", a.claim.what, b.claim.what, b.service.Name, host)},
		{Pos: b.service.At(b.claim.at), Rule: "claimed-twice", Service: b.service.Name, Mend: mend(a),
			Message: fmt.Sprintf("%s is in the way of %s's %s, on %s", b.claim.what, a.service.Name, a.claim.what, host)},
	}
}

func commonHost(inv inventory.Inventory, a, b *Service) (string, bool) {
	for _, h := range inv.Hosts {
		if a.Spec.Selector.Matches(h.Labels) && b.Spec.Selector.Matches(h.Labels) {
			return h.Name, true
		}
	}
	return "", false
}
