package adopt

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// view is one unit on one host, with what of the host it takes along.
type view struct {
	host *Host
	unit *Unit
	refs refs
	// env, files and programs are regular files that can be taken over as they are.
	env, files []string
	dirs       []string
	users      []string
	trees      []Tree
	notes      []string
}

// Tree is a program behind a symlink, put there by hand: it becomes an artifact once
// somebody wants that.
type Tree struct {
	Host   string `json:"host"`   // which it is to be fetched from
	Link   string `json:"link"`   // the symlink
	Target string `json:"target"` // where it leads to, absolute
	Folder bool   `json:"folder"`
	Source string `json:"source"` // the file for it in the repo, in the folder of fleet.yaml
}

// views are the units of a host that can be taken over; the others get a Reason.
func (h *Host) views(o Options) []*view {
	var out []*view
	for _, u := range h.Units {
		if u.Reason == "" && !u.read {
			u.leave("the host did not tell all of it")
		}
		if u.Reason == "" {
			h.checkUnit(u, o)
		}
		if u.Reason != "" {
			continue
		}
		v := &view{host: h, unit: u, refs: h.refs(u)}
		v.take(o)
		if u.Reason == "" {
			out = append(out, v)
		}
	}
	return out
}

// checkUnit finds what keeps a unit from being taken over as it is.
func (h *Host) checkUnit(u *Unit, o Options) {
	for _, p := range append([]string{u.Path}, u.DropIns...) {
		st := h.seen.Paths[p]
		if st.Owner != "root" || st.Group != "root" || st.Mode != 0o644 {
			u.leave(fmt.Sprintf("%s is %s:%s %04o, and a unit file is root:root 0644: chown root:root and chmod 644 disturb nothing", path.Base(p), st.Owner, st.Group, st.Mode))
		}
		if st.Content != nil && desired.IsSOPS(p, st.Content.Bytes()) {
			u.leave(path.Base(p) + " looks like a SOPS file")
		}
		if st.Content != nil {
			if at := o.Secrets.inComment(st.Content.Bytes()); at != "" {
				u.leave("a secret stands in " + at + " of " + path.Base(p) + ": take it out there")
			}
		}
		if by := o.Claimed[h.Host.Name][p]; by != "" {
			u.leave("service " + by + " has " + p + " already")
		}
	}
	if at := o.Secrets.inUnit(u.Text); at != "" {
		u.leave("a secret stands in " + at + ": move it into an env file, or say --plain KEY if it is none")
	}
	for _, name := range u.names() {
		if st := h.seen.Units[name]; st.Masked() {
			u.leave("it is masked")
		} else if st.Fragment != "" && st.Fragment != u.Path {
			u.leave("systemd has it from " + st.Fragment)
		}
	}
}

// take looks at what the unit names.
func (v *view) take(o Options) {
	h, r := v.host, v.refs
	claimed := func(p string) bool {
		by := o.Claimed[h.Host.Name][p]
		if by != "" {
			v.unit.leave(p + " is service " + by + "'s already: name the unit under units of that service by hand")
		}
		return by != ""
	}
	for _, p := range r.foreignEnv {
		v.note("EnvironmentFile=%s is left alone: only the host can tell which files it means", p)
	}
	for _, p := range r.envFiles {
		if v.host.seen.Paths[p].Size > maxContent {
			v.note("%s is left alone: it is larger than %d KiB", p, maxContent>>10)
		} else if !claimed(p) && v.throughLink(p) == "" && v.takes(p) {
			v.env = append(v.env, p)
		}
	}
	for _, p := range r.files {
		if h.seen.Paths[p].Type == hostdriver.PathDir {
			v.refs.addDirectory(p)
		} else if !claimed(p) && v.throughLink(p) == "" && v.takes(p) {
			v.files = append(v.files, p)
		}
	}
	for _, p := range r.programs {
		link := v.throughLink(p)
		switch st := h.seen.Paths[p]; {
		case link != "":
			v.tree(link, p)
		case st.Type == hostdriver.PathDir:
			v.refs.addDirectory(p)
		case !claimed(p) && v.takes(p):
			v.files = append(v.files, p)
		}
	}
	v.directories()
	for _, name := range r.users {
		v.user(name)
	}
}

func (v *view) note(format string, args ...any) {
	v.notes = append(v.notes, fmt.Sprintf(format, args...))
}

// takes tells whether a path is a file that can be taken over; what is there and cannot
// be is noted.
func (v *view) takes(p string) bool {
	st := v.host.seen.Paths[p]
	switch {
	case st.Type == hostdriver.PathAbsent || st.Type == "":
		return false
	case st.Type != hostdriver.PathFile:
		v.note("%s is left alone: it is a %s", p, st.Type)
	case st.Size > desired.MaxSource:
		v.note("%s is left alone: %d MiB are more than a file of the repo may have (%d); bring it as an artifact", p, st.Size>>20, desired.MaxSource>>20)
	case st.Size > maxContent && st.Mode&0o111 == 0:
		v.note("%s is left alone: it has %d KiB and is no program; name it under files by hand", p, st.Size>>10)
	case st.SHA256 == "" || st.Size <= maxContent && st.Content == nil:
		v.note("%s is left alone: the host did not tell what is in it", p)
	case st.Content != nil && desired.IsSOPS(p, st.Content.Bytes()):
		v.note("%s is left alone: it is a SOPS file, which would be decrypted", p)
	default:
		return true
	}
	return false
}

