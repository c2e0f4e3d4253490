package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/test/sim/world"
)

// controller is one `apply`: it repairs, looks, plans and carries the plan out, as
// package controller does with real hosts.
type controller struct {
	sim      *simulation
	id       int
	revision int
	only     string // the service it is confined to
	holder   string
	dead     bool
	dropped  bool // what it had sent and had not arrived yet never does
	asleep   time.Duration
	stalled  bool // it stood still once
	undo     *rollout.Back
	retry    bool            // it brings what hosts have refused as well
	promoted map[string]bool // services whose canaries were accepted for the revision
	said     map[string]bool // those of them that the operator has spoken for
	paused   bool            // the operator has said so
	attended bool            // the operator has seen that it waits
	lookedAt time.Duration   // when the last look over all hosts began

	tasks   []*task
	input   rollout.Input
	plan    rollout.Plan
	epoch   uint64
	blocked bool           // another controller is at work
	obey    []string       // hosts that were taken over
	busy    map[int]string // hosts that could not be taken over, and why
	hosts   map[string]*handled
	state   rollout.State
	began   time.Duration
	looks   map[string]map[string]looked // by service and host
	// earlier are the looks before those, and heard is when the last ones came.
	earlier map[string]map[string]looked
	heard   map[string]time.Duration
	asked   map[string]time.Duration // by host, when its balancers were last asked before a restart
	probes  map[string]probed
	rounds  int // plans carried out so far
	running bool
	ended   bool
}

// looked is the last look at an instance.
type looked struct {
	at   time.Duration
	lost bool // its host did not answer
}

// lookedBefore is what was known of a service when something was sent: what has been heard
// since could not keep it from being sent.
func (c *controller) lookedBefore(service string, sent time.Duration) map[string]looked {
	if c.heard[service] > sent && c.earlier[service] != nil {
		return c.earlier[service]
	}
	return c.looks[service]
}

// probed is what a controller last saw of a unit.
type probed struct {
	at         time.Duration
	invocation string
	good       bool
}

// handled is one host as a rollout knows it; see the type of that name in package
// controller.
type handled struct {
	rollout.HostInput
	host     *world.Host
	manifest hostdriver.Manifest
	kept     []uint64
	started  map[string]hostdriver.StartedAs
	word     time.Duration // when something was sent that the host then obeyed
}

func (h *handled) note(o hostdriver.Observation) {
	h.manifest, h.kept, h.started = o.Manifest, o.Kept, o.Started
}

// begin starts a controller for a revision.
func (s *simulation) begin(revision int) *controller {
	c := &controller{sim: s, id: len(s.controllers) + 1, revision: revision, only: s.operator.only, probes: map[string]probed{}, said: map[string]bool{}}
	c.retry = s.operator.retries()
	if s.operator.undoing {
		c.undo = &rollout.Back{Reason: "it is slow"}
	}
	c.holder = fmt.Sprintf("apply pid %d", 1000+c.id)
	s.controllers = append(s.controllers, c)
	s.tracef("controller %d begins with %s", c.id, revisionID(revision))
	c.round()
	return c
}

// kill ends it at once, as kill -9 does. What it has sent may still arrive.
func (c *controller) kill(drop bool) {
	if c.dead || c.ended {
		return
	}
	c.sim.tracef("controller %d is killed", c.id)
	c.dead, c.dropped = true, drop
	for _, t := range slices.Clone(c.tasks) {
		t.ended = true
	}
	for _, t := range c.tasks {
		t.co.cancel()
	}
	c.tasks = nil
	c.sim.operator.over(c)
}

// whenAwake runs f, later if the controller is stalled.
func (c *controller) whenAwake(f func()) {
	if now := c.sim.world.Now(); c.asleep > now {
		c.sim.world.At(c.asleep, func() { c.whenAwake(f) })
		return
	}
	if !c.dead {
		f()
	}
}

