package desired

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// serviceCheck looks for what is wrong in one ServiceSpec by itself, beyond what
// decoding it has found. Paths are relative to the spec.
type serviceCheck struct {
	problems []fault.Problem
}

func checkService(service string, spec ServiceSpec) []fault.Problem {
	c := &serviceCheck{}
	for _, p := range spec.Selector.Validate() {
		p.Path = "selector." + p.Path
		c.problems = append(c.problems, p)
	}
	for i, u := range spec.Users {
		c.user(fmt.Sprintf("users[%d]", i), u)
	}
	for i, d := range spec.Directories {
		at := fmt.Sprintf("directories[%d]", i)
		c.target(at+".path", d.Path)
		c.owners(at, d.Owner, d.Group, d.Mode)
	}
	for i, u := range spec.Units {
		c.unit(fmt.Sprintf("units[%d]", i), u)
	}
	for i, e := range spec.Env {
		at := fmt.Sprintf("env[%d]", i)
		c.target(at+".path", e.Path)
		c.owners(at, e.Owner, e.Group, e.Mode)
		if e.Source != nil && len(e.Source) == 0 {
			c.add(at+".source", "missing-source", "source is empty", "name at least one file")
		}
	}
	for i, f := range spec.Files {
		at := fmt.Sprintf("files[%d]", i)
		c.target(at+".path", f.Path)
		c.owners(at, f.Owner, f.Group, f.Mode)
	}
	for i, s := range spec.Credentials {
		c.credential(fmt.Sprintf("credentials[%d]", i), s, spec)
	}
	for i, a := range spec.Artifacts {
		c.artifact(fmt.Sprintf("artifacts[%d]", i), a)
	}
	c.hooks(spec)
	for i, d := range spec.Drain {
		c.drain(fmt.Sprintf("drain[%d]", i), d)
	}
	for i, h := range spec.Health {
		c.health(fmt.Sprintf("health[%d]", i), h)
	}
	c.problems = append(c.problems, spec.Validate.check()...)
	c.unique(service, spec)
	return c.problems
}

func (c *serviceCheck) add(at, rule, message, mend string) {
	c.problems = append(c.problems, fault.Problem{Path: at, Rule: rule, Message: message, Mend: mend})
}

func (c *serviceCheck) addIf(at, rule, message, mend string) {
	if message != "" {
		c.add(at, rule, message, mend)
	}
}

func (c *serviceCheck) target(at, p string) {
	if p == "" {
		return // the decoder has named the missing key, or a default holds
	}
	message, mend := checkTarget(p)
	c.addIf(at, "bad-path", message, mend)
}

func (c *serviceCheck) owners(at, owner, group, mode string) {
	if owner != "" {
		c.addIf(at+".owner", "bad-owner", checkOwner(owner), "")
	}
	if group != "" {
		c.addIf(at+".group", "bad-owner", checkOwner(group), "")
	}
	if mode != "" {
		_, why := parseMode(mode)
		c.addIf(at+".mode", "bad-mode", why, "")
	}
}

func (c *serviceCheck) user(at string, u UserSpec) {
	if u.Name != "" {
		c.addIf(at+".name", "bad-name", checkUser(u.Name), "")
		if u.Name == "root" {
			c.add(at+".name", "bad-name", "root is not a user to be made", "drop it")
		}
	}
	c.target(at+".home", u.Home)
	if strings.Contains(u.Home, ":") {
		c.add(at+".home", "bad-path", "home "+fault.Quote(u.Home)+` has a ":", which ends a field of the passwd database`, "")
	}
}

