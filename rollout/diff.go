package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// Difference is what separates one host from what is desired there.
type Difference struct {
	Changes  []Change
	Problems []Problem
	// Removed are services that the host's manifest names and the revision does
	// not want there (any more).
	Removed []string
	// Suspended is what is left as it is; Build fills it in.
	Suspended []SuspendedPlan
}

// DiffOptions are what Diff needs beside the two sides.
type DiffOptions struct {
	Salt  string // of the Query that the Observation answers
	Prune bool   // take away services the revision no longer has on the host
	Terse bool   // leave out the texts of diffs, where nobody will read them

	texts *diffTexts // those of other hosts of the same Plan
}

// Diff compares what is desired on a host with what it said. The Observation must
// answer Query(hs, opt.Salt). It decides nothing about order or budget.
func Diff(hs desired.HostState, o hostdriver.Observation, opt DiffOptions) Difference {
	if opt.texts == nil {
		opt.texts = newDiffTexts(opt.Terse)
	}
	d := differ{host: hs.Host.Name, o: o, salt: opt.Salt, texts: opt.texts, desired: hs}
	for i := range hs.Instances {
		d.instance(&hs.Instances[i])
	}
	d.removed(hs, opt.Prune)
	d.along()
	return d.Difference
}

type differ struct {
	Difference
	host string
	o    hostdriver.Observation
	salt string
	// made is what the host state makes, once somebody asks.
	made    []hostdriver.Entry
	owners  map[entryName]string // likewise
	desired desired.HostState
	texts   *diffTexts
	// of the instance in hand
	service string
	from    int // index of its first change
}

func (d *differ) add(c Change) {
	c.Host, c.Service = d.host, d.service
	d.Changes = append(d.Changes, c)
}

func (d *differ) problem(subject, reason, mend string) {
	d.Problems = append(d.Problems, Problem{Host: d.host, Service: d.service, Subject: subject, Reason: reason, Mend: mend})
}

func (d *differ) instance(inst *desired.Instance) {
	d.service, d.from = inst.Service, len(d.Changes)
	d.users(inst)
	d.directories(inst)
	d.artifacts(inst)
	d.files(inst)
	d.leftovers(inst)
	d.managers(inst)
	d.hooks(inst)
	d.enablement(inst)
	for i := range inst.Units {
		d.process(inst, &inst.Units[i])
	}
	d.needs(inst)
}

func (d *differ) users(inst *desired.Instance) {
	declared := map[string]bool{"root": true, "": true}
	for _, u := range inst.Users {
		declared[u.Name] = true
		if !d.o.Users[u.Name].Exists {
			d.add(Change{Kind: KindUser, Action: ActionCreate, Subject: u.Name, To: u.Home, Reason: "user does not exist"})
		}
	}
	owner := func(name, path string) {
		if !declared[name] && !d.o.Users[name].Exists {
			d.problem(path, fmt.Sprintf("its owner %q does not exist on the host", name), fmt.Sprintf("declare it under users of service %s, or create it", inst.Service))
		}
	}
	group := func(name, path string) {
		if !declared[name] && !d.o.Groups[name] {
			d.problem(path, fmt.Sprintf("its group %q does not exist on the host", name), fmt.Sprintf("declare a user of that name under users of service %s, or create the group", inst.Service))
		}
	}
	for _, f := range inst.Files {
		owner(f.Owner, f.Path)
		group(f.Group, f.Path)
	}
	for _, x := range inst.Directories {
		owner(x.Owner, x.Path)
		group(x.Group, x.Path)
	}
}

func (d *differ) directories(inst *desired.Instance) {
	for _, x := range inst.Directories {
		got := d.o.Paths[x.Path]
		want := access(x.Owner, x.Group, x.Mode)
		switch {
		case got.Type == hostdriver.PathAbsent:
			d.add(Change{Kind: KindDirectory, Action: ActionCreate, Subject: x.Path, To: want, Reason: "directory does not exist"})
		case got.Type == "":
			d.problem(x.Path, "the host did not say what it is", "run with --log-level debug")
		case got.Type != hostdriver.PathDir:
			d.problem(x.Path, fmt.Sprintf("is a %s on the host, not a directory", got.Type), "move it away")
		case access(got.Owner, got.Group, got.Mode) != want:
			d.add(Change{Kind: KindDirectory, Action: ActionUpdate, Subject: x.Path, From: access(got.Owner, got.Group, got.Mode), To: want, Reason: "owner or mode differs"})
		}
	}
}

func access(owner, group string, mode uint32) string {
	return fmt.Sprintf("%s:%s %04o", owner, group, mode)
}

