package adopt

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// Options say how a repo is made.
type Options struct {
	Secrets Secrets
	// Taken are the names of services that the repo has already.
	Taken []string
	// Claimed are paths that services of the repo have already, by host, and whose.
	Claimed map[string]map[string]string
}

// Repo is what the fleet repo is to have: slash-separated paths in the folder of fleet.yaml.
type Repo struct {
	Files map[string][]byte
	// Secrets are files that must be encrypted with SOPS before they are written, in the
	// format of their names.
	Secrets  map[string]hostdriver.Content
	Fetches  []Fetch
	Services []*Service
	Alone    []Foreign // what is left alone, by host and name
}

// Fetch is a file of a host that is too large to come with an observation.
type Fetch struct {
	Host, Path string
	Into       string // in the repo
	SHA256     string
	Size       int64
}

// Service is one that was taken over.
type Service struct {
	Name      string   `json:"name"`
	Hosts     []string `json:"hosts"`
	Units     []string `json:"units"`
	Encrypted []string `json:"encrypted"` // "PATH: KEY", or "PATH" where all of it is
	Open      []string `json:"open"`      // the same, of keys that stand in plain text
	Differs   []string `json:"differs"`   // what differs from host to host, and how that is told
	Trees     []Tree   `json:"trees"`
	Notes     []string `json:"notes"` // what of it is left alone

	shape shape
	lines []string // of units, env and files
	local map[string]bool
}

// Dir is its folder.
func (s *Service) Dir() string { return "services/" + s.Name }

// Build groups the units of all hosts into services.
func Build(hosts []*Host, o Options) *Repo {
	repo := &Repo{Files: map[string][]byte{}, Secrets: map[string]hostdriver.Content{}, Services: []*Service{}, Alone: []Foreign{}}
	var all []*view
	for _, h := range hosts {
		all = append(all, h.views(o)...)
	}
	taken := map[string]bool{}
	for _, name := range o.Taken {
		taken[name] = true
	}
	for _, units := range components(all) {
		repo.component(hosts, all, units, taken, o)
	}
	for _, h := range hosts {
		for _, u := range h.Units {
			if u.Reason != "" {
				repo.Alone = append(repo.Alone, Foreign{Host: h.Host.Name, What: u.Name, Reason: u.Reason, Mend: u.Mend})
			}
		}
		repo.Alone = append(repo.Alone, h.Alone...)
	}
	return repo
}

// component makes one service of units that belong together, or several where their
// shape is not the same on all hosts.
func (r *Repo) component(hosts []*Host, all []*view, units []string, taken map[string]bool, o Options) {
	type group struct {
		shape shape
		views map[string][]*view // by host
		hosts []*Host
	}
	var groups []*group
	byKey := map[string]*group{}
	for _, h := range hosts {
		var mine []*view
		for _, v := range all {
			if v.host == h && slices.Contains(units, v.unit.Name) {
				mine = append(mine, v)
			}
		}
		if len(mine) == 0 {
			continue
		}
		sh := shapeOf(mine)
		g := byKey[sh.key()]
		if g == nil {
			g = &group{shape: sh, views: map[string][]*view{}}
			byKey[sh.key()] = g
			groups = append(groups, g)
		}
		g.views[h.Host.Name] = mine
		g.hosts = append(g.hosts, h)
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return len(b.hosts) - len(a.hosts) })
	for i, g := range groups {
		s := &Service{Name: serviceName(units, taken), shape: g.shape, local: map[string]bool{"service.yaml": true},
			Encrypted: []string{}, Open: []string{}, Differs: []string{}, Trees: []Tree{}, Notes: []string{}}
		if i > 0 {
			s.Notes = append(s.Notes, "it is apart from "+r.Services[len(r.Services)-i].Name+", for its units, owners, modes, users or states are others")
		}
		for _, h := range g.hosts {
			s.Hosts = append(s.Hosts, h.Host.Name)
			s.local[h.Host.Name] = true // a folder, where files differ
			for _, v := range g.views[h.Host.Name] {
				for _, n := range v.notes {
					s.note(n)
				}
				s.addTrees(v)
			}
		}
		r.units(s, g.hosts, g.views[g.hosts[0].Host.Name])
		r.env(s, g.hosts, o.Secrets)
		r.files(s, g.hosts, o.Secrets)
		r.inventory(s)
		r.Services = append(r.Services, s)
	}
}

func (s *Service) note(words string) {
	if !slices.Contains(s.Notes, words) {
		s.Notes = append(s.Notes, words)
	}
}

