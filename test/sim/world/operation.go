package world

import (
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// lockWait is how long an operation waits for the host's lock before it is refused.
const lockWait = 10 * time.Second

// operation is one Op on its way through a host. It goes on, whatever becomes of the
// connection it came by, and holds the host's lock until it has ended.
type operation struct {
	host  *Host
	actor *Actor
	fence hostdriver.Fence
	op    hostdriver.Op
	done  func(hostdriver.Result, error)
	over  bool
}

func (o *operation) name() string { return hostdriver.OpName(o.op) }

// Do does op under the host's lock and tells done how it ended, once. The host must
// be powered.
func (h *Host) Do(a *Actor, f hostdriver.Fence, op hostdriver.Op, done func(hostdriver.Result, error)) {
	o := &operation{host: h, actor: a, fence: f, op: op, done: done}
	if p, reads := op.(hostdriver.Precheck); reads { // no lock, and the epoch stays
		err := h.admit(o)
		if err == nil {
			err = h.precheck(p)
		}
		o.later(5*time.Millisecond, func() { o.end(hostdriver.Result{}, err) })
		return
	}
	if h.lock == nil {
		o.begin()
		return
	}
	h.queue = append(h.queue, o)
	h.after(lockWait, func() {
		for i, w := range h.queue {
			if w == o {
				h.queue = append(h.queue[:i:i], h.queue[i+1:]...)
				o.end(hostdriver.Result{}, h.refused(o.name(), "its lock is held by another"))
			}
		}
	})
}

// end answers and lets the next one in.
func (o *operation) end(r hostdriver.Result, err error) {
	if o.over {
		return
	}
	o.over = true
	h := o.host
	if h.lock == o {
		h.lock = nil
	}
	o.done(r, err)
	if h.lock == nil && len(h.queue) > 0 && h.Powered {
		next := h.queue[0]
		h.queue = h.queue[1:]
		next.begin()
	}
}

func (o *operation) ok() { o.end(hostdriver.Result{}, nil) }

// begin has the lock: the epoch is checked, then the work done.
func (o *operation) begin() {
	h := o.host
	h.lock = o
	if err := h.admit(o); err != nil {
		o.end(hostdriver.Result{}, err)
		return
	}
	h.Epoch, h.Holder = o.fence.Epoch, o.fence.Holder
	h.world.Watch.Op(h, o.actor, o.fence, o.op)
	switch op := o.op.(type) {
	case hostdriver.Stage:
		o.later(20*time.Millisecond+h.Slow, func() { o.end(hostdriver.Result{}, h.stage(op)) })
	case hostdriver.Switch:
		o.later(10*time.Millisecond+h.Slow, func() { o.switchTo(op) })
	case hostdriver.UnitOps:
		o.units(op)
	case hostdriver.PutStep:
		o.end(hostdriver.Result{}, o.putStep(&op.Record))
	case hostdriver.Hook:
		o.hook(op)
	case hostdriver.ClearStep:
		h.Step = nil
		o.ok()
	case hostdriver.Forget:
		for _, service := range op.Services {
			delete(h.Refused, service)
		}
		o.ok()
	case hostdriver.Claim:
		h.Claim = o.fence.Holder
		if op.Release {
			h.Claim = ""
		}
		o.ok()
	default:
		o.end(hostdriver.Result{}, h.failed(o.name(), "this host cannot do that"))
	}
}

// later runs f after d, as long as the operation goes on.
func (o *operation) later(d time.Duration, f func()) {
	o.host.after(d, func() {
		if !o.over {
			f()
		}
	})
}

// admit is the fence: an epoch below the host's highest is refused, and so is the
// same epoch from somebody else.
func (h *Host) admit(o *operation) error {
	f := o.fence
	switch {
	case f.Epoch < h.Epoch:
		return h.refused(o.name(), "it has obeyed epoch %d of %s, and this is epoch %d", h.Epoch, h.Holder, f.Epoch)
	case f.Epoch == h.Epoch && h.Holder != "" && h.Holder != f.Holder:
		return h.refused(o.name(), "epoch %d was used there by %s before", h.Epoch, h.Holder)
	case h.Claim != "" && h.Claim != f.Holder && !f.TakeOver:
		return h.refused(o.name(), "it belongs to the controller %s", h.Claim)
	}
	return nil
}

// putStep keeps a record, never over one that its writer has not seen.
func (o *operation) putStep(r *hostdriver.StepRecord) error {
	h := o.host
	switch {
	case r == nil:
		return nil
	case h.Step != nil && h.Step.Epoch != o.fence.Epoch && h.Step.Epoch != r.Over:
		return h.conflict(o.name(), "a step of epoch %d is in hand there", h.Step.Epoch)
	case h.Full:
		return h.failed(o.name(), "no space left on device")
	}
	kept := *r
	kept.Over = 0
	h.Step = &kept
	return nil
}

func (h *Host) precheck(p hostdriver.Precheck) error {
	if h.Full && len(p.NeedBytes) > 0 {
		return h.failed("precheck", "no room on its disk")
	}
	for _, name := range p.Units {
		u := h.Units[name]
		switch {
		case u == nil:
		case u.Masked:
			return h.failed("precheck", "%s is masked", name)
		case u.jobQueued():
			return h.failed("precheck", "a job is queued on %s", name)
		}
	}
	return nil
}

// unitOps is UnitOps under way.
type unitOps struct {
	*operation
	ops hostdriver.UnitOps
	at  int
}

// units checks all its units before it touches the first: a queued job is somebody
// else's, and neither replaced nor joined.
func (o *operation) units(op hostdriver.UnitOps) {
	h := o.host
	for _, a := range op.Actions {
		u := h.Units[a.Unit]
		switch {
		case u == nil, a.Verb != hostdriver.VerbStop && u.loaded == nil:
			o.end(hostdriver.Result{}, h.failed("units", "%s is not there; nothing was done", a.Unit))
			return
		case u.jobQueued():
			o.end(hostdriver.Result{}, h.refused("units", "%s has a job queued already; nothing was done", a.Unit))
			return
		case a.Verb != hostdriver.VerbStop && u.Masked:
			o.end(hostdriver.Result{}, h.failed("units", "%s is masked; nothing was done", a.Unit))
			return
		}
	}
	if err := o.putStep(op.Record); err != nil {
		o.end(hostdriver.Result{}, err)
		return
	}
	(&unitOps{operation: o, ops: op}).next()
}

// next does the action in hand, or ends.
func (x *unitOps) next() {
	h := x.host
	if x.at == len(x.ops.Actions) {
		x.ok()
		return
	}
	a := x.ops.Actions[x.at]
	x.at++
	u := h.Units[a.Unit]
	if a.OnlyIf != "" && u.Invocation() != a.OnlyIf {
		x.settle(u, a.Generation)
		x.next()
		return
	}
	h.world.Watch.Acting(u, x.actor, a)
	at := x.at
	x.later(x.ops.Timeout, func() {
		if x.at == at {
			x.end(hostdriver.Result{}, h.unknown("units", "the job on "+a.Unit+" has not ended"))
		}
	})
	if a.Verb != hostdriver.VerbStop {
		h.Wanted[u.Name] = hostdriver.StartedAs{InvocationID: u.Invocation(), Generation: a.Generation, Inputs: a.Inputs}
	}
	if u.Active == "failed" || u.Sub == "auto-restart" {
		u.starts, u.restarts = nil, 0 // systemctl reset-failed
	}
	x.act(u, a)
}

// settle notes a start whose operation was cut, but which has happened since; not one
// of another generation, which says nothing of what runs now.
func (x *unitOps) settle(u *Unit, generation uint64) {
	w, ok := x.host.Wanted[u.Name]
	if !ok || w.InvocationID == u.Invocation() || w.Generation != generation {
		return
	}
	w.InvocationID = u.Invocation()
	x.host.StartedAs[u.Name] = w
	delete(x.host.Wanted, u.Name)
}

func (x *unitOps) act(u *Unit, a hostdriver.UnitAction) {
	h, at, before := x.host, x.at, u.Invocation()
	ended := func(why string) {
		if x.over || x.at != at || !h.Powered {
			return
		}
		delete(h.Wanted, u.Name)
		switch {
		case why != "" || u.Active == "failed" && a.Verb != hostdriver.VerbStop:
			x.end(hostdriver.Result{}, h.failed("units", "%s %s: %s", a.Verb, a.Unit, orElse(why, "it has failed")))
			return
		case a.Verb == hostdriver.VerbStop:
			delete(h.StartedAs, u.Name)
		case u.Invocation() != before || a.Verb == hostdriver.VerbReload:
			h.StartedAs[u.Name] = hostdriver.StartedAs{InvocationID: u.Invocation(), Generation: a.Generation, Inputs: a.Inputs}
		}
		x.next()
	}
	switch a.Verb {
	case hostdriver.VerbStart:
		u.start(x.actor, ended)
	case hostdriver.VerbStop:
		u.stop(func() { ended("") })
	case hostdriver.VerbReload:
		u.reload(ended)
	case hostdriver.VerbRestart:
		if u.Deaf {
			x.later(10*time.Millisecond, func() { ended("") }) // the job was cancelled
			return
		}
		u.stop(func() { u.start(x.actor, ended) })
	}
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// Locked tells whether an operation is under way.
func (h *Host) Locked() bool { return h.lock != nil || len(h.queue) > 0 }