// round looks, repairs and looks again where there is something to repair, plans, and
// begins to carry the plan out.
func (c *controller) round() {
	c.rounds++
	c.run("look", "", func(t *task) {
		c.busy, c.blocked = nil, false
		c.look(t)
		if len(c.plan.Visits) == 0 && !c.cut() {
			return
		}
		if planted == "two at once" {
			c.epoch = c.fence().Epoch
			return
		}
		c.takeOver(t)
		if c.blocked {
			c.plan.Visits = nil
			return
		}
		c.late(t)
		if c.cut() {
			c.repair(t)
			c.look(t)
		}
	}, c.carryOutPlan)
}

// cut tells whether a switch was cut in the middle somewhere.
func (c *controller) cut() bool {
	return slices.ContainsFunc(c.input.Hosts, func(h rollout.HostInput) bool {
		return h.Observation != nil && h.Observation.Switching != nil && h.Skip == ""
	})
}

// takeOver is package controller's Seize: it raises the epoch of the hosts that the plan
// is about with an operation that does nothing else, before the look by which everything
// is decided. From then on whoever was at work there is refused, and what it had in hand
// is in the hosts' records. A host where that is not known is left alone. Where one is
// refused, another has come first or at the same moment: two must not share out the
// hosts, for each would have the whole budget, so this one does nothing.
func (c *controller) takeOver(t *task) {
	f := c.fence()
	c.epoch, c.busy = f.Epoch, map[int]string{}
	must := rollout.MustObey(c.input, c.plan)
	c.obey = must
	var hosts []int
	for i, h := range c.sim.world.Hosts {
		if slices.Contains(must, h.Name) {
			hosts = append(hosts, i)
		}
	}
	first := min(1, len(hosts)) // where two begin at the same moment, it decides
	for _, some := range [][]int{hosts[:first], hosts[first:]} {
		var calls []call
		for _, i := range some {
			h, a := c.sim.world.Hosts[i], &world.Actor{Controller: c.id, Visit: -1, Epoch: f.Epoch}
			calls = append(calls, call{what: "take over", host: h, changes: true, limit: quickOp, there: func(answer func(error)) {
				h.Do(a, f, hostdriver.UnitOps{}, func(_ hostdriver.Result, err error) { answer(err) })
			}})
		}
		for i, err := range t.all(calls) {
			if err != nil {
				c.busy[some[i]] = err.Error()
			}
			c.blocked = c.blocked || hostdriver.KindOf(err) == hostdriver.Refused
		}
		if c.blocked {
			return
		}
	}
}

// late looks again, and leaves alone who answers only now: it was not taken over.
func (c *controller) late(t *task) {
	obey := c.obey
	c.look(t)
	again := false
	for i, h := range c.sim.world.Hosts {
		if slices.Contains(rollout.MustObey(c.input, c.plan), h.Name) && !slices.Contains(obey, h.Name) {
			c.busy[i], again = "it did not answer when the others were taken over", true
		}
	}
	if again {
		for i := range c.input.Hosts {
			if why := c.busy[i]; why != "" {
				c.input.Hosts[i].Observation, c.input.Hosts[i].Reason = nil, why
			}
		}
		c.plan = rollout.Build(c.input)
	}
}