func (s *Service) addTrees(v *view) {
	for _, t := range v.trees {
		if slices.ContainsFunc(s.Trees, func(o Tree) bool { return o.Link == t.Link }) {
			continue
		}
		name := s.Name
		if len(s.Trees) > 0 {
			name += "-" + itoa(len(s.Trees)+1)
		}
		t.Source = "artifacts/" + name
		if t.Folder {
			t.Source += ".tar.zst"
		}
		s.Trees = append(s.Trees, t)
	}
}

// localName is a name in the service's folder for a file of the host, which no other has.
func (s *Service) localName(p string, suffix string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-@", r) {
			return r
		}
		return '_'
	}, path.Base(p))
	name = strings.TrimLeft(name[:min(len(name), 100)], ".-")
	if name == "" {
		name = "file"
	}
	if strings.HasSuffix(name, ".tmpl") {
		name += ".txt" // it is not a template
	}
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	if suffix != "" {
		ext = suffix
		stem = strings.TrimSuffix(name, suffix)
	}
	unique := stem + ext
	for n := 2; s.local[unique]; n++ {
		unique = stem + "-" + itoa(n) + ext
	}
	s.local[unique] = true
	return unique
}

// perHost is the source of a file that differs from host to host.
func perHost(name string) string { return "{{ .Host.Name }}/" + name }

// texts are a file's content on the hosts of a service, and whether it is the same on all.
func texts(hosts []*Host, p string) (all map[string][]byte, same bool) {
	all, same = map[string][]byte{}, true
	for _, h := range hosts {
		st := h.seen.Paths[p]
		if st.Content != nil {
			all[h.Host.Name] = st.Content.Bytes()
		}
		same = same && st.SHA256 == hosts[0].seen.Paths[p].SHA256
	}
	return all, same
}

func (r *Repo) units(s *Service, hosts []*Host, views []*view) {
	source := func(p, name string) string {
		all, same := texts(hosts, p)
		if same {
			r.Files[s.Dir()+"/"+name] = all[hosts[0].Host.Name]
			return name
		}
		for h, data := range all {
			r.Files[s.Dir()+"/"+h+"/"+name] = data
		}
		s.Differs = append(s.Differs, p+": a file for each host")
		return perHost(name)
	}
	files := map[string]string{} // unit to its source
	for _, v := range views {
		files[v.unit.Name] = source(v.unit.Path, s.localName(v.unit.Path, ""))
	}
	for _, e := range s.shape.Units {
		s.Units = append(s.Units, e.name)
		src, has := files[e.name]
		name := text("name", e.name)
		if has && src == e.name {
			name.value = ""
		}
		s.lines = append(s.lines, "    - "+flow(pair{"source", quoteIf(src, has)}, name, pair{"enabled", e.enabled}, pair{"state", e.state}))
	}
	for _, v := range views {
		for _, d := range v.unit.DropIns {
			src := source(d, s.localName(v.unit.Name+".d-"+path.Base(d), ".conf"))
			s.lines = append(s.lines, "    - "+flow(text("source", src), text("dropIn", v.unit.Name), text("name", path.Base(d))))
		}
	}
	if len(s.lines) > 0 {
		s.lines = append([]string{"  units:"}, s.lines...)
	}
}

func quoteIf(s string, ok bool) string {
	if !ok {
		return ""
	}
	return quote(s)
}

func (a access) pairs() []pair {
	return []pair{text("owner", a.Owner), text("group", a.Group), {"mode", fmt.Sprintf(`"%04o"`, a.Mode)}}
}

// section begins a list of the service's document; the function that it returns puts the
// title above what was written since, if anything was.
func (s *Service) section(title string) (end func()) {
	before := len(s.lines)
	return func() {
		if len(s.lines) > before {
			s.lines = slices.Insert(s.lines, before, title)
		}
	}
}

func (r *Repo) files(s *Service, hosts []*Host, sec Secrets) {
	defer s.section("  files:")()
	for _, a := range s.shape.Files {
		all, same := texts(hosts, a.Path)
		if len(all) < len(hosts) {
			r.large(s, hosts, a)
			continue
		}
		// What not everybody on the host may read, was closed for a reason; a program often
		// for none.
		hidden, readable := a.Mode&0o004 == 0 && a.Mode&0o111 == 0, true
		for _, data := range all {
			hidden = hidden || sec.inText(data)
			readable = readable && utf8.Valid(data)
		}
		var src string
		switch {
		case hidden && !readable:
			s.note(a.Path + " is left alone: it may be a secret, and is no text, which SOPS would need")
			continue
		case hidden:
			src = r.secret(s, s.localName(path.Base(a.Path)+".sops", ".sops"), same, all)
			s.Encrypted = appendNew(s.Encrypted, a.Path)
		case same:
			src = s.localName(a.Path, "")
			r.Files[s.Dir()+"/"+src] = all[hosts[0].Host.Name]
		default:
			src = s.localName(a.Path, "")
			for h, data := range all {
				r.Files[s.Dir()+"/"+h+"/"+src] = data
			}
			src = perHost(src)
		}
		if !same {
			s.Differs = append(s.Differs, a.Path+": a file for each host")
		}
		s.lines = append(s.lines, "    - "+flow(append([]pair{text("path", a.Path), text("source", src)}, a.pairs()...)...))
	}
}

