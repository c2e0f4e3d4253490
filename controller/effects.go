package controller

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/rollout/drain"
)

// effects carries out Commands. It decides nothing: what a result means is the
// engine's to say.
type effects struct {
	f     *Fleet
	v     *View
	fence hostdriver.Fence
	hosts map[string]*handled
	// slots bounds how many hosts are looked at at once for budgets.
	slots  chan struct{}
	aheads aheads
	taken  verified
}

// handled is one host as this rollout knows it.
type handled struct {
	rollout.HostInput
	mu       sync.Mutex
	manifest hostdriver.Manifest // as last seen
	kept     []uint64
	started  map[string]hostdriver.StartedAs
	armed    bool      // a dead man's timer waits on the host
	word     time.Time // when something was sent that the host then obeyed
	// seals are what the host has encrypted for this rollout, by HostInput.ToSeal's key.
	sealing sync.Mutex
	seals   map[string][]hostdriver.Content
	// record is the one that the host surely has; nil where that is not known.
	record *hostdriver.StepRecord
}

func newEffects(f *Fleet, v *View) *effects {
	fx := &effects{f: f, v: v, fence: f.fence(v), hosts: map[string]*handled{}, slots: make(chan struct{}, f.concurrency()),
		aheads: aheads{of: map[int]*ahead{}}}
	for _, in := range v.Input.Hosts {
		h := &handled{HostInput: in}
		if o := in.Observation; o != nil {
			h.note(*o)
		}
		fx.hosts[in.Desired.Host.Name] = h
	}
	return fx
}

// note keeps the host's own records from an observation.
func (h *handled) note(o hostdriver.Observation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.manifest, h.kept, h.started = o.Manifest, o.Kept, o.Started
}

func (h *handled) instance(service string) *desired.Instance { return h.Instance(service) }

// current is what the host was last seen to have.
func (h *handled) current() (hostdriver.Manifest, []uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.manifest, h.kept
}

// carryOut does one command and says what came of it.
func (fx *effects) carryOut(ctx context.Context, st State, c rollout.Command) rollout.Event {
	if c.Kind == rollout.CmdObserve {
		return rollout.Event{Kind: rollout.EventObserved, Service: c.Service, Outcome: rollout.Success, Instances: fx.instances(ctx, c.Service)}
	}
	if c.Kind == rollout.CmdWindow {
		return rollout.Event{Kind: rollout.EventWindow, Service: c.Service, Outcome: rollout.Success, Window: openingOf(st, c.Service)}
	}
	v := st.Visits[c.Visit]
	e := rollout.Event{Kind: rollout.EventResult, Visit: c.Visit, Attempt: c.Attempt, Command: c.Kind, Outcome: rollout.Success}
	began := time.Now()
	err := func() (err error) {
		defer fx.f.shield(v.Host, &err)
		return fx.do(ctx, &e, st, v, fx.hosts[v.Host], c)
	}()
	judge(&e, err)
	log := fx.f.Log.Debug()
	if err != nil {
		log = fx.f.Log.Info()
	}
	log.Str("host", v.Host).Strs("services", v.Services).Str("command", string(c.Kind)).Str("phase", string(c.Phase)).
		Str("outcome", string(e.Outcome)).Dur("took", time.Since(began)).AnErr("error", err).Msg("command carried out")
	return e
}

// openingOf asks the windows of a service by the clock on the wall.
func openingOf(st State, service string) *rollout.Opening {
	o := rollout.Opening{Opening: desired.Opening{Open: true}}
	for _, s := range st.Services {
		if s.Service == service {
			o = rollout.OpeningAt(s.Strategy.Windows, time.Now())
		}
	}
	return &o
}