// look observes every host at once and plans.
func (c *controller) look(t *task) {
	s := c.sim
	in := rollout.Input{Revision: revisionID(c.revision), Salt: fmt.Sprintf("salt-%d-%d", c.id, s.trips), Prune: true, Terse: !s.secrets, Skip: map[string]string{}}
	in.Promoted, in.Retry, in.Undo, in.At = c.promoted, c.retry, c.undo, world.Wall(s.world.Now())
	c.lookedAt = s.world.Now()
	in.EmptyOK = !s.sc.Revisions[c.revision].Empty // who takes every service away one by one means it
	for i, x := range s.sc.Revisions[c.revision].Services {
		name := s.sc.Services[i].Name
		if x.Suspended {
			in.Skip[name] = "suspended"
		}
		if c.only != "" && c.only != name {
			in.Skip[name] = "not among the services asked for"
		}
	}
	n := len(s.world.Hosts)
	in.Hosts = make([]rollout.HostInput, n)
	seen, calls := make([]hostdriver.Observation, n), make([]call, n)
	for i, h := range s.world.Hosts {
		in.Hosts[i].Desired = s.catalog.state(c.revision, i)
		q := rollout.Query(in.Hosts[i].Desired, in.Salt)
		q.Generations = c.undo != nil
		if !s.secrets {
			withoutDiffs(q)
		}
		calls[i] = observing(h, q, 20*time.Second, &seen[i])
	}
	for i, err := range t.all(calls) {
		if err != nil {
			in.Hosts[i].Reason = err.Error()
			continue
		}
		if c.busy[i] != "" { // of which it is not known whether it obeys
			in.Hosts[i].Reason = c.busy[i]
			continue
		}
		in.Hosts[i].Observation = &seen[i]
	}
	c.input = in
	c.plan = rollout.Build(in)
	s.stats.Plans++
}

// withoutDiffs asks for no content that is good for nothing but a diff to be looked at.
func withoutDiffs(q hostdriver.Query) {
	for i := range q.Paths {
		if !strings.HasSuffix(q.Paths[i].Path, ".env") {
			q.Paths[i].MaxContent = 0
		}
	}
}

// repair takes back every switch that was cut in the middle.
func (c *controller) repair(t *task) {
	var calls []call
	f := hostdriver.Fence{Epoch: c.epoch, Holder: c.holder}
	for i := range c.input.Hosts {
		o := c.input.Hosts[i].Observation
		if o == nil || o.Switching == nil || c.input.Hosts[i].Skip != "" {
			continue
		}
		h, sw := c.sim.world.Hosts[i], c.input.Hosts[i].Mend()
		a := &world.Actor{Controller: c.id, Visit: -1, Back: true, Epoch: f.Epoch}
		calls = append(calls, call{what: "repair", host: h, changes: true, limit: switchOp, there: func(answer func(error)) {
			h.Do(a, f, sw, func(_ hostdriver.Result, err error) { answer(err) })
		}})
	}
	t.all(calls)
}

// fence is above every epoch that was seen.
func (c *controller) fence() hostdriver.Fence {
	f := hostdriver.Fence{Epoch: 1, Holder: c.holder}
	for _, h := range c.input.Hosts {
		if h.Observation != nil {
			f.Epoch = max(f.Epoch, h.Observation.Epoch+1)
		}
	}
	return f
}

// carryOutPlan begins a rollout of the plan.
func (c *controller) carryOutPlan() {
	s := c.sim
	c.hosts, c.looks, c.asked = map[string]*handled{}, map[string]map[string]looked{}, map[string]time.Duration{}
	c.earlier, c.heard = map[string]map[string]looked{}, map[string]time.Duration{}
	for i, in := range c.input.Hosts {
		h := &handled{HostInput: in, host: s.world.Hosts[i]}
		if in.Observation != nil {
			h.note(*in.Observation)
		}
		c.hosts[h.host.Name] = h
	}
	s.tracePlan(c.plan)
	s.checkPlan(c)
	if len(c.plan.Visits) == 0 {
		c.finish()
		return
	}
	c.began, c.running = s.world.Now(), true
	c.state = rollout.New(fmt.Sprintf("rollout-%d-%d", c.id, c.rounds), c.plan)
	s.stats.Rollouts++
	if c.paused { // a pause holds for rollouts to come
		c.step(rollout.Event{Kind: rollout.EventPause, By: operatorName})
	}
	c.step(rollout.Event{Kind: rollout.EventBegin})
}