func (d *differ) artifacts(inst *desired.Instance) {
	for _, a := range inst.Artifacts {
		link, release := d.o.Paths[a.Link], d.o.Paths[a.Release]
		c := Change{Kind: KindArtifact, Action: ActionUpdate, Subject: a.Link, From: releaseDigest(link.Target), To: short(a.SHA256)}
		switch {
		case link.Type == hostdriver.PathAbsent:
			c.Action, c.Reason = ActionCreate, fmt.Sprintf("artifact %s is not there", a.Name)
		case link.Type != hostdriver.PathSymlink:
			d.problem(a.Link, fmt.Sprintf("is a %s on the host; artifact %s needs a symlink there", link.Type, a.Name), "move it away")
			continue
		case link.Target != a.Release:
			c.Reason = fmt.Sprintf("artifact %s has another release", a.Name)
		case release.Type == hostdriver.PathAbsent || release.Type == "":
			c.Reason = fmt.Sprintf("the release of artifact %s is gone from the host", a.Name)
		case release.SHA256 != "" && release.SHA256 != a.SHA256:
			c.From, c.Reason = short(release.SHA256), fmt.Sprintf("the release of artifact %s was changed on the host", a.Name)
		default:
			continue
		}
		d.add(c)
	}
}

// releaseDigest names the release a link points at.
func releaseDigest(target string) string {
	if i := strings.LastIndexByte(target, '/'); i >= 0 {
		return short(target[i+1:])
	}
	return target
}

func short(digest string) string { return digest[:min(12, len(digest))] }

func (d *differ) files(inst *desired.Instance) {
	for i := range inst.Files {
		f := &inst.Files[i]
		got := d.o.Paths[f.Path]
		c := Change{Kind: fileKind(f.Kind), Action: ActionUpdate, Subject: f.Path, To: short(f.SHA256)}
		want := access(f.Owner, f.Group, f.Mode)
		switch {
		case f.Sealing != nil && !d.o.Encrypts:
			d.problem(f.Path, fmt.Sprintf("is to be encrypted on the host, whose systemd (%s) cannot", orUnknown(d.o.Systemd)),
				"that needs systemd 250 with systemd-creds; encrypted: auto does without where it has to")
			continue
		case got.Type == hostdriver.PathAbsent:
			c.Action, c.Reason = ActionCreate, "file does not exist"
			d.content(&c, f, got)
		case got.Type == hostdriver.PathSymlink && f.Kind == desired.FileUnit && got.Target == "/dev/null":
			continue // masked: said of the unit
		case got.Type != hostdriver.PathFile:
			d.problem(f.Path, fmt.Sprintf("is a %s on the host, not a file", orUnknown(string(got.Type))), "move it away")
			continue
		case got.SHA256 != f.SHA256:
			c.From, c.Reason = short(got.SHA256), d.whyDiffers(f, got)
			d.content(&c, f, got)
		case access(got.Owner, got.Group, got.Mode) != want:
			c.From, c.To, c.Reason = access(got.Owner, got.Group, got.Mode), want, "owner or mode differs"
		default:
			why := unapplied(f, d.o)
			if why == "" {
				continue
			}
			c.From, c.To, c.Reason = "", "", why
		}
		if f.Unsealed {
			c.Reason += "; it is not encrypted, for the host's systemd cannot"
		}
		d.add(c)
	}
}

// content says of a Change how what is in the file differs. A secret file's digest would
// let weak secrets be guessed: it is told by a keyed fingerprint of the digest, or not at all.
func (d *differ) content(c *Change, f *desired.File, got hostdriver.PathState) {
	if f.Sealing != nil {
		d.sealed(c, f, got)
		return
	}
	x := d.texts.diff(f, got, d.desired.Fingerprints)
	c.Diff, c.Keys, c.Secrets = x.diff, x.keys, x.secrets
	if f.Secret {
		c.To = desired.Fingerprint(d.desired.Fingerprints, []byte(f.SHA256))
	}
	if c.From != "" && (f.Secret || isClosed(got)) {
		c.From = desired.Fingerprint(d.desired.Fingerprints, []byte(got.SHA256))
	}
}

// whyDiffers tells a new revision from a hand at work.
func (d *differ) whyDiffers(f *desired.File, got hostdriver.PathState) string {
	e, ours := d.o.Manifest.Find(hostdriver.KindFile, f.Path)
	switch {
	case !ours:
		return "a file is there that evenkeel did not write"
	case f.Sealing != nil && e.SHA256 == got.SHA256 && got.Seal == hostdriver.SealUnreadable:
		return "the host cannot decrypt it any more: " + got.SealWhy
	case e.SHA256 == got.SHA256 && meansTheSame(f, got):
		return "only what no process depends on changes: comments, the description, [Install]"
	case e.SHA256 == got.SHA256:
		return "content changes"
	case e.SHA256 == f.SHA256:
		return "drift: edited on the host"
	}
	return "content changes; it was edited on the host as well"
}

func orUnknown(s string) string {
	if s == "" {
		return "thing the host did not name"
	}
	return s
}

func fileKind(k desired.FileKind) Kind {
	switch k {
	case desired.FileEnv:
		return KindEnv
	case desired.FileUnit, desired.FileDropIn:
		return KindUnit
	}
	return KindFile
}

