package main

import (
	"fmt"
	"io"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/test/sim/world"
)

// simulation is one run of a Scenario.
type simulation struct {
	sc          *Scenario
	world       *world.World
	catalog     *catalog
	instances   []*instance
	by          map[[2]string]*instance // host and service
	controllers []*controller
	operator    *operator
	faults      *faults
	mends       []func()
	edited      map[string]time.Duration // host and service to when a hand wrote into a file of it last
	ambiguous   map[*world.Server]bool   // taken out by hand while a step was in hand there
	dirty       []*world.Host
	idle        []*coroutine
	trips       uint64
	stats       Stats
	found       *Violation
	trace       io.Writer
	began       time.Duration // of the first push
	waits       bool          // a rollout may wait for a word or a window
	secrets     bool          // every State, Command and Event is searched for secrets
	books       books
}

// Stats is what a run was made of.
type Stats struct {
	Events, Effects, Plans, Rollouts, Passes int
	Restarts, Drains                         int
	Promotions, Undone, Refusals             int
	Hooks                                    int
	Faults                                   map[string]int
	Virtual                                  time.Duration
}

// Violation is a broken invariant.
type Violation struct {
	Code string        // S1…S12, or a word
	At   time.Duration // since the first push
	Text string
}

func (v *Violation) String() string {
	return fmt.Sprintf("%s violated at %s: %s", v.Code, v.At.Round(time.Millisecond), v.Text)
}

// Bounds of a run: one that exceeds them never ends.
const (
	maxVirtual = 24 * time.Hour
	maxEvents  = 400_000
)

// settled is how long the fleet runs before the first push.
const settled = time.Minute

// Run runs a Scenario to its end or to the first violation. trace may be nil.
func Run(sc *Scenario, trace io.Writer) (*Violation, Stats) {
	s := &simulation{sc: sc, trace: trace, by: map[[2]string]*instance{}, edited: map[string]time.Duration{}, ambiguous: map[*world.Server]bool{}, secrets: trace != nil || planted != "" || sc.Seed%256 == 0}
	s.stats.Faults = map[string]int{}
	s.waits = sc.waiting()
	s.books.open()
	s.catalog = newCatalog(sc)
	s.world = world.New(s.catalog.library, s)
	s.world.Unjournaled = planted == "switch without journal"
	s.faults = &faults{sim: s}
	s.operator = &operator{sim: s}
	s.build()
	s.world.At(settled, func() {
		s.began = s.world.Now()
		s.faults = s.newFaults()
		s.operator.revision = min(1, len(sc.Revisions)-1)
		s.operator.apply()
	})
	for s.found == nil && s.operator.stage != stageOver && s.world.Next() {
		s.settle()
		if s.world.Now() > maxVirtual || s.stats.Events > maxEvents {
			s.violated("liveness", "the run does not end: %d events, stage %d, last pass: %s", s.stats.Events, s.operator.stage, s.operator.last)
		}
	}
	if s.found == nil && s.operator.stage != stageOver {
		s.violated("liveness", "nothing happens any more, in stage %d; last pass: %s", s.operator.stage, s.operator.last)
	}
	for _, c := range s.controllers {
		c.dead = true
		for _, t := range c.tasks {
			t.co.cancel()
		}
	}
	for _, co := range s.idle {
		co.cancel()
	}
	s.stats.Virtual = s.world.Now()
	return s.found, s.stats
}

// violated notes the first violation.
func (s *simulation) violated(code, format string, args ...any) {
	if s.found == nil {
		s.found = &Violation{Code: code, At: s.world.Now() - s.began, Text: fmt.Sprintf(format, args...)}
		s.tracef("%s", s.found)
	}
}

func (s *simulation) tracef(format string, args ...any) {
	if s.trace != nil {
		fmt.Fprintf(s.trace, "%10.3f  %s\n", (s.world.Now() - s.began).Seconds(), fmt.Sprintf(format, args...))
	}
}

func (s *simulation) traceStep(c *controller, e rollout.Event, cmds []rollout.Command) {
	if s.trace == nil {
		return
	}
	switch e.Kind {
	case rollout.EventObserved:
		s.tracef("c%d ← looked at %s: %s", c.id, e.Service, lookWords(e.Instances))
	case rollout.EventResult:
		v := c.state.Visits[e.Visit]
		s.tracef("c%d ← %s %s #%d: %s %s → %s %s %s", c.id, v.Host, e.Command, e.Attempt, e.Outcome, e.Reason, v.Phase, v.Result, v.Reason)
	default:
		s.tracef("c%d ← %s", c.id, e.Kind)
	}
	for _, k := range cmds {
		s.tracef("c%d → %s %s%s #%d after %s", c.id, k.Kind, k.Host, k.Service, k.Attempt, k.After)
	}
	if h := c.state.Halted; h != nil {
		s.tracef("c%d halted (%s): %s %s %s", c.id, h.Kind, h.Service, h.Host, h.Reason)
	}
}

