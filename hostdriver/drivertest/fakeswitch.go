package drivertest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// generation is a manifest that is kept, and what was in the place of things that it
// does not have when they were first written.
type generation struct {
	manifest hostdriver.Manifest
	found    map[string]found
}

// found is what was at a path, or whether a unit was enabled.
type found struct {
	node    *node
	unit    bool
	enabled bool
}

type deadman struct {
	armed    bool
	at       time.Time
	from, to uint64
	epoch    uint64
	reenable []string
}

func (h *FakeHost) switchTo(f hostdriver.Fence, op hostdriver.Switch) (hostdriver.Result, error) {
	from := h.current
	// One that was only mending what was on disk stands in no other's way.
	cut := h.switching != nil && (h.switching.From != h.switching.To || op.To == h.switching.To)
	if cut {
		switch op.To {
		case h.switching.To:
			from = h.switching.From
		case h.switching.From:
			from = h.switching.To
		default:
			return hostdriver.Result{}, failure(hostdriver.Conflict, "finish or undo that first", "a switch from %d to %d was cut", h.switching.From, h.switching.To)
		}
	}
	if err := h.expect(op, from, cut); err != nil {
		return hostdriver.Result{}, err
	}
	if err := h.putStep(f, op.Record); err != nil {
		return hostdriver.Result{}, err
	}
	if op.To > 0 && h.generations[op.To] == nil {
		return hostdriver.Result{}, failure(hostdriver.Failed, "stage it again", "generation %d is not kept there; nothing was changed", op.To)
	}
	if h.deadman != nil && h.deadman.armed {
		h.deadman = nil
	}
	if op.DeadMan > 0 {
		h.deadman = &deadman{armed: true, at: h.fleet.now().Add(op.DeadMan), from: from, to: op.To, epoch: f.Epoch, reenable: op.Reenable}
	}
	if !cut && from != op.To {
		h.saveFound(from, op.To)
	}
	units := h.unitsOf(from, op.To)
	for _, r := range op.Refuse {
		if err := r.Check(); err != nil {
			return hostdriver.Result{}, failure(hostdriver.Refused, "", "%w", err)
		}
		h.refused[r.Service] = r.Bounded()
	}
	for _, a := range op.Alike {
		if n := h.nodes[a.Path]; n != nil && n.kind == hostdriver.PathFile && n.changed.Before(h.stamps[a.SHA256]) {
			h.stamps[a.SHA256] = n.changed
		}
	}
	h.switching = &hostdriver.Switching{From: from, To: op.To}
	if err := h.carryOut(op.To, from, op.Leave, op.Reenable); err != nil {
		if h.interrupted {
			return hostdriver.Result{}, err
		}
		h.deadman = nil
		if from == op.To {
			return hostdriver.Result{}, failure(hostdriver.Failed, "", "%w; files may be mixed", err)
		}
		if again := h.carryOut(from, op.To, op.Leave, op.Reenable); again != nil {
			return hostdriver.Result{}, failure(hostdriver.Failed, "", "%w; generation %d could not be put back: %w", err, from, again)
		}
		h.switching = nil
		return hostdriver.Result{}, failure(hostdriver.Failed, "correct the service", "%w; generation %d was put back", err, from)
	}
	for _, name := range op.Renew {
		h.setting(name)
	}
	h.switching = nil
	h.forget(op.Forget)
	h.collect(from, op)
	res := hostdriver.Result{Units: map[string]hostdriver.UnitState{}}
	for _, u := range units {
		res.Units[u] = h.state(u)
	}
	return res, nil
}

func (h *FakeHost) forget(services []string) {
	for _, name := range services {
		delete(h.refused, name)
	}
}

// expect is the compare-and-swap. After a cut either generation's file is as good.
func (h *FakeHost) expect(op hostdriver.Switch, from uint64, cut bool) error {
	for _, e := range op.Expect {
		now := ""
		if n := h.nodes[e.Path]; n != nil && n.kind == hostdriver.PathFile {
			now = n.data.SHA256()
		} else if n != nil {
			now = "other"
		}
		ok := now == e.SHA256
		for _, g := range []*generation{h.generations[from], h.generations[op.To]} {
			if cut && !ok {
				var there hostdriver.Entry
				if g != nil {
					there, _ = g.manifest.Find(hostdriver.KindFile, e.Path)
				}
				ok = now == there.SHA256
			}
		}
		if !ok {
			return failure(hostdriver.Conflict, "see who else writes it", "%s was changed there since it was looked at", e.Path)
		}
	}
	return nil
}

func entriesOf(g *generation) []hostdriver.Entry {
	if g == nil {
		return nil
	}
	return g.manifest.Entries
}

