package rollout

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// Trial is what a visit starts, to be tried on its host before anything is disturbed. What
// has not changed under a process that runs was tried by its start: a change of an env file
// asks for nothing. An undo and what is kept start what ran before, and a step that is recovered is begun
// already.
func (h *HostInput) Trial(v *Visit) hostdriver.Trial {
	var t trial
	if v.Undo != nil || v.Kept || v.Recover {
		return t.Trial
	}
	for _, name := range v.Services {
		if inst := h.Instance(name); inst != nil {
			t.settings(h, inst)
		}
	}
	for _, a := range v.Actions {
		inst := h.Instance(a.Service)
		if inst == nil || a.Verb != hostdriver.VerbStart && a.Verb != hostdriver.VerbRestart {
			continue
		}
		for i := range inst.Units {
			if u := &inst.Units[i]; u.Name == a.Unit {
				t.unit(h, inst, u)
			}
		}
	}
	return t.Trial
}

type trial struct{ hostdriver.Trial }

func (t *trial) add(n hostdriver.TrialNeed) {
	if !slices.Contains(t.Needs, n) {
		t.Needs = append(t.Needs, n)
	}
}

// unit adds what must be tried of one unit that is to be started or restarted.
func (t *trial) unit(h *HostInput, inst *desired.Instance, u *desired.Unit) {
	files := unitFiles(inst, u)
	texts := slices.ContainsFunc(files, func(f *desired.File) bool { return h.rewrites(f) })
	whole := !h.Observation.Units[u.Name].Running() || slices.ContainsFunc(files, func(f *desired.File) bool {
		return h.rewrites(f) && !meansTheSame(f, h.Observation.Paths[f.Path])
	})
	if texts {
		x := hostdriver.TrialUnit{Name: u.Name, Files: map[string]string{}}
		for _, f := range files {
			x.Files[f.Path] = f.SHA256
		}
		t.Verify = append(t.Verify, x)
	}
	t.programs(h, inst, u, whole)
	t.quadlet(h, inst, u, whole)
	if !whole {
		return
	}
	t.surroundings(u)
	t.ports(h, inst, u)
}

// quadlet: the generator is tried with all Quadlet files of the generation, of which this one
// may name others.
func (t *trial) quadlet(h *HostInput, inst *desired.Instance, u *desired.Unit, whole bool) {
	if u.Quadlet() && (whole || slices.ContainsFunc(inst.Files, func(f desired.File) bool { return f.Path == u.File && h.rewrites(&f) })) {
		t.add(hostdriver.TrialNeed{Kind: hostdriver.TryQuadlet, Unit: u.Name, Key: "Quadlet file", Name: u.File})
	}
}

// unitFiles are the unit's file and its drop-ins, as far as they are ours.
func unitFiles(inst *desired.Instance, u *desired.Unit) []*desired.File {
	var out []*desired.File
	for i := range inst.Files {
		f := &inst.Files[i]
		if (f.Kind == desired.FileUnit || f.Kind == desired.FileDropIn) && strings.HasPrefix(f.Path, "/etc/systemd/system/") && (f.Path == u.File || dropsInto(f.Unit, u.Name)) {
			out = append(out, f)
		}
	}
	return out
}

// rewrites tells whether the host has other content than f's at its path.
func (h *HostInput) rewrites(f *desired.File) bool {
	return h.Observation.Paths[f.Path].SHA256 != f.SHA256
}

// changesProgram tells whether what is at path will be another one than is there now.
func (h *HostInput) changesProgram(inst *desired.Instance, path string) bool {
	for i := range inst.Artifacts {
		a := &inst.Artifacts[i]
		if (path == a.Link || strings.HasPrefix(path, a.Link+"/")) && h.Observation.Paths[a.Link].Target != a.Release {
			return true
		}
	}
	for i := range inst.Files {
		if f := &inst.Files[i]; f.Path == path {
			return h.rewrites(f)
		}
	}
	return false
}

