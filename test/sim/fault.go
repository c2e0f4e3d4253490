package main

import (
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/test/sim/world"
)

// Fault is one thing that goes wrong, or that somebody does. It is data: a schedule of
// them can be written down, cut down and run again.
type Fault struct {
	Kind string `json:"kind"`
	// At is when, in milliseconds since the first push; or, with On, so long after the
	// (Skip+1)-th time that a visit of the host enters that phase.
	At   int    `json:"at"`
	On   string `json:"on,omitempty"`
	Skip int    `json:"skip,omitempty"`
	// Host is its number from 0; -1, with On, is the host that has the phase.
	Host    int `json:"host"`
	Service int `json:"service,omitempty"`
	// For is how many milliseconds it lasts; 0: until a person mends it.
	For int `json:"for,omitempty"`
	// Arg and Point say more, by kind.
	Arg   int    `json:"arg,omitempty"`
	Point string `json:"point,omitempty"`
}

// The kinds of faults.
const (
	// of controllers
	faultKill   = "kill"    // kill -9; Arg 1: what it has just sent never arrives
	faultKillAt = "kill at" // kill -9 at the Arg-th effect, at Point
	// likewise of others at the Arg-th effect
	faultLoseAt  = "lost at" // Point: request or reply
	faultPowerAt = "power cut at"
	faultStop    = "ctrl-c"
	faultPush    = "push"  // a newer revision, while the former one is being rolled
	faultRival   = "rival" // another apply begins meanwhile
	faultStall   = "stall" // the controller's process stands still
	faultPause   = "pause" // and For later, resume
	faultAbort   = "abort"
	faultUndo    = "undo" // the next pass goes back
	// of the network
	faultLoseRequest = "request lost"
	faultLoseReply   = "reply lost"
	faultDelay       = "reply late"
	faultRepeat      = "reply repeated"
	faultPartition   = "partition" // between controllers and the host
	faultIsolate     = "isolated"  // from the balancer, too
	// of hosts
	faultReboot    = "reboot"
	faultPower     = "power cut"
	faultCutSwitch = "power cut in switch" // after Arg paths
	faultKilledOp  = "switch killed"       // its script, after Arg paths
	faultFull      = "disk full"
	faultSlow      = "slow host"
	faultDie       = "process dies"
	faultSick      = "sick"
	faultStuckStop = "stop hangs"
	faultDeaf      = "restart without effect"
	// of people
	faultMask      = "masked"
	faultAdminJob  = "admin's job"
	faultHandStop  = "stopped by hand"
	faultRestart   = "restarted by hand"
	faultEdit      = "edited by hand"
	faultHandDrain = "drained by hand"
	faultMaint     = "maintenance by hand"
	// of the balancer
	faultBalancerDown = "balancer down"
	faultForget       = "balancer reloaded"
	faultSticky       = "sessions stay"
)

// trouble is what befalls one call.
type trouble int

const (
	noTrouble trouble = iota
	loseRequest
	loseReply
	delayReply
)

// faults carries a schedule out.
type faults struct {
	sim   *simulation
	used  []bool
	seen  []int // of each, how often its phase was entered
	armed []arm
	// open counts the faults that are still to come by time, or not over.
	open  int
	delay time.Duration
	off   bool // no phase triggers any more
}

// arm is a fault of the network that waits for its call.
type arm struct {
	kind string
	host string
	any  bool // not only a call with an effect
	d    time.Duration
}

