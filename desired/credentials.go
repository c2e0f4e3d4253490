package desired

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// credstore is where credentials are on a host: systemd's own place for them, of root's.
const credstore = "/etc/credstore/"

// path is where the credential is on a host.
func (s CredentialSpec) path(service string) string { return credstore + service + "." + s.Name }

// credentialUnits are the units that load a credential.
func (s CredentialSpec) credentialUnits(spec ServiceSpec) []string {
	if len(s.Units) > 0 {
		return s.Units
	}
	return serviceUnits(spec)
}

// serviceUnits are the .service units that a service has a say about, sorted.
func serviceUnits(spec ServiceSpec) []string {
	names := map[string]bool{}
	for _, u := range spec.Units {
		if u.Source == "" && u.Name == "" || u.Name == "" && isTemplate(u.Source) {
			continue
		}
		if f := unitFileOf(u); !f.dropIn && strings.HasSuffix(f.unit, ".service") {
			names[f.unit] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// loadersOf are the units that load credentials, with the lines of their drop-ins.
func loadersOf(service string, spec ServiceSpec) map[string][]string {
	loaders := map[string][]string{}
	for _, c := range spec.Credentials {
		for _, unit := range c.credentialUnits(spec) {
			loaders[unit] = append(loaders[unit], "LoadCredential="+c.Name+":"+c.path(service))
		}
	}
	return loaders
}

// loaderPath is the drop-in by which a unit loads credentials.
func loaderPath(unit string) string {
	return "/etc/systemd/system/" + unit + ".d/50-evenkeel-credentials.conf"
}

// credentials are the files of a service's credentials, and the drop-ins that load them.
func (c *compiler) credentials() []*compiledFile {
	spec := c.svc.Spec
	var out []*compiledFile
	for i, s := range spec.Credentials {
		out = append(out, &compiledFile{kind: FilePlain, path: s.path(c.svc.Name), owner: "root", group: "root", mode: 0o600, names: []string{s.Source},
			at: []Position{c.svc.At(fmt.Sprintf("credentials[%d].source", i))}, render: s.Template, change: changeOf(s.ChangeMode)})
	}
	loaders := loadersOf(c.svc.Name, spec)
	for _, unit := range slices.Sorted(maps.Keys(loaders)) {
		text := "# Written by evenkeel, from credentials of service " + c.svc.Name + ".\n[Service]\n" + strings.Join(loaders[unit], "\n") + "\n"
		f := &compiledFile{kind: FileDropIn, path: loaderPath(unit), owner: "root", group: "root", mode: 0o644, unit: unit, change: ChangeRestart}
		f.static = sync.OnceValues(func() (made, Faults) {
			m := f.bare()
			parsed, _ := ParseUnit([]byte(text))
			m.parsed = &parsed
			m.Content = hostdriver.NewContent([]byte(text))
			m.SHA256 = m.Content.SHA256()
			return m, nil
		})
		out = append(out, f)
	}
	return out
}

// credentialClaims are the claims of credentials and of their drop-ins.
func credentialClaims(service string, spec ServiceSpec) []claim {
	var cs []claim
	for i, c := range spec.Credentials {
		cs = append(cs, claim{what: "path " + c.path(service), at: fmt.Sprintf("credentials[%d].name", i)})
	}
	for _, unit := range slices.Sorted(maps.Keys(loadersOf(service, spec))) {
		cs = append(cs, claim{what: "path " + loaderPath(unit), at: "credentials"})
	}
	return cs
}

func (c *serviceCheck) credential(at string, s CredentialSpec, spec ServiceSpec) {
	if s.Name != "" && (strings.Trim(s.Name, lowerDigits+upperLetters+"_.-") != "" || s.Name[0] == '.') {
		c.add(at+".name", "bad-credential", fault.Quote(s.Name)+" is no name of a credential", `use letters, digits, "-", "_" and "."`)
	}
	known := serviceUnits(spec)
	for i, unit := range s.Units {
		if !slices.Contains(known, unit) {
			c.add(fmt.Sprintf("%s.units[%d]", at, i), "unknown-unit", fault.Quote(unit)+" is no .service unit of this service", fault.DidYouMean(unit, known))
		}
	}
	if len(known) == 0 {
		c.add(at, "unloaded-credential", "the service has no .service unit that could load it", "name the unit under units")
	}
}