func (s *simulation) tracePlan(p rollout.Plan) {
	if s.trace == nil {
		return
	}
	for _, h := range p.Hosts {
		for _, x := range h.Changes {
			s.tracef("   %s %s: %s %s (%s)", h.Host, x.Service, x.Action, x.Subject, x.Reason)
		}
		for _, x := range h.Problems {
			s.tracef("   %s %s: %s %s", h.Host, x.Service, x.Subject, x.Reason)
		}
	}
	for _, v := range p.Visits {
		s.tracef("   visit %d: %s %v quiet=%t recover=%t written=%t switched=%t disturbs=%v drains=%v", v.ID, v.Host, v.Services, v.Quiet, v.Recover, v.Written, v.Switched, v.Disturbs, v.Drains)
	}
}

func lookWords(is []rollout.Instance) string {
	down := ""
	for _, i := range is {
		if !i.Up {
			down += " " + i.Host + " (" + i.Reason + ")"
		}
	}
	if down == "" {
		return "all up"
	}
	return "down:" + down
}

func (s *simulation) count(kind string) { s.stats.Faults[kind]++ }

// build makes the hosts and, unless the fleet is fresh, what runs on them.
func (s *simulation) build() {
	for i := range s.sc.Hosts {
		h := s.world.AddHost(hostName(i))
		h.AddUnit(world.UnitSpec{Name: foreignUnit, File: unitPath(foreignUnit), Foreign: true})
		h.Files[unitPath(foreignUnit)] = &world.File{Item: s.catalog.library.Add("# not ours\n", false, nil), Owner: "root", Group: "root", Mode: 0o644}
	}
	for i := range s.sc.Services {
		for _, host := range s.sc.Services[i].Hosts {
			s.addInstance(&s.sc.Services[i], s.world.Hosts[host])
		}
	}
	for i, h := range s.world.Hosts {
		if !s.sc.Fresh {
			s.deploy(h, s.catalog.state(0, i))
		}
		h.DaemonReload()
		h.Units[foreignUnit].StartByHand()
	}
	for _, in := range s.instances {
		if in.server != nil {
			in.server.Check(true)
		}
	}
	for _, h := range s.world.Hosts {
		s.Touched(h)
	}
	s.settle()
}

const foreignUnit = "sshd.service"

func (s *simulation) addInstance(x *Service, h *world.Host) {
	spec := world.UnitSpec{
		Service: x.Name, Name: unitName(x.Name), File: unitPath(unitName(x.Name)), EnvFiles: []string{envPath(x.Name)}, Link: linkPath(x.Name),
		Notify: x.Notify, RestartPause: time.Second, StopTime: 150 * time.Millisecond,
	}
	if x.Reloads {
		spec.Configs = []string{configPath(x.Name)}
	}
	in := &instance{host: h, service: x.Name, shape: x, unit: h.AddUnit(spec)}
	in.units = []*world.Unit{in.unit}
	if x.Worker {
		spec.Name, spec.File, spec.Notify = workerName(x.Name), unitPath(workerName(x.Name)), false
		in.units = append(in.units, h.AddUnit(spec))
	}
	if x.Balanced {
		var ends []time.Duration
		for i := range x.Sessions {
			ends = append(ends, seconds(x.Lasting)*time.Duration(i+1)/time.Duration(x.Sessions))
		}
		in.server = s.world.Balancer.AddServer(x.Name, h, in.unit, ends)
	}
	s.instances = append(s.instances, in)
	s.by[[2]string{h.Name, x.Name}] = in
}

// deploy puts a host into the state it has after a rollout that went well.
func (s *simulation) deploy(h *world.Host, hs desired.HostState) {
	var names []string
	for i := range hs.Instances {
		names = append(names, hs.Instances[i].Service)
		for _, a := range hs.Instances[i].Artifacts {
			h.Files[a.Release] = &world.File{Item: s.catalog.library.Get(a.SHA256), Owner: a.Owner, Group: a.Group, Mode: 0o755}
		}
	}
	h.Kept[1] = rollout.Target(hostdriver.Manifest{}, hs, names, nil, 1)
	f := hostdriver.Fence{Epoch: 1, Holder: "the first apply"}
	h.Do(&world.Actor{}, f, hostdriver.Switch{To: 1}, func(_ hostdriver.Result, err error) {
		if err != nil {
			s.violated("setup", "%v", err)
			return
		}
		var op hostdriver.UnitOps
		op.Timeout = time.Minute
		for i := range hs.Instances {
			inst := &hs.Instances[i]
			for j := range inst.Units {
				op.Actions = append(op.Actions, hostdriver.UnitAction{
					Unit: inst.Units[j].Name, Verb: hostdriver.VerbStart, Generation: 1, Inputs: rollout.StartInputs(inst, &inst.Units[j]),
				})
			}
		}
		h.Do(&world.Actor{}, f, op, func(hostdriver.Result, error) {})
	})
}

// mend undoes whatever people and faults have left that only a person can undo.
func (s *simulation) mend() {
	for _, m := range s.mends {
		m()
	}
	s.mends = nil
	for _, h := range s.world.Hosts {
		h.PowerOn()
		h.Reachable, h.Isolated, h.Full, h.Slow, h.Switch = true, false, false, 0, world.Mishap{}
		s.Touched(h)
	}
	for _, in := range s.instances {
		if in.server != nil && in.server.By != nil && (!in.server.By.Ours() || s.books.strays[in.server]) {
			in.server.Release()
		}
	}
	s.tracef("everything is mended")
}
