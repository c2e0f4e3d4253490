package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/rollout/health"
)

// liveTimeout bounds the look at one instance: what takes longer counts as down.
const liveTimeout = 5 * time.Second

// instances looks at every instance of a service, live and at once: units, health
// checks and the balancers' word.
func (fx *effects) instances(ctx context.Context, service string) []rollout.Instance {
	var hosts []*handled
	for _, in := range fx.v.Input.Hosts {
		if h := fx.hosts[in.Desired.Host.Name]; h.instance(service) != nil {
			hosts = append(hosts, h)
		}
	}
	out := make([]rollout.Instance, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			fx.slots <- struct{}{}
			defer func() { <-fx.slots }()
			inst, host := h.instance(service), h.Desired.Host
			out[i] = rollout.Instance{Host: host.Name, Service: inst.Service, Definite: true, Unreachable: true, Reason: "evenkeel met a fault of its own"}
			var own error
			defer fx.f.shield(host.Name, &own)
			live, cancel := context.WithTimeout(ctx, liveTimeout)
			defer cancel()
			if h.Skip != "" { // not ours to take over: somebody else may have it in hand
				out[i] = fx.f.liveBeside(live, inst, host, fx.fence)
			} else {
				out[i] = fx.f.live(live, inst, host, fx.fence)
			}
			switch {
			case out[i].Unreachable:
			case h.Observation == nil:
				out[i] = rollout.NotTakenOver(host.Name, service)
			default:
				out[i].Lead = fx.f.leads(ctx, inst, host, fx.fence)
			}
		})
	}
	wg.Wait()
	return out
}

// live tells how one instance stands now.
func (f *Fleet) live(ctx context.Context, inst *desired.Instance, host inventory.Host, fence hostdriver.Fence) rollout.Instance {
	o, err := f.Driver.Observe(ctx, host, hostdriver.Query{Light: true, UnitsOnly: true, Units: startedUnits(inst)})
	if err != nil {
		return rollout.Instance{Host: host.Name, Service: inst.Service, Definite: true, Unreachable: true, Reason: "unreachable"}
	}
	return f.judge(ctx, inst, host, fence, o.Units)
}

// liveBeside is live for a host that this rollout does not touch: one that another has in
// hand counts as down from the moment when its record says so.
func (f *Fleet) liveBeside(ctx context.Context, inst *desired.Instance, host inventory.Host, fence hostdriver.Fence) rollout.Instance {
	o, err := f.Driver.Observe(ctx, host, hostdriver.Query{Light: true, Units: startedUnits(inst)})
	switch {
	case err != nil:
		return rollout.Instance{Host: host.Name, Service: inst.Service, Definite: true, Unreachable: true, Reason: "unreachable"}
	case o.Step != nil && o.Step.Epoch != fence.Epoch && slices.Contains(o.Step.Services, inst.Service):
		return rollout.Instance{Host: host.Name, Service: inst.Service, Reason: "is in the hands of " + o.Step.Holder}
	}
	return f.judge(ctx, inst, host, fence, o.Units)
}

// liveOn tells how each instance of a host stands, by service. The units of a host that is
// watched are as they were last read; of another they are asked for, all at once.
func (f *Fleet) liveOn(ctx context.Context, seen *sighting, watched bool) map[string]rollout.Instance {
	instances, host, units := seen.desired.Instances, seen.desired.Host, seen.observation.Units
	live := make(map[string]rollout.Instance, len(instances))
	var err error
	if !watched {
		q := hostdriver.Query{Light: true, UnitsOnly: true}
		for i := range instances {
			q.Units = append(q.Units, startedUnits(&instances[i])...)
		}
		one, cancel := context.WithTimeout(ctx, liveTimeout)
		defer cancel()
		var o hostdriver.Observation
		o, err = f.Driver.Observe(one, host, q)
		units = o.Units
	}
	for i := range instances {
		inst := &instances[i]
		if err != nil {
			live[inst.Service] = rollout.Instance{Host: host.Name, Service: inst.Service, Definite: true, Unreachable: true, Reason: "unreachable"}
			continue
		}
		one, cancel := context.WithTimeout(ctx, liveTimeout)
		live[inst.Service] = f.judge(one, inst, host, onlooker(*seen.observation), units)
		cancel()
	}
	return live
}

// judge tells how an instance stands by its units as just read, its health checks
// and the balancers' word.
func (f *Fleet) judge(ctx context.Context, inst *desired.Instance, host inventory.Host, fence hostdriver.Fence, units map[string]hostdriver.UnitState) rollout.Instance {
	is := rollout.JudgeUnits(inst, units)
	if !is.Up {
		return is
	}
	if why := f.checks(ctx, inst, host, fence, units); why != "" {
		is.Up, is.Reason = false, why
		return is
	}
	switch t, err := f.traffic(ctx, inst, host, fence); {
	case err != nil:
		is.Up, is.Reason, is.Definite = false, err.Error(), true
	case t.why != "":
		is.Up, is.Reason, is.Definite, is.Idle = false, t.why, t.drained, t.none
	}
	return is
}