// step is one event through the engine, and what follows from it.
func (c *controller) step(e rollout.Event) {
	if c.dead || !c.running {
		return
	}
	s := c.sim
	e.At = s.world.Now() - c.began
	before := c.state
	next, cmds := rollout.Step(c.state, e)
	c.state = next // saved before any of its commands is carried out
	s.stats.Events++
	s.traceStep(c, e, cmds)
	s.checkStep(c, before, e, cmds)
	if next.Done {
		c.running = false
		s.checkEnd(c)
		c.keepPromoted()
		if c.again() {
			c.moveTo(s.operator.newest(c.revision))
			c.round()
			return
		}
		c.finish()
		return
	}
	round := c.rounds
	for _, cmd := range cmds {
		s.world.After(cmd.After, func() {
			c.whenAwake(func() {
				if c.rounds == round { // a rollout that is over has no commands
					c.command(next, cmd)
				}
			})
		})
	}
	c.attend()
}

// maxRounds is how often one apply plans again because something changed meanwhile.
const maxRounds = 3

func (c *controller) finish() {
	c.ended = true
	c.sim.tracef("controller %d has ended: %s", c.id, c.verdict())
	c.sim.operator.over(c)
}

// verdict is how it ended, in words.
func (c *controller) verdict() string {
	switch {
	case c.dead:
		return "killed"
	case len(c.plan.Visits) == 0 && len(c.busy) > 0:
		return "somebody is at work on hosts"
	case len(c.plan.Visits) == 0 && len(c.plan.Unreachable()) > 0:
		return "hosts do not answer"
	case !c.plan.Changed() && len(c.plan.Visits) == 0 && c.undo != nil:
		return "nothing to undo"
	case !c.plan.Changed() && len(c.plan.Visits) == 0:
		return verdictNothing
	case c.state.Halted != nil:
		return fmt.Sprintf("halted (%s): %s %s %s", c.state.Halted.Kind, c.state.Halted.Service, c.state.Halted.Host, c.state.Halted.Reason)
	case c.state.Stopping != "":
		return "stopped: " + c.state.Stopping
	case len(c.plan.Visits) == 0:
		return "nothing it may do"
	case c.undo != nil:
		return "undone"
	}
	return verdictDone
}

// command carries one command out.
func (c *controller) command(st rollout.State, cmd rollout.Command) {
	if c.dead || !c.running {
		return
	}
	round := c.rounds
	if cmd.Kind == rollout.CmdObserve {
		e := rollout.Event{Kind: rollout.EventObserved, Service: cmd.Service, Outcome: rollout.Success}
		var at map[string]looked
		c.run("observe", "", func(t *task) { e.Instances, at = c.instances(t, cmd.Service) }, func() {
			if c.rounds == round {
				c.earlier[cmd.Service] = c.looks[cmd.Service]
				c.looks[cmd.Service], c.heard[cmd.Service] = at, c.sim.world.Now()
				c.step(e)
			}
		})
		return
	}
	if cmd.Kind == rollout.CmdWindow {
		o := rollout.OpeningAt(c.sim.shape(cmd.Service).Strategy.desired().Windows, world.Wall(c.sim.world.Now()))
		c.step(rollout.Event{Kind: rollout.EventWindow, Service: cmd.Service, Outcome: rollout.Success, Window: &o})
		return
	}
	v := &st.Visits[cmd.Visit] // never written to: Step makes a new one
	c.sim.faults.phase(string(cmd.Phase), v.Host)
	if c.dead || !c.running {
		return
	}
	e := rollout.Event{Kind: rollout.EventResult, Visit: cmd.Visit, Attempt: cmd.Attempt, Command: cmd.Kind, Outcome: rollout.Success}
	c.run(string(cmd.Phase), v.Host, func(t *task) {
		fx := &effect{task: t, c: c, state: st, v: v, h: c.hosts[v.Host], e: &e, cmd: cmd}
		judge(&e, fx.do())
	}, func() {
		if c.rounds == round {
			c.deliver(e, v.Host)
		}
	})
}

// deliver hands a result to the engine, and once more, much later, where a fault says so.
func (c *controller) deliver(e rollout.Event, host string) {
	if d := c.sim.faults.repeats(host); d > 0 {
		round := c.rounds
		c.sim.world.After(d, func() {
			if c.rounds == round {
				c.whenAwake(func() { c.step(e) })
			}
		})
	}
	c.step(e)
}