func key(e hostdriver.Entry) string {
	if e.Kind == hostdriver.KindUnit || e.Kind == hostdriver.KindUser {
		return string(e.Kind) + " " + e.Name
	}
	return "path " + e.Name
}

func keysOf(g *generation) map[string]bool {
	keys := map[string]bool{}
	for _, e := range entriesOf(g) {
		keys[key(e)] = true
	}
	return keys
}

func (h *FakeHost) unitsOf(generations ...uint64) []string {
	var units []string
	for _, n := range generations {
		for _, e := range entriesOf(h.generations[n]) {
			if e.Kind == hostdriver.KindUnit && !slices.Contains(units, e.Name) && !strings.Contains(e.Name, "@.") {
				units = append(units, e.Name)
			}
		}
	}
	return units
}

func (h *FakeHost) saveFound(from, to uint64) {
	g := h.generations[from]
	if g == nil {
		g = &generation{}
		h.generations[from] = g
	}
	g.found = map[string]found{}
	has := keysOf(g)
	for _, e := range entriesOf(h.generations[to]) {
		if has[key(e)] {
			continue
		}
		switch n := h.nodes[e.Name]; {
		case e.Kind == hostdriver.KindUnit && h.fileState(e.Name) != "":
			g.found[key(e)] = found{unit: true, enabled: h.enabled[e.Name]}
		case e.Kind != hostdriver.KindUnit && e.Kind != hostdriver.KindUser && n != nil:
			g.found[key(e)] = found{node: n}
		}
	}
}

// carryOut makes generation to the one on disk. It stops half way where the op is to be
// interrupted.
func (h *FakeHost) carryOut(to, other uint64, leave, reenable []string) error {
	target, left := h.generations[to], h.generations[other]
	var steps []func() error
	for _, e := range entriesOf(target) {
		if e.Kind != hostdriver.KindUser && slices.Contains(leave, e.Name) {
			continue
		}
		if do := h.entryStep(e); do != nil {
			steps = append(steps, do)
		}
	}
	has := keysOf(target)
	for _, e := range entriesOf(left) {
		if !has[key(e)] {
			f, ok := h.foundFor(to, other, key(e))
			steps = append(steps, func() error { h.withdraw(e, f, ok); return nil })
		}
	}
	for i, do := range steps {
		if h.interrupted && i >= len(steps)/2 {
			return fmt.Errorf("killed")
		}
		if err := do(); err != nil {
			return err
		}
	}
	if h.interrupted {
		return fmt.Errorf("killed")
	}
	h.current = to
	h.lingerFor(target, leave)
	h.daemonReload()
	if err := h.setUnits(target, leave, reenable); err != nil {
		return err
	}
	h.lingerNoMore(target, left)
	return nil
}

// foundFor is what to put back for a thing that generation to does not have.
func (h *FakeHost) foundFor(to, other uint64, key string) (found, bool) {
	for n := to; n <= max(to, other); n++ {
		if g := h.generations[n]; g != nil {
			if f, ok := g.found[key]; ok {
				return f, true
			}
		}
	}
	return found{}, false
}

// entryStep is what has to be done for e, nil if it is as it should be. Whether it can be
// done is known before anything is: files are prepared first.
func (h *FakeHost) entryStep(e hostdriver.Entry) func() error {
	now := h.nodes[e.Name]
	n := &node{owner: orRoot(e.Owner), group: orRoot(e.Group), mode: e.Mode, changed: h.fleet.now()}
	switch e.Kind {
	case hostdriver.KindUser:
		return func() error {
			if !h.users[e.Name].Exists {
				h.addUser(e.Name, e.Target)
			}
			return nil
		}
	case hostdriver.KindDirectory:
		n.kind = hostdriver.PathDir
		if now != nil && now.kind != hostdriver.PathDir {
			return func() error { return fmt.Errorf("%s is no directory", e.Name) }
		}
	case hostdriver.KindFile:
		n.kind, n.data, n.changed = hostdriver.PathFile, h.blobs[e.SHA256], h.stamps[e.SHA256]
		if now != nil && now.kind == hostdriver.PathFile && now.data.SHA256() == e.SHA256 && now.owner == n.owner && now.group == n.group && now.mode == n.mode {
			return nil
		}
	case hostdriver.KindLink:
		n.kind, n.target, n.mode = hostdriver.PathSymlink, e.Target, 0o777
		if now != nil && now.kind == hostdriver.PathSymlink && now.target == e.Target {
			return nil
		}
	default:
		return nil
	}
	if now != nil && now.kind == hostdriver.PathDir && e.Kind != hostdriver.KindDirectory {
		return func() error { return fmt.Errorf("%s is a directory", e.Name) }
	}
	return func() error {
		h.put(e.Name, n)
		h.setting(e.Name)
		return nil
	}
}

