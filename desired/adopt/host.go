package adopt

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

const (
	unitFolder = "/etc/systemd/system"
	// maxContent is how much of one file is read with an observation; larger ones are fetched.
	maxContent = 256 << 10
	// maxAsked is how many paths one host is asked for.
	maxAsked = 3000
	// maxTries is how often one path's content is asked for: a reply has room for only so much.
	maxTries = 40
)

// Host is what is known of one host.
type Host struct {
	Host  inventory.Host
	Units []*Unit   // of the host's own, by name; those left alone have a Reason
	Alone []Foreign // what else is in the folders of units and is left alone

	seen  hostdriver.Observation
	tries map[string]int
	users map[string]bool // asked for
}

// Unit is a unit of a host's own: a file in /etc/systemd/system with its drop-ins.
type Unit struct {
	Name      string
	Path      string
	DropIns   []string // paths, sorted
	Instances []string // of a template: the units made of it
	Reason    string   // why it is left alone; "" where it is not
	Mend      string   // how it can be taken over after all, where that is known
	Text      desired.UnitFile
	read      bool
}

// Foreign is something that is left alone.
type Foreign struct {
	Host   string `json:"host"`
	What   string `json:"what"` // a unit's name, or a path
	Reason string `json:"reason"`
	Mend   string `json:"mend,omitempty"` // how it is taken over, without disturbing what runs
}

// Wanted tells which units are asked for: by globs over their names, with or without the
// type behind the dot. None: all.
type Wanted []string

func (w Wanted) has(unit string) bool {
	if len(w) == 0 {
		return true
	}
	stem := strings.TrimSuffix(unit, path.Ext(unit))
	return slices.ContainsFunc(w, func(glob string) bool {
		for _, name := range []string{unit, stem, strings.TrimSuffix(stem, "@")} {
			if ok, err := path.Match(glob, name); err == nil && ok {
				return true
			}
		}
		return false
	})
}

// unitTypes are those of units that are taken over.
var unitTypes = []string{".service", ".timer", ".socket", ".path", ".target", ".slice", ".mount", ".automount"}

// NewHost takes a survey. managed are the names of units that the fleet repo has on this
// host already.
func NewHost(h inventory.Host, s hostdriver.Survey, want Wanted, managed map[string]bool) *Host {
	out := &Host{Host: h, tries: map[string]int{}, users: map[string]bool{}, seen: hostdriver.Observation{
		Paths: map[string]hostdriver.PathState{}, Units: map[string]hostdriver.UnitState{}, Users: map[string]hostdriver.UserState{}, Groups: map[string]bool{}}}
	entries := slices.Clone(s.Entries)
	slices.SortFunc(entries, func(a, b hostdriver.SurveyEntry) int { return strings.Compare(a.Path, b.Path) })
	byName := map[string]*Unit{}
	for _, e := range entries {
		if path.Dir(e.Path) != unitFolder {
			continue
		}
		name := path.Base(e.Path)
		if e.Type == hostdriver.PathDir || !slices.Contains(unitTypes, path.Ext(name)) {
			continue
		}
		u := &Unit{Name: name, Path: e.Path}
		u.Reason, u.Mend = unitReason(e, h.Name)
		switch {
		case managed[name]:
			continue
		case e.Type == hostdriver.PathSymlink && strings.HasPrefix(e.Target, "/lib/systemd/") || strings.HasPrefix(e.Target, "/usr/lib/systemd/"):
			continue // an alias of a package's unit
		case e.Type == hostdriver.PathSymlink && (path.Dir(e.Target) == unitFolder || !strings.Contains(e.Target, "/")):
			continue // an alias of a unit that is here
		case e.Target == "/dev/null" && (len(want) == 0 || !want.has(name)):
			continue // masked: there is nothing of it
		case u.Reason == "" && !want.has(name):
			u.Reason, u.Mend = "not asked for", "evenkeel adopt --unit "+name+" "+h.Name
		}
		out.Units = append(out.Units, u)
		byName[name] = u
	}
	for _, e := range entries {
		out.place(e, byName, managed)
	}
	for _, name := range s.Loaded {
		if t := templateOf(name); t != "" && byName[t] != nil && hostdriver.CheckUnit(name) == nil {
			byName[t].Instances = append(byName[t].Instances, name)
		}
	}
	for _, u := range out.Units {
		slices.Sort(u.Instances)
		u.Instances = slices.Compact(u.Instances)
	}
	if s.Cut {
		out.alone(unitFolder, "there is more than is looked at", "evenkeel adopt --unit GLOB "+h.Name)
	}
	return out
}

