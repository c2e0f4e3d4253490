package world

import (
	"errors"
	"fmt"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Host is one machine under systemd.
type Host struct {
	Name    string
	Powered bool
	// Reachable is whether controllers reach it; the balancer does as long as it is
	// Powered and not Isolated.
	Reachable bool
	Isolated  bool          // from the balancer, too
	Slow      time.Duration // what every operation takes on top
	Disk
	Units map[string]*Unit
	// Switch is what happens to the next switch; see Mishap.
	Switch Mishap
	// Compared is when the last switch looked whether what it writes is as expected.
	// What is written after that, in the middle of the switch, no host can see.
	Compared time.Duration

	world *World
	boot  int
	life  int // begins anew with every boot: what was under way before is gone
	order []*Unit
	ids   int
	lock  *operation
	queue []*operation
}

// Mishap is something that befalls a switch in the middle.
type Mishap struct {
	After int    // so many paths were put in their place
	Kind  string // "power": the host loses power; "killed": the script dies there; "": nothing
}

// Answers tells whether a controller gets an answer from it.
func (h *Host) Answers() bool { return h.Powered && h.Reachable }

// InOrder are its units, in the order they were added.
func (h *Host) InOrder() []*Unit { return h.order }

// AddUnit tells the host what a unit of that name would read and how it would stop;
// it exists once its file is on disk and loaded.
func (h *Host) AddUnit(spec UnitSpec) *Unit {
	u := &Unit{UnitSpec: spec, host: h, Active: "inactive", Sub: "dead", Result: "success"}
	h.Units[spec.Name] = u
	h.order = append(h.order, u)
	return u
}

// after runs f after d, unless the host has lost its power until then.
func (h *Host) after(d time.Duration, f func()) {
	life := h.life
	h.world.After(d, func() {
		if h.life == life && h.Powered {
			f()
		}
	})
}

func (h *Host) touched() { h.world.Watch.Touched(h) }

func (h *Host) now() time.Duration { return h.world.Now() }

// nextID numbers invocations and processes; it never repeats on a host.
func (h *Host) nextID() int {
	h.ids++
	return h.ids
}

// CutPower ends everything at once. What was not synced is lost.
func (h *Host) CutPower() {
	if !h.Powered {
		return
	}
	h.Disk.powerLost(h.now())
	h.down()
}

// ShutDown ends everything in order: nothing is lost but what was under way.
func (h *Host) ShutDown() {
	if !h.Powered {
		return
	}
	h.Disk.sync()
	h.down()
}

func (h *Host) down() {
	h.Powered = false
	h.life++
	ops := h.queue
	if h.lock != nil {
		h.lock.cut()
		ops = append([]*operation{h.lock}, ops...)
	}
	h.lock, h.queue = nil, nil
	for _, u := range h.order {
		u.vanish()
	}
	for _, op := range ops {
		op.end(hostdriver.Result{}, h.unknown(op.name(), "the connection broke"))
	}
	h.touched()
}

// PowerOn boots it: systemd loads what is on disk and starts what is enabled.
func (h *Host) PowerOn() {
	if h.Powered {
		return
	}
	h.Powered, h.boot = true, h.boot+1
	h.DaemonReload()
	for _, u := range h.order {
		if h.Enabled[u.Name] == "enabled" {
			u.start(nil, func(string) {})
		}
	}
	h.touched()
}

// DaemonReload loads unit files as they are on disk.
func (h *Host) DaemonReload() {
	for _, u := range h.order {
		u.loaded = nil
		if f := h.Files[u.File]; f != nil {
			u.loaded = f.Item
		}
	}
}

// WriteByHand puts content into a file as a person does: at once, without fsync, and
// without telling anybody. Owner and mode stay.
func (h *Host) WriteByHand(path string, it *Item) {
	f := File{Owner: "root", Group: "root", Mode: 0o644}
	if was := h.Files[path]; was != nil {
		f = *was
	}
	f.Item, f.Changed = it, h.now()
	h.putUnsynced(h.now(), path, &f)
	h.touched()
}

func (h *Host) failed(op, format string, args ...any) error {
	return &hostdriver.Error{Kind: hostdriver.Failed, Host: h.Name, Op: op, Err: fmt.Errorf(format, args...)}
}

func (h *Host) refused(op, format string, args ...any) error {
	return &hostdriver.Error{Kind: hostdriver.Refused, Host: h.Name, Op: op, Err: fmt.Errorf(format, args...)}
}

func (h *Host) conflict(op, format string, args ...any) error {
	return &hostdriver.Error{Kind: hostdriver.Conflict, Host: h.Name, Op: op, Err: fmt.Errorf(format, args...)}
}

func (h *Host) unknown(op, why string) error {
	return &hostdriver.Error{Kind: hostdriver.Unknown, Host: h.Name, Op: op, Err: errors.New(why)}
}
