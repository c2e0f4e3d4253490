package adopt

import (
	"context"
	"fmt"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// world is a host as a test has it.
type world struct {
	name   string
	paths  map[string]hostdriver.PathState
	units  map[string]hostdriver.UnitState
	users  map[string]hostdriver.UserState
	loaded []string
}

func newWorld(name string) *world {
	return &world{name: name, paths: map[string]hostdriver.PathState{}, units: map[string]hostdriver.UnitState{}, users: map[string]hostdriver.UserState{}}
}

func (w *world) file(p, text string, mode uint32, owners ...string) {
	c := hostdriver.NewContent([]byte(text))
	st := hostdriver.PathState{Type: hostdriver.PathFile, Owner: "root", Group: "root", Mode: mode, Size: int64(len(text)), SHA256: c.SHA256(), Content: &c}
	if len(owners) == 2 {
		st.Owner, st.Group = owners[0], owners[1]
	}
	w.paths[p] = st
	for _, d := range parents(p) {
		if _, ok := w.paths[d]; !ok {
			w.folder(d, "root", "root", 0o755)
		}
	}
}

func (w *world) folder(p, owner, group string, mode uint32) {
	w.paths[p] = hostdriver.PathState{Type: hostdriver.PathDir, Owner: owner, Group: group, Mode: mode}
}

func (w *world) link(p, target string) {
	w.paths[p] = hostdriver.PathState{Type: hostdriver.PathSymlink, Owner: "root", Group: "root", Mode: 0o777, Target: target}
}

// unit is a unit that is enabled and runs.
func (w *world) unit(name, text string) {
	w.file(unitFolder+"/"+name, text, 0o644)
	w.units[name] = hostdriver.UnitState{Load: "loaded", Active: "active", Sub: "running", File: "enabled", Type: "simple", Fragment: unitFolder + "/" + name}
}

func (w *world) survey() hostdriver.Survey {
	s := hostdriver.Survey{Loaded: w.loaded}
	for _, p := range sorted(w.paths) {
		if rest, ok := strings.CutPrefix(p, unitFolder+"/"); ok && strings.Count(rest, "/") <= 1 || strings.HasPrefix(p, "/etc/containers/systemd/") && w.paths[p].Type != hostdriver.PathDir {
			s.Entries = append(s.Entries, hostdriver.SurveyEntry{Path: p, Type: w.paths[p].Type, Target: w.paths[p].Target})
		}
	}
	return s
}

// observe answers as a host does; contents only where they are asked for.
func (w *world) observe(q hostdriver.Query) hostdriver.Observation {
	o := hostdriver.Observation{Paths: map[string]hostdriver.PathState{}, Units: map[string]hostdriver.UnitState{}, Users: map[string]hostdriver.UserState{}}
	for _, p := range q.Paths {
		st, ok := w.paths[p.Path]
		if !ok {
			st.Type = hostdriver.PathAbsent
		}
		if st.Size > p.MaxContent {
			st.Content = nil
		}
		if p.Bare {
			st.Content, st.SHA256 = nil, ""
		}
		o.Paths[p.Path] = st
	}
	for _, u := range q.Units {
		st, ok := w.units[u]
		if !ok {
			st.Load = "not-found"
		}
		o.Units[u] = st
	}
	for _, u := range q.Users {
		o.Users[u] = w.users[u]
	}
	return o
}

// read asks the world until nothing more is to be known.
func (w *world) read(want Wanted, managed map[string]bool) *Host {
	h := NewHost(inventory.Host{Name: w.name, Address: w.name}, w.survey(), want, managed)
	for range 50 {
		q, more := h.Next()
		if !more {
			return h
		}
		h.Take(w.observe(q))
	}
	panic("it never ends")
}

func adopted(worlds []*world, want Wanted, o Options) *Repo {
	var hosts []*Host
	for _, w := range worlds {
		hosts = append(hosts, w.read(want, nil))
	}
	return Build(hosts, o)
}

// opened gives back what was to be encrypted.
type opened map[string]hostdriver.Content

func (s opened) Decrypt(name string, _ []byte) ([]byte, error) { return s[name].Bytes(), nil }

// load is the repo as evenkeel reads it once it is written.
func load(t *testing.T, worlds []*world, repo *Repo) desired.Revision {
	t.Helper()
	inv := "apiVersion: evenkeel/v1\nkind: Inventory\nspec:\n  hosts:\n"
	for _, w := range worlds {
		inv += fmt.Sprintf("    - {name: %s}\n", w.name)
	}
	files := fstest.MapFS{
		"fleet.yaml":           {Data: []byte("apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: f}\n")},
		"inventory/hosts.yaml": {Data: []byte(inv)},
	}
	for name, data := range repo.Files {
		files[name] = &fstest.MapFile{Data: data, Mode: 0o644}
	}
	for _, s := range repo.Services {
		files[s.Dir()+"/service.yaml"] = &fstest.MapFile{Data: s.YAML(nil), Mode: 0o644}
	}
	for name := range repo.Secrets {
		sealed := `{"data": "ENC[x]", "sops": {"mac": "ENC[x]"}}`
		if path.Ext(name) == ".env" {
			sealed = "X=ENC[x]\nsops_mac=ENC[x]\n"
		}
		files[name] = &fstest.MapFile{Data: []byte(sealed), Mode: 0o644}
	}
	rev, err := desired.Load(context.Background(), files, desired.LoadOptions{Decrypter: opened(repo.Secrets)})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rev.Quarantined {
		t.Errorf("%s: %s", f.Pos, f.Message)
	}
	return rev
}

// same proves that what the repo wants on each host is what the host has, byte for byte.
func same(t *testing.T, worlds []*world, repo *Repo) {
	t.Helper()
	rev := load(t, worlds, repo)
	for i, w := range worlds {
		st, err := rev.Resolve(context.Background(), rev.Inventory.Hosts[i])
		if err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
		for _, in := range st.Instances {
			for _, f := range in.Files {
				is := w.paths[f.Path]
				if f.SHA256 != is.SHA256 || f.Owner != is.Owner || f.Group != is.Group || f.Mode != is.Mode {
					t.Errorf("%s %s: %s:%s %04o\n%q, is %s:%s %04o\n%q", w.name, f.Path, f.Owner, f.Group, f.Mode, f.Content.Bytes(), is.Owner, is.Group, is.Mode, is.Content.Bytes())
				}
			}
			for _, d := range in.Directories {
				if is := w.paths[d.Path]; d.Owner != is.Owner || d.Group != is.Group || d.Mode != is.Mode || is.Type != hostdriver.PathDir {
					t.Errorf("%s %s: %+v is %+v", w.name, d.Path, d, is)
				}
			}
			for _, u := range in.Units {
				is := w.units[u.Name]
				if u.Enabled != nil && *u.Enabled != (is.File == "enabled") || u.State == "started" && is.Active != "active" || u.State == "stopped" && is.Active != "inactive" {
					t.Errorf("%s %s: %v %s, is %s %s", w.name, u.Name, u.Enabled, u.State, is.File, is.Active)
				}
			}
		}
	}
}

// tells is all that a repo would have in plain text.
func tells(repo *Repo) string {
	var b strings.Builder
	for _, name := range sorted(repo.Files) {
		b.WriteString(name + "\n" + string(repo.Files[name]))
	}
	for _, s := range repo.Services {
		b.Write(s.YAML([]string{"exec-path"}))
	}
	return b.String() + fmt.Sprintf("%+v %+v", repo.Alone, repo.Services)
}