// judge turns an error into the event's outcome: what is known of the effect.
func judge(e *rollout.Event, err error) {
	if err == nil {
		return
	}
	e.Reason, e.Mend = err.Error(), hostdriver.MendOf(err)
	if m := drain.MendOf(err); e.Mend == "" {
		e.Mend = m
	}
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
	case kind == hostdriver.Unreachable, kind == hostdriver.Unknown, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		e.Outcome = rollout.Unknown
	default:
		e.Outcome = rollout.Failure
	}
}

// notYet is a look that found that something is not so yet.
type notYet struct{ reason string }

func (n *notYet) Error() string { return n.reason }

// Times that bound single operations on a host.
const (
	quickOp  = 20 * time.Second
	switchOp = 2 * time.Minute
	stageOp  = 30 * time.Minute
)

func (fx *effects) do(ctx context.Context, e *rollout.Event, st State, v rollout.Visit, h *handled, c rollout.Command) error {
	limit := quickOp
	switch c.Kind {
	case rollout.CmdStage:
		limit = stageOp
	case rollout.CmdHooks:
		limit = v.HookTime() + quickOp
	case rollout.CmdSwitch:
		limit = switchOp
	case rollout.CmdUnits, rollout.CmdRevertUnits, rollout.CmdStop:
		limit = st.UnitTimeout(&v) + quickOp
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	switch c.Kind {
	case rollout.CmdPrecheck:
		return fx.precheck(ctx, e, v, h)
	case rollout.CmdStage:
		return fx.stage(ctx, e, v, h)
	case rollout.CmdHooks:
		return fx.hooks(ctx, v, h)
	case rollout.CmdRecord:
		return fx.apply(ctx, h, hostdriver.PutStep{Record: fx.record(st, v, h)})
	case rollout.CmdDrain:
		return fx.drain(ctx, e, v, h)
	case rollout.CmdWait:
		return fx.wait(ctx, e, v, h)
	case rollout.CmdStop:
		return fx.apply(ctx, h, hostdriver.UnitOps{Actions: h.UnitActions(&v, true), Timeout: st.UnitTimeout(&v)})
	case rollout.CmdSwitch:
		return fx.switchTo(ctx, e, st, v, h)
	case rollout.CmdUnits:
		return fx.units(ctx, e, st, v, h)
	case rollout.CmdRevertUnits:
		return fx.revertUnits(ctx, st, v, h)
	case rollout.CmdProbe:
		if err := fx.disarm(ctx, h); err != nil {
			return err
		}
		return fx.probe(ctx, e, v, h)
	case rollout.CmdUndrain:
		if err := fx.undrain(ctx, st, v, h); err != nil {
			return err
		}
		e.InRotation = fx.backInRotation(ctx, v, h) == nil
		return nil
	case rollout.CmdClear:
		if err := fx.disarm(ctx, h); err != nil {
			return err
		}
		return fx.apply(ctx, h, hostdriver.ClearStep{})
	case rollout.CmdVerify:
		return fx.verify(ctx, v, h)
	}
	return errors.New("unknown command " + string(c.Kind))
}

func (fx *effects) apply(ctx context.Context, h *handled, op hostdriver.Op) error {
	asked := time.Now()
	systemd := ""
	if h.Observation != nil {
		systemd = h.Observation.Systemd
	}
	op, taken := fx.taken.rest(op, systemd)
	res, err := fx.f.Driver.Apply(ctx, h.Desired.Host, fx.fence, op)
	for _, words := range res.Warnings {
		fx.f.Log.Warn().Str("host", h.Desired.Host.Name).Str("systemd", words).Msg("systemd takes a staged unit, and warns")
	}
	if err == nil {
		taken()
		h.mu.Lock()
		h.word = asked
		h.mu.Unlock()
	}
	h.recorded(op, err)
	return err
}

// recorded notes which record of the step an operation has left on the host.
func (h *handled) recorded(op hostdriver.Op, err error) {
	var put *hostdriver.StepRecord
	switch op := op.(type) {
	case hostdriver.PutStep:
		put = &op.Record
	case hostdriver.Switch:
		put = op.Record
	case hostdriver.UnitOps:
		put = op.Record
	case hostdriver.ClearStep:
		h.mu.Lock()
		h.record = nil
		h.mu.Unlock()
	}
	if put == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.record = put; err != nil {
		h.record = nil
	}
}

// has tells whether the host has this record, but for the phase: what a step is about to do,
// its record says from the first.
func (h *handled) has(r hostdriver.StepRecord) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.record == nil {
		return false
	}
	r.Phase, r.Since = h.record.Phase, h.record.Since
	return reflect.DeepEqual(r, *h.record)
}

