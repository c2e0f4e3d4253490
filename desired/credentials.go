package desired

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// Where credentials are on a host: systemd's own places for them, of root's.
const (
	credstore          = "/etc/credstore/"
	encryptedCredstore = "/etc/credstore.encrypted/"
)

// path is where the credential is on a host that does with it as declared.
func (s CredentialSpec) path(service string) string {
	if s.Encrypted == EncryptOff {
		return s.plainPath(service)
	}
	return encryptedCredstore + service + "." + s.Name
}

// plainPath is where it is on a host that does not encrypt it.
func (s CredentialSpec) plainPath(service string) string { return credstore + service + "." + s.Name }

// loading is the line by which a unit loads it.
func (s CredentialSpec) loading(service string) string {
	if s.Encrypted == EncryptOff {
		return loadPlain(s.Name, s.path(service))
	}
	return loadEncrypted(s.Name, s.path(service))
}

func loadPlain(name, path string) string     { return "LoadCredential=" + name + ":" + path }
func loadEncrypted(name, path string) string { return "LoadCredentialEncrypted=" + name + ":" + path }

// sealing makes how a credential is encrypted on its host; nil where it cannot be, for there
// is no key of identities, which whoever opens a SOPS file has.
func (s CredentialSpec) sealing(service string, key func() hostdriver.Content) func(hostdriver.Content, bool) *Sealing {
	if s.Encrypted == EncryptOff {
		return nil
	}
	return func(content hostdriver.Content, secret bool) *Sealing {
		if secret && key().Len() == 0 {
			return nil
		}
		x := &Sealing{Name: s.Name, Require: s.Encrypted == EncryptRequire, Identity: content.SHA256(), Plain: content, PlainPath: s.plainPath(service)}
		if secret {
			m := hmac.New(sha256.New, key().Bytes())
			m.Write([]byte("credential " + s.Name + "\n"))
			m.Write(content.Bytes())
			x.Identity = hex.EncodeToString(m.Sum(nil))
		}
		return x
	}
}

// Unencrypted is the instance for a host that cannot encrypt: credentials that need not be
// are files of root's, which units load as they are. What it is made from is not changed.
func (in *Instance) Unencrypted() Instance {
	out := *in
	out.Files, out.Units = slices.Clone(in.Files), slices.Clone(in.Units)
	var pairs []string
	moved := map[string]string{}
	for i := range out.Files {
		f := &out.Files[i]
		if f.Sealing == nil || f.Sealing.Require {
			continue
		}
		pairs = append(pairs, loadEncrypted(f.Sealing.Name, f.Path)+"\n", loadPlain(f.Sealing.Name, f.Sealing.PlainPath)+"\n")
		moved[f.Path] = f.Sealing.PlainPath
		f.Path, f.Content, f.SHA256, f.Sealing, f.Unsealed = f.Sealing.PlainPath, f.Sealing.Plain, f.Sealing.Plain.SHA256(), nil, true
	}
	lines := strings.NewReplacer(pairs...)
	for i := range out.Files {
		if f := &out.Files[i]; f.Kind == FileDropIn && f.Path == loaderPath(f.Unit) {
			f.Content = hostdriver.NewContent([]byte(lines.Replace(string(f.Content.Bytes()))))
			f.SHA256 = f.Content.SHA256()
		}
	}
	for i := range out.Units {
		u := &out.Units[i]
		u.Reads = slices.Clone(u.Reads)
		for j, p := range u.Reads {
			if to := moved[p]; to != "" {
				u.Reads[j] = to
			}
		}
		slices.Sort(u.Reads)
	}
	slices.SortStableFunc(out.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out
}

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
		if f := unitFileOf(u); !f.dropIn && strings.HasSuffix(f.unit, ".service") && u.scopeUser() == "" {
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
			loaders[unit] = append(loaders[unit], c.loading(service))
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
		out = append(out, &compiledFile{kind: FilePlain, path: s.path(c.svc.Name), owner: "root", group: "root", mode: 0o600, names: []string{s.Source}, seal: s.sealing(c.svc.Name, c.sources.fingerprints),
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
		cs = append(cs, claim{what: "path " + c.plainPath(service), at: fmt.Sprintf("credentials[%d].name", i)})
		if c.Encrypted != EncryptOff {
			cs = append(cs, claim{what: "path " + c.path(service), at: fmt.Sprintf("credentials[%d].name", i)})
		}
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
