package world

import (
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// World is everything outside the controllers.
type World struct {
	Clock
	Hosts    []*Host
	Balancer *Balancer
	Library  *Library
	// Watch is told what really happened; it is never nil after New.
	Watch Watcher
	// Unjournaled lets a switch that is cut leave no journal: a bug to be planted.
	Unjournaled bool

	byName map[string]*Host
}

// Actor is who does something, for the Watcher. nil is nobody in particular: systemd
// itself, or time.
type Actor struct {
	Controller int // 1, 2, …; 0 is a person
	Visit      int
	Back       bool // on the way back to a former generation
	Epoch      uint64
	Sent       time.Duration // when it sent what is now done
}

// Ours tells whether a controller acts, not a person.
func (a *Actor) Ours() bool { return a != nil && a.Controller > 0 }

// Watcher judges. Its methods are called in the middle of what they tell of and
// change nothing.
type Watcher interface {
	// Touched: something about that host or its servers may have changed.
	Touched(h *Host)
	// Op: the host begins to do op, past its lock and its epoch.
	Op(h *Host, a *Actor, f hostdriver.Fence, op hostdriver.Op)
	// Placing: a switch is about to put something else at a path, or to remove it.
	Placing(h *Host, a *Actor, path string)
	// Hook: a hook begins, has ended well, or was cut.
	Hook(h *Host, a *Actor, op hostdriver.Hook, stage HookStage)
	// Switched: a switch has ended, and all it brings is in its place.
	Switched(h *Host, a *Actor, op hostdriver.Switch)
	// Acting: a unit is about to be started, stopped, restarted or reloaded for a.
	Acting(u *Unit, a *Actor, action hostdriver.UnitAction)
	// Started: a new process of u runs; a is who wanted that.
	Started(u *Unit, a *Actor)
	// Draining and Undraining: the balancer is about to take s out for a, to put it
	// back in.
	Draining(s *Server, a *Actor)
	Undraining(s *Server, a *Actor)
}

// New is a world with nothing in it yet.
func New(lib *Library, w Watcher) *World {
	world := &World{Library: lib, Watch: w, byName: map[string]*Host{}}
	world.Balancer = &Balancer{world: world, servers: map[serverKey]*Server{}}
	return world
}

// Host is the host of that name, or nil.
func (w *World) Host(name string) *Host { return w.byName[name] }

// AddHost puts a host with nothing on it into the world.
func (w *World) AddHost(name string) *Host {
	h := &Host{Name: name, Powered: true, Reachable: true, world: w, boot: 1, Units: map[string]*Unit{}, Disk: newDisk()}
	w.Hosts = append(w.Hosts, h)
	w.byName[name] = h
	return h
}

// epochBegin is what the wall clocks of all hosts say when a world begins.
var epochBegin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Wall is the wall clock at a moment of the world.
func Wall(at time.Duration) time.Time { return epochBegin.Add(at) }