// obeyed tells whether the host has obeyed within the last d.
func (h *handled) obeyed(d time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.word) < d
}

// record is what the host keeps of the step in hand.
func (fx *effects) record(st State, v rollout.Visit, h *handled) hostdriver.StepRecord {
	return st.StepRecord(&v, &h.HostInput, fx.fence, time.Now())
}

// precheck looks at the host once more, asks the balancers, and lets the host say
// what the step would trip over.
func (fx *effects) precheck(ctx context.Context, e *rollout.Event, v rollout.Visit, h *handled) error {
	o, ahead := fx.lookedAhead(ctx, v.ID)
	if seen, fresh := h.stillAsSeen(&v); fresh && !ahead {
		o = seen
	} else if !ahead {
		var err error
		if o, err = fx.look(ctx, v, h); err != nil {
			return err
		}
	}
	if e.Closed = fx.closed(ctx, v, h); e.Closed != "" {
		return nil
	}
	e.Before, e.InRotation = v.Invocations(o.Units), !balanced(&v, h)
	var err error
	if e.Drains, err = fx.toDrain(ctx, v, h); err != nil || ahead {
		return err
	}
	return fx.apply(ctx, h, h.Needs(&v, o))
}

// balanced tells whether any of what the visit takes out of traffic is behind a balancer.
func balanced(v *rollout.Visit, h *handled) bool {
	return slices.ContainsFunc(v.Drains, func(name string) bool {
		inst := h.instance(name)
		return inst != nil && len(inst.Drain) > 0
	})
}

// seenHolds is for how long the look that the plan was made by still counts for a visit that
// disturbs nothing.
const seenHolds = 10 * time.Second