// large is a program that must be fetched.
func (r *Repo) large(s *Service, hosts []*Host, a access) {
	_, same := texts(hosts, a.Path)
	name := s.localName(a.Path, "")
	from := hosts
	src := perHost(name)
	if same {
		from, src = hosts[:1], name
	} else {
		s.Differs = append(s.Differs, a.Path+": a file for each host")
	}
	for _, h := range from {
		st := h.seen.Paths[a.Path]
		into := s.Dir() + "/" + name
		if !same {
			into = s.Dir() + "/" + h.Host.Name + "/" + name
		}
		r.Fetches = append(r.Fetches, Fetch{Host: h.Host.Name, Path: a.Path, Into: into, SHA256: st.SHA256, Size: st.Size})
	}
	s.lines = append(s.lines, "    - "+flow(append([]pair{text("path", a.Path), text("source", src)}, a.pairs()...)...))
}

// Label is the one by which the service selects its hosts.
func (s *Service) Label() string { return "service/" + s.Name }

func (r *Repo) inventory(s *Service) {
	var b strings.Builder
	b.WriteString("# The hosts of service " + s.Name + ": add one here, and it gets the service.\napiVersion: evenkeel/v1\nkind: Inventory\nspec:\n  groups:\n")
	b.WriteString("    " + quote("service-"+s.Name) + ": " + flow(pair{"hosts", list(s.Hosts)}, pair{"labels", flow(pair{quote(s.Label()), `"true"`})}) + "\n")
	r.Files["inventory/service-"+s.Name+".yaml"] = []byte(b.String())
}

// YAML is the service.yaml. lower are rules of validate that what runs today offends,
// which are taken for warnings.
func (s *Service) YAML(lower []string) []byte {
	var b strings.Builder
	comment(&b, "", "As it was found on "+strings.Join(first(s.Hosts, 5), ", ")+".")
	b.WriteString("apiVersion: evenkeel/v1\nkind: Service\nmetadata: " + flow(text("name", s.Name)) + "\nspec:\n")
	b.WriteString("  selector: {matchLabels: " + flow(pair{quote(s.Label()), `"true"`}) + "}\n")
	if len(s.shape.Users) > 0 {
		b.WriteString("  users:\n")
		for _, u := range s.shape.Users {
			home := u[1]
			if desired.CheckTargetPath(home) != "" || strings.Contains(home, ":") || home == "/nonexistent" {
				home = ""
			}
			b.WriteString("    - " + flow(text("name", u[0]), text("home", home)) + "\n")
		}
	}
	if len(s.shape.Dirs) > 0 {
		b.WriteString("  directories:\n")
		for _, d := range s.shape.Dirs {
			b.WriteString("    - " + flow(append([]pair{text("path", d.Path)}, d.pairs()...)...) + "\n")
		}
	}
	for _, l := range s.lines {
		b.WriteString(l + "\n")
	}
	if len(lower) > 0 {
		comment(&b, "  ", "What runs today is not as these rules want it (docs/validate.md). Mend it, and drop them here.")
		var rules []pair
		for _, name := range lower {
			rules = append(rules, pair{name, "warning"})
		}
		b.WriteString("  validate: {rules: " + flow(rules...) + "}\n")
	}
	for _, t := range s.Trees {
		lines := []string{"", t.Link + " leads to " + t.Target + ", which was put there by hand and is left alone."}
		lines = append(lines, "To have evenkeel bring it, take these lines in: the link is turned, and the service restarted, host by host.",
			"artifacts:", "  - "+flow(text("name", artifactName(t)), text("source", t.Source), text("path", t.Link)))
		comment(&b, "  ", lines...)
	}
	comment(&b, "  ", "", "Not known, and for you to say: who sends it traffic, and what proves that it serves (docs/fleet-repo.md):",
		`drain:  [{haproxy: {address: "tcp://lb-1:9999", backend: `+s.Name+`, server: "{{ .Host.Name }}"}}]`,
		"health: [{http: {port: 8080, path: /healthz}}]")
	return []byte(b.String())
}

func artifactName(t Tree) string {
	return strings.TrimSuffix(path.Base(t.Source), ".tar.zst")
}

func first(list []string, n int) []string {
	if len(list) <= n {
		return list
	}
	return append(slices.Clone(list[:n]), fmt.Sprintf("and %d more", len(list)-n))
}