// unitReason says why a unit is left alone, if it is, and how it is taken over.
func unitReason(e hostdriver.SurveyEntry, host string) (reason, mend string) {
	name := path.Base(e.Path)
	again := "; then evenkeel adopt --unit " + name + " " + host
	switch {
	case e.Type == hostdriver.PathSymlink && e.Target == "/dev/null":
		return "it is masked", "systemctl unmask " + name + " there, if it is wanted" + again
	case e.Type == hostdriver.PathSymlink:
		return "it is a link to " + e.Target, "on the host: " + copied(e.Path) + " && systemctl daemon-reload" + again
	case e.Type != hostdriver.PathFile:
		return "it is no regular file", ""
	case hostdriver.CheckUnit(name) != nil:
		return "its name is none that systemd allows", ""
	case strings.HasPrefix(name, "snap.") || strings.HasPrefix(name, "snap-"):
		return "snapd writes it", ""
	}
	return "", ""
}

// copied is a command that puts a copy of a file in the place of the link to it. It keeps the
// file's time: who runs by it is not behind the copy.
func copied(link string) string {
	at := quoted(link)
	return `cp -p --remove-destination "$(readlink -f ` + at + `)" ` + at + ` && chown root:root ` + at + ` && chmod 0644 ` + at
}

// quoted is a word as a shell reads it.
func quoted(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./@:+") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// place finds out whose a drop-in, an enabled instance or a Quadlet is.
func (h *Host) place(e hostdriver.SurveyEntry, byName map[string]*Unit, managed map[string]bool) {
	dir, name := path.Split(e.Path)
	dir = strings.TrimSuffix(dir, "/")
	of, isDropIn := strings.CutSuffix(path.Base(dir), ".d")
	switch {
	case strings.HasPrefix(e.Path, "/etc/containers/systemd/"):
		switch {
		case dir == "/etc/containers/systemd" && (managed[e.Path] || managed[desired.QuadletUnit(name)]):
		case e.Type == hostdriver.PathSymlink:
			h.alone(e.Path, "it is a link to "+e.Target, "on the host: "+copied(e.Path)+"; then as with other Quadlet files")
		case e.Type == hostdriver.PathFile && dir == "/etc/containers/systemd" && desired.IsQuadlet(name):
			stem := strings.TrimSuffix(name, path.Ext(name))
			h.alone(e.Path, "a generator makes a unit of it, which may name what only its container has",
				fmt.Sprintf("take it into the repo as services/%s/%s, and write units: [{source: %s, state: started}] in the service; evenkeel plan then finds it as it is", stem, name, name))
		case e.Type == hostdriver.PathFile:
			h.alone(e.Path, "it lies beside Quadlet files", "take it over under files of the service whose Quadlet reads it")
		}
	case path.Dir(dir) != unitFolder:
	case isDropIn && strings.HasSuffix(name, ".conf"):
		u := byName[of]
		switch {
		case managed[of]:
		case u == nil:
			h.alone(e.Path, "it is a drop-in of "+of+", whose unit is not in "+unitFolder,
				fmt.Sprintf("take it into the repo and write units: [{source: %s, dropIn: %s}] in a service", name, of))
		case e.Type != hostdriver.PathFile:
			u.leave("its drop-in " + name + " is no regular file")
		default:
			u.DropIns = append(u.DropIns, e.Path)
		}
	case strings.HasSuffix(dir, ".wants") || strings.HasSuffix(dir, ".requires"):
		if t := templateOf(name); t != "" && byName[t] != nil && hostdriver.CheckUnit(name) == nil {
			byName[t].Instances = append(byName[t].Instances, name)
		}
	}
}

func (h *Host) alone(what, reason, mend string) {
	h.Alone = append(h.Alone, Foreign{Host: h.Host.Name, What: what, Reason: reason, Mend: mend})
}

// leave says why a unit is left alone; the first reason stays.
func (u *Unit) leave(reason string) {
	if u.Reason == "" {
		u.Reason = reason
	}
}

// templateOf is the template that a unit is an instance of, or "".
func templateOf(name string) string {
	at, dot := strings.IndexByte(name, '@'), strings.LastIndexByte(name, '.')
	if at <= 0 || dot <= at+1 {
		return ""
	}
	return name[:at+1] + name[dot:]
}

// names are the units that run: the unit itself, or a template's instances.
func (u *Unit) names() []string {
	if hostdriver.IsTemplate(u.Name) {
		return u.Instances
	}
	return []string{u.Name}
}

// Next is what must still be asked of the host; ok is false where nothing must.
func (h *Host) Next() (q hostdriver.Query, ok bool) {
	h.readTexts()
	wants := map[string]bool{} // path to whether its content is wanted
	for _, u := range h.Units {
		if u.Reason != "" {
			continue
		}
		wants[u.Path] = true
		for _, d := range u.DropIns {
			wants[d] = true
		}
		for _, name := range append(slices.Clone(u.Instances), u.Name) {
			if _, known := h.seen.Units[name]; !known && !slices.Contains(q.Units, name) && h.try("unit "+name) {
				q.Units = append(q.Units, name)
			}
		}
		if !u.read {
			continue
		}
		r := h.refs(u)
		for _, p := range r.envFiles {
			wants[p] = true
		}
		for _, p := range append(slices.Clone(r.files), r.programs...) {
			wants[p] = true
			for _, above := range parents(p) {
				wants[above] = wants[above] || false
			}
		}
		for _, p := range r.directories {
			wants[p] = wants[p] || false
		}
		for _, name := range r.users {
			if !h.users[name] {
				h.users[name] = true
				q.Users = append(q.Users, name)
			}
		}
	}
	for _, p := range sorted(wants) {
		if len(h.tries) > maxAsked {
			break
		}
		st, known := h.seen.Paths[p]
		missing := wants[p] && st.Type == hostdriver.PathFile && st.Size <= maxContent && st.Content == nil
		if known && !missing || !h.try(p) {
			continue
		}
		pq := hostdriver.PathQuery{Path: p, Bare: !wants[p]}
		if wants[p] {
			pq.MaxContent = maxContent
		}
		q.Paths = append(q.Paths, pq)
	}
	return q, len(q.Paths)+len(q.Units)+len(q.Users) > 0
}

func (h *Host) try(what string) bool {
	h.tries[what]++
	return h.tries[what] <= maxTries
}

// Take takes the answer to Next's query.
func (h *Host) Take(o hostdriver.Observation) {
	for p, st := range o.Paths {
		if old, ok := h.seen.Paths[p]; ok && old.Content != nil && st.Content == nil && old.SHA256 == st.SHA256 {
			st.Content = old.Content
		}
		h.seen.Paths[p] = st
	}
	for n, st := range o.Units {
		h.seen.Units[n] = st
	}
	for n, st := range o.Users {
		h.seen.Users[n] = st
	}
	h.seen.Manifest = o.Manifest
}

// Manifest is what evenkeel manages on the host already.
func (h *Host) Manifest() hostdriver.Manifest { return h.seen.Manifest }

// readTexts parses unit files that have come in.
func (h *Host) readTexts() {
	for _, u := range h.Units {
		if u.Reason != "" || u.read {
			continue
		}
		whole := true
		var text desired.UnitFile
		for _, p := range append([]string{u.Path}, u.DropIns...) {
			st, known := h.seen.Paths[p]
			switch {
			case !known || st.Type == hostdriver.PathFile && st.Size <= maxContent && st.Content == nil && h.tries[p] < maxTries:
				whole = false
			case st.Type != hostdriver.PathFile || st.Content == nil:
				u.leave(path.Base(p) + " cannot be read whole")
			default:
				part, _ := desired.ParseUnit(st.Content.Bytes())
				text = text.With(part)
			}
		}
		if whole && u.Reason == "" {
			u.Text, u.read = text, true
		}
	}
}

// file is a path's state where it is a regular file.
func (h *Host) file(p string) (hostdriver.PathState, bool) {
	st, ok := h.seen.Paths[p]
	return st, ok && st.Type == hostdriver.PathFile
}

// parents are the folders above a path, the nearest last, without /.
func parents(p string) []string {
	var out []string
	for d := path.Dir(p); len(d) > 1; d = path.Dir(d) {
		out = append(out, d)
	}
	slices.Reverse(out)
	return out
}
