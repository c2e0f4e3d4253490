package main

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/rollout/drain"
	"github.com/evenkeel/evenkeel/test/sim/world"
)

// effect carries one Command out. Its methods stand, one to one and under the same
// names, for those of package controller's effects: what is done in which order, what
// is looked at before, and what an error means must be the same here and there.
type effect struct {
	*task
	c     *controller
	state rollout.State
	v     *rollout.Visit
	h     *handled
	e     *rollout.Event
	cmd   rollout.Command
	sent  time.Duration
	until time.Duration
}

// notYet is a look that found that something is not so yet.
type notYet struct{ reason string }

func (n *notYet) Error() string { return n.reason }

// judge turns an error into the event's outcome: what is known of the effect.
func judge(e *rollout.Event, err error) {
	if err == nil {
		return
	}
	e.Reason, e.Mend = err.Error(), hostdriver.MendOf(err)
	var later *notYet
	switch kind := hostdriver.KindOf(err); {
	case errors.As(err, &later):
		e.Outcome, e.Reason = rollout.Unknown, later.reason
	case kind == hostdriver.Conflict:
		e.Outcome, e.Conflict = rollout.Failure, true
	case kind == hostdriver.Refused:
		e.Outcome, e.Refused = rollout.Failure, true
	case kind == hostdriver.Failed, kind.NeedsPerson():
		e.Outcome = rollout.Failure
	case kind == hostdriver.Unreachable, kind == hostdriver.Unknown, errors.Is(err, errLost):
		e.Outcome = rollout.Unknown
	default:
		e.Outcome = rollout.Failure
	}
}

// Times that bound single operations on a host.
const (
	quickOp  = 20 * time.Second
	switchOp = 2 * time.Minute
	stageOp  = 30 * time.Minute
)

func (x *effect) do() error {
	limit := quickOp
	switch x.cmd.Kind {
	case rollout.CmdStage:
		limit = stageOp
	case rollout.CmdHooks:
		limit = x.v.HookTime() + quickOp
	case rollout.CmdSwitch:
		limit = switchOp
	case rollout.CmdUnits, rollout.CmdRevertUnits, rollout.CmdStop:
		limit = x.unitTimeout() + quickOp
	}
	x.sent = x.c.sim.world.Now()
	x.until = x.sent + limit
	switch x.cmd.Kind {
	case rollout.CmdPrecheck:
		return x.precheck()
	case rollout.CmdStage:
		return x.stage()
	case rollout.CmdHooks:
		return x.hooks()
	case rollout.CmdRecord:
		return x.apply(hostdriver.PutStep{Record: x.record()})
	case rollout.CmdDrain:
		return x.drain()
	case rollout.CmdWait:
		return x.wait(x.e)
	case rollout.CmdStop:
		return x.apply(hostdriver.UnitOps{Actions: x.h.UnitActions(x.v, true), Timeout: x.unitTimeout()})
	case rollout.CmdSwitch:
		return x.switchTo()
	case rollout.CmdUnits:
		return x.units()
	case rollout.CmdRevertUnits:
		return x.revertUnits()
	case rollout.CmdProbe:
		return x.probe()
	case rollout.CmdUndrain:
		if err := x.undrain(); err != nil {
			return err
		}
		x.e.InRotation = x.backInRotation() == nil
		return nil
	case rollout.CmdClear:
		return x.apply(hostdriver.ClearStep{})
	case rollout.CmdVerify:
		return x.verify()
	}
	return errors.New("unknown command " + string(x.cmd.Kind))
}

// rest is how long the command may still take.
func (x *effect) rest() time.Duration { return x.until - x.c.sim.world.Now() }

func (x *effect) actor() *world.Actor {
	return &world.Actor{Controller: x.c.id, Visit: x.v.ID, Back: x.v.Reverting, Epoch: x.c.epoch, Sent: x.sent}
}

func (x *effect) apply(op hostdriver.Op) error {
	asked := x.c.sim.world.Now()
	_, err := x.task.apply(x.h.host, x.actor(), x.fence(), op, x.rest())
	if err == nil {
		x.h.word = asked
	}
	return err
}

func (x *effect) observeLight() (hostdriver.Observation, error) {
	return x.observe(x.h.host, hostdriver.Query{Light: true, Units: x.v.Watch}, x.rest())
}

func (x *effect) unitTimeout() time.Duration { return x.state.UnitTimeout(x.v) }

func (x *effect) record() hostdriver.StepRecord {
	return x.state.StepRecord(x.v, &x.h.HostInput, x.fence(), world.Wall(x.c.sim.world.Now()))
}

func (x *effect) fence() hostdriver.Fence {
	return hostdriver.Fence{Epoch: x.c.epoch, Holder: x.c.holder}
}

