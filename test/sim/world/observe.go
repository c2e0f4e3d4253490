package world

import (
	"maps"
	"slices"
	"strconv"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Observe answers q as the host is now. It must be powered.
func (h *Host) Observe(q hostdriver.Query) hostdriver.Observation {
	o := hostdriver.Observation{Host: h.Name, At: Wall(h.now()), Units: make(map[string]hostdriver.UnitState, len(q.Units))}
	for _, name := range q.Units {
		o.Units[name] = h.unitState(name)
	}
	if q.Light && q.UnitsOnly {
		return o
	}
	o.Clock, o.BootID, o.Systemd = o.At, h.Name+"-boot-"+strconv.Itoa(h.boot), "252"
	o.Manifest, o.Kept, o.Started = h.Manifest, h.kept(), maps.Clone(h.StartedAs)
	o.Step, o.Switching, o.Epoch, o.Holder, o.Claim = h.Step, h.Switching, h.Epoch, h.Holder, h.Claim
	o.Hooks = maps.Clone(h.Hooks)
	for _, service := range slices.Sorted(maps.Keys(h.Refused)) {
		o.Refused = append(o.Refused, h.Refused[service])
	}
	if q.Generations {
		o.Generations = maps.Clone(h.Kept)
	}
	if q.Light {
		return o
	}
	o.Revisions = make(map[uint64]string, len(h.Kept))
	for n, m := range h.Kept {
		o.Revisions[n] = m.Revision
	}
	o.Paths = make(map[string]hostdriver.PathState, len(q.Paths))
	for _, p := range q.Paths {
		o.Paths[p.Path] = h.pathState(p)
	}
	for _, e := range h.Manifest.Entries {
		switch e.Kind {
		case hostdriver.KindUnit:
			if _, asked := o.Units[e.Name]; !asked {
				o.Units[e.Name] = h.unitState(e.Name)
			}
		case hostdriver.KindFile, hostdriver.KindLink:
			if _, asked := o.Paths[e.Name]; !asked {
				o.Paths[e.Name] = h.pathState(hostdriver.PathQuery{Path: e.Name, SHA256: e.SHA256})
			}
		}
	}
	o.Users, o.Groups = make(map[string]hostdriver.UserState, len(q.Users)), make(map[string]bool, len(q.Groups))
	for _, name := range q.Users {
		o.Users[name] = hostdriver.UserState{Exists: h.Users[name], Group: name}
	}
	for _, name := range q.Groups {
		o.Groups[name] = h.Users[name]
	}
	o.Processes = h.processes(q)
	return o
}

func (h *Host) unitState(name string) hostdriver.UnitState {
	u := h.Units[name]
	if u == nil {
		return hostdriver.UnitState{Load: "not-found", Active: "inactive", Sub: "dead"}
	}
	s := hostdriver.UnitState{
		Load: "loaded", Active: u.Active, Sub: u.Sub, Type: "simple", Result: u.Result, InvocationID: u.Invocation(),
		Restarts: u.restarts, Job: "0", Fragment: u.File, CanReload: len(u.Configs) > 0, RestartPolicy: "on-failure",
	}
	f := h.Files[u.File]
	switch {
	case u.Masked:
		s.Load, s.File = "masked", "masked"
	case u.loaded == nil:
		s.Load = "not-found"
	}
	if f != nil && s.File == "" {
		s.File = "disabled"
		if e := h.Enabled[name]; e != "" {
			s.File = e
		}
	}
	s.NeedReload = u.loaded != nil && (f == nil || f.Item != u.loaded)
	if u.jobQueued() {
		s.Job = "4711"
	}
	if p := u.Proc; p != nil {
		s.MainPID, s.Started, s.ActiveSince = p.PID, Wall(p.Started), Wall(p.Started)
	} else if u.status != 0 {
		s.ExecStatus, s.ExecCode = u.status, "exited"
	}
	return s
}

func (h *Host) pathState(q hostdriver.PathQuery) hostdriver.PathState {
	f := h.Files[q.Path]
	if f == nil {
		return hostdriver.PathState{Type: hostdriver.PathAbsent}
	}
	s := hostdriver.PathState{Owner: f.Owner, Group: f.Group, Mode: f.Mode, Changed: Wall(f.Changed)}
	switch {
	case f.Dir:
		s.Type = hostdriver.PathDir
	case f.Target != "":
		s.Type, s.Target = hostdriver.PathSymlink, f.Target
	default:
		s.Type, s.SHA256, s.Size = hostdriver.PathFile, f.Item.SHA256, int64(f.Item.Content.Len())
		if q.SHA256 != "" && q.SHA256 != f.Item.SHA256 && s.Size <= q.MaxContent {
			c := f.Item.Content
			s.Content = &c
		}
	}
	return s
}

func (h *Host) processes(q hostdriver.Query) map[string]hostdriver.ProcessState {
	m := map[string]hostdriver.ProcessState{}
	for _, name := range q.Units {
		u := h.Units[name]
		if u == nil || u.Proc == nil {
			continue
		}
		p := hostdriver.ProcessState{PID: u.Proc.PID}
		if l := u.Proc.Read[u.Link]; u.Link != "" && l != nil {
			p.Exe = l.Target
		}
		if i := slices.IndexFunc(q.Env, func(e hostdriver.EnvQuery) bool { return e.Unit == name }); i >= 0 {
			p.Env, p.Digests = u.Proc.matches(q.Env[i], q.Salt)
		}
		m[name] = p
	}
	return m
}

// matches compares a process' environment with what is asked.
func (p *Process) matches(q hostdriver.EnvQuery, salt string) (hostdriver.EnvMatch, map[string]string) {
	had := map[string]string{}
	for _, k := range q.Keys {
		if v, ok := p.Vars[k]; ok {
			had[k] = v
		}
	}
	if hostdriver.EnvDigest(salt, had) == q.Digest {
		return hostdriver.EnvSame, nil
	}
	digests := map[string]string{}
	for k, v := range had {
		digests[k] = hostdriver.EnvDigest(salt, map[string]string{k: v})
	}
	return hostdriver.EnvDiffers, digests
}