// leftovers are what the manifest has of this service and the revision no longer wants.
func (d *differ) leftovers(inst *desired.Instance) {
	var wanted map[entryName]bool
	var gone []hostdriver.Entry
	for i := range d.o.Manifest.Entries {
		e := &d.o.Manifest.Entries[i]
		if e.Service != inst.Service {
			continue
		}
		if wanted == nil {
			wanted = entryNames(inst)
		}
		if !wanted[entryName{e.Kind, e.Name}] && !d.handed(e) {
			d.remove(*e, "no longer in the revision")
			gone = append(gone, *e)
		}
	}
	d.lingersNoMore(gone, "no unit of it is left, and evenkeel had switched it on")
}

// handed tells whether another service of the host is to have what was one's.
func (d *differ) handed(e *hostdriver.Entry) bool {
	if d.owners == nil {
		d.owners = owners(d.desired)
	}
	owner := d.owners[entryName{e.Kind, e.Name}]
	return owner != "" && owner != e.Service
}

// remove adds the changes by which one managed entry goes away.
func (d *differ) remove(e hostdriver.Entry, reason string) {
	switch e.Kind {
	case hostdriver.KindFile:
		if d.o.Paths[e.Name].Type != hostdriver.PathAbsent {
			from := short(e.Meaning().SHA256)
			if e.Sealed == "" && e.Mode&0o004 == 0 {
				from = desired.Fingerprint(d.desired.Fingerprints, []byte(e.SHA256))
			}
			d.add(Change{Kind: KindFile, Action: ActionDelete, Subject: e.Name, From: from, Reason: reason})
		}
	case hostdriver.KindLink:
		if d.o.Paths[e.Name].Type != hostdriver.PathAbsent {
			d.add(Change{Kind: KindArtifact, Action: ActionDelete, Subject: e.Name, From: releaseDigest(e.Target), Reason: reason})
		}
	case hostdriver.KindUnit:
		u := d.o.Units[e.Name]
		if e.State == "started" && u.Running() {
			d.add(Change{Kind: KindProcess, Action: ActionStop, Subject: e.Name, From: u.Active, To: "inactive", Disruption: None, Reason: reason})
		}
		if e.Enabled == "yes" && u.File == "enabled" {
			d.add(Change{Kind: KindEnable, Action: ActionDisable, Subject: e.Name, From: u.File, To: "disabled", Reason: reason})
		}
	}
}

func (d *differ) removed(hs desired.HostState, prune bool) {
	wanted := map[string]bool{}
	for _, i := range hs.Instances {
		wanted[i.Service] = true
	}
	for i := range d.o.Manifest.Entries {
		e := &d.o.Manifest.Entries[i]
		if !prune || wanted[e.Service] || slices.Contains(d.Removed, e.Service) {
			continue
		}
		d.service = e.Service
		d.Removed = append(d.Removed, e.Service)
		all := d.o.Manifest.Of(d.service)
		for _, e := range all {
			if d.handed(&e) {
				continue
			}
			d.remove(e, "service "+d.service+" is no longer wanted on this host")
		}
		d.lingersNoMore(all, "no unit of it is left, and evenkeel had switched it on")
	}
}

func (d *differ) enablement(inst *desired.Instance) {
	for i := range inst.Units {
		u := &inst.Units[i]
		got, known := d.o.Units[u.Name]
		if !known {
			d.problem(u.Name, "the host did not say anything of this unit", "run with --log-level debug")
			continue
		}
		if got.Masked() {
			d.problem(u.Name, "is masked on the host", hostdriver.Systemctl("unmask", u.Name))
			continue
		}
		if u.Enabled == nil {
			continue
		}
		file := got.File
		switch {
		case *u.Enabled && file == "enabled":
			if was, want := linkedOtherwise(inst, u, d.o); want != nil {
				d.add(Change{Kind: KindEnable, Action: ActionUpdate, Subject: u.Name, From: strings.Join(was, " "), To: strings.Join(want, " "), Reason: whyLinked(was, want)})
			}
		case *u.Enabled && file != "enabled":
			if file == "static" || file == "generated" || file == "transient" || file == "alias" || file == "indirect" {
				if d.writesUnit(inst, u) {
					file = "not there" // the new file decides
				} else {
					d.problem(u.Name, fmt.Sprintf("cannot be enabled: it is %s", file), "give it an [Install] section, or drop enabled")
					continue
				}
			}
			d.add(Change{Kind: KindEnable, Action: ActionEnable, Subject: u.Name, From: orAbsent(file), To: "enabled", Reason: "does not start at boot"})
		case !*u.Enabled && (file == "enabled" || file == "enabled-runtime"):
			d.add(Change{Kind: KindEnable, Action: ActionDisable, Subject: u.Name, From: file, To: "disabled", Reason: "starts at boot"})
		}
	}
}

func orAbsent(s string) string {
	if s == "" {
		return "not there"
	}
	return s
}

// writesUnit tells whether a change of u's file is among the changes.
func (d *differ) writesUnit(inst *desired.Instance, u *desired.Unit) bool {
	for _, c := range d.Changes[d.from:] {
		if c.Kind == KindUnit && (c.Subject == u.File || c.Subject == "/etc/systemd/system/"+u.Name) {
			return true
		}
	}
	return false
}