func (c *serviceCheck) unit(at string, u UnitSpec) {
	c.target(at+".path", u.Path)
	c.scope(at, u)
	if u.DropIn != "" {
		c.dropIn(at, u)
		return
	}
	if u.Source == "" && u.Name == "" {
		c.add(at, "missing-key", "a unit needs a source or a name", "write source: FILE for a unit of ours, or name: UNIT for one that is there already")
		return
	}
	if u.Source == "" && u.Path != "" {
		c.add(at+".path", "wrong-value", "a unit without a source has no path", "write source: FILE")
	}
	if u.Source == "" && u.Template {
		c.add(at+".template", "wrong-value", "a unit without a source has nothing to render", "write source: FILE")
	}
	if isTemplate(u.Source) && u.Name == "" {
		c.add(at, "missing-key", "the source is a template, so the unit needs a name", "write name: UNIT")
		return
	}
	f := unitFileOf(u)
	if f.quadlet {
		c.quadlet(at, u, f)
		return
	}
	where := at + ".source"
	if u.Name != "" {
		where = at + ".name"
	}
	unit := bareUnit(f.unit)
	message, mend := checkUnitName(unit)
	c.addIf(where, "bad-unit-name", message, mend)
	if message != "" {
		return
	}
	if base := path.Base(f.path); u.Source != "" && base != unit && base != templateOf(unit) {
		c.add(at+".path", "bad-path", "path "+fault.Quote(f.path)+" is not a file of the unit "+unit, "its last part is the unit's name")
	}
	if isTemplateUnit(f.unit) && u.State != "" {
		c.add(at+".state", "template-unit", f.unit+" is a template, which is never "+u.State+" itself",
			"name an instance in a further entry: name: "+strings.Replace(f.unit, "@", "@1", 1))
	}
}

// The scopes of units.
const (
	scopeSystem = "system"
	scopeUser   = "user"
)

func (c *serviceCheck) scope(at string, u UnitSpec) {
	quadlet := quadletUnit(path.Base(strings.TrimSuffix(or(u.Name, u.Source), ".tmpl"))) != "" && u.DropIn == ""
	switch {
	case u.Scope == scopeUser && u.User == "":
		c.add(at, "missing-key", "a unit of scope user needs a user", "write user: NAME")
	case u.Scope != scopeUser && u.User != "":
		c.add(at+".user", "wrong-value", "user says whose systemd runs the unit, and this one is the host's",
			"write scope: user beside it; or, where the host's systemd is to run it as "+u.User+", write User="+u.User+" into its [Service]")
	case u.Scope == scopeUser && quadlet:
		c.add(at+".scope", "wrong-value", "Quadlet files are for the host's own systemd here", "bring the unit that podman generates of it as a file")
	case u.User != "":
		c.addIf(at+".user", "bad-name", checkUser(u.User), "")
	}
}

func (c *serviceCheck) dropIn(at string, u UnitSpec) {
	message, mend := checkUnitName(u.DropIn)
	c.addIf(at+".dropIn", "bad-unit-name", message, mend)
	switch {
	case u.Source == "":
		c.add(at, "missing-key", "a drop-in needs a source", "write source: FILE.conf")
		return
	case u.Name == "" && isTemplate(u.Source):
		c.add(at, "missing-key", "the source is a template, so the drop-in needs a name", "write name: FILE.conf")
		return
	}
	if base := path.Base(unitFileOf(u).path); !strings.HasSuffix(base, ".conf") || base == ".conf" {
		c.add(at, "bad-path", "drop-in "+fault.Quote(base)+" does not end in .conf, so systemd would not read it", "rename it, or write name: FILE.conf")
	}
	if isTemplateUnit(u.DropIn) && u.State != "" {
		c.add(at+".state", "template-unit", u.DropIn+" is a template, which is never "+u.State+" itself", "name an instance in a further entry")
	}
}