// stillAsSeen is the look that the plan was made by, where another would tell a visit nothing
// that it depends on: it disturbs nothing, nothing was done on the host since, and the host
// itself refuses what comes of it if somebody else has come in between.
func (h *handled) stillAsSeen(v *rollout.Visit) (hostdriver.Observation, bool) {
	o := h.Observation
	if o == nil || !v.Quiet || v.Tries > 0 || time.Since(o.At) > seenHolds {
		return hostdriver.Observation{}, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return *o, h.word.IsZero()
}

// look looks at the host and its units, and finds out whether somebody else is at work.
func (fx *effects) look(ctx context.Context, v rollout.Visit, h *handled) (hostdriver.Observation, error) {
	o, err := fx.f.Driver.Observe(ctx, h.Desired.Host, hostdriver.Query{Light: true, Units: v.Watch})
	if err != nil {
		return o, err
	}
	h.note(o)
	if who := h.Begun(o, fx.fence); who != "" {
		return o, &hostdriver.Error{Kind: hostdriver.Conflict, Host: v.Host, Op: "precheck", Err: fmt.Errorf("%s has begun a step there meanwhile", who)}
	}
	return o, nil
}

// stage brings the new generation, as it will be, to the host.
func (fx *effects) stage(ctx context.Context, e *rollout.Event, v rollout.Visit, h *handled) error {
	if from, to, ok := fx.stagedAhead(ctx, v.ID, h); ok {
		e.From, e.To = from, to
		return nil
	}
	current, kept := h.current()
	op, err := fx.sealed(ctx, h, h.Stage(&v, current, kept))
	if err != nil {
		return err
	}
	e.From, e.To = current.Generation, op.Manifest.Generation
	return fx.apply(ctx, h, op)
}

// hooks runs what is to run before anything is disturbed. The host remembers what has ended
// well, and does not run it again.
func (fx *effects) hooks(ctx context.Context, v rollout.Visit, h *handled) error {
	for _, op := range h.HookOps(&v) {
		res, err := fx.f.Driver.Apply(ctx, h.Desired.Host, fx.fence, op)
		if err != nil {
			return err
		}
		if res.Exit != 0 {
			return h.HookFailure(op, res)
		}
		if res.Ran {
			fx.f.Log.Info().Str("host", v.Host).Str("service", op.Service).Str("hook", op.Name).Msg("hook has run")
		}
	}
	return nil
}

// sealed is op with the credentials encrypted that the host is to encrypt. What it has
// encrypted for this rollout is used again, so that staging may be repeated.
func (fx *effects) sealed(ctx context.Context, h *handled, op hostdriver.Stage) (hostdriver.Stage, error) {
	seal, key := h.ToSeal(op)
	if len(seal.Items) == 0 {
		return op, nil
	}
	h.sealing.Lock()
	defer h.sealing.Unlock()
	contents := h.seals[key]
	if len(contents) != len(seal.Items) {
		res, err := fx.f.Driver.Apply(ctx, h.Desired.Host, fx.fence, seal)
		if err != nil {
			return op, err
		}
		if h.seals == nil {
			h.seals = map[string][]hostdriver.Content{}
		}
		contents = res.Sealed
		h.seals[key] = contents
	}
	return h.Sealed(op, contents), nil
}

// switchTo makes the staged generation (or, on the way back, the former one) the
// one on disk.
func (fx *effects) switchTo(ctx context.Context, e *rollout.Event, st State, v rollout.Visit, h *handled) error {
	current, _ := h.current()
	op := h.Switch(&v, current, fx.record(st, v, h))
	if !v.Reverting && fx.mayCutOff(v, h) {
		op.DeadMan = st.UnitTimeout(&v) + deadManGrace
		h.arm(true)
	}
	if h.has(*op.Record) {
		op.Record = nil
	}
	if v.Tries > 0 { // the reply was lost: what it expected is not there any more where it was done
		o, err := fx.f.Driver.Observe(ctx, h.Desired.Host, hostdriver.Query{Light: true, Units: v.Watch})
		if err != nil {
			return err
		}
		if o.Manifest.Generation == op.To && o.Switching == nil {
			e.Before = v.Invocations(o.Units)
			return nil
		}
	}
	res, err := fx.f.Driver.Apply(ctx, h.Desired.Host, fx.fence, op)
	h.recorded(op, err)
	if err != nil {
		return err
	}
	e.Before = map[string]string{}
	for _, unit := range v.Watch {
		u, told := res.Units[unit]
		if !told { // an instance of a template, which only a look names
			o, err := fx.f.Driver.Observe(ctx, h.Desired.Host, hostdriver.Query{Light: true, Units: v.Watch})
			if err != nil {
				return err // sent again, the switch finds itself done
			}
			e.Before = v.Invocations(o.Units)
			break
		}
		e.Before[unit] = u.InvocationID
	}
	return nil
}

// verify looks at the whole host again: nothing may differ any more, and what was
// drained must be back in the balancer's eyes, too.
func (fx *effects) verify(ctx context.Context, v rollout.Visit, h *handled) error {
	salt := salt()
	o, err := fx.f.Driver.Observe(ctx, h.Desired.Host, rollout.Query(h.Desired, salt))
	if err != nil {
		return err
	}
	h.note(o)
	if c := h.Remaining(&v, o, salt); c != nil {
		return &hostdriver.Error{Kind: hostdriver.Conflict, Host: v.Host, Op: "verify", Err: errors.New(c.Subject + " still differs: " + c.Reason)}
	}
	return fx.backInRotation(ctx, v, h)
}