// Live tells how every instance that was asked for stands now: its units as the
// View has just read them, its health checks and the balancers' word. It changes
// nothing on any host, and takes no other controller's place there.
func (f *Fleet) Live(ctx context.Context, v *View) []rollout.Instance {
	type looked struct {
		inst *desired.Instance
		in   *rollout.HostInput
	}
	var all []looked
	for i := range v.Input.Hosts {
		in := &v.Input.Hosts[i]
		for j := range in.Desired.Instances {
			if in.Skip == "" && matches(f.Services, in.Desired.Instances[j].Service) {
				all = append(all, looked{&in.Desired.Instances[j], in})
			}
		}
	}
	out := make([]rollout.Instance, len(all))
	var g errgroup.Group
	g.SetLimit(f.concurrency())
	for i, l := range all {
		host := l.in.Desired.Host
		if l.in.Observation == nil {
			out[i] = rollout.Instance{Host: host.Name, Service: l.inst.Service, Definite: true, Unreachable: true, Reason: "unreachable"}
			continue
		}
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, liveTimeout)
			defer cancel()
			out[i] = f.judge(ctx, l.inst, host, onlooker(*l.in.Observation), l.in.Observation.Units)
			return nil
		})
	}
	_ = g.Wait()
	return out
}

// onlooker is a fence for commands that only look: it raises no epoch above that of
// whoever has a step in hand on the host, who would be shut out by that.
func onlooker(o hostdriver.Observation) hostdriver.Fence {
	if o.Epoch == 0 || o.Holder == "" {
		return hostdriver.Fence{Epoch: max(1, o.Epoch), Holder: "onlooker"}
	}
	return hostdriver.Fence{Epoch: o.Epoch, Holder: o.Holder}
}

func startedUnits(inst *desired.Instance) []string {
	var out []string
	for _, u := range inst.Units {
		if u.State == "started" {
			out = append(out, u.Name)
		}
	}
	return out
}

// checks runs an instance's health checks at once and says which one fails first
// in their order; "" where all pass.
func (f *Fleet) checks(ctx context.Context, inst *desired.Instance, host inventory.Host, fence hostdriver.Fence, units map[string]hostdriver.UnitState) string {
	reasons := make([]string, len(inst.Health))
	deps := f.healthDeps(inst, host, fence, units)
	var wg sync.WaitGroup
	for i, spec := range inst.Health {
		wg.Go(func() {
			c, err := health.New(spec, host, deps)
			if err != nil {
				reasons[i] = err.Error()
				return
			}
			if r := c.Check(ctx); !r.OK {
				reasons[i] = r.Reason
			}
		})
	}
	wg.Wait()
	for _, r := range reasons {
		if r != "" {
			return r
		}
	}
	return ""
}

// healthDeps are what health checks reach a host through; units are as just read.
func (f *Fleet) healthDeps(inst *desired.Instance, host inventory.Host, fence hostdriver.Fence, units map[string]hostdriver.UnitState) health.Deps {
	return health.Deps{
		Dialer: f.Driver, Applier: f.Driver,
		Fence: func() hostdriver.Fence { return fence },
		Unit: func(ctx context.Context, name string) (hostdriver.UnitState, error) {
			if u, ok := units[name]; ok {
				return u, nil
			}
			o, err := f.Driver.Observe(ctx, host, hostdriver.Query{Light: true, UnitsOnly: true, Units: []string{name}})
			return o.Units[name], err
		},
		Started: startedUnits(inst),
	}
}

// units starts, restarts and reloads, unless a balancer sends traffic again.
func (fx *effects) units(ctx context.Context, e *rollout.Event, st State, v rollout.Visit, h *handled) error {
	drained, err := fx.stillDrained(ctx, e, v, h)
	if err != nil {
		return &notYet{reason: err.Error()}
	}
	if !drained {
		e.Forgot = true
		return nil
	}
	rec := fx.record(st, v, h)
	op := hostdriver.UnitOps{Actions: h.UnitActions(&v, false), Timeout: st.UnitTimeout(&v)}
	if v.Recorded && !h.has(rec) {
		op.Record = &rec
	}
	return fx.apply(ctx, h, op)
}

// revertUnits restarts what runs with the generation that was taken back: every
// process that is not the one from before, and what does not run at all.
func (fx *effects) revertUnits(ctx context.Context, st State, v rollout.Visit, h *handled) error {
	o, err := fx.f.Driver.Observe(ctx, h.Desired.Host, hostdriver.Query{Light: true, Units: v.Watch})
	if err != nil {
		return err
	}
	op := hostdriver.UnitOps{Actions: h.RevertActions(&v, o.Units), Timeout: st.UnitTimeout(&v)}
	if len(op.Actions) == 0 {
		return nil
	}
	// The record is not there yet where the restart that was to write it was refused. Where it
	// is, the way back writes nothing: the disk may be full.
	if rec := fx.record(st, v, h); v.Recorded && !v.Switched && !v.Recover && !h.has(rec) {
		op.Record = &rec
	}
	return fx.apply(ctx, h, op)
}

// probe takes one sample of the visit's units and health checks.
func (fx *effects) probe(ctx context.Context, e *rollout.Event, v rollout.Visit, h *handled) error {
	o, err := fx.f.Driver.Observe(ctx, h.Desired.Host, hostdriver.Query{Light: true, UnitsOnly: true, Units: v.Watch})
	if err != nil {
		return err
	}
	s, up := v.SampleUnits(o.Units)
	for i := range h.Desired.Instances {
		inst := &h.Desired.Instances[i]
		if !up || !slices.Contains(v.Concerns(), inst.Service) {
			continue
		}
		if why := fx.f.checks(ctx, inst, h.Desired.Host, fx.fence, o.Units); why != "" {
			s.Checks, s.Reason = false, fmt.Sprintf("%s: %s", inst.Service, why)
			break
		}
	}
	e.Sample = &s
	return nil
}
