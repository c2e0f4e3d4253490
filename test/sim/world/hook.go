package world

import (
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// HookStage is how far a hook is.
type HookStage string

// The stages.
const (
	HookBegins HookStage = "begins"
	HookDone   HookStage = "done"
	HookCut    HookStage = "cut"
)

// hookTakes is how long a hook runs, on a host that is not slow.
const hookTakes = 3 * time.Second

// hook runs a hook, unless it is remembered. One that runs once is remembered from before
// it begins.
func (o *operation) hook(op hostdriver.Hook) {
	h := o.host
	mark, was := hostdriver.HookMark{Service: op.Service, Name: op.Name, Holder: o.fence.Holder}, h.Hooks[op.Mark()]
	remember := func(done bool) {
		mark.Done = done
		h.Hooks[op.Mark()] = mark
	}
	switch {
	case was.Done:
		o.ok()
	case h.Full:
		o.end(hostdriver.Result{}, h.failed(o.name(), "no space left on device"))
	case op.Elsewhere:
		remember(true)
		o.ok()
	case was.Service != "" && op.Once && !op.Retry:
		o.end(hostdriver.Result{}, h.failed(o.name(), "it was begun there before, and cut: what it has done is not known"))
	default:
		if op.Once {
			remember(false)
		}
		h.world.Watch.Hook(h, o.actor, op, HookBegins)
		o.later(hookTakes+h.Slow, func() {
			remember(true)
			h.world.Watch.Hook(h, o.actor, op, HookDone)
			o.end(hostdriver.Result{Ran: true}, nil)
		})
	}
}

// cut tells of a hook that ends with its host.
func (o *operation) cut() {
	if op, ok := o.op.(hostdriver.Hook); ok && o.host.Hooks[op.Mark()].Service != "" && !o.host.Hooks[op.Mark()].Done {
		o.host.world.Watch.Hook(o.host, o.actor, op, HookCut)
	}
}
