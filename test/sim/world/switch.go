package world

import (
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// stage brings a generation, and what it needs.
func (h *Host) stage(op hostdriver.Stage) error {
	m := op.Manifest
	if kept, again := h.Kept[m.Generation]; again {
		if slices.Equal(kept.Entries, m.Entries) {
			return nil
		}
		return h.failed("stage", "generation %d is another one there", m.Generation)
	}
	for g := range h.Kept {
		if g > m.Generation {
			return h.failed("stage", "generation %d is above %d", g, m.Generation)
		}
	}
	if h.Full {
		return h.failed("stage", "no space left on device")
	}
	for _, r := range op.Releases {
		if it := h.world.Library.Get(r.SHA256); it != nil {
			h.put(r.Path, &File{Item: it, Owner: r.Owner, Group: r.Group, Mode: 0o755, Changed: h.now()})
		}
	}
	h.Kept[m.Generation] = m
	return nil
}

// placement is one path that a switch puts in its place, or takes away.
type placement struct {
	path string
	file *File
}

// switchTo makes a kept generation the one on disk, one path at a time, under a
// journal. After a cut, only the two generations of the journal can be switched to.
func (o *operation) switchTo(op hostdriver.Switch) {
	h := o.host
	target, known := h.Kept[op.To]
	from := h.Manifest.Generation
	if j := h.Switching; j != nil {
		switch op.To {
		case j.To:
			from = j.From
		case j.From:
			from = j.To
		default:
			o.end(hostdriver.Result{}, h.conflict("switch", "a switch from generation %d to %d was cut", j.From, j.To))
			return
		}
	}
	if err := h.unexpected(op, from, target); err != nil {
		o.end(hostdriver.Result{}, err)
		return
	}
	if err := o.putStep(op.Record); err != nil {
		o.end(hostdriver.Result{}, err)
		return
	}
	if !known && op.To != 0 {
		o.end(hostdriver.Result{}, h.failed("switch", "generation %d is not kept there", op.To))
		return
	}
	h.Compared = h.now()
	places := h.placements(target, op.Leave)
	if h.Full && len(places) > 0 {
		o.end(hostdriver.Result{}, h.failed("switch", "no space left on device; nothing was touched"))
		return
	}
	for _, r := range op.Refuse {
		h.Refused[r.Service] = r
	}
	if h.Switching == nil {
		h.Switching = &hostdriver.Switching{From: from, To: op.To}
	}
	o.place(op, target, places, 0)
}

// unexpected is the compare-and-swap: what is at a path must be what was observed. In
// a switch that was cut, what either generation has is as good.
func (h *Host) unexpected(op hostdriver.Switch, from uint64, target hostdriver.Manifest) error {
	for _, x := range op.Expect {
		got := ""
		if f := h.Files[x.Path]; f != nil && f.Item != nil {
			got = f.Item.SHA256
		}
		if got == x.SHA256 || h.Switching != nil && (has(h.Kept[from], x.Path, got) || has(target, x.Path, got)) {
			continue
		}
		return h.conflict("switch", "%s changed since it was looked at", x.Path)
	}
	return nil
}

// has tells whether a generation has that content at that path ("": nothing).
func has(m hostdriver.Manifest, path, sum string) bool {
	e, _ := m.Find(hostdriver.KindFile, path)
	return e.SHA256 == sum
}

// placements is what differs from the target on disk, in its order, then what only
// other generations had.
func (h *Host) placements(target hostdriver.Manifest, leave []string) []placement {
	var out []placement
	for _, e := range target.Entries {
		if e.Kind != hostdriver.KindUser && slices.Contains(leave, e.Name) {
			continue
		}
		var f File
		switch e.Kind {
		case hostdriver.KindDirectory:
			f = File{Dir: true, Owner: e.Owner, Group: e.Group, Mode: e.Mode}
		case hostdriver.KindFile:
			f = File{Item: h.world.Library.Get(e.SHA256), Owner: e.Owner, Group: e.Group, Mode: e.Mode}
		case hostdriver.KindLink:
			f = File{Target: e.Target, Owner: "root", Group: "root", Mode: 0o777}
		case hostdriver.KindUser:
			h.Users[e.Name] = true
			continue
		default:
			continue
		}
		if got := h.Files[e.Name]; got == nil || *got != (File{Item: f.Item, Target: f.Target, Dir: f.Dir, Owner: f.Owner, Group: f.Group, Mode: f.Mode, Changed: got.Changed}) {
			out = append(out, placement{e.Name, &f})
		}
	}
	return append(out, h.gone(target)...)
}

// gone are the paths that other generations had and the target has not.
func (h *Host) gone(target hostdriver.Manifest) []placement {
	var out []placement
	for _, g := range h.kept() {
		for _, e := range h.Kept[g].Entries {
			if e.Kind != hostdriver.KindFile && e.Kind != hostdriver.KindLink || h.Files[e.Name] == nil {
				continue
			}
			if _, still := target.Find(e.Kind, e.Name); still || slices.ContainsFunc(out, func(p placement) bool { return p.path == e.Name }) {
				continue
			}
			out = append(out, placement{path: e.Name})
		}
	}
	return out
}

// place puts the i-th path in its place, then the others, then ends the switch.
func (o *operation) place(op hostdriver.Switch, target hostdriver.Manifest, places []placement, i int) {
	h := o.host
	if m := h.Switch; m.Kind != "" && i >= min(m.After, len(places)) {
		h.Switch = Mishap{}
		if h.world.Unjournaled {
			h.Switching = nil
		}
		if m.Kind == "power" {
			h.CutPower()
			return
		}
		o.end(hostdriver.Result{}, h.unknown("switch", "the script was killed"))
		return
	}
	if i == len(places) {
		from := h.Manifest.Generation
		h.Manifest = target
		h.enable(target, op.Leave)
		h.DaemonReload()
		h.Switching = nil
		h.keep(op.Keep, from)
		for _, service := range op.Forget {
			delete(h.Refused, service)
		}
		h.world.Watch.Switched(h, o.actor, op)
		h.touched()
		o.end(hostdriver.Result{Units: h.states(target)}, nil)
		return
	}
	p := places[i]
	h.world.Watch.Placing(h, o.actor, p.path)
	if p.file != nil {
		p.file.Changed = h.now()
	}
	h.put(p.path, p.file)
	o.later(time.Millisecond, func() { o.place(op, target, places, i+1) })
}

// states is the state of a generation's units.
func (h *Host) states(m hostdriver.Manifest) map[string]hostdriver.UnitState {
	states := map[string]hostdriver.UnitState{}
	for _, e := range m.Entries {
		if e.Kind == hostdriver.KindUnit {
			states[e.Name] = h.unitState(e.Name)
		}
	}
	return states
}

// enable enables and disables units as the manifest says, and disables those of other
// generations that it has not.
func (h *Host) enable(target hostdriver.Manifest, leave []string) {
	for _, u := range h.order {
		if u.Foreign || slices.Contains(leave, u.Name) {
			continue
		}
		e, ok := target.Find(hostdriver.KindUnit, u.Name)
		switch {
		case ok && e.Enabled == "yes":
			h.Enabled[u.Name] = "enabled"
		case ok && e.Enabled == "no", !ok && h.Files[u.File] == nil:
			delete(h.Enabled, u.Name)
		}
	}
}