// throughLink is the first symlink on the way to a path, or "".
func (v *view) throughLink(p string) string {
	for _, at := range append(parents(p), p) {
		if v.host.seen.Paths[at].Type == hostdriver.PathSymlink {
			return at
		}
	}
	return ""
}

// tree takes note of a program behind a symlink.
func (v *view) tree(link, p string) {
	target := v.host.seen.Paths[link].Target
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(link), target)
	}
	target = path.Clean(target)
	if hostdriver.CheckPath(target) != nil || desired.CheckTargetPath(link) != "" || !under(target, programFolders) || strings.Count(link, "/") < 2 {
		return // a package's program, by another name
	}
	v.trees = append(v.trees, Tree{Host: v.host.Host.Name, Link: link, Target: target, Folder: link != p})
}

// directories are folders that the unit names, and those around the files it takes.
func (v *view) directories() {
	r := &v.refs
	for _, p := range append(slices.Clone(v.env), v.files...) {
		for _, above := range parents(p) {
			if under(above, []string{"/etc", "/opt", "/srv"}) {
				r.addDirectory(above)
			}
		}
	}
	slices.Sort(r.directories)
	made := madeBySystemd(v.unit.Text)
	for _, p := range slices.Compact(r.directories) {
		st := v.host.seen.Paths[p]
		if st.Type != hostdriver.PathDir || made[p] || v.throughLink(p) != "" || desired.CheckTargetPath(p) != "" {
			continue
		}
		v.dirs = append(v.dirs, p)
	}
}

// madeBySystemd are the folders of StateDirectory= and its kin (systemd.exec(5)).
func madeBySystemd(t desired.UnitFile) map[string]bool {
	out := map[string]bool{}
	for key, base := range map[string]string{"StateDirectory": "/var/lib/", "CacheDirectory": "/var/cache/", "LogsDirectory": "/var/log/", "ConfigurationDirectory": "/etc/"} {
		for _, value := range t.Values("Service", key) {
			for _, name := range strings.Fields(value) {
				name, _, _ = strings.Cut(name, ":")
				out[path.Clean(base+name)] = true
			}
		}
	}
	return out
}

// user takes a system user; others are somebody's.
func (v *view) user(name string) {
	st := v.host.seen.Users[name]
	switch {
	case !st.Exists:
		v.note("user %s does not exist", name)
	case st.UID >= 1000 && st.UID != 65534:
		v.note("user %s is left alone: its id %d is not a system user's", name, st.UID)
	case st.Group != name || desired.CheckSystemUser(name) != "":
		v.note("user %s is left alone: it has no group of its own name", name)
	default:
		v.users = append(v.users, name)
	}
}

// entry is how a unit is, as a service.yaml says it.
type entry struct {
	name    string
	enabled string // true | false | ""
	state   string // started | stopped | ""
}

// entries are those of the unit, and of a template's instances.
func (v *view) entries() []entry {
	var out []entry
	if hostdriver.IsTemplate(v.unit.Name) {
		out = append(out, entry{name: v.unit.Name})
	}
	for _, name := range v.unit.names() {
		st := v.host.seen.Units[name]
		e := entry{name: name}
		switch {
		case st.File == "enabled" && v.unit.Text.Installs():
			e.enabled = "true"
		case st.File == "enabled":
			v.note("%s starts at boot, and its file says nothing under [Install]: that is left out", name)
		case st.File == "disabled":
			e.enabled = "false"
		}
		switch {
		case path.Ext(name) == ".service" && st.Type == "oneshot" && st.Sub != "exited":
			// It runs when somebody, or a timer, starts it.
		case st.Active == "active" || st.Active == "reloading":
			e.state = "started"
		case st.Active == "inactive" && e.enabled != "" && st.Type != "oneshot":
			e.state = "stopped"
		case st.Active == "failed":
			v.note("%s has failed, so whether it is to run is left out", name)
		}
		out = append(out, e)
	}
	return out
}

// triggers are the units that this one starts: a timer's, a socket's, a path's.
func (u *Unit) triggers() []string {
	ext := path.Ext(u.Name)
	section, key := map[string]string{".timer": "Timer", ".socket": "Socket", ".path": "Path"}[ext], "Unit"
	if ext == ".socket" {
		key = "Service"
	}
	if section == "" {
		return nil
	}
	stem := strings.TrimSuffix(u.Name, ext)
	if named := u.Text.Last(section, key); named != "" {
		if named, known := desired.ExpandSpecifiers(named, u.Name); known {
			return []string{named}
		}
	}
	return []string{stem + ".service", stem + "@.service"}
}