func (t *trial) programs(h *HostInput, inst *desired.Instance, u *desired.Unit, whole bool) {
	user, group, known := u.Account()
	for _, p := range u.Programs() {
		if !whole && !h.changesProgram(inst, p.Path) {
			continue
		}
		n := hostdriver.TrialNeed{Kind: hostdriver.TryProgram, Unit: u.Name, Key: p.Key, Name: p.Path}
		if known && !p.Root {
			n.User, n.Group = user, group
		}
		n.Search, n.Libraries = told(u.Variable(inst, "PATH")), told(u.Variable(inst, "LD_LIBRARY_PATH"))
		t.add(n)
	}
}

// told is a variable's value, or "?" where it is not known.
func told(value string, known bool) string {
	if !known || strings.ContainsAny(value, "\t\n") {
		return "?"
	}
	return value
}

// surroundings are the needs that the unit's file names, beside programs.
func (t *trial) surroundings(u *desired.Unit) {
	user, group, known := u.Account()
	for _, need := range u.Needs {
		n := hostdriver.TrialNeed{Unit: u.Name, Key: need.Key, Name: need.Name}
		switch need.Kind {
		case desired.NeedDirectory:
			if n.Kind = hostdriver.TryDirectory; known {
				n.User, n.Group = user, group
			}
		case desired.NeedFile:
			n.Kind = hostdriver.TryEnvFile
		case desired.NeedUser:
			n.Kind = hostdriver.TryUser
		case desired.NeedGroup:
			n.Kind = hostdriver.TryGroup
		default:
			continue
		}
		t.add(n)
	}
}

// ports must be free where nothing of the service runs that could have them already. A port
// of a health check is the unit's own only if it is written somewhere in the service: the
// check may ask a proxy that is there already.
func (t *trial) ports(h *HostInput, inst *desired.Instance, u *desired.Unit) {
	for i := range inst.Units {
		if name := inst.Units[i].Name; h.Observation.Units[name].Running() && (strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".socket")) {
			return
		}
	}
	need := hostdriver.TrialNeed{Kind: hostdriver.TryPort, Unit: u.Name}
	for _, address := range u.Listens() {
		need.Key, need.Address, need.Name = "ListenStream=", "", address
		if at, err := netip.ParseAddrPort(address); err == nil {
			need.Address, need.Name = at.Addr().String(), strconv.Itoa(int(at.Port()))
		}
		t.addPort(need)
	}
	if !strings.HasSuffix(u.Name, ".service") || strings.Contains(u.Text.Last("Service", "ExecStart"), "docker") {
		return
	}
	need.Address = "127.0.0.1"
	for _, s := range inst.Health {
		switch {
		case s.HTTP != nil && s.HTTP.Host == "":
			need.Key, need.Name = "health http", strconv.Itoa(s.HTTP.Port)
		case s.TCP != nil && s.TCP.Host == "":
			need.Key, need.Name = "health tcp", strconv.Itoa(s.TCP.Port)
		default:
			continue
		}
		if mentions(inst, u, need.Name) {
			t.addPort(need)
		}
	}
}

// mentions tells whether a number stands in what the unit reads.
func mentions(inst *desired.Instance, u *desired.Unit, number string) bool {
	for _, d := range u.Text.Directives {
		if hasNumber(d.Value, number) {
			return true
		}
	}
	for i := range inst.Files {
		f := &inst.Files[i]
		if f.Kind == desired.FileEnv && !slices.Contains(u.EnvFiles, f.Path) || f.Kind == desired.FileUnit || f.Kind == desired.FileDropIn {
			continue
		}
		if hasNumber(string(f.Content.Bytes()), number) {
			return true
		}
	}
	return false
}

// hasNumber tells whether a number stands in s by itself.
func hasNumber(s, number string) bool {
	digit := func(i int) bool { return i >= 0 && i < len(s) && s[i] >= '0' && s[i] <= '9' }
	for at := 0; ; at++ {
		i := strings.Index(s[at:], number)
		if i < 0 {
			return false
		}
		if at += i; !digit(at-1) && !digit(at+len(number)) {
			return true
		}
	}
}

func (t *trial) addPort(n hostdriver.TrialNeed) {
	if port, err := strconv.ParseUint(n.Name, 10, 16); err == nil && port > 0 && !strings.Contains(n.Address, "%") {
		t.add(n)
	}
}