func (s *simulation) newFaults() *faults {
	f := &faults{sim: s, used: make([]bool, len(s.sc.Faults)), seen: make([]int, len(s.sc.Faults))}
	for i := range s.sc.Faults {
		x := &s.sc.Faults[i]
		if x.On != "" || x.Kind == faultKillAt || x.Kind == faultLoseAt || x.Kind == faultPowerAt {
			continue
		}
		f.open++
		s.world.After(milliseconds(x.At), func() { f.happen(i, x.Host) })
	}
	return f
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// phase tells that a visit of host enters a phase.
func (f *faults) phase(phase, host string) {
	if f.off {
		return
	}
	for i := range f.sim.sc.Faults {
		x := &f.sim.sc.Faults[i]
		if x.On != phase || f.used[i] || x.Host >= 0 && hostName(x.Host) != host {
			continue
		}
		f.seen[i]++
		if f.seen[i] <= x.Skip {
			continue
		}
		f.used[i] = true
		f.open++
		at := slices.IndexFunc(f.sim.world.Hosts, func(h *world.Host) bool { return h.Name == host })
		if x.At == 0 {
			f.happen(i, at)
			continue
		}
		f.sim.world.After(milliseconds(x.At), func() { f.happen(i, at) })
	}
}

// happen lets the i-th fault happen, and end in its time.
func (f *faults) happen(i, host int) {
	x := f.sim.sc.Faults[i]
	f.used[i] = true
	if host < 0 || host >= len(f.sim.world.Hosts) {
		host = 0
	}
	x.Host = host
	heal := f.sim.befall(x)
	f.sim.count(x.Kind)
	f.sim.operator.last = "" // worth another pass
	f.sim.tracef("fault: %s on %s for %s", x.Kind, hostName(host), milliseconds(x.For))
	if x.For == 0 || heal == nil {
		f.open--
		if heal != nil {
			f.sim.mends = append(f.sim.mends, heal)
		}
		return
	}
	f.sim.world.After(milliseconds(x.For), func() {
		heal()
		f.open--
		f.sim.tracef("over: %s on %s", x.Kind, hostName(host))
	})
}

// troubleFor is what befalls a call of t.
func (f *faults) troubleFor(t *task, k call) trouble {
	for i, a := range f.armed {
		if a.kind == faultRepeat || !a.any && !k.changes || a.host != t.on && (k.host == nil || a.host != k.host.Name) {
			continue
		}
		f.armed = append(f.armed[:i:i], f.armed[i+1:]...)
		f.delay = a.d
		switch a.kind {
		case faultLoseRequest:
			return loseRequest
		case faultLoseReply:
			return loseReply
		}
		return delayReply
	}
	return noTrouble
}

// repeats is after how long the result in hand for a host comes once more; 0: never.
func (f *faults) repeats(host string) time.Duration {
	for i, a := range f.armed {
		if a.kind == faultRepeat && a.host == host {
			f.armed = append(f.armed[:i:i], f.armed[i+1:]...)
			return max(a.d, time.Millisecond)
		}
	}
	return 0
}

// befall lets one fault happen; what it returns ends it.
func (s *simulation) befall(x Fault) (heal func()) {
	h := s.world.Hosts[x.Host]
	switch x.Kind {
	case faultKill, faultStop, faultPush, faultRival, faultStall, faultPause, faultAbort, faultUndo:
		return s.befallController(x)
	case faultLoseRequest, faultLoseReply, faultDelay, faultRepeat:
		s.faults.armed = append(s.faults.armed, arm{kind: x.Kind, host: h.Name, any: x.Arg == 1, d: milliseconds(x.For)})
		return nil
	case faultBalancerDown:
		s.world.Balancer.Down = true
		return func() { s.world.Balancer.Down = false }
	case faultForget:
		s.world.Balancer.Forget()
		return nil
	}
	if heal, ok := s.befallHost(x, h); ok {
		return heal
	}
	return s.befallInstance(x, h)
}

func (s *simulation) befallController(x Fault) (heal func()) {
	var c *controller
	for _, k := range s.controllers {
		if !k.dead && !k.ended {
			c = k
		}
	}
	switch {
	case x.Kind == faultRival:
		s.begin(s.operator.revision)
	case x.Kind == faultUndo:
		s.operator.undo = true
	case c == nil:
	case x.Kind == faultKill:
		c.kill(x.Arg == 1)
	case x.Kind == faultStall:
		c.asleep, c.stalled = s.world.Now()+milliseconds(x.For), true
	case x.Kind == faultPause:
		return c.pause()
	case x.Kind == faultAbort:
		c.whenAwake(func() { c.step(rollout.Event{Kind: rollout.EventAbort, By: operatorName, Reason: "error rate"}) })
	case x.Kind == faultStop:
		c.whenAwake(func() { c.step(rollout.Event{Kind: rollout.EventStop, Reason: "stopped by the operator"}) })
	case s.operator.push():
		c.whenAwake(func() { c.step(rollout.Event{Kind: rollout.EventReplan}) })
	}
	return nil
}

func (s *simulation) befallHost(x Fault, h *world.Host) (heal func(), ok bool) {
	switch x.Kind {
	case faultPartition:
		h.Reachable = false
		s.Touched(h)
		return func() { h.Reachable = true; s.Touched(h) }, true
	case faultIsolate:
		h.Reachable, h.Isolated = false, true
		s.Touched(h)
		return func() { h.Reachable, h.Isolated = true, false; s.Touched(h) }, true
	case faultReboot:
		h.ShutDown()
		return h.PowerOn, true
	case faultPower:
		h.CutPower()
		return h.PowerOn, true
	case faultCutSwitch:
		h.Switch = world.Mishap{After: x.Arg, Kind: "power"}
		return func() { h.Switch = world.Mishap{}; h.PowerOn() }, true
	case faultKilledOp:
		h.Switch = world.Mishap{After: x.Arg, Kind: "killed"}
		return func() { h.Switch = world.Mishap{} }, true
	case faultFull:
		h.Full = true
		return func() { h.Full = false }, true
	case faultSlow:
		h.Slow = seconds(x.Arg)
		return func() { h.Slow = 0 }, true
	}
	return nil, false
}

func (s *simulation) befallInstance(x Fault, h *world.Host) (heal func()) {
	in := s.instanceOn(h, x.Service)
	if in == nil {
		return nil
	}
	u := in.unit
	switch x.Kind {
	case faultDie:
		u.Die(137)
	case faultSick:
		u.Sick = true
		s.Touched(h)
		return func() { u.Sick = false; s.Touched(h) }
	case faultStuckStop:
		u.StuckStop = true
		return u.FreeStop
	case faultDeaf:
		u.Deaf = true
		return func() { u.Deaf = false }
	case faultMask:
		u.Masked = true
		return func() { u.Masked = false }
	case faultAdminJob:
		u.AdminJob = true
		return func() { u.AdminJob = false }
	case faultHandStop:
		if h.Powered {
			u.StopByHand()
		}
		return nil
	case faultRestart:
		if h.Powered {
			u.RestartByHand()
		}
	case faultEdit:
		s.editByHand(x, in)
	case faultHandDrain, faultMaint:
		return s.takeOut(x, in)
	case faultSticky:
		if in.server != nil {
			in.server.Sticky = true
			return func() { in.server.Sticky = false }
		}
	}
	return nil
}

// takeOut is a person at the balancer.
func (s *simulation) takeOut(x Fault, in *instance) (heal func()) {
	if in.server == nil {
		return nil
	}
	s.ambiguous[in.server] = in.host.Step != nil
	for _, c := range s.controllers {
		for i := range c.state.Visits {
			if v := &c.state.Visits[i]; c.running && v.Active() && v.Host == in.host.Name {
				s.ambiguous[in.server] = true // nobody can tell this drain from ours
			}
		}
	}
	if x.Kind == faultMaint {
		in.server.Maintain()
	} else {
		in.server.Drain(&world.Actor{})
	}
	return func() {
		if in.server.By != nil && !in.server.By.Ours() {
			in.server.Release()
		}
	}
}

// editByHand appends to the env file (Arg 0), the config (1) or the unit file (2).
func (s *simulation) editByHand(x Fault, in *instance) {
	path, env := envPath(in.service), true
	switch x.Arg {
	case 1:
		path, env = configPath(in.service), false
	case 2:
		path, env = unitPath(unitName(in.service)), false
	}
	f := in.host.Files[path]
	if f == nil || f.Item == nil || !in.host.Powered {
		return
	}
	s.edited[in.host.Name+in.service] = s.world.Now()
	line := "# edited\n"
	if env && x.Point == "value" {
		line = "EXTRA=" + secretMark + "-by-hand\n"
	}
	in.host.WriteByHand(path, s.catalog.library.Add(string(f.Item.Content.Bytes())+line, env, nil))
}
