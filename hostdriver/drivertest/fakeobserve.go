package drivertest

import (
	"maps"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

func checkQuery(q hostdriver.Query) error {
	for _, p := range q.Paths {
		if err := hostdriver.CheckPath(p.Path); err != nil {
			return err
		}
	}
	for _, u := range q.Units {
		if err := hostdriver.CheckUnit(u); err != nil {
			return err
		}
	}
	return nil
}

// observe answers a query; the host is up to date.
func (h *FakeHost) observe(q hostdriver.Query) hostdriver.Observation {
	now := h.fleet.now()
	o := hostdriver.Observation{Host: h.name, At: now, BootID: h.bootID(), Clock: now, Systemd: "252", Encrypts: !h.sealless,
		Paths: map[string]hostdriver.PathState{}, Units: map[string]hostdriver.UnitState{}, Users: map[string]hostdriver.UserState{},
		Groups: map[string]bool{}, Processes: map[string]hostdriver.ProcessState{}, Disk: map[string]hostdriver.DiskState{},
		Started: maps.Clone(h.started), Epoch: h.epoch, Holder: h.holder, Claim: h.claim, Mutations: h.changes}
	h.observeRecords(&o)
	for _, u := range q.Units {
		o.Units[u] = h.state(u)
	}
	for _, e := range q.Env {
		o.Units[e.Unit] = h.state(e.Unit)
	}
	for _, e := range o.Manifest.Entries {
		h.observeEntry(&o, q.Light, e)
	}
	if q.Generations {
		o.Generations = map[uint64]hostdriver.Manifest{}
		for _, n := range o.Kept {
			o.Generations[n] = h.generations[n].manifest
			for _, e := range h.generations[n].manifest.Entries {
				h.observeEntry(&o, q.Light, e)
			}
		}
	}
	h.observeManagers(&o)
	h.settleWanted(&o)
	if q.Light {
		o.Clock = time.Time{}
		for name, u := range o.Units {
			u.Links = nil
			o.Units[name] = u
		}
		return o
	}
	for _, n := range o.Kept {
		if o.Revisions == nil {
			o.Revisions = map[uint64]string{}
		}
		o.Revisions[n] = h.generations[n].manifest.Revision
	}
	for _, p := range q.Paths {
		if _, managed := o.Paths[p.Path]; !p.Bare {
			st := h.path(p)
			if p.Seal != nil && st.Type == hostdriver.PathFile {
				h.opened(&st, h.nodes[p.Path].data, *p.Seal, q.Salt)
			}
			o.Paths[p.Path] = st
		} else if !managed {
			st := h.path(p)
			if st.Type == hostdriver.PathFile {
				st.SHA256 = ""
			}
			o.Paths[p.Path] = st
		}
	}
	for _, u := range q.Users {
		o.Users[u] = h.users[u]
	}
	for _, g := range q.Groups {
		o.Groups[g] = h.groups[g]
	}
	for _, d := range q.Disk {
		o.Disk[d] = hostdriver.DiskState{FreeBytes: h.freeBytes, FreeInodes: h.freeInodes, ReadOnly: h.readOnly}
	}
	h.observeProcesses(&o, q)
	return o
}

func (h *FakeHost) observeRecords(o *hostdriver.Observation) {
	if g := h.generations[h.current]; h.current > 0 && g != nil {
		o.Manifest = g.manifest
		o.Manifest.Entries = slices.Clone(g.manifest.Entries)
	}
	for n := range h.generations {
		if n > 0 {
			o.Kept = append(o.Kept, n)
		}
	}
	slices.Sort(o.Kept)
	for _, service := range slices.Sorted(maps.Keys(h.refused)) {
		o.Refused = append(o.Refused, h.refused[service])
	}
	if len(h.hooks) > 0 {
		o.Hooks = maps.Clone(h.hooks)
	}
	if h.step != nil {
		step := *h.step
		o.Step = &step
	}
	if h.switching != nil {
		s := *h.switching
		o.Switching = &s
	}
}

func (h *FakeHost) observeEntry(o *hostdriver.Observation, light bool, e hostdriver.Entry) {
	switch {
	case e.Kind == hostdriver.KindUnit:
		o.Units[e.Name] = h.state(e.Name)
	case light:
	case e.Kind == hostdriver.KindUser:
		o.Users[e.Name] = h.users[e.Name]
	default:
		o.Paths[e.Name] = h.path(hostdriver.PathQuery{Path: e.Name})
	}
}

// settleWanted takes a start that was cut for done where the unit was started since.
func (h *FakeHost) settleWanted(o *hostdriver.Observation) {
	for name, st := range h.wanted {
		if u, ok := o.Units[name]; ok && u.InvocationID != "" && u.InvocationID != st.InvocationID {
			st.InvocationID = u.InvocationID
			o.Started[name] = st
		}
	}
}

func (h *FakeHost) path(q hostdriver.PathQuery) hostdriver.PathState {
	n := h.nodes[q.Path]
	if n == nil {
		return hostdriver.PathState{Type: hostdriver.PathAbsent}
	}
	st := hostdriver.PathState{Type: n.kind, Owner: n.owner, Group: n.group, Mode: n.mode, Changed: n.changed}
	switch n.kind {
	case hostdriver.PathSymlink:
		st.Target = n.target
	case hostdriver.PathDir:
		if h.asStaged(n) {
			st.SHA256 = n.release
		}
	case hostdriver.PathFile:
		st.Size, st.SHA256 = int64(n.data.Len()), n.data.SHA256()
		if q.MaxContent > 0 && st.SHA256 != q.SHA256 && st.Size <= q.MaxContent {
			c := n.data
			st.Content = &c
		}
	}
	return st
}

// asStaged tells whether all that a release's stream had brought is still there.
func (h *FakeHost) asStaged(n *node) bool {
	for p, shipped := range n.shipped {
		if h.nodes[p] != shipped {
			return false
		}
	}
	return true
}

func (h *FakeHost) observeProcesses(o *hostdriver.Observation, q hostdriver.Query) {
	for name := range o.Units {
		if u := h.units[name]; u != nil && u.proc != nil {
			p := hostdriver.ProcessState{PID: u.proc.pid, Exe: u.proc.exe, Cwd: u.proc.cwd}
			n := h.nodes[u.proc.exe]
			p.Deleted = n == nil || n.data.Len() > 0 && n.data.SHA256() != u.proc.digest
			o.Processes[name] = p
		}
	}
	for _, e := range q.Env {
		p := o.Processes[e.Unit]
		p.Env, p.Digests = h.matchEnv(e, q.Salt)
		o.Processes[e.Unit] = p
	}
}

func (h *FakeHost) matchEnv(e hostdriver.EnvQuery, salt string) (hostdriver.EnvMatch, map[string]string) {
	u := h.units[e.Unit]
	if u == nil || u.proc == nil || u.proc.does.HidesEnv {
		return hostdriver.EnvUnreadable, nil
	}
	has := map[string]string{}
	for _, k := range e.Keys {
		if v, ok := u.proc.env[k]; ok {
			has[k] = v
		}
	}
	if hostdriver.EnvDigest(salt, has) == e.Digest {
		return hostdriver.EnvSame, nil
	}
	digests := map[string]string{}
	for k, v := range has {
		digests[k] = hostdriver.EnvDigest(salt, map[string]string{k: v})
	}
	return hostdriver.EnvDiffers, digests
}