func (c *serviceCheck) quadlet(at string, u UnitSpec, f unitFile) {
	message, mend := checkUnitName(f.unit)
	c.addIf(at, "bad-unit-name", message, mend)
	if u.Source == "" {
		c.add(at+".name", "bad-unit-name", fault.Quote(u.Name)+" is a Quadlet file, not a unit", "write name: "+f.unit)
	}
	if u.Enabled != nil {
		c.add(at+".enabled", "generated-unit", f.unit+" is generated from a Quadlet, so it cannot be enabled",
			"write [Install] into "+path.Base(f.path)+" and drop enabled")
	}
	if isTemplateUnit(f.unit) && u.State != "" {
		c.add(at+".state", "template-unit", f.unit+" is a template, which is never "+u.State+" itself", "name an instance in a further entry")
	}
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (c *serviceCheck) artifact(at string, a ArtifactSpec) {
	if a.Name != "" {
		c.addIf(at+".name", "bad-name", checkName(a.Name), "")
	}
	c.target(at+".path", a.Path)
	c.owners(at, a.Owner, a.Group, "")
	if !isTemplate(a.Source) && a.Source != "" {
		message, mend := checkArtifactSource(a.Source, a.SHA256)
		c.addIf(at+".source", "artifact", message, mend)
	}
	if a.Pull == pullHost && !isTemplate(a.Source) && a.Source != "" {
		message, mend := checkPullSource(a.Source)
		c.addIf(at+".pull", "artifact", message, mend)
	}
	if key, message, mend := a.checkPull(); message != "" {
		c.add(at+"."+key, "artifact", message, mend)
	}
	if IsGitArchive(a.Source) && (a.Unpack == "none" || a.Unpack == "zip") {
		c.add(at+".unpack", "artifact", "the archive of a commit is always unpacked, as a tar", "drop unpack")
	}
	if a.Signature != nil {
		message, mend := a.Signature.check(a.Source)
		c.addIf(at+".signature", "artifact", message, mend)
	}
	if a.SHA256 != "" && !isTemplate(a.SHA256) && !sha256Hex.MatchString(a.SHA256) {
		c.add(at+".sha256", "wrong-value", "sha256 is not 64 lower-case hexadecimal digits", "sha256sum FILE writes it")
	}
}

// checkArtifactSource says what is wrong with a source that is not a template any more.
func checkArtifactSource(source, digest string) (message, mend string) {
	if IsGitArchive(source) {
		if _, err := ParseGitArchive(source); err != nil {
			return err.Error(), gitArchiveMend
		}
		return "", ""
	}
	scheme, _, isURL := strings.Cut(source, "://")
	if !isURL {
		return "", ""
	}
	switch scheme {
	case "https", "oci", "file":
	default:
		return "an artifact is not fetched by " + scheme + "://", "use an https:// or oci:// URL or file:///PATH with its sha256, git+https:// with its commit, or a file of the repo"
	}
	u, err := url.Parse(source)
	switch {
	case err != nil || hasControl(source) || scheme != "file" && u.Host == "":
		return "source " + fault.Quote(source) + " is not a URL", ""
	case scheme == "file" && (u.Host != "" || path.Clean(u.Path) != u.Path || u.Path == "/"):
		return "source " + fault.Quote(source) + " is not file:///PATH", "name the file on the controller by its whole path"
	case u.User != nil:
		return "the URL holds a password", "keep credentials out of the repo"
	case digest == "":
		return "an artifact from elsewhere needs its sha256", "sha256sum FILE writes it"
	}
	return "", ""
}

// unique finds paths, units, users and artifacts that stand twice in a service, and
// paths that lie below a file or artifact.
func (c *serviceCheck) unique(service string, spec ServiceSpec) {
	claims := claimsOf(service, spec)
	seen := map[string]claim{}
	for _, cl := range claims {
		if first, twice := seen[cl.what]; twice && !(cl.shared && first.shared && cl.spec == first.spec) {
			c.add(cl.at, "duplicate", cl.what+" is here twice: "+first.at+" has it already", "drop one of them")
			continue
		}
		seen[cl.what] = cl
	}
	for _, cl := range claims {
		for _, above := range cl.above() {
			if over, ok := seen[above]; ok && over.solid {
				c.add(cl.at, "below-a-file", cl.what+" lies below "+above+", which is a file or artifact: "+over.at+" has it", "choose another path")
			}
		}
	}
}