func (x *effect) precheck() error {
	o, err := x.observeLight()
	if err != nil {
		return err
	}
	x.h.note(o)
	if who := x.h.Begun(o, x.fence()); who != "" {
		return &hostdriver.Error{Kind: hostdriver.Conflict, Host: x.v.Host, Op: "precheck", Err: errors.New(who + " has begun a step there meanwhile")}
	}
	x.e.Before = x.v.Invocations(o.Units)
	x.e.InRotation = !slices.ContainsFunc(x.v.Drains, func(name string) bool {
		inst := x.h.Instance(name)
		return inst != nil && len(inst.Drain) > 0
	})
	if x.e.Drains, err = x.toDrain(); err != nil {
		return err
	}
	return x.apply(x.h.Needs(x.v, o))
}

func (x *effect) stage() error {
	op := x.h.Stage(x.v, x.h.manifest, x.h.kept)
	x.e.From, x.e.To = x.h.manifest.Generation, op.Manifest.Generation
	return x.apply(op)
}

func (x *effect) hooks() error {
	for _, op := range x.h.HookOps(x.v) {
		res, err := x.task.apply(x.h.host, x.actor(), x.fence(), op, x.rest())
		if err != nil {
			return err
		}
		if res.Exit != 0 {
			return x.h.HookFailure(op, res)
		}
	}
	return nil
}

func (x *effect) switchTo() error {
	op := x.h.Switch(x.v, x.h.manifest, x.record())
	if x.v.Tries > 0 { // the reply was lost: look, rather than do it again
		o, err := x.observeLight()
		if err != nil {
			return err
		}
		if o.Manifest.Generation == op.To && o.Switching == nil {
			x.e.Before = x.v.Invocations(o.Units)
			return nil
		}
	}
	res, err := x.task.apply(x.h.host, x.actor(), x.fence(), op, x.rest())
	if err != nil {
		return err
	}
	x.e.Before = x.v.Invocations(res.Units)
	return nil
}

func (x *effect) verify() error {
	salt := "verify-" + x.v.Host
	o, err := x.observe(x.h.host, rollout.Query(x.h.Desired, salt), x.rest())
	if err != nil {
		return err
	}
	x.h.note(o)
	if c := x.h.Remaining(x.v, o, salt); c != nil {
		if planted == "secret in a reason" {
			c.Reason += ": " + x.secret(c.Service)
		}
		return &hostdriver.Error{Kind: hostdriver.Conflict, Host: x.v.Host, Op: "verify", Err: errors.New(c.Subject + " still differs: " + c.Reason)}
	}
	return x.backInRotation()
}

func (x *effect) units() error {
	drained, err := x.stillDrained()
	if err != nil {
		return &notYet{reason: err.Error()}
	}
	if !drained {
		x.e.Forgot = true
		return nil
	}
	rec := x.record()
	op := hostdriver.UnitOps{Actions: x.h.UnitActions(x.v, false), Timeout: x.unitTimeout()}
	if x.v.Recorded {
		op.Record = &rec
	}
	return x.apply(op)
}

func (x *effect) revertUnits() error {
	o, err := x.observeLight()
	if err != nil {
		return err
	}
	op := hostdriver.UnitOps{Actions: x.h.RevertActions(x.v, o.Units), Timeout: x.unitTimeout()}
	if len(op.Actions) == 0 {
		return nil
	}
	if rec := x.record(); x.v.Recorded && !x.v.Switched && !x.v.Recover {
		op.Record = &rec
	}
	return x.apply(op)
}

func (x *effect) probe() error {
	o, err := x.observe(x.h.host, hostdriver.Query{Light: true, UnitsOnly: true, Units: x.v.Watch}, x.rest())
	if err != nil {
		return err
	}
	s, up := x.v.SampleUnits(o.Units)
	for i := range x.h.Desired.Instances {
		inst := &x.h.Desired.Instances[i]
		if !up || !slices.Contains(x.v.Concerns(), inst.Service) {
			continue
		}
		if why := x.checks(inst.Service); why != "" {
			s.Checks, s.Reason = false, inst.Service+": "+why
			break
		}
	}
	x.e.Sample = &s
	for unit, u := range s.Units {
		x.c.probes[x.v.Host+"/"+unit] = probed{at: x.c.sim.world.Now(), invocation: u.Invocation, good: s.Checks && u.Active == "active"}
	}
	return nil
}

// checks asks a service's health check on the host; "" where it passes.
func (x *effect) checks(service string) string {
	well := false
	err := x.task.do(call{what: "health check", host: x.h.host, limit: x.rest(), there: func(answer func(error)) {
		u := x.h.host.Units[unitName(service)]
		well = u != nil && u.Healthy()
		answer(nil)
	}})
	switch {
	case err != nil:
		return err.Error()
	case !well:
		return "http :8080/healthz does not answer with 200"
	}
	return ""
}