// withdraw undoes an entry that the other generation had alone.
func (h *FakeHost) withdraw(e hostdriver.Entry, f found, ok bool) {
	switch e.Kind {
	case hostdriver.KindUnit:
		delete(h.enabled, e.Name)
		if ok && f.unit && f.enabled {
			h.enable(e.Name)
		}
	case hostdriver.KindFile, hostdriver.KindLink:
		if ok {
			h.put(e.Name, f.node)
		} else if n := h.nodes[e.Name]; n != nil && n.kind != hostdriver.PathDir {
			delete(h.nodes, e.Name)
		}
	}
}

func (h *FakeHost) setUnits(g *generation, leave, reenable []string) error {
	for _, e := range entriesOf(g) {
		if e.Kind != hostdriver.KindUnit || slices.Contains(leave, e.Name) {
			continue
		}
		state := h.fileState(e.Name)
		switch {
		case state == "masked" && (e.Enabled == "yes" || e.State == "started"):
			return fmt.Errorf("%s is masked", e.Name)
		case e.Enabled == "yes" && state == "disabled":
			h.enable(e.Name)
		case e.Enabled == "yes" && state == "enabled" && slices.Contains(reenable, e.Name):
			h.enable(e.Name)
		case e.Enabled == "yes" && state != "enabled":
			return fmt.Errorf("%s cannot be enabled: its unit file is %s", e.Name, state)
		case e.Enabled == "no":
			delete(h.enabled, e.Name)
		}
	}
	return nil
}

// enable links a unit as its [Install] says now, and nowhere else.
func (h *FakeHost) enable(name string) {
	_, _, text := h.find(name)
	h.enabled[name], h.links[name] = true, slices.Sorted(slices.Values(parseUnitFile(text).links))
}

// collect removes generations beyond Keep, those between the one that was on disk and the
// one that is, and the blobs only they had.
func (h *FakeHost) collect(from uint64, op hostdriver.Switch) {
	keep := op.Keep
	if keep <= 0 {
		keep = 5
	}
	protected := map[uint64]bool{op.To: true, from: true}
	if h.step != nil {
		protected[h.step.From], protected[h.step.To] = true, true
	}
	for name, st := range h.started {
		if _, ok := h.generations[op.To]; ok && !keysOf(h.generations[op.To])["unit "+name] {
			delete(h.started, name)
			continue
		}
		protected[st.Generation] = true
	}
	releases := map[string]bool{}
	for _, n := range slices.Sorted(maps.Keys(h.generations)) {
		if (len(h.generations) > keep || n > from && n < op.To) && !protected[n] {
			for _, e := range entriesOf(h.generations[n]) {
				releases[e.Name] = releases[e.Name] || e.Kind == hostdriver.KindRelease
			}
			delete(h.generations, n)
		}
	}
	h.dropReleases(releases)
	used := map[string]bool{}
	for _, g := range h.generations {
		for _, e := range g.manifest.Entries {
			used[e.SHA256] = true
		}
	}
	for digest := range h.blobs {
		if !used[digest] {
			delete(h.blobs, digest)
			delete(h.stamps, digest)
		}
	}
}

// dropReleases removes those that no kept generation names.
func (h *FakeHost) dropReleases(releases map[string]bool) {
	for _, g := range h.generations {
		for _, e := range g.manifest.Entries {
			delete(releases, e.Name)
		}
	}
	for name, is := range releases {
		for p := range h.nodes {
			if is && (p == name || strings.HasPrefix(p, name+"/")) {
				delete(h.nodes, p)
			}
		}
	}
}

// fireDeadman is the timer on the host.
func (h *FakeHost) fireDeadman() {
	d := h.deadman
	d.armed = false
	if h.epoch != d.epoch {
		h.deadman = nil
		return
	}
	h.switching = nil
	if h.carryOut(d.from, d.to, nil, d.reenable) != nil {
		h.switching = &hostdriver.Switching{From: d.from, To: d.to}
	}
	for _, name := range slices.Sorted(maps.Keys(h.started)) {
		if h.started[name].Generation == d.to {
			u := h.unit(name)
			h.stop(u, d.at, time.Hour)
			u.starts = nil
			if u.load == "loaded" {
				_ = h.start(u, d.at)
			}
			delete(h.started, name)
		}
	}
}

func (h *FakeHost) disarm() error {
	d := h.deadman
	h.deadman = nil
	if d != nil && !d.armed {
		return failure(hostdriver.Conflict, "observe and plan again", "the dead man's timer has fired: generation %d is back", d.from)
	}
	return nil
}
