package adopt

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
)

// components are the names of units that belong together on any host: what a timer, a
// socket or a path starts, and units that read or run the same file, for one service
// alone can have a file.
func components(views []*view) [][]string {
	parent := map[string]string{}
	var root func(string) string
	root = func(k string) string {
		if parent[k] == "" || parent[k] == k {
			parent[k] = k
			return k
		}
		parent[k] = root(parent[k])
		return parent[k]
	}
	join := func(a, b string) { parent[root(a)] = root(b) }
	units := map[string]bool{}
	for _, v := range views {
		units[v.unit.Name] = true
		root(v.unit.Name)
		for _, p := range slices.Concat(v.env, v.files) {
			join(v.unit.Name, "path "+p)
		}
		for _, t := range v.trees {
			join(v.unit.Name, "path "+t.Link)
		}
	}
	for _, v := range views {
		for _, name := range v.unit.triggers() {
			if units[name] {
				join(v.unit.Name, name)
			}
		}
	}
	groups := map[string][]string{}
	for _, name := range sorted(units) {
		groups[root(name)] = append(groups[root(name)], name)
	}
	var out [][]string
	for _, k := range sorted(groups) {
		out = append(out, groups[k])
	}
	slices.SortFunc(out, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return out
}

// serviceName is a name for units that belong together, which none of taken has.
func serviceName(units []string, taken map[string]bool) string {
	var stems []string
	for _, u := range units {
		stem := strings.TrimSuffix(strings.TrimSuffix(u, path.Ext(u)), "@")
		if path.Ext(u) == ".service" {
			stems = append(stems, stem)
		}
	}
	if len(stems) == 0 {
		stems = append(stems, strings.TrimSuffix(strings.TrimSuffix(units[0], path.Ext(units[0])), "@"))
	}
	name := stems[0]
	for _, s := range stems[1:] {
		n := 0
		for n < len(name) && n < len(s) && name[n] == s[n] {
			n++
		}
		if n < len(name) && n < len(s) || n == 0 { // to a whole word of both
			n = strings.LastIndexAny(name[:n], "-_.@") + 1
		}
		name = strings.TrimRight(name[:max(n, 0)], "-_.@")
	}
	if len(name) < 2 {
		name = stems[0]
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-':
			return r
		}
		return '-'
	}, name)
	name = strings.Trim(name[:min(len(name), 50)], "-")
	if desired.CheckServiceName(name) != "" {
		name = "service"
	}
	unique := name
	for n := 2; taken[unique]; n++ {
		unique = name + "-" + itoa(n)
	}
	taken[unique] = true
	return unique
}

// access is a path with its owner and mode, for those of a service are the same on all
// its hosts.
type access struct {
	Path, Owner, Group string
	Mode               uint32
}

// shape is what must be the same on all hosts of a service; what is in files may differ.
type shape struct {
	Units   []entry
	DropIns [][2]string // unit, file name
	Env     []access
	Files   []access
	Dirs    []access
	Users   [][2]string // name, home
	Links   []string    // of trees
}

func (s shape) key() string {
	text, err := json.Marshal(struct {
		shape
		Entries [][3]string
	}{s, s.entryTexts()})
	if err != nil {
		panic(err) // plain values
	}
	return string(text)
}

func (s shape) entryTexts() [][3]string {
	var out [][3]string
	for _, e := range s.Units {
		out = append(out, [3]string{e.name, e.enabled, e.state})
	}
	return out
}

// shapeOf joins the units of one component on one host.
func shapeOf(views []*view) shape {
	var s shape
	h := views[0].host
	at := func(p string) access {
		st := h.seen.Paths[p]
		return access{p, st.Owner, st.Group, st.Mode}
	}
	paths := map[string]map[string]bool{"env": {}, "files": {}, "dirs": {}, "users": {}, "links": {}}
	triggered := map[string]string{}
	for _, v := range views {
		for _, name := range v.unit.triggers() {
			triggered[name] = path.Ext(v.unit.Name)
		}
	}
	for _, v := range views {
		for _, e := range v.entries() {
			switch by := triggered[e.name]; {
			case by == ".socket" && e.enabled == "true":
			case by != "":
				e.state = "" // what starts it says when it runs
			}
			s.Units = append(s.Units, e)
		}
		for _, d := range v.unit.DropIns {
			s.DropIns = append(s.DropIns, [2]string{v.unit.Name, path.Base(d)})
		}
		for kind, list := range map[string][]string{"env": v.env, "files": v.files, "dirs": v.dirs, "users": v.users} {
			for _, p := range list {
				paths[kind][p] = true
			}
		}
		for _, t := range v.trees {
			paths["links"][t.Link] = true
		}
	}
	for _, p := range sorted(paths["env"]) {
		s.Env = append(s.Env, at(p))
		delete(paths["files"], p)
	}
	for _, p := range sorted(paths["files"]) {
		s.Files = append(s.Files, at(p))
	}
	for _, p := range sorted(paths["dirs"]) {
		s.Dirs = append(s.Dirs, at(p))
	}
	for _, name := range sorted(paths["users"]) {
		s.Users = append(s.Users, [2]string{name, h.seen.Users[name].Home})
	}
	s.Links = sorted(paths["links"])
	return s
}