func (x *effect) toDrain() ([]hostdriver.DrainRecord, error) {
	out := slices.Clone(x.v.Drained)
	for _, name := range x.v.Drains {
		inst := x.h.Instance(name)
		if inst == nil {
			continue
		}
		for _, spec := range inst.Drain {
			rec := drain.Record(name, spec)
			if slices.ContainsFunc(out, func(r hostdriver.DrainRecord) bool { return sameDrain(r, rec) }) {
				continue
			}
			drained := false
			err := x.server("balancer status", name, x.v.Host, false, x.rest(), func(s *world.Server) { drained, _, _ = s.Status() })
			if err != nil {
				return nil, err
			}
			if !drained || planted == "hand's drain taken over" {
				out = append(out, rec)
			}
		}
	}
	return out, nil
}

func sameDrain(a, b hostdriver.DrainRecord) bool {
	return a.Service == b.Service && a.Spec["backend"] == b.Spec["backend"] && a.Spec["server"] == b.Spec["server"]
}

func (x *effect) drain() error {
	if err := x.fenced(); err != nil {
		return err
	}
	for _, r := range x.v.Drained {
		if !slices.Contains(x.v.Drains, r.Service) {
			continue // left by a former step: to be undrained, but not disturbed again
		}
		if err := x.server("drain", r.Spec["backend"], r.Spec["server"], true, x.rest(), func(s *world.Server) { s.Drain(x.actor()) }); err != nil {
			return err
		}
	}
	return nil
}

func (x *effect) wait(e *rollout.Event) error {
	for _, r := range x.v.Drained {
		if !slices.Contains(x.v.Drains, r.Service) {
			continue
		}
		drained, sessions := false, 0
		err := x.server("balancer status", r.Spec["backend"], r.Spec["server"], false, x.rest(), func(s *world.Server) { drained, sessions, _ = s.Status() })
		switch {
		case err != nil:
			return err
		case !drained:
			e.Forgot = true
		default:
			e.Sessions += sessions
		}
	}
	return nil
}

// stillDrained asks again, just before a restart, for what a hand had taken out as well:
// what is in rotation by now is named in the event.
func (x *effect) stillDrained() (bool, error) {
	x.c.asked[x.v.Host] = x.c.sim.world.Now()
	for _, name := range x.v.Drains {
		inst := x.h.Instance(name)
		if inst == nil || len(inst.Drain) == 0 {
			continue
		}
		drained := false
		if err := x.server("balancer status", name, x.v.Host, false, x.rest(), func(s *world.Server) { drained, _, _ = s.Status() }); err != nil {
			return false, err
		}
		if !drained {
			var err error
			x.e.Drains, err = x.toDrain()
			return false, err
		}
	}
	return true, nil
}

// Times of asking a host whether it still obeys.
const (
	freshWord = 500 * time.Millisecond // within which its last word need not be asked for again
	staleWord = 2 * time.Second        // after which a word that was so long on its way counts no more
)

// fenced asks the host whether it still obeys this controller, right before something
// is said to a balancer: a balancer knows no epochs, and one that was superseded must
// neither take out what the other has put back nor put back what the other took out.
func (x *effect) fenced() error {
	if planted == "host's word not asked" {
		return nil
	}
	for {
		asked := x.c.sim.world.Now()
		if x.h.word > 0 && asked-x.h.word < freshWord {
			return nil
		}
		if err := x.apply(hostdriver.Precheck{}); err != nil || x.c.sim.world.Now()-asked < staleWord {
			return err
		}
	}
}

func (x *effect) undrain() error {
	if err := x.fenced(); err != nil {
		return err
	}
	var failed error
	for _, r := range x.v.Drained {
		if x.h.Instance(r.Service) == nil && x.state.Leaves(x.v.Host, r.Service, x.h.manifest) {
			continue
		}
		err := error(&hostdriver.Error{Kind: hostdriver.Failed, Host: x.v.Host, Op: "undrain", Err: errors.New("the repo does not know this drain")})
		if x.h.Instance(r.Service) != nil {
			err = x.server("undrain", r.Spec["backend"], r.Spec["server"], true, x.rest(), func(s *world.Server) { s.Undrain(x.actor()) })
		}
		if failed == nil {
			failed = err // the others are brought back all the same
		}
	}
	return failed
}

func (x *effect) backInRotation() error {
	for _, name := range x.v.Drains {
		inst := x.h.Instance(name)
		if inst == nil || len(inst.Drain) == 0 {
			continue
		}
		drained, up := false, false
		err := x.server("balancer status", name, x.v.Host, false, x.rest(), func(s *world.Server) { drained, _, up = s.Status() })
		if err != nil {
			return err
		}
		if drained || !up {
			return &notYet{reason: "the balancer does not send it traffic yet"}
		}
	}
	return nil
}

// secret is a value that must not be told: what a careless message would name.
func (x *effect) secret(service string) string {
	for _, f := range x.h.Instance(service).Files {
		for _, v := range f.Vars {
			if v.Secret {
				return string(v.Value.Bytes())
			}
		}
	}
	return ""
}

// isSecret tells whether a text holds a planted secret.
func isSecret(text string) bool { return strings.Contains(text, secretMark) }
